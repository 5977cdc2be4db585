"""HepMC events, of files (ASCII, versions 3 and 2) and of pyhepmc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Indices
from k4calofast.exceptions import FileFormatError, require
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.records.columns import GeneratorEvent, unknown_helicities

_END = b"END_EVENT_LISTING"
_NEXT = b"\nE "
_EVENT = re.compile(rb"^E ", re.MULTILINE)
_CHUNK = 1 << 16

_GEV = {"MEV": 1e-3, "GEV": 1.0}
_MM = {"MM": 1.0, "CM": 10.0}


def is_event(given: object) -> bool:
    """Whether this is an event of pyhepmc; without importing that."""
    kind = type(given)
    return kind.__name__ == "GenEvent" and kind.__module__.partition(".")[0] == "pyhepmc"


def event_of(event: Any) -> GeneratorEvent:
    """Read an event of pyhepmc, whatever its units.

    Parameters
    ----------
    event : pyhepmc.GenEvent
        Is left as it is.
    """
    gev, mm = _GEV[event.momentum_unit.name], _MM[event.length_unit.name]
    columns = event.numpy.particles
    count = len(columns.pid)
    momentum = np.stack([columns.px, columns.py, columns.pz], axis=1) * gev
    begin, end = np.zeros((count, 4)), np.zeros((count, 4))
    begin[:] = _place(event.event_pos())
    parents: list[int] = []
    children: list[int] = []
    for vertex in event.vertices:
        place = _place(vertex.position)
        born = [particle.id - 1 for particle in vertex.particles_out]
        ended = [particle.id - 1 for particle in vertex.particles_in]
        begin[born], end[ended] = place, place
        parents += [parent for parent in ended for _ in born]
        children += born * len(ended)
    mass = np.where(
        np.asarray(columns.is_generated_mass_set, np.bool_),
        columns.generated_mass * gev,
        _mass(columns.e * gev, momentum),
    )
    return GeneratorEvent(
        int(event.event_number),
        np.asarray(columns.pid, np.int32),
        np.asarray(columns.status, np.int32),
        unknown_helicities(count),
        momentum,
        mass,
        begin[:, :3] * mm,
        begin[:, 3] * mm / LIGHT_SPEED,
        end[:, :3] * mm,
        _indices(parents),
        _indices(children),
        np.asarray(event.weights, np.float64),
    )


def _place(four: Any) -> tuple[float, float, float, float]:
    return four.x, four.y, four.z, four.t


def _indices(values: list[int]) -> Indices:
    return np.array(values, np.int64)


def _mass(
    energy: npt.NDArray[np.float64], momentum: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    square = np.square(energy) - np.square(momentum).sum(axis=1)
    mass: npt.NDArray[np.float64] = np.sqrt(np.maximum(square, 0.0))
    return mass


def read(stream: Any, version: Literal["HepMC3", "HepMC2"]) -> Iterator[GeneratorEvent]:
    """Read the events of a file.

    Parameters
    ----------
    stream
        The file, binary.
    version
        Of the format.

    Raises
    ------
    MissingExtraError
        If pyhepmc is not installed.
    FileFormatError
        If the file is damaged, or its end is missing.
    """
    require("inputs", "HepMC", "pyhepmc")
    import pyhepmc
    from pyhepmc import io

    text = _Text(stream)
    kind = io.ReaderAscii if version == "HepMC3" else io.ReaderAsciiHepMC2
    reader = kind(io.pyiostream(text))
    # The reader finds an event without particles where there is none: at the end of the file.
    # Such events wait until it is known how many there are.
    done, empty = 0, []
    while not reader.failed():
        event = pyhepmc.GenEvent()
        if not reader.read_event(event):
            break
        if not len(event.particles):
            empty.append(event_of(event))
            continue
        for one in (*empty, event_of(event)):
            done += 1
            yield one
        empty = []
    reader.close()
    text.drain()
    for one in empty[: max(text.events - done, 0)]:
        done += 1
        yield one
    if text.error is not None:
        raise text.error
    if done < text.events:
        raise FileFormatError(f"event {done + 1} of the file cannot be read, is it damaged?")
    if not text.complete:
        raise FileFormatError(f"cut off after {done} events: the line {_END.decode()} is missing")


class _Text:
    """A text that a reader in C++ takes through `readinto1`, whole events at a time.

    The reader prints what it cannot read, so it does not get an event whose end is missing.

    Attributes
    ----------
    events
        Events that were handed over.
    complete
        Whether the last line of such files came.
    error
        What reading it raised: C++ takes that for the end of the file.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._held, self._ready, self._ended = b"", b"", False
        self.events, self.complete = 0, False
        self.error: Exception | None = None

    def readinto1(self, buffer: Any) -> int:
        """Hand over some bytes."""
        while not self._ready and not self._ended:
            self._fill()
        count = min(len(buffer), len(self._ready))
        memoryview(buffer).cast("B")[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def drain(self) -> None:
        """Count what the reader left."""
        while not self._ended:
            self._fill()

    def _fill(self) -> None:
        try:
            data = self._stream.read(_CHUNK)
        except Exception as error:
            self.error, data = error, b""
        self._ended = not data
        known = self._held + data
        self.complete |= _END in known
        # The event that begins last has no end as yet.
        end = len(known) if self.complete else known.rfind(_NEXT) + 1
        self._ready, self._held = known[:end], known[end:]
        self.events += len(_EVENT.findall(self._ready))

"""Particles as people have them, to frames with EventHeaders and MCParticles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import vector

from k4calofast import records
from k4calofast.arrays import Indices, owners
from k4calofast.events.columns import EventKeys, Particles, one_of_each
from k4calofast.events.edm4hep import HELICITY_UNSET
from k4calofast.events.fields import header_fields, particle_fields
from k4calofast.events.formats import LOOKED_AT, generators_format
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import parameters
from k4calofast.events.reading import place
from k4calofast.exceptions import (
    FileFormatError,
    InvalidEventError,
    MissingCollectionError,
    SteeringError,
)
from k4calofast.incidence.kinds import nominal
from k4calofast.incidence.record import FINAL_STATE
from k4calofast.notebook.arrays import frames_of
from k4calofast.notebook.content import Content
from k4calofast.notebook.events import Events
from k4calofast.notebook.opening import open  # noqa: A004
from k4calofast.records import hepmc
from k4calofast.records.conversion import HEADER, PARTICLES

_RUN = 1
"""Run number where none is given."""

_KINEMATIC = ("px", "py", "pz", "pt", "rho", "phi", "theta", "eta")
"""Coordinates of momenta that `vector` puts together."""

_RANGES = (
    *((name, np.inf, "a magnitude (GeV)") for name in ("momentum", "p", "pt", "rho")),
    ("theta", np.pi, "an angle between 0 and pi (rad)"),
)
"""Coordinates that are not negative, and the most that they can be."""

_NAMES = {
    "pdg": ("pdg", "PDG", "pdgid", "pid"),
    "momentum": ("momentum", "p"),
    "mass": ("mass", "M", "m"),
    "energy": ("energy", "E", "e"),
    "charge": ("charge",),
    "time": ("time",),
    "vertex": ("vertex",),
    "endpoint": ("endpoint",),
    "momentum_at_endpoint": ("momentum_at_endpoint", "momentumAtEndpoint"),
    "generator_status": ("generator_status", "generatorStatus", "status"),
    "simulator_status": ("simulator_status", "simulatorStatus"),
    "helicity": ("helicity",),
}
"""Names under which members of particles are looked for."""


@dataclass(frozen=True)
class Record:
    """What is simulated.

    Attributes
    ----------
    frames
        With EventHeaders and MCParticles.
    header, particles
        What these are called.
    """

    frames: Frames
    header: CollectionInfo
    particles: CollectionInfo


def read(given: Any, run: npt.ArrayLike | None, event: npt.ArrayLike | None) -> Record:
    """Read particles, whatever they are; see `k4calofast.simulate`.

    Raises
    ------
    K4CaloFastError
        If they are nothing that is known, or make no sense.
    """
    if isinstance(given, str | PathLike):
        if _of_generator(given):
            return _of_records([*records.read(Path(given))], run, event)
        given = open(given, collections=[])
    if isinstance(given, ak.Record):
        one = given.layout
        given = ak.Array(one.array[one.at : one.at + 1])
    if isinstance(given, Events):
        return _of_events(given, run, event)
    if hepmc.is_event(given):
        given = [given]
    if isinstance(given, Sequence) and given and all(map(hepmc.is_event, given)):
        return _of_records([hepmc.event_of(one) for one in given], run, event)
    if isinstance(given, ak.Array | Mapping):
        these, helicity = columns_of(given)
        keys = numbered(these.n_events, run, event, None)
        fields = header_fields(HEADER.name, keys) | particle_fields(PARTICLES, these, helicity)
        return Record(Frames(fields | parameters({}, len(keys)), len(keys)), HEADER, PARTICLES)
    raise SteeringError(
        f"particles of type {type(given).__name__} are not known: take an awkward array of "
        "records, a dict of arrays, HepMC3 events, or the path of a file"
    )


def _of_generator(path: str | PathLike[str]) -> bool:
    """Whether a file is a generator's; what is no file is none."""
    there = place(fspath(path))
    if isinstance(there, str) or not there.is_file():
        return False
    try:
        with there.open("rb") as opened:
            return generators_format(opened.read(LOOKED_AT)) is not None
    except OSError as error:
        raise FileFormatError(f"{there}: cannot be read ({error.strerror})") from error


def _of_records(
    events: list[records.GeneratorEvent], run: npt.ArrayLike | None, event: npt.ArrayLike | None
) -> Record:
    known = records.Records.of(events, _RUN, 0)
    known = replace(known, keys=numbered(len(events), run, event, known.keys))
    return Record(known.frames(HEADER, PARTICLES), HEADER, PARTICLES)


def _of_events(events: Events, run: npt.ArrayLike | None, event: npt.ArrayLike | None) -> Record:
    if "particles" not in events.fields:
        raise MissingCollectionError("these events have no particles")
    chosen = events[["run", "event", "time_stamp", "weight", "weights", "particles"]]
    known = EventKeys(ak.to_numpy(events.run), ak.to_numpy(events.event))
    keys = numbered(len(events), run, event, known)
    chosen = ak.with_field(ak.with_field(chosen, keys.run, "run"), keys.event, "event")
    content = Content(events.content.header, events.content.particles)
    frames, (header, particles) = frames_of(chosen, content)
    return Record(frames, header, particles)


def numbered(
    count: int, run: npt.ArrayLike | None, event: npt.ArrayLike | None, known: EventKeys | None
) -> EventKeys:
    """Run and event numbers of events.

    Parameters
    ----------
    run
        One number, or (count,); None for those that are known, else 1.
    event
        The first event's number, or (count,); None for those that are known, else 0.

    Raises
    ------
    SteeringError
        If there are not as many numbers as events, or some are none.
    """
    if run is None:
        runs = np.full(count, _RUN, np.uint32) if known is None else known.run
    else:
        runs = _whole("run", run, count, 32).astype(np.uint32)
    if event is None:
        events = np.arange(count, dtype=np.uint64) if known is None else known.event
    elif np.ndim(event) == 0:
        events = np.arange(count, dtype=np.uint64) + _whole("event", event, 1, 63)
    else:
        events = _whole("event", event, count, 64)
    return EventKeys(runs, events)


def _whole(name: str, value: npt.ArrayLike, count: int, bits: int) -> npt.NDArray[np.uint64]:
    numbers = np.asarray(value)
    if numbers.ndim > 1 or (numbers.ndim == 1 and len(numbers) != count):
        raise SteeringError(f"{name}: give one number, or one for each of the {count} events")
    if numbers.dtype.kind not in "iu" or (numbers.size and int(numbers.min()) < 0):
        raise SteeringError(f"{name}: {value!r} is not a number of a {name}: 0, 1, 2, ...")
    if numbers.size and int(numbers.max()) >= 1 << bits:
        raise SteeringError(f"{name}: {int(numbers.max())} has more than {bits} bits")
    return np.broadcast_to(numbers.astype(np.uint64), (count,))


def shot(
    pdg: Any, momentum: Any, theta: Any, phi: Any, vertex: Any, time: Any, n: int | None
) -> ak.Array:
    """Particles with these values, which are broadcast: events x particles.

    Raises
    ------
    SteeringError
        If they do not fit together.
    """
    if n is not None and (not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 0):
        raise SteeringError(f"n is a number of events, not {n!r}")
    given = {"pdg": pdg, "momentum": momentum, "theta": theta, "phi": phi, "time": time}
    given |= _axes("vertex", vertex)
    arrays = {name: _lists(name, value) for name, value in given.items()}
    lengths = {name: len(one) for name, one in arrays.items() if isinstance(one, ak.Array)}
    if len({*lengths.values()}) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SteeringError(f"one value for all events, or one for each; there are {said}")
    count = next(iter(lengths.values()), 1 if n is None else n)
    if n is not None and count != n:
        name = next(iter(lengths))
        raise SteeringError(f"n is {n}, but {name} has {count} values; leave n out")
    whole = ak.Array(np.zeros(count))
    try:
        together = ak.broadcast_arrays(whole, *arrays.values())[1:]
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        raise SteeringError(f"{', '.join(arrays)} do not fit together: {reason}") from error
    columns = dict(zip(arrays, together, strict=True))
    if columns["pdg"].ndim == 1:
        columns = {name: column[:, np.newaxis] for name, column in columns.items()}
    place = ak.zip({axis: columns.pop(f"vertex_{axis}") for axis in "xyz"})
    return ak.zip(columns | {"vertex": place}, depth_limit=2)


def _axes(name: str, value: Any) -> dict[str, Any]:
    """Three components of points, from records or from arrays whose last axis has three values."""
    if isinstance(value, ak.Array) and {"x", "y", "z"} <= {*value.fields}:
        return {f"{name}_{axis}": value[axis] for axis in "xyz"}
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape[-1:] != (3,):
        raise SteeringError(f"{name} has x, y and z: (3,) for all, (n, 3), or records")
    return {f"{name}_{axis}": array[..., i] for i, axis in enumerate("xyz")}


def _lists(name: str, value: Any) -> Any:
    """A number, or an array of events or of lists of particles."""
    try:
        if not isinstance(value, list | ak.Array) and np.ndim(value) == 0:
            float(value)
            return value
        array = ak.from_regular(ak.Array(value), axis=None)
        ak.to_numpy(ak.flatten(array, axis=None), allow_missing=False).astype(float)
    except Exception as error:
        raise SteeringError(f"{name} is neither a number nor an array of numbers") from error
    if array.ndim > 2:
        raise SteeringError(f"{name} has {array.ndim} dimensions: events x particles are two")
    return array


def columns_of(given: ak.Array | Mapping[str, Any]) -> tuple[Particles, npt.NDArray[Any]]:
    """Particles, and their helicities, from records or from arrays by name.

    Parameters
    ----------
    given
        Events x particles, or the particles of one event.

    Raises
    ------
    InvalidEventError
        If something that is needed is missing, or makes no sense.
    """
    array = _zipped(given) if isinstance(given, Mapping) else given
    if not array.fields:
        raise InvalidEventError(
            "particles need names: records with pdg, px, py, pz (GeV), or the other names that "
            "help(k4calofast.simulate) lists"
        )
    if array.ndim == 1:
        array = array[np.newaxis]
    if array.ndim != 2:
        raise InvalidEventError(
            f"particles have {array.ndim} dimensions: events x particles are two, one event's one"
        )
    offsets = np.append(0, np.cumsum(ak.to_numpy(ak.num(array), allow_missing=False)))
    return _Flat(ak.flatten(array, axis=1)).particles(offsets.astype(np.int64))


def _zipped(given: Mapping[str, Any]) -> ak.Array:
    """Records from arrays by name; numbers are those of all particles."""
    columns: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, ak.Array):
            columns[name] = value
        elif name in _POINTS or (name in _NAMES["momentum"] and "theta" not in given):
            columns |= {
                key: axis if axis.ndim == 0 else ak.from_regular(axis, axis=None)
                for key, axis in _axes(name, value).items()
            }
        elif not isinstance(value, list | tuple) and np.ndim(value) == 0:
            columns[name] = value
        else:
            columns[name] = ak.from_regular(ak.Array(value), axis=None)
    arrays = {name: one for name, one in columns.items() if isinstance(one, ak.Array)}
    depth = max((one.ndim for name, one in arrays.items() if name not in _LISTS), default=1)
    if not arrays:
        columns = {name: ak.Array([one]) for name, one in columns.items()}
    try:
        return ak.zip(columns, depth_limit=min(depth, 2))
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        raise InvalidEventError(f"{', '.join(columns)} do not fit together: {reason}") from error


_POINTS = {name for what in ("vertex", "endpoint", "momentum_at_endpoint") for name in _NAMES[what]}
_LISTS = ("parents", "daughters")
"""Members of particles that are no number."""


class _Flat:
    """Members of N particles by any of their names."""

    def __init__(self, flat: ak.Array) -> None:
        self._flat, self._count = flat, len(flat)

    def _find(self, what: str) -> ak.Array | None:
        there = [name for name in _NAMES[what] if name in self._flat.fields]
        return self._flat[there[0]] if there else None

    def _numbers(self, what: str, usual: Any, dtype: Any = np.float64) -> npt.NDArray[Any]:
        found = self._find(what)
        if found is None:
            return np.broadcast_to(np.asarray(usual, dtype), (self._count,)).copy()
        values = _numpy(found, what)
        with np.errstate(invalid="ignore"):
            numbers = values.astype(np.float64).astype(dtype)
        if np.issubdtype(dtype, np.integer) and not np.array_equal(numbers, values):
            raise InvalidEventError(f"'{what}' of particles is a whole number of 32 bits")
        return numbers

    def _points(self, what: str) -> npt.NDArray[np.float64]:
        for name in _NAMES[what]:
            own = [f"{name}_{axis}" for axis in "xyz"]
            if {*own} <= {*self._flat.fields}:
                return np.stack([_numpy(self._flat[axis], axis) for axis in own], axis=1)
        found = self._find(what)
        if found is None:
            return np.zeros((self._count, 3))
        axes = ("px", "py", "pz") if "px" in found.fields else ("x", "y", "z")
        if {*axes} <= {*found.fields}:
            return np.stack([_numpy(found[axis], what).astype(float) for axis in axes], axis=1)
        try:
            values = np.asarray(ak.to_numpy(found), float)
        except (TypeError, ValueError):
            values = np.zeros(0)
        if values.shape != (self._count, 3):
            raise InvalidEventError(f"{what} of particles has x, y and z")
        return values

    def particles(self, offsets: Indices) -> tuple[Particles, npt.NDArray[Any]]:
        """Return the particles, and their helicities."""
        if self._find("pdg") is None:
            raise InvalidEventError("particles have no 'pdg': what kind are they?")
        pdg = self._numbers("pdg", 0, np.int32)
        momentum = self._momentum()
        charge, mass = nominal(pdg)
        mass = self._mass(mass, momentum)
        charge = self._numbers("charge", charge)
        for name, values in (("charge", charge), ("mass", mass)):
            unknown = np.flatnonzero(np.isnan(values))
            if unknown.size and self._find(name) is None:
                raise InvalidEventError(
                    f"the {name} of PDG {pdg[unknown[0]]} is not known; give particles a '{name}'"
                )
        parent, child = self._family(offsets)
        these = Particles(
            offsets,
            pdg,
            self._numbers("generator_status", FINAL_STATE, np.int32),
            self._numbers("simulator_status", 0, np.int32),
            charge,
            self._numbers("time", 0.0),
            mass,
            self._vertex(),
            self._points("endpoint"),
            momentum,
            self._points("momentum_at_endpoint"),
            parent,
            child,
        )
        return these, self._numbers("helicity", HELICITY_UNSET, np.int32)

    def _momentum(self) -> npt.NDArray[np.float64]:
        fields = {*self._flat.fields}
        for name, high, what in _RANGES:
            if name in fields and self._flat[name].ndim == 1 and not self._flat[name].fields:
                values = _numpy(self._flat[name], name)
                beyond = values[(values < 0) | (values > high)]
                if beyond.size:
                    raise InvalidEventError(f"'{name}' of particles is {what}, not {beyond[0]:g}")
        found = self._find("momentum")
        vectors = any(f"{name}_x" in fields for name in _NAMES["momentum"])
        if (found is not None and (found.fields or found.ndim > 1)) or vectors:
            return self._points("momentum")
        if found is not None and {"theta", "phi"} <= fields:
            size = _numpy(found, "momentum").astype(float)
            theta, phi = (_numpy(self._flat[name], name).astype(float) for name in ("theta", "phi"))
            sine = size * np.sin(theta)
            return np.stack([sine * np.cos(phi), sine * np.sin(phi), size * np.cos(theta)], axis=1)
        parts = {name: self._flat[name] for name in _KINEMATIC if name in fields}
        try:
            together = vector.zip(parts)
            return np.stack(
                [_numpy(getattr(together, axis), axis).astype(float) for axis in ("x", "y", "z")],
                axis=1,
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidEventError(
                "the momenta of particles are px, py, pz (GeV), or pt, phi and eta or theta, or "
                f"momentum, theta and phi; there are {', '.join(self._flat.fields)}"
            ) from error

    def _mass(
        self, usual: npt.NDArray[np.float64], momentum: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        energy = self._find("energy")
        if self._find("mass") is not None or energy is None:
            return self._numbers("mass", usual)
        energies = _numpy(energy, "energy").astype(float)
        square = energies**2 - np.sum(momentum**2, axis=1)
        # Single precision leaves a photon a part in 10 million; what is far from it is a mistake.
        if (square < -1e-3 * energies**2).any() or (energies < 0).any():
            raise InvalidEventError("'energy' of particles (GeV) is at least their momentum")
        mass: npt.NDArray[np.float64] = np.sqrt(np.maximum(square, 0.0))
        return mass

    def _vertex(self) -> npt.NDArray[np.float64]:
        if {"vx", "vy", "vz"} <= {*self._flat.fields}:
            return np.stack([_numpy(self._flat[name], name) for name in ("vx", "vy", "vz")], axis=1)
        return self._points("vertex")

    def _family(self, offsets: Indices) -> tuple[Indices, Indices]:
        """Parents and children, from indices in the event."""
        pairs = [np.zeros((2, 0), np.int64)]
        first, event = offsets[:-1], owners(offsets)
        for relation in _LISTS:
            if relation not in self._flat.fields:
                if f"{relation}_begin" in self._flat.fields and np.any(
                    self._flat[f"{relation}_end"] > self._flat[f"{relation}_begin"]
                ):
                    raise InvalidEventError(
                        f"the {relation} of particles are in a branch of their own; "
                        "k4calofast.open(path).particles has them"
                    )
                continue
            lists = self._flat[relation]
            source = np.repeat(np.arange(self._count), ak.to_numpy(ak.num(lists)))
            index = _numpy(ak.flatten(lists), relation).astype(np.int64)
            if (index < 0).any() or (index >= np.diff(offsets)[event[source]]).any():
                raise InvalidEventError(f"{relation} of particles are indices in their event")
            target = index + first[event[source]]
            pairs.append(np.stack([target, source] if relation == "parents" else [source, target]))
        return one_of_each(*np.concatenate(pairs, axis=1))


def _numpy(column: Any, what: str) -> npt.NDArray[Any]:
    try:
        values = np.asarray(ak.to_numpy(column, allow_missing=False))
    except ValueError as error:
        raise InvalidEventError(f"'{what}' of particles is not one number for each") from error
    if values.ndim != 1 or values.dtype.kind not in "iufb":
        raise InvalidEventError(f"'{what}' of particles is not one number for each")
    return values

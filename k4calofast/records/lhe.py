"""Events of Les Houches (LHE) files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from k4calofast.arrays import Floats
from k4calofast.events.edm4hep import HELICITY_UNSET
from k4calofast.exceptions import FileFormatError, require
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.records.columns import GeneratorEvent

_DECAYED = 2
"""Status of particles whose decay is in the record."""


def read(stream: Any) -> Iterator[GeneratorEvent]:
    """Read the events of a file.

    Parameters
    ----------
    stream
        The file, binary.

    Raises
    ------
    MissingExtraError
        If pylhe is not installed.
    FileFormatError
        If the file is damaged, or its end is missing.
    """
    require("inputs", "LHE", "pylhe")
    import pylhe

    done = 0
    try:
        with warnings.catch_warnings():
            # pylhe warns of text that is no XML, and ends.
            warnings.simplefilter("error", RuntimeWarning)
            for event in pylhe.LHEFile.frombuffer(stream).events:
                yield event_of(event)
                done += 1
    except FileFormatError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise FileFormatError(f"cut off or damaged after {done} events ({reason})") from error


def event_of(event: Any) -> GeneratorEvent:
    """Read an event of pylhe.

    The format has lifetimes in place of vertices: what has decayed (status 2) flies as long as it
    lives, and its daughters begin there. All others begin in the origin.

    Parameters
    ----------
    event : pylhe.LHEEvent

    Raises
    ------
    FileFormatError
        If particles are missing, or a mother is.
    """
    particles = event.particles
    count = len(particles)
    if count != event.eventinfo.nparticles:
        raise FileFormatError(f"{count} particles, and {event.eventinfo.nparticles} are announced")
    parents: list[int] = []
    children: list[int] = []
    for number, particle in enumerate(particles):
        for mother in _mothers(particle.mother1, particle.mother2):
            if mother >= count:
                raise FileFormatError(f"particle {number + 1} has a mother that is not there")
            parents.append(mother)
            children.append(number)
    pdg, status, spin, px, py, pz, energy, mass, lifetime = (
        np.array(
            [(p.id, p.status, p.spin, p.px, p.py, p.pz, p.e, p.m, p.lifetime) for p in particles],
            np.float64,
        )
        .reshape(-1, 9)
        .T
    )
    momentum = np.stack([px, py, pz], axis=1)
    parent, child = np.array(parents, np.int64), np.array(children, np.int64)
    flies = (status == _DECAYED) & (lifetime > 0) & (mass > 0)
    way = np.zeros((count, 4))
    way[flies] = (
        np.column_stack([momentum, energy])[flies] * (lifetime[flies] / mass[flies])[:, np.newaxis]
    )
    begin = _begin(way, parent, child)
    end = np.where(flies[:, np.newaxis], begin + way, 0.0)
    known = np.isin(spin, (-1.0, 0.0, 1.0))
    return GeneratorEvent(
        None,
        pdg.astype(np.int32),
        status.astype(np.int32),
        np.where(known, spin, HELICITY_UNSET).astype(np.int32),
        momentum,
        np.abs(mass),
        begin[:, :3],
        begin[:, 3] / LIGHT_SPEED,
        end[:, :3],
        parent,
        child,
        np.array([event.eventinfo.weight, *event.weights.values()], np.float64),
    )


def _mothers(first: int, last: int) -> range:
    """Indices of mothers, from the numbers of the first and the last, counted from 1."""
    if first <= 0:
        first = last
    return range(first - 1, max(first, last)) if first > 0 else range(0)


def _begin(way: Floats, parent: np.ndarray, child: np.ndarray) -> Floats:
    """Where and when (N, 4; mm) particles begin: where their mothers end, the last that flies."""
    begin = np.zeros_like(way)
    # Generation after generation; a circle of relatives ends, too.
    for _ in range(len(way)):
        ends = begin + way
        new = np.zeros_like(begin)
        order = np.argsort(ends[parent, 3], kind="stable")
        new[child[order]] = ends[parent[order]]
        if np.array_equal(new, begin):
            break
        begin = new
    return begin

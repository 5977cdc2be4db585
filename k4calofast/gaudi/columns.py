"""Buffers of one event to the columns that the stages work on, and back.

Buffers belong to the caller and die with the call: everything is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.events.columns import (
    OWN_COLLECTION,
    Contributions,
    EventKeys,
    Hits,
    Particles,
    one_of_each,
)
from k4calofast.exceptions import InvalidEventError

Buffers = Mapping[str, Any]
"""Objects with Python's buffer protocol, of one or two dimensions."""

_FAMILY = ("parent", "child")

LISTED = "listed"
"""Indices of the particles that a subset lists, where there is one."""

Arrays = dict[str, npt.NDArray[Any]]
"""Contiguous arrays."""


def event_keys(buffers: Buffers, header: str) -> EventKeys:
    """Read ``header.run``, ``header.event`` and ``number``; ``seed`` if it is there.

    Raises
    ------
    InvalidEventError
        If there is not exactly one header.
    """
    run = np.array(buffers["header.run"], np.uint32)
    if len(run) != 1:
        raise InvalidEventError(
            f"an event has {len(run)} EventHeaders in '{header}'; exactly one is needed"
        )
    seed = np.array(buffers["seed"], np.uint64) if "seed" in buffers else None
    event, place = (np.array(buffers[name], np.uint64) for name in ("header.event", "number"))
    return EventKeys(run, event, seed, place)


def particles(buffers: Buffers, name: str = "particles") -> Particles:
    """Read ``<name>.<member>`` of MCParticles."""

    def read(member: str) -> npt.NDArray[Any]:
        return np.asarray(buffers[f"{name}.{member}"])

    return Particles.of_members(np.array([0, len(read("PDG"))]), read)


def with_family(particles: Particles, buffers: Buffers) -> Particles:
    """Add ``parents.parent`` and ``parents.child`` to the particles of an event."""
    parent, child = one_of_each(
        *(np.array(buffers[f"parents.{who}"], np.int64) for who in ("parent", "child"))
    )
    return replace(particles, parent=parent, child=child)


def with_listed(particles: Particles, buffers: Buffers) -> Particles:
    """Mark the particles of an event that are `LISTED`, where there is a list."""
    if LISTED not in buffers:
        return particles
    listed = np.zeros(len(particles), np.bool_)
    listed[np.array(buffers[LISTED], np.int64)] = True
    return replace(particles, listed=listed)


def sim_hits(buffers: Buffers, name: str) -> tuple[Hits, Contributions]:
    """Read ``<name>.hits.<member>`` and ``<name>.contributions.<member>``."""
    # Which collections there are, C++ knows: it counts particles through all of them.

    def read(member: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
        return np.array(buffers[f"{name}.{member}"], dtype)

    cell_id = read("hits.cellID", np.uint64)
    hits = Hits(
        np.array([0, len(cell_id)]),
        cell_id,
        read("hits.energy", np.float32),
        read("hits.position", np.float32),
        read("hits.contributions", np.int64),
    )
    particle = read("contributions.particle", np.int32)
    return hits, Contributions(
        particle,
        np.full(len(particle), OWN_COLLECTION, np.uint32),
        read("contributions.PDG", np.int32),
        read("contributions.energy", np.float32),
        read("contributions.time", np.float32),
        read("contributions.stepPosition", np.float32),
        read("contributions.stepLength", np.float32),
    )


def hit_arrays(name: str, hits: Hits, contributions: Contributions, event: int = 0) -> Arrays:
    """Columns of one event's hits, as `sim_hits` reads them.

    C++ reads them where they lie in memory: one row after the other.
    """
    first, last = hits.offsets[event : event + 2]
    ends = hits.contributions[first : last + 1]
    rows = slice(ends[0], ends[-1])
    of_hits = {member: column[first:last] for member, column in hits.members.items()}
    of_hits["contributions"] = ends - ends[0]
    members = {"particle": contributions.particle, **contributions.members}
    of_contributions = {member: column[rows] for member, column in members.items()}
    return {
        f"{name}.{kind}.{member}": np.ascontiguousarray(column)
        for kind, columns in (("hits", of_hits), ("contributions", of_contributions))
        for member, column in columns.items()
    }


def together(events: Sequence[tuple[EventKeys, Particles]]) -> tuple[EventKeys, Particles]:
    """Put events together, each of which is alone in its columns."""
    if len(events) == 1:
        return events[0]
    keys = [key for key, _ in events]
    seeds = [key.seed for key in keys if key.seed is not None]
    all_particles = [particles for _, particles in events]
    offsets = np.cumsum([0] + [len(particles) for particles in all_particles])
    return EventKeys(
        np.concatenate([key.run for key in keys]),
        np.concatenate([key.event for key in keys]),
        np.concatenate(seeds) if seeds else None,
        np.concatenate([key.place for key in keys]),
    ), Particles(
        offsets=offsets,
        **{
            column.name: np.concatenate([getattr(part, column.name) for part in all_particles])
            for column in fields(Particles)
            if column.name not in ("offsets", *_FAMILY)
        },
        **{
            name: np.concatenate(
                [
                    getattr(part, name) + first
                    for part, first in zip(all_particles, offsets[:-1], strict=True)
                ]
            )
            for name in _FAMILY
        },
    )

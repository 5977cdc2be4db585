"""Particles of many events at the calorimeter's face, in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Columns, Floats, Indices
from k4calofast.detector import Calorimeter
from k4calofast.events.columns import Particles
from k4calofast.incidence.fate import Census, Fate, Fates
from k4calofast.incidence.record import Record
from k4calofast.incidence.start import set_out
from k4calofast.incidence.transport import first_hits, velocity

_NOWHERE = -1


@dataclass(frozen=True)
class Arrivals(Columns):
    """N particles that enter a cell, in the order of their index.

    Attributes
    ----------
    particle
        (N,) index into the particles.
    cell
        (N,) cell that is entered.
    position
        (N, 3) mm, where.
    time
        (N,) ns, when.
    conditions
        (N, conditions) in the order and units of the calorimeter's `conditions`.
    momentum
        (N, 3) GeV, there.
    """

    particle: Indices
    cell: Indices
    position: Floats
    time: Floats
    conditions: Floats
    momentum: Floats

    def __len__(self) -> int:
        return len(self.particle)


def arrive(
    particles: Particles, detector: Calorimeter, stable: Sequence[int] = ()
) -> tuple[Arrivals, Fates]:
    """Bring particles to a calorimeter.

    Parameters
    ----------
    particles
        With charges and masses that can be trusted, see `k4calofast.incidence.kinds`.
    stable
        Values of generatorStatus of final-state particles, beside 1.

    Returns
    -------
    arrivals
        Those that enter a cell.
    fate
        (particles,) `Fate` of every particle; `Fate.SHOWERED` for the arrivals.
    """
    (arrivals,), census = follow(Record(particles, detector, stable=stable))
    return arrivals, census.fate


def follow(record: Record) -> tuple[tuple[Arrivals, ...], Census]:
    """Bring the particles of a record to its calorimeters: each to the one that it enters first.

    Returns
    -------
    arrivals
        Those that enter a cell of each calorimeter.
    census
        Fates of all particles; `Fate.SHOWERED` for the arrivals.
    """
    starts, census = set_out(record)
    hits = []
    nearest = np.full(len(starts.particle), _NOWHERE)
    way = np.full(len(nearest), np.inf)
    for number, calorimeter in enumerate(record.calorimeters):
        found = first_hits(calorimeter, starts.position, starts.momentum, starts.charge, way)
        nearer = (found.cell >= 0) & (found.path < way)
        nearest[nearer], way[nearer] = number, found.path[nearer]
        hits.append(found)
    reached = np.any([found.reached for found in hits], axis=0)
    census.fate[starts.particle[nearest >= 0]] = Fate.SHOWERED
    census.fate[starts.particle[reached & (nearest < 0)]] = Fate.GAP
    speed = velocity(starts.momentum, starts.mass)
    arrivals = []
    for number, (calorimeter, found) in enumerate(zip(record.calorimeters, hits, strict=True)):
        entered = nearest == number
        cell, position, momentum = (
            column[entered] for column in (found.cell, found.position, found.momentum)
        )
        arrivals.append(
            Arrivals(
                starts.particle[entered],
                cell,
                position,
                (starts.time + found.path / speed)[entered],
                calorimeter.conditions_at(cell, position, momentum),
                momentum,
            )
        )
    return tuple(arrivals), census

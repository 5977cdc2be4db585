"""Particles of many events at the calorimeter's face, in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.detector import Calorimeter
from k4calofast.events.columns import Floats, Indices, Particles
from k4calofast.incidence.fate import Census, Fate
from k4calofast.incidence.record import Record
from k4calofast.incidence.start import set_out
from k4calofast.incidence.transport import first_hits, velocity


@dataclass(frozen=True)
class Arrivals:
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

    def take(self, rows: npt.NDArray[np.bool_] | Indices) -> Arrivals:
        """Return the arrivals of these rows."""
        return Arrivals(
            self.particle[rows],
            self.cell[rows],
            self.position[rows],
            self.time[rows],
            self.conditions[rows],
            self.momentum[rows],
        )


def arrive(
    particles: Particles, detector: Calorimeter, stable: Sequence[int] = ()
) -> tuple[Arrivals, npt.NDArray[np.int8]]:
    """Bring particles to the calorimeter.

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
    arrivals, census = follow(Record(particles, detector, stable))
    return arrivals, census.fate


def follow(record: Record) -> tuple[Arrivals, Census]:
    """Bring the particles of a record to its calorimeter; see `arrive`."""
    detector = record.detector
    starts, census = set_out(record)
    hits = first_hits(detector, starts.position, starts.momentum, starts.charge)
    entered = hits.cell >= 0
    census.fate[starts.particle[entered]] = Fate.SHOWERED
    census.fate[starts.particle[hits.reached & ~entered]] = Fate.GAP
    time = starts.time + hits.path / velocity(starts.momentum, starts.mass)
    cell, position, momentum = hits.cell[entered], hits.position[entered], hits.momentum[entered]
    return Arrivals(
        starts.particle[entered],
        cell,
        position,
        time[entered],
        detector.conditions_at(cell, position, momentum),
        momentum,
    ), census

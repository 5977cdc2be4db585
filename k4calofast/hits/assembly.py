"""Overlapping showers become hits: one per cell and event, one contribution per particle.

These are the rules that digitisers, overlay and particle flow rely on: a cell appears once
per event; its contributions sum to its energy; a contribution's time is absolute and not
before light could arrive; positions are cell centres; energies are raw deposits.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from k4calofast.arrays import Columns, Floats, Floats32, Indices, Ints, Mask
from k4calofast.detector import Calorimeter, Surroundings
from k4calofast.events.columns import OWN_COLLECTION, Contributions, Hits
from k4calofast.incidence import Arrivals
from k4calofast.incidence.transport import LIGHT_SPEED

if TYPE_CHECKING:
    from k4calofast.generator import Generated


@dataclass(frozen=True)
class EnergyBalance:
    """Where the energy went (GeV, sums).

    Attributes
    ----------
    incident
        Momenta of the particles that showered.
    generated
        Energies that the generator put into windows.
    passed
        The part of it in cells of other calorimeters.
    received
        Energies that showers of particles that entered other calorimeters left here.
    beyond
        The part of what was generated in places of a window where no detector has a cell.
    written
        Energies of the hits.
    below
        The part in hits below the threshold, which are not written.
    """

    incident: float = 0.0
    generated: float = 0.0
    passed: float = 0.0
    received: float = 0.0
    beyond: float = 0.0
    written: float = 0.0
    below: float = 0.0

    def __add__(self, other: EnergyBalance) -> EnergyBalance:
        return EnergyBalance(*map(add, astuple(self), astuple(other)))

    @property
    def closure(self) -> float:
        """Energy of which it is not known where it went, relative."""
        there = self.generated + self.received
        if there == 0:
            return 0.0
        return (there - self.passed - self.beyond - self.below - self.written) / there


_BITS = 63
"""Of whole numbers that are not negative."""


@dataclass(frozen=True)
class Deposits(Columns):
    """Energy that N showers put into cells, D times.

    Attributes
    ----------
    shower
        (D,) whose.
    cell
        (D,) where; -1 where the detector has no cell.
    energy
        (D,) GeV.
    delay
        (D,) ns after the particle entered, or after light could have come straight from there.
    after_light
        (D,) which of the two.
    """

    shower: Indices
    cell: Indices
    energy: Floats32
    delay: Floats32
    after_light: Mask

    @staticmethod
    def of(
        generated: Generated, surroundings: Surroundings, *, after_light: bool = True
    ) -> Deposits:
        """Return what was generated, in the cells around the particles.

        Parameters
        ----------
        after_light
            What delays count from: when light could have come, or when the particle entered.
        """
        cell = surroundings.cells(generated.shower, generated.place)
        from_light = np.full(len(cell), after_light)
        return Deposits(generated.shower, cell, generated.energy, generated.delay, from_light)

    @staticmethod
    def none() -> Deposits:
        """No deposits."""
        nowhere, nothing = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return Deposits(nowhere, nowhere, nothing, nothing, np.zeros(0, np.bool_))

    def among(self, first: int, count: int) -> Deposits:
        """Return those in so many cells, with the numbers that these have from the first one on."""
        those = (self.cell >= first) & (self.cell < first + count)
        inside = self if those.all() else self.take(those)
        return replace(inside, cell=inside.cell - first) if first else inside

    def renamed(self, showers: Indices) -> Deposits:
        """Return the same with other numbers for showers: those in a table."""
        return replace(self, shower=showers.take(self.shower))

    def by_shower(self) -> Deposits:
        """Return them in the order of their showers; those of one stay in theirs."""
        if (self.shower[1:] >= self.shower[:-1]).all():
            return self
        return self.take(np.argsort(self.shower, kind="stable"))


def assemble(
    detector: Calorimeter,
    arrivals: Arrivals,
    pdg: Ints,
    event: Indices,
    index_in_event: Indices,
    n_events: int,
    deposits: Deposits,
    threshold: float = 0.0,
) -> tuple[Hits, Contributions, EnergyBalance]:
    """Turn the deposits of N showers into hits.

    Parameters
    ----------
    arrivals
        The showers, ordered by event and particle.
    pdg, event, index_in_event
        (N,) PDG number, event (0 to n_events - 1) and index in it of their particles.
    deposits
        Of these showers. What is in no cell of the detector is counted as beyond it.
    threshold
        GeV; hits with less are left out, and counted.
    """
    inside = (deposits.cell >= 0) & (deposits.cell < detector.n_cells)
    rows = np.flatnonzero(inside)
    # Showers come ordered by event and particle, so a stable sort by event and cell leaves
    # the contributions of each cell in the order of their particles.
    key = (event * detector.n_cells).take(deposits.shower.take(rows)) + deposits.cell.take(rows)
    key, order = _ordered(key)
    rows = rows[order]
    parts = deposits.take(rows)
    first = _starts(key)
    if first.size < key.size:
        parts, key = _merged(parts, key)
        first = _starts(key)
    energy = parts.energy.astype(np.float64)
    total = np.add.reduceat(energy, first) if first.size < key.size else energy
    below = total < threshold
    lost = float(total[below].sum())
    if below.any():
        stays = np.flatnonzero(np.repeat(~below, np.diff(np.append(first, len(key)))))
        parts, key, total = parts.take(stays), key[stays], total[~below]
        first = _starts(key)
    shower, cell = parts.shower, parts.cell
    centre = detector.centre(cell)
    position = centre.astype(np.float32)
    alone = first.size == key.size
    hits = Hits(
        np.searchsorted(event.take(shower.take(first)), np.arange(n_events + 1)),
        detector.cell_id(cell if alone else cell.take(first)),
        total.astype(np.float32),
        position if alone else position.T.take(first, axis=1).T,
        np.append(first, len(key)),
    )
    square = np.zeros(len(shower))
    for there, start in zip(centre.T, arrivals.position.T, strict=True):
        straight = there - start.take(shower)
        square += straight * straight
    way: Floats = np.where(parts.after_light, np.sqrt(square), 0.0)
    contributions = Contributions(
        index_in_event.astype(np.int32).take(shower),
        np.full(len(shower), OWN_COLLECTION, np.uint32),
        pdg.take(shower),
        parts.energy,
        (arrivals.time.take(shower) + way / LIGHT_SPEED + parts.delay).astype(np.float32),
        position,
        np.zeros(len(shower), np.float32),
    )
    balance = EnergyBalance(
        incident=float(arrivals.conditions[:, 0].sum()),
        generated=float(deposits.energy.sum(dtype=np.float64)),
        beyond=float(deposits.energy[~inside].sum(dtype=np.float64)),
        written=float(hits.energy.sum(dtype=np.float64)),
        below=lost,
    )
    return hits, contributions, balance


def _starts(key: Indices) -> Indices:
    """Where in sorted keys (D,), not negative, each begins."""
    return np.flatnonzero(np.diff(key, prepend=-1))


def _ordered(key: Indices) -> tuple[Indices, Indices]:
    """Sorted keys (D,), not negative, and where each was; equal ones in the order they came in."""
    bits = max(len(key) - 1, 1).bit_length()
    if len(key) == 0 or int(key.max()).bit_length() + bits > _BITS:
        order = np.argsort(key, kind="stable")
        return key[order], order
    # Numbers are sorted in a sixth of the time that their order takes.
    both = np.sort((key << bits) | np.arange(len(key)))
    return both >> bits, both & ((1 << bits) - 1)


def _merged(parts: Deposits, key: Indices) -> tuple[Deposits, Indices]:
    """Make one contribution of what a shower puts into a cell from several places.

    At the border of modules, places of two layers can be one cell of the neighbour.
    """
    again = np.flatnonzero((key[1:] == key[:-1]) & (parts.shower[1:] == parts.shower[:-1])) + 1
    if not again.size:
        return parts, key
    # They are few.
    stays = np.delete(np.arange(len(key)), again)
    first = np.searchsorted(stays, again) - 1
    merged, energy = parts.take(stays), parts.energy.take(stays).astype(np.float64)
    np.add.at(energy, first, parts.energy[again])
    np.minimum.at(merged.delay, first, parts.delay[again])
    return replace(merged, energy=energy.astype(np.float32)), key.take(stays)

"""Hits of several collections become one: one hit per cell, with the contributions of all.

What a full simulation knows of particles that the fast one has simulated would be there twice.
It is left out for these particles and for all that stems from them, but for descendants that set
out for the calorimeter by themselves, born in front of it: those that wait for another simulation
(the fast one's particles not handled), those that ended in the tracker, and theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Indices, Mask, owners
from k4calofast.events.columns import OWN_COLLECTION, Contributions, Hits, Particles
from k4calofast.events.edm4hep import BACKSCATTER_BIT, DECAYED_IN_TRACKER_BIT, FAST_SIMULATED_BIT
from k4calofast.exceptions import InvalidEventError
from k4calofast.hits.energies import EventName, check_energies
from k4calofast.properties import CaloHitMergerProperties

SAME_PLACE = 1.0
"""mm; the centre of a cell is the same in all collections up to rounding."""

_ROUNDING = 1e-4
"""Relative; the energy of a hit may be the sum of thousands of numbers in single precision."""


@dataclass
class Amount:
    """How many, and their energy (GeV)."""

    number: int = 0
    energy: float = 0.0

    def add(self, energies: npt.NDArray[np.floating]) -> None:
        """Add these, with their energies."""
        self.number += len(energies)
        self.energy += float(energies.sum(dtype=np.float64))


@dataclass
class Merged:
    """What was merged in a run.

    Attributes
    ----------
    fast, full, written
        Hits that came in and went out.
    twice
        Contributions that were left out as simulated twice; the energy is what hits have lost.
    elsewhere, nobody
        Contributions to the full simulation's hits, of particles of other collections and of
        none: nothing says whether the fast simulation has simulated them.
    more, less
        Hits that hold more or less than their contributions, and by how much.
    """

    fast: Amount = field(default_factory=Amount)
    full: Amount = field(default_factory=Amount)
    written: Amount = field(default_factory=Amount)
    twice: Amount = field(default_factory=Amount)
    elsewhere: Amount = field(default_factory=Amount)
    nobody: Amount = field(default_factory=Amount)
    more: Amount = field(default_factory=Amount)
    less: Amount = field(default_factory=Amount)


class Merger:
    """Merges hits of the fast and of a full simulation of the same events."""

    def __init__(self, properties: CaloHitMergerProperties) -> None:
        self.properties = properties
        self.merged = Merged()

    def merge(
        self,
        particles: Particles,
        parents: tuple[Indices, Indices],
        not_handled: Indices,
        fast: tuple[Hits, Contributions],
        full: tuple[Hits, Contributions],
        name_of: EventName,
    ) -> tuple[Hits, Contributions]:
        """Merge hits of E events.

        Parameters
        ----------
        particles
            Of these events, with the bit of the fast simulation.
        parents
            (R,) each: children and their parents, counted over all events.
        not_handled
            Particles, counted over all events, that the fast simulation has handed on.
        fast, full
            The hits of the two.

        Raises
        ------
        InvalidEventError
            If an energy cannot be, the two disagree on where a cell is, or both have simulated a
            particle and ``Overlap`` is 'fail'.
        """
        p, merged = self.properties, self.merged
        for (hits, contributions), (name,), amount in (
            (fast, p.InputFastHits, merged.fast),
            (full, p.InputFullHits, merged.full),
        ):
            check_energies(name, hits, contributions, name_of)
            amount.add(hits.energy)
            excess = _excess(hits, contributions)
            merged.more.add(excess[excess > 0])
            merged.less.add(-excess[excess < 0])
        handled = particles.has(FAST_SIMULATED_BIT)
        # Flags can be missing; who has hits was simulated.
        handled[_particle_of(particles, *fast)[1]] = True
        on_their_own = particles.has(DECAYED_IN_TRACKER_BIT) & ~particles.has(BACKSCATTER_BIT)
        on_their_own[not_handled] = True
        handled = descendants(handled, on_their_own, *parents)
        rows, of_rows = _particle_of(particles, *full)
        twice = np.zeros(len(full[1].energy), np.bool_)
        twice[rows] = handled[of_rows]
        self._count_strangers(full[1])
        if p.Overlap == "fail" and twice.any():
            event = full[0].event_of_contributions[twice]
            raise InvalidEventError(
                f"{name_of(int(event[0]))}: '{p.InputFullHits[0]}' holds "
                f"{(event == event[0]).sum()} contributions of particles that the fast simulation "
                "has simulated, and Overlap is 'fail'; 'drop' leaves them out"
            )
        if p.Overlap == "drop":
            before = full[0].energy.sum(dtype=np.float64)
            full = without(*full, twice)
            merged.twice.number += int(twice.sum())
            merged.twice.energy += float(before - full[0].energy.sum(dtype=np.float64))
        hits, contributions = merge([fast, full], name_of)
        merged.written.add(hits.energy)
        return hits, contributions

    def _count_strangers(self, full: Contributions) -> None:
        known = full.particle >= 0
        self.merged.nobody.add(full.energy[~known])
        self.merged.elsewhere.add(full.energy[known & (full.collection != OWN_COLLECTION)])

    def lines(self) -> list[str]:
        """Lines for a person."""
        m = self.merged
        lines = [
            f"{m.fast.number} hits of the fast and {m.full.number} of the full simulation merged "
            f"to {m.written.number}; energy (GeV): {m.fast.energy:.6g} fast, {m.full.energy:.6g} "
            f"full, {m.twice.energy:.6g} of it left out as simulated twice ({m.twice.number} "
            f"contributions), {m.written.energy:.6g} written"
        ]
        where = f"other collections than '{self.properties.InputMCParticles[0]}'"
        lines += [
            f"{amount.number} {what} with {amount.energy:.6g} GeV {how}"
            for amount, what, how in (
                (m.elsewhere, "contributions", f"of particles of {where} are kept"),
                (m.nobody, "contributions", "of the full simulation name no particle and are kept"),
                (m.more, "hits", "more than in their contributions, which is kept"),
                (m.less, "hits", "less than in their contributions"),
            )
            if amount.number
        ]
        return lines


def _particle_of(
    particles: Particles, hits: Hits, contributions: Contributions
) -> tuple[Indices, Indices]:
    """Contributions of these particles, and the particle of each, counted over all events."""
    ours = (contributions.particle >= 0) & (contributions.collection == OWN_COLLECTION)
    rows = np.flatnonzero(ours)
    first = particles.offsets[hits.event_of_contributions[rows]]
    return rows, first + contributions.particle[rows]


def _sums(hits: Hits, values: npt.ArrayLike) -> Floats:
    """(H,) sum of the values (C,) of each hit's contributions, in double precision."""
    hit_of = owners(hits.contributions)
    return np.bincount(hit_of, np.asarray(values, np.float64), len(hits.energy)).astype(np.float64)


def _excess(hits: Hits, contributions: Contributions) -> Floats:
    """(H,) GeV that each hit has more than its contributions, 0 if that is rounding."""
    energy = hits.energy.astype(np.float64)
    excess = energy - _sums(hits, contributions.energy)
    return np.where(np.abs(excess) > _ROUNDING * energy, excess, 0)


def descendants(
    chosen: Mask,
    on_their_own: Mask,
    child: Indices,
    parent: Indices,
) -> Mask:
    """Particles that were chosen, or stem from one that was.

    Parameters
    ----------
    chosen
        (N,) which particles.
    on_their_own
        (N,) particles that do not count as descendants; what stems from them does not through
        them.
    child, parent
        (R,) relations between them.
    """
    found = chosen.copy()
    while True:
        new = child[found[parent] & ~found[child] & ~on_their_own[child]]
        if not new.size:
            return found
        found[new] = True


def without(hits: Hits, contributions: Contributions, unwanted: Mask) -> tuple[Hits, Contributions]:
    """Hits without some of their contributions; those left with nothing disappear.

    What a hit holds beyond its contributions is nobody's, and stays. A hit that holds less than
    them keeps at most what the contributions left give.

    Parameters
    ----------
    unwanted
        (C,) which contributions.
    """
    kept = ~unwanted
    before, after = np.diff(hits.contributions), _sums(hits, kept).astype(np.int64)
    energy = hits.energy.astype(np.float64)
    left = energy - _sums(hits, np.where(unwanted, contributions.energy, 0))
    excess = _excess(hits, contributions)
    of_kept = _sums(hits, np.where(kept, contributions.energy, 0))
    left = np.where((excess < 0) | (left < 0), np.minimum(of_kept, energy), left)
    stays = (after > 0) | (before == 0) | (excess > 0)
    return Hits(
        np.concatenate([[0], np.cumsum(stays)])[hits.offsets],
        hits.cell_id[stays],
        np.where(after == before, energy, left)[stays].astype(np.float32),
        hits.position[stays],
        np.concatenate([[0], np.cumsum(after[stays])]),
    ), contributions.take(kept)


def merge(
    parts: Sequence[tuple[Hits, Contributions]], name_of: EventName
) -> tuple[Hits, Contributions]:
    """Merge hits of the same E events; cells are ordered by their ID.

    Contributions of a cell stay in the order of the parts, and in their order in each.

    Raises
    ------
    InvalidEventError
        If a cell is at different places in different parts.
    """
    all_hits = [hits for hits, _ in parts]
    n_events = len(all_hits[0].offsets) - 1
    event = np.concatenate([hits.event for hits in all_hits])
    cell = np.concatenate([hits.cell_id for hits in all_hits])
    energy = np.concatenate([hits.energy for hits in all_hits]).astype(np.float64)
    position = np.concatenate([hits.position for hits in all_hits])
    count = np.concatenate([np.diff(hits.contributions) for hits in all_hits])
    first_of = np.concatenate([[0], np.cumsum([hits.contributions[-1] for hits in all_hits])])
    start = np.concatenate(
        [hits.contributions[:-1] + at for hits, at in zip(all_hits, first_of[:-1], strict=True)]
    )
    order = np.lexsort((cell, event))
    event, cell, energy = event[order], cell[order], energy[order]
    position, count, start = position[order], count[order], start[order]

    is_first = np.ones(len(cell), np.bool_)
    is_first[1:] = (cell[1:] != cell[:-1]) | (event[1:] != event[:-1])
    first = np.flatnonzero(is_first)
    group = np.cumsum(is_first) - 1
    moved = np.abs(position - position[first][group]).max(1, initial=0.0) > SAME_PLACE
    if moved.any():
        wrong = int(np.flatnonzero(moved)[0])
        raise InvalidEventError(
            f"{name_of(int(event[wrong]))}: cell {cell[wrong]} is at "
            f"{position[first][group][wrong]} mm in one collection of hits and at "
            f"{position[wrong]} mm in another: they are of different detectors"
        )
    total = np.add.reduceat(energy, first) if first.size else np.zeros(0)
    # Each hit's contributions are a range; list all ranges one after the other.
    end = np.cumsum(count)
    chosen = np.arange(end[-1] if end.size else 0) + np.repeat(start - (end - count), count)
    together = Contributions.concatenate([contributions for _, contributions in parts])
    ends = np.append(np.concatenate([[0], end])[first], end[-1] if end.size else 0)
    return Hits(
        np.searchsorted(event[first], np.arange(n_events + 1)),
        cell[first],
        total.astype(np.float32),
        position[first],
        ends,
    ), together.take(chosen)

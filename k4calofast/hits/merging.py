"""Hits of several collections become one: one hit per cell, with the contributions of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from k4calofast.events.columns import Contributions, Hits, Indices
from k4calofast.exceptions import InvalidEventError
from k4calofast.incidence.start import FAST_SIMULATED_BIT
from k4calofast.properties import CaloHitMergerProperties

SAME_PLACE = 1.0
"""mm; the centre of a cell is the same in all collections up to rounding."""


@dataclass
class Merged:
    """What was merged in a run: hits, and energies (GeV)."""

    fast_hits: int = 0
    full_hits: int = 0
    hits: int = 0
    fast: float = 0.0
    full: float = 0.0
    left_out: float = 0.0
    written: float = 0.0


class Merger:
    """Merges hits of the fast and of a full simulation of the same events."""

    def __init__(self, properties: CaloHitMergerProperties) -> None:
        self.properties = properties
        self.merged = Merged()

    def merge(
        self,
        particles: Indices,
        simulator_status: npt.NDArray[np.int32],
        parents: tuple[Indices, Indices],
        fast: tuple[Hits, Contributions],
        full: tuple[Hits, Contributions],
    ) -> tuple[Hits, Contributions]:
        """Merge hits of E events.

        Parameters
        ----------
        particles
            (E + 1,) the particles of event i are ``particles[i]:particles[i + 1]``.
        simulator_status
            (particles,) as in EDM4hep, with the bit of the fast simulation.
        parents
            (R,) each: children and their parents, counted over all events.
        fast, full
            The hits of the two.

        Raises
        ------
        InvalidEventError
            If a contribution points to no particle, if the two disagree on where a cell is, or
            if both have simulated a particle and ``Overlap`` is 'fail'.
        """
        handled = descendants((simulator_status >> FAST_SIMULATED_BIT) & 1 == 1, *parents)
        merged = self.merged
        merged.fast_hits += len(fast[0].energy)
        merged.full_hits += len(full[0].energy)
        merged.fast += float(fast[0].energy.sum(dtype=np.float64))
        merged.full += float(full[0].energy.sum(dtype=np.float64))
        for hits, contributions in (fast, full):
            _check_particles(particles, hits, contributions)
        twice = _of_particles(particles, *full, handled)
        if self.properties.Overlap == "fail" and twice.any():
            raise InvalidEventError(
                f"the full simulation's hits hold {twice.sum()} contributions of particles that "
                "the fast simulation has simulated, and Overlap is 'fail'; 'drop' leaves them out"
            )
        if self.properties.Overlap == "drop":
            merged.left_out += float(full[1].energy[twice].sum(dtype=np.float64))
            full = without(*full, twice)
        hits, contributions = merge([fast, full])
        merged.hits += len(hits.energy)
        merged.written += float(hits.energy.sum(dtype=np.float64))
        return hits, contributions

    def lines(self) -> list[str]:
        """Lines for a person."""
        m = self.merged
        return [
            f"{m.fast_hits} hits of the fast and {m.full_hits} of the full simulation merged to "
            f"{m.hits}; energy (GeV): {m.fast:.6g} fast, {m.full:.6g} full, {m.left_out:.6g} of it "
            f"left out as simulated twice, {m.written:.6g} written"
        ]


def _event_of(hits: Hits) -> Indices:
    """Event of each contribution."""
    of_events = hits.contributions[hits.offsets]
    return np.repeat(np.arange(len(of_events) - 1), np.diff(of_events))


def _check_particles(particles: Indices, hits: Hits, contributions: Contributions) -> None:
    """A contribution may point nowhere (UNSET), but not beyond the particles."""
    event = _event_of(hits)
    if (contributions.particle >= np.diff(particles)[event]).any():
        raise InvalidEventError(
            "a contribution points beyond the particles: InputMCParticles must have the indices "
            "of those that the hits were made from"
        )


def _of_particles(
    particles: Indices, hits: Hits, contributions: Contributions, chosen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Contributions of chosen particles."""
    known = contributions.particle >= 0
    found = np.zeros(len(known), np.bool_)
    event = _event_of(hits)
    found[known] = chosen[(particles[event] + contributions.particle)[known]]
    return found


def descendants(
    chosen: npt.NDArray[np.bool_], child: Indices, parent: Indices
) -> npt.NDArray[np.bool_]:
    """Particles that were chosen, or stem from one that was.

    Parameters
    ----------
    chosen
        (N,) which particles.
    child, parent
        (R,) relations between them.
    """
    found = chosen.copy()
    while True:
        new = child[found[parent] & ~found[child]]
        if not new.size:
            return found
        found[new] = True


def without(
    hits: Hits, contributions: Contributions, unwanted: npt.NDArray[np.bool_]
) -> tuple[Hits, Contributions]:
    """Hits without some of their contributions; those left with none disappear.

    Parameters
    ----------
    unwanted
        (C,) which contributions.
    """
    kept = np.flatnonzero(~unwanted)
    hit_of = np.repeat(np.arange(len(hits.energy)), np.diff(hits.contributions))
    lost = np.bincount(
        hit_of[unwanted], contributions.energy[unwanted].astype(np.float64), len(hits.energy)
    )
    before = np.diff(hits.contributions)
    after = np.bincount(hit_of[kept], minlength=len(hits.energy))
    stays = (after > 0) | (before == 0)
    return Hits(
        np.concatenate([[0], np.cumsum(stays)])[hits.offsets],
        hits.cell_id[stays],
        np.where(after == before, hits.energy, hits.energy - lost)[stays].astype(np.float32),
        hits.position[stays],
        np.concatenate([[0], np.cumsum(after[stays])]),
    ), _take(contributions, kept)


def merge(parts: Sequence[tuple[Hits, Contributions]]) -> tuple[Hits, Contributions]:
    """Merge hits of the same E events; cells are ordered by their ID.

    Contributions of a cell stay in the order of the parts, and in their order in each.

    Raises
    ------
    InvalidEventError
        If a cell is at different places in different parts.
    """
    all_hits = [hits for hits, _ in parts]
    n_events = len(all_hits[0].offsets) - 1
    event = np.concatenate(
        [np.repeat(np.arange(n_events), np.diff(hits.offsets)) for hits in all_hits]
    )
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
        wrong = np.flatnonzero(moved)[0]
        raise InvalidEventError(
            f"cell {cell[wrong]} is at {position[first][group][wrong]} mm in one collection of "
            f"hits and at {position[wrong]} mm in another: they are of different detectors"
        )
    total = np.add.reduceat(energy, first) if first.size else np.zeros(0)
    # Each hit's contributions are a range; list all ranges one after the other.
    end = np.cumsum(count)
    chosen = np.arange(end[-1] if end.size else 0) + np.repeat(start - (end - count), count)
    columns = [contributions for _, contributions in parts]
    together = Contributions(
        *(
            np.concatenate([getattr(part, column.name) for part in columns])
            for column in fields(Contributions)
        )
    )
    ends = np.append(np.concatenate([[0], end])[first], end[-1] if end.size else 0)
    return Hits(
        np.searchsorted(event[first], np.arange(n_events + 1)),
        cell[first],
        total.astype(np.float32),
        position[first],
        ends,
    ), _take(together, chosen)


def _take(contributions: Contributions, rows: Indices) -> Contributions:
    return replace(
        contributions,
        **{
            column.name: getattr(contributions, column.name)[rows]
            for column in fields(Contributions)
        },
    )

"""Clusters in whole events: what a reconstruction makes of the hits of all crystals.

BESIII-like and simple. Crystals above a threshold that touch, corners included, are neighbours,
over the border between barrel and endcaps, too. Each crystal belongs to the highest of its
neighbours, and so, step by step, to a local maximum. Maxima above a second threshold are seeds: a
cluster is a seed with all that belongs to it. What belongs to lower maxima is in no cluster.

Energies are sums; positions are means of the crystals' fronts with logarithmic weights, see
`k4calofast.validation.crystals.reconstruction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from k4calofast.arrays import Columns, Floats, Indices
from k4calofast.detector import CrystalCalorimeter
from k4calofast.events.columns import Hits
from k4calofast.exceptions import InvalidEventError
from k4calofast.validation.crystals.reconstruction import LOG_WEIGHT, SEED_THRESHOLD

HIT_THRESHOLD = 0.001
"""GeV; crystals below are not looked at."""


@dataclass(frozen=True)
class AllCrystals:
    """The crystals of calorimeters that go on into each other, numbered row by row.

    Attributes
    ----------
    calorimeters
        One, and those beyond it.
    """

    calorimeters: tuple[CrystalCalorimeter, ...]

    @staticmethod
    def of(calorimeter: CrystalCalorimeter) -> AllCrystals:
        """Return all crystals that showers in a calorimeter reach."""
        return AllCrystals((calorimeter, *calorimeter.beyond))

    @property
    def count(self) -> int:
        """Number of crystals."""
        return sum(calorimeter.n_cells for calorimeter in self.calorimeters)

    @cached_property
    def fronts(self) -> Floats:
        """(crystals, 3) mm: centres of front faces."""
        fronts = np.empty((self.count, 3))
        for calorimeter in self.calorimeters:
            fronts[calorimeter.own] = calorimeter.front_centre(np.arange(calorimeter.n_cells))
        return fronts

    @cached_property
    def neighbours(self) -> Indices:
        """(crystals, most) those that touch each crystal, -1 where there are no more.

        They are the places next to it in a window. Where rows have different numbers of crystals,
        one may see another as next to it that does not see it: both are neighbours.
        """
        pairs = []
        for calorimeter in self.calorimeters:
            own = np.arange(calorimeter.n_cells)
            numbers = np.concatenate([calorimeter.own, *(one.own for one in calorimeter.beyond)])
            around = calorimeter.window(own, (3, 3)).reshape(len(own), -1)
            first, second = np.repeat(own, around.shape[1]), around.reshape(-1)
            there = (second >= 0) & (first != second)
            pairs.append(np.stack([numbers[first[there]], numbers[second[there]]]))
        one, other = np.concatenate(pairs, axis=1)
        both = np.unique(np.concatenate([one * self.count + other, other * self.count + one]))
        crystal, near = np.divmod(both, self.count)
        place = np.arange(len(both)) - np.searchsorted(crystal, crystal)
        table = np.full((self.count, int(place.max()) + 1), -1)
        table[crystal, place] = near
        return table


@dataclass(frozen=True)
class CrystalHits(Columns):
    """Energies of crystals in events, each once, in the order of events and crystals.

    Attributes
    ----------
    event, crystal
        (H,) which, by the number of `AllCrystals`.
    energy
        (H,) GeV.
    """

    event: Indices
    crystal: Indices
    energy: Floats

    @staticmethod
    def of(crystals: AllCrystals, collections: Sequence[Hits]) -> CrystalHits:
        """Put the hits of several collections of the same events together.

        Raises
        ------
        InvalidEventError
            If a cell ID is that of no crystal.
        """
        event = np.concatenate([hits.event for hits in collections])
        cell_id = np.concatenate([hits.cell_id for hits in collections])
        energy = np.concatenate([hits.energy for hits in collections]).astype(np.float64)
        crystal = np.full(len(cell_id), -1)
        for calorimeter in crystals.calorimeters:
            cell = calorimeter.cell_of(cell_id)
            crystal[cell >= 0] = calorimeter.own[cell[cell >= 0]]
        if (crystal < 0).any():
            names = ", ".join(calorimeter.name for calorimeter in crystals.calorimeters)
            raise InvalidEventError(f"the cell ID {cell_id[crystal < 0][0]} is no cell of {names}")
        where, which = np.unique(event * crystals.count + crystal, return_inverse=True)
        summed = np.bincount(which, energy, len(where)).astype(np.float64)
        return CrystalHits(where // crystals.count, where % crystals.count, summed)


@dataclass(frozen=True)
class EventClusters(Columns):
    """Clusters of events, in the order of events, those of high energies first.

    Attributes
    ----------
    event
        (C,) which.
    energy, seed_energy
        (C,) GeV: all of it, and that of the seed.
    seed
        (C,) crystal that is the seed.
    crystals
        (C,) number of crystals.
    position
        (C, 3) mm.
    """

    event: Indices
    energy: Floats
    seed_energy: Floats
    seed: Indices
    crystals: Indices
    position: Floats

    @property
    def direction(self) -> Floats:
        """(C, 3) unit vectors from the origin."""
        way: Floats = self.position / np.linalg.norm(self.position, axis=1, keepdims=True)
        return way


def find_event_clusters(
    hits: CrystalHits,
    crystals: AllCrystals,
    threshold: float = HIT_THRESHOLD,
    seed_threshold: float = SEED_THRESHOLD,
) -> EventClusters:
    """Find the clusters of events.

    Parameters
    ----------
    threshold, seed_threshold
        GeV: least energies of crystals, and of seeds.
    """
    hits = hits.take(hits.energy >= threshold)
    count = len(hits.energy)
    # Of equal energies the first is higher, so that all are in an order.
    rank = np.empty(count, np.int64)
    rank[np.lexsort((-np.arange(count), hits.energy))] = np.arange(count)
    key = hits.event * crystals.count + hits.crystal
    highest, top = np.arange(count), rank.copy()
    for near in crystals.neighbours[hits.crystal].T:
        wanted = hits.event * crystals.count + near
        found = np.minimum(np.searchsorted(key, wanted), count - 1)
        there = (near >= 0) & (key[found] == wanted) if count else np.zeros(0, np.bool_)
        higher = np.flatnonzero(there)[rank[found[there]] > top[there]]
        highest[higher], top[higher] = found[higher], rank[found[higher]]
    while not np.array_equal(up := highest[highest], highest):
        highest = up
    seeds, cluster = np.unique(highest, return_inverse=True)
    energy = np.bincount(cluster, hits.energy, len(seeds)).astype(np.float64)
    share = hits.energy / energy[cluster]
    weight = np.maximum(0.0, LOG_WEIGHT + np.log(share))
    total = np.bincount(cluster, weight, len(seeds))
    fronts = crystals.fronts[hits.crystal]
    moments = [np.bincount(cluster, weight * fronts[:, axis], len(seeds)) for axis in range(3)]
    all_of_them = EventClusters(
        hits.event[seeds],
        energy,
        hits.energy[seeds],
        hits.crystal[seeds],
        np.bincount(cluster, minlength=len(seeds)),
        np.stack(moments, axis=1) / np.maximum(total, np.finfo(float).tiny)[:, None],
    )
    good = all_of_them.take(all_of_them.seed_energy >= seed_threshold)
    return good.take(np.lexsort((-good.energy, good.event)))

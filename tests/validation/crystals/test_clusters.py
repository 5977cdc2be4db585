"""Clusters of whole events: borders between calorimeters are no borders for showers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast import detector
from k4calofast.events.columns import Hits
from k4calofast.exceptions import InvalidEventError
from k4calofast.validation.crystals.clusters import (
    HIT_THRESHOLD,
    SEED_THRESHOLD,
    AllCrystals,
    CrystalHits,
    find_event_clusters,
)

CRYSTALS = AllCrystals.of(detector.load_crystals("BESIII_EMC_barrel"))
BARREL, ENDCAPS = CRYSTALS.calorimeters


def clusters(*hits: tuple[int, int, float]):
    """Clusters of hits: event, crystal, GeV."""
    event, crystal, energy = (np.array(column) for column in zip(*sorted(hits), strict=True))
    found = CrystalHits(event, crystal, energy.astype(np.float64))
    return find_event_clusters(found, CRYSTALS)


def near(crystal: int) -> list[int]:
    row = CRYSTALS.neighbours[crystal]
    return row[row >= 0].tolist()


def test_neighbours_are_mutual_and_next_to_each_other():
    assert CRYSTALS.count == 6240
    table = CRYSTALS.neighbours
    crystal = np.repeat(np.arange(6240), table.shape[1])
    pairs = np.stack([crystal, table.reshape(-1)], axis=1)[table.reshape(-1) >= 0]
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert {*map(tuple, pairs.tolist())} == {*map(tuple, pairs[:, ::-1].tolist())}
    apart = np.linalg.norm(CRYSTALS.fronts[pairs[:, 0]] - CRYSTALS.fronts[pairs[:, 1]], axis=1)
    # Crystals are 5 cm wide; where the barrel ends, the next one is around a corner.
    inside = np.isin(pairs, BARREL.own).all(1)
    assert apart[inside].max() < 105
    assert apart.max() < 160
    assert set((table >= 0).sum(1).tolist()) <= {5, 8, 9, 10}


def test_a_ring_is_closed_and_the_barrel_goes_on_in_the_endcaps():
    # Barrel ring 20: its first and last crystals; and the barrel's first ring.
    first = int(BARREL.own[20 * 120])
    assert first + 119 in near(first)
    end = int(BARREL.own[7])
    assert set(near(end)) & set(ENDCAPS.own.tolist())
    assert set(near(int(BARREL.own[-5]))) & set(ENDCAPS.own[480:].tolist())


@pytest.mark.parametrize("crystal", [0, 479, 480, 599, 3000, 5759, 5760, 6239])
def test_a_crystal_and_all_around_it_are_one_cluster(crystal):
    others = [(3, other, 0.02) for other in near(crystal)]
    found = clusters((3, crystal, 0.5), *others)
    assert found.event.tolist() == [3]
    assert found.seed.tolist() == [crystal]
    assert found.energy == pytest.approx([0.5 + 0.02 * len(others)])
    assert found.crystals.tolist() == [1 + len(others)]
    # Towards the seed, which has nearly all of the weight; others are not all around it at ends.
    assert np.linalg.norm(found.position[0] - CRYSTALS.fronts[crystal]) < 60


def test_a_shower_on_the_border_is_one_cluster_of_both_collections():
    barrel, endcap = BARREL.own[60], None
    endcap = next(one for one in near(int(barrel)) if one in set(ENDCAPS.own.tolist()))
    collections = []
    for calorimeter, crystal, energy in ((BARREL, barrel, 0.3), (ENDCAPS, endcap, 0.2)):
        cell = np.flatnonzero(calorimeter.own == crystal)
        collections.append(
            Hits(
                np.array([0, 0, 1]),
                calorimeter.cell_id(cell),
                np.array([energy], np.float32),
                calorimeter.centre(cell).astype(np.float32),
                np.arange(2),
            )
        )
    found = find_event_clusters(CrystalHits.of(CRYSTALS, collections), CRYSTALS)
    assert found.event.tolist() == [1]
    assert found.energy == pytest.approx([0.5])


def test_two_peaks_are_two_clusters_and_what_is_between_belongs_to_the_higher():
    row = BARREL.own[20 * 120 + np.arange(5)]
    energies = (0.3, 0.05, 0.02, 0.04, 0.2)
    found = clusters(*((0, int(crystal), e) for crystal, e in zip(row, energies, strict=True)))
    # The lowest crystal is next to .05 and .04: it goes the way of .05.
    assert found.energy == pytest.approx([0.37, 0.24])
    assert found.seed.tolist() == [row[0], row[4]]


def test_what_is_below_a_threshold_is_no_cluster():
    crystal = int(BARREL.own[3000])
    assert len(clusters((0, crystal, 0.9 * SEED_THRESHOLD)).event) == 0
    found = clusters((0, crystal, 0.1), (0, near(crystal)[0], 0.9 * HIT_THRESHOLD))
    assert found.crystals.tolist() == [1]
    nothing = CrystalHits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert len(find_event_clusters(nothing, CRYSTALS).event) == 0


@given(st.integers(0, 2**32 - 1))
def test_every_crystal_is_in_one_cluster_of_its_own_event(seed):
    rng = np.random.default_rng(seed)
    where = np.unique(rng.integers(0, 3 * 6240, 2000))
    # Equal energies, too.
    energy = rng.integers(1, 40, len(where)) * 1e-3
    hits = CrystalHits(where // 6240, where % 6240, energy)
    found = find_event_clusters(hits, CRYSTALS, seed_threshold=0.0)
    for event in range(3):
        total = energy[hits.event == event].sum()
        assert found.energy[found.event == event].sum() == pytest.approx(total)
    assert found.crystals.sum() == len(where)
    # Seeds are higher than, or as high as, all around them.
    key = hits.event * 6240 + hits.crystal
    for event, seed_of, high in zip(found.event, found.seed, found.seed_energy, strict=True):
        around = [energy[key == event * 6240 + one] for one in near(int(seed_of))]
        assert all(one.size == 0 or one[0] <= high for one in around)
    alone = hits.take(hits.event == 1)
    again = find_event_clusters(alone, CRYSTALS, seed_threshold=0.0)
    assert again.energy.tolist() == found.energy[found.event == 1].tolist()


def test_hits_of_others_are_refused():
    hits = Hits(
        np.array([0, 1]),
        np.array([17], np.uint64),
        np.ones(1, np.float32),
        np.zeros((1, 3), np.float32),
        np.arange(2),
    )
    with pytest.raises(InvalidEventError, match="17 is no cell of BESIII_EMC_barrel, BESIII_EMC_e"):
        CrystalHits.of(CRYSTALS, [hits])

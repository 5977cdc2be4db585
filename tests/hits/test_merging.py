"""Hits of two simulations become one collection: nothing lost, nothing twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.events.columns import Contributions, Hits
from k4calofast.exceptions import InvalidEventError
from k4calofast.hits.merging import Merger, descendants, merge, without
from k4calofast.properties import CaloHitMergerProperties

FLAG = 1 << 22


def simulated(events: list[dict[int, list[tuple[int, float]]]], shift: float = 0.0):
    """Hits from, per event and cell, the (particle, energy) of its contributions."""
    cells = [sorted(event) for event in events]
    parts = [part for event in events for cell in sorted(event) for part in event[cell]]
    counts = [len(event[cell]) for event in events for cell in sorted(event)]
    flat = np.array([cell for event in cells for cell in event], np.uint64)
    energy = np.array([energy for _, energy in parts], np.float32)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    total = [energy[a:b].sum() for a, b in pairwise(ends)]
    place = np.stack([flat * 10.0 + shift, flat * 0.0, flat * 0.0], axis=1).astype(np.float32)
    index = np.array([index for index, _ in parts], np.int32)
    return Hits(
        np.concatenate([[0], np.cumsum([len(event) for event in cells])]).astype(np.int64),
        flat,
        np.array(total, np.float32),
        place.reshape(-1, 3),
        ends,
    ), Contributions(
        index,
        np.full(len(parts), 22, np.int32),
        energy,
        np.arange(len(parts), dtype=np.float32),
        np.zeros((len(parts), 3), np.float32),
        np.zeros(len(parts), np.float32),
    )


def as_dict(hits: Hits, contributions: Contributions):
    """Per event and cell, the (particle, energy) of its contributions."""
    events = []
    for first, last in zip(hits.offsets[:-1], hits.offsets[1:], strict=True):
        cells = {}
        for hit in range(first, last):
            rows = range(hits.contributions[hit], hits.contributions[hit + 1])
            cells[int(hits.cell_id[hit])] = [
                (int(contributions.particle[row]), float(contributions.energy[row])) for row in rows
            ]
        events.append(cells)
    return events


parts = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([0.25, 0.5, 1.0])), min_size=1, max_size=3
)
event = st.dictionaries(st.integers(0, 6), parts, max_size=5)


@given(st.lists(st.tuples(event, event), min_size=1, max_size=4))
def test_a_merged_cell_has_the_contributions_of_both_in_their_order(events):
    one, two = [a for a, _ in events], [b for _, b in events]
    hits, contributions = merge([simulated(one), simulated(two)])
    expected = [
        {cell: a.get(cell, []) + b.get(cell, []) for cell in sorted({*a, *b})}
        for a, b in zip(one, two, strict=True)
    ]
    assert as_dict(hits, contributions) == expected
    total = [sum(energy for _, energy in row) for cells in expected for row in cells.values()]
    assert hits.energy.tolist() == total


@given(st.lists(event, min_size=1, max_size=4), st.sets(st.integers(0, 5)))
def test_leaving_particles_out_leaves_the_others_alone(events, gone):
    hits, contributions = simulated(events)
    unwanted = np.isin(contributions.particle, list(gone))
    left = as_dict(*without(hits, contributions, unwanted))
    kept = [
        {cell: [part for part in row if part[0] not in gone] for cell, row in cells.items()}
        for cells in events
    ]
    assert left == [{cell: row for cell, row in sorted(cells.items()) if row} for cells in kept]


def test_descendants_are_found_through_any_number_of_generations():
    chosen = np.array([False, True, False, False, False])
    child, parent = np.array([4, 3, 2, 0]), np.array([3, 2, 1, 0])
    assert descendants(chosen, child, parent).tolist() == [False, True, True, True, True]


def merged(overlap: str):
    """A fast photon (0) with a daughter (2) that the full simulation knew, and an electron (1)."""
    merger = Merger(CaloHitMergerProperties(Overlap=overlap))
    result = merger.merge(
        np.array([0, 3]),
        np.array([FLAG, 0, 0], np.int32),
        (np.array([2]), np.array([0])),
        simulated([{1: [(0, 0.5)], 2: [(0, 0.25)]}]),
        simulated([{2: [(1, 1.0), (2, 0.5)], 3: [(0, 0.25)]}]),
    )
    return as_dict(*result), merger


def test_nothing_is_simulated_twice():
    hits, merger = merged("drop")
    assert hits == [{1: [(0, 0.5)], 2: [(0, 0.25), (1, 1.0)]}]
    balance = merger.merged
    assert balance.fast + balance.full - balance.left_out == balance.written == 1.75


def test_overlap_can_be_kept_or_refused():
    hits, _ = merged("keep")
    assert hits == [{1: [(0, 0.5)], 2: [(0, 0.25), (1, 1.0), (2, 0.5)], 3: [(0, 0.25)]}]
    with pytest.raises(InvalidEventError, match=r"2 contributions .* Overlap is 'fail'"):
        merged("fail")


def test_cells_at_two_places_are_of_two_detectors():
    with pytest.raises(InvalidEventError, match=r"cell 4 is at .* different detectors"):
        merge([simulated([{4: [(0, 1.0)]}]), simulated([{4: [(0, 1.0)]}], shift=25.0)])


def test_a_contribution_beyond_the_particles_is_refused():
    merger = Merger(CaloHitMergerProperties())
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    hits = simulated([{1: [(3, 1.0)]}])
    with pytest.raises(InvalidEventError, match="beyond the particles"):
        merger.merge(np.array([0, 3]), np.zeros(3, np.int32), none, hits, simulated([{}]))

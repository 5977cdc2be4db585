"""Hits of two simulations become one collection: nothing lost, nothing twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.events.columns import OWN_COLLECTION, Contributions, Hits, Particles
from k4calofast.exceptions import InvalidEventError
from k4calofast.hits.merging import Merger, descendants, merge, without
from k4calofast.properties import CaloHitMergerProperties

FLAG = 1 << 22
DECAYED_IN_TRACKER = 1 << 27
BACKSCATTER = 1 << 29
OTHER = 77
"""ID of another collection of particles."""


def name_of(event: int) -> str:
    return f"event {event}"


def simulated(events: list[dict[int, list[tuple[int, float]]]], shift: float = 0.0):
    """Hits from, per event and cell, the (particle, energy) of its contributions.

    A particle of another collection is given as (index, collection).
    """
    cells = [sorted(event) for event in events]
    parts = [part for event in events for cell in sorted(event) for part in event[cell]]
    counts = [len(event[cell]) for event in events for cell in sorted(event)]
    flat = np.array([cell for event in cells for cell in event], np.uint64)
    energy = np.array([energy for _, energy in parts], np.float32)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    total = [energy[a:b].sum() for a, b in pairwise(ends)]
    place = np.stack([flat * 10.0 + shift, flat * 0.0, flat * 0.0], axis=1).astype(np.float32)
    whose = [one if isinstance(one, tuple) else (one, OWN_COLLECTION) for one, _ in parts]
    return Hits(
        np.concatenate([[0], np.cumsum([len(event) for event in cells])]).astype(np.int64),
        flat,
        np.array(total, np.float32),
        place.reshape(-1, 3),
        ends,
    ), Contributions(
        np.array([index for index, _ in whose], np.int32),
        np.array([collection for _, collection in whose], np.uint32),
        np.full(len(parts), 22, np.int32),
        energy,
        np.arange(len(parts), dtype=np.float32),
        np.zeros((len(parts), 3), np.float32),
        np.zeros(len(parts), np.float32),
    )


def as_dict(hits: Hits, contributions: Contributions):
    """Per event and cell, the (particle, energy) of its contributions."""
    events = []
    for first, last in pairwise(hits.offsets):
        cells = {}
        for hit in range(first, last):
            rows = range(hits.contributions[hit], hits.contributions[hit + 1])
            cells[int(hits.cell_id[hit])] = [
                (one(contributions, row), float(contributions.energy[row])) for row in rows
            ]
        events.append(cells)
    return events


def one(contributions: Contributions, row: int):
    index, collection = int(contributions.particle[row]), int(contributions.collection[row])
    return index if collection == OWN_COLLECTION else (index, collection)


def particles(*statuses: list[int]) -> Particles:
    """Particles of these simulator statuses, per event."""
    status = np.array([one for event in statuses for one in event], np.int32)
    count = len(status)
    zeros, vectors = np.zeros(count), np.zeros((count, 3))
    return Particles(
        offsets=np.concatenate([[0], np.cumsum([len(event) for event in statuses])]).astype(int),
        pdg=np.full(count, 22, np.int32),
        generator_status=np.ones(count, np.int32),
        simulator_status=status,
        charge=zeros,
        time=zeros,
        mass=zeros,
        vertex=vectors,
        endpoint=vectors,
        momentum=vectors,
        momentum_at_endpoint=vectors,
    )


def merged(family, parents, fast, full, waiting=(), **properties):
    """What a merger makes of it, and the merger."""
    merger = Merger(CaloHitMergerProperties(**properties))
    child, parent = np.array(parents, np.int64).reshape(-1, 2).T
    result = merger.merge(family, (child, parent), np.array(waiting, np.int64), fast, full, name_of)
    return result, merger.merged


parts = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([0.25, 0.5, 1.0])), min_size=1, max_size=3
)
event = st.dictionaries(st.integers(0, 6), parts, max_size=5)


@given(st.lists(st.tuples(event, event), min_size=1, max_size=4))
def test_a_merged_cell_has_the_contributions_of_both_in_their_order(events):
    one, two = [a for a, _ in events], [b for _, b in events]
    hits, contributions = merge([simulated(one), simulated(two)], name_of)
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
    found = descendants(chosen, np.zeros(5, np.bool_), child, parent)
    assert found.tolist() == [False, True, True, True, True]


def a_photon_and_an_electron(overlap: str):
    """A fast photon (0) with a daughter (2) that the full simulation knew, and an electron (1)."""
    result, balance = merged(
        particles([FLAG, 0, 0]),
        [(2, 0)],
        simulated([{1: [(0, 0.5)], 2: [(0, 0.25)]}]),
        simulated([{2: [(1, 1.0), (2, 0.5)], 3: [(0, 0.25)]}]),
        waiting=[1],
        Overlap=overlap,
    )
    return as_dict(*result), balance


def test_nothing_is_simulated_twice():
    hits, balance = a_photon_and_an_electron("drop")
    assert hits == [{1: [(0, 0.5)], 2: [(0, 0.25), (1, 1.0)]}]
    assert balance.fast.energy + balance.full.energy - balance.twice.energy == 1.75
    assert (balance.written.energy, balance.twice.number) == (1.75, 2)


def test_overlap_can_be_kept_or_refused():
    hits, _ = a_photon_and_an_electron("keep")
    assert hits == [{1: [(0, 0.5)], 2: [(0, 0.25), (1, 1.0), (2, 0.5)], 3: [(0, 0.25)]}]
    with pytest.raises(InvalidEventError, match=r"^event 0: .* 2 contributions .* is 'fail'"):
        a_photon_and_an_electron("fail")


def test_who_has_fast_hits_was_simulated_even_without_a_flag():
    fast, full = simulated([{1: [(0, 0.5)]}]), simulated([{1: [(0, 0.25), (1, 1.0)]}])
    result, _ = merged(particles([0, 0]), [], fast, full)
    assert as_dict(*result) == [{1: [(0, 0.5), (1, 1.0)]}]


@pytest.mark.parametrize(
    ("status", "waiting", "stays"),
    [
        # Born behind the face: part of the shower.
        (0, [], False),
        # A photon that the electron radiated in the tracker: it waits for the full simulation.
        (0, [1], True),
        # It converted in the tracker, into particles that were not stored.
        (DECAYED_IN_TRACKER, [], True),
        # Out of the calorimeter, to an end in the tracker: part of the shower all the same.
        (DECAYED_IN_TRACKER | BACKSCATTER, [], False),
        # Simulated by the fast simulation, too.
        (FLAG, [], False),
    ],
)
def test_what_is_born_in_front_of_the_face_is_no_part_of_its_mothers_shower(status, waiting, stays):
    """A flagged electron (0), its daughter (1) and what the daughter's shower is stored as (2)."""
    full = simulated([{1: [(1, 0.5), (2, 0.25)], 2: [(0, 1.0)]}])
    family = particles([FLAG, status, 0])
    result, balance = merged(family, [(1, 0), (2, 1)], simulated([{}]), full, waiting)
    assert as_dict(*result) == ([{1: [(1, 0.5), (2, 0.25)]}] if stays else [{}])
    assert balance.twice.energy == (1.0 if stays else 1.75)


def test_an_index_into_another_collection_is_not_one_of_the_particles():
    """Overlay: a background particle with the index of a flagged one."""
    full = simulated([{1: [(0, 0.5), ((0, OTHER), 1.0), (-1, 0.25)], 2: [((9, OTHER), 2.0)]}])
    result, balance = merged(particles([FLAG]), [], simulated([{}]), full)
    assert as_dict(*result) == [{1: [((0, OTHER), 1.0), (-1, 0.25)], 2: [((9, OTHER), 2.0)]}]
    assert (balance.elsewhere.number, balance.elsewhere.energy) == (2, 3.0)
    assert (balance.nobody.number, balance.nobody.energy) == (1, 0.25)


def test_energy_that_is_in_no_contribution_is_nobodys_and_stays():
    full = simulated([{1: [(0, 0.5)], 2: [(0, 0.5), (1, 0.5)]}])
    full = replace(full[0], energy=full[0].energy + np.float32(0.25)), full[1]
    (hits, contributions), balance = merged(particles([FLAG, 0]), [], simulated([{}]), full)
    assert as_dict(hits, contributions) == [{1: [], 2: [(1, 0.5)]}]
    assert hits.energy.tolist() == [0.25, 0.75]
    assert (balance.more.number, balance.more.energy) == (2, 0.5)
    assert balance.full.energy - balance.twice.energy == balance.written.energy == 1.0


def test_a_hit_with_less_than_its_contributions_keeps_no_more_than_what_is_left_of_them():
    full = simulated([{1: [(0, 0.75), (1, 0.25)], 2: [(0, 0.5), (1, 1.0)]}])
    full = replace(full[0], energy=np.array([0.5, 1.25], np.float32)), full[1]
    (hits, _), balance = merged(particles([FLAG, 0]), [], simulated([{}]), full)
    assert hits.energy.tolist() == [0.25, 1.0]
    assert (balance.less.number, balance.less.energy) == (2, 0.75)
    assert balance.full.energy - balance.twice.energy == balance.written.energy == 1.25


def test_rounding_of_a_sum_is_nobodys_energy():
    full = simulated([{1: [(0, 0.5)] * 1000}])
    full = replace(full[0], energy=np.array([500.001], np.float32)), full[1]
    (hits, _), balance = merged(particles([FLAG]), [], simulated([{}]), full)
    assert len(hits.energy) == 0
    assert balance.more.number == 0


@pytest.mark.parametrize("energy", [np.nan, np.inf, -0.5])
@pytest.mark.parametrize("what", ["hit", "contribution"])
@pytest.mark.parametrize("which", ["Fast", "Full"])
def test_energies_that_cannot_be_are_refused_with_event_and_collection(energy, what, which):
    good = simulated([{1: [(0, 0.5)]}, {1: [(0, 0.5)]}])
    column = good[what != "hit"].energy.copy()
    column[1] = energy
    bad = list(good)
    bad[what != "hit"] = replace(bad[what != "hit"], energy=column)
    both = {"Fast": good, "Full": good, which: tuple(bad)}
    sentence = rf"^event 1: a {what}.* of 'EMCBarrelCollection{which}' has an energy of {energy}"
    with pytest.raises(InvalidEventError, match=sentence):
        merged(particles([FLAG], [FLAG]), [], both["Fast"], both["Full"])


def test_cells_at_two_places_are_of_two_detectors():
    with pytest.raises(InvalidEventError, match=r"^event 0: cell 4 is at .* different detectors"):
        merge([simulated([{4: [(0, 1.0)]}]), simulated([{4: [(0, 1.0)]}], shift=25.0)], name_of)


@st.composite
def jobs(draw):
    """Events of up to six particles in a tree, some of them flagged or waiting, and hits of all."""
    events = []
    for _ in range(draw(st.integers(1, 3))):
        count = draw(st.integers(1, 6))
        fate = draw(
            st.lists(st.sampled_from(["none", "fast", "waits"]), min_size=count, max_size=count)
        )
        mothers = [draw(st.integers(-1, child - 1)) for child in range(count)]
        ours = st.integers(-1, count - 1)
        whose = st.one_of(ours, st.tuples(st.integers(0, 9), st.sampled_from([OTHER, OTHER + 1])))
        row = st.lists(st.tuples(whose, st.sampled_from([0.25, 0.5, 1.0])), min_size=1, max_size=4)
        full = draw(st.dictionaries(st.integers(0, 6), row, max_size=5))
        flagged = [index for index in range(count) if fate[index] == "fast"]
        fast = {}
        if flagged:
            row = st.lists(
                st.tuples(st.sampled_from(flagged), st.sampled_from([0.25, 0.5])),
                min_size=1,
                max_size=3,
            )
            fast = draw(st.dictionaries(st.integers(0, 6), row, max_size=5))
        # Energy of a hit beyond its contributions.
        more = draw(
            st.lists(st.sampled_from([0.0, 0.0, 2.0]), min_size=len(full), max_size=len(full))
        )
        events.append((fate, mothers, fast, full, more))
    return events


def run(events):
    family = particles(*([FLAG if one == "fast" else 0 for one in fate] for fate, *_ in events))
    parents = [
        (first + child, first + mother)
        for first, (_, mothers, *_) in zip(family.offsets, events, strict=False)
        for child, mother in enumerate(mothers)
        if mother >= 0
    ]
    waiting = np.flatnonzero([one == "waits" for fate, *_ in events for one in fate])
    full = simulated([event[3] for event in events])
    more = np.array([one for event in events for one in event[4]], np.float32)
    full = replace(full[0], energy=full[0].energy + more), full[1]
    return merged(family, parents, simulated([event[2] for event in events]), full, waiting)


def is_twice(fate, mothers, index) -> bool:
    """Said in words of one particle: the nearest in its line that has a fate was simulated."""
    while index >= 0:
        if fate[index] != "none":
            return fate[index] == "fast"
        index = mothers[index]
    return False


@given(jobs())
def test_each_contribution_is_written_as_it_was_or_counted_as_left_out(events):
    (hits, contributions), balance = run(events)
    for cells, (fate, mothers, fast, full, _) in zip(
        as_dict(hits, contributions), events, strict=True
    ):
        expected: dict[int, Counter] = {}
        for cell in {*fast, *full}:
            kept = [
                part
                for part in full.get(cell, [])
                if isinstance(part[0], tuple) or not is_twice(fate, mothers, part[0])
            ]
            expected[cell] = Counter(fast.get(cell, []) + kept)
        found = {cell: Counter(row) for cell, row in cells.items()}
        assert {c: n for c, n in found.items() if n} == {c: n for c, n in expected.items() if n}
    assert balance.fast.energy + balance.full.energy == pytest.approx(
        balance.twice.energy + balance.written.energy
    )
    assert balance.written.energy == pytest.approx(hits.energy.sum(dtype=float))
    # What a hit holds beyond its contributions is written, whoever was left out.
    beyond = hits.energy.sum(dtype=float) - contributions.energy.sum(dtype=float)
    assert beyond == pytest.approx(sum(sum(event[4]) for event in events))


@given(jobs(), st.randoms(use_true_random=False))
def test_events_do_not_know_of_each_other_nor_of_the_order_of_contributions(events, random):
    together = as_dict(*run(events)[0])
    assert [as_dict(*run([event])[0])[0] for event in events] == together
    for event in events:
        for row in event[3].values():
            random.shuffle(row)
    shuffled = as_dict(*run(events)[0])
    assert [{cell: Counter(row) for cell, row in cells.items()} for cells in shuffled] == [
        {cell: Counter(row) for cell, row in cells.items()} for cells in together
    ]

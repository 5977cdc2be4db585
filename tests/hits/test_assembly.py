"""Showers become hits that keep the rules of those who read them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.generator import Generated
from k4calofast.hits import Deposits, assemble
from k4calofast.hits.assembly import _ordered
from k4calofast.incidence import Arrivals
from k4calofast.incidence.transport import LIGHT_SPEED

WINDOW = (11, 11)


def arrivals_at(barrel, cells, time=None):
    cells = np.asarray(cells, np.int64)
    n = len(cells)
    conditions = np.zeros((n, len(CONDITIONS)))
    conditions[:, 0] = 1.0
    time = np.full(n, 3.5) if time is None else time
    momentum = np.tile([1.0, 0.0, 0.0], (n, 1))
    return Arrivals(np.arange(n), cells, barrel.front_centre(cells), time, conditions, momentum)


def deposits_in(barrel, cells, energies) -> Deposits:
    """What windows of energies leave around these crystals."""
    generated = Generated.of_windows(np.asarray(energies, np.float32))
    place = barrel.front_centre(cells)
    return Deposits.of(generated, barrel.surroundings(cells, place, place, WINDOW))


def hits_of(barrel, cells, energies, event=None):
    n = len(cells)
    event = np.zeros(n, np.int64) if event is None else np.asarray(event)
    index = np.arange(n) - np.searchsorted(event, event)
    return assemble(
        barrel,
        arrivals_at(barrel, cells),
        np.full(n, 22, np.int32),
        event,
        index,
        int(event.max(initial=-1)) + 1,
        deposits_in(barrel, np.asarray(cells, np.int64), energies),
    )


def windows(rng, n, lit=0.3):
    energies = rng.exponential(0.01, (n, *WINDOW)) * (rng.random((n, *WINDOW)) < lit)
    return energies.astype(np.float32)


def test_a_shower_on_every_crystal_of_every_ring_keeps_its_energy(barrel):
    """All seams and both ends: what is generated is in hits or beyond the detector."""
    cells = np.arange(barrel.n_cells)
    energies = windows(np.random.default_rng(1), len(cells))
    hits, contributions, balance = hits_of(barrel, cells, energies, event=cells)
    assert abs(balance.closure) < 1e-5
    total = energies.sum((1, 2), dtype=np.float64)
    window = barrel.window(cells, WINDOW)
    outside = (window < 0) | (window >= barrel.n_cells)
    beyond = np.where(outside, energies, 0).sum((1, 2), dtype=np.float64)
    in_hits = np.add.reduceat(hits.energy.astype(np.float64), hits.offsets[:-1])
    assert in_hits == pytest.approx(total - beyond, rel=1e-5)
    inner = (cells // 120 >= 5) & (cells // 120 < 39)
    assert (beyond[inner] == 0).all()
    per_ring = beyond.reshape(44, 120).sum(1)
    assert (np.diff(per_ring[:6]) < 0).all()
    assert (np.diff(per_ring[-6:]) > 0).all()
    assert balance.beyond == pytest.approx(beyond.sum())
    assert contributions.energy.sum(dtype=np.float64) == pytest.approx(
        balance.generated - balance.beyond
    )


def test_a_shower_on_the_seam_deposits_on_both_sides(barrel):
    energies = np.zeros((1, *WINDOW))
    energies[0, 5, 4:7] = [0.1, 0.5, 0.2]
    hits, _, _ = hits_of(barrel, [22 * 120], energies)
    energy_of = dict(
        zip(barrel.encoding.decode(hits.cell_id, "phi").tolist(), hits.energy, strict=True)
    )
    assert energy_of == {119: np.float32(0.1), 0: np.float32(0.5), 1: np.float32(0.2)}


def test_overlapping_showers_share_hits_and_keep_their_contributions(barrel):
    energies = np.zeros((2, *WINDOW))
    energies[0, 5, 5:7] = [0.3, 0.2]
    energies[1, 5, 4:6] = [0.4, 0.1]
    cell = 10 * 120 + 50
    hits, contributions, balance = hits_of(barrel, [cell, cell + 1], energies)
    # Each shower lights the same two cells.
    assert hits.cell_id.tolist() == barrel.cell_id(np.array([cell, cell + 1])).tolist()
    assert hits.energy == pytest.approx([0.7, 0.3])
    assert hits.contributions.tolist() == [0, 2, 4]
    assert contributions.particle.tolist() == [0, 1, 0, 1]
    assert contributions.energy == pytest.approx([0.3, 0.4, 0.2, 0.1])
    assert balance.incident == 2.0


@settings(max_examples=30)
@given(st.integers(0, 1 << 32), st.integers(0, 12), st.integers(1, 4))
def test_the_rules_of_hits(barrel, seed, showers, events):
    rng = np.random.default_rng(seed)
    # Few crystals, so that showers overlap.
    cells = rng.integers(0, 5, showers) * 120 + rng.integers(0, 6, showers)
    event = np.sort(rng.integers(0, events, showers))
    energies = windows(rng, showers)
    index = np.arange(showers) - np.searchsorted(event, event)
    pdg = rng.choice([22, 11, -11], showers).astype(np.int32)
    time = rng.uniform(3, 6, showers)
    arrivals = arrivals_at(barrel, cells, time)
    deposits = deposits_in(barrel, cells, energies)
    hits, contributions, balance = assemble(barrel, arrivals, pdg, event, index, events, deposits)
    assert hits.offsets[0] == 0
    assert hits.offsets[-1] == len(hits.cell_id)
    for i in range(events):
        part = hits.cell_id[hits.offsets[i] : hits.offsets[i + 1]]
        assert len(np.unique(part)) == len(part)
    counts = np.diff(hits.contributions)
    assert (counts >= 1).all()
    if len(counts):
        sums = np.add.reduceat(contributions.energy.astype(np.float64), hits.contributions[:-1])
        assert hits.energy == pytest.approx(sums, rel=1e-6)
    cell = barrel.cell_of(hits.cell_id)
    assert (cell >= 0).all()
    assert hits.position == pytest.approx(barrel.centre(cell), rel=1e-6)
    # Not before light could arrive from where the particle entered, and not much later.
    hit_of = np.repeat(np.arange(len(counts)), counts)
    hit_event = np.searchsorted(hits.offsets, hit_of, side="right") - 1
    shower = np.searchsorted(event, hit_event) + contributions.particle
    way = np.linalg.norm(arrivals.position[shower] - barrel.centre(cell)[hit_of], axis=1)
    assert contributions.time == pytest.approx(time[shower] + way / LIGHT_SPEED, rel=1e-6)
    assert (contributions.pdg == pdg[shower]).all()
    assert abs(balance.closure) < 1e-5
    # The same events in another order of showers' energies give the same hits: nothing is
    # summed across events.
    alone = [
        assemble(
            barrel, arrivals.take(event == i), pdg[event == i], np.zeros((event == i).sum(), int),
            index[event == i], 1, deposits_in(barrel, cells[event == i], energies[event == i]),
        )[0].energy
        for i in range(events)
    ]  # fmt: skip
    assert (np.concatenate([*alone, []]).astype(np.float32) == hits.energy).all()


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2**62), max_size=60), st.booleans())
def test_contributions_are_ordered_by_cell_and_equal_ones_stay_in_order(keys, small):
    """Whether keys leave room for the number of their place, or not."""
    key = np.array(keys, np.int64) % (7 if small else 2**63 - 1)
    ordered, order = _ordered(key)
    np.testing.assert_array_equal(order, np.argsort(key, kind="stable"))
    np.testing.assert_array_equal(ordered, key[order])

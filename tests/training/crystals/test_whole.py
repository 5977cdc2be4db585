"""Halo and times: deposits in all crystals, on top of any generator of windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from k4calofast.training.crystals.deposits import (
    WHOLE,
    Deposits,
    around,
    opposite,
    place_in_whole,
)
from k4calofast.training.crystals.halo import Halo
from k4calofast.training.crystals.patterns import (
    CLASSES,
    LEVELS,
    Size,
    classes,
    pools,
    richness,
    typical,
    with_delays,
)
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.times import Times

KINDS = torch.tensor([22, 211])
ENTERED = torch.full((6000,), 7)
ALL = Size(1_000_000, 1_000_000, 32)
MIDDLE = (WHOLE[0] // 2) * WHOLE[1] + WHOLE[1] // 2


@pytest.fixture(scope="module")
def showers():
    """Showers that lose a share of the energy, all or half of which is found far away."""
    random = np.random.default_rng(1)
    count = 6000
    pdg = np.where(np.arange(count) % 2, 22, 211)
    momentum = np.exp(random.uniform(np.log(0.1), np.log(2), count))
    available = np.where(pdg == 22, momentum, np.hypot(momentum, 0.14)).astype(np.float32)
    lost = random.beta(1, 6, count).astype(np.float32)
    lost[random.random(count) < 0.3] = 0
    conditions = np.stack([momentum, random.uniform(-1, 1, count)], 1)
    windows = np.zeros((count, 121), np.float32)
    windows[:, 60] = 0.8 * available * (1 - lost)
    windows[:, 61] = available * (1 - lost) - windows[:, 60]
    sample = Sample(
        torch.from_numpy(pdg),
        torch.from_numpy(conditions.astype(np.float32)),
        torch.from_numpy(windows),
        torch.from_numpy(available),
    )
    number = np.where(lost > 0, 1 + random.poisson(3, count), 0)
    offsets = np.append(0, number.cumsum())
    shower = np.repeat(np.arange(count), number)
    far = np.setdiff1d(np.arange(WHOLE[0] * WHOLE[1]), place_in_whole((11, 11)))
    energy = (lost * available / np.maximum(number, 1) * 0.75)[shower]
    delay = np.exp(random.normal(1, 0.5, len(shower)))
    outside = Deposits(
        offsets, random.choice(far, len(shower)), energy.astype(np.float32), delay.astype("f4")
    )
    return sample, outside


@pytest.fixture(scope="module")
def halo(showers):
    sample, outside = showers
    result = Halo(KINDS, 5e-5)
    result.fit(sample, outside, ENTERED, ALL, 1)
    return result.eval()


def _found(halo, sample, seed=1):
    uniform = _uniform(halo, sample, seed)
    return halo(uniform, sample.pdg, sample.conditions, sample.energies, sample.available)


def _uniform(halo, sample, seed=1):
    return torch.rand(len(sample), halo.noise, generator=torch.Generator().manual_seed(seed))


def _places(halo, found, sample, seed=1):
    """Places (N, M) of what is found."""
    uniform = _uniform(halo, sample, seed)[:, None].expand(-1, found.number.shape[1], -1)
    entered = torch.full((found.number.numel(),), 7)
    places = halo.places_of(found.number.flatten(), uniform.flatten(0, 1), entered)
    return places.reshape(found.number.shape)


def test_the_window_lies_in_the_middle_of_all_crystals():
    places = place_in_whole((11, 11))
    assert places[60] == MIDDLE
    assert places[0] == MIDDLE - 5 * WHOLE[1] - 5
    assert len(set(places.tolist())) == 121


def test_opposite_places_are_as_many_rows_on_the_other_side():
    places = torch.arange(WHOLE[0] * WHOLE[1])
    (down, across), (up, along) = around(places), around(opposite(places))
    assert torch.equal(up, -down)
    assert torch.equal(along, across)
    np.testing.assert_array_equal(opposite(places.numpy()), opposite(places).numpy())


def test_what_is_found_outside_goes_with_what_is_missing_inside(halo, showers):
    sample, outside = showers
    found = _found(halo, sample)
    missing = (sample.available - sample.energies.sum(1)).numpy()
    energy = found.energy.sum(1).numpy()
    assert (energy <= missing * (1 + 1e-4) + 1e-6).all()
    # No more of it is found than in the sample, and where nothing is missing, nothing is.
    assert energy[missing < 1e-6].max() == 0
    photon = sample.pdg.numpy() == 22
    wanted = np.bincount(outside.shower, outside.energy, len(sample))
    assert energy[photon].mean() == pytest.approx(wanted[photon].mean(), rel=0.03)
    assert np.corrcoef(energy[photon], wanted[photon])[0, 1] > 0.97
    number = (found.energy > 0).sum(1).numpy()[photon]
    known = np.diff(outside.offsets)[photon]
    # 3000 photons know it to 1.5 %.
    assert number.mean() == pytest.approx(known.mean(), rel=0.05)
    inside = np.isin(_places(halo, found, sample).numpy(), place_in_whole((11, 11))) & (
        found.energy.numpy() > 0
    )
    assert not inside.any()


def test_hadrons_that_ionise_alone_have_no_halo_whatever_their_momentum(showers):
    """Most of what they miss goes on behind the crystals: it is not what tells them apart."""
    sample, outside = showers
    random = np.random.default_rng(4)
    pion = sample.pdg.numpy() == 211
    ionised = pion & (random.random(len(sample)) < 0.5) & (sample.available.numpy() > 0.25)
    energies = sample.energies.clone()
    seen = torch.from_numpy(random.uniform(0.16, 0.18, len(sample)).astype(np.float32))
    energies[:, 60] = torch.where(torch.from_numpy(ionised), seen, energies[:, 60])
    energies[:, 61] = torch.where(torch.from_numpy(ionised), 0.0, energies[:, 61])
    some = replace(sample, energies=energies)
    kept = outside.where(~ionised[outside.shower])
    halo = Halo(KINDS, 5e-5)
    halo.fit(some, kept, ENTERED, ALL, 1)
    number = (_found(halo, some).energy > 0).sum(1).numpy()
    known = np.diff(kept.offsets)
    others = pion & ~ionised & (np.abs(energies.sum(1).numpy() - 0.17) > 0.05)
    assert number[ionised].mean() < 0.15 * number[others].mean()
    assert number[others].mean() == pytest.approx(known[others].mean(), rel=0.2)


def test_patterns_that_are_used_again_have_other_energies_of_the_same_spectrum(showers):
    """Boosted trees find showers by sums of energy that come again and again."""
    sample, outside = showers
    random = np.random.default_rng(5)
    line = random.random(len(outside.energy)) < 0.2
    small = np.where(line, 511e-6, np.exp(random.uniform(np.log(1e-4), np.log(1e-3), len(line))))
    halo = Halo(KINDS, 5e-5)
    kept = replace(outside, energy=small.astype(np.float32))
    halo.fit(sample, kept, ENTERED, ALL._replace(patterns=500), 1)
    found = _found(halo, sample).energy.numpy()
    kept = found[found > 0]
    on_line = (kept > 510e-6) & (kept < 512e-6)
    beside = kept[~on_line]
    assert len(np.unique(beside)) > 0.9 * len(beside)
    assert on_line.mean() == pytest.approx(0.2, abs=0.02)
    levels = np.linspace(0.05, 0.95, 19)
    wanted = np.quantile(small[~line], levels)
    assert np.quantile(beside, levels) == pytest.approx(wanted, rel=0.1)


def test_a_pattern_is_of_the_particles_own_kind(showers):
    sample, outside = showers
    here = sample.pdg.numpy()[outside.shower] == 22
    marked = replace(outside, place=np.where(here, 0, WHOLE[0] * WHOLE[1] - 1))
    halo = Halo(KINDS, 5e-5)
    halo.fit(sample, marked, ENTERED, ALL, 1)
    found = _found(halo, sample)
    of_photons = (sample.pdg == 22)[:, None] & (found.energy > 0)
    down = _places(halo, found, sample)[of_photons].div(WHOLE[1], rounding_mode="floor")
    assert (down <= 2).all()


def test_the_patterns_that_are_kept_are_like_the_sample(showers):
    """Of long tails, too: the mean is that of all showers, nearer than by chance."""
    sample = showers[0]
    random = np.random.default_rng(8)
    number = np.floor(np.exp(random.normal(0.5, 1.2, len(sample)))).astype(int)
    shower = np.repeat(np.arange(len(sample)), number)
    far = np.setdiff1d(np.arange(WHOLE[0] * WHOLE[1]), place_in_whole((11, 11)))
    count = len(shower)
    rich = Deposits(
        np.append(0, number.cumsum()),
        random.choice(far, count),
        np.full(count, 2e-4, np.float32),
        np.ones(count, np.float32),
    )
    means = []
    for seed in range(12):
        halo = Halo(KINDS, 5e-5)
        halo.fit(sample, rich, ENTERED, Size(len(sample) // 4, count, 16), seed)
        means.append(float(halo.counts.float().sum(1).mean()))
    by_chance = number.std() / np.sqrt(halo.lost.numel())
    assert np.mean(means) == pytest.approx(number.mean(), abs=0.3 * by_chance)
    assert np.std(means) < 0.3 * by_chance


@pytest.mark.parametrize("least", [0.01, 0.025])
def test_what_few_showers_have_is_kept_as_often(showers, least):
    """Clusters far away: in all, and at any momentum, to a third of what chance has."""
    sample = showers[0]
    random = np.random.default_rng(9)
    number = random.poisson(2, len(sample))
    energy = np.exp(random.normal(np.log(2e-3), 1.5, number.sum())).astype(np.float32)
    far = np.setdiff1d(np.arange(WHOLE[0] * WHOLE[1]), place_in_whole((11, 11)))
    outside = Deposits(
        np.append(0, number.cumsum()),
        random.choice(far, len(energy)),
        energy,
        np.ones(len(energy), np.float32),
    )
    rich = np.bincount(outside.shower, energy > least, len(sample))
    order = torch.from_numpy(random.permutation(len(sample))[:5760].reshape(32, -1))
    told = richness(outside, len(sample))
    seed = torch.Generator().manual_seed(1)
    chosen = typical(order, told, 40, seed).numpy()
    assert all(len(set(rows)) > 35 for rows in chosen)
    error = rich[chosen].mean(1) - rich[order.numpy()].mean(1)
    by_chance = rich.std() / np.sqrt(chosen.shape[1])
    near = error.reshape(8, 4).mean(1)
    assert abs(error.mean()) < by_chance / np.sqrt(32) / 3
    assert np.sqrt((near**2).mean()) < by_chance / np.sqrt(4) / 1.5


def test_few_patterns_make_many_halos(showers):
    """Soft deposits are drawn in runs, of which there are many."""
    sample, outside = showers
    small = replace(outside, energy=np.full(len(outside.energy), 3e-4, np.float32))
    halo = Halo(KINDS, 5e-5)
    halo.fit(sample, small, ENTERED, ALL._replace(patterns=500), 1)
    found = _found(halo, sample)
    places = torch.where(found.energy > 0, _places(halo, found, sample), -1)
    lit = places[(places >= 0).sum(1) > 2]
    different = {tuple(sorted(row)) for row in lit.tolist()}
    assert len(different) > 0.8 * len(lit) > halo.lost.numel()
    # Where they are, on the whole, they stay.
    counts = [
        np.histogram(at // WHOLE[1], np.linspace(0, WHOLE[0], 8))[0] / len(at)
        for at in (places[places >= 0].numpy(), outside.place)
    ]
    assert counts[0] == pytest.approx(counts[1], abs=0.02)


def test_few_showers_are_one_bin_of_each_kind(showers):
    sample, outside = showers
    few = np.arange(80)
    halo = Halo(KINDS, 5e-5)
    some = sample.take(torch.from_numpy(few))
    halo.fit(some, outside.take(few), ENTERED[:80], ALL._replace(bin=64), 1)
    assert halo.missing.shape == (2, 40)
    assert (_found(halo, sample).energy > 0).any()


def test_showers_that_miss_all_alike_get_all_patterns_that_do(showers):
    """Neutral particles that leave nothing in the window are one in this."""
    sample, outside = showers
    nothing = replace(sample, energies=torch.zeros_like(sample.energies))
    halo = Halo(KINDS, 0.0)
    halo.fit(nothing, outside, ENTERED, ALL, 1)
    found = [(_found(halo, nothing, seed).energy > 0).sum(1).float() for seed in range(8)]
    spread = torch.stack(found).std(0).mean()
    assert float(spread) > 1.2


def test_no_more_is_kept_than_there_is_room_for(showers):
    sample, outside = showers
    hard = replace(outside, energy=np.full(len(outside.energy), 0.01, np.float32))
    halo = Halo(KINDS, 5e-5)
    halo.fit(sample, hard, ENTERED, Size(1_000_000, 3000, 16), 1)
    assert 1500 < len(halo.places) - halo.pooled <= 3300
    halo = Halo(KINDS, 5e-5)
    halo.fit(sample, hard, ENTERED, Size(1000, 1_000_000, 16), 1)
    assert 500 < halo.lost.numel() <= 1000


def test_what_is_soft_and_far_stays_in_its_row_whatever_is_entered(showers):
    """Where crystals are does not depend on which of them was entered."""
    sample, outside = showers
    random = np.random.default_rng(9)
    entered = torch.from_numpy(random.integers(0, 44, len(sample)))
    row = 37
    column = random.integers(20, 40, len(outside.energy))
    place = (row - entered.numpy()[outside.shower] + WHOLE[0] // 2) * WHOLE[1] + column
    soft = replace(outside, place=place, energy=np.full(len(place), 3e-4, np.float32))
    halo = Halo(KINDS, 5e-5)
    halo.fit(sample, soft, entered, ALL, 1)
    found, uniform = _found(halo, sample), _uniform(halo, sample)
    shower, at = (found.energy > 0).nonzero().unbind(1)
    places = halo.places_of(found.number[shower, at], uniform[shower], entered[shower])
    rows = places // WHOLE[1] - WHOLE[0] // 2 + entered[shower]
    assert (rows == row)[sample.pdg[shower] == 211].all()
    assert len(rows) > 1000
    # What is far along, and not around, would else come into windows.
    along = replace(soft, place=(WHOLE[0] // 2 + 20) * WHOLE[1] + WHOLE[1] // 2 + 0 * column)
    halo.fit(sample, along, entered, ALL, 1)
    found = _found(halo, sample)
    shower, at = (found.energy > 0).nonzero().unbind(1)
    places = halo.places_of(found.number[shower, at], uniform[shower], entered[shower])
    assert (places // WHOLE[1] - WHOLE[0] // 2 == 20)[sample.pdg[shower] == 211].all()


def test_delays_that_are_not_known_are_those_of_particles_that_are_alike(showers):
    """Slow ones decay beside; a third of the sample has times."""
    sample, outside = showers
    pdg, momentum = sample.pdg.numpy(), sample.conditions[:, 0].numpy()
    slow = (momentum < 0.3) & (pdg == 211)
    delay = np.where(slow, 500.0, 2.0)[outside.shower].astype(np.float32)
    known = (np.arange(len(sample)) % 3 == 0)[outside.shower]
    some = replace(outside, delay=np.where(known, delay, np.nan).astype(np.float32))
    filled = with_delays(some, pdg, momentum, np.random.default_rng(1)).delay
    assert (filled[known] == delay[known]).all()
    assert np.isfinite(filled).all()
    # But for those beside the border, in one of its ranges of momentum.
    beside = (np.abs(np.log(momentum / 0.3)) < 0.34)[outside.shower]
    assert (filled == delay)[~beside].mean() > 0.995
    nothing = replace(outside, delay=np.full(len(delay), np.nan, np.float32))
    assert (with_delays(nothing, pdg, momentum, np.random.default_rng(1)).delay == 0).all()


def test_pools_have_as_many_deposits_everywhere_as_the_sample(showers):
    """Trees that look at sectors of the calorimeter find those that a choice by chance prefers."""
    sample, outside = showers
    soft = replace(outside, energy=np.full(len(outside.energy), 3e-4, np.float32))
    of, count = classes(soft, np.full(len(sample), 211)), 1024
    pool = (sample.pdg.numpy() == 22).astype(int)
    chosen = pools(soft, of, pool, count, np.random.default_rng(1))
    assert chosen.shape == (2, CLASSES - 1, count)
    far = 1 + len(LEVELS)
    assert (chosen[:, [1, 3]] == -1).all()
    for number, part in enumerate(chosen[:, far - 1]):
        assert (pool[soft.shower[part]] == number).all()
        assert (of[part] == far).all()
        all_of_it = soft.place[(pool[soft.shower] == number) & (of == far)]
        edges = np.linspace(0, WHOLE[1], 9)
        wanted, found = (
            np.histogram(at % WHOLE[1], edges)[0] / len(at) for at in (all_of_it, soft.place[part])
        )
        # As far as runs let them.
        assert found == pytest.approx(wanted, abs=0.02)


def test_of_photons_and_electrons_all_deposits_are_kept_as_they_lay(showers):
    """Theirs are few and in clusters."""
    sample, outside = showers
    soft = replace(outside, energy=np.full(len(outside.energy), 3e-4, np.float32))
    pdg = sample.pdg.numpy()
    of = classes(soft, pdg)
    mine = (pdg == 22)[soft.shower]
    assert mine.any()
    assert (~mine).any()
    assert (of[mine] == 0).all()
    assert (of[~mine] > 0).all()


def test_what_lies_beside_each_other_is_drawn_together(showers):
    """A neutron that is taken up far away lights some crystals there, and not some anywhere."""
    sample, _ = showers
    random = np.random.default_rng(11)
    count = len(sample)
    column = random.integers(0, 40, count)[:, None] + random.integers(0, 2, (count, 4))
    place = (WHOLE[0] // 2 + random.integers(-2, 3, (count, 4))) * WHOLE[1] + column
    energy = np.full(4 * count, 3e-4, np.float32)
    beside = Deposits(np.arange(count + 1) * 4, place.ravel(), energy, np.ones_like(energy))
    halo = Halo(KINDS, 5e-5)
    halo.fit(sample, beside, ENTERED, ALL, 1)
    found = _found(halo, sample)
    shower, at = (found.energy > 0).nonzero().unbind(1)
    places = _places(halo, found, sample)[shower, at]
    apart = (places % WHOLE[1]).diff()[shower.diff() == 0]
    assert (apart.abs() <= 1).float().mean() > 0.95


def test_each_class_has_as_many_deposits_as_in_the_sample(showers):
    """Hard and soft ones, where enough energy is missing for all of them."""
    sample, outside = showers
    random = np.random.default_rng(10)
    lost = (sample.available - sample.energies.sum(1)).numpy()[outside.shower]
    most = np.minimum(lost / 20, 0.02)
    energy = np.exp(random.uniform(np.log(6e-5), np.log(np.maximum(most, 6e-5))))
    kept = replace(outside, energy=energy.astype(np.float32))
    halo = Halo(KINDS, 5e-5)
    halo.fit(sample, kept, ENTERED, ALL, 1)
    # Of hadrons, the pattern may be that of a shower that misses more.
    photon = sample.pdg.numpy() == 22
    energies = np.concatenate(
        [_found(halo, sample, seed).energy.numpy()[photon] for seed in range(8)]
    )
    share = [
        np.bincount(np.searchsorted(LEVELS, values, side="right"), minlength=3) / len(values)
        for values in (energies[energies > 0], energy[photon[outside.shower]])
    ]
    # Energies vary across the border, of which there are more on this side.
    assert share[0] == pytest.approx(share[1], rel=0.1)


@pytest.fixture(scope="module")
def inside():
    """Delays that depend on the energy, and are late together."""
    random = np.random.default_rng(2)
    count = 8000
    energies = np.zeros((count, 121), np.float32)
    lit = np.array([60, 61, 49, 72])
    energies[:, lit] = np.exp(random.uniform(np.log(1e-4), np.log(0.5), (count, 4)))
    normal = 0.8 * random.normal(size=(count, 1)) + 0.6 * random.normal(size=(count, 4))
    delay = np.exp(0.3 * normal - 0.2 * np.log(energies[:, lit]))
    sample = Sample(
        torch.full((count,), 22),
        torch.from_numpy(np.exp(random.uniform(-2, 1, (count, 1)))).float(),
        torch.from_numpy(energies),
        torch.ones(count),
    )
    place = np.tile(place_in_whole((11, 11))[lit], count)
    offsets = np.arange(count + 1) * 4
    return sample, Deposits(
        offsets, place, energies[:, lit].ravel(), delay.astype(np.float32).ravel()
    )


def _delays(times, noise, sample, lit):
    """Delays (N, crystals) of these crystals."""
    shower = torch.arange(len(sample)).repeat_interleave(len(lit))
    cell = torch.from_numpy(lit).repeat(len(sample))
    of = shower, cell, sample.energies[shower, cell]
    total = sample.energies.sum(1)
    found = times(noise, sample.pdg, sample.conditions, total, of)
    return found.reshape(-1, len(lit)).numpy()


def test_delays_have_the_samples_spectra_and_come_together(inside):
    sample, deposits = inside
    times = Times(KINDS[:1], (11, 11))
    times.fit(sample, deposits)
    noise = torch.randn(len(sample), times.noise, generator=torch.Generator().manual_seed(1))
    lit = np.array([60, 61, 49, 72])
    found = _delays(times, noise, sample, lit)
    assert (found >= 0).all()
    there = np.log(deposits.delay.reshape(-1, 4))
    here = np.log(found)
    for low, high in ((1e-4, 2e-4), (1e-3, 5e-3), (0.2, 0.5)):
        of = sample.energies[:, lit].numpy()
        rows = (of > low) & (of < high)
        assert here[rows].mean() == pytest.approx(there[rows].mean(), abs=0.03)
        assert here[rows].std() == pytest.approx(there[rows].std(), rel=0.06)

    def together(values):
        """Correlation of two crystals' delays, less what their energies make of it."""
        left = values + 0.2 * np.log(sample.energies[:, lit].numpy())
        return np.corrcoef(left[:, 1], left[:, 2])[0, 1]

    assert together(here) == pytest.approx(together(there), abs=0.12)
    assert together(there) > 0.5


def test_what_fast_particles_seldom_leave_is_as_prompt_as_theirs(inside):
    """Slow muons decay beside: theirs are many more, and late."""
    sample, deposits = inside
    fast = sample.conditions[:, 0] > 1
    late = deposits.delay.reshape(-1, 4).copy()
    late[~fast.numpy()] *= 1000
    # Of the fast ones, one in three is known.
    known = ~fast.numpy() | (np.arange(len(fast)) % 3 == 0)
    some = replace(deposits, delay=np.where(known[:, None], late, np.nan).ravel())
    times = Times(KINDS[:1], (11, 11))
    times.fit(sample, some)
    noise = torch.randn(len(sample), times.noise, generator=torch.Generator().manual_seed(1))
    found = _delays(times, noise, sample, np.array([60, 61, 49, 72]))
    # Away from the border between them, where momenta are taken together.
    assert (found[(sample.conditions[:, 0] > 2).numpy()] < 100).mean() > 0.95


def test_deposits_without_times_have_none(inside):
    sample, deposits = inside
    times = Times(KINDS[:1], (11, 11))
    times.fit(sample, replace(deposits, delay=np.full(len(deposits.delay), np.nan, np.float32)))
    noise = torch.randn(len(sample), times.noise)
    found = _delays(times, noise, sample, np.array([60, 61]))
    assert found.max() < 0.01

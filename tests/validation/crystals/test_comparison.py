"""What is the same passes, and what is broken fails by its name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.comparison import by_momentum, compare
from k4calofast.validation.crystals import comparison as of_crystals
from k4calofast.validation.crystals.comparison import GATES, groups_of
from k4calofast.validation.crystals.kind import KIND
from k4calofast.validation.crystals.observables import observables
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.metrics import separation, spectrum_distance
from k4calofast.validation.results import Comparison, Sample


def compared(
    reference: CrystalShowers, other: CrystalShowers, barrel, classifiers=()
) -> Comparison:
    return compare(KIND, *seen(barrel, reference, other), GATES, classifiers=classifiers)


def seen(barrel, *samples: CrystalShowers) -> list[Sample]:
    readout = Crystals(barrel, 0.0)
    return [readout.observed(showers) for showers in samples]


def scaled(showers: CrystalShowers) -> CrystalShowers:
    return replace(showers, energies=showers.energies * np.float32(1.01))


def widened(showers: CrystalShowers) -> CrystalShowers:
    """Responses 10 % further from their mean."""
    energies = showers.energies.copy()
    total = energies.sum((1, 2), dtype=np.float64)
    for group in groups_of(Sample(showers, showers.conditions, {})):
        rows = group.rows
        response = total[rows] / showers.momentum[rows]
        other = response.mean() + 1.1 * (response - response.mean())
        other = np.maximum(other, 0)
        factor = np.divide(other, response, out=np.ones_like(response), where=response > 0)
        energies[rows] *= factor[:, None, None].astype(np.float32)
    return replace(showers, energies=energies)


def shifted(showers: CrystalShowers) -> CrystalShowers:
    return replace(showers, energies=np.roll(showers.energies, 1, axis=2))


def dead(showers: CrystalShowers) -> CrystalShowers:
    alive = np.random.default_rng(0).random(showers.energies.shape) >= 0.02
    return replace(showers, energies=np.where(alive, showers.energies, np.float32(0)))


def test_two_samples_of_one_generator_are_the_same(reference, repeated, barrel):
    comparison = compared(reference, repeated, barrel, None)
    assert comparison.failures == []
    for side in (comparison.distances, comparison.itself):
        for name in KIND.classifiers:
            area = side.separations[name]
            assert abs(area.mean - 0.5) < 4 * area.error
        for one in side.spectra.values():
            assert one.p_value > 1e-4
            assert abs(one.separation.value) < 5 * one.separation.error
        clouds = side.clouds
        assert abs(clouds["fpd"].value) < 5 * clouds["fpd"].error
        assert abs(clouds["kpd"].value) < 5 * clouds["kpd"].error
        assert clouds["density"].value == pytest.approx(1, abs=0.05)
        for name in ("precision", "recall", "coverage"):
            assert clouds[name].value > 0.93


def test_a_reference_is_as_near_to_itself_as_chance_allows(reference, repeated, barrel):
    """Halves and a repetition: the scatter of the figures is their errors', and no gate fails."""
    samples = seen(barrel, reference, repeated)
    for again in (None, samples[1]):
        comparison = compare(KIND, *samples, GATES, again, classifiers=())
        bins_of_conditions = comparison.itself.closure
        assert len(bins_of_conditions) > 200
        pulls = [one.shift / one.error for one in bins_of_conditions if one.error > 0]
        assert np.std(pulls) == pytest.approx(1, abs=0.15)
        pulls = [
            row.figures[name].value / row.figures[name].error
            for row in comparison.itself.rows
            for name in ("mean", "width", "e1_e9", "e9_e25", "lateral")
        ]
        assert np.abs(pulls).max() < 4
        assert [check.words for check in comparison.itself.checks if check.fails] == []
        assert {check.gate for check in comparison.itself.checks} == {
            check.gate for check in comparison.checks
        }


def test_samples_in_the_order_of_momentum_are_compared_at_all_momenta(
    reference, repeated, barrel, monkeypatch
):
    monkeypatch.setattr(of_crystals, "_MOST_CELLS", 5000)
    order = np.argsort(reference.momentum, kind="stable")
    broken = repeated.take(order)
    highest = broken.momentum > 2
    broken.energies[highest] *= 2
    compared_ = compared(reference.take(order), broken, barrel)
    assert compared_.distances.spectra["cell_energy"].p_value < 1e-4


@pytest.mark.parametrize(
    ("broken", "gate", "words"),
    [
        (scaled, "response", "photon, response E/p"),
        (widened, "spread", "photon, width of the response"),
        (shifted, "centre", "photon, centre in phi [cells]"),
        (dead, "lit_cells", "photon, lit cells"),
    ],
)
def test_what_is_broken_is_named(reference, repeated, barrel, broken, gate, words):
    failures = compared(reference, broken(repeated), barrel).failures
    assert (gate, words) in [(check.gate, check.where) for check in failures]


def test_a_condition_that_is_ignored_is_named_first(reference, without_angle, barrel):
    comparison = compared(reference, without_angle, barrel)
    closure = [check.where for check in comparison.failures if check.gate == "closure"]
    assert "delta_phi_mom" in closure[0]
    # Where it enters the crystal goes with the angle, so that is off, too, but less.
    worst = comparison.worst_bins(2)
    assert {one.condition for one in worst} == {"delta_phi_mom"}
    assert {one.observable for one in worst} == {"centre_phi"}
    # The average hides it.
    assert not [check for check in comparison.failures if check.gate in ("response", "centre")]


def test_momenta_of_large_samples_are_not_one():
    """However near one is to the next, a range is none; and fixed momenta may be rounded."""
    rng = np.random.default_rng(0)
    momentum = np.exp(rng.uniform(-3, 1, 50_000))

    def edges(values, bins):
        return np.quantile(values, np.linspace(0, 1, bins + 1))

    groups = list(by_momentum(momentum, np.ones(len(momentum), np.bool_), edges))
    assert [rows.sum() for rows in groups] == [10_000] * 5
    fixed = np.repeat([0.1, 0.3], 100) * (1 + 1e-7 * rng.normal(size=200))
    groups = list(by_momentum(fixed, np.ones(200, np.bool_), edges))
    assert [rows.sum() for rows in groups] == [100, 100]


def test_p_values_of_halves_are_flat(reference):
    """50 splits of one sample: p-values are uniform, and areas are 0.5 within their errors."""
    from scipy import stats

    values = observables(reference)
    for name in ("response", "e1_e9", "centre_phi", "cells"):
        p = []
        for seed in range(50):
            half = np.random.default_rng(seed).permutation(len(reference)) % 2 == 0
            p.append(spectrum_distance(values[name][half], values[name][~half]).p_value)
        assert stats.kstest(p, "uniform").pvalue > 1e-3
    columns = np.stack([values[name] for name in ("response", "e1_e9", "width_phi")], axis=1)
    pulls = []
    for seed in range(8):
        half = np.random.default_rng(seed).permutation(len(reference)) % 2 == 0
        area = separation(columns[half], columns[~half], folds=3)
        pulls.append((area.mean - 0.5) / area.error)
    assert np.abs(pulls).max() < 4
    # Not far too small either: the error is that of the area.
    assert np.std(pulls) > 0.3

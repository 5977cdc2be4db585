"""All crystals: what is lost anywhere is named, whatever the window says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from k4calofast.detector import CrystalCalorimeter
from k4calofast.exceptions import ModelError
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.comparison import compare
from k4calofast.validation.crystals.emc import peak, times_of
from k4calofast.validation.crystals.hits import ENTERED, NEXT, OUTSIDE, WINDOW, Hits
from k4calofast.validation.crystals.kind import KIND
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.drawing import draw
from k4calofast.validation.fidelity import checked
from k4calofast.validation.metrics import Value, mean_in_showers, relative, width_in_showers
from k4calofast.validation.observables import quantile_error
from k4calofast.validation.results import Comparison, Sample

THRESHOLD = 1e-4
PHOTONS, PIONS = [22], [-211]


def seen(calorimeter: CrystalCalorimeter, *samples: CrystalShowers) -> list[Sample]:
    readout = Crystals(calorimeter, THRESHOLD)
    return [readout.observed(readout.simulated(showers)) for showers in samples]


@pytest.fixture(scope="module")
def compared(particles_at, toys):
    """Compare showers that have faults with some that have none."""

    def compared(calorimeter, pdgs, faults, count=4000, classifiers=()) -> Comparison:
        particles = particles_at(calorimeter, pdgs, count)
        samples = seen(
            calorimeter,
            toys(particles, calorimeter, 1),
            toys(particles, calorimeter, 2, **faults),
        )
        kind = KIND.for_showers(samples[0].showers)
        return compare(kind, *samples, kind.gates, classifiers=classifiers)

    return compared


def failed(comparison: Comparison) -> set[str]:
    return {check.gate for check in comparison.failures}


def test_the_same_in_all_crystals_passes_or_is_not_resolved(compared, calorimeter):
    comparison = compared(calorimeter, PHOTONS + PIONS, {}, 1500, None)
    assert comparison.failures == []
    assert comparison.unresolved
    pulls = [
        (check.value - check.nothing) / check.error for check in comparison.checks if check.error
    ]
    assert np.std(pulls) == pytest.approx(1, abs=0.2)
    for check in comparison.checks:
        assert np.isfinite([check.value, check.error]).all()
        assert check.passes + check.fails + check.blind == 1
    areas = comparison.distances.separations
    assert {part.where for part in areas["cells"].parts} == {
        "photon",
        "photon at 0.3 GeV",
        "photon at 1 GeV",
    }
    assert {part.pdg for part in areas["observables"].parts} == {22, -211}


def test_a_lost_halo_is_named_though_the_window_is_right(compared, calorimeter):
    comparison = compared(calorimeter, PHOTONS, {"halo": 0.0})
    assert {"outside", "far", "emc"} <= failed(comparison)
    # The window is that of the reference: nothing but its noise is left in it.
    inside = {"mean", "width", "e1_e9", "e9_e25", "lateral", "response", "centre", "lit_cells"}
    assert not inside & failed(comparison)
    lost = [check for check in comparison.failures if check.gate == "outside"]
    assert all(check.value == pytest.approx(-1) for check in lost)


@pytest.mark.parametrize(
    ("pdgs", "faults", "gate"),
    [
        (PHOTONS, {"halo": 0.7}, "outside"),
        (PHOTONS, {"far": 1.6}, "far"),
        (PHOTONS, {"energy": 1.01}, "emc"),
        (PHOTONS, {"time": 1.15}, "time_mean"),
        (PHOTONS, {"spread": 1.3}, "time_spread"),
        (PHOTONS, {"neutrons": 0.5}, "time_late"),
        (PIONS, {"energy": 1.1}, "energy"),
        (PIONS, {"ionisation": 1.04}, "peak"),
        (PIONS, {"nothing": 0.2, "interacted": 0.4}, "nothing"),
        (PIONS, {"interacted": 0.55}, "interacted"),
        (PIONS, {"interacted": 0.55}, "ionised"),
        (PIONS, {"energy": 1.15}, "quantile_90"),
        (PIONS, {"energy": 1.15}, "quantile_99"),
    ],
)
def test_what_is_wrong_is_named(compared, barrel, pdgs, faults, gate):
    assert gate in failed(compared(barrel, pdgs, faults))


def test_trees_find_a_halo_that_is_elsewhere(barrel, particles_at, toys, hits_of):
    """In as many crystals with as much energy, but nearer: no single figure of it is gated."""
    particles = particles_at(barrel, PHOTONS, 2000)
    right, other = (toys(particles, barrel, seed) for seed in (1, 2))
    hits = Hits.of(other, barrel)
    away = hits.where == OUTSIDE
    entered = other.cell.astype(np.int64)[hits.shower]
    rows, columns = barrel.whole_window
    place = barrel.place_of(entered, hits.crystal, (rows, columns))
    down, across = np.divmod(place, columns)
    nearer = down * columns + np.where(away, columns // 2 + (across - columns // 2) // 4, across)
    crystal = barrel.cell_in(entered, nearer, (rows, columns))
    known = particles_at(barrel, PHOTONS, 2000)
    moved = hits_of(known, barrel, hits.shower, crystal, hits.energy, hits.time)
    samples = seen(barrel, right, moved)
    kind = KIND.for_showers(right)
    comparison = compare(kind, *samples, kind.gates, classifiers=("observables", "cells"))
    assert {"auc_observables", "auc_cells"} <= failed(comparison)


def test_hits_are_told_by_where_they_are(calorimeter, particles_at, hits_of):
    """One in the crystal entered, one beside it, one at the window's edge, one a step further."""
    particles = particles_at(calorimeter, PHOTONS, 50)
    count = len(particles)
    rows, columns = calorimeter.whole_window
    middle = rows // 2 * columns + columns // 2
    steps = np.array([0, columns, 5 * columns, 6 * columns])
    shower = np.repeat(np.arange(count), 4)
    place = middle + np.tile(steps, count)
    crystal = calorimeter.cell_in(particles.cell[shower], place, (rows, columns))
    energy = np.tile([0.4, 0.3, 0.2, 0.1], count)
    showers = hits_of(particles, calorimeter, shower, crystal, energy, np.zeros(len(shower)))
    hits = Hits.of(showers, calorimeter)
    for size, where in ((0.4, ENTERED), (0.3, NEXT), (0.2, WINDOW), (0.1, OUTSIDE)):
        assert set(hits.where[np.isclose(hits.energy, size)]) == {where}
    assert (hits.distance[hits.where == ENTERED] == 0).all()
    np.testing.assert_array_equal(hits.other, hits.crystal >= calorimeter.n_cells)
    # A barrel's windows end in its endcaps, and the other way round.
    assert hits.other.any()
    assert not hits.other.all()
    (sample,) = seen(calorimeter, showers)
    found, momentum = sample.observables, sample.momentum
    outside = np.bincount(hits.shower, hits.energy * (hits.where == OUTSIDE), count)
    np.testing.assert_allclose(found["outside"] * momentum, outside, rtol=1e-6)
    np.testing.assert_allclose(found["emc"], found["response"] + found["outside"], rtol=1e-6)
    np.testing.assert_array_equal(found["far"], outside > 0)


def test_showers_with_nothing_have_observables_and_figures(compared, calorimeter):
    comparison = compared(calorimeter, [2112], {"nothing": 1.0}, 300)
    nothing = comparison.generated
    assert (nothing.observables["emc"] == 0).all()
    for name, values in nothing.observables.items():
        assert np.isfinite(values).all(), name
    for check in comparison.checks:
        assert np.isfinite([check.value, check.error]).all()
    assert {"nothing", "energy"} <= failed(comparison)


def test_all_pictures_are_drawn_and_tables_have_all_groups(compared, barrel):
    """Also without a halo, and of showers with nothing."""
    comparison = compared(barrel, PHOTONS + PIONS, {"halo": 0.0}, 200)
    kind = KIND.for_showers(comparison.reference.showers)
    drawn = {figure.name for figure in draw(kind.pictures, comparison)}
    assert {"energy", "distance", "halo", "times", "spectra", "closure"} <= drawn
    assert "curves" not in drawn
    shares, done, times = kind.tables(comparison)
    assert len(shares.rows) == 4
    assert len(done.rows) == 2
    assert {row[0] for row in times.rows} == {group.where for group in comparison.groups}
    assert any("-" in row for row in times.rows)


def test_a_model_of_windows_is_told_what_it_knows_and_loses_the_halo(
    barrel, model, particles_at, toys
):
    """Its card has no depth, which all samples of today have."""
    particles = particles_at(barrel, PHOTONS, 1000)
    reference = toys(particles, barrel, 1, energy=0.99)
    readout = Crystals(barrel, model.card.threshold, model.card.conditions)
    assert readout.conditions(reference).shape[1] == len(model.card.conditions)
    assert "depth" in reference.conditions_known
    generated = readout.generated(model, reference, 0)
    assert generated.whole
    found = readout.observed(generated).observables
    assert (found["outside"] == 0).all()
    assert found["emc"].mean() == pytest.approx(0.93, abs=0.05)
    np.testing.assert_allclose(found["emc"], found["response"], rtol=1e-6)
    # As in jobs: light comes straight from where the particle enters.
    hits = Hits.of(generated, barrel)
    assert hits.time[hits.where == ENTERED].mean() == pytest.approx(0.47, abs=0.02)


def test_a_sample_that_does_not_know_a_condition_is_refused_in_a_sentence(barrel, conditions):
    with pytest.raises(ModelError, match="is told depth, which the sample does not know"):
        Crystals(barrel, 0.0, ("momentum", "depth")).conditions(conditions)


def test_samples_of_windows_say_where_they_end(reference, barrel, particles_at, toys):
    kind = KIND.for_showers(reference)
    (said,) = kind.facts({"whole": False})
    assert "ends at the window" in said
    assert "outside" not in kind.gates
    assert "outside" in KIND.for_showers(toys(particles_at(barrel, PHOTONS, 10), barrel, 0)).gates


def test_errors_of_peaks_quantiles_and_times_are_their_scatter():
    rng = np.random.default_rng(4)
    peaks, quantiles, means, widths = [], [], [], []
    for _ in range(120):
        energy = 0.16 + 0.006 * rng.gumbel(size=600)
        peaks.append(peak(energy))
        quantiles.append(Value(float(np.quantile(energy, 0.9)), quantile_error(energy, 0.9)))
        # Hits of a shower are late together.
        shower = np.repeat(np.arange(300), 5)
        time = np.repeat(rng.normal(1, 0.3, 300), 5) + rng.normal(0, 0.1, 1500)
        means.append(mean_in_showers(time, shower, 300))
        widths.append(width_in_showers(time, shower, 300))
    for found in (peaks, quantiles, means, widths):
        scatter = np.std([value.value for value in found])
        assert np.median([value.error for value in found]) == pytest.approx(scatter, rel=0.3)
    assert np.median([value.value for value in peaks]) == pytest.approx(0.161, rel=0.02)


def test_late_hits_are_counted_and_do_not_make_the_mean():
    count = 1000
    time = np.full(count, 2.0)
    time[:100] = 5000.0
    time[100:120] = np.nan
    number = np.arange(count)
    nothing = np.zeros(count)
    hits = Hits(number, number, nothing, time, number, nothing > 0, nothing)
    found = times_of(hits, count)
    assert (found.hits, found.mean.value) == (980, 2.0)
    assert found.late.value == pytest.approx(100 / 980)
    assert times_of(hits.take(slice(0, 120)), count).mean is None


def test_what_is_needed_to_resolve_a_gate_resolves_it():
    """Errors fall with the root of the number of showers."""
    (few,) = checked("emc", 0.01, {"a": Value(0.0, 0.02)}, showers={"a": 500})
    assert few.blind
    assert not few.passes
    error = 0.02 * np.sqrt(500 / few.needed)
    (enough,) = checked("emc", 0.01, {"a": Value(0.0, error)}, showers={"a": few.needed})
    assert enough.passes
    assert enough.needed == pytest.approx(few.needed, rel=0.01)
    # Areas begin at a half: a limit of 0.55 allows 0.05.
    (area,) = checked("auc", 0.55, {"a": Value(0.5, 0.05)}, nothing=0.5)
    assert area.blind


def test_without_a_reference_nothing_is_known():
    assert relative(Value(0.0, 0.1), Value(1.0, 0.1)) == Value(0.0, 1.0)


def test_a_difference_is_no_surer_for_being_large():
    """A mean that one shower makes in the reference is as unsure where the other has none."""
    missing = relative(Value(10.0, 8.0), Value(1.0, 0.1))
    assert missing.value == pytest.approx(-0.9)
    assert missing.error == pytest.approx(0.8, rel=0.01)


def test_the_threshold_is_applied_to_all_crystals(barrel, particles_at, toys):
    particles = particles_at(barrel, PHOTONS, 100)
    showers = toys(particles, barrel, 1)
    cut = Crystals(barrel, 0.01).simulated(showers)
    assert cut.energy.min() > 0.01
    assert cut.energies[cut.energies > 0].min() > 0.01
    kept = showers.energy[showers.energy > 0.01].sum(dtype=np.float64)
    assert cut.energy.sum(dtype=np.float64) == pytest.approx(kept)
    windows = cut.energies.sum(dtype=np.float64) + cut.beside.sum(dtype=np.float64)
    assert windows == pytest.approx(kept)
    taken = replace(cut).take(cut.momentum > 0.5)
    assert taken.offsets[-1] == len(taken.energy)

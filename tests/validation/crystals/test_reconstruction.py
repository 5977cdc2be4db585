"""Clusters, resolutions and the neutral pion, on showers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals.observables import observables
from k4calofast.validation.crystals.reconstruction import PION_MASS, find_clusters, pion_peak

CELL = 20 * 120 + 7


def photons(energies: np.ndarray, momentum: float = 1.0) -> CrystalShowers:
    count = len(energies)
    conditions = np.zeros((count, len(CONDITIONS)))
    conditions[:, 0] = momentum
    return CrystalShowers(
        np.full(count, 22, np.int32),
        np.full(count, CELL, np.int32),
        conditions,
        energies.astype(np.float32),
        np.zeros(count, np.float32),
    )


def window(**cells: float) -> np.ndarray:
    energies = np.zeros((1, 11, 11))
    for place, energy in cells.items():
        row, column = (int(part) for part in place.strip("_").split("_"))
        energies[0, row, column] = energy
    return energies


def test_a_single_cell_is_a_cluster_at_its_front(barrel):
    clusters = find_clusters(photons(window(_5_5=0.9)), barrel)
    assert clusters.found.all()
    assert clusters.e3x3[0] == clusters.e5x5[0] == pytest.approx(0.9)
    assert clusters.offset_z[0] == pytest.approx(0, abs=1e-9)
    assert clusters.offset_phi[0] == pytest.approx(0, abs=1e-9)


def test_a_cluster_follows_its_seed_to_the_neighbour(barrel):
    clusters = find_clusters(photons(window(_5_6=0.9)), barrel)
    own, other = barrel.front_centre(np.array([CELL, CELL + 1]))
    apart = np.hypot(*(other - own)[:2])
    assert clusters.offset_phi[0] == pytest.approx(apart, rel=1e-3)


def test_sums_take_the_cells_around_the_seed(barrel):
    energies = np.full((1, 11, 11), 0.001)
    energies[0, 5, 5] = 0.5
    clusters = find_clusters(photons(energies), barrel)
    assert clusters.e3x3[0] == pytest.approx(0.508)
    assert clusters.e5x5[0] == pytest.approx(0.524)


def test_no_seed_no_cluster(barrel):
    clusters = find_clusters(photons(window(_5_5=0.005)), barrel)
    assert not clusters.found.any()


def test_the_corner_of_a_window_is_no_edge_of_the_sum(barrel):
    clusters = find_clusters(photons(window(_0_0=0.9)), barrel)
    assert clusters.e5x5[0] == pytest.approx(0.9)


def test_perfect_photons_make_pions_of_the_right_mass(barrel):
    showers = photons(np.repeat(window(_5_5=1.0), 400, axis=0))
    clusters = find_clusters(showers, barrel)
    peak = pion_peak(
        showers, clusters, np.ones(len(showers)), np.full(len(showers), barrel.face.radius)
    )
    assert peak is not None
    assert peak.masses == pytest.approx(PION_MASS, rel=1e-5)


def test_the_pions_mass_goes_with_the_energy_scale(reference, barrel):
    calibration = np.ones(len(reference))
    clusters = find_clusters(reference, barrel)
    distance = np.full(len(reference), barrel.face.radius)
    one = pion_peak(reference, clusters, calibration, distance)
    other = pion_peak(reference, clusters, calibration * 1.02, distance)
    assert other.mean.value / one.mean.value == pytest.approx(1.02, rel=1e-3)
    # Uncalibrated photons from 0.1 to 2.5 GeV.
    assert 0.03 < one.width.value / one.mean.value < 0.2


def test_clusters_find_the_impact_to_millimetres(reference, barrel):
    high = reference.take(reference.momentum > 2)
    clusters = find_clusters(high, barrel)
    assert clusters.found.mean() > 0.99
    assert np.median(np.abs(clusters.offset_phi - np.median(clusters.offset_phi))) < 25


def test_the_centre_follows_the_impact(reference, barrel):
    """Seen from the true impact, the centre does not depend on where in the crystal that is."""
    values = observables(reference, barrel)
    impact = reference.conditions[:, [c.name for c in CONDITIONS].index("delta_z_pos")]
    assert np.corrcoef(values["centre_theta"], impact)[0, 1] < -0.2
    assert np.abs(np.median(values["offset_z"])) < 5


def test_asymmetries_see_the_side_of_the_inclination():
    showers = photons(window(_5_7=0.9))
    showers.conditions[0, 2] = 0.2
    values = observables(showers)
    assert (values["asymmetry_along"][0], values["asymmetry_across"][0]) == (1, 0)
    showers.conditions[0, 1:3] = [0.2, 0.0]
    values = observables(showers)
    assert (values["asymmetry_along"][0], values["asymmetry_across"][0]) == (0, 1)

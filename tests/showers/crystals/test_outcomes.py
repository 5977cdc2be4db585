"""What became of hadrons and muons, by the energy that is seen of them."""

from __future__ import annotations

import numpy as np
import pytest

from k4calofast.incidence.kinds import nominal
from k4calofast.showers.crystals.outcomes import (
    INTERACTED,
    IONISED,
    LENGTH,
    NOTHING,
    expected_ionisation,
    outcomes,
    way,
)

CHARGED = np.array([13, -13, 211, -211, 321, -321, 2212, -2212], np.int32)


def _expected(pdg, momentum, length=LENGTH):
    one = np.atleast_1d(np.asarray(momentum, float))
    return expected_ionisation(np.full(len(one), pdg), one, np.full(len(one), length))


def test_a_minimum_ionising_particle_loses_what_the_tables_say():
    """CsI: 1.243 MeV cm2/g at the minimum, 4.51 g/cm3 (Review of Particle Physics, sec. 6)."""
    momentum = np.linspace(0.3, 1.0, 200)
    # On a short way the loss is that of one momentum.
    least = _expected(13, momentum, 1.0).min()
    assert least == pytest.approx(1.243e-3 * 4.51 * 0.1, rel=0.01)


@pytest.mark.parametrize("pdg", CHARGED)
def test_no_more_is_lost_than_there_is(pdg):
    momentum = np.geomspace(0.02, 3.0, 300)
    mass = nominal(np.array([pdg]))[1][0]
    kinetic = np.hypot(momentum, mass) - mass
    lost = _expected(pdg, momentum)
    assert (lost <= kinetic * (1 + 1e-9)).all()
    assert (lost > 0).all()
    # The slowest stop, and leave all they have; the fastest go through.
    assert lost[0] == pytest.approx(kinetic[0])
    assert lost[-1] < 0.3 * kinetic[-1]


def test_a_longer_way_costs_more():
    short, long = (_expected(211, [0.5, 1.0, 2.0], length) for length in (200.0, 280.0))
    assert (long > short * 1.2).all()


@pytest.mark.parametrize("pdg", [22, 11, -11, 130, 2112, -2112])
def test_neutral_particles_and_electrons_do_not_ionise_alone(pdg):
    assert _expected(pdg, [0.1, 1.0]).sum() == 0


def test_ways_are_longer_at_an_angle_and_shorter_from_a_side():
    names = ("momentum", "delta_theta_mom", "delta_phi_mom", "z", "depth")
    values = {
        "delta_theta_mom": np.array([0.0, 0.3, 0.0, 0.0]),
        "delta_phi_mom": np.array([0.0, 0.0, 0.3, 0.0]),
        "z": np.zeros(4),
        "depth": np.array([0.0, 0.0, 0.0, 100.0]),
    }
    found = way(values.__getitem__, names)
    slanted = LENGTH / np.cos(0.3)
    np.testing.assert_allclose(found, [LENGTH, slanted, slanted, LENGTH - 100])


def test_outcomes():
    expected = np.array([0.16, 0.16, 0.16, 0.16, 0.0, 0.0])
    energy = np.array([0.0, 0.165, 0.3, 0.01, 0.01, 0.0])
    assert outcomes(energy, expected).tolist() == [
        NOTHING,
        IONISED,
        INTERACTED,
        INTERACTED,
        INTERACTED,
        NOTHING,
    ]

"""The energy that is seen of hadrons is divided into steps, and comes back from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from k4calofast.showers.crystals import outcomes
from k4calofast.training.crystals.ionisation import Ionisation
from k4calofast.training.crystals.response import Energies, Response
from k4calofast.training.crystals.sample import REST_ENERGY, available_energy

KINDS = [-2212, -2112, -321, -211, -13, 13, 130, 211, 321, 2112, 2212]
NAMES = ("momentum", "delta_theta_mom", "delta_phi_mom", "z", "depth")


@pytest.fixture
def conditions():
    random = np.random.default_rng(1)
    count = 4000
    return torch.from_numpy(
        np.stack(
            [
                np.exp(random.uniform(np.log(0.02), np.log(3.0), count)),
                random.uniform(-0.4, 0.4, count),
                random.uniform(-1, 1, count),
                random.uniform(0, 1300, count),
                random.exponential(10, count),
            ],
            1,
        )
    ).float()


@pytest.fixture
def pdg(conditions):
    return torch.tensor(KINDS)[torch.arange(len(conditions)) % len(KINDS)]


def test_graphs_expect_what_the_definition_of_outcomes_does(pdg, conditions):
    kinetic, expected = Ionisation(KINDS, NAMES)(pdg, conditions)
    columns = conditions.double().numpy()
    length = outcomes.way(lambda name: columns[:, NAMES.index(name)], NAMES)
    wanted = outcomes.expected_ionisation(pdg.numpy(), columns[:, 0], length)
    # Two tables of 512 values, one the inverse of the other: errors are of the kinetic energy.
    away = np.abs(expected.numpy() - wanted)
    assert (away < 2e-3 * wanted + 1e-4 * kinetic.numpy() + 1e-6).all()
    assert (expected <= kinetic * (1 + 1e-6)).all()


def test_energies_come_back_from_their_steps(pdg, conditions):
    torch.manual_seed(2)
    of = Energies(
        Ionisation(KINDS, NAMES)(pdg, conditions)[1], available_energy(pdg, conditions[:, 0])
    )
    response = Response(10, 8, 200)
    energy = of.available * torch.rand(len(pdg)) ** 2
    energy[::7] = 0
    ionised = torch.arange(len(pdg)) % 3 == 0
    more = torch.minimum(of.expected * 1.02, of.available)
    energy = torch.where(ionised & (of.expected > 0), more, energy)
    steps = response.steps(energy, of)
    assert ((steps == 0) == (energy == 0)).all()
    low, high = (response.energy(steps, torch.full((len(pdg),), end), of) for end in (0.0, 1.0))
    assert (energy >= low * (1 - 1e-4)).all()
    assert (energy <= high * (1 + 1e-4)).all()
    # Fine where the peak is.
    narrow = (steps > 0) & (steps <= response.ionised)
    assert ((high - low)[narrow] < 0.01 * of.expected[narrow]).all()
    # The outcome that is told is that of the definition, but on its edges.
    told = response.told(steps, energy, of)
    outcome = outcomes.outcomes(energy.double().numpy(), of.expected.double().numpy())
    assert ((told[:, 1] > 0).numpy() == (outcome == outcomes.IONISED)).mean() > 0.999


def test_what_interacts_does_not_look_ionised(pdg, conditions):
    """Whatever step and place are drawn, the outcome is the step's."""
    of = Energies(
        Ionisation(KINDS, NAMES)(pdg, conditions)[1], available_energy(pdg, conditions[:, 0])
    )
    response = Response(10, 8, 50)
    steps = 1 + response.ionised + torch.randint(50, (len(pdg),), dtype=torch.float32)
    places = 0.001 + 0.998 * torch.rand(len(pdg))
    energy = response.energy(steps, places, of)
    outcome = outcomes.outcomes(energy.double().numpy(), of.expected.double().numpy())
    assert (outcome == outcomes.INTERACTED).mean() > 0.9995
    back = response.steps(energy, of)
    assert ((back - steps).abs() <= 1).all()


def test_steps_are_drawn_with_their_probabilities():
    torch.manual_seed(1)
    response = Response(3, 8, 4).eval()
    given = torch.randn(1, 3).expand(100_000, -1)
    with torch.no_grad():
        drawn = response.draw(given, torch.rand(len(given)))
        wanted = response(given[:1]).softmax(1)[0]
    share = torch.bincount(drawn.long(), minlength=response.count) / len(given)
    torch.testing.assert_close(share, wanted, atol=0.006, rtol=0)


@pytest.mark.parametrize("pdg", sorted(REST_ENERGY))
def test_what_is_available_is_more_than_kinetic_energy(pdg):
    momentum = torch.tensor([0.02, 0.1, 1.0, 3.0])
    mass = REST_ENERGY[pdg][0]
    kinetic = (momentum**2 + mass**2).sqrt() - mass
    more = (available_energy(torch.tensor([pdg]), momentum) - kinetic).double()
    # Decays and captures give a meson's mass; annihilation two, but of antibaryons. Nuclei that
    # take up a hadron give some more; of a muon, the neutrinos take most.
    beside = {22: 0.0, 11: 0.0, -11: 2 * mass, 13: mass, -13: 0.0534, 2212: 0.0, 2112: 0.0069}
    of_antibaryons = 2 * mass if pdg < -2000 else mass
    wanted = beside.get(pdg, of_antibaryons + 0.02)
    np.testing.assert_allclose(more, wanted, atol=1e-6)


def test_no_step_has_more_energy_than_is_available(pdg, conditions):
    """A quarter more than what ranges out should lose is no more than there is."""
    of = Energies(
        Ionisation(KINDS, NAMES)(pdg, conditions)[1], available_energy(pdg, conditions[:, 0])
    )
    response = Response(10, 8, 200)
    last_of_ionised = torch.full((len(pdg),), response.ionised)
    energy = response.energy(last_of_ionised, torch.ones(len(pdg)), of)
    assert (energy <= of.available).all()
    assert (energy[of.expected > 0] > of.expected[of.expected > 0]).any()

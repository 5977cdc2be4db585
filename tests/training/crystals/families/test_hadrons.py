"""The mixture of outcomes: what is seen is what is drawn, and lies where the sample has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from k4calofast.incidence.kinds import nominal
from k4calofast.training import recipe
from k4calofast.training.crystals.sample import available_energy
from k4calofast.training.crystals.variables import EMPTY
from k4calofast.training.families import settings_of


@pytest.fixture(scope="module")
def family(sample, shape, small):
    """With networks that were not trained, but tables that were fitted."""
    made = recipe.build("hadrons", settings_of("hadrons")(**small["hadrons"]), shape)
    made.prepare(sample)
    made.eval().finish(sample)
    return made


@torch.no_grad()
def test_cells_have_the_energy_that_is_seen(family, sample):
    noise = torch.randn((len(sample), family.noise), generator=torch.Generator().manual_seed(1))
    standardised, total = family.cells(noise, sample.pdg, sample.conditions)
    energies = family.placed(family.variables.numbers(standardised)[:, :-1], sample.pdg, total)
    # But for cells below the threshold, which are dropped.
    lost = total - energies.sum(1)
    assert (lost > -1e-5 * total - 1e-7).all()
    assert (lost < 121 * family.threshold).all()
    assert ((energies == 0) | (energies > family.threshold)).all()


@torch.no_grad()
def test_cells_at_each_distance_get_their_share_of_the_energy(family, sample):
    """A generator that puts a fifth too little next to the middle is put right."""
    seen = sample.energies.sum(1)
    ring = family.spectra.ring
    less = torch.where(ring > 0, 0.8 * sample.energies, sample.energies).double().numpy()
    lit = less > family.threshold
    numbers = np.full(less.shape, EMPTY)
    numbers[lit] = family.variables.cell.encode(less[lit])
    numbers = torch.from_numpy(numbers).float()
    family.spectra.begin(family.variables.cell)
    family.balance.fill_(1.0)

    def away():
        made = family.placed(numbers, sample.pdg, seen)
        in_rings = torch.nn.functional.one_hot(ring).float()
        found, wanted = (x @ in_rings for x in (made, sample.energies))
        return float((found.sum(0)[1] / wanted.sum(0)[1] - 1).abs())

    before = away()
    family._balance(numbers, seen, sample)
    assert before > 0.06
    assert away() < 0.02


@torch.no_grad()
def test_protons_leave_no_more_than_their_kinetic_energy(sample, shape, small):
    """Nothing is taken up, so that nothing is added; a neutron adds what binds it."""
    kinds = torch.tensor([211, 2112, 2212])
    pdg = kinds[torch.arange(len(sample)) % 3]
    some = replace(sample, pdg=pdg, available=available_energy(pdg, sample.conditions[:, 0]))
    family = recipe.build(
        "hadrons",
        settings_of("hadrons")(**small["hadrons"]),
        replace(shape, kinds=kinds.tolist()),
    ).eval()
    family.prepare(some)
    noise = torch.randn((len(some), family.noise), generator=torch.Generator().manual_seed(2))
    seen = family.cells(noise, pdg, some.conditions)[1]
    momentum, mass = some.conditions[:, 0], torch.from_numpy(nominal(pdg.numpy())[1]).float()
    beyond = seen - ((momentum**2 + mass**2).sqrt() - mass)
    # A network that was not trained draws anything.
    assert beyond[pdg == 211].max() > 0.1
    assert 6e-3 < beyond[pdg == 2112].max() <= 6.9e-3 + 1e-6
    assert -1e-3 < beyond[pdg == 2212].max() <= 1e-6

"""Spectra by ring and energy: matched cells are lit as often as the sample's, with its energies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from k4calofast.training.crystals.spectra import Spectra
from k4calofast.training.crystals.variables import CUT, ShowerVariables


@pytest.fixture(scope="module")
def numbers_and_sample(sample):
    """A sample, and its own numbers as a bad generator would make them."""
    variables = ShowerVariables(121, 5e-5)
    numbers = variables.fit(sample, seed=1)
    torch.manual_seed(1)
    numbers = variables.numbers(variables.encode(numbers))[:, :-1]
    bad = 0.9 * numbers + 0.35 + 0.1 * torch.randn_like(numbers)
    return variables.cell, numbers, bad


def test_rings_are_distances_from_the_hit_cell():
    ring = Spectra((11, 11)).ring
    assert ring.bincount().tolist() == [1, 8, 16, 24, 32, 40]
    ring = ring.reshape(11, 11)
    assert ring[5, 5] == 0
    assert ring[4, 6] == ring[5, 6] == 1
    assert ring[0, 5] == ring[10, 10] == 5


def test_matched_cells_have_the_sample_s_occupancy_and_energy(numbers_and_sample, sample):
    scale, _, bad = numbers_and_sample
    spectra = Spectra((11, 11))
    spectra.fit(scale, bad, sample.energies, sample.available)
    energies = spectra(bad, sample.available)
    without = torch.where(bad > CUT, scale.decode(bad), torch.zeros(()))
    # In this sample, the hit cell alone is too few.
    for ring in range(1, 4):
        columns = spectra.ring == ring
        there, here, raw = (e[:, columns].double() for e in (sample.energies, energies, without))
        assert (here > 0).sum() == pytest.approx(int((there > 0).sum()), rel=0.04)
        assert here.sum() == pytest.approx(float(there.sum()), rel=0.05)
        assert abs(float(here.sum() - there.sum())) < abs(float(raw.sum() - there.sum()))
    line = [(e > 0.508e-3) & (e < 0.514e-3) for e in (sample.energies, energies)]
    assert int(line[1].sum()) == pytest.approx(int(line[0].sum()), rel=0.15)


def test_where_there_are_too_few_cells_the_common_scale_is_used(numbers_and_sample, sample):
    scale, numbers, _ = numbers_and_sample
    few = sample.take(slice(0, 40))
    spectra = Spectra((11, 11))
    spectra.fit(scale, numbers[:40], few.energies, few.available)
    here = spectra(numbers[:40], few.available)
    there = torch.where(numbers[:40] > CUT, scale.decode(numbers[:40]), torch.zeros(()))
    lit = there > 0
    assert torch.equal(lit, here > 0)
    np.testing.assert_allclose(here[lit].numpy(), there[lit].numpy(), rtol=0.02)


def test_energies_grow_with_numbers(numbers_and_sample, sample):
    scale, _, bad = numbers_and_sample
    spectra = Spectra((11, 11))
    spectra.fit(scale, bad, sample.energies, sample.available)
    # Of all cells together, numbers in the gap are mirrored out of it.
    grid = torch.linspace(0, 18, 2000)[:, None].expand(-1, 121)
    energies = spectra(grid, torch.full((2000,), 1.0))
    assert (energies.diff(dim=0) >= 0).all()

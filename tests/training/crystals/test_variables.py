"""What the network sees of showers keeps all that matters of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import TrainingError
from k4calofast.showers import crystals
from k4calofast.training.crystals.sample import Sample, available_energy, flipped, mirrored
from k4calofast.training.crystals.variables import EDGE, Scale, ShowerVariables

GEANT4 = Path(__file__).resolve().parents[2] / "data" / "geant4_showers.h5"
THRESHOLD = 5e-5


def test_geant4_deposits_no_more_than_is_available(sample):
    total = sample.energies.double().sum(1)
    assert (total <= sample.available * (1 + 1e-5)).all()
    # Photons that lose nothing are common at low momenta.
    assert (total > sample.available * (1 - 1e-5)).sum() > 10


def test_a_positron_can_leave_a_whole_electron_more_than_its_momentum():
    momentum = torch.tensor([0.02])
    electron, positron = (available_energy(torch.tensor([pdg]), momentum) for pdg in (11, -11))
    assert float(positron - electron) == pytest.approx(2 * 0.51099895e-3, rel=1e-4)


def test_showers_survive_their_numbers(sample):
    variables = ShowerVariables(121, THRESHOLD)
    numbers = variables.fit(sample, seed=1)
    standard = variables.encode(numbers, torch.Generator().manual_seed(2))
    assert standard.mean(0).abs().max() < 4 / len(sample) ** 0.5
    assert (standard.std(0) - 1).abs().max() < 0.15
    decoded = variables.decode(standard, sample.available)
    there, here = sample.energies, decoded
    assert ((there > 0) == (here > 0)).float().mean() > 0.9999
    lit = (there > 0) & (here > 0)
    # Large cells take up what the jitter of small ones changes in the sum, which is that of the
    # energy missing: much for a particle of GeV that leaves MeV.
    allowed = 2e-2 * there + 5e-4 * sample.available[:, None]
    assert ((here - there).abs() <= allowed)[lit].all()
    assert ((here - there).abs() / there)[lit].median() < 1e-3
    assert ((here.sum(1) - there.sum(1)).abs() <= 5e-4 * sample.available + 1e-6).all()


def test_numbers_grow_with_energies():
    scale = Scale()
    random = np.random.default_rng(1)
    energies = np.exp(random.uniform(np.log(THRESHOLD), np.log(2.0), 10_000))
    scale.fit(energies)
    ordered = np.sort(energies)
    numbers = scale.encode(ordered)
    assert (np.diff(numbers) >= 0).all()
    back = scale.decode(torch.from_numpy(numbers).float()).numpy()
    np.testing.assert_allclose(back, ordered, rtol=3e-3)
    assert scale.encode(np.array([EDGE])) == pytest.approx(
        scale.encode(np.array([EDGE * 0.9999])), rel=1e-3
    )


def test_a_shower_and_its_mirror_image_are_the_same(sample):
    names = [condition.name for condition in CONDITIONS]
    conditions = sample.conditions.clone()
    for name in ("z", "delta_theta_mom", "delta_z_pos"):
        conditions[:, names.index(name)] *= -1
    again, other = mirrored(conditions, names)
    assert other.all()
    torch.testing.assert_close(again, sample.conditions)
    windows = torch.arange(12.0).reshape(1, 4, 3)
    torch.testing.assert_close(flipped(windows, torch.tensor([True]))[0, 0], windows[0, 3])


def test_unknown_kinds_are_refused():
    showers, _ = crystals.read(GEANT4)
    showers.pdg[0] = 3112
    with pytest.raises(TrainingError, match="3112"):
        Sample.of(showers, THRESHOLD)


def test_a_matched_scale_gives_the_spectrum_it_was_matched_to():
    """Numbers that a generator has shifted and smeared still decode to the sample's spectrum."""
    random = np.random.default_rng(1)
    energies = np.where(
        random.random(50_000) < 0.03, 511e-6, np.exp(random.uniform(-9.5, -4.5, 50_000))
    )
    scale = Scale()
    scale.fit(energies)
    numbers = scale.encode(energies) * 0.95 + 0.1 * random.standard_normal(len(energies))
    share = (np.abs(energies - 511e-6) < 2e-6).mean()
    scale.match(numbers, energies)
    back = scale.decode(torch.from_numpy(numbers).float()).numpy()
    ranks = np.linspace(0.02, 0.98, 49)
    np.testing.assert_allclose(np.quantile(back, ranks), np.quantile(energies, ranks), rtol=0.02)
    assert (np.abs(back - 511e-6) < 2e-6).mean() == pytest.approx(share, rel=0.1)

"""The generators that come with the package, beside Geant4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from k4calofast.generator import Model, find_model
from k4calofast.showers import crystals
from k4calofast.training.crystals.sample import available_energy
from k4calofast.validation.crystals.comparison import groups_of, row_of
from k4calofast.validation.crystals.observables import observables
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.results import Sample

REPOSITORY = Path(__file__).resolve().parents[2]
GEANT4 = REPOSITORY / "tests" / "data" / "geant4_showers.h5"
ALL = sorted(
    str(card.parent.relative_to(REPOSITORY / "models"))
    for card in REPOSITORY.glob("models/besiii_*/*/card.yaml")
)
FAITHFUL = [f"besiii_emc_barrel/{name}" for name in ("accurate", "fast", "flow")]
"""Those for production: the others are there to be compared with."""


@pytest.fixture(scope="module", params=FAITHFUL)
def both(request, barrel):
    """160 showers of Geant4 and of a generator per kind and momentum."""
    geant4, _ = crystals.read(GEANT4)
    model = Model(find_model(request.param), "cpu")
    return geant4, Crystals(barrel, model.card.threshold).generated(model, geant4, 3)


def test_responses_are_those_of_geant4_within_the_errors_of_the_sample(both):
    samples = [Sample(showers, showers.conditions, observables(showers)) for showers in both]
    rows = [row_of(*samples, group) for group in groups_of(samples[0])]
    pulls = [row.figures["mean"].value / row.figures["mean"].error for row in rows]
    assert len(pulls) == 15
    assert np.abs(pulls).max() < 4
    assert abs(np.mean(pulls)) < 1.2


def test_no_shower_has_more_energy_than_there_is(both):
    import torch

    _, here = both
    total = here.energies.sum((1, 2), dtype=np.float64)
    pdg, momentum = torch.from_numpy(here.pdg.astype(np.int64)), torch.from_numpy(here.momentum)
    assert (total <= available_energy(pdg, momentum).numpy() * (1 + 1e-4)).all()


def test_the_line_of_annihilation_is_where_it_is(both):
    """Cells with 511 keV: as many as in Geant4, and a peak, not a hill."""
    counts = []
    for showers in both:
        cells = showers.energies[showers.energies > 0]
        peak = ((cells > 0.508e-3) & (cells < 0.514e-3)).sum()
        beside = ((cells > 0.52e-3) & (cells < 0.526e-3)).sum()
        counts.append((peak, beside))
    (geant4, background), (here, hill) = counts
    assert geant4 > 5 * background
    assert here > 4 * hill
    assert here == pytest.approx(geant4, rel=0.25)


def test_soft_photons_often_lose_nothing(both):
    shares = []
    for showers in both:
        chosen = (showers.pdg == 22) & (showers.momentum < 0.06)
        shares.append((observables(showers)["response"][chosen] > 0.9999).mean())
    assert shares[0] > 0.1
    assert shares[1] == pytest.approx(shares[0], abs=0.12)


@pytest.mark.parametrize("name", ALL)
def test_a_shower_is_the_same_bit_by_bit_wherever_it_is_in_a_batch(name):
    here, _ = crystals.read(GEANT4)
    here = here.take(slice(0, 500))
    model = Model(find_model(name), "cpu")
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((len(here), model.card.noise)).astype(np.float32)
    there = model.energies(here.pdg, here.conditions, noise)
    for _ in range(2):
        order = rng.permutation(len(here))
        moved = model.energies(here.pdg[order], here.conditions[order], noise[order])
        np.testing.assert_array_equal(moved, there[order])


@pytest.mark.parametrize("name", ALL)
def test_extremes_of_the_range_give_finite_showers(name):
    """Every corner of the conditions, with noise far in its tails."""
    model = Model(find_model(name), "cpu")
    rng = np.random.default_rng(1)
    for pdg, ranges in model.card.kinds.items():
        bounds = np.array(list(ranges.values()))
        conditions = bounds[np.arange(6), rng.integers(0, 2, (500, 6))]
        noise = np.clip(2 * rng.standard_normal((500, model.card.noise)), -6, 6)
        energies = model.energies(np.full(500, pdg, np.int32), conditions, noise.astype(np.float32))
        assert np.isfinite(energies).all()
        assert (energies >= 0).all()

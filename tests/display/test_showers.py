"""Mean showers are those of the model: their energy, their place, their kinds."""

from __future__ import annotations

import numpy as np
import pytest

from k4calofast.display.showers import mean_shower
from k4calofast.display.stills import shower_still
from k4calofast.exceptions import OutOfDomainError, SteeringError
from k4calofast.generator import Model, find_model


@pytest.fixture(scope="module")
def crystals() -> Model:
    return Model(find_model("besiii_emc_barrel/fast"), "cpu")


@pytest.fixture(scope="module")
def layers() -> Model:
    return Model(find_model("cld_ecal_barrel/layered"), "cpu")


def test_the_mean_of_the_window_is_the_mean_of_the_showers(crystals, layers):
    for model, momentum in ((crystals, 1.0), (layers, 10.0)):
        shower = mean_shower(model, 22, momentum, 75, 15, 60, 1)
        assert shower.mean.shape == tuple(model.card.window)
        assert shower.mean.sum() == pytest.approx(shower.deposited.mean(), rel=1e-6)
        middle = tuple(size // 2 for size in shower.mean.shape[-2:])
        across = shower.mean.reshape(-1, *shower.mean.shape[-2:]).sum(0)
        assert np.unravel_index(across.argmax(), across.shape) == middle
    # A calorimeter of crystals sees nearly all of a photon, silicon a few per cent of it.
    assert 0.9 < mean_shower(crystals, 22, 1.0, 75, 15, 60, 1).deposited.mean() < 1.0
    assert 0.2 < shower.deposited.mean() < 0.4


def test_showers_are_the_same_for_the_same_seed(crystals):
    shower = mean_shower(crystals, 11, 0.5, 80, 100, 40, 3)
    assert (mean_shower(crystals, 11, 0.5, 80, 100, 40, 3).mean == shower.mean).all()
    assert (mean_shower(crystals, 11, 0.5, 80, 100, 40, 4).mean != shower.mean).any()


def test_labels_of_both_kinds_are_there(crystals, layers):
    for model, label in ((crystals, b"rings in theta"), (layers, b"layer 39")):
        svg = shower_still(mean_shower(model, 22, 2.0, 75, 15, 20, 1), "svg")
        assert label in svg
        assert b"deposited energy / momentum [%]" in svg
        assert model.card.name.encode() in svg


def test_what_the_model_does_not_simulate_is_one_sentence(crystals):
    with pytest.raises(OutOfDomainError, match="does not simulate PDG 211, but 22, 11, -11"):
        mean_shower(crystals, 211, 1.0, 75, 15, 10, 1)
    with pytest.raises(OutOfDomainError, match="no PDG 22 of 1 GeV at theta 5, phi 15 degrees"):
        mean_shower(crystals, 22, 1.0, 5, 15, 10, 1)
    with pytest.raises(OutOfDomainError, match="no PDG 22 of 500 GeV"):
        mean_shower(crystals, 22, 500.0, 75, 15, 10, 1)
    with pytest.raises(SteeringError, match="Momentum"):
        mean_shower(crystals, 22, -1.0, 75, 15, 10, 1)

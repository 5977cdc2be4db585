"""Reduced models: half the file, or int8, and what each costs."""

from __future__ import annotations

import numpy as np
import pytest

from k4calofast.exceptions import ModelError
from k4calofast.generator import Model, find_model
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.training.precision import Reduced
from k4calofast.training.reduction import reduce


@pytest.fixture(scope="module")
def flow():
    return find_model("besiii_emc_barrel/flow")


def test_half_precision_weights_halve_the_file_and_move_showers_little(flow, geant4, tmp_path):
    showers, _ = crystals.read(geant4)
    card = reduce(flow, tmp_path / "b" / "half", Reduced.FLOAT16, geant4, "k4calofast reduce ...")
    assert (tmp_path / "b" / "half" / card.file).stat().st_size < 0.55 * (
        (flow / "model.onnx").stat().st_size
    )
    assert card.validation == {}
    assert card.training.command.endswith("&& k4calofast reduce ...")
    few = showers.take(slice(0, 400))
    noise = np.random.default_rng(1).standard_normal((400, card.noise)).astype(np.float32)
    there, here = (
        Model(folder, "cpu").energies(few.pdg, few.conditions, noise).sum((1, 2))
        for folder in (flow, tmp_path / "b" / "half")
    )
    assert np.median(np.abs(here - there) / few.momentum) < 1e-3


def test_int8_showers_do_not_depend_on_their_neighbours(flow, geant4, tmp_path):
    showers, _ = crystals.read(geant4)
    reduce(flow, tmp_path / "b" / "int8", Reduced.INT8, geant4, "")
    model = Model(tmp_path / "b" / "int8", "cpu")
    assert read_card(tmp_path / "b" / "int8").name == "b/int8"
    few = showers.take(slice(0, 60))
    noise = np.random.default_rng(1).standard_normal((60, model.card.noise)).astype(np.float32)
    together = model.energies(few.pdg, few.conditions, noise)
    alone = model.energies(few.pdg[33:34], few.conditions[33:34], noise[33:34])
    np.testing.assert_array_equal(alone[0], together[33])
    there = Model(flow, "cpu").energies(few.pdg, few.conditions, noise)
    assert np.corrcoef(there.ravel(), together.ravel())[0, 1] > 0.95


def test_a_model_without_large_weights_cannot_be_reduced(geant4, small, tmp_path):
    from k4calofast.training import recipe
    from k4calofast.training.families import settings_of

    settings = settings_of("library")(**small["library"])
    output = tmp_path / "b" / "f"
    task = recipe.Task("library", settings, geant4)
    recipe.train(task, recipe.Product(output, tmp_path / "w"))
    with pytest.raises(ModelError, match="no hidden layers"):
        reduce(output, tmp_path / "b" / "g", Reduced.INT8, geant4, "")

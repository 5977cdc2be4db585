"""Models and cards come from others: they are checked, and what does not fit is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from k4calofast.exceptions import ModelError, SteeringError
from k4calofast.generator import Model, find_model
from k4calofast.generator.card import read_card, write_card


def inputs(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    conditions = np.zeros((count, 6))
    conditions[:, 0] = rng.uniform(0.1, 2.0, count)
    noise = rng.standard_normal((count, 9)).astype(np.float32)
    return np.full(count, 22, np.int32), conditions, noise


def test_a_model_runs_and_shares_the_momentum(toy):
    pdg, conditions, noise = inputs(50)
    energies = Model(toy(), "cpu").energies(pdg, conditions, noise)
    assert energies.shape == (50, 3, 3)
    np.testing.assert_allclose(energies.sum((1, 2)), conditions[:, 0], rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 100])
def test_a_shower_depends_on_its_own_inputs_alone(toy, count, threads):
    pdg, conditions, noise = inputs(100)
    folder = toy()
    every = Model(folder, "cpu").energies(pdg, conditions, noise)
    rows = np.random.default_rng(1).permutation(100)[:count]
    some = Model(folder, "cpu", threads).energies(pdg[rows], conditions[rows], noise[rows])
    np.testing.assert_array_equal(some, every[rows])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sha256": "0" * 64}, "do not belong together"),
        ({"noise": 8}, "'noise' is"),
        ({"window": [5, 5]}, "'energies' is"),
        ({"kinds": [22]}, "'pdg' is"),
        ({"file": "../model.onnx"}, "plain file name"),
        ({"file": "other.onnx"}, "no such file"),
        ({"kinds": {}}, "kinds"),
        ({"kinds": {22: {"momentum": [0.1, 1.0]}}}, "must have ranges"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_model_and_card_that_disagree_are_refused(toy, changes, sentence):
    folder = toy(**changes)
    with pytest.raises(ModelError, match=sentence):
        Model(folder, "cpu")


def test_what_is_no_model_is_refused(toy, tmp_path):
    folder = toy(sha256=hashlib.sha256(b"hello").hexdigest())
    (folder / "model.onnx").write_bytes(b"hello")
    with pytest.raises(ModelError, match="cannot be run"):
        Model(folder, "cpu")
    (folder / "card.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(ModelError, match="cannot be read"):
        Model(folder, "cpu")
    with pytest.raises(ModelError, match="no model here"):
        read_card(tmp_path)


def test_models_are_found_by_path_and_by_name(toy, tmp_path, monkeypatch):
    folder = toy()
    assert find_model(str(folder)) == folder
    with pytest.raises(
        ModelError, match="no model 'barrel/toy'; there are besiii_emc_barrel/accurate"
    ):
        find_model("barrel/toy")
    monkeypatch.setenv("K4CALOFAST_MODEL_PATH", str(tmp_path))
    assert find_model("barrel/toy") == folder


def test_providers_that_are_not_there_are_named(toy):
    with pytest.raises(SteeringError, match="there are auto, cpu"):
        Model(toy(), "gpu")
    with pytest.raises(ModelError, match="k4calofast\\[gpu\\]"):
        Model(toy(), "tensorrt")


@pytest.mark.parametrize("text", ["", "é", ": - {", "two\nlines", "'\"", "1e3", "null"])
def test_a_card_survives_its_file(toy, text):
    folder = toy(description=text)
    card = read_card(folder)
    assert card.description == text
    write_card(folder, card)
    assert read_card(folder) == card

"""Models and cards come from others: they are checked, and what does not fit is refused."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
import yaml

from k4calofast import output
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import ModelError, SteeringError, UnknownDetectorError
from k4calofast.generator import Model, find_model
from k4calofast.generator.card import read_card, write_card

RANGES = {condition.name: [-1.0, 1.0] for condition in CONDITIONS}


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
        ({"window": [3, 4]}, "has no centre"),
        ({"window": [3, 3, 3], "kinds": {22: RANGES}}, "rows and columns, not 3 sides"),
        ({"interface": "hits"}, "'shower' is absent"),
        ({"interface": "clouds"}, "interface"),
        ({"interface": None}, "interface"),
        ({"detector": "nowhere"}, "no detector 'nowhere'; there are BESIII_EMC_barrel"),
        ({"detector": "../nowhere.yaml"}, "name of a calorimeter, no path"),
        ({"layout": 2}, "layout 2 is of a newer release; this one reads cards up to 1"),
        ({"needs": ["noise", "magic"]}, "needs 'magic', which this release does not know"),
        ({"uniform": 3}, "'uniform' is absent"),
        ({"kinds": [22]}, "'pdg' is"),
        ({"file": "../model.onnx"}, "plain file name"),
        ({"file": "other.onnx"}, "no such file"),
        ({"kinds": {}}, "kinds"),
        (
            {"kinds": {22: {"momentum": [0.1, 1.0], "colour": [0, 1]}}},
            "must have ranges for momentum, and for others",
        ),
        (
            {"kinds": {22: {"z": [-1, 1]}}},
            "must have ranges for momentum, and for others",
        ),
        ({"kinds": {22: RANGES, 11: {"z": [0, 1]}}}, "kind 11 must have ranges"),
        ({"kinds": {22: RANGES | {"z": [1.0, 1.0]}}}, "range of z is empty"),
    ],
)
def test_model_and_card_that_disagree_are_refused(toy, changes, sentence):
    folder = toy(**changes)
    with pytest.raises((ModelError, UnknownDetectorError), match=sentence):
        Model(folder, "cpu")


def test_what_a_newer_release_adds_to_a_card_is_kept_and_does_not_refuse_it(toy):
    folder = toy(surprise={"a": [1]}, needs=["noise", "block"])
    pdg, conditions, noise = inputs(5)
    assert Model(folder, "cpu").energies(pdg, conditions, noise).any()
    write_card(folder, read_card(folder))
    assert yaml.safe_load((folder / "card.yaml").read_text())["surprise"] == {"a": [1]}


def test_cards_of_the_release_before_are_read_by_their_windows(toy, two_layers):
    old = {"layout": None, "interface": None}
    assert read_card(toy(**old)).interface == "windows"
    assert read_card(toy(**old, window=[2, 3, 3], detector=two_layers)).interface == "hits"
    assert read_card(toy(**old)).layout == 1


def test_a_model_whose_rewriting_was_interrupted_is_no_model(toy):
    """The ONNX file comes first, then the card that has its digest."""
    folder = toy()
    output.write(folder / "model.onnx", (folder / "model.onnx").read_bytes() + b"new")
    with pytest.raises(ModelError, match="do not belong together"):
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
        ModelError, match=r"no model 'barrel/toy'; there are .*besiii_emc_barrel/accurate"
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


def test_the_order_of_conditions_in_a_card_does_not_matter(tmp_path):
    folder = tmp_path / "turned"
    shutil.copytree(find_model("besiii_emc_barrel/fast"), folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=True))
    model = Model(folder)
    assert model.card.kinds == read_card(find_model("besiii_emc_barrel/fast")).kinds
    names = tuple(condition.name for condition in model.detector.conditions)
    assert model.card.conditions == names
    assert model.columns.tolist() == [0, 1, 2, 3, 4, 5, 6]

"""Models and cards come from others: they are checked, and what does not fit is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import yaml

from k4calofast.exceptions import ModelError, SteeringError
from k4calofast.generator import Model, find_model
from k4calofast.generator.card import read_card, write_card

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
toy (float[N,9] noise, float[N,6] conditions, int64[N] pdg) => (float[N,3,3] energies) {
  zero = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64[1] {1}> ()
  window = Constant <value = int64[3] {-1, 3, 3}> ()
  momentum = Slice (conditions, zero, one, one)
  shares = Softmax <axis = 1> (noise)
  flat = Mul (shares, momentum)
  energies = Reshape (flat, window)
}
"""

RANGES = {
    "momentum": [0.02, 3.0],
    "delta_theta_mom": [-0.3, 0.3],
    "delta_phi_mom": [-0.3, 0.3],
    "delta_z_pos": [-40.0, 40.0],
    "delta_phi_pos": [-0.03, 0.03],
    "z": [-1378.0, 1378.0],
}


@pytest.fixture
def toy(tmp_path) -> Callable[..., Path]:
    """Write the toy model; keywords replace fields of its card."""

    def write(graph: str = GRAPH, **changes: Any) -> Path:
        content = onnx.parser.parse_model(graph).SerializeToString()
        folder = tmp_path / "barrel" / "toy"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(content)
        card = {
            "name": "barrel/toy",
            "version": "1",
            "description": "momentum shared among nine cells",
            "licence": "Apache-2.0",
            "authors": "nobody",
            "file": "model.onnx",
            "sha256": hashlib.sha256(content).hexdigest(),
            "detector": "BESIII_EMC_barrel",
            "window": [3, 3],
            "threshold": 0.0,
            "kinds": {22: RANGES, 11: RANGES},
            "noise": 9,
            "block": 16,
            "training": {
                "method": "none",
                "command": "none",
                "showers": 0,
                "sample": "none",
                "seed": 0,
                "simulation": "none",
                "physics": "none",
                "physics_data": "none",
                "software": "none",
                "machine": "none",
                "minutes": 0.0,
            },
            "validation": {},
        } | changes
        (folder / "card.yaml").write_text(yaml.safe_dump(card))
        return folder

    return write


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
        ({"kinds": {22: RANGES}}, "'pdg' is"),
        ({"file": "../model.onnx"}, "plain file name"),
        ({"file": "other.onnx"}, "cannot be read"),
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


def test_a_model_cannot_read_files_of_its_own(toy):
    """Weights outside the file could be any file of the user's."""
    model = onnx.parser.parse_model(GRAPH)
    weights = onnx.helper.make_tensor("secret", onnx.TensorProto.FLOAT, [9], np.zeros(9))
    weights.ClearField("float_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="secret.bin")
    model.graph.initializer.append(weights)
    model.graph.node.append(onnx.helper.make_node("Add", ["noise", "secret"], ["unused"]))
    content = model.SerializeToString()
    folder = toy(sha256=hashlib.sha256(content).hexdigest())
    (folder / "model.onnx").write_bytes(content)
    (folder / "secret.bin").write_bytes(b"\0" * 36)
    with pytest.raises(ModelError, match="cannot be run"):
        Model(folder, "cpu")


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

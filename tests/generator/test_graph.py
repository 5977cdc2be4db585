"""What an ONNX file would do is known before ONNX Runtime sees it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from k4calofast.exceptions import ModelError
from k4calofast.generator import Model
from k4calofast.generator.graph import (
    DATA_LOCATION,
    EXTERNAL_DATA,
    MESSAGES,
    NODE_INPUT,
    NODE_OPERATOR,
    refusal,
)

MODELS = Path(__file__).resolve().parents[2] / "models"


def external(name: str) -> onnx.TensorProto:
    """Nine numbers in a file."""
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [9], np.ones(9))
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def shifted() -> onnx.ModelProto:
    """A model whose noise is moved by weights in a file."""
    model = onnx.parser.parse_model("""
<ir_version: 8, opset_import: ["" : 17]>
toy (float[N,9] noise, float[N,6] conditions, int64[N] pdg) => (float[N,3,3] energies) {
  window = Constant <value = int64[3] {-1, 3, 3}> ()
  moved = Add (noise, weights)
  squared = Mul (moved, moved)
  energies = Reshape (squared, window)
}
""")
    model.graph.initializer.append(external("weights"))
    return model


@pytest.mark.parametrize("where", ["model", "elsewhere"])
def test_weights_in_other_files_are_refused_whatever_the_working_directory(
    toy, tmp_path, monkeypatch, where
):
    """They could be any file of the user's, and their digest is not the card's."""
    folder = toy(shifted())
    there = folder if where == "model" else tmp_path
    (there / "weights.bin").write_bytes(np.full(9, 7, np.float32).tobytes())
    monkeypatch.chdir(there)
    with pytest.raises(ModelError, match=r"model.onnx: cannot be run: .*\(external data\)"):
        Model(folder, "cpu")


def places_for_tensors() -> dict[str, onnx.ModelProto]:
    """Models with external data in every place that can hold a tensor."""
    names = ("initialiser", "sparse", "attribute", "attributes", "subgraph", "function", "training")
    made = {name: onnx.ModelProto() for name in names}
    made["initialiser"].graph.initializer.append(external("a"))
    made["sparse"].graph.sparse_initializer.add().indices.CopyFrom(external("a"))
    made["attribute"].graph.node.add().attribute.add().t.CopyFrom(external("a"))
    made["attributes"].graph.node.add().attribute.add().sparse_tensors.add().values.CopyFrom(
        external("a")
    )
    inner = made["subgraph"].graph.node.add().attribute.add().graphs.add().node.add()
    inner.attribute.add().g.initializer.append(external("a"))
    made["function"].functions.add().node.add().attribute.add().tensors.append(external("a"))
    made["training"].training_info.add().algorithm.initializer.append(external("a"))
    return made


@pytest.mark.parametrize("where", places_for_tensors())
def test_weights_in_other_files_are_found_in_every_place(where):
    assert "external data" in refusal(places_for_tensors()[where].SerializeToString())


def test_all_places_of_nodes_and_tensors_in_onnx_are_known():
    waiting, seen = [onnx.ModelProto.DESCRIPTOR], {}
    while waiting:
        message = waiting.pop()
        if message.name in seen:
            continue
        inner = [field for field in message.fields if field.message_type is not None]
        seen[message.name] = {field.number: field.message_type.name for field in inner}
        waiting += [field.message_type for field in inner]
    ends = {"NodeProto", "TensorProto"}
    while ends != (more := ends | {a for a, b in seen.items() if ends & set(b.values())}):
        ends = more
    assert {
        message: {number: name for number, name in seen[message].items() if name in ends}
        for message in ends
    } == MESSAGES
    numbers = {
        (message.DESCRIPTOR.name, name): message.DESCRIPTOR.fields_by_name[name].number
        for message, name in (
            (onnx.NodeProto, "input"),
            (onnx.NodeProto, "op_type"),
            (onnx.TensorProto, "external_data"),
            (onnx.TensorProto, "data_location"),
        )
    }
    assert list(numbers.values()) == [NODE_INPUT, NODE_OPERATOR, EXTERNAL_DATA, DATA_LOCATION]


RANDOM = {
    "RandomNormalLike": "drawn = RandomNormalLike (noise)",
    "RandomUniformLike": "drawn = RandomUniformLike <seed = 1.0> (noise)",
    "Bernoulli": "shares = Softmax <axis = 1> (noise)  drawn = Bernoulli (shares)",
    "Dropout": "yes = Constant <value = bool {1}> ()  half = Constant <value = float {0.5}> ()"
    "  drawn = Dropout (noise, half, yes)",
}


@pytest.mark.parametrize("operator", RANDOM)
def test_models_that_draw_their_own_random_numbers_are_refused(toy, operator):
    """A shower would depend on those before it."""
    graph = """
<ir_version: 8, opset_import: ["" : 17]>
toy (float[N,9] noise, float[N,6] conditions, int64[N] pdg) => (float[N,3,3] energies) {
  window = Constant <value = int64[3] {-1, 3, 3}> ()
  DRAWN
  squared = Mul (drawn, drawn)
  energies = Reshape (squared, window)
}
""".replace("DRAWN", RANDOM[operator])
    with pytest.raises(ModelError, match=f"its operator {operator} "):
        Model(toy(graph), "cpu")


def test_random_numbers_are_found_inside_of_other_operators():
    model = onnx.ModelProto()
    inner = model.graph.node.add(op_type="If").attribute.add().g.node.add(op_type="Loop")
    inner.attribute.add().g.node.add(op_type="RandomNormal")
    assert "RandomNormal" in refusal(model.SerializeToString())
    assert "EPContext" in refusal(
        helper.make_model(
            helper.make_graph([helper.make_node("EPContext", [], ["a"])], "g", [], [])
        ).SerializeToString()
    )


def test_a_dropout_that_does_nothing_is_taken():
    graph = helper.make_graph([helper.make_node("Dropout", ["a", "ratio", ""], ["b"])], "g", [], [])
    assert refusal(helper.make_model(graph).SerializeToString()) is None


@pytest.mark.parametrize("card", sorted(MODELS.glob("*/*/card.yaml")), ids=os.path.dirname)
def test_the_models_of_the_package_are_taken(card):
    assert refusal((card.parent / "model.onnx").read_bytes()) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_to_their_end(content):
    assert refusal(content) is None or refusal(content).startswith("it")


@given(st.data())
def test_a_damaged_model_is_read_to_its_end(data):
    content = bytearray(shifted().SerializeToString())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    assert refusal(bytes(content[:end])) is None or refusal(bytes(content[:end]))

"""Reduced models: half the file, or int8, and what each costs."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from k4calofast.exceptions import ModelError
from k4calofast.generator import Model, find_model
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.training.precision import Reduced
from k4calofast.training.reduction import halved, reduce, widened

PACKAGED = [
    *(
        f"besiii_emc_{part}/{name}"
        for part in ("barrel", "endcaps")
        for name in ("accurate", "fast", "hadrons")
    ),
    *(f"{detector}_ecal_barrel/layered" for detector in ("cepc", "cld", "ild")),
]


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


WEIGHTS = np.random.default_rng(0).standard_normal((64, 1100)).astype(np.float32)


def _graph(values: np.ndarray, operator: str = "MatMul") -> bytes:
    """A model with these weights, which takes 64 numbers."""
    inputs = ["weights", "x"] if operator == "Gather" else ["x", "weights"]
    nodes = [helper.make_node(operator, inputs, ["z"])]
    kind, size = (TensorProto.INT64, []) if operator == "Gather" else (TensorProto.FLOAT, [64])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, ["N", *size])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", *map(str, size)])],
        [numpy_helper.from_array(values, "weights")],
    )
    return helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    ).SerializeToString()


@pytest.mark.parametrize(
    ("values", "operator"),
    [
        (WEIGHTS[:, :15], "MatMul"),  # too few to pay
        (WEIGHTS * 1e5, "MatMul"),  # beyond the largest number of half precision
        (np.where(WEIGHTS > 4, np.inf, WEIGHTS), "MatMul"),
        (WEIGHTS * 1e-8, "MatMul"),  # all below the smallest
        (WEIGHTS[:, :64].astype(np.float64), "MatMul"),
        (WEIGHTS[:1, :64].repeat(64, 0), "Add"),  # no matrix, and too small for a table
        (np.abs(WEIGHTS.ravel()) + np.float32(1e-6), "Gather"),  # some have too few bits
        (np.zeros((64, 64), np.float32), "MatMul"),
    ],
)
def test_numbers_that_half_precision_would_spoil_are_left(values, operator):
    with pytest.raises(ModelError, match="no large weights to reduce"):
        halved(_graph(values, operator))


@given(scale=st.floats(2.0**-14, 2.0**15, width=32), seed=st.integers(0, 1000))
def test_what_is_halved_is_right_to_eleven_bits_of_the_largest_weight(scale, seed):
    random = np.random.default_rng(seed)
    values = (scale * random.uniform(-1, 1, (64, 16)) ** 5).astype(np.float32)
    values[0, 0] = scale
    there = onnx.load_from_string(widened(halved(_graph(values)))).graph
    assert [node.op_type for node in there.node] == ["MatMul"]
    (weights,) = there.initializer
    assert weights.name == "weights"
    found = numpy_helper.to_array(weights)
    assert np.abs(found - values).max() <= 2.0**-11 * np.abs(values).max()


@given(scale=st.floats(2.0**-14, 2.0**15, width=32), seed=st.integers(0, 1000))
def test_weights_with_eight_bits_are_right_to_these(scale, seed):
    """Where half precision has no subnormal numbers, they are those of bfloat16."""
    random = np.random.default_rng(seed)
    values = (scale * random.uniform(-1, 1, (64, 16))).astype(np.float32)
    values[0, 0] = scale
    (weights,) = onnx.load_from_string(widened(halved(_graph(values), 3))).graph.initializer
    found = numpy_helper.to_array(weights)
    assert np.abs(found - values).max() <= 2.0**-8 * np.abs(values).max()
    normal = np.abs(values) > 2.0**-14
    once = values.view(np.uint32).astype(np.uint64) + 0x7FFF + (values.view(np.uint32) >> 16 & 1)
    once = (once >> 16 << 16).astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(found[normal], once[normal])


def test_tables_are_halved_where_every_value_keeps_eleven_bits():
    values = (1 + np.abs(WEIGHTS.ravel())) * np.float32(1e-3)
    (table,) = onnx.load_from_string(widened(halved(_graph(values, "Gather")))).graph.initializer
    np.testing.assert_allclose(numpy_helper.to_array(table), values, rtol=2.0**-11)


@pytest.mark.parametrize("name", ["besiii_emc_barrel/flow", "besiii_emc_barrel/fast"])
def test_nothing_is_left_of_half_precision_when_a_model_is_loaded(name, tmp_path):
    """Neither a cast at each call, nor another operator than in the model of before."""
    content = (find_model(name) / "model.onnx").read_bytes()
    graphs = []
    with suppress(ModelError):
        content = halved(content)
    for one in (widened(content), content):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        onnxruntime.InferenceSession(one, options, providers=["CPUExecutionProvider"])
        graphs.append(onnx.load(tmp_path / "optimised.onnx").graph)
    wide, narrow = graphs
    assert Counter(n.op_type for n in wide.node) == Counter(n.op_type for n in narrow.node)
    halves = {t.name for t in narrow.initializer if t.data_type == TensorProto.FLOAT16}
    # What these tables have is looked up before it is widened: a few numbers for each shower.
    assert halves <= {"halo.missing", "halo.lost"}


@pytest.mark.parametrize("name", PACKAGED)
def test_models_of_the_package_store_large_weights_in_half_precision(name):
    with pytest.raises(ModelError, match="no large weights to reduce"):
        halved((find_model(name) / "model.onnx").read_bytes())


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

"""What is wrong with a model is found before it is released, and said in a sentence each."""

from __future__ import annotations

import pytest

from k4calofast.generator.checking import faults

from .conftest import GRAPH, RANGES


def test_a_model_that_can_be_used_has_no_faults(toy):
    assert faults(toy()) == []


def test_all_that_a_card_says_wrong_is_said_at_once(toy):
    folder = toy(detector="nowhere", kinds={22: RANGES | {"momentum": [-1.0, 2.0]}})
    (folder / "model.onnx").write_bytes(b"hello")
    found = faults(folder)
    assert [fault.partition(f"{folder}/")[2].split(":")[0] for fault in found] == [
        "card.yaml",
        "card.yaml",
        "model.onnx",
    ]
    for fault, what in zip(found, ("no detector", "begins at 0", "do not belong"), strict=True):
        assert what in fault


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("Softmax <axis = 1> (noise)", "RandomNormalLike (noise)", "random numbers of its own"),
        ("Softmax <axis = 1> (noise)", "Exp (noise)", "GeV from a particle of"),
        ("Softmax <axis = 1> (noise)", "Sub (noise, noise)", "no shower has any energy"),
        ("Softmax <axis = 1> (noise)", "Softmax <axis = 0> (noise)", "what else is in its call"),
        # Only at the edge of the range is a momentum as large as this.
        (
            "Slice (conditions, zero, one, one)",
            "Slice (conditions, zero, one, one)  most = Constant <value = float[1] {2.9999}> ()"
            "  room = Sub (most, given)  root = Sqrt (room)  square = Mul (root, root)"
            "  momentum = Sub (most, square)",
            "at the edges of its ranges: model 'barrel/toy' gave energies that are NaN",
        ),
    ],
)
def test_what_a_graph_does_wrong_is_found_by_trying_it(toy, old, new, sentence):
    graph = GRAPH.replace(old, new)
    if "momentum = Sub" in new:
        graph = graph.replace("momentum = Slice", "given = Slice")
    found = faults(toy(graph))
    assert found
    assert any(sentence in fault for fault in found), found


def test_a_folder_without_a_card_is_said_to_be_no_model(tmp_path):
    (fault,) = faults(tmp_path)
    assert "no model here" in fault


def test_an_antineutron_has_the_energy_of_what_it_annihilates_with(toy):
    """At rest 1.88 GeV; a photon of .02 to .05 GeV has no more than that."""
    graph = GRAPH.replace(
        "flat = Mul (shares, momentum)",
        "rest = Constant <value = float[1] {1.8}> ()  all = Add (momentum, rest)"
        "  flat = Mul (shares, all)",
    )
    slow = RANGES | {"momentum": [0.02, 0.05]}
    assert faults(toy(graph, kinds={-2112: slow, 2112: slow})) == []
    found = faults(toy(graph, kinds={22: slow, 11: slow}))
    assert any("GeV from a particle of" in fault for fault in found)

"""What a model returns is checked at each call: models lie, and the sentence says which one."""

from __future__ import annotations

import threading
from signal import SIGINT, raise_signal
from typing import Any

import numpy as np
import pytest

from k4calofast.exceptions import ModelError
from k4calofast.generator import Model

WINDOWS = """
<ir_version: 8, opset_import: ["" : 17]>
toy (float[N,9] noise, float[N,6] conditions, int64[N] pdg) => (float[M,3,3] energies) {
  window = Constant <value = int64[3] {-1, 3, 3}> ()
  zero = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64[1] {1}> ()
  two = Constant <value = int64[1] {2}> ()
  fifteen = Constant <value = int64[1] {15}> ()
  flat = Mul (noise, noise)
  BODY
}
"""
"""A momentum above 1.5 GeV switches faults on where showers alone decide."""

DEPOSITS = """
<ir_version: 8, opset_import: ["" : 17]>
toy (float[N,9] noise, float[N,6] conditions, int64[N] pdg, float[N,2,3] t, float[N,2,3] z,
     float[N,4] uniform) => (int64[A] shower, int64[B] place, float[C] energy, float[D] delay) {
  zero = Constant <value = int64 {0}> ()
  one = Constant <value = int64 {1}> ()
  last = Constant <value = int64[1] {-1}> ()
  axis = Constant <value = int64[1] {1}> ()
  first = Constant <value = int64[1] {0}> ()
  size = Shape (pdg)
  count = Squeeze (size, first)
  ordered = Range (zero, count, one)
  middle = Constant <value = int64 {17}> ()
  none = Mul (ordered, zero)
  squares = Mul (noise, noise)
  start = Slice (squares, first, axis, axis)
  squared = Squeeze (start, axis)
  slow = Mul (squared, squared)
  BODY
}
"""
RIGHT = {
    "shower": "shower = Identity (ordered)",
    "place": "place = Add (none, middle)",
    "energy": "energy = Identity (squared)",
    "delay": "delay = Identity (slow)",
}


@pytest.fixture
def of_hits(two_layers) -> dict[str, Any]:
    """What the card of a model of hits says."""
    return {"detector": two_layers, "interface": "hits", "window": [2, 3, 3], "uniform": 4}


def inputs(count: int, with_cells: bool = False):
    rng = np.random.default_rng(0)
    conditions = np.zeros((count, 6))
    conditions[:, 0] = rng.uniform(0.2, 2.0, count)
    noise = rng.standard_normal((count, 9)).astype(np.float32)
    given = np.full(count, 22, np.int32), conditions, noise
    if not with_cells:
        return given
    more = {name: np.zeros((count, 2, 3), np.float32) for name in "tz"}
    return *given, more | {"uniform": np.zeros((count, 4), np.float32)}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "row = Slice (flat, zero, one, zero)  energies = Reshape (row, window)",
            r"shape \[1, 3, 3\], not float32 of shape \[16, 3, 3\]",
        ),
        (
            "rows = Slice (flat, zero, fifteen, zero)  energies = Reshape (rows, window)",
            r"shape \[15, 3, 3\]",
        ),
        (
            "less = Sub (flat, flat)  few = Sub (less, flat)  energies = Reshape (few, window)",
            "energies that are NaN, negative or above 1e",
        ),
        (
            "none = Sub (flat, flat)  nan = Div (none, none)  energies = Reshape (nan, window)",
            "energies that are NaN.*: nan",
        ),
        (
            "none = Sub (flat, flat)  inf = Div (flat, none)  energies = Reshape (inf, window)",
            "energies that are NaN.*: inf",
        ),
        (
            "many = Exp (flat)  more = Exp (many)  much = Mul (more, more)"
            "  energies = Reshape (much, window)",
            "energies that are NaN, negative or above",
        ),
    ],
)
def test_windows_that_cannot_be_showers_are_refused(toy, body, sentence):
    with pytest.raises(ModelError, match=rf"model 'barrel/toy' gave .*{sentence}"):
        Model(toy(WINDOWS.replace("BODY", body)), "cpu").energies(*inputs(16))


def deposits(**lines: str) -> str:
    return DEPOSITS.replace("BODY", "\n".join((RIGHT | lines).values()))


def test_deposits_that_can_be_showers_are_taken(toy, of_hits):
    generated = Model(toy(deposits(), **of_hits), "cpu").generate(*inputs(40, True))
    np.testing.assert_array_equal(generated.shower, np.arange(40))
    assert set(generated.place) == {17}
    dense = generated.in_windows(40, (2, 3, 3))
    np.testing.assert_array_equal(dense[:, 1, 2, 2], generated.energy)
    assert np.count_nonzero(dense) == 40


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ({"shower": "shower = Sub (ordered, one)"}, "showers that do not exist: -1 of 16"),
        ({"shower": "shower = Add (ordered, one)"}, "showers that do not exist: 16 of 16"),
        ({"shower": "shower = Sub (count, ordered)"}, "showers that are not in ascending order"),
        ({"place": "place = Sub (none, one)"}, "places that do not exist: -1 of 18"),
        ({"place": "more = Add (none, middle)  place = Add (more, one)"}, "18 of 18"),
        ({"place": "place = Slice (none, first, last, first)"}, "do not fit together: .* place of"),
        ({"energy": "energy = Slice (squared, first, last, first)"}, r"energy of shape \[15\]"),
        ({"energy": "energy = Neg (squared)"}, "energies that are NaN, negative"),
        ({"delay": "delay = Neg (squared)"}, "delays that are NaN, negative"),
        ({"delay": "delay = Log (squared)"}, "delays that are NaN, negative"),
        ({"delay": "nil = Sub (slow, slow)  delay = Div (nil, nil)"}, "delays that are NaN"),
    ],
)
def test_deposits_that_cannot_be_showers_are_refused(toy, of_hits, lines, sentence):
    with pytest.raises(ModelError, match=rf"model 'barrel/toy' gave .*{sentence}"):
        Model(toy(deposits(**lines), **of_hits), "cpu").generate(*inputs(16, True))


@pytest.mark.parametrize(
    "body",
    [
        # A share of what all showers have; and of what the one before has.
        "mean = ReduceMean <axes = [0]> (flat)  both = Add (flat, mean)"
        "  energies = Reshape (both, window)",
        "top = Slice (flat, zero, one, zero)  both = Add (flat, top)"
        "  energies = Reshape (both, window)",
    ],
)
def test_a_model_whose_showers_depend_on_others_is_refused(toy, body):
    with pytest.raises(ModelError, match="a shower changes with what else is in its call"):
        Model(toy(WINDOWS.replace("BODY", body)), "cpu")


def test_a_model_of_hits_whose_showers_depend_on_others_is_refused(toy, of_hits):
    mean = "all = ReduceMean <keepdims = 0> (squared)  energy = Add (squared, all)"
    with pytest.raises(ModelError, match="a shower changes with what else is in its call"):
        Model(toy(deposits(energy=mean), **of_hits), "cpu")


ENDLESS = """
<ir_version: 8, opset_import: ["" : 17]>
toy (float[N,9] noise, float[N,6] conditions, int64[N] pdg) => (float[N,3,3] energies) {
  window = Constant <value = int64[3] {-1, 3, 3}> ()
  zero = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64[1] {1}> ()
  limit = Constant <value = float {1.0}> ()
  momentum = Slice (conditions, zero, one, one)
  largest = ReduceMax <keepdims = 0> (momentum)
  begin = Greater (largest, limit)
  first = Constant <value = float {0.0}> ()
  ages = Constant <value = int64 {9223372036854775807}> ()
  last = Loop (ages, begin, first) <body = again (int64 i, bool go, float before)
    => (bool on, float after) { on = Identity (go)  after = Add (before, before) }>
  flat = Mul (noise, noise)
  more = Add (flat, last)
  energies = Reshape (more, window)
}
"""
"""Showers above 1 GeV never end."""

SOFT = {
    "momentum": [0.1, 0.9],
    "delta_theta_mom": [-0.3, 0.3],
    "delta_phi_mom": [-0.3, 0.3],
    "delta_z_pos": [-40.0, 40.0],
    "delta_phi_pos": [-0.03, 0.03],
    "z": [-40.0, 40.0],
}
SOFT_KINDS = {"kinds": {22: SOFT, 11: SOFT}}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_call_without_an_end_is_ended(toy, threads):
    pdg, conditions, noise = inputs(40)
    model = Model(toy(ENDLESS, **SOFT_KINDS), "cpu", threads, timeout=0.5)
    soft = conditions * 0.4
    expected = model.energies(pdg, soft, noise)
    with pytest.raises(ModelError, match=r"'barrel/toy' took more than 0.5 s for one call"):
        model.energies(pdg, conditions, noise)
    # And is out of the way.
    np.testing.assert_array_equal(model.energies(pdg, soft, noise), expected)


def test_a_model_without_an_end_is_not_loaded(toy):
    with pytest.raises(ModelError, match=r"took more than 0.2 s"):
        Model(toy(ENDLESS), "cpu", timeout=0.2)


def test_a_call_without_an_end_can_be_interrupted(toy):
    model = Model(toy(ENDLESS, **SOFT_KINDS), "cpu")
    interrupt = threading.Timer(0.3, raise_signal, [SIGINT])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        model.energies(*inputs(40))
    interrupt.join()
    pdg, conditions, noise = inputs(40)
    assert np.isfinite(model.energies(pdg, conditions * 0.4, noise)).all()

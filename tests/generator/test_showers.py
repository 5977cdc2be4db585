"""From noise to energies: a shower depends on whose noise it is, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.generator import Generated, Model, ShowerKeys, generate, in_range, showers
from k4calofast.generator.card import read_card


def asked(count: int):
    rng = np.random.default_rng(1)
    conditions = np.zeros((count, 6))
    conditions[:, 0] = rng.uniform(0.1, 2.0, count)
    return np.full(count, 22, np.int32), conditions


def keys(count: int, region: int = 0) -> ShowerKeys:
    number = np.arange(count, dtype=np.uint64)
    return ShowerKeys(number // 7, (number % 3).astype(np.uint32), number // 2, number, region)


def test_how_many_are_drawn_at_once_changes_nothing(toy, monkeypatch):
    model, (pdg, conditions) = Model(toy(), "cpu"), asked(100)
    together = generate(model, pdg, conditions, keys(100))
    monkeypatch.setattr(showers, "_AT_ONCE", 7)
    assert generate(model, pdg, conditions, keys(100)).equals(together)
    assert len(generate(model, pdg[:0], conditions[:0], keys(0))) == 0


def test_another_region_has_other_showers_and_as_much_energy(toy):
    model, (pdg, conditions) = Model(toy(), "cpu"), asked(50)
    found = (generate(model, pdg, conditions, keys(50, region)) for region in (0, 1))
    energies = [showers.in_windows(50, (3, 3)) for showers in found]
    assert (energies[0] != energies[1]).all()
    np.testing.assert_allclose(*(windows.sum((1, 2)) for windows in energies), rtol=1e-5)


def test_showers_of_a_sample_are_numbered(toy):
    model, (pdg, conditions) = Model(toy(), "cpu"), asked(50)
    numbers = np.arange(50)
    every = generate(model, pdg, conditions, ShowerKeys.of_sample(numbers, 3))
    rows = np.array([40, 3, 17])
    some = generate(model, pdg[rows], conditions[rows], ShowerKeys.of_sample(numbers[rows], 3))
    np.testing.assert_array_equal(some.in_windows(3, (3, 3)), every.in_windows(50, (3, 3))[rows])


@given(st.integers(0, 20), st.data())
def test_windows_come_back_as_they_were(count, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    energies = rng.exponential(size=(count, 2, 3)).astype(np.float32)
    energies[rng.random(energies.shape) < 0.5] = 0
    found = Generated.of_windows(energies)
    np.testing.assert_array_equal(found.in_windows(count, (2, 3)), energies)


def test_energies_in_one_place_of_a_window_add_up():
    twice = np.array([1, 1]), np.array([2, 2]), np.array([1.0, 0.5], np.float32)
    found = Generated(*twice, np.zeros(2, np.float32)).in_windows(3, (2, 2))
    assert found[1, 1, 0] == 1.5
    assert found.sum() == 1.5


@pytest.mark.parametrize(
    ("pdg", "name", "value", "known"),
    [
        (22, "momentum", 3.0, True),
        (22, "momentum", 0.02, True),
        (11, "momentum", 3.001, False),
        (22, "z", -1378.1, False),
        (22, "z", np.nan, False),
        (-11, "momentum", 1.0, False),
    ],
)
def test_a_model_knows_its_kinds_and_ranges_edges_included(toy, pdg, name, value, known):
    card = read_card(toy())
    conditions = np.zeros((2, 6))
    conditions[:, 0] = 1.0
    conditions[0, card.conditions.index(name)] = value
    assert in_range(card, np.array([pdg, 22], np.int32), conditions).tolist() == [known, True]


def test_edges_may_be_rounded(toy):
    card = read_card(toy())
    conditions = np.array([[3.0000001, 0, 0, 0, 0, 0], [3.01, 0, 0, 0, 0, 0]])
    pdg = np.full(2, 22, np.int32)
    assert in_range(card, pdg, conditions).tolist() == [False, False]
    assert in_range(card, pdg, conditions, 1e-6).tolist() == [True, False]

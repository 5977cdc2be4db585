"""The table passes Geant4 itself, and fails what is not Geant4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4calofast.showers import crystals
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals.comparison import GATES, groups_of, row_of
from k4calofast.validation.crystals.observables import block, lateral_width, observables
from k4calofast.validation.fidelity import checked
from k4calofast.validation.metrics import Value, separation
from k4calofast.validation.observables import width68, width68_error
from k4calofast.validation.results import Row, Sample

GEANT4 = Path(__file__).resolve().parents[2] / "data" / "geant4_showers.h5"


@pytest.fixture(scope="module")
def geant4() -> CrystalShowers:
    return crystals.read(GEANT4)[0]


def compared(reference: CrystalShowers, generated: CrystalShowers) -> list[Row]:
    samples = [
        Sample(showers, showers.conditions, observables(showers))
        for showers in (reference, generated)
    ]
    return [row_of(*samples, group) for group in groups_of(samples[0])]


def one_cell(row: int, column: int) -> CrystalShowers:
    energies = np.zeros((1, 11, 11), np.float32)
    energies[0, row, column] = 0.5
    conditions = np.array([[1.0, 0, 0, 0, 0, 0]])
    zero = np.zeros(1)
    return CrystalShowers(
        zero.astype(np.int32), zero.astype(np.int32), conditions, energies, zero.astype(np.float32)
    )


def test_observables_of_a_single_cell_are_where_it_is():
    values = {name: float(value[0]) for name, value in observables(one_cell(7, 4)).items()}
    assert values["response"] == 0.5
    assert (values["centre_theta"], values["centre_phi"]) == (2, -1)
    assert (values["width_theta"], values["width_phi"]) == (0, 0)
    assert (values["e1_e9"], values["e9_e25"], values["e25_window"]) == (0, 0, 1)
    assert (values["cells"], values["cells_1mev"]) == (1, 1)


def test_an_empty_shower_has_observables():
    empty = one_cell(5, 5)
    empty.energies[:] = 0
    values = observables(empty)
    assert values.pop("sparsity")[0] == 1
    assert all(value[0] == 0 for value in values.values())


def test_the_middle_block_is_in_the_middle():
    energies = np.arange(121.0).reshape(1, 11, 11)
    assert block(energies, 1)[0, 0, 0] == 60
    assert block(energies, 3)[0, 1, 1] == 60


def test_the_width_of_a_normal_distribution_is_its_sigma():
    values = np.random.default_rng(1).normal(0, 2, 100_000)
    assert width68(values) == pytest.approx(2, rel=0.02)


def test_the_error_of_a_width_is_its_scatter():
    rng = np.random.default_rng(2)
    for draw in (rng.normal, lambda size: -rng.exponential(size=size)):
        samples = [draw(size=800) for _ in range(400)]
        scatter = np.std([width68(values) for values in samples])
        assert np.median([width68_error(values) for values in samples]) == pytest.approx(
            scatter, rel=0.2
        )


def test_a_sample_compared_with_itself_has_no_differences(geant4):
    rows = compared(geant4, geant4)
    assert [(row.group.pdg, round(row.group.momentum, 3), row.showers) for row in rows] == [
        (pdg, momentum, 160)
        for pdg in dict.fromkeys(geant4.pdg.tolist())
        for momentum in (0.05, 0.1, 0.3, 1.0, 2.5)
    ]
    for row in rows:
        assert all(figure.value == 0 for figure in row.figures.values())


@pytest.mark.parametrize(
    ("figure", "distortion"),
    [
        ("mean", lambda e: e * np.float32(1.006)),
        ("width", lambda e: e * np.random.default_rng(1).normal(1, 0.2, (len(e), 1, 1))),
        ("lateral", lambda e: np.roll(e, 2, axis=2) * 0.1 + e * 0.9),
        ("cells", lambda e: np.roll(e, 1, axis=1)),
        ("e1_e9", lambda e: np.where(np.arange(121).reshape(11, 11) == 60, 0.9 * e, e)),
    ],
)
def test_a_distorted_sample_fails_where_it_is_distorted(geant4, figure, distortion):
    other = replace(geant4, energies=distortion(geant4.energies).astype(np.float32))
    rows = [row for row in compared(geant4, other) if row.group.momentum > 0.5]
    assert all(abs(row.figures[figure].value) > GATES[figure] for row in rows)


def test_halves_of_a_sample_cannot_be_told_apart_and_others_can(geant4):
    features = np.stack(list(observables(geant4).values()), axis=1)
    even, odd = features[::2], features[1::2]
    same = separation(even, odd)
    assert abs(same.mean - 0.5) < 4 * same.error
    assert separation(even, odd * 1.2).mean > 0.8
    assert separation(even, odd * 1.2, method="network").mean > 0.7


def test_a_figure_fails_only_beyond_what_chance_explains():
    one, other = checked("mean", 0.01, {"a": Value(0.02, 0.001), "b": Value(0.02, 0.01)})
    assert one.fails
    assert other.beyond
    assert not other.fails
    assert other.blind
    # With many comparisons, one of them is further off by chance.
    (alone,) = checked("mean", 0.01, {"a": Value(0.02, 0.0033)})
    (among,) = checked("mean", 0.01, {"a": Value(0.02, 0.0033)}, tests=1000)
    assert alone.fails
    assert not among.fails


def test_lateral_widths_are_never_negative(geant4):
    assert lateral_width(observables(geant4)).min() >= 0

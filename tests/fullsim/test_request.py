"""Showers on request: the density that is asked for is the one that is drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.detector import load
from k4calofast.exceptions import FileFormatError, SteeringError
from k4calofast.fullsim import production, request
from k4calofast.fullsim.crystals import besiii
from k4calofast.fullsim.crystals.setup import CrystalSetup
from k4calofast.fullsim.layers.setup import LayerStacks
from k4calofast.fullsim.request import Axis, OfKind, Request
from k4calofast.fullsim.sampling import Chunk
from k4calofast.showers import crystals

K4CALOFAST = Path(sys.executable).with_name("k4calofast")

EDGES = (0.02, 0.1, 0.5, 3.0)
WEIGHTS = (4.0, 1.0, 0.5)
ANGLES = (-0.35, 0.0, 0.02, 0.35)
ANGLE_WEIGHTS = (0.5, 2.0, 1.0)
ONE_BIN = {"edges": [0.0, 1.0], "weights": [1.0]}


def asked(bounds=(0.25, 8.0), **conditions: Axis) -> Request:
    kinds = {
        22: OfKind(share=0.6, conditions=conditions),
        11: OfKind(share=0.3, conditions={}),
        -11: OfKind(share=0.1, conditions={}),
    }
    return Request(detector="BESIII_EMC_barrel", origin="a test", bounds=bounds, kinds=kinds)


def photons(wanted: Request | None, count: int, seed: int):
    chunk = Chunk(0, 22, count, (0.02, 3.0), request=wanted)
    return CrystalSetup().particles(chunk, np.random.default_rng(seed))


def in_layers(wanted: Request | None, count: int, seed: int):
    chunk = Chunk(0, 22, count, (1.0, 125.0), request=wanted)
    return LayerStacks(load("ILD_ECAL_barrel").description).particles(
        chunk, np.random.default_rng(seed)
    )


def counts(conditions, *edges):
    """Showers in bins of the momentum, and of delta_phi_mom if there are two edges."""
    columns = [conditions[:, 0], conditions[:, 2]][: len(edges)]
    return np.histogramdd(np.stack(columns, 1), edges)[0].ravel()


def test_momenta_follow_the_weights():
    """The usual momenta are uniform in the logarithm: what is expected is known."""
    drawn = photons(asked(momentum=Axis(edges=EDGES, weights=WEIGHTS)), 20_000, 1)
    momentum = drawn.condition("momentum")
    expected = np.diff(np.log(EDGES)) * WEIGHTS
    expected *= len(momentum) / expected.sum()
    found = counts(drawn.conditions, EDGES)
    assert found.sum() == 20_000
    assert ((found - expected) ** 2 / expected).sum() < chi2.isf(1e-3, 2)
    # And inside a bin, nothing changes.
    logs = np.log(momentum[momentum > 0.5])
    inside = np.histogram(logs, 8, (np.log(0.5), np.log(3.0)))[0]
    assert ((inside - inside.mean()) ** 2 / inside.mean()).sum() < chi2.isf(1e-3, 7)


def test_conditions_are_multiplied():
    axes = {
        "momentum": Axis(edges=EDGES, weights=WEIGHTS),
        "delta_phi_mom": Axis(edges=ANGLES, weights=ANGLE_WEIGHTS),
    }
    found = counts(photons(asked(**axes), 20_000, 2).conditions, EDGES, ANGLES)
    usual = counts(photons(None, 40_000, 3).conditions, EDGES, ANGLES)
    weights = np.outer(WEIGHTS, ANGLE_WEIGHTS).ravel()
    scale = found.sum() / (usual * weights).sum()
    expected = scale * weights * usual
    variance = expected + (scale * weights) ** 2 * usual
    assert ((found - expected) ** 2 / variance).sum() < chi2.isf(1e-3, 8)


def test_the_same_seed_gives_the_same_particles_and_another_others():
    wanted = asked(momentum=Axis(edges=EDGES, weights=WEIGHTS))
    one, again, other = (photons(wanted, 300, seed) for seed in (4, 4, 5))
    for name in ("cell", "position", "momentum", "conditions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert not np.array_equal(one.conditions, other.conditions)


def test_particles_on_request_are_in_the_coverage_and_as_consistent_as_others():
    wanted = asked(z=Axis(edges=(-1378.0, 0.0, 1378.0), weights=(8.0, 0.3)))
    drawn = photons(wanted, 2000, 6)
    assert len(drawn) == len(drawn.cell) == 2000
    for number, (low, high) in enumerate(besiii.coverage("BESIII_EMC_barrel")[22].values()):
        assert ((drawn.conditions[:, number] >= low) & (drawn.conditions[:, number] <= high)).all()
    np.testing.assert_allclose(np.linalg.norm(drawn.momentum, axis=1), drawn.conditions[:, 0])
    np.testing.assert_allclose(drawn.position[:, 2], drawn.conditions[:, 5])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=6, max_size=6))
def test_bounds_hold_whatever_the_weights(weights):
    wanted = asked(
        momentum=Axis(edges=EDGES, weights=tuple(weights[:3])),
        delta_phi_mom=Axis(edges=ANGLES, weights=tuple(weights[3:])),
    )
    conditions = np.random.default_rng(0).uniform(-4, 4, (200, 6))
    particles = besiii.DrawnInBarrel(conditions, *np.zeros((3, 200)))
    density = wanted.density(22, particles)
    assert density.min() >= 0.25
    assert density.max() <= wanted.largest(22) <= 8
    np.testing.assert_array_equal(wanted.density(11, particles), 1.0)


def test_a_request_shares_the_showers_out_among_the_kinds():
    chunks = production.plan((22, 11, -11), ((0.02, 3.0),), 1000, 400, request=asked())
    totals = {pdg: sum(c.count for c in chunks if c.pdg == pdg) for pdg in (22, 11, -11)}
    assert totals == {22: 1800, 11: 900, -11: 300}
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert max(chunk.count for chunk in chunks) <= 400
    # Any leading part of the sample has all kinds, in their proportion.
    assert [(chunk.pdg, chunk.count) for chunk in chunks[:3]] == [(22, 400), (11, 200), (-11, 66)]
    two = production.plan((11, -11), ((0.02, 3.0),), 1000, 400, request=asked())
    assert sum(chunk.count for chunk in two if chunk.pdg == 11) == 1500


def test_a_plan_without_a_request_is_as_ever():
    chunks = production.plan((22, 11), ((0.1, 0.1), (1.0, 1.0)), 50, 20)
    assert [chunk.count for chunk in chunks] == [20] * 8 + [10] * 4
    assert [chunk.pdg for chunk in chunks[:4]] == [22, 11, 22, 11]


def test_a_request_is_read_as_it_was_written(tmp_path):
    wanted = asked(momentum=Axis(edges=EDGES, weights=WEIGHTS))
    file = tmp_path / "request.yaml"
    file.write_text(wanted.text())
    assert request.read(file) == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": None}, "origin"),
        ({"more": 1}, "more: Extra inputs"),
        ({"layout": "another"}, "layout"),
        ({"bounds": [0.0, 8.0]}, "bounds.0"),
        ({"bounds": [0.5, 1e9]}, "bounds.1"),
        ({"kinds": {22: {"share": 0.5, "conditions": {}}}}, "add up to 0.5"),
        ({"kinds": {22: {"share": 1.0, "conditions": {"mass": {}}}}}, "kinds.22.conditions.mass"),
        (
            {"kinds": {22: {"share": 1.0, "conditions": {"mass": ONE_BIN}}}},
            "kinds.22.conditions: no condition mass; there are momentum, delta_theta_mom,",
        ),
        (
            {
                "detector": "CLD_ECAL_barrel",
                "kinds": {22: {"share": 1.0, "conditions": {"z": ONE_BIN}}},
            },
            "no condition z; there are momentum, angle_t, angle_z,",
        ),
    ],
)
def test_wrong_requests_are_refused(tmp_path, change, message):
    file = tmp_path / "request.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(asked().text()) | change))
    with pytest.raises(FileFormatError, match=message):
        request.read(file)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({"edges": [0.1, 0.1, 1.0], "weights": [1.0, 1.0]}, "edges must rise"),
        ({"edges": [0.1, 1.0], "weights": [1.0, 1.0]}, "need 3 edges"),
        ({"edges": [0.1, float("nan")], "weights": [1.0]}, "finite"),
        ({"edges": [0.1, 1.0], "weights": [-1.0]}, "greater than 0"),
    ],
)
def test_wrong_bins_are_refused(tmp_path, axis, message):
    file = tmp_path / "request.yaml"
    content = yaml.safe_load(asked().text())
    content["kinds"][22]["conditions"] = {"momentum": axis}
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(FileFormatError, match=message):
        request.read(file)


def test_files_that_are_no_requests_are_refused(tmp_path):
    file = tmp_path / "request.yaml"
    for text in ("!!python/object/apply:os.getcwd []", "{", "[1, 2]", "\x00", "#" * (1 << 21)):
        file.write_text(text)
        with pytest.raises(FileFormatError, match=r"request\.yaml"):
            request.read(file)
    with pytest.raises(FileFormatError, match="no such file"):
        request.read(tmp_path / "nowhere.yaml")


def test_momenta_and_angles_in_layers_follow_the_weights():
    """All three are drawn apart: what is expected is the product."""
    edges, weights = (-0.3, 0.0, 0.3), (4.0, 0.5)
    wanted = asked(
        momentum=Axis(edges=(1.0, 5.0, 125.0), weights=(2.0, 0.5)),
        angle_t=Axis(edges=edges, weights=weights),
    )
    drawn = in_layers(wanted, 20_000, 1)
    assert len(drawn) == 20_000
    low = np.log(5.0) / np.log(125.0)
    momentum = np.array([2.0 * low, 0.5 * (1 - low)])
    expected = np.outer(momentum / momentum.sum(), np.array(weights) / 4.5) * 20_000
    place = drawn.condition("momentum") >= 5.0, drawn.condition("angle_t") >= 0.0
    found = np.histogram2d(*place, bins=2)[0]
    assert ((found - expected) ** 2 / expected).sum() < chi2.isf(1e-3, 3)
    usual = in_layers(None, 20_000, 2).condition("angle_z")
    pooled = np.sort(np.concatenate([usual, drawn.condition("angle_z")]))
    edges = pooled[:: len(pooled) // 10][1:-1]
    with_request, without = (
        np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
        for values in (drawn.condition("angle_z"), usual)
    )
    assert ((with_request - without) ** 2 / (with_request + without)).sum() < chi2.isf(
        1e-3, len(edges)
    )


def test_conditions_that_follow_from_others_cannot_be_asked_for(tmp_path):
    wanted = asked(offset_t=Axis(edges=(-1.0, 1.0), weights=(1.0,)))
    file = tmp_path / "request.yaml"
    file.write_text(wanted.model_copy(update={"detector": "CLD_ECAL_barrel"}).text())
    command = ["fullsim", str(tmp_path / "a.h5"), "--request", str(file)]
    result = CliRunner().invoke(app, [*command, "--detector", "CLD_ECAL_barrel"])
    assert isinstance(result.exception, SteeringError)
    assert "offset_t, which is not drawn in CLD_ECAL_barrel: there are" in str(result.exception)


def test_a_request_does_not_go_with_fixed_momenta_nor_with_another_detector(tmp_path):
    file = tmp_path / "request.yaml"
    file.write_text(asked().text())
    command = ["fullsim", str(tmp_path / "a.h5"), "--request", str(file)]
    result = CliRunner().invoke(app, [*command, "--momentum", "1"])
    assert isinstance(result.exception, SteeringError)
    file.write_text(asked().model_copy(update={"detector": "CLD_ECAL_barrel"}).text())
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, SteeringError)
    assert "CLD_ECAL_barrel" in str(result.exception)


def test_geant4_showers_on_request(tmp_path):
    """A few; their provenance says of the request, their coverage stays."""
    wanted = asked(momentum=Axis(edges=(0.02, 0.1, 3.0), weights=(8.0, 0.25)))
    (tmp_path / "request.yaml").write_text(wanted.text())
    command = [K4CALOFAST, "fullsim", "a.h5", "-n", "20", "--request", "request.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    showers, provenance = crystals.read(tmp_path / "a.h5")
    assert [int((showers.pdg == pdg).sum()) for pdg in (22, 11, -11)] == [36, 18, 6]
    assert np.median(showers.momentum[showers.pdg == 22]) < 0.1
    assert provenance.sampling.startswith(besiii.SAMPLING)
    assert provenance.sampling.endswith(f"; {wanted.described}")
    usual = besiii.coverage("BESIII_EMC_barrel")
    assert provenance.coverage == {pdg: usual[pdg] for pdg in (22, 11, -11)}

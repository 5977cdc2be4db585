"""Requests: more showers where a generator is wrong, as ever where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import ModelError
from k4calofast.fullsim import request as requests
from k4calofast.showers import crystals
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals.kind import KIND
from k4calofast.validation.request import BOUNDS, request
from k4calofast.validation.results import Sample

GEANT4 = Path(__file__).resolve().parents[1] / "data" / "geant4_showers.h5"
KINDS = (22, 11, -11)


def particles(count: int = 9000) -> CrystalShowers:
    """Particles at all conditions, without showers."""
    rng = np.random.default_rng(0)
    conditions = rng.uniform(-1, 1, (count, len(CONDITIONS)))
    conditions[:, 0] = np.exp(rng.uniform(np.log(0.02), np.log(3.0), count))
    return CrystalShowers(
        np.resize(KINDS, count).astype(np.int32),
        np.zeros(count, np.int32),
        conditions,
        np.zeros((count, 1, 1), np.float32),
        np.zeros(count, np.float32),
    )


def sides(showers: CrystalShowers, shift) -> list[Sample]:
    """A reference, and a generator that is off by so many spreads."""
    rng = np.random.default_rng(1)
    return [
        Sample(
            showers,
            showers.conditions,
            {name: rng.standard_normal(len(showers)) + off for name in KIND.compared},
        )
        for off in (0.0, shift)
    ]


@pytest.fixture(scope="module")
def showers() -> CrystalShowers:
    return particles()


def asked(showers, shift, **options):
    return request(KIND, *sides(showers, shift), "barrel", "a test", **options)


def of_kinds(wanted, showers):
    return [wanted.density(pdg, showers.take(showers.pdg == pdg)) for pdg in KINDS]


@pytest.fixture(scope="module")
def soft_photons(showers):
    return (showers.pdg == 22) & (showers.momentum < 0.1)


@pytest.fixture(scope="module")
def wanted(showers, soft_photons):
    return asked(showers, np.where(soft_photons, 1.0, 0.0), power=1.0)


def test_the_density_is_normalised(showers, wanted):
    density = of_kinds(wanted, showers)
    np.testing.assert_allclose(np.mean([one.mean() for one in density]), 1.0, rtol=1e-6)
    shares = [wanted.kinds[pdg].share for pdg in KINDS]
    np.testing.assert_allclose(sum(shares), 1.0, rtol=1e-12)
    np.testing.assert_allclose(shares, [one.mean() / 3 for one in density], rtol=1e-6)


@pytest.mark.parametrize("bounds", [BOUNDS, (0.5, 1.5), (0.9, 50.0)])
def test_bounds_are_kept_so_that_nothing_is_starved(showers, soft_photons, bounds):
    shift = np.where(soft_photons, 5.0, 0.0)
    density = np.concatenate(of_kinds(asked(showers, shift, bounds=bounds, power=2), showers))
    assert density.min() >= bounds[0]
    assert density.max() <= bounds[1]
    np.testing.assert_allclose(density.mean(), 1.0, rtol=1e-6)


def test_showers_are_asked_for_where_the_generator_is_wrong(showers, soft_photons, wanted):
    photons = showers.pdg == 22
    density = of_kinds(wanted, showers)[0]
    soft = soft_photons[photons]
    assert density[soft].mean() > 4 * density[~soft].mean()
    assert wanted.kinds[22].share > 2 * wanted.kinds[11].share


def test_a_condition_that_the_generator_does_not_see_gets_more_at_both_ends(showers):
    angle = showers.conditions[:, 2]
    weights = asked(showers, angle).kinds[22].conditions["delta_phi_mom"].weights
    assert min(weights[0], weights[-1]) > 1.5 * max(weights[2], weights[3])
    others = asked(showers, angle).kinds[22].conditions["z"].weights
    assert max(others) < 1.3 * min(others)


def test_a_generator_without_faults_asks_for_nothing_special(showers):
    density = np.concatenate(of_kinds(asked(showers, 0.0), showers))
    assert density.min() > 0.75
    assert density.max() < 1.35


def test_with_power_0_the_density_is_the_usual_one(showers, soft_photons):
    wanted = asked(showers, np.where(soft_photons, 5.0, 0.0), power=0)
    np.testing.assert_allclose(np.concatenate(of_kinds(wanted, showers)), 1.0, rtol=1e-6)


def test_the_request_does_not_depend_on_the_order_of_showers(showers, soft_photons, wanted):
    shift = np.where(soft_photons, 1.0, 0.0)
    order = np.random.default_rng(2).permutation(len(showers))
    mixed = (sample.take(order) for sample in sides(showers, shift))
    again = request(KIND, *mixed, "barrel", "a test", power=1.0)
    for one, other in zip(of_kinds(wanted, showers), of_kinds(again, showers), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_too_few_showers_say_nothing():
    few = particles(90)
    with pytest.raises(ModelError, match="too few showers of kind"):
        asked(few, 0.0)


def test_the_command_writes_what_fullsim_reads(tmp_path):
    out = tmp_path / "request.yaml"
    command = ["request", "besiii_emc_barrel/flow", "--reference", str(GEANT4), "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    wanted = requests.read(out)
    assert wanted.detector == "BESIII_EMC_barrel"
    assert sorted(wanted.kinds) == sorted(KINDS)
    assert "besiii_emc_barrel/flow beside 2400 showers" in wanted.origin
    showers = crystals.read(GEANT4)[0]
    np.testing.assert_allclose(np.mean([d.mean() for d in of_kinds(wanted, showers)]), 1, rtol=1e-6)

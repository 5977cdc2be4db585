"""Of trainings that differ by their seed, bias, spread and statistics are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.exceptions import FileFormatError
from k4calofast.validation import side_by_side
from k4calofast.validation.ensemble import line, lines, markdown

REPORTS = Path(__file__).resolve().parents[2] / "docs" / "reports"
REPORT = REPORTS / "besiii_emc_barrel" / "accurate" / "report.json"


def _drawn(rng, bias, training, error, members):
    """Members' figures: the error is of reference and generated showers in equal parts."""
    part = error / np.sqrt(2)
    reference = part * rng.standard_normal()
    return bias + reference + np.hypot(training, part) * rng.standard_normal(members)


@pytest.mark.parametrize("same_noise", [False, True])
def test_bias_and_spread_are_found_within_their_errors(same_noise):
    """Over many ensembles: without a shift, and with errors that are those they have."""
    rng, bias, training, error = np.random.default_rng(1), 0.02, 0.01, 0.006
    if same_noise:
        # What the noise does is common to all members.
        drawn = [
            bias + error * rng.standard_normal() + training * rng.standard_normal(8)
            for _ in range(400)
        ]
    else:
        drawn = [_drawn(rng, bias, training, error, 8) for _ in range(400)]
    found = [line("mean", "", values, [error] * 8, same_noise=same_noise) for values in drawn]
    pulls = np.array([(one.bias.value - bias) / one.bias.error for one in found])
    assert abs(pulls.mean()) < 3 / np.sqrt(400)
    assert pulls.std() == pytest.approx(1, abs=0.12)
    spreads = np.array([one.spread.value for one in found])
    assert np.sqrt((spreads**2).mean()) == pytest.approx(training, rel=0.06)
    assert np.mean([one.spread.error for one in found]) == pytest.approx(spreads.std(), rel=0.3)


def test_chance_is_no_bias_and_a_bias_is_significant():
    rng = np.random.default_rng(2)
    for members in (2, 3, 5):
        for training in (0.0, 0.01, 0.1):
            drawn = [_drawn(rng, 0.0, training, 0.01, members) for _ in range(500)]
            found = [line("mean", "", values, [0.01] * members) for values in drawn]
            # A hundredth at most by design; 15 of 500 are four errors more.
            assert sum(one.significant for one in found) < 15
    drawn = [_drawn(rng, 0.2, 0.01, 0.01, 5) for _ in range(100)]
    assert all(line("mean", "", values, [0.01] * 5).significant for values in drawn)


@given(
    st.floats(-1, 1),
    st.floats(1e-4, 1),
    st.integers(2, 9),
    st.booleans(),
)
def test_identical_members_have_no_spread(value, error, members, same_noise):
    found = line("mean", "", [value] * members, [error] * members, same_noise=same_noise)
    assert found.spread.value == pytest.approx(0, abs=1e-12)
    assert found.spread.error == pytest.approx(0, abs=1e-12)
    assert found.bias.value == pytest.approx(value)
    assert found.bias.error == pytest.approx(error if same_noise else error / np.sqrt(2))


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.floats(0.1, 10), st.randoms())
def test_neither_units_nor_the_order_of_members_matter(values, unit, random):
    errors = [0.1] * len(values)
    one = line("mean", "", values, errors)
    mixed = random.sample(values, len(values))
    other = line("mean", "", [unit * v for v in mixed], [unit * e for e in errors])
    for name in ("bias", "spread"):
        here, there = getattr(one, name), getattr(other, name)
        assert there.value == pytest.approx(unit * here.value, abs=1e-9)
        assert there.error == pytest.approx(unit * here.error, rel=1e-6, abs=1e-9)


@pytest.fixture
def members(tmp_path) -> list[Path]:
    """Reports of four members: photons' means have a bias, nothing else does."""
    content = json.loads(REPORT.read_text())
    rng = np.random.default_rng(3)
    folders = []
    for seed in range(4):
        for check in content["checks"]:
            biased = check["gate"] == "mean" and check["where"].startswith("photon")
            nothing = 0.5 if check["gate"].startswith("auc") else 0.0
            check["value"] = nothing + check["error"] * (30 * biased + rng.normal() / np.sqrt(2))
        folders.append(tmp_path / str(seed))
        folders[-1].mkdir()
        text = json.dumps(content | {"seed": seed, "model": f"mine/flow-{seed}"})
        (folders[-1] / "report.json").write_text(text)
    return folders


def test_reports_of_an_ensemble_give_the_bias_that_is_in_them(members, tmp_path):
    made = lines([side_by_side.read(member) for member in members])
    significant = {(one.gate, one.where) for one in made if one.significant}
    photons = {
        (one.gate, one.where)
        for one in made
        if one.gate == "mean" and one.where.startswith("photon")
    }
    assert significant == photons
    assert len(photons) == 4
    # Largest cells have no sign.
    assert "cells" not in {one.gate for one in made}
    page = tmp_path / "page.md"
    done = CliRunner().invoke(app, ["ensemble", *map(str, members), "--out", str(page)])
    assert done.exit_code == 0, done.output
    assert page.read_text().startswith("4 trainings that differ by their seed.")
    assert page.read_text().count("**") == 2 * len(photons)
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_reports_of_layers_make_an_ensemble(tmp_path):
    content = json.loads((REPORTS / "cld_ecal_barrel" / "layered" / "report.json").read_text())
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps(content | {"seed": seed}))
    page = tmp_path / "page.md"
    done = CliRunner().invoke(app, ["ensemble", *map(str, folders), "--out", str(page)])
    assert done.exit_code == 0, done.output
    made = {entry.gate for entry in lines([side_by_side.read(folder) for folder in folders])}
    # The worst layer is another one in each member.
    assert made == set(content["gates"]) - {"profile"}
    assert "- hits: mean number of hits, relative difference" in page.read_text()
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_members_are_of_one_reference(members):
    found = [side_by_side.read(member) for member in members]
    with pytest.raises(FileFormatError, match="two members at least"):
        lines(found[:1])
    other = found[1].model_copy(update={"showers": 7})
    with pytest.raises(FileFormatError, match=r"mine/flow-0 has the showers 30000, mine/flow-1 7"):
        lines([found[0], other])


def test_names_of_figures_do_not_break_the_table(members):
    found = [side_by_side.read(member) for member in members]
    strange = found[0].checks[0].model_copy(update={"where": "a|b\nc"})
    table = markdown(lines([one.model_copy(update={"checks": (strange,)}) for one in found]))
    assert r"| mean | a\|b c |" in table

"""`k4calofast models`, as it is typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from k4calofast.generator import index
from k4calofast.generator.card import read_card

MODELS = Path(__file__).resolve().parents[2] / "models"
NAME = "besiii_emc_barrel/gflash"


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Run the command in a folder without models of its own."""
    monkeypatch.setenv("K4CALOFAST_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("K4CALOFAST_MODEL_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from k4calofast.cli import main; main()", "models"]
        return subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


def test_a_model_is_packed_for_a_mirror_and_fetched_from_it(models, tmp_path):
    done = models("pack", NAME, "mirror")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == [index.entries()[NAME].model_dump(mode="json")]
    done = models("fetch", NAME)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{NAME} 0.1.0: {tmp_path}/cache/{NAME}\n"
    # The checkout has it, too, and comes first.
    assert done.stderr == f"but a job takes {MODELS / NAME}, which is found first\n"
    assert models("fetch", NAME).stdout == f"{NAME} 0.1.0 is here already\n"
    done = models("check", f"cache/{NAME}")
    assert (done.returncode, done.stdout) == (0, f"cache/{NAME}: nothing is wrong\n")


def test_the_table_has_a_row_for_each_model_and_json_has_the_same(models):
    table, found = models("list").stdout, json.loads(models("list", "--json").stdout)
    names = [str(card.parent.relative_to(MODELS)) for card in MODELS.glob("*/*/card.yaml")]
    assert sorted(one["name"] for one in found if not one["models"]) == sorted(names)
    for one in found:
        (row,) = (line for line in table.splitlines() if line.startswith(f"{one['name']} "))
        assert one["where"] in row
        assert row.rstrip().endswith(one["version"])
    (fast,) = (one for one in found if one["name"] == "besiii_emc_barrel/fast")
    assert fast["folder"] == str(MODELS / "besiii_emc_barrel" / "fast")
    assert (fast["detector"], fast["kinds"]) == ("BESIII_EMC_barrel", [22, 11, -11])


def test_a_model_is_shown_with_its_ranges_its_figures_and_its_digest(models):
    name = "besiii_emc_barrel/gan"
    card, shown = read_card(MODELS / name), models("show", name).stdout
    words = " ".join(shown.split())
    assert card.sha256 in words
    assert "0.02 to 3 GeV" in words
    assert "delta_phi_pos -0.027 to 0.027 rad" in words
    assert "157 figures fail" in words
    assert card.training.command in words
    assert card.licence in words


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fetch", NAME], "mirror is neither a folder nor an address"),
        (["fetch", "no/such"], "no model 'no/such' to fetch; there are besiii_emc_barrel/caloflow"),
        (["show", "no/such"], "no model 'no/such'; there are besiii_emc_barrel/accurate"),
        (["check", "no/such"], "no model 'no/such'; there are"),
        (["check", "."], "no model here"),
        (["pack", "no/such", "out"], "no model 'no/such'; there are"),
        (["pack", NAME, "/dev/null/out"], "/dev/null is not a folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(models, arguments, sentence):
    done = models(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("k4calofast: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_model_is_neither_checked_well_nor_packed(models, tmp_path):
    folder = Path(shutil.copytree(MODELS / NAME, tmp_path / "copy"))
    (folder / "model.onnx").write_bytes(b"hello")
    for command in (["check", "copy"], ["pack", "copy", "out"]):
        done = models(*command)
        assert done.returncode == 1
        assert "model and card do not belong together" in done.stderr
    assert not list(tmp_path.glob("out/*"))

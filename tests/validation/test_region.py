"""A set is validated region by region: each model with what a job would give it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.exceptions import ModelError
from k4calofast.generator import Model, find_model
from k4calofast.showers import crystals
from k4calofast.validation import page, region, report
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.fidelity import Check
from k4calofast.validation.kinds import Across
from k4calofast.validation.reference import Reference
from k4calofast.validation.tables import Cell, Table

GEANT4 = Path(__file__).resolve().parents[1] / "data" / "geant4_showers.h5"


@pytest.fixture(scope="module")
def simulators(model):
    """Photons by one model; electrons, positrons, and photons again by another."""
    showers = crystals.read(GEANT4)[0]
    # Nobody is for muons, and no model holds 50 GeV.
    pdg, conditions = showers.pdg.copy(), showers.conditions.copy()
    pdg[:10] = 13
    conditions[10:30, 0] = 50.0
    showers = replace(showers, pdg=pdg, conditions=conditions)
    other = Model(find_model("besiii_emc_barrel/vae"), "cpu")
    made = []
    for one, kinds in ((model, (22,)), (other, (22, 11, -11))):
        readout = Crystals(one.detector, one.card.threshold, one.card.conditions)
        reference = Reference(showers, "Geant4 of the tests", readout)
        made.append(region.Simulator(one, kinds, reference))
    return made


def test_each_model_gets_what_a_job_would_give_it(simulators):
    first, second = (part.showers for part in region.parted(simulators))
    assert set(first.pdg) == {22}
    assert set(second.pdg) == {11, -11}
    everything = simulators[0].reference.showers
    assert len(first) + len(second) == len(everything) - 30


@pytest.fixture(scope="module")
def found(simulators) -> region.RegionReport:
    def one(generator, reference):
        return report.validate(generator, reference, pictures=False, speed=False)

    return region.validate("besiii_emc/both", simulators, one)


def test_what_no_model_simulates_is_said(found):
    assert len(found.members) == 2
    assert found.members[1].kinds == "electron, positron"
    assert any(said.startswith("10 showers of mu-") for said in found.left_out)
    assert any(said.startswith("20 showers of ") for said in found.left_out)
    assert found.across is None
    counts = sum(len(member.report.comparison.checks) for member in found.members)
    assert len(found.checks) == counts


def test_a_region_without_models_is_refused(simulators):
    muons = simulators[0].reference.take(np.arange(10))
    one = replace(simulators[0], reference=muons)
    with pytest.raises(ModelError, match="no model of 'a set' simulates what the reference holds"):
        region.validate("a set", [one], lambda *_: None)


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory) -> Path:
    """A page with what is compared across models, which fails."""
    check = Check("misidentification", "pions at 1 GeV", 0.5, 0.01, 0.1, 3.0, 0.0, 9000)
    table = Table("Pions taken for electrons", ["GeV", "gate"], [["1", Cell("fails", True)]])
    across = Across(table, [check], {"misidentification": []})
    out = tmp_path_factory.mktemp("region")
    page.write_region(replace(found, across=across), out)
    return out


def test_the_page_leads_to_those_of_the_models(folder, opened, fits):
    shown = opened(folder / "index.html")
    verdict = shown.locator("#verdict").inner_text()
    assert "of 2 models" in verdict
    assert "1 fail" in verdict
    assert "bad" in shown.locator("#verdict").get_attribute("class")
    assert "pions at 1 GeV" in shown.locator("#failures").inner_text()
    assert "Pions taken for electrons" in shown.locator("body").inner_text()
    assert "10 showers of mu-" in shown.locator("body").inner_text()
    fits(shown)
    links = [link.get_attribute("href") for link in shown.locator("td a").all()]
    assert len(links) == 2
    for link in links:
        assert (folder / link).is_file()
        assert "figure" in opened(folder / link).locator("#verdict").inner_text()


def test_the_numbers_say_the_same(folder, found):
    data = json.loads((folder / "report.json").read_text())
    assert data["passed"] is False
    assert data["detector"] == "BESIII_EMC_barrel"
    assert data["across"]["checks"][0]["fails"]
    for name, where in data["models"].items():
        own = json.loads((folder / where / "report.json").read_text())
        assert own["model"] == name
    text = (folder / "report.md").read_text()
    assert "**fails**" in text
    assert all(said in text for said in found.left_out)


def test_the_command_takes_a_set(tmp_path):
    file = tmp_path / "both.yaml"
    file.write_text(
        "models:\n"
        "  - {model: besiii_emc_barrel/flow, pdg: [22]}\n"
        "  - besiii_emc_barrel/vae\n"
        "  - cld_ecal_barrel/layered\n"
    )
    command = ["validate", str(file), "--reference", str(GEANT4), "--showers", "1200"]
    result = CliRunner().invoke(app, [*command, "--no-speed"])
    assert result.exit_code == 0, result.output
    assert "of 2 models" in result.output
    others = tmp_path / "others.yaml"
    others.write_text("models: [cld_ecal_barrel/layered, ild_ecal_barrel/layered]\n")
    refused = CliRunner().invoke(app, ["validate", str(others), "--reference", str(GEANT4)])
    assert refused.exit_code == 1
    assert "no model of the set is for BESIII_EMC_barrel" in str(refused.exception)

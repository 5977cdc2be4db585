"""The report: one verdict, the same numbers everywhere, a page that a browser opens."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.exceptions import FileFormatError, ModelError
from k4calofast.generator import find_model
from k4calofast.generator.card import read_card, write_card
from k4calofast.showers import crystals
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.showers.reading import Hints, Source
from k4calofast.validation.page import html, write
from k4calofast.validation.reading import read
from k4calofast.validation.reference import Reference, refuse_unfit
from k4calofast.validation.report import Report, validate

REPOSITORY = Path(__file__).resolve().parents[2]
GEANT4 = REPOSITORY / "tests" / "data" / "geant4_showers.h5"
K4CALOFAST = Path(sys.executable).with_name("k4calofast")


@pytest.fixture(scope="module")
def geant4() -> CrystalShowers:
    return crystals.read(GEANT4)[0]


@pytest.fixture(scope="module")
def of_geant4(readout, geant4) -> Reference:
    return Reference(geant4, "Geant4 of the tests", readout)


@pytest.fixture(scope="module")
def report(model, of_geant4) -> Report:
    return validate(model, of_geant4)


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write(report, out)
    return out


def test_the_page_the_json_and_the_card_say_the_same(report, folder):
    data = json.loads((folder / "report.json").read_text())
    page = (folder / "index.html").read_text()
    assert data["passed"] is (not report.failures and not report.comparison.unresolved)
    assert data["not_resolved"] == len(report.comparison.unresolved) > 0
    assert data["verdict"] in page
    summary = report.summary()
    assert {name: data[name] for name in summary} == summary
    assert set(data["largest"]) == set(data["gates"])
    for check in data["checks"]:
        assert np.isfinite([check["value"], check["error"]]).all()


def test_the_overview_has_what_generators_are_chosen_by(folder, model):
    data = json.loads((folder / "report.json").read_text())
    overview, training = data["overview"], model.card.training
    file = model.folder / model.card.file
    assert overview["megabytes"] == pytest.approx(1e-6 * file.stat().st_size, abs=1e-3)
    assert overview["parameters"] == data["parameters"] > 1e6
    assert (overview["minutes"], overview["machine"]) == (training.minutes, training.machine)
    assert (overview["showers"], overview["method"]) == (training.showers, training.method)
    times = {one["batch"]: one["milliseconds"] for one in overview["speed"]["timings"]}
    assert list(times) == [1, 256, 4096]
    assert times[1] > times[256] > 0
    worst = overview["generator"]
    for name, figure in (("mean_energy", "mean"), ("resolution", "width")):
        sizes = [abs(row[figure]["value"]) for row in data["rows"]]
        assert abs(worst[name]["value"]) == max(sizes)
        assert worst[name]["error"] > 0
    assert abs(worst["closure"]["value"]) == max(abs(one["shift"]) for one in data["closure"])
    assert worst["auc"]["observables"]["value"] == pytest.approx(
        data["auc"]["observables"], abs=1e-4
    )
    assert (worst["failed"], worst["checks"]) == (len(data["fails"]), len(data["checks"]))
    itself = overview["itself"]
    assert overview["itself_is"] == "two halves of the reference"
    assert itself["failed"] == 0
    assert itself["checks"] > 0
    assert abs(itself["auc"]["cells"]["value"] - 0.5) < 5 * itself["auc"]["cells"]["error"]
    for name in ("index.html", "report.md"):
        assert "ms in calls of 256" in (folder / name).read_text()


def test_the_page_needs_nothing_else(folder):
    page = (folder / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in sources)
    assert sorted(file.name for file in folder.iterdir()) == [
        "index.html",
        "report.json",
        "report.md",
    ]
    assert page.count("<figure") == 10


def test_a_browser_shows_the_page_on_a_desk_and_on_a_telephone(folder, opened, fits):
    page = opened(folder / "index.html")
    assert "No figure fails" in page.locator("#verdict").inner_text()
    # What 160 showers do not resolve is neither good nor bad.
    assert page.locator("td.unresolved").count() > 5
    assert "not resolved" in page.locator("#gates + p + div").inner_text()
    fits(page)
    widths = "() => [...document.images].map((image) => image.naturalWidth)"
    assert min(page.evaluate(widths)) > 300
    # All places that the list at the top leads to are there.
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1


def test_what_others_name_is_not_html(report):
    card = report.subject.card.model_copy(update={"name": "<script>alert(1)</script>"})
    subject = replace(report.subject, card=card, reference="a & b")
    page = html(replace(report, subject=subject))
    assert "<script>" not in page
    assert "a &amp; b" in page


def test_impossible_references_are_refused(model, geant4, of_geant4):
    def refused(**changes) -> None:
        showers = replace(geant4, **changes)
        validate(model, replace(of_geant4, showers=showers), pictures=False, speed=False)

    with pytest.raises(ModelError, match=r"windows of \(11, 11\), the sample's column energies"):
        refused(energies=geant4.energies[:, 1:-1, 1:-1])
    with pytest.raises(ModelError, match=r"does not simulate the kinds \[211\]"):
        refused(pdg=np.full_like(geant4.pdg, 211))
    far = geant4.conditions.copy()
    far[:, 0] = 50.0
    with pytest.raises(ModelError, match="no shower of the sample is in the range"):
        refused(conditions=far)
    with pytest.raises(FileFormatError, match="other particles"):
        validate(model, replace(of_geant4, again=replace(geant4, conditions=far)))


def test_showers_outside_the_range_are_left_out_and_counted(model, geant4, of_geant4):
    some = geant4.conditions.copy()
    some[:100, 0] = 50.0
    result = validate(
        model,
        replace(of_geant4, showers=replace(geant4, conditions=some)),
        pictures=False,
        speed=False,
    )
    assert result.subject.left_out == 100
    assert result.subject.showers == len(geant4) - 100


def test_the_command_writes_a_report_and_compare_reads_it(tmp_path):
    command = [K4CALOFAST, "validate", "besiii_emc_barrel/flow", "--reference", GEANT4]
    done = subprocess.run(
        [*command, "--out", "report", "--showers", "1200"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # 80 showers in a bin cannot fail a good generator.
    assert done.returncode == 0, done.stderr
    assert "No figure fails" in done.stdout
    assert "the sample is too small for them" in done.stdout
    assert "boosted trees on the cells" in done.stderr
    runner = CliRunner()
    page = tmp_path / "compared.html"
    two = [str(tmp_path / "report"), str(tmp_path / "report" / "report.json")]
    result = runner.invoke(app, ["compare", *two, "--out", str(page)])
    assert result.exit_code == 0, result.output
    assert result.output.count("besiii_emc_barrel/flow") == 2
    assert "Geant4 against Geant4: two halves of the reference" in result.output
    assert "ms per shower" in page.read_text()


def test_hits_of_a_full_simulation_are_a_reference(tmp_path):
    file = REPOSITORY / "options" / "input" / "fullsim.edm4hep.root"
    command = ["validate", "besiii_emc_barrel/flow", "--reference", str(file)]
    command += ["--hits", "EMCBarrelCollectionFull", "--out", str(tmp_path / "report")]
    command += ["--no-speed"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert data["showers"] + data["left_out"] == 99
    # 99 showers prove little, and the report says so.
    assert any(check["blind"] for check in data["checks"])
    assert data["overview"]["speed"] is None


def test_a_sample_of_another_detector_is_refused(tmp_path):
    import h5py

    file = tmp_path / "other.h5"
    shutil.copy(GEANT4, file)
    with h5py.File(file, "r+") as sample:
        provenance = json.loads(sample.attrs["provenance"]) | {"detector": "CLD_ECal_barrel"}
        sample.attrs["provenance"] = json.dumps(provenance)
    command = ["validate", "besiii_emc_barrel/flow", "--reference", str(file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "is of detector CLD_ECal_barrel, but the model of BESIII_EMC_barrel" in str(
        result.exception
    )


def test_several_files_of_one_simulation_make_one_reference(model, geant4, tmp_path):
    """Whatever the calorimeter; of others, nobody could say that they belong together."""
    provenance = crystals.read(GEANT4)[1]
    files = []
    for seed in (7, 8):
        files.append(tmp_path / f"{seed}.h5")
        said = provenance.model_copy(update={"seed": seed})
        crystals.write(files[-1], [geant4.take(geant4.momentum > 1)], said)
    found = read(model.card, files)
    assert len(found.showers) == 2 * (geant4.momentum > 1).sum()
    assert found.described.endswith("seed 7, 8")
    edm4hep = REPOSITORY / "options" / "input" / "fullsim.edm4hep.root"
    hints = Hints(hits="EMCBarrelCollectionFull")
    with pytest.raises(FileFormatError, match="each must say where it is from"):
        read(model.card, [edm4hep, edm4hep], hints=hints)


def test_what_was_trained_on_is_no_reference(model, tmp_path):
    folder = tmp_path / "barrel" / "flow"
    folder.mkdir(parents=True)
    shutil.copy(model.folder / model.card.file, folder)
    training = model.card.training.model_copy(update={"sample_seed": 1001})
    card = model.card.model_copy(update={"name": "barrel/flow", "training": training})
    write_card(folder, card)
    result = CliRunner().invoke(app, ["validate", str(folder), "--reference", str(GEANT4)])
    assert result.exit_code == 1
    assert str(result.exception) == (
        f"{GEANT4} has the seed of the sample that model 'barrel/flow' was trained on, 1001: "
        "a reference needs showers that were not trained on"
    )
    # Another seed, none, or that of another program is not the sample's.
    for description, seed in (("Geant4 11", 7), ("Geant4 11", None), ("BOSS 7.2.0", 1001)):
        refuse_unfit(card, GEANT4, Source("BESIII_EMC_barrel", description, seed))


REPORTS = REPOSITORY / "docs" / "reports"
COMMITTED = {
    str(report.parent.relative_to(REPORTS)): report.parent
    for report in sorted(REPORTS.glob("*/*/report.json"))
}
"""Names of the package's models, and where their reports are."""


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_cards_have_the_numbers_of_the_committed_reports(name):
    card = read_card(find_model(name))
    data = json.loads((COMMITTED[name] / "report.json").read_text())
    # A model whose weights are only stored in another way keeps the figures of the one before.
    assert data["sha256"] == card.validation.get("sha256", card.sha256)
    assert card.validation == {key: data[key] for key in card.validation}
    assert {"passed", "largest", "auc"} <= set(card.validation)
    if name.startswith("besiii") and card.interface == "windows":
        assert [row["showers"] for row in data["rows"]] == [5000] * 15
        assert [row["showers"] for row in data["reference_again"]] == [5000] * 15
    elif name.startswith("besiii"):
        # All kinds of the card at as many momenta, with as many showers each.
        groups = [(row["pdg"], round(row["momentum"], 6)) for row in data["rows"]]
        momenta = {momentum for _, momentum in groups}
        assert sorted(groups) == sorted((pdg, p) for pdg in card.kinds for p in momenta)
        assert len({row["showers"] for row in data["rows"]}) == 1
        assert data["rows"][0]["showers"] >= 700


def test_every_committed_model_has_a_report():
    models = REPOSITORY / "models"
    cards = models.glob("*/*/card.yaml")
    assert {str(card.parent.relative_to(models)) for card in cards} == set(COMMITTED)


def test_the_committed_page_is_of_the_committed_report():
    folder = COMMITTED["besiii_emc_barrel/accurate"]
    data = json.loads((folder / "report.json").read_text())
    assert data["verdict"] in (folder / "index.html").read_text()

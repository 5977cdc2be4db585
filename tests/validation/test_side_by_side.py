"""One table for all generators: the best first, Geant4 against itself last."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.exceptions import FileFormatError
from k4calofast.validation import ensemble, side_by_side
from k4calofast.validation.side_by_side import Summary

REPOSITORY = Path(__file__).resolve().parents[2]
REPORTS = REPOSITORY / "docs" / "reports"
COMMITTED = REPORTS / "besiii_emc_barrel" / "accurate"


def fidelity(area: float, failed: int = 0) -> dict:
    figure = {"value": -0.02, "error": 0.001, "where": "photon at 1 GeV"}
    return {
        "mean_energy": figure,
        "resolution": figure,
        "closure": figure,
        "auc": {
            "observables": {"value": area, "error": 0.002},
            "cells": {"value": area - 0.03, "error": 0.002},
        },
        "fpd": {"value": 0.0123, "error": 0.002},
        "failed": failed,
        "checks": 974,
    }


def content(model: str = "barrel/flow", area: float = 0.6, time: float | None = 0.06) -> dict:
    timings = (
        [
            {"batch": batch, "milliseconds": factor * time, "spread": 0.0, "calls": 3}
            for batch, factor in ((1, 20), (256, 1))
        ]
        if time is not None
        else []
    )
    return {
        "layout": "k4calofast validation 3",
        "model": model,
        "version": "1",
        "detector": "BESIII_EMC_barrel",
        "reference": "Geant4 11.4, seed 1001",
        "showers": 20000,
        "passed": True,
        "overview": {
            "family": "flow matching",
            "method": "15000 steps",
            "parameters": 2_400_000,
            "megabytes": 9.87,
            "showers": 450_000,
            "minutes": 31.2,
            "machine": "2 threads, AMD EPYC",
            "speed": {"processor": "AMD EPYC", "runtime": "onnxruntime 1.20", "timings": timings}
            if timings
            else None,
            "generator": fidelity(area, 3),
            "itself": fidelity(0.5),
            "itself_is": "two halves of the reference",
        },
    }


def summary(*arguments, **changes) -> Summary:
    return Summary.model_validate(content(*arguments) | changes)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_best_is_first_and_geant4_last():
    found = [summary("a/gan", 0.9, 0.01), summary("a/flow", 0.55, 0.1), summary("a/vae", 0.8, 0.02)]
    rows = side_by_side.rows(found)
    assert [row["generator"].split(":")[0] for row in rows] == [
        "a/flow",
        "a/vae",
        "a/gan",
        "Geant4 against Geant4",
    ]
    assert all(list(row) == list(rows[0]) for row in rows)
    assert rows[-1]["AUC high level (observables)"] == "0.500 ± 0.002"
    assert rows[-1]["ms per shower, batch 1"] == "-"


def test_a_line_has_what_generators_are_chosen_by():
    row, _ = side_by_side.rows([summary("a/flow", 0.6, 0.06)])
    assert row == {
        "generator": "a/flow: flow matching",
        "parameters": "2.4 M (9.9 MB)",
        "training": "31.2 min, 2 threads, AMD EPYC, 450000 showers",
        "ms per shower, batch 1": "1.2",
        "ms per shower, batch 256": "0.06",
        "mean energy": "-2.00 ± 0.10 %",
        "resolution": "-2.00 ± 0.10 %",
        "worst closure": "-0.020 ± 0.001",
        "AUC high level (observables)": "0.600 ± 0.002",
        "AUC low level (cells)": "0.570 ± 0.002",
        "AUC network (cells)": "-",
        "FPD": "0.0123 ± 0.0020",
        "gates failed": "3 of 974",
    }


def test_models_of_crystals_and_of_layers_are_in_one_table():
    folders = [COMMITTED, *REPORTS.glob("*/layered")]
    found = [side_by_side.read(folder) for folder in folders]
    rows = side_by_side.rows(found)
    assert len(rows) == 2 * len(found)
    assert len({tuple(row) for row in rows}) == 1
    layers = [row for row in rows if "layered" in row["generator"]]
    assert len(layers) == len(found) - 1
    for row in layers:
        # What layers have not.
        assert row["AUC low level (cells)"] == row["ms per shower, batch 256"] == "-"
        assert row["AUC high level (observables)"] != "-"
        assert row["ms per shower, batch 64"] != "-"


def test_the_reference_is_said_by_the_report_that_says_most():
    repetition = content("a/two")
    repetition["overview"]["itself_is"] = "a repetition of the reference"
    found = [summary("a/one", showers=75_000), Summary.model_validate(repetition)]
    assert side_by_side.rows(found)[-1]["generator"].endswith("a repetition of the reference")
    found = [summary("a/one"), summary("a/two", reference="BOSS 7.2.0, seed 3")]
    rows, notes = side_by_side.rows(found), side_by_side.notes(found)
    assert [row["generator"] for row in rows[2:]] == [
        "Geant4 against Geant4: two halves of the reference, Geant4 11.4, seed 1001, "
        "BESIII_EMC_barrel",
        "reference: two halves of the reference, BOSS 7.2.0, seed 3, BESIII_EMC_barrel",
    ]
    assert "Figures of different references do not quite compare." in notes[0]


def test_what_others_name_is_text():
    name = "a/<script>x</script> | $_{\x1b[31m\nred"
    found = [summary(name), summary("a/other", 0.601, 0.0601)]
    assert "<script>" not in side_by_side.html(found)
    text = side_by_side.markdown(found)
    assert "<script>" not in text
    assert "\x1b" not in text
    header, _, *lines = text.split("\n")[2:7]
    assert {len(cells(line)) for line in (header, *lines)} == {13}


def test_names_make_no_links_and_no_cells():
    name = r"a/[here](https://example.org) www.example.org \| `x` 😀 $_{"
    found = [summary(name), summary("a/other", 0.601, 0.0601)]
    text = side_by_side.markdown(found)
    line = next(line for line in text.split("\n") if "here" in line)
    assert r"a/[here\](https\://example.org) www\.example.org \\\| \`x\`" in line
    assert side_by_side.pictures(found)["png"]


def changed(path: str, value) -> dict:
    """A report with another value in one place."""
    report = content()
    report["checks"] = [
        {"gate": "mean", "where": "photon", "value": 0.1, "error": 0.1, "limit": 0.2}
    ]
    *names, last = path.split(".")
    place = report
    for name in names:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    return report


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("overview.generator.auc.observables.error", -0.1),
        ("overview.generator.mean_energy.value", float("nan")),
        ("overview.itself.fpd.error", float("inf")),
        ("overview.speed.timings.1.milliseconds", 1e308),
        ("overview.speed.timings.1.milliseconds", 1e-300),
        ("overview.speed.timings.1.spread", -1.0),
        ("overview.speed.timings.0.batch", 10**30),
        ("overview.minutes", -3),
        ("overview.machine", "x" * 20_000),
        ("overview.generator.failed", 10**400),
        ("checks.0.value", 1e300),
        ("checks.0.error", None),
        ("overview.itself.auc", []),
        ("model", "\ud800"),
        ("showers", "many"),
    ],
)
def test_a_figure_that_none_can_be_is_refused_with_its_field(tmp_path, path, value):
    file = tmp_path / "report.json"
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(FileFormatError) as error:
        side_by_side.read(file)
    assert str(file) in str(error.value)
    assert path in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 5000,
        '{"layout": "k4calofast validation 3", "overview": null}',
        '{"layout": "k4calofast validation 3", "reference_again": 1, "reference_distances": 2}',
        '{"layout": "k4calofast validation 3", "rows": 1, "closure": [], "distances": {}, '
        '"checks": 0, "parameters": 1, "reference_again": [], "reference_distances": {}}',
        "\0",
        "\xff",
    ],
)
def test_any_json_that_is_no_report_is_refused_in_one_sentence(tmp_path, text):
    file = tmp_path / "report.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(FileFormatError) as error:
        side_by_side.read(file)
    assert str(error.value).isprintable()


def test_only_regular_files_are_reports(tmp_path):
    device, fifo = tmp_path / "device", tmp_path / "report.json"
    device.symlink_to("/dev/zero")
    os.mkfifo(fifo)
    for file in (device, fifo, tmp_path):
        with pytest.raises(FileFormatError, match="not a regular file"):
            side_by_side.read(file)
    with pytest.raises(FileFormatError, match="File name too long"):
        side_by_side.read(tmp_path / ("x" * 5000))


ANY_VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just([])
)
PLACES = (
    "model",
    "overview.family",
    "overview.machine",
    "overview.minutes",
    "checks.0.gate",
    "checks.0.value",
    "checks.0.error",
    "overview.generator.auc.observables.value",
    "overview.generator.auc.observables.error",
    "overview.generator.mean_energy",
    "overview.itself.auc",
    "overview.speed.timings.1.milliseconds",
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(PLACES), ANY_VALUE, max_size=3))
def test_whatever_a_report_says_is_compared_or_refused(tmp_path, changes):
    file = tmp_path / "report.json"
    report = changed("seed", 0)
    for path, value in changes.items():
        *names, last = path.split(".")
        place = report
        # What holds the place can have been replaced.
        with contextlib.suppress(TypeError, KeyError, IndexError):
            for name in names:
                place = place[int(name) if name.isdigit() else name]
            place[last] = value
    file.write_text(json.dumps(report))
    try:
        found = [side_by_side.read(file)]
    except FileFormatError:
        return
    assert side_by_side.markdown(found)
    assert side_by_side.html(found)
    with contextlib.suppress(FileFormatError):
        assert ensemble.markdown(ensemble.lines(found * 2))


def test_the_same_reports_make_the_same_pictures():
    found = [summary("a/gan", 0.9, 0.01), summary("a/flow", 0.55, 0.1), summary("a/old", 0.7, None)]
    pictures = side_by_side.pictures(found)
    assert pictures == side_by_side.pictures(found)
    assert pictures["png"].startswith(b"\x89PNG")
    assert pictures["svg"].startswith(b"<?xml")
    # Nothing to draw is no error.
    assert set(side_by_side.pictures(found[2:])) == {"png", "svg"}


def test_a_browser_shows_the_page_on_a_desk_and_on_a_telephone(opened, fits, tmp_path):
    names = ("a/gan", "a/flow", "<script>document.title = 'hurt'</script>")
    found = [summary(name, 0.6 + 0.1 * n, 0.01 * (n + 1)) for n, name in enumerate(names)]
    file = tmp_path / "compared.html"
    file.write_text(side_by_side.html(found))
    page = opened(file)
    assert page.title() == "Generators side by side"
    assert page.locator("tr").count() >= 1 + len(found)
    assert names[2] in page.locator("table").inner_text()
    assert page.evaluate("document.images[0].naturalWidth") > 300
    fits(page)


def test_names_do_not_cover_each_other():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    found = [summary(f"a/model{n}", 0.6 + 1e-4 * n, 0.06 + 1e-4 * n) for n in range(6)]
    figure, axes = pyplot.subplots()
    side_by_side._draw(axes, found)
    boxes = [text.get_window_extent() for text in axes.texts]
    pyplot.close(figure)
    assert len(boxes) == 6
    assert not any(
        one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[:index]
    )


def test_the_command_writes_page_table_and_pictures(tmp_path):
    for name, area in (("one", 0.7), ("two", 0.6)):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "report.json"
        file.write_text(json.dumps(content(f"a/{name}", area)))
    page, table = tmp_path / "page.html", tmp_path / "the table.md"
    reports = [str(tmp_path / "one"), str(tmp_path / "two" / "report.json")]
    command = ["compare", *reports, "--out", str(page), "--markdown", str(table)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    text = table.read_text()
    assert text.startswith(result.output.rstrip("\n"))
    assert text.index("a/two") < text.index("a/one") < text.index("Geant4 against Geant4")
    assert text.endswith("![Accuracy against time per shower](the%20table.svg)\n")
    assert 'src="data:image/png;base64,' in page.read_text()
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {
        "page.html",
        "the table.md",
        "the table.png",
        "the table.svg",
    }
    nowhere = ["compare", *reports, "--out", str(page / "page.html")]
    assert "cannot be written" in str(CliRunner().invoke(app, nowhere).exception)


def test_reports_of_the_layout_before_are_read(tmp_path):
    file = tmp_path / "report.json"
    file.write_text(json.dumps(content() | {"layout": "k4calofast validation 2"}))
    assert side_by_side.read(file).model == "barrel/flow"


def test_what_is_no_report_is_refused(tmp_path):
    file = tmp_path / "report.json"
    bad_time = content(time=0.0)
    without = content()
    del without["overview"]
    for text, message in (
        ("{}", "not a report"),
        ("nonsense", "cannot be read"),
        ("[]", "not a report"),
        (json.dumps(content() | {"layout": "k4calofast validation 1"}), "not a report"),
        (json.dumps(content() | {"overview": 3}), "not a report"),
        (json.dumps(bad_time), "not a report"),
        (json.dumps(without), "not a report: overview: Field required"),
    ):
        file.write_text(text)
        result = CliRunner().invoke(app, ["compare", str(file)])
        assert result.exit_code == 1
        assert message in str(result.exception)
        assert "\n" not in str(result.exception)
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "nowhere.json")])
    assert "no such file" in str(result.exception)

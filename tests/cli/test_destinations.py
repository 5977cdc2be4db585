"""Commands refuse what they cannot write or read, or must not, before they work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.exceptions import (
    FileFormatError,
    K4CaloFastError,
    OutputError,
    UnknownDetectorError,
)
from k4calofast.generator import find_model

GEANT4 = Path(__file__).resolve().parents[1] / "data" / "geant4_showers.h5"
HITS = Path(__file__).resolve().parents[2] / "options" / "input" / "fullsim.edm4hep.root"
MODEL = "besiii_emc_barrel/fast"


def run(*words: object) -> BaseException | None:
    return CliRunner().invoke(app, [str(word) for word in words]).exception


@pytest.fixture
def working(monkeypatch):
    """Fail where work begins: showers or a model are read."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    for what in ("showers.reading.read", "showers.crystals.read", "showers.layers.read"):
        monkeypatch.setattr(f"k4calofast.{what}", read)
    for what in (
        "generator.Model",
        "display.reading.read",
        "validation.side_by_side.read",
        "fullsim.production.produce",
    ):
        monkeypatch.setattr(f"k4calofast.{what}", read)


COMMANDS = {
    "fullsim": lambda out: ("fullsim", out / "a.h5"),
    "train": lambda out: ("train", GEANT4, out / "model"),
    "train, work": lambda out: ("train", GEANT4, out.with_name("model"), "--work", out / "w"),
    "tune": lambda out: ("tune", GEANT4, "--choose", GEANT4, "--out", out),
    "refine": lambda out: ("refine", out.with_name("work"), GEANT4, out / "model"),
    "reduce": lambda out: ("reduce", MODEL, GEANT4, out / "model"),
    "validate": lambda out: ("validate", MODEL, "--reference", GEANT4, "--out", out / "r"),
    "request": lambda out: ("request", MODEL, "--reference", GEANT4, "--out", out / "r.yaml"),
    "compare": lambda out: ("compare", "report.json", "--out", out / "a.html"),
    "ensemble": lambda out: ("ensemble", "report.json", "--out", out / "a.md"),
    "convert": lambda out: ("convert", GEANT4, out / "a.h5"),
    "display": lambda out: ("display", HITS, "--out", out / "a.html"),
    "display, stills": lambda out: ("display", HITS, "--out", out / "a.png"),
    "display, showers": lambda out: ("display", "--model", MODEL, "--out", out / "a.svg"),
}


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_cannot_be_written_is_known_before_the_work(command, tmp_path):
    folder = tmp_path / "a file"
    folder.write_text("of someone")
    error = run(*command(folder))
    assert isinstance(error, OutputError), error
    assert str(folder) in str(error)
    assert "cannot be written" in str(error)
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


@pytest.mark.usefixtures("working")
def test_no_command_overwrites_what_it_reads(tmp_path):
    model = Path(shutil.copytree(find_model(MODEL), tmp_path / "model"))
    sample = tmp_path / "report.json"
    shutil.copy(GEANT4, sample)
    page = tmp_path / "event.html"
    shutil.copy(HITS, page)
    for command in (
        ("reduce", model, GEANT4, model),
        ("validate", MODEL, "--reference", sample, "--out", tmp_path),
        ("request", MODEL, "--reference", sample, "--out", sample),
        ("ensemble", tmp_path, "--out", sample),
        ("convert", sample, sample),
        ("display", page, "--out", page),
    ):
        error = run(*command)
        assert isinstance(error, OutputError), error
        assert "is also an input" in str(error)


def test_a_detector_that_does_not_exist_is_known_before_the_work(tmp_path):
    error = run("train", GEANT4, tmp_path / "model", "--detector", "ATLAS")
    assert isinstance(error, UnknownDetectorError)
    assert "BESIII_EMC_barrel, " in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        lambda file, out: ("convert", file, out / "a.h5"),
        lambda file, out: ("train", file, out / "model", "--family", "library"),
        lambda file, out: ("train", file, out / "model", "--family", "layered"),
        lambda file, _: ("validate", MODEL, "--reference", file),
        lambda file, out: ("reduce", MODEL, file, out / "model"),
    ],
)
@pytest.mark.parametrize("content", [b"", b'{"layout": "x"}', b"root", b"PK\x03\x04" * 20])
def test_formats_that_are_not_read_are_refused_with_those_that_are(tmp_path, command, content):
    refused(tmp_path, command, content)


def test_references_of_layers_that_are_not_read_are_refused_with_those_that_are(tmp_path):
    layered = "cld_ecal_barrel/layered"
    refused(tmp_path, lambda file, _: ("validate", layered, "--reference", file), b"root")


def refused(tmp_path, command, content):
    file = tmp_path / "sample"
    file.write_bytes(content)
    error = run(*command(file, tmp_path))
    assert isinstance(error, FileFormatError), error
    assert str(error).startswith(f"{file}")
    assert "read" in str(error)


def test_a_name_that_is_too_long_is_one_sentence(tmp_path):
    name = "x" * 300
    for command in (
        ("convert", tmp_path / name, tmp_path / "a.h5"),
        ("convert", GEANT4, tmp_path / f"{name}.h5"),
        ("train", GEANT4, tmp_path / name),
        ("validate", MODEL, "--reference", tmp_path / name),
        ("compare", tmp_path / name),
    ):
        error = run(*command)
        assert isinstance(error, K4CaloFastError | OSError), error
        assert "File name too long" in str(error)

"""`k4calofast display` writes what the name of its output says, or one sentence and nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.exceptions import K4CaloFastError

HITS = Path(__file__).resolve().parents[2] / "options" / "input" / "fullsim.edm4hep.root"


def run(*words: object):
    return CliRunner().invoke(app, ["display", *map(str, words)])


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.html", b"<!doctype html>"),
        ("a.png", b"\x89PNG"),
        ("a.svg", b"<?xml"),
        ("a.pdf", b"%PDF"),
    ],
)
def test_the_name_decides_what_is_written(tmp_path, name, start):
    done = run(HITS, "--event", 3, "--out", tmp_path / name)
    assert done.exit_code == 0, done.exception
    assert done.output.startswith(f"{tmp_path / name}: event 3 of the file (run 1, event 3): ")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_several_events_share_a_page(tmp_path):
    out = tmp_path / "events.html"
    done = run(HITS, "--events", "0:2", "--event", 7, "--out", out)
    assert done.exit_code == 0, done.exception
    assert [f"event {entry} of the file" in done.output for entry in (7, 0, 1)] == [True] * 3


def test_a_still_of_mean_showers_is_written_for_a_model(tmp_path):
    out = tmp_path / "showers.png"
    done = run("--model", "besiii_emc_barrel/fast", "-n", 50, "--out", out)
    assert done.exit_code == 0, done.exception
    assert done.output == f"{out}: 50 showers of besiii_emc_barrel/fast\n"
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "needs a FILE of events, or --model NAME, and not both"),
        ((HITS, "--model", "a/b"), "needs a FILE of events, or --model NAME, and not both"),
        ((HITS, "--out", "a.jpg"), "a.jpg: the name must end with .html, .png, .svg, .pdf"),
        ((HITS, "--event", 99), "no event 99; they are numbered 0 to 39"),
        ((HITS, "--events", "3"), "--events 3: must be START:STOP, 0:10 for the first ten"),
        ((HITS, "--events", "5:2"), "--events 5:2: must be START:STOP"),
        ((HITS, "--events", "0:3", "--out", "a.png"), "a still picture is of one event; 3 are"),
        ((HITS, "--hits", "Hits"), "no SimCalorimeterHits 'Hits'; there are EMCBarrelCollection"),
        ((HITS.with_name("photons.edm4hep.root"),), "no SimCalorimeterHits: nothing to show"),
        ((HITS.with_name("make.py"),), "make.py: not a ROOT file"),
        (("--model", "a/b", "--out", "a.png"), "no model 'a/b'; there are"),
        (("--model", "besiii_emc_barrel/fast"), "mean showers are a still picture, .png"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence_and_leaves_nothing(
    tmp_path, monkeypatch, words, sentence
):
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == 1
    assert isinstance(done.exception, K4CaloFastError)
    assert sentence in str(done.exception)
    assert "\n" not in str(done.exception)
    assert list(tmp_path.iterdir()) == []

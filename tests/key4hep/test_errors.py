"""Jobs of Key4hep's k4run that cannot work: a sentence, an exit code, no complete output."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

ERRORS = {
    "no collection": (
        ["--CaloFastSim.InputMCParticles", "Nothing"],
        r"CaloFastSim\.InputMCParticles: no collection 'Nothing' of type "
        r"edm4hep::MCParticleCollection in this event; of that type there is MCParticles; set",
    ),
    "wrong type": (
        ["--CaloFastSim.InputMCParticles", "EventHeader"],
        r"CaloFastSim\.InputMCParticles: collection 'EventHeader' is "
        r"edm4hep::EventHeaderCollection, not edm4hep::MCParticleCollection",
    ),
    "out of domain": (
        ["--CaloFastSim.OutOfRange", "fail"],
        r"run 1, event 17: MCParticle 0 .* OutOfRange is 'fail'; 'skip' hands it on",
    ),
    "no model": (["--CaloFastSim.Model", "nowhere"], r"Model: no model 'nowhere'; there are"),
    "wrong value": (["--CaloFastSim.OutOfRange", "perhaps"], r"OutOfRange: Input should be 'skip'"),
    "two outputs": (
        ["--CaloFastSim.OutputHits", "A", "B", "C"],
        r"OutputHits names 3 and OutputContributions names \d collections; give one for each",
    ),
    "one name for two": (
        ["--CaloFastSim.OutputHits", "A", "B", "--CaloFastSim.OutputContributions", "A", "C"],
        r"OutputContributions and OutputHits are both 'A'",
    ),
    "no name": (["--CaloFastSim.OutputHits", "GPIntKeys", "B"], r"OutputHits 'GPIntKeys': a name"),
    "no number": (["--CaloFastSim.HitThreshold", "nan"], r"HitThreshold: Input should be a finite"),
}


def assert_failed(job, folder: Path, sentence: str) -> None:
    # Positive: an exit code, not the number of a signal.
    assert 0 < job.returncode < 128, job.stdout[-3000:]
    assert re.search(rf"CaloFastSim +ERROR .*{sentence}", job.stdout), job.stdout[-3000:]
    assert not [file for file in folder.iterdir() if file.suffix == ".root"]


@pytest.mark.parametrize("options_file", ["fastsim.py", "fastsim_mt.py"])
@pytest.mark.parametrize("what", ERRORS)
def test_what_is_wrong_is_said(key4hep, options, tmp_path, what, options_file):
    arguments, sentence = ERRORS[what]
    job = key4hep(tmp_path, options / options_file, *arguments)
    assert_failed(job, tmp_path, sentence)


def test_a_package_that_is_missing_is_named(key4hep, options, tmp_path):
    """A module before the others that looks like a Python without pydantic."""
    broken = tmp_path / "modules"
    broken.mkdir()
    (broken / "pydantic.py").write_text("raise ModuleNotFoundError(\"No module named 'pydantic'\")")
    path = f"{broken}:{os.environ.get('PYTHONPATH', '')}"
    job = key4hep(tmp_path, options / "fastsim.py", PYTHONPATH=path)
    sentence = "the Python of this job cannot import k4calofast.gaudi .*No module named 'pydantic'"
    assert_failed(job, tmp_path, sentence + ".*pip install")


def test_an_error_of_python_is_not_a_crash(key4hep, options, tmp_path):
    """A bug rather than bad input: its type is named as well."""
    broken = tmp_path / "modules"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import k4calofast.gaudi.components as components\n"
        "def broken(*_):\n"
        "    raise ZeroDivisionError('a bug')\n"
        "components.particles = broken\n"
    )
    path = f"{broken}:{os.environ.get('PYTHONPATH', '')}"
    for options_file in ("fastsim.py", "fastsim_mt.py"):
        job = key4hep(tmp_path, options / options_file, PYTHONPATH=path)
        assert_failed(job, tmp_path, "ZeroDivisionError: a bug")


@pytest.mark.parametrize("options_file", ["fastsim.py", "fastsim_mt.py"])
def test_an_input_is_not_overwritten(key4hep, options, tmp_path, options_file):
    file = tmp_path / "particles.edm4hep.root"
    shutil.copy(options / "input" / file.name, file)
    (tmp_path / "link").symlink_to(file)
    before = file.read_bytes()
    given = ["--IOSvc.Input", file, "--IOSvc.Output", "link"]
    job = key4hep(tmp_path, options / options_file, *given)
    assert job.returncode != 0
    assert "IOSvc.Output cannot be written: it is also an input" in job.stdout
    assert file.read_bytes() == before


def test_an_unfinished_output_replaces_nothing(key4hep, options, tmp_path):
    (tmp_path / "hits.root.part").write_text("precious")
    given = ["--IOSvc.Output", "hits.root", "--CaloFastSim.OutOfRange", "fail"]
    job = key4hep(tmp_path, options / "fastsim.py", *given)
    assert job.returncode != 0
    assert (tmp_path / "hits.root.part").read_text() == "precious"
    assert (tmp_path / "hits.root.2.part").exists()
    assert not (tmp_path / "hits.root").exists()

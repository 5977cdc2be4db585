"""Options files that come with the package are found by name, and copied with their samples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from k4calofast.exceptions import OutputError, SteeringError
from k4calofast.steering import installed

K4RUN = Path(sys.executable).with_name("k4run")
OPTIONS = Path(__file__).resolve().parents[2] / "options"


def test_all_options_files_say_in_a_line_what_they_are_for():
    files = installed.options_files()
    assert set(files) == {file.name for file in OPTIONS.glob("*.py")}
    for file in files.values():
        assert re.fullmatch(r"[A-Z].{30,100}\.", installed.meaning(file))


def test_a_name_alone_is_an_installed_file_unless_there_is_one_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert installed.located(Path("fastsim.py")) == OPTIONS / "fastsim.py"
    assert installed.path_of("fastsim.py") == str(OPTIONS / "fastsim.py")
    assert installed.path_of("fastsim") == "fastsim"
    Path("fastsim.py").write_text("")
    assert installed.located(Path("fastsim.py")) == Path("fastsim.py")
    assert installed.path_of("fastsim.py") == "fastsim.py"


@pytest.mark.parametrize("name", ["nothing.py", "options/fastsim.py", "./fastsim.py"])
def test_a_file_that_is_not_there_is_refused_with_those_that_are_installed(
    tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SteeringError, match=r"no such file; .*fastsim\.py, fastsim_after_tracker"):
        installed.located(Path(name) if "/" not in name else tmp_path / name)


@pytest.mark.parametrize("name", sorted(installed.options_files()))
def test_a_copy_finds_its_sample(tmp_path, name):
    """As text and as a job: what it reads is beside it."""
    written = installed.copy(installed.find(name), tmp_path / "mine.py")
    samples = re.findall(r'"([\w.]+\.root)"\)\]', written[0].read_text())
    assert [file.name for file in written[1:]] == samples
    assert len(samples) == (name != "particle_gun.py")
    command = [K4RUN, "--embedded", "mine.py", "--dry-run", "--IOSvc.Output", "x.root"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for sample in samples:
        assert (tmp_path / "input" / sample).read_bytes() == (
            OPTIONS / "input" / sample
        ).read_bytes()


def test_a_copy_runs_as_the_original(tmp_path):
    installed.copy(installed.find("fastsim.py"), tmp_path)
    said = []
    for file in ("fastsim.py", OPTIONS / "fastsim.py"):
        command = [K4RUN, "--embedded", file, "-n", "2"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append(re.findall(r"CaloFastSim +INFO.*", done.stdout))
    assert "2 events" in said[0][0]
    assert said[0] == said[1]


def test_a_copy_replaces_nothing_that_differs(tmp_path):
    file = installed.find("fastsim.py")
    sample = tmp_path / "input" / "particles.edm4hep.root"
    assert installed.copy(file, tmp_path) == [tmp_path / "fastsim.py", sample]
    assert installed.copy(file, tmp_path) == []
    sample.write_text("mine")
    with pytest.raises(OutputError, match=r"is there already, and is another file.*--force"):
        installed.copy(file, tmp_path / "other.py")
    assert not (tmp_path / "other.py").exists()
    assert sample.read_text() == "mine"
    assert installed.copy(file, tmp_path, replace=True) == [sample]
    assert sample.read_bytes() == (file.parent / "input" / sample.name).read_bytes()


def test_the_job_of_an_installed_file_runs_from_any_folder(tmp_path):
    command = [K4RUN, "--embedded", "fastsim.py", "-n", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"options file {OPTIONS / 'fastsim.py'}" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["fastsim.edm4hep.root"]


def test_key4hep_is_handed_the_path_of_an_installed_file(tmp_path):
    """Its own k4run, here a script that says what it got, knows nothing of installed files."""
    (tmp_path / "k4FWCore.py").touch()
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    theirs = bin_folder / "k4run"
    theirs.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    theirs.chmod(0o755)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
    }

    def run(*arguments: str) -> list[str]:
        done = subprocess.run(
            [K4RUN, *arguments], cwd=bin_folder, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert run("fastsim.py", "-n", "3") == [str(OPTIONS / "fastsim.py"), "-n", "3"]
    assert run("mine.py", "--help") == ["mine.py", "--help"]
    assert run("--version")[0].startswith("k4run (k4calofast) ")
    (bin_folder / "fastsim.py").touch()
    assert run("fastsim.py") == ["fastsim.py"]

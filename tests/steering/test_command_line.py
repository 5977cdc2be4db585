"""What `k4run` says of itself, and what shells complete."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import k4calofast
from k4calofast.properties import CaloFastSimProperties
from k4calofast.steering import completion

K4RUN = Path(sys.executable).with_name("k4run")
OPTIONS = Path(__file__).resolve().parents[2] / "options"


def k4run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [K4RUN, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_help_begins_with_what_the_command_is_and_an_example(tmp_path):
    done = k4run("--help", folder=tmp_path)
    assert done.returncode == 0
    first = "\n".join(done.stdout.splitlines()[:8])
    assert "Calorimeter fast simulation for Key4hep: MCParticles in, calorimeter hits out" in first
    assert "\n  k4run fastsim.py -n 10\n" in f"{first}\n"
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_example_of_the_help_runs(tmp_path):
    done = k4run("--embedded", "fastsim.py", "-n", 10, folder=tmp_path)
    assert done.returncode == 0
    assert "fastsim.edm4hep.root: 10 events" in done.stdout


def test_without_arguments_the_help_comes_as_an_error(tmp_path):
    done = k4run(folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("usage: k4run OPTIONS_FILE... [options]\n")
    assert done.stderr.endswith("k4run: no options file is given\n")


def test_the_help_of_an_options_file_groups_its_properties(tmp_path):
    said = k4run("fastsim_mt.py", "--help", folder=tmp_path).stdout
    titles = [line for line in said.splitlines() if line.endswith(":") and line[0].islower()]
    assert titles[:3] == ["options files:", "options of the options files:", "job:"]
    assert {"properties of IOSvc:", "properties of CaloFastSim:"} < set(titles)
    assert "--threads" in said[said.index(titles[1]) : said.index(titles[2])]
    of_fastsim = said[said.index("properties of CaloFastSim:") :]
    for name in CaloFastSimProperties.model_fields:
        assert f"--CaloFastSim.{name}" in of_fastsim
    assert "--CaloFastSim.OutOfRange {skip,clamp,fail,auto}" in said


def test_the_other_order_of_names_is_understood_as_well(tmp_path):
    done = k4run("fastsim.py", "--dry-run", "--Seed.CaloFastSim", 7, folder=tmp_path)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("sentence", "arguments"),
    [
        ("invalid int value: 'ten'; k4run --help lists the options", ["-n", "ten"]),
        ("expected one argument", ["--log-level"]),
        ("invalid choice: 'LOUD'", ["--log-level", "loud"]),
        ("no option --CaloFastSim.Sead; did you mean CaloFastSim.Seed", ["--CaloFastSim.Sead", 1]),
    ],
)
def test_a_command_line_that_is_not_understood_is_one_sentence(tmp_path, sentence, arguments):
    done = k4run("fastsim.py", *arguments, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("k4run: ")
    assert sentence in done.stderr


def test_version_and_citation(tmp_path):
    done = k4run("--version", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"k4run (k4calofast) {k4calofast.__version__}\n")
    done = k4run("--citation", folder=tmp_path)
    assert done.returncode == 0
    assert "@software{k4calofast," in done.stdout


def test_messages_stand_above_the_bar_on_a_terminal(tmp_path):
    sample = str(OPTIONS / "input" / "particles.edm4hep.root")
    command = [K4RUN, "--embedded", "fastsim.py", "--events-per-chunk", "40"]
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [*command, "--IOSvc.Input", sample, sample],
        cwd=tmp_path,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = ""
    # Linux says so when the last one who could write has gone.
    with suppress(OSError):
        while part := os.read(ours, 1 << 16):
            shown += part.decode(errors="replace")
    os.close(ours)
    assert running.wait() == 0
    assert "40/200" in shown
    # The line of the bar is empty before, and there is a new one after the message.
    before, _, after = shown.partition("k4calofast.events.keys        WARNING events 0 and 100")
    assert before.endswith("\x1b[2K")
    assert "/200" in before
    assert re.match(r"[^\x1b]*\r\nevents ", after)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fastsim_c"], ["fastsim_cepc.py", "fastsim_cld.py"]),
        (["fastsim.py", "-n", "3", "dig"], ["digitise.py"]),
        (["fastsim.py", "--log-level", "W"], ["WARNING"]),
        (["fastsim.py", "--CaloFastSim.OutO"], ["--CaloFastSim.OutOfRange"]),
        (["fastsim.py", "--CaloFastSim.OutOfRange", ""], ["auto", "clamp", "fail", "skip"]),
        (
            ["fastsim.py", "--CaloFastSim.Model", "besiii_emc_barrel/a"],
            ["besiii_emc_barrel/accurate"],
        ),
        # Files are the shell's business, the second of a list, too.
        (["fastsim.py", "--IOSvc.Input", "fast"], []),
        (["fastsim.py", "--IOSvc.Input", "a.root", "fast"], []),
        (["fastsim.py", "--dry-run", "min"], ["mine.py"]),
        (["/"], []),
        (["--dry"], ["--dry-run"]),
    ],
)
def test_words_are_completed(tmp_path, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").touch()
    Path("mine.root").touch()
    assert completion.candidates(words) == expected


@pytest.fixture
def shell(request, tmp_path):
    """Type into a shell that knows the completion, and return all that it showed."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name}")
    options = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}[name]
    ours, theirs = pty.openpty()
    path = f"{K4RUN.parent}:{os.environ['PATH']}"
    running = subprocess.Popen(
        [name, *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env=os.environ | {"TERM": "dumb", "PS1": "$ ", "PATH": path},
        start_new_session=True,
    )
    os.close(theirs)

    def type_and_see(line: str, until: str) -> str:
        os.write(ours, line.encode())
        seen, end = "", time.monotonic() + 60
        while until not in seen and time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 1 << 16).decode(errors="replace")
        return seen

    start = "autoload -Uz compinit && compinit -u; " if name == "zsh" else ""
    type_and_see(f"{start}eval \"$(k4run --show-completion)\"; echo rea''dy\r", "ready")
    yield type_and_see
    running.kill()
    running.wait()
    os.close(ours)


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
def test_shells_complete_with_a_tab(shell):
    for typed, line in (
        ("k4run mixe", "k4run mixed_with_fullsim.py"),
        ("k4run fastsim.py --CaloFastSim.OutOfRange sk", "--CaloFastSim.OutOfRange skip"),
    ):
        assert line in shell(f"{typed}\t", line)
        # Control-U forgets the line.
        shell("\x15echo do''ne\r", "done")

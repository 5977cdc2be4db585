"""What `k4calofast` says of itself and of its commands."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import k4calofast
from k4calofast.cli import completion
from k4calofast.cli.commands import app
from k4calofast.training import authorship

K4CALOFAST = Path(sys.executable).with_name("k4calofast")


def commands(command: Any = None, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands by their words, and those of commands."""
    command = typer.main.get_command(app) if command is None else command
    for name, one in getattr(command, "commands", {}).items():
        yield (*names, name), one
        yield from commands(one, *names, name)


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_one_example_that_it_understands(words):
    """As far as it can be told without working: the options are there, and so are the arguments."""
    command = COMMANDS[words]
    if getattr(command, "commands", None):
        return
    assert command.epilog is not None
    assert command.epilog.startswith("Example")
    typed = shlex.split(command.epilog.partition(": ")[2].strip("`").replace("$(", "").rstrip(")"))
    own = ["k4calofast", *words]
    start = next(i for i in range(len(typed)) if typed[i : i + len(own)] == own)
    context = command.make_context("k4calofast", typed[start + len(own) :])
    assert not context.args


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_and_argument_says_what_it_is(words):
    for parameter in COMMANDS[words].params:
        assert parameter.help, (words, parameter.name)
        assert len(parameter.help) > 5


def test_the_help_says_what_a_card_has_if_nothing_is_given():
    """The words are written there once more, so that help comes without loading what trains."""
    said = {one.name: one.help for one in COMMANDS["train",].params}
    assert f"'{authorship.UNSPECIFIED}' if not given" in said["licence"]
    assert f"{authorship.FIRST} if not given" in said["version"]


def test_help_loads_nothing_heavy():
    program = "import sys, k4calofast.cli.commands; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert not {"numpy", "pydantic", "yaml", "torch", "uproot"} & set(done.stdout.split())
    program = "import sys; from k4calofast.steering import command_line; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert not {"numpy", "pydantic", "yaml", "rich", "typer"} & set(done.stdout.split())


def test_the_version_the_citation_and_the_module():
    for command in ([K4CALOFAST], [sys.executable, "-m", "k4calofast"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"k4calofast {k4calofast.__version__}\n"
    said = CliRunner().invoke(app, ["--citation"])
    assert said.exit_code == 0
    assert "@software{k4calofast," in said.output


def test_without_arguments_the_help_comes_and_the_exit_code_is_not_0():
    said = CliRunner().invoke(app, [])
    assert said.exit_code != 0
    assert "Calorimeter fast simulation for Key4hep" in said.output


def test_options_files_are_listed_found_and_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, ["options", *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert run() == run("list")
    assert "\nfastsim.py                Fast simulation of the BESIII EMC: MCParticles" in run()
    assert Path(run("path", "fastsim.py").strip()).read_text().startswith('"""Fast simulation')
    assert run("copy", "fastsim.py", "mine.py").splitlines() == [
        "mine.py written",
        "input/particles.edm4hep.root written",
    ]
    assert run("copy", "fastsim.py", "mine.py") == "nothing to do: all files are there already\n"


def completed(*words: str) -> list[str]:
    """What typer proposes to bash for the last word, as the shell asks for it."""
    environment = os.environ | {
        "_K4CALOFAST_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["k4calofast", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([K4CALOFAST], capture_output=True, text=True, env=environment)
    return done.stdout.split()


def test_bash_completes_commands_and_names():
    assert completed("va") == ["validate"]
    assert completed("options", "path", "fastsim_c") == ["fastsim_cepc.py", "fastsim_cld.py"]
    assert "besiii_emc_barrel/fast" in completed("validate", "besiii_emc_barrel/")
    hcal = ["CLD_HCAL_barrel", "CLD_HCAL_endcaps", "CLD_HCAL_rings"]
    ecal = ["CLD_ECAL_barrel", "CLD_ECAL_endcaps"]
    assert completed("fullsim", "--detector", "CLD") == [*ecal, *hcal]
    assert completed("train", "--family", "flow") == ["flow_matching"]
    assert completed("validate", "--no-sp") == ["--no-speed"]


def test_bash_and_zsh_get_their_scripts():
    for shell in ("bash", "zsh"):
        environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        command = [K4CALOFAST, "--show-completion", shell]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert "_K4CALOFAST_COMPLETE" in done.stdout


def test_what_is_completed_is_there():
    assert "fastsim.py" in completion.options_files()
    assert "BESIII_EMC_barrel" in completion.detectors()
    assert completion.models("cld") == [name for name in completion.models("") if name[:3] == "cld"]

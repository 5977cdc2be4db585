"""What is missing, or wrong in an input, is one sentence, before anything is shown or begun."""

from __future__ import annotations

import ast
import io
import re
import sys
import tomllib
from pathlib import Path

import pytest

from k4calofast import cli, streams
from k4calofast.exceptions import MissingExtraError, install, require

REPOSITORY = Path(__file__).resolve().parents[2]
GEANT4 = REPOSITORY / "tests" / "data" / "geant4_showers.h5"
REPORT = REPOSITORY / "docs" / "reports" / "besiii_emc_barrel" / "accurate"
FAST = "besiii_emc_barrel/fast"


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def k4calofast(tmp_path, monkeypatch):
    """Run the command in an empty folder; return its exit code and what a terminal shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streams, "prepare", lambda: None)

    def run(*words: object) -> tuple[int | str | None, str]:
        terminal = Terminal()
        monkeypatch.setattr(sys, "argv", ["k4calofast", *map(str, words)])
        monkeypatch.setattr(sys, "stderr", terminal)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, terminal.getvalue()

    return run


@pytest.mark.parametrize(
    ("extra", "module", "command"),
    [
        ("fullsim", "geant4_pybind", ("fullsim", "a.h5")),
        ("training", "torch", ("train", GEANT4, "model")),
        ("training", "torch", ("train", GEANT4, "model", "--show")),
        ("training", "optuna", ("tune", GEANT4, "--choose", GEANT4)),
        ("validation", "sklearn", ("tune", GEANT4, "--choose", GEANT4)),
        ("training", "lightning", ("refine", "work", GEANT4, "model")),
        ("training", "onnx", ("reduce", FAST, GEANT4, "model")),
        ("validation", "scipy", ("validate", FAST, "--reference", GEANT4)),
        ("validation", "jinja2", ("validate", FAST, "--reference", GEANT4, "--out", "report")),
        ("validation", "h5py", ("request", FAST, "--reference", GEANT4, "--out", "a.yaml")),
        ("validation", "jinja2", ("compare", REPORT, "--out", "a.html")),
        ("validation", "scipy", ("ensemble", REPORT, REPORT)),
        ("validation", "h5py", ("convert", GEANT4, "a.h5")),
    ],
)
def test_what_to_install_is_said_before_the_work(
    k4calofast, monkeypatch, tmp_path, extra, module, command
):
    monkeypatch.setitem(sys.modules, module, None)
    code, shown = k4calofast(*command)
    assert code == 1
    sentence = rf"k4calofast: .* needs {re.escape(install(extra))}: there is no {module} here\n"
    assert re.fullmatch(sentence, shown) is not None, shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "start"),
    [
        ("pyhepmc", "HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\n"),
        ("pylhe", '<LesHouchesEvents version="3.0">\n'),
    ],
)
def test_what_reads_generators_events_is_said_before_the_work(
    k4calofast, monkeypatch, tmp_path, module, start
):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "events").write_text(start)
    code, shown = k4calofast("particles", "events", "a.root")
    assert code == 1
    said = rf"k4calofast: .* needs {re.escape(install('inputs'))}: there is no {module} here\n"
    assert re.fullmatch(said, shown), shown
    assert [file.name for file in tmp_path.iterdir()] == ["events"]


@pytest.mark.parametrize(
    ("sentence", "command"),
    [
        (
            "no detector 'ATLAS'; there are BESIII_EMC_barrel",
            ("fullsim", "a.h5", "--detector", "ATLAS"),
        ),
        ("--pitch makes no sense", ("fullsim", "a.h5", "--pitch", "1")),
        ("must lie between", ("fullsim", "a.h5", "--momentum", "1000")),
        ("no such file", ("fullsim", "a.h5", "--request", "nowhere.yaml")),
        ("no such file", ("validate", FAST, "--reference", "nowhere.h5")),
        ("no model 'other'; there are", ("validate", "other", "--reference", GEANT4)),
        ("no such file", ("request", FAST, "--reference", "nowhere.h5", "--out", "a.yaml")),
        ("no such file", ("train", "nowhere.h5", "model")),
        ("no family 'other'", ("train", GEANT4, "model", "--family", "other")),
        ("no such setting", ("train", GEANT4, "model", "--set", "other=1")),
        ("no device 'tpu'", ("train", GEANT4, "model", "--device", "tpu")),
        ("no such file", ("tune", "nowhere.h5", "--choose", GEANT4)),
        ("no objective 'beauty'", ("tune", GEANT4, "--choose", GEANT4, "--objective", "beauty")),
        ("nowhere", ("refine", "nowhere", GEANT4, "model")),
        ("no such file", ("reduce", FAST, "nowhere.h5", "model")),
        ("no such file", ("compare", "nowhere")),
        ("no such file", ("ensemble", "nowhere")),
        ("no such file", ("convert", "nowhere.h5", "a.h5")),
        ("no such file", ("particles", "nowhere.hepmc", "a.root")),
        ("no such file", ("display", "nowhere.root")),
        ("no model 'other' to fetch", ("models", "fetch", "other")),
        ("no options file 'other.py' is installed", ("options", "copy", "other.py")),
    ],
)
def test_what_is_wrong_is_said_before_a_bar(k4calofast, sentence, command):
    code, shown = k4calofast(*command)
    assert code == 1
    assert re.fullmatch(rf"k4calofast: .*{re.escape(sentence)}.*\n", shown), shown


def test_modules_that_are_there_are_not_missed():
    require("validation", "a picture", "sys", "numpy")
    with pytest.raises(MissingExtraError, match="a picture needs pip install 'k4calofast"):
        require("validation", "a picture", "numpy", "no_such_module")


def test_no_sentence_of_a_command_names_what_only_a_program_can_use():
    """Arguments of functions, modules and classes; those of the door for Python are for Python."""
    package = REPOSITORY / "k4calofast"
    said = {}
    for file in package.rglob("*.py"):
        if file.relative_to(package).parts[0] == "notebook":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                texts = [one.value for one in ast.walk(node.exc) if isinstance(one, ast.Constant)]
                text = "".join(one for one in texts if isinstance(one, str))
                if re.search(r"k4calofast\.\w|\bargument\b|\w\(\)|\b\w+=(True|False|None)\b", text):
                    said[f"{file.name}:{node.lineno}"] = text
    assert said == {}


def test_every_extra_that_is_named_can_be_installed():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    texts = [file.read_text() for file in (REPOSITORY / "k4calofast").rglob("*.py")]
    named = {
        extra
        for text in texts
        for found in re.findall(r'\b(?:require|install)\(\s*["\'](\w+)|k4calofast\[(\w+)\]', text)
        for extra in found
        if extra
    }
    assert {"fullsim", "training", "validation", "gpu"} <= named
    assert named <= set(project["optional-dependencies"])

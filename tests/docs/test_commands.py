"""Every block of shell or Python in README.md and docs is run, each page in a folder of its own.

A new block is run as it stands. What would take hours is made small by `SMALLER`, and what cannot
be here is named in `NOT_HERE`, each with its reason; a line of these tables that fits nothing any
more is an error. Options of all command lines, those in the text too, are compared with the
commands' own, whether they are run or not.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from markdown_it import MarkdownIt

from k4calofast.cli.commands import app
from k4calofast.steering.configurables import COMPONENTS, IOSvc

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
REPORTS = REPOSITORY / "docs" / "reports"
MODELS = REPOSITORY / "models"
PAGES = {
    page.name: page.read_text()
    for page in (
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted((REPOSITORY / "docs").glob("*.md")),
    )
    if page.exists()
}


class Change(NamedTuple):
    """A text in a command is replaced, to make it small or nothing."""

    text: str
    why: str
    instead: str = ":"


def _settings(**values: object) -> str:
    return "".join(f" --set {name}={value}" for name, value in values.items())


_FLOW = _settings(
    width=16, blocks=1, steps=2, batch=64, distillation_steps=1, distillation_batch=16, matched=100
)
_GAN = _settings(latent=8, channels=4, hidden=64, steps=2, batch=32, matched=100)
_HADRONS = _settings(
    width=16, blocks=1, steps=2, batch=32, response_steps=2, response_batch=32, matched=100
)
_CLASSIFIER = _settings(steps=2, batch=64, width=8, pools=1)
_KEY4HEP = "needs Key4hep and a compiler; tests/key4hep does it where they are"

CHANGES = (
    Change(r"\bpip install [^&]*", "needs the package index"),
    Change(r"\bruff check.*", "checks the whole repository, tests included: CI does it"),
    Change(r"^python -m pytest.*", "runs this"),
    Change(r"^nox -l", "needs a clone and nox"),
    Change(r"\bpre-commit install", "needs a clone and pre-commit"),
    Change(r"^git (tag|push) .*", "releases"),
    Change(r"^source /cvmfs.*", _KEY4HEP),
    Change(r"^python -m venv .*", "makes a folder of hundreds of MB that nothing here looks at"),
    Change(r"^cmake .*", _KEY4HEP),
    Change(r"^\(cd build && ctest\).*", _KEY4HEP),
    Change(r".*postgresql://.*", "needs a database"),
    Change(r"^python benchmarks/active_learning.py.*", "trains on 150 000 showers"),
    Change(r"^python benchmarks/whole_events.py.*", "hours of Geant4"),
    Change(
        r"k4calofast fullsim (\S+)(?!.*--detector)(?!.*--request).* --seed (\d+).*",
        "hours of Geant4 that others have spent: tests/fullsim simulates, and so do lines below",
        r"sample \1 BESIII_EMC_barrel \2",
    ),
    Change(
        r"k4calofast fullsim (\S+) .*--detector (BESIII\S+).* --seed (\d+).*",
        "the same; in all crystals, as models of the package are",
        r"sample \1 \2 \3 all",
    ),
    Change(
        r"k4calofast fullsim (\S+) .*--detector (\S+).* --seed (\d+).*",
        "the same",
        r"sample \1 \2 \3",
    ),
    Change(r"(k4calofast fullsim .* -n) \d+", "hours of Geant4", r"\1 1 --momentum-range 1 3"),
    Change(
        r"k4calofast train \S+ (\S+) .*--family layered.*",
        "minutes; CLD's model under another name, tests/chain/test_outside_detector.py trains one",
        r"mkdir -p \1 && cp $CLD/model.onnx \1 && "
        r"sed s/CLD_ECAL_barrel/MY_ECAL_barrel/ $CLD/card.yaml > \1/card.yaml",
    ),
    Change(r"(k4calofast (?:train|tune) .*--family gan.*)", "ten minutes", rf"\1{_GAN}"),
    Change(r"(k4calofast train .*--family hadrons.*)", "ten minutes", rf"\1{_HADRONS}"),
    Change(r"(k4calofast train .*--config.*)", "ten minutes", rf"\1{_GAN}"),
    Change(r"(k4calofast train (?!.*(?:--family|--config)).*)", "an hour", rf"\1{_FLOW}"),
    Change(r"(k4calofast refine .*)", "minutes", rf"\1{_CLASSIFIER}"),
    Change(r"(k4calofast display --model .*)", "a minute for 500 showers", r"\1 -n 40"),
    Change(r"--trials \d+", "so many trainings", "--trials 2"),
    Change(r"--ensemble 5", "five trainings", "--ensemble 2"),
    Change(r"for k in 1 2 3 4 5", "five trainings", "for k in 1 2"),
    Change(r" report-3 report-4 report-5", "five trainings", ""),
    Change(
        r"(k4calofast validate .*--out (\S+).*)",
        "classifiers; generators of two steps fail their gates, which is an error",
        r"\1 -n 200 --no-speed || test -f \2/report.json",
    ),
    Change(r"/shared/models", "belongs to a farm", "$PWD/shared"),
)
"""In each command, every text that fits is replaced, one line of the table after the other."""

CLONE = {"README.md": ("options", "docs"), "key4hep.md": ("options",)}
"""Folders of a clone that pages are about."""

GIVEN: dict[str, dict[str, int | str]] = {
    "README.md": {"mine.edm4hep.root": "particles"},
    "tutorial.md": {"mine.edm4hep.root": "particles"},
    "active_learning.md": {"train.h5": "fullsim", "choose.h5": 2, "models/mine/flow": "flow"},
    "inputs.md": {"events.hepmc3": "hepmc"},
    "models.md": {"models/mine/flow": "flow"},
    "running.md": {"particles.edm4hep.root": "particles"},
    "training.md": {"train.h5": 1, "other_seed.h5": 2, "test.h5": 3, "hadrons.h5": 4},
    "tuning.md": {"SAMPLE": 1, "OTHER_SEED.h5": 2},
    "validation.md": {
        "SAMPLE": 1,
        "TEST": 2,
        "MODEL": "flow",
        "report_a": "report",
        "report_b": "report",
    },
}
"""What pages take for given: samples with these seeds, a model, a report, particles."""

HEPMC = """HepMC::Version 3.02.05
HepMC::Asciiv3-START_EVENT_LISTING
E 1 1 3
U GEV MM
P 1 0 11 0 0 2 2 0 4
P 2 1 22 0.8 0.1 0.3 0.860232526704263 0 1
P 3 1 22 0 -0.7 -0.2 0.728010988928052 0 1
HepMC::Asciiv3-END_EVENT_LISTING
"""

OPTIONS_FILE = """
from Configurables import CaloDigitiser, CaloFastSim

fastsim = CaloFastSim("CaloFastSim")
digitiser = CaloDigitiser("CaloDigitiser")
"""
"""In front of lines that are part of an options file."""


class Block(NamedTuple):
    """A block of code on a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _blocks(page: str) -> list[Block]:
    tokens = MarkdownIt().parse(PAGES[page])
    return [
        Block(page, token.map[0] + 1, token.info.strip().partition(" ")[0], token.content)
        for token in tokens
        if token.type == "fence"
    ]


BLOCKS = [block for page in PAGES for block in _blocks(page)]
RUN = [block for block in BLOCKS if block.language in ("sh", "python", "yaml")]


def _lines(script: str) -> list[str]:
    """Lines of a script, with those that go on in the next one joined, and without comments."""
    joined = re.sub(r"\\\n\s*", "", script)
    return [re.sub(r"(^|\s+)#.*", "", line) for line in joined.splitlines()]


LINES = [line for block in BLOCKS if block.language == "sh" for line in _lines(block.text)]


def _small(line: str) -> str:
    for change in CHANGES:
        line = re.sub(change.text, change.instead, line)
    return line


def test_all_blocks_say_what_they_are():
    languages = {"sh", "python", "yaml", "text", "", "{toctree}", "{image}"}
    assert [str(block) for block in BLOCKS if block.language not in languages] == []


def test_every_exception_is_needed():
    for change in CHANGES:
        assert any(re.search(change.text, line) for line in LINES), change
    for page, files in GIVEN.items():
        text = " ".join(block.text for block in BLOCKS if block.page == page)
        assert [file for file in files if file not in text] == [], page


# Options, wherever they are named


SPOKEN = [
    (page, child.content)
    for page, text in PAGES.items()
    for token in MarkdownIt("commonmark").enable("table").parse(text)
    for child in token.children or ()
    if child.type == "code_inline"
]
"""Pieces of code in the text of pages."""

ELSEWHERE = {
    "--gdb": "of Key4hep's own k4run",
    "--logdir": "of TensorBoard",
    "--Component.Property": "of any component",
}
"""Options in the text that the commands do not list."""


def _words(line: str) -> Iterator[list[str]]:
    """Commands of this package in a line, as words."""
    words: list[str] = []
    split = shlex.shlex(line, posix=True, punctuation_chars=True)
    split.whitespace_split = True
    for word in [*split, ";"]:
        if set(word) <= set("();<>|&"):
            if words and words[0] in ("k4calofast", "k4run"):
                yield words
            words = []
        else:
            words.append(word)


def _examples(command: Any) -> Iterator[tuple[str, str]]:
    """Command lines in the help of a command and of those below, without "Example: "."""
    for line in (command.epilog or "").splitlines():
        yield "--help", line.partition(": ")[2]
    for one in getattr(command, "commands", {}).values():
        yield from _examples(one)


EXAMPLES = list(_examples(typer.main.get_command(app)))

COMMAND_LINES = [
    (origin, words)
    for origin, line in [
        *EXAMPLES,
        *(
            (block.page, line)
            for block in BLOCKS
            if block.language == "sh"
            for line in _lines(block.text)
        ),
        *(spoken for spoken in SPOKEN if re.match(r"(k4calofast|k4run) (?!\w+ \d+$)", spoken[1])),
    ]
    for words in _words(line)
]


def _subcommand(words: list[str]) -> tuple[Any, list[str]]:
    """The command of click that a command line of `k4calofast` calls, and the rest of its words."""
    command = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"{' '.join(words)}: there is no {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def _named(command: Any) -> set[str]:
    """Options of a command."""
    own = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return {"--help", *(name for name in own if name.startswith("-"))}


def _everywhere(command: Any) -> set[str]:
    below = getattr(command, "commands", {}).values()
    return _named(command).union(*map(_everywhere, below))


def _option(word: str) -> str | None:
    """Name of the option that a word is, if it is one."""
    found = re.match(r"(--?[A-Za-z][\w.-]*)", word)
    return found and found[1]


PROPERTIES = {
    name: set(component.properties_type.model_fields) | {"OutputLevel"}
    for name, component in (COMPONENTS | {"IOSvc": IOSvc}).items()
}


def _is_property(name: str) -> bool:
    """Whether a component has this property; of components with other names, whether any has."""
    component, _, key = name.partition(".")
    return key in PROPERTIES.get(component, set().union(*PROPERTIES.values()))


@pytest.fixture(scope="module")
def of_k4run(commands, tmp_path_factory) -> set[str]:
    """Options of `k4run` beside properties."""
    said = _shell("k4run --help", tmp_path_factory.mktemp("help"), commands)
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", said))


def test_command_lines_have_options_that_exist(of_k4run):
    wrong = []
    for page, words in COMMAND_LINES:
        command, rest = _subcommand(words) if words[0] == "k4calofast" else (None, words[1:])
        known = of_k4run if command is None else _named(command)
        for name in filter(None, map(_option, rest)):
            of_component = command is None and "." in name
            if not (_is_property(name[2:]) if of_component else name in known | set(ELSEWHERE)):
                wrong.append(f"{page}: {' '.join(words)}: {name}")
    assert wrong == []


def test_options_and_properties_in_the_text_exist(of_k4run):
    known = _everywhere(typer.main.get_command(app)) | of_k4run | set(ELSEWHERE)
    wrong = []
    for page, code in SPOKEN:
        of_component = re.fullmatch(r"(?:--)?([A-Z]\w+\.[A-Z]\w+).*", code)
        if of_component and of_component[1].partition(".")[0] in PROPERTIES:
            if not _is_property(of_component[1]):
                wrong.append(f"{page}: {code}")
        elif code.startswith("-") and _option(code) and _option(code) not in known:
            wrong.append(f"{page}: {code}")
    assert wrong == []


# Blocks


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Environment in which the commands are those of this Python, loaded before."""
    folder = tmp_path_factory.mktemp("commands")
    warm, socket = HERE / "warm.py", str(folder / "socket")
    for name in ("k4calofast", "k4run", "python", "sample"):
        (folder / name).write_text(f"#!{sys.executable} -IS\n" + warm.read_text())
        (folder / name).chmod(0o755)
    environment = os.environ | {
        "K4CALOFAST_WARM": socket,
        "CLD": str(MODELS / "cld_ecal_barrel" / "layered"),
        "MPLBACKEND": "agg",
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "K4CALOFAST_MODEL_CACHE": str(folder / "cache"),
        "K4CALOFAST_MODEL_MIRROR": str(folder / "mirror"),
        # What users have in their shells.
        "HOST": "here",
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
    }
    with subprocess.Popen(
        [sys.executable, warm, socket], stdout=subprocess.PIPE, env=environment
    ) as server:
        assert server.stdout.readline() == b"ready\n"
        for name in ("besiii_emc_barrel/vae", "besiii_emc_barrel/library"):
            _shell(f"k4calofast models pack {MODELS}/{name} mirror", folder, environment)
        yield environment
        server.terminate()


@pytest.fixture(scope="module")
def flow(commands, tmp_path_factory) -> Path:
    """Folder with a small generator, and the work of its training."""
    folder = tmp_path_factory.mktemp("flow")
    _shell(f"sample s.h5 BESIII_EMC_barrel 5; k4calofast train s.h5 flow{_FLOW}", folder, commands)
    return folder


def _shell(script: str, folder: Path, commands: dict[str, str]) -> str:
    """Run a script; each of its lines must succeed. Return what it prints."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=commands,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


def _give(name: str, what: int | str, folder: Path, commands: dict[str, str], flow: Path) -> None:
    """Put there what a page takes for given."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(what, int):
        _shell(f"sample {name} BESIII_EMC_barrel {what}", folder, commands)
    elif what == "fullsim":
        # Of the same simulation as those that the page adds to it.
        _shell(f"k4calofast fullsim {name} -n 200 --momentum-range 0.02 1", folder, commands)
    elif what == "flow":
        shutil.copytree(flow / "flow", file)
    elif what == "report":
        shutil.copytree(REPORTS / "besiii_emc_barrel" / "gan", file)
    elif what == "particles":
        shutil.copy(REPOSITORY / "options" / "input" / "particles.edm4hep.root", file)
    elif what == "hepmc":
        file.write_text(HEPMC)


def _kind(block: Block) -> str:
    """What to do with a block."""
    of_options = r"Configurables|^(fastsim|digitiser)\.|CaloFastSim\("
    options = re.search(of_options, block.text, re.MULTILINE)
    return "options" if block.language == "python" and options else block.language


def _put(text: str, folder: Path) -> None:
    """Write a file whose first line says where it belongs."""
    file = folder / re.match(r"# ([\w./]+)", text)[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize("page", sorted({block.page for block in RUN}))
def test_what_a_page_says_runs(page, commands, flow, tmp_path):
    for name in CLONE.get(page, ()):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    for name, what in GIVEN.get(page, {}).items():
        _give(name, what, tmp_path, commands, flow)
    scripts: list[str] = []
    for kind, blocks in groupby((one for one in RUN if one.page == page), _kind):
        texts = [block.text for block in blocks]
        if kind == "python":
            # One program, as in a notebook: what comes later knows what was before.
            scripts += texts
            (tmp_path / "page.py").write_text("\n".join(scripts))
            _shell("python page.py", tmp_path, commands)
        for text in texts:
            if kind == "sh":
                _shell("\n".join(map(_small, _lines(text))), tmp_path, commands)
            elif kind == "yaml":
                _put(text, tmp_path)
            elif kind == "options":
                whole = "import" in text
                (tmp_path / "options.py").write_text(text if whole else OPTIONS_FILE + text)
                _shell(f"k4run {'' if whole else '--dry-run'} options.py", tmp_path, commands)

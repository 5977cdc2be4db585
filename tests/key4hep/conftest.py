"""Jobs of Key4hep's own k4run beside those of the embedded runtime; all skip without Key4hep."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from k4calofast.events.layout import read_parameters
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import event_keys, particles, relations, sim_hits

REPOSITORY = Path(__file__).resolve().parents[2]

Job = Callable[..., subprocess.CompletedProcess[str]]


def k4run_of_key4hep() -> str | None:
    """Path of Key4hep's k4run: the one that is not this package's."""
    if find_spec("k4FWCore") is None or find_spec("Configurables") is None:
        return None
    for folder in os.environ["PATH"].split(os.pathsep):
        command = shutil.which("k4run", path=folder)
        if command is not None and "k4calofast" not in Path(command).read_text(encoding="utf-8"):
            return command
    return None


@pytest.fixture(scope="session")
def key4hep() -> Job:
    """Run Key4hep's k4run with these arguments in a folder."""
    command = k4run_of_key4hep()
    if command is None:
        pytest.skip("Key4hep is not here")

    def run(folder: Path, *arguments: str | Path, **environment: str):
        return subprocess.run(
            [command, *map(str, arguments)],
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


@pytest.fixture(scope="session")
def embedded() -> Job:
    """Run the embedded runtime with these arguments in a folder."""

    def run(folder: Path, *arguments: str | Path):
        command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded"]
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}"},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run


@dataclass
class Event:
    """One event, as bytes by name."""

    run: int
    number: int
    columns: dict[str, bytes]


def _metadata(file: Path) -> dict[str, str]:
    """String parameters of a file's metadata."""
    with closing(EventSource([file], [])) as source:
        text = read_parameters(source.metadata.fields, 0)["String"]
        return {key: values[0] for key, values in text.items()}


def _content(file: Path) -> list[Event]:
    """Particles, hits with their contributions, digits and links, ordered by event number."""
    source = EventSource([file], [])
    events = []
    for chunk in source.chunks(0, source.num_events, 500):
        for number in range(chunk.count):
            frames = chunk.slice(number, number + 1)
            keys = event_keys(frames, "EventHeader", 0)
            columns: dict[str, object] = {}
            for info in source.infos:
                columns |= _columns(frames, info, source.infos)
            for values in read_parameters(chunk.fields, number).values():
                columns |= {key: value for key, value in values.items() if "__Fate" in key}
            events.append(
                Event(
                    int(keys.run[0]),
                    int(keys.event[0]),
                    {name: np.asarray(column).tobytes() for name, column in columns.items()},
                )
            )
    return sorted(events, key=lambda event: (event.run, event.number))


def _columns(frames, info, infos) -> dict[str, object]:
    """What is compared of a collection; relations as indices."""
    name = info.name
    if info.is_subset:
        return {f"{name}.index": frames.array(f"{name}_objIdx")["index"][0]}
    if info.data_type == "edm4hep::SimCalorimeterHitCollection":
        found, parts = sim_hits(frames, name, infos)
        return {f"{name}.{f.name}": getattr(found, f.name) for f in fields(found)} | {
            f"{name}.contributions.{f.name}": getattr(parts, f.name) for f in fields(parts)
        }
    if info.data_type == "edm4hep::MCParticleCollection":
        these = particles(frames, info)
        return {f"{name}.{f.name}": getattr(these, f.name) for f in fields(these)} | {
            f"{name}.{relation}": np.stack(relations(frames, info, relation))
            for relation in ("parents", "daughters")
        }
    if info.data_type == "edm4hep::CalorimeterHitCollection":
        hits = frames.array(name)[0]
        members = ("cellID", "energy", "energyError", "time", "type")
        return {f"{name}.{member}": hits[member] for member in members} | {
            f"{name}.{axis}": hits["position"][axis] for axis in "xyz"
        }
    if info.data_type.startswith("podio::LinkCollection"):
        return {f"{name}.weight": frames.array(name)[0]["weight"]} | {
            f"{name}.{end}": frames.array(f"_{name}_{end}")[0]["index"] for end in ("from", "to")
        }
    return {}


def _assert_same(one: Path, other: Path, hits: bool = True) -> int:
    """Compare two files bit by bit, that have hits or not; returns the number of events."""
    left, right = _content(one), _content(other)
    assert [(event.run, event.number) for event in left] == [
        (event.run, event.number) for event in right
    ]
    for a, b in zip(left, right, strict=True):
        assert a.columns.keys() == b.columns.keys()
        different = [name for name in a.columns if a.columns[name] != b.columns[name]]
        assert not different, f"event {a.number}: {different}"
    if hits:
        names = [name for name in left[0].columns if "cell" in name]
        assert any(event.columns[name] for event in left for name in names)
    return len(left)


@pytest.fixture(scope="session")
def assert_same() -> Callable[..., int]:
    """Compare two files bit by bit, that have hits or not; returns the number of events."""
    return _assert_same


@pytest.fixture(scope="session")
def metadata_of() -> Callable[[Path], dict[str, str]]:
    """String parameters of a file's metadata."""
    return _metadata


@pytest.fixture(scope="session")
def options() -> Path:
    """The folder of options files."""
    return REPOSITORY / "options"

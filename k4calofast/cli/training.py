"""What the commands that train have in common: options, the extra, and the progress shown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from k4calofast.detector import load
from k4calofast.exceptions import MissingExtraError, TrainingError
from k4calofast.generator.card import check_destination
from k4calofast.output import check_folder
from k4calofast.training import authorship, families

Family = Annotated[str | None, typer.Option(help=f"Family: {', '.join(families.FAMILIES)}.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings in YAML; --show prints those there are.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting, stronger than --config."),
]
Work = Annotated[
    Path | None,
    typer.Option(help="Folder for checkpoints and logs; <output>.work if not given."),
]
Show = Annotated[
    bool, typer.Option("--show", help="Print all settings as YAML and do nothing else.")
]
Hits = Annotated[str, typer.Option(help="Collection of SimCalorimeterHits of an EDM4hep sample.")]
Particles = Annotated[
    str, typer.Option(help="Collection of MCParticles that its contributions point to.")
]
Binning = Annotated[Path | None, typer.Option(help="Binning XML of a CaloChallenge sample.")]
Detector = Annotated[
    str | None, typer.Option(help="Calorimeter, where the sample does not say which.")
]
Author = Annotated[
    str | None,
    typer.Option(help="Author, for the card; git's user.name or the login name if not given."),
]
Licence = Annotated[
    str | None,
    typer.Option(help=f"Licence of the model, for the card; '{authorship.UNSPECIFIED}'."),
]
Version = Annotated[
    str | None, typer.Option(help=f"Version of the model, for the card; {authorship.FIRST}.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA if there is one.")]

_EVERY = 1000
"""Steps between two lines of progress where there is no terminal."""

_PACKAGES = ("torch", "onnx", "lightning", "optuna", "tensorboard", "zuko")


@contextmanager
def extra() -> Iterator[None]:
    """Name the extra to install where one of its packages is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        raise MissingExtraError(
            f"training needs {error.name}: pip install 'k4calofast[training]'"
        ) from None


def device(name: str) -> str:
    """Return ``cpu`` or ``cuda`` for what the user asked for.

    Raises
    ------
    TrainingError
        If there is no such device.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_gpu else "cpu"
    if name not in ("cpu", "cuda"):
        raise TrainingError(f"no device '{name}'; there are auto, cpu, cuda")
    if name == "cuda" and not has_gpu:
        raise TrainingError("device 'cuda' was asked for, but this torch sees no GPU")
    return name


def check_destinations(model: Path, work: Path, detector: str | None = None) -> None:
    """Refuse what a training would fail at in the end, before torch is loaded.

    Raises
    ------
    OutputError
        If the model folder or the work folder cannot be written to.
    UnknownDetectorError
        If there is no such detector; the message lists those there are.
    """
    check_destination(model)
    check_folder(work)
    if detector is not None:
        load(detector)


def command() -> str:
    """What the user typed."""
    return shlex.join(["k4calofast", *sys.argv[1:]])


@contextmanager
def progress() -> Iterator[Callable[[str, int, int, float], None]]:
    """Show a bar per stage, or lines where there is no terminal."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        console=console,
    )
    stages: dict[str, TaskID] = {}

    def report(stage: str, step: int, total: int, loss: float) -> None:
        if stage not in stages:
            stages[stage] = bar.add_task(stage, total=total, loss=loss)
        bar.update(stages[stage], completed=step, loss=loss)
        if not console.is_terminal and step % _EVERY == 0:
            typer.echo(f"{stage}: step {step} of {total}, loss {loss:.4f}", err=True)

    with bar if console.is_terminal else nullcontext():
        yield report

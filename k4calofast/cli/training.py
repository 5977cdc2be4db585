"""What the commands that train have in common: options, the extra, and the progress shown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from k4calofast.cli.completion import detectors
from k4calofast.exceptions import TrainingError, require
from k4calofast.output import check_folder
from k4calofast.progress import shown
from k4calofast.training import families

Family = Annotated[
    str | None,
    typer.Option(
        help=f"Family: {', '.join(families.FAMILIES)}; {families.DEFAULT} if not given.",
        autocompletion=lambda: list(families.FAMILIES),
    ),
]
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
    str | None,
    typer.Option(
        help="Calorimeter, where the sample does not say which.", autocompletion=detectors
    ),
]
Author = Annotated[
    str | None,
    typer.Option(help="Author, for the card; git's user.name or the login name if not given."),
]
Licence = Annotated[
    str | None,
    typer.Option(help="Licence of the model, for the card; 'unspecified' if not given."),
]
Version = Annotated[
    str | None, typer.Option(help="Version of the model, for the card; 0.1.0 if not given.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA if there is one.")]

_PACKAGES = ("h5py", "lightning", "onnx", "optuna", "tensorboard", "torch", "zuko")


def require_packages() -> None:
    """Make sure that the packages of training are there.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    require("training", "training", *_PACKAGES)


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
    from k4calofast.detector import load
    from k4calofast.generator.card import check_destination

    check_destination(model)
    check_folder(work)
    if detector is not None:
        load(detector)


def command() -> str:
    """What the user typed."""
    return shlex.join(["k4calofast", *sys.argv[1:]])


@contextmanager
def progress() -> Iterator[Callable[[str, int, int, float], None]]:
    """Show the stages of a training, and their loss."""
    with shown() as report:

        def report_loss(stage: str, step: int, steps: int, loss: float) -> None:
            report(stage, step, steps, f"loss {loss:.4f}")

        yield report_loss

"""`k4calofast train`: from a shower sample to a model folder."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
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

from k4calofast.exceptions import MissingExtraError
from k4calofast.training.settings import Recipe

_DEFAULT = Recipe()

_EVERY = 1000
"""Steps between two lines of progress where there is no terminal."""


def train(
    sample: Annotated[Path, typer.Argument(help="Shower sample, from `k4calofast fullsim`.")],
    output: Annotated[Path, typer.Argument(help="Model folder to write.")],
    work: Annotated[
        Path | None, typer.Option(help="Folder for the trained flow; <output>.work if not given.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Work folder of an earlier training to go on from.")
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(help="Largest learning rate of the flow.")
    ] = _DEFAULT.learning_rate,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the flow.")] = _DEFAULT.steps,
    distillation_steps: Annotated[
        int, typer.Option(min=1, help="Steps of the distillation.")
    ] = _DEFAULT.distillation_steps,
    jumps: Annotated[
        int, typer.Option(min=1, help="Network evaluations per shower.")
    ] = _DEFAULT.jumps,
    width: Annotated[int, typer.Option(min=8, help="Width of the network.")] = _DEFAULT.width,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of the network.")] = _DEFAULT.blocks,
    batch: Annotated[int, typer.Option(min=1, help="Showers per step.")] = _DEFAULT.batch,
    distillation_batch: Annotated[
        int, typer.Option(min=1, help="Showers per step of the distillation.")
    ] = _DEFAULT.distillation_batch,
    seed: Annotated[int, typer.Option(min=0)] = _DEFAULT.seed,
) -> None:
    """Train a generator on a shower sample and export it to ONNX."""
    try:
        from k4calofast.training.recipe import train as run
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnx"):
            raise
        raise MissingExtraError(
            f"training needs {error.name}: pip install 'k4calofast[training]'"
        ) from None
    recipe = Recipe(
        steps=steps,
        learning_rate=learning_rate,
        distillation_steps=distillation_steps,
        jumps=jumps,
        width=width,
        blocks=blocks,
        batch=batch,
        distillation_batch=distillation_batch,
        seed=seed,
    )
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

    command = shlex.join(["k4calofast", *sys.argv[1:]])
    with bar if console.is_terminal else nullcontext():
        work = work or output.with_name(output.name + ".work")
        card = run(sample, output, work, recipe, command, report, start)
    typer.echo(f"{output}: {card.name}, {card.training.minutes} minutes")

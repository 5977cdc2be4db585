"""`k4calofast refine`: a classifier picks among a generator's candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.cli import training
from k4calofast.training import configuration


def refine(
    generator: Annotated[Path, typer.Argument(help="Work folder of the generator's training.")],
    sample: Annotated[Path, typer.Argument(help="Shower sample, that of the training say.")],
    output: Annotated[Path, typer.Argument(help="Model folder to write.")],
    config: Annotated[
        Path | None, typer.Option(help="Settings in YAML; --show prints those there are.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, stronger than --config."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for checkpoints and logs; <output>.work if not given."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA if there is one.")] = "auto",
    show: Annotated[
        bool, typer.Option("--show", help="Print all settings as YAML and do nothing else.")
    ] = False,
) -> None:
    """Train a classifier to pick among a generator's candidates; export both as one ONNX model.

    The same command again goes on where a killed training stopped.
    """
    found = configuration.read("refinement", config, assignments or [], "")
    place = work or output.parent / f"{output.name}.work"
    if not show:
        training.check_destinations(output, place)
    with training.extra():
        from k4calofast.training.recipe import refine as run
        from k4calofast.training.refinement import RefinementSettings

        settings = found.settings(RefinementSettings)
        if show:
            typer.echo(configuration.text("refinement", settings), nl=False)
            return
        chosen = training.device(device)
    with training.progress() as report:
        card = run(
            generator,
            sample,
            output,
            place,
            settings,
            training.command(),
            report,
            chosen,
        )
    typer.echo(f"{output}: {card.name}, {card.training.minutes} minutes")

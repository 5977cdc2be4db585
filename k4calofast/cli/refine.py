"""`k4calofast refine`: a classifier picks among a generator's candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.cli import training


def refine(
    generator: Annotated[Path, typer.Argument(help="Work folder of the generator's training.")],
    sample: Annotated[Path, typer.Argument(help="Shower sample, that of the training say.")],
    output: Annotated[Path, typer.Argument(help="Model folder to write.")],
    config: training.Config = None,
    assignments: training.Assignments = None,
    work: training.Work = None,
    author: training.Author = None,
    licence: training.Licence = None,
    version: training.Version = None,
    device: training.Device = "auto",
    show: training.Show = False,
) -> None:
    """Train a classifier to pick among a generator's candidates; export both as one ONNX model.

    The same command again goes on where a killed training stopped.
    """
    from k4calofast.training import authorship, configuration

    found = configuration.read("refinement", config, assignments or [], "")
    whose = authorship.given(author, licence, version)
    place = work or output.parent / f"{output.name}.work"
    if not show:
        training.check_destinations(output, place)
    training.require_packages()
    from k4calofast.training import recipe
    from k4calofast.training.loop import Run
    from k4calofast.training.refinement import RefinementSettings

    settings = found.settings(RefinementSettings)
    if show:
        typer.echo(configuration.text("refinement", settings), nl=False)
        return
    chosen = training.device(device)
    product = recipe.Product(output, place, training.command(), whose)
    with training.progress() as report:
        card = recipe.refine(generator, sample, settings, product, Run(chosen, report))
    typer.echo(f"{output}: {card.name}, {card.training.minutes} minutes")

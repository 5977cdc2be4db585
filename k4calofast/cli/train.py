"""`k4calofast train`: from a shower sample to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.cli import training
from k4calofast.training import families


def train(
    sample: Annotated[
        Path, typer.Argument(help="Showers: HDF5, EDM4hep or rtraw; of layers, HDF5.")
    ],
    output: Annotated[Path, typer.Argument(help="Model folder to write.")],
    family: training.Family = None,
    more: Annotated[
        list[Path] | None,
        typer.Option(help="Further sample to train on, with another seed; may be repeated."),
    ] = None,
    config: training.Config = None,
    assignments: training.Assignments = None,
    choose: Annotated[
        Path | None,
        typer.Option(
            help="Sample with another seed, to choose the best epoch by: by chi2 of the total "
            "energy for crystals, by the likelihood for layers."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Work folder of an earlier training to start from."),
    ] = None,
    work: training.Work = None,
    ensemble: Annotated[
        int,
        typer.Option(min=1, help="Train so many, with seeds one after another, as <output>-1, ..."),
    ] = 1,
    hits: training.Hits = "EMCBarrelCollection",
    particles: training.Particles = "MCParticles",
    binning: training.Binning = None,
    detector: training.Detector = None,
    author: training.Author = None,
    licence: training.Licence = None,
    version: training.Version = None,
    device: training.Device = "auto",
    show: training.Show = False,
) -> None:
    """Train a generator on a shower sample and export it to ONNX.

    The same command again goes on where a killed training stopped.
    """
    from k4calofast.training import authorship, configuration

    found = configuration.read(family, config, assignments or [], families.DEFAULT)
    whose = authorship.given(author, licence, version)
    members = [_member(output, work, number, ensemble) for number in range(ensemble)]
    if not show:
        for model, place in members:
            training.check_destinations(model, place, detector)
    training.require_packages()
    settings = found.settings(families.settings_of(found.family))
    if show:
        typer.echo(configuration.text(found.family, settings), nl=False)
        return
    from k4calofast.showers.reading import Hints
    from k4calofast.training import recipe
    from k4calofast.training.loop import Run

    chosen = training.device(device)
    hints = Hints(hits, particles, binning, detector)
    for number, (model, place) in enumerate(members):
        member = settings.model_copy(update={"seed": settings.seed + number})
        task = recipe.Task(found.family, member, sample, more or (), choose, start, hints)
        product = recipe.Product(model, place, training.command(), whose)
        with training.progress() as report:
            card = recipe.train(task, product, Run(chosen, report))
        typer.echo(f"{model}: {card.name}, {card.training.minutes} minutes")


def _member(output: Path, work: Path | None, number: int, count: int) -> tuple[Path, Path]:
    """Model folder and work folder of one of several trainings."""
    suffix = f"-{number + 1}" if count > 1 else ""
    model = output.parent / f"{output.name}{suffix}"
    place = model.parent / f"{model.name}.work"
    return model, place if work is None else work.parent / f"{work.name}{suffix}"

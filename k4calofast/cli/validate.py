"""`k4calofast validate`: a generator beside a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from k4calofast.exceptions import MissingExtraError


def validate(
    model: Annotated[str, typer.Argument(help="Name or folder of the model.")],
    reference: Annotated[
        Path, typer.Option(help="Showers not seen in training: HDF5, EDM4hep or rtraw.")
    ],
    again: Annotated[
        Path | None,
        typer.Option(help="The same with another --repetition: what chance alone does."),
    ] = None,
    hits: Annotated[
        str, typer.Option(help="Collection of SimCalorimeterHits of an EDM4hep reference.")
    ] = "EMCBarrelCollection",
    particles: Annotated[
        str, typer.Option(help="Collection of MCParticles that its contributions point to.")
    ] = "MCParticles",
    binning: Annotated[
        Path | None, typer.Option(help="Binning XML of a CaloChallenge reference.")
    ] = None,
    most: Annotated[
        int | None, typer.Option(min=100, help="Compare only so many showers, spread evenly.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator's noise.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for inference.")] = 1,
    speed: Annotated[
        bool, typer.Option(help="Measure the time per shower on one core: a few seconds.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the page, index.html, and all numbers, report.json."),
    ] = None,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="Write the figures into the model's card.")
    ] = False,
) -> None:
    """Compare a generator with a full simulation; exit code 2 if a gate of its card fails."""
    from k4calofast.generator import Model, find_model
    from k4calofast.generator.card import write_card
    from k4calofast.showers import Showers, reading
    from k4calofast.validation.report import refuse_unfit, write
    from k4calofast.validation.report import validate as run

    folder = find_model(model)
    generator = Model(folder, "cpu", threads)
    card = generator.card

    def read(file: Path) -> tuple[Showers, reading.Source]:
        return reading.read(
            file,
            hits=hits,
            particles=particles,
            window=card.crystals,
            detector=card.detector,
            kinds=tuple(card.kinds),
            binning=binning,
        )

    showers, source = read(reference)
    repeated = None if again is None else read(again)[0]
    refuse_unfit(card, reference, source)
    if most is not None and most < len(showers):
        rows = slice(None, None, -(-len(showers) // most))
        showers = showers.take(rows)
        repeated = repeated.take(rows) if repeated is not None else None
    console = Console(stderr=True)
    with console.status("") as status:

        def progress(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                typer.echo(what, err=True)

        progress(f"{len(showers)} showers of {source.description}, {card.name}")
        try:
            result = run(
                generator,
                showers,
                source.description,
                seed,
                repeated,
                progress,
                out is not None,
                speed,
            )
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"validation needs {error.name}: pip install 'k4calofast[validation]'"
            ) from None
        if out is not None:
            write(result, out)
    typer.echo(result.markdown())
    if update_card:
        write_card(folder, card.model_copy(update={"validation": result.summary()}))
    for failure in result.failures:
        typer.echo(f"fails: {failure.words}", err=True)
    if result.failures:
        raise typer.Exit(2)

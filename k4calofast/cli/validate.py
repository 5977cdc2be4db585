"""`k4calofast validate`: a generator beside a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from k4calofast import output
from k4calofast.exceptions import MissingExtraError, SteeringError


def validate(
    model: Annotated[str, typer.Argument(help="Name or folder of the model.")],
    reference: Annotated[
        list[Path],
        typer.Option(
            help="Showers not seen in training: HDF5, EDM4hep or rtraw. Of layers: one or more."
        ),
    ],
    again: Annotated[
        list[Path] | None,
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
    threshold: Annotated[
        float, typer.Option(min=0.0, help="In layers: MIPs from which hits are compared.")
    ] = 0.25,
    full_simulation: Annotated[
        float | None,
        typer.Option(min=0.0, help="In layers: ms of full simulation per shower, for the report."),
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
    from k4calofast.generator.card import CARD_FILE, write_card
    from k4calofast.showers import reading
    from k4calofast.validation import report
    from k4calofast.validation.layers import report as layered

    folder = find_model(model)
    inputs = [*reference, *(again or [])]
    if out is not None:
        report.check_destination(out, inputs)
    if update_card:
        output.check(folder / CARD_FILE, inputs)
    generator = Model(folder, "cpu", threads)
    card = generator.card
    console = Console(stderr=True)

    def in_crystals() -> report.Report:
        if len(reference) > 1 or len(again or []) > 1:
            raise SteeringError("several files make one reference of layers, not of crystals")

        hints = reading.Hints(
            hits, particles, binning, card.detector, card.crystals, tuple(card.kinds)
        )
        showers, source = reading.read(reference[0], hints)
        repeated = reading.read(again[0], hints)[0] if again else None
        report.refuse_unfit(card, reference[0], source)
        if most is not None and most < len(showers):
            rows = slice(None, None, -(-len(showers) // most))
            showers = showers.take(rows)
            repeated = repeated.take(rows) if repeated is not None else None
        said = source.description
        progress(f"{len(showers)} showers of {said}, {card.name}")
        return report.validate(
            generator, showers, said, seed, repeated, progress, out is not None, speed
        )

    def in_layers() -> layered.Report:
        sample = layered.read(card, reference, again or [], full_simulation)
        if most is not None:
            sample = sample.thinned(most)
        progress(f"{len(sample.showers)} showers of {sample.said}, {card.name}")
        return layered.validate(
            generator, sample, seed, threshold, progress, out is not None, speed
        )

    with console.status("") as status:

        def progress(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                typer.echo(what, err=True)

        result: report.Report | layered.Report
        try:
            result = in_layers() if card.layered else in_crystals()
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"validation needs {error.name}: pip install 'k4calofast[validation]'"
            ) from None
        if out is not None:
            progress(f"write {out}")
            if isinstance(result, layered.Report):
                layered.write(result, out)
            else:
                report.write(result, out)
    if update_card:
        write_card(folder, card.model_copy(update={"validation": result.summary()}))
    typer.echo(result.markdown())
    for failure in result.failures:
        typer.echo(f"fails: {failure.words}", err=True)
    if result.failures:
        raise typer.Exit(2)

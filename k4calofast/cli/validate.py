"""`k4calofast validate`: a generator beside a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast import output
from k4calofast.cli.completion import models
from k4calofast.progress import shown


def validate(
    model: Annotated[
        str,
        typer.Argument(
            help="Name or folder of the model; or a set, of which the models for the reference's "
            "calorimeter are validated.",
            autocompletion=models,
        ),
    ],
    reference: Annotated[
        list[str],
        typer.Option(
            help="Showers not seen in training: HDF5, EDM4hep or rtraw; one file or more. EDM4hep "
            "at a URL, too."
        ),
    ],
    again: Annotated[
        list[str] | None,
        typer.Option(help="The same with another --repetition: what chance alone does."),
    ] = None,
    hits: Annotated[
        str, typer.Option(help="Of crystals: collection of SimCalorimeterHits of an EDM4hep file.")
    ] = "EMCBarrelCollection",
    particles: Annotated[
        str, typer.Option(help="Of crystals: collection of MCParticles in such a file.")
    ] = "MCParticles",
    binning: Annotated[
        Path | None, typer.Option(help="Of crystals: binning XML of a CaloChallenge reference.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, help="Of layers: MIPs from which hits are compared.")
    ] = 0.25,
    full_simulation: Annotated[
        float | None,
        typer.Option(min=0.0, help="ms of full simulation per shower, for the report."),
    ] = None,
    showers: Annotated[
        int | None,
        typer.Option("-n", "--showers", min=100, help="Compare only so many, spread evenly."),
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
    from k4calofast.generator import Model, sets
    from k4calofast.generator.card import CARD_FILE, read_card, write_card
    from k4calofast.showers import hdf5
    from k4calofast.showers.reading import Hints, place
    from k4calofast.validation import metrics, page, reading, region, report
    from k4calofast.validation.reference import Reference

    metrics.require_packages()
    hdf5.require_packages()
    if out is not None:
        page.require_packages()
    members = sets.find(model)
    references = [place(name) for name in reference]
    repetitions = [place(name) for name in again or ()]
    inputs = [file for file in (*references, *repetitions) if isinstance(file, Path)]
    if out is not None:
        report.check_destination(out, inputs)
    if update_card:
        for folder, _ in members:
            output.check(folder / CARD_FILE, inputs)
    hints = Hints(hits, particles, binning)
    with shown() as progress:

        def compared(generator: Model, expected: Reference) -> report.Report:
            part = expected if showers is None else expected.thinned(showers)
            drawn = out is not None
            return report.validate(generator, part, seed, progress, drawn, speed, full_simulation)

        result: report.Report | region.RegionReport
        if members[0][1] or len(members) > 1:
            cards = [read_card(folder) for folder, _ in members]
            seen = reading.read_for(cards, references, repetitions, hints, threshold)
            simulators = [
                region.Simulator(Model(folder, "cpu", threads), kinds or tuple(card.kinds), of)
                for card, (folder, kinds), of in zip(cards, members, seen, strict=True)
                if of is not None
            ]
            result = region.validate(model, simulators, compared)
            validated = [(member.model.folder, member.report) for member in result.members]
            if out is not None:
                progress(f"write {out}")
                page.write_region(result, out)
        else:
            generator = Model(members[0][0], "cpu", threads)
            expected = reading.read(generator.card, references, repetitions, hints, threshold)
            result = compared(generator, expected)
            validated = [(members[0][0], result)]
            if out is not None:
                progress(f"write {out}")
                page.write(result, out)
    if update_card:
        for folder, said in validated:
            card = said.subject.card.model_copy(update={"validation": said.summary()})
            write_card(folder, card)
    typer.echo(result.markdown())
    for failure in result.failures:
        typer.echo(f"fails: {failure.words}", err=True)
    if result.failures:
        raise typer.Exit(2)

"""`k4calofast validate`: a generator beside Geant4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from k4calofast.exceptions import ModelError


def validate(
    model: Annotated[str, typer.Argument(help="Name or folder of the model.")],
    reference: Annotated[
        Path, typer.Option(help="Shower sample at a few momenta, not seen in training.")
    ],
    again: Annotated[
        Path | None,
        typer.Option(help="The same with another --repetition: what chance alone does."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator's noise.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for inference.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for validation.md, validation.json and pictures.")
    ] = None,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="Write the figures into the model's card.")
    ] = False,
) -> None:
    """Compare a generator with Geant4; exit code 2 if a figure is beyond its gate."""
    from k4calofast.generator import Model, find_model
    from k4calofast.generator.card import write_card
    from k4calofast.showers import hdf5
    from k4calofast.validation.report import validate as run

    folder = find_model(model)
    showers, provenance = hdf5.read(reference)
    generator = Model(folder, "cpu", threads)
    if provenance.detector != generator.card.detector:
        raise ModelError(
            f"{reference} is of {provenance.detector}, but the model of {generator.card.detector}"
        )
    typer.echo(f"{len(showers)} showers, {generator.card.name}", err=True)
    repeated = hdf5.read(again)[0] if again is not None else None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    result = run(generator, showers, seed, repeated, out)
    typer.echo(result.markdown())
    if out is not None:
        (out / "validation.md").write_text(result.markdown() + "\n", encoding="utf-8")
        (out / "validation.json").write_text(json.dumps(result.data(), indent=1) + "\n")
    if update_card:
        figures = {"reference": f"{provenance.simulation}, seed {provenance.seed}"}
        card = generator.card.model_copy(update={"validation": figures | result.summary()})
        write_card(folder, card)
    for failure in result.failures:
        typer.echo(f"beyond its gate: {failure}", err=True)
    if result.failures:
        raise typer.Exit(2)

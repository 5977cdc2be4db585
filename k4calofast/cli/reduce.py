"""`k4calofast reduce`: a smaller variant of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.cli import training
from k4calofast.training.precision import Kind


def reduce(
    model: Annotated[str, typer.Argument(help="Name or folder of the model.")],
    sample: Annotated[Path, typer.Argument(help="Shower sample to calibrate int8 with.")],
    output: Annotated[Path, typer.Argument(help="Model folder to write.")],
    kind: Annotated[
        Kind, typer.Option(help="float16: half the file; int8: faster, to be validated.")
    ] = Kind.FLOAT16,
) -> None:
    """Reduce the precision of a model; validate the result before use."""
    from k4calofast.generator import find_model
    from k4calofast.generator.card import CARD_FILE, MODEL_FILE, check_destination
    from k4calofast.showers import crystals

    folder = find_model(model)
    check_destination(output, [sample, folder / MODEL_FILE, folder / CARD_FILE])
    with training.extra():
        from k4calofast.training.reduction import reduce as run

        showers, _ = crystals.read(sample)
        card = run(folder, output, kind, showers, training.command())
    typer.echo(f"{output}: {card.name}, {(output / card.file).stat().st_size / 1e6:.1f} MB")

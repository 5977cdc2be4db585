"""`k4calofast reduce`: a smaller variant of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.cli import training
from k4calofast.cli.completion import models
from k4calofast.training.precision import Reduced


def reduce(
    model: Annotated[
        str, typer.Argument(help="Name or folder of the model.", autocompletion=models)
    ],
    sample: Annotated[
        Path, typer.Argument(help="Shower sample to calibrate int8 with, and to measure with.")
    ],
    output: Annotated[Path, typer.Argument(help="Model folder to write.")],
    kind: Annotated[
        Reduced,
        typer.Option(
            help="float16: weights stored in half precision, at the same speed; bfloat16: rounded "
            "to 8 bits besides, which compresses better; int8: faster where matrix products take "
            "the time, which is not so for hits in layers. To be validated."
        ),
    ] = Reduced.FLOAT16,
    author: training.Author = None,
    licence: training.Licence = None,
    version: training.Version = None,
) -> None:
    """Reduce the precision of a model; validate the result before use.

    Author, licence and version are the model's, if not given.
    """
    from k4calofast.generator import find_model
    from k4calofast.generator.card import CARD_FILE, MODEL_FILE, check_destination

    folder = find_model(model)
    check_destination(output, [sample, folder / MODEL_FILE, folder / CARD_FILE])
    from k4calofast.training import authorship

    whose = authorship.given(author, licence, version)
    training.require_packages()
    from k4calofast.training import reduction

    card = reduction.reduce(folder, output, kind, sample, training.command(), whose)
    before, after = reduction.compared(folder, output, sample)
    size = (output / card.file).stat().st_size / 1e6
    typer.echo(f"{output}: {card.name}, {size:.1f} MB; chi2 {after:.3g}, was {before:.3g}")

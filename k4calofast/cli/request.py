"""`k4calofast request`: where a generator needs more showers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast import output
from k4calofast.cli.completion import models


def request(
    model: Annotated[
        str, typer.Argument(help="Name or folder of the model.", autocompletion=models)
    ],
    reference: Annotated[
        list[str],
        typer.Option(
            help="Showers not seen in training, drawn without a request: one file or more. EDM4hep "
            "at a URL, too."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Request to write, YAML.")],
    least: Annotated[
        float, typer.Option(min=0.01, max=1, help="Least density, over the usual one.")
    ] = 0.25,
    largest: Annotated[
        float, typer.Option("--most", min=1, max=100, help="Largest density, over the usual one.")
    ] = 8.0,
    power: Annotated[
        float, typer.Option(min=0, max=4, help="The density grows with this power of the error.")
    ] = 0.5,
    threshold: Annotated[
        float, typer.Option(min=0.0, help="Of layers: MIPs from which hits are compared.")
    ] = 0.25,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator's noise.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for inference.")] = 1,
) -> None:
    """Ask for Geant4 showers where a generator is worst: for `k4calofast fullsim --request`."""
    from k4calofast.generator import Model, find_model
    from k4calofast.showers import hdf5
    from k4calofast.showers.reading import place
    from k4calofast.validation import request as asking
    from k4calofast.validation.reading import read

    hdf5.require_packages()
    references = [place(name) for name in reference]
    output.check(out, [file for file in references if isinstance(file, Path)])
    generator = Model(find_model(model), "cpu", threads)
    expected = read(generator.card, references, threshold=threshold)
    asked, densities = asking.of_model(generator, expected, seed, (least, largest), power)
    output.write(out, asked.text())
    for pdg, density in densities.items():
        typer.echo(
            f"{pdg}: {100 * asked.kinds[pdg].share:.0f} % of the showers, at {density.min():.2f} "
            f"to {density.max():.2f} times the usual density"
        )

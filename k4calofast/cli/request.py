"""`k4calofast request`: where a generator needs more showers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast import output


def request(
    model: Annotated[str, typer.Argument(help="Name or folder of the model.")],
    reference: Annotated[
        Path,
        typer.Option(help="Showers not seen in training, drawn without a request."),
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
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator's noise.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for inference.")] = 1,
) -> None:
    """Ask for Geant4 showers where a generator is worst: for `k4calofast fullsim --request`."""
    from k4calofast import detector
    from k4calofast.generator import Model, find_model
    from k4calofast.showers import reading
    from k4calofast.validation.crystals.observables import observables
    from k4calofast.validation.report import above_threshold, comparable, generated, refuse_unfit
    from k4calofast.validation.request import request as asked

    output.check(out, [reference])
    generator = Model(find_model(model), "cpu", threads)
    card = generator.card
    hints = reading.Hints(window=card.crystals, detector=card.detector, kinds=tuple(card.kinds))
    showers, source = reading.read(reference, hints)
    refuse_unfit(card, reference, source)
    inside = comparable(generator, showers)
    there = above_threshold(showers.take(inside), card.threshold)
    here = generated(generator, there, seed)
    geometry = detector.load_crystals(card.detector)
    result = asked(
        there,
        observables(there, geometry),
        observables(here, geometry),
        card.detector,
        f"{card.name} beside {len(there)} showers of {source.description}",
        (least, largest),
        power,
    )
    output.write(out, result.text())
    for pdg, kind in result.kinds.items():
        density = result.density(pdg, there.take(there.pdg == pdg))
        typer.echo(
            f"{pdg}: {100 * kind.share:.0f} % of the showers, at {density.min():.2f} to "
            f"{density.max():.2f} times the usual density"
        )

"""`k4calofast particles`: generators' events for `k4run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def particles(
    events: Annotated[Path, typer.Argument(help="HepMC3, HepMC2 or LHE file; gzip is no matter.")],
    output: Annotated[Path, typer.Argument(help="EDM4hep file to write.")],
    run: Annotated[
        int, typer.Option(min=0, max=(1 << 32) - 1, help="Run number of all events.")
    ] = 1,
    first_event: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of the first event, from which all are counted; without, the generator's "
            "own numbers, and in LHE files 0, 1, ...",
        ),
    ] = None,
) -> None:
    """Write a generator's events as MCParticles and EventHeaders, for k4run to read."""
    from k4calofast.progress import shown
    from k4calofast.records import convert

    with shown() as report:
        count = convert(
            events,
            output,
            run,
            first_event,
            lambda done, percent: report("events", percent, 100, f"{done} events"),
        )
    typer.echo(f"{output}: {count} events")

"""`k4calofast ensemble`: how sure a generator's figures are, from trainings that differ by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast import output


def ensemble(
    reports: Annotated[
        list[Path],
        typer.Argument(help="Reports of the members: report.json, or the folders that hold them."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Table to write in Markdown; the figure beside it, .png.")
    ] = None,
) -> None:
    """Tell what a generator has in common with its like from what its seed did."""
    from k4calofast.validation import ensemble, metrics, side_by_side

    metrics.require_packages()
    inputs = [*reports, *(report / "report.json" for report in reports)]
    if out is not None:
        for file in (out, out.with_suffix(".png")):
            output.check(file, inputs)
    lines = ensemble.lines([side_by_side.read(report) for report in reports])
    if out is not None:
        ensemble.write(lines, out)
    typer.echo(ensemble.markdown(lines))

"""`k4calofast compare`: several validations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast import output


def compare(
    reports: Annotated[
        list[Path], typer.Argument(help="Reports: report.json, or the folders that hold them.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Page to write: the table and the figure, one HTML file.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Table to write in Markdown; the figure beside it, .png and .svg."),
    ] = None,
) -> None:
    """Compare generators in one table: size, training, time per shower, and fidelity."""
    from k4calofast.validation import page, side_by_side

    if out is not None:
        page.require_packages()
    pictures = {
        kind: markdown.with_suffix(f".{kind}") for kind in ("png", "svg") if markdown is not None
    }
    inputs = [*reports, *(report / "report.json" for report in reports)]
    for file in (out, markdown, *pictures.values()):
        if file is not None:
            output.check(file, inputs)
    found = [side_by_side.read(report) for report in reports]
    if out is not None:
        output.write(out, side_by_side.html(found))
    if markdown is not None:
        for kind, picture in side_by_side.pictures(found).items():
            output.write(pictures[kind], picture)
        name = pictures["svg"].name
        output.write(markdown, side_by_side.markdown(found, name) + "\n")
    typer.echo(side_by_side.markdown(found))

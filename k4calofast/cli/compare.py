"""`k4calofast compare`: several validations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    reports: Annotated[
        list[Path], typer.Argument(help="Reports: report.json, or the folders that hold them.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Page to write: a table and figures, one HTML file.")
    ] = None,
) -> None:
    """Compare generators: fidelity against time per shower and size."""
    from k4calofast.validation.side_by_side import html, read, table

    found = [read(report) for report in reports]
    typer.echo(table(found))
    if out is not None:
        unfinished = out.with_name(out.name + ".part")
        unfinished.write_text(html(found), encoding="utf-8")
        unfinished.replace(out)

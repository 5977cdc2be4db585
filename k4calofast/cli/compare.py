"""`k4calofast compare`: several validations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.exceptions import OutputError


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
    from k4calofast.validation import side_by_side

    found = [side_by_side.read(report) for report in reports]
    typer.echo(side_by_side.markdown(found))
    if out is not None:
        _write(out, side_by_side.html(found).encode())
    if markdown is not None:
        for kind, picture in side_by_side.pictures(found).items():
            _write(markdown.with_suffix(f".{kind}"), picture)
        name = markdown.with_suffix(".svg").name
        _write(markdown, (side_by_side.markdown(found, name) + "\n").encode())


def _write(file: Path, content: bytes) -> None:
    """Write a file that has its name only when it is complete."""
    unfinished = file.with_name(file.name + ".part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}") from error

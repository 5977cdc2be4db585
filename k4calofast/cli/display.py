"""`k4calofast display`: events in 3D, still pictures of them, and mean showers of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.exceptions import SteeringError

_PAGE, _STILLS = ".html", (".png", ".svg", ".pdf")


def display(
    file: Annotated[
        str | None, typer.Argument(help="EDM4hep file with hits: ours, or of any simulation.")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="File to write: .html is a page in 3D, .png, .svg and .pdf are still pictures."
        ),
    ] = Path("display.html"),
    event: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Number of the event in the file, from 0 on; may be repeated."),
    ] = None,
    events: Annotated[
        str | None, typer.Option(help="Several of them, START:STOP; a page lets one choose.")
    ] = None,
    hits: Annotated[
        list[str] | None,
        typer.Option(help="Collection of SimCalorimeterHits; may be repeated; all by default."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, help="Of stills: GeV below which cells are not drawn.")
    ] = 0.0,
    model: Annotated[
        str | None,
        typer.Option(help="Without FILE: name or folder of a model, whose mean showers are drawn."),
    ] = None,
    pdg: Annotated[int, typer.Option(help="Of showers: kind of particle.")] = 22,
    momentum: Annotated[float, typer.Option(help="Of showers: GeV.")] = 1.0,
    theta: Annotated[float, typer.Option(help="Of showers: polar angle in degrees.")] = 75.0,
    phi: Annotated[float, typer.Option(help="Of showers: azimuth in degrees.")] = 15.0,
    showers: Annotated[
        int, typer.Option("-n", "--showers", min=1, help="How many of them.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of showers: seed of directions and noise.")] = 1,
) -> None:
    """Show events of a file in 3D (HTML), or as stills (PNG, SVG, PDF), or a model's mean showers.

    A page holds all that it needs, Plotly's JavaScript included (5 MB): no network is asked when it
    is looked at.
    """
    from k4calofast.output import check, write

    form = out.suffix.lower()
    if form not in (_PAGE, *_STILLS):
        raise SteeringError(f"{out}: the name must end with {_PAGE}, {', '.join(_STILLS)}")
    if (file is None) == (model is None):
        raise SteeringError("display needs a FILE of events, or --model NAME, and not both")
    if model is not None:
        check(out)
        if form == _PAGE:
            raise SteeringError(f"{out}: mean showers are a still picture, {', '.join(_STILLS)}")
        from k4calofast.display.showers import mean_shower
        from k4calofast.display.stills import shower_still
        from k4calofast.generator import Model, find_model

        found = mean_shower(
            Model(find_model(model), "cpu"), pdg, momentum, theta, phi, showers, seed
        )
        write(out, shower_still(found, form[1:]))
        typer.echo(f"{out}: {len(found.deposited)} showers of {found.card.name}")
        return
    from k4calofast.display.reading import read
    from k4calofast.events.reading import is_remote, place

    entries = [*(event or []), *_entries(events)] or [0]
    if form != _PAGE and len(entries) > 1:
        raise SteeringError(f"{out}: a still picture is of one event; {len(entries)} are asked for")
    where = place(str(file))
    check(out, [] if is_remote(str(file)) else [Path(str(file))])
    scene = read(where, entries, hits or ())
    if form == _PAGE:
        from k4calofast.display.page import page

        write(out, page(scene))
    else:
        from k4calofast.display.stills import event_still

        write(out, event_still(scene, form[1:], threshold))
    shown = ", ".join(f"{one.title}: {len(one.cells.energy)} cells" for one in scene.events[:5])
    more = f", and {len(scene.events) - 5} more events" if len(scene.events) > 5 else ""
    typer.echo(f"{out}: {shown}{more}")


def _entries(text: str | None) -> list[int]:
    """Numbers from START to STOP (excluded).

    Raises
    ------
    SteeringError
        If it is no such range, or an empty one.
    """
    if text is None:
        return []
    start, colon, stop = text.partition(":")
    try:
        found = list(range(int(start or 0), int(stop)))
    except ValueError:
        found = []
    if not colon or not found or found[0] < 0:
        raise SteeringError(f"--events {text}: must be START:STOP, 0:10 for the first ten")
    return found

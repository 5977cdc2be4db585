"""`k4calofast models`: which there are, what they are, and how to get and to release them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from k4calofast.cli import completion

if TYPE_CHECKING:
    from k4calofast.archives.listing import Listed
    from k4calofast.generator.card import ModelCard
    from k4calofast.generator.index import Entry
    from k4calofast.progress import Report

app = typer.Typer(
    help="List models, show, fetch, check and pack them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("list", epilog="Example: k4calofast models list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List all models and sets of models: those that are here, and those that can be fetched."""
    from k4calofast.archives.listing import listed

    found = listed()
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
        return
    _print(_table(found))


@app.command(epilog="Example: k4calofast models show besiii_emc_barrel/fast")
def show(
    name: Annotated[
        str, typer.Argument(help="Name or folder of a model.", autocompletion=completion.models)
    ],
) -> None:
    """Show what a model simulates, how near it is to full simulation, and how it was made."""
    from k4calofast.generator import find_model, index
    from k4calofast.generator.card import read_card
    from k4calofast.generator.search import matches

    entry = index.entries().get(name)
    if next(matches(name), None) is None and entry is not None:
        _print(_description(_of_entry(entry)))
        return
    folder = find_model(name)
    for part in _of_card(read_card(folder), folder):
        _print(part)


@app.command(epilog="Example: k4calofast models fetch besiii_emc_barrel/flow")
def fetch(
    names: Annotated[list[str], typer.Argument(help="Names of models.", show_default=False)],
) -> None:
    """Fetch models that are not in the package, and compare them with its index.

    They come from the project's releases, or from the folder or address that
    K4CALOFAST_MODEL_MIRROR names, and go to a folder of the user's, or to K4CALOFAST_MODEL_CACHE.
    """
    from k4calofast import progress
    from k4calofast.archives import fetching
    from k4calofast.generator.search import find_model

    # All names are looked at before the first byte comes.
    for entry in [fetching.entry(name) for name in dict.fromkeys(names)]:
        if fetching.is_here(entry):
            typer.echo(f"{entry.name} {entry.version} is here already")
        else:
            with progress.shown() as report:
                folder = fetching.fetch(entry, partial(_come, report, entry))
            typer.echo(f"{entry.name} {entry.version}: {folder}")
        first = find_model(entry.name)
        if first != fetching.folder_of(entry):
            typer.echo(f"but a job takes {first}, which is found first", err=True)


@app.command(epilog="Example: k4calofast models check models/mine/flow")
def check(folder: Annotated[str, typer.Argument(help="Folder or name of a model.")]) -> None:
    """Check card, digest and graph of a model, and try it; exit code 1 if something is wrong."""
    from k4calofast.generator import find_model
    from k4calofast.generator.checking import faults

    place = Path(folder) if Path(folder).is_dir() else find_model(folder)
    found = faults(place)
    for fault in found:
        typer.echo(f"k4calofast: {fault}", err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{place}: nothing is wrong")


@app.command(epilog="Example: k4calofast models pack models/mine/flow archives")
def pack(
    folder: Annotated[str, typer.Argument(help="Folder or name of the model.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the archive to.")],
) -> None:
    """Check a model and make the archive to release it; print its entry for the index."""
    import yaml

    from k4calofast import output
    from k4calofast.archives.packing import pack as packed
    from k4calofast.exceptions import ModelError
    from k4calofast.generator import find_model
    from k4calofast.generator.checking import faults

    output.check_folder(out)
    place = find_model(folder)
    if found := faults(place):
        raise ModelError(found[0])
    entry = packed(place, out)
    typer.echo(f"{out / entry.archive}", err=True)
    said = [entry.model_dump(mode="json")]
    typer.echo(yaml.safe_dump(said, sort_keys=False, width=1000), nl=False)


def _come(report: Report, entry: Entry, count: int) -> None:
    report(entry.name, count // 1000, entry.size // 1000, "kB")


def _print(what: Any) -> None:
    from rich.console import Console

    Console().print(what)


def _table(found: list[Listed]) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("name", "what", "where", "MB", "version"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for column in (0, 2):
        table.columns[column].no_wrap = True
    for one in found:
        what = one.fault or one.description
        if one.models:
            what = f"{one.description or 'set'}: {', '.join(one.models)}"
        newer = "" if one.newer is None else f" ({one.newer} to fetch)"
        size = f"{one.size / 1e6:.1f}" if one.size else ""
        table.add_row(one.name, what, f"{one.where}{newer}", size, one.version)
    return table


def _description(facts: Mapping[str, str]) -> Any:
    """Names of facts beside the facts, as a table."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name, fact)
    return table


def _of_entry(entry: Entry) -> dict[str, str]:
    return {
        "model": f"{entry.name} {entry.version}",
        "what": entry.description,
        "detector": entry.detector,
        "particles": ", ".join(_particle(pdg) for pdg in entry.kinds),
        "licence": entry.licence,
        "where": f"to fetch, {entry.size / 1e6:.1f} MB: k4calofast models fetch {entry.name}",
        "archive": f"{entry.archive}, SHA-256 {entry.sha256}",
    }


def _of_card(card: ModelCard, folder: Path) -> Iterator[Any]:
    """Yield what is shown of a card, part by part."""
    from k4calofast.archives.listing import where_is

    file, made = folder / card.file, card.training
    size = f", {file.stat().st_size / 1e6:.1f} MB" if file.is_file() else ""
    yield _description(
        {
            "model": f"{card.name} {card.version}",
            "what": " ".join(card.description.split()),
            "detector": card.detector,
            "cells": f"{' x '.join(map(str, card.window))}, from {card.threshold * 1e6:g} keV",
            "licence": card.licence,
            "authors": card.authors,
            "where": f"{where_is(folder)}, {folder}{size}",
            "SHA-256": card.sha256,
        }
    )
    yield "\nSimulates, under these conditions:"
    yield _ranges(card)
    yield "\nBeside full simulation:"
    yield _description(_fidelity(card))
    yield "\nMade:"
    yield _description(
        {
            "method": made.method,
            "command": made.command,
            "showers": f"{made.showers}; {made.sample}",
            "simulation": f"{made.simulation}, {made.physics}, {made.physics_data}",
            "with": f"{made.software}, {made.machine}, {made.minutes:g} minutes",
        }
    )


def _ranges(card: ModelCard) -> Any:
    """Ranges of conditions, a row for each, a column for each kind of particle."""
    from rich.table import Table

    from k4calofast import detector
    from k4calofast.exceptions import UnknownDetectorError

    units: dict[str, str] = {}
    with suppress(UnknownDetectorError):
        units = {one.name: one.unit for one in detector.load(card.detector).conditions}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("condition", *map(_particle, card.kinds)):
        table.add_column(heading)
    for name in card.conditions:
        spans = [card.kinds[pdg][name] for pdg in card.kinds]
        row = [f"{low:.4g} to {high:.4g} {units.get(name, '')}".rstrip() for low, high in spans]
        table.add_row(name, *row)
    return table


def _fidelity(card: ModelCard) -> dict[str, str]:
    said = card.validation
    if not said:
        return {"validation": "none: k4calofast validate compares it"}
    facts = {"reference": f"{said.get('showers', '?')} showers, {said.get('reference', '?')}"}
    if said.get("sha256", card.sha256) != card.sha256:
        facts["of"] = f"version {said.get('version', '?')}, which this one was made from"
    fails, beyond = (said.get(name) or [] for name in ("fails", "beyond_gates"))
    facts["gates"] = "all pass" if said.get("passed") else f"{len(fails)} figures fail"
    if unresolved := said.get("not_resolved"):
        facts["gates"] += f"; {unresolved} are not resolved by the reference"
    facts["gates"] += f"; {len(beyond)} beyond by no more than chance explains"
    largest = said.get("largest")
    if isinstance(largest, dict):
        facts["largest"] = ", ".join(f"{name} {value}" for name, value in largest.items())
    return facts


def _particle(pdg: int) -> str:
    return {22: "photon", 11: "electron", -11: "positron"}.get(pdg, f"PDG {pdg}")

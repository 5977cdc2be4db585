"""The table that generators are chosen by: several validations side by side, and a figure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from k4calofast.documents import NO_TEXT, one_line, read_json, validated
from k4calofast.exceptions import FileFormatError
from k4calofast.pictures import image, styled
from k4calofast.validation.overview import Compared, Fidelity, Measured, Overview
from k4calofast.validation.page import template
from k4calofast.validation.report import LAYOUT
from k4calofast.validation.tables import Table, in_percent

_LAYOUTS = (LAYOUT, "k4calofast validation 2")
"""Those that have what is compared, in the same places."""

_LARGEST_FIGURE = 1e9
_LONGEST = 10_000
"""Of numbers and texts in a report, beyond which no table or figure can show them."""

_DRAWABLE = 80
"""Characters of a text in a figure."""

_UNKNOWN = "-"

_DRAWN = 256
"""Showers per call whose time is drawn: those of an event; or as many of them as were measured."""

_AREAS = {
    "observables": "AUC high level (observables)",
    "cells": "AUC low level (cells)",
    "network": "AUC network (cells)",
}

_MEANINGS = (
    "Mean energy and resolution: the worst relative difference of the mean and of the 68 % width "
    "of the energy in the window (of layers: of the width over the mean) over groups of one kind, "
    "momentum and direction. Closure: the worst shift of an observable's mean "
    "in a bin of a condition, in units of its spread. AUC: area under the ROC curve of "
    "classifiers; 0.5 means that nothing tells the generator from its reference. ± is the "
    "statistical error; the last lines are what chance alone gives."
)


class Summary(BaseModel):
    """What is compared of a report: a part of its JSON."""

    model_config = ConfigDict(extra="ignore")

    layout: str
    model: str
    version: str
    detector: str
    reference: str
    showers: int
    passed: bool
    seed: int = 0
    meanings: dict[str, str] = {}
    checks: tuple[Compared, ...] = ()
    overview: Overview

    @property
    def name(self) -> str:
        """The model's own name, and its family's title."""
        family = self.overview.family
        return self.model if family is None else f"{self.model}: {family}"

    def row(self, batches: Iterable[int]) -> dict[str, str]:
        """Cells of the table, by their titles; times in calls of so many showers."""
        o = self.overview
        speed = {
            batch: None if o.speed is None else o.speed.milliseconds(batch) for batch in batches
        }
        return {
            "generator": self.name,
            "parameters": _sizes(o),
            "training": _training(o),
            **{
                f"ms per shower, batch {batch}": _UNKNOWN if time is None else f"{time:.3g}"
                for batch, time in speed.items()
            },
            **_fidelity(o.generator),
        }

    @property
    def time(self) -> float | None:
        """Milliseconds per shower of an event with many; None if that was not measured."""
        speed = self.overview.speed
        batches = [] if speed is None else [of.batch for of in speed.timings if of.batch <= _DRAWN]
        return None if speed is None or not batches else speed.milliseconds(max(batches))

    @property
    def area(self) -> float:
        """What the table is sorted by: AUC on the observables; infinite without one."""
        area = self.overview.generator.auc.get("observables")
        return float("inf") if area is None else area.value


def read(report: Path) -> Summary:
    """Read a report, also of the layout before.

    Raises
    ------
    FileFormatError
        If there is none, or it is not one.
    """
    # A name can be too long for a path.
    with suppress(OSError):
        report = report / "report.json" if report.is_dir() else report
    content = read_json(report, FileFormatError)
    if not isinstance(content, dict) or content.get("layout") not in _LAYOUTS:
        raise FileFormatError(f"{report}: not a report ('{LAYOUT}')")
    summary = validated(Summary, content, f"{report}: not a report", FileFormatError)
    for field, value in _values("", summary.model_dump()):
        if fault := _fault(field, value):
            raise FileFormatError(f"{report}: {one_line(field)}: {fault}")
    return summary


def _values(field: str, content: Any) -> Iterator[tuple[str, Any]]:
    """Yield all numbers and texts, with their fields."""
    if isinstance(content, dict):
        inner: Iterable[tuple[Any, Any]] = content.items()
    elif isinstance(content, list | tuple):
        inner = enumerate(content)
    else:
        yield field, content
        return
    for name, value in inner:
        yield from _values(f"{field}.{name}" if field else str(name), value)


def _fault(field: str, value: Any) -> str | None:
    """Say why this can be no value of this field of a report, if it cannot."""
    if isinstance(value, str):
        if NO_TEXT.search(value):
            return "has characters that are no text"
        return f"more than {_LONGEST} characters" if len(value) > _LONGEST else None
    if value is None or isinstance(value, bool):
        return None
    name = field.rpartition(".")[2]
    if not abs(value) <= _LARGEST_FIGURE:
        return "must be a number of at most 1e9"
    if name not in ("value", "limit", "seed") and value < 0:
        return "must not be negative"
    if name == "milliseconds" and value < 1 / _LARGEST_FIGURE:
        return "must be at least 1e-9"
    return None


def rows(found: Sequence[Summary]) -> list[dict[str, str]]:
    """Lines of the table by the titles of its columns: the best first, the references last."""
    timed = [summary.overview.speed for summary in found if summary.overview.speed is not None]
    batches = sorted({timing.batch for speed in timed for timing in speed.timings})
    best = sorted(found, key=lambda summary: summary.area)
    generators = [summary.row(batches) for summary in best]
    chosen = _references(found)
    references = []
    for summary in chosen:
        program = "Geant4 against Geant4" if summary.reference.startswith("Geant4") else "reference"
        which = f", {_which(summary)}" if len(chosen) > 1 else ""
        references.append(
            dict.fromkeys(generators[0], _UNKNOWN)
            | {"generator": f"{program}: {summary.overview.itself_is}{which}"}
            | _fidelity(summary.overview.itself)
        )
    return [
        {title: one_line(text) for title, text in row.items()} for row in (*generators, *references)
    ]


def _which(summary: Summary) -> str:
    """A reference in words, with its detector: those of several can be of one program and seed."""
    return f"{summary.reference}, {summary.detector}"


def _references(found: Sequence[Summary]) -> list[Summary]:
    """For each reference, the report that says most of it: with a repetition, of many showers."""
    chosen: dict[str, Summary] = {}
    for summary in found:
        before = chosen.get(_which(summary))
        if before is None or _said_of_itself(summary) > _said_of_itself(before):
            chosen[_which(summary)] = summary
    return list(chosen.values())


def _said_of_itself(summary: Summary) -> tuple[bool, int, bool]:
    overview = summary.overview
    counted = overview.itself.checks is not None
    return "repetition" in overview.itself_is, summary.showers, counted


def notes(found: Sequence[Summary]) -> list[str]:
    """What a reader of the table must know."""
    references = list(dict.fromkeys(f"{of.showers} showers of {_which(of)}" for of in found))
    speeds = [of.overview.speed for of in found if of.overview.speed is not None]
    machines = list(dict.fromkeys(f"{speed.processor}, {speed.runtime}" for speed in speeds))
    said = [f"Reference: {'; '.join(references)}."]
    if len(references) > 1:
        said[0] += " Figures of different references do not quite compare."
    if machines:
        said.append(
            "Times: on one core, noise included, median (of layers: mean) of several calls "
            f"({'; '.join(machines)}); a batch is filled up to the model's block."
        )
    if len(machines) > 1:
        said[-1] += " Times of different machines do not compare."
    return [one_line(note) for note in (*said, _MEANINGS)]


def markdown(found: Sequence[Summary], picture: str | None = None) -> str:
    """Return the table and its notes, and a link to the picture if there is one."""
    lines = rows(found)
    cells = [[as_markdown(text) for text in line.values()] for line in lines]
    text = ["# Generators side by side", "", *Table("", list(lines[0]), cells).markdown()[:-1]]
    for note in notes(found):
        text += ["", as_markdown(note)]
    if picture is not None:
        text += ["", f"![Accuracy against time per shower]({quote(picture)})"]
    return "\n".join(text)


def html(found: Sequence[Summary]) -> str:
    """Return a page with the table, its notes and the figure."""
    lines = rows(found)
    text: str = template("side_by_side.html.j2").render(
        rows=lines,
        titles=list(lines[0]),
        notes=notes(found),
        figure=base64.b64encode(pictures(found)["png"]).decode(),
    )
    return text


def pictures(found: Sequence[Summary]) -> dict[str, bytes]:
    """Draw accuracy against time per shower: the same figure as ``png`` and as ``svg``."""
    # The same reports make the same files.
    with styled(hashsalt="k4calofast") as (plt, _):
        figure, axes = plt.subplots(figsize=(7, 4.2))
        _draw(axes, found)
        svg = image(plt, figure, 110, "svg", {"Date": None})
        return {"svg": svg, "png": image(plt, figure, 110)}


def _draw(axes: Any, found: Sequence[Summary]) -> None:
    from matplotlib.ticker import LogLocator

    points = []
    last = [summary.model.split("/")[-1] for summary in found]
    for summary in sorted(found, key=lambda summary: summary.area):
        time, area = summary.time, summary.overview.generator.auc.get("observables")
        if time is None or area is None or not isfinite(area.value):
            continue
        failed = summary.overview.generator.failed
        marker = "x" if failed or (failed is None and not summary.passed) else "o"
        axes.errorbar(time, area.value, area.error, fmt=marker, capsize=2)
        # Models of several detectors can have the same last name.
        name = summary.model.split("/")[-1]
        points.append((time, area.value, name if last.count(name) == 1 else summary.model))
    for summary in _references(found):
        area = summary.overview.itself.auc.get("observables")
        if area is not None and isfinite(area.value):
            axes.axhline(area.value, linestyle="--", color="black", linewidth=0.8)
    axes.axhline(0.5, linestyle=":", color="gray")
    axes.set_xscale("log")
    if points:
        times = [time for time, _, _ in points]
        # Room for the names, which stand to the right of the points.
        axes.set_xlim(min(times) / 2, max(times) * 5)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        axes.text(0.5, 0.9, "no times were measured", transform=axes.transAxes, ha="center")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    low, high = axes.dataLim.intervaly
    axes.set_ylim(min(low, 0.5) - 0.05 * (high - 0.4), high + 0.1 * (high - 0.4))
    axes.set_xlabel(f"ms per shower on one core, batch {_DRAWN} (of layers: 64)")
    axes.set_ylabel("AUC on the observables")
    _name(axes, points)


def _name(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points, from the lowest up, each above those it would cover."""
    figure = axes.get_figure()
    figure.canvas.draw()
    taken: list[Any] = []
    for time, area, name in points:
        text = axes.annotate(
            in_figure(name),
            (time, area),
            xytext=(6, -3),
            textcoords="offset points",
            fontsize=8,
        )
        box = text.get_window_extent()
        while any(box.overlaps(other) for other in taken):
            text.xyann = (6, text.xyann[1] + 3)
            box = text.get_window_extent()
        taken.append(box)


def _sizes(overview: Overview) -> str:
    parameters, megabytes = overview.parameters, overview.megabytes
    if parameters is None:
        said = _UNKNOWN
    elif parameters < 1e6:
        said = f"{parameters / 1e3:.3g} k"
    else:
        said = f"{parameters / 1e6:.3g} M"
    return said if megabytes is None else f"{said} ({megabytes:.1f} MB)"


def _training(overview: Overview) -> str:
    if overview.minutes is None:
        return _UNKNOWN
    return f"{overview.minutes:.3g} min, {overview.machine}, {overview.showers} showers"


def _fidelity(fidelity: Fidelity) -> dict[str, str]:
    gates = _UNKNOWN if fidelity.failed is None else f"{fidelity.failed} of {fidelity.checks}"
    if fidelity.unresolved:
        gates += f", {fidelity.unresolved} not resolved"
    return {
        "mean energy": _percent(fidelity.mean_energy),
        "resolution": _percent(fidelity.resolution),
        "worst closure": _value(fidelity.closure, "+.3f"),
        **{title: _value(fidelity.auc.get(name), ".3f") for name, title in _AREAS.items()},
        "FPD": _value(fidelity.fpd, ".4f"),
        "gates failed": gates,
    }


def _percent(figure: Measured | None) -> str:
    return _UNKNOWN if figure is None else in_percent(figure)


def _value(figure: Measured | None, form: str) -> str:
    return _UNKNOWN if figure is None else f"{figure:{form}}"


def as_markdown(text: str) -> str:
    """Text that is nothing but text in Markdown: no link, no cell, no HTML."""
    for mark in ("\\", "](", "][", "`", "|"):
        text = text.replace(mark, f"\\{mark}")
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("://", r"\://").replace("www.", r"www\.")


def in_figure(text: str) -> str:
    """Text that is nothing but text in a figure."""
    return one_line(text)[:_DRAWABLE].replace("$", r"\$")

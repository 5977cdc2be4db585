"""The page of events: one HTML file with everything inside, Plotly's JavaScript too."""

from __future__ import annotations

import base64
import html
import json
import re
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

import k4calofast
from k4calofast.display.names import name_of
from k4calofast.display.scene import Collection, Event, Particle, Scene

_FOLDER = files("k4calofast.display")

_MICRON = 3
"""Decimals (mm) to which cells have the same shape."""


def page(scene: Scene) -> str:
    """Return the page: about 5 MB of Plotly, and 0.01 to 0.5 MB for each event.

    Nothing is asked of a network when it is looked at. What is in it follows from the scene alone.
    """
    from plotly.offline import get_plotlyjs

    parts = {
        "title": html.escape(_title(scene)),
        "style": _text("page.css"),
        "software": html.escape(f"k4calofast {k4calofast.__version__}, Plotly"),
        "plotly": get_plotlyjs(),
        "data": _json(_data(scene)),
        "script": _text("page.js"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _text("page.html"))


def _text(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")


def _title(scene: Scene) -> str:
    entries = [str(event.entry) for event in scene.events]
    if len(entries) == 1:
        return f"{scene.file}, event {entries[0]}"
    return f"{scene.file}, {len(entries)} events"


def _json(values: Any) -> str:
    """JSON that can stand in a page: no text in it ends a script, or begins a comment."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _column(values: npt.ArrayLike, kind: str) -> list[str]:
    """Numbers as the page reads them: their type, and their bytes in base64."""
    data = np.ascontiguousarray(values, f"<{kind}").tobytes()
    return [kind, base64.b64encode(data).decode()]


def _data(scene: Scene) -> dict[str, Any]:
    break_ = np.full((1, 3), np.nan)
    lines = [part for one in scene.calorimeters for line in one.outline for part in (line, break_)]
    return {
        "file": scene.file,
        "collections": [_collection(one) for one in scene.collections],
        "outline": _column(np.concatenate([np.zeros((0, 3)), *lines]), "f4"),
        "events": [_event(event) for event in scene.events],
    }


def _collection(one: Collection) -> dict[str, Any]:
    fields = () if one.encoding is None else one.encoding.fields
    return {
        "name": one.name,
        "detector": None if one.calorimeter is None else one.calorimeter.name,
        "fields": [[field.name, field.offset, field.width, field.signed] for field in fields],
    }


def _event(event: Event) -> dict[str, Any]:
    cells, deposits = event.cells, event.deposits
    shapes, shape = _shapes(event)
    x, y, z = cells.position.T
    deposited = event.deposited()
    return {
        "entry": event.entry,
        "run": event.run,
        # More than 53 bits are no number in JavaScript.
        "number": None if event.number is None else str(event.number),
        "sum": float(deposited.sum()),
        "unknown": float(deposited[-1]),
        "cells": {
            "collection": _column(cells.collection, "u4"),
            "id": _column(cells.cell_id, "u8"),
            "x": _column(x, "f4"),
            "y": _column(y, "f4"),
            "z": _column(z, "f4"),
            "energy": _column(cells.energy, "f4"),
            "shape": _column(shape, "i4"),
        },
        "shapes": _column(shapes, "f4"),
        "corners": cells.solids.shape[1],
        "deposits": {
            "cell": _column(deposits.cell, "u4"),
            "particle": _column(deposits.particle, "i4"),
            "energy": _column(deposits.energy, "f4"),
            "time": _column(deposits.time, "f4"),
        },
        "particles": [
            _particle(one, float(energy))
            for one, energy in zip(event.particles, deposited[:-1], strict=True)
        ],
        "fates": [list(fate) for fate in event.fates],
        "notes": list(event.notes),
    }


def _shapes(event: Event) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Corners of cells from their middle: those that differ, and which each cell has."""
    offsets = event.cells.solids - event.cells.position[:, None]
    known = np.flatnonzero(np.isfinite(offsets).all((1, 2)))
    shape = np.full(len(offsets), -1)
    numbers = offsets.shape[1] * offsets.shape[2]
    rounded = offsets[known].round(_MICRON).reshape(len(known), numbers)
    shapes, shape_of = np.unique(rounded, axis=0, return_inverse=True)
    shape[known] = shape_of.reshape(-1)
    return shapes, shape


def _particle(one: Particle, deposited: float) -> dict[str, Any]:
    return {
        "name": name_of(one.pdg),
        "pdg": one.pdg,
        "charge": _finite(one.charge),
        "energy": _finite(one.energy),
        "momentum": _finite(one.momentum),
        "theta": _finite(np.rad2deg(one.theta)),
        "phi": _finite(np.rad2deg(one.phi)),
        "handedOn": one.handed_on,
        "deposited": deposited,
        "way": _column(one.way, "f4"),
    }


def _finite(value: float) -> float:
    """JSON has no others."""
    return float(value) if np.isfinite(value) else 0.0

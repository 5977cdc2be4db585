"""Calorimeters as geometry: cells, their IDs, neighbours, windows, and what a line enters."""

from __future__ import annotations

from k4calofast.detector.calorimeter import Calorimeter, Entry
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.exceptions import UnknownDetectorError

__all__ = ["Calorimeter", "CellIDEncoding", "Entry", "load", "names"]


def names() -> tuple[str, ...]:
    """Names that `load` understands."""
    return ("BESIII_EMC_barrel",)


def load(name: str) -> Calorimeter:
    """Return the calorimeter of this name.

    Raises
    ------
    UnknownDetectorError
        If there is none; the message lists those there are.
    """
    if name == "BESIII_EMC_barrel":
        from k4calofast.detector import besiii

        return besiii.barrel()
    raise UnknownDetectorError(f"no detector '{name}': this version knows {', '.join(names())}")

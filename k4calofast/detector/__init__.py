"""Calorimeters as geometry: cells, their IDs, neighbours, windows, and what a line enters."""

from __future__ import annotations

from functools import cache

from k4calofast.detector import description
from k4calofast.detector.calorimeter import Calorimeter, Condition, Entry, Surroundings
from k4calofast.detector.crystals import CrystalBarrel
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.detector.layers import LayeredBarrel
from k4calofast.exceptions import UnknownDetectorError

__all__ = [
    "Calorimeter",
    "CellIDEncoding",
    "Condition",
    "CrystalBarrel",
    "Entry",
    "LayeredBarrel",
    "Surroundings",
    "load",
    "load_crystals",
    "names",
]


def names() -> tuple[str, ...]:
    """Names that `load` understands."""
    return ("BESIII_EMC_barrel", *description.names())


def load_crystals(name: str) -> CrystalBarrel:
    """Return the calorimeter of this name, which is made of crystals.

    Raises
    ------
    UnknownDetectorError
        If there is none, or if it is of another kind.
    """
    found = load(name)
    if not isinstance(found, CrystalBarrel):
        raise UnknownDetectorError(f"{name} is a layered barrel: it has no windows of crystals")
    return found


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
    if name in description.names():
        return _layered(name)
    raise UnknownDetectorError(f"no detector '{name}': this version knows {', '.join(names())}")


@cache
def _layered(name: str) -> LayeredBarrel:
    return LayeredBarrel(description.describe(name))

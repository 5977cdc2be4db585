"""Calorimeters as geometry: cells, their IDs, neighbours, windows, and what a line enters."""

from __future__ import annotations

from functools import lru_cache

from k4calofast.detector import description
from k4calofast.detector.calorimeter import Calorimeter, Condition, Entry, Surroundings
from k4calofast.detector.crystals import CrystalBarrel, CrystalCalorimeter, CrystalEndcaps
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.detector.layered_barrel import LayeredBarrel
from k4calofast.detector.layered_endcaps import LayeredEndcaps
from k4calofast.detector.layers import LayeredCalorimeter
from k4calofast.exceptions import UnknownDetectorError

__all__ = [
    "Calorimeter",
    "CellIDEncoding",
    "Condition",
    "CrystalBarrel",
    "CrystalCalorimeter",
    "CrystalEndcaps",
    "Entry",
    "LayeredBarrel",
    "LayeredCalorimeter",
    "LayeredEndcaps",
    "Surroundings",
    "load",
    "load_crystals",
    "names",
]


_OF_CRYSTALS = ("BESIII_EMC_barrel", "BESIII_EMC_endcaps")


def names() -> tuple[str, ...]:
    """Names that `load` understands, beside paths of files."""
    return tuple(dict.fromkeys([*_OF_CRYSTALS, *description.names()]))


def load_crystals(name: str) -> CrystalCalorimeter:
    """Return the calorimeter of this name, which is made of crystals.

    Raises
    ------
    UnknownDetectorError
        If there is none, or if it is of another kind.
    """
    found = load(name)
    if not isinstance(found, CrystalCalorimeter):
        raise UnknownDetectorError(f"{name} is made of layers: it has no windows of crystals")
    return found


def load(name: str) -> Calorimeter:
    """Return the calorimeter of this name, or that is described in this file.

    Descriptions are YAML files, looked for in the folders of ``K4CALOFAST_DETECTOR_PATH`` and then
    in this package; see docs/detectors.md.

    Raises
    ------
    UnknownDetectorError
        If there is none; the message lists those there are.
    """
    file = description.find(name)
    if file is not None:
        return _layered(description.read(file))
    if name in _OF_CRYSTALS:
        from k4calofast.detector import besiii

        return {besiii.BARREL: besiii.barrel, besiii.ENDCAPS: besiii.endcaps}[name]()
    raise UnknownDetectorError(
        f"no detector '{name}'; there are {', '.join(names())}, and those described in folders of "
        f"{description.SEARCH_PATH}"
    )


@lru_cache(maxsize=32)
def _layered(described: description.Description) -> LayeredCalorimeter:
    if isinstance(described, description.EndcapDescription):
        return LayeredEndcaps(described)
    return LayeredBarrel(described)

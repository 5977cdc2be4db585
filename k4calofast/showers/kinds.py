"""Where the part of each kind of calorimeter in this folder is found: the modules that it names."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from k4calofast.detector import Calorimeter
from k4calofast.events.reading import Place
from k4calofast.showers.base import Showers
from k4calofast.showers.hdf5 import Layout
from k4calofast.showers.hints import Hints
from k4calofast.showers.provenance import Provenance, Source

NAMES = ("crystals", "layers")
"""Of the kinds that samples are of."""


class Kind(Protocol):
    """Samples of one kind."""

    LAYOUT: Layout[Any, Any]
    """How samples of `k4calofast fullsim` are stored."""

    LAYOUTS: tuple[Layout[Any, Any], ...]
    """That one, and those of samples of older versions."""

    def read(self, file: Path) -> tuple[Showers, Provenance]:
        """Read such a sample."""

    def read_others(
        self, file: Place, calorimeter: Calorimeter, hints: Hints, /
    ) -> tuple[Showers, Source]:
        """Read a file that other programs wrote; see `k4calofast.showers.reading.read`."""


@cache
def find(name: str) -> Kind:
    """Return the kind of this name: that of a calorimeter is `Calorimeter.kind`."""
    return cast(Kind, import_module(f"k4calofast.showers.{name}"))

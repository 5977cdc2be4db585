"""Where the part of each kind of calorimeter in this folder is found: the modules that it names."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from k4calofast.display.showers import MeanShower


class Kind(Protocol):
    """Pictures of the showers of one kind."""

    def draw(self, plt: Any, shower: MeanShower, /) -> Any:
        """Return a figure of mean showers."""


def find(name: str) -> Kind:
    """Return the kind of this name: that of a calorimeter is `Calorimeter.kind`."""
    return cast(Kind, import_module(f"k4calofast.display.{name}"))

"""What models return: windows full of energies, or hits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

from k4calofast.generator.generated import Generated, check_windows

Tensor = tuple[str, list[int]]
"""Type of a tensor in ONNX Runtime's words, and its sizes after the first."""


class Interface(Protocol):
    """How the showers of one call leave the graph of a model.

    Parameters
    ----------
    model
        Name, for messages.
    window
        Shape of the windows.

    Attributes
    ----------
    outputs
        Of the graph, in the order in which `showers` takes them.
    memory_reuse
        Whether ONNX Runtime plans which arrays may lie where others were.
    """

    outputs: dict[str, Tensor]
    memory_reuse: bool

    def __init__(self, model: str, window: tuple[int, ...]) -> None: ...

    def showers(self, values: Sequence[npt.NDArray[Any]], count: int) -> Generated:
        """Return the deposits of so many showers.

        Parameters
        ----------
        values
            Of the outputs.

        Raises
        ------
        ModelError
            If they cannot be showers; the message names the model.
        """


class Windows:
    """An energy for every place of a window."""

    memory_reuse = True

    def __init__(self, model: str, window: tuple[int, ...]) -> None:
        self._model, self._window = model, window
        self.outputs: dict[str, Tensor] = {"energies": ("tensor(float)", list(window))}

    def showers(self, values: Sequence[npt.NDArray[Any]], count: int) -> Generated:
        """See `Interface`: the places with energy."""
        (energies,) = values
        return Generated.of_windows(check_windows(self._model, energies, (count, *self._window)))


class Hits:
    """Shower, place, energy and delay of each hit."""

    # To plan takes 20 s for the thousands of small operations of these graphs, and saves nothing.
    memory_reuse = False

    def __init__(self, model: str, window: tuple[int, ...]) -> None:
        self._model, self._places = model, math.prod(window)
        self.outputs: dict[str, Tensor] = {
            "shower": ("tensor(int64)", []),
            "place": ("tensor(int64)", []),
            "energy": ("tensor(float)", []),
            "delay": ("tensor(float)", []),
        }

    def showers(self, values: Sequence[npt.NDArray[Any]], count: int) -> Generated:
        """See `Interface`: the hits."""
        found = Generated(*values)
        found.check(self._model, count, self._places)
        return found


INTERFACES: dict[str, type[Interface]] = {"windows": Windows, "hits": Hits}
"""By the name that cards have."""

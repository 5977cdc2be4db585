"""Mean showers in a window of crystals."""

from __future__ import annotations

from typing import Any

import numpy as np

from k4calofast.display.drawing import heat, spectrum
from k4calofast.display.showers import MeanShower

_DECADES = 5.5
"""Of the colours."""

_SIZE = (16.0, 7.5)


_MOST_SHOWN = 21
"""Rows and columns around the crystal that is hit, of models that know more."""


def _middle(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Which places of a window are drawn."""
    shown = [min(size, _MOST_SHOWN) for size in shape]
    return tuple(
        slice((size - n) // 2, (size + n) // 2) for size, n in zip(shape, shown, strict=True)
    )


def draw(plt: Any, shower: MeanShower) -> Any:
    """Draw the mean energy of each crystal, and the spectrum of all showers."""
    from matplotlib.colors import LogNorm

    figure, (left, right) = plt.subplots(1, 2, figsize=_SIZE, width_ratios=(1.15, 1))
    energies = 1e3 * shower.mean[_middle(shower.mean.shape)]
    rows, columns = energies.shape
    high = energies.max()
    low = high * 10.0**-_DECADES
    edges = [np.arange(size + 1) - size / 2 for size in (columns, rows)]
    # What is empty is white.
    shown = np.where(energies > 0, np.maximum(energies, low), np.nan)
    drawn = left.pcolormesh(*edges, shown, norm=LogNorm(low, high), cmap=heat())
    left.set_aspect("equal")
    left.set_xlim(*edges[0][[0, -1]])
    left.set_ylim(*edges[1][[0, -1]])
    left.set_xlabel("crystals in phi from the one that is hit")
    left.set_ylabel("rings in theta from it")
    left.set_title("mean energy of each crystal")
    figure.colorbar(drawn, ax=left, label="MeV", pad=0.02)
    spectrum(right, shower)
    return figure

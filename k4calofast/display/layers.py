"""Mean showers in layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from k4calofast.display.drawing import heat, spectrum
from k4calofast.display.showers import MeanShower

_DECADES = 4
"""Of the colours."""

_SIZE = (16.0, 8.5)
_ROWS, _COLUMNS = 3, 4
_CELLS = 15
"""Columns and rows of cells in the images."""


def draw(plt: Any, shower: MeanShower) -> Any:
    """Draw the mean energy by layer, images of some layers, and the spectrum of all showers."""
    from matplotlib.colors import LogNorm

    energies = 1e3 * shower.mean
    layers, size, _ = energies.shape
    figure = plt.figure(figsize=_SIZE)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.9))
    profile, below = left.subplots(2, 1)
    profile.step(np.arange(layers), energies.sum((1, 2)), where="mid", color="#b91c1c", linewidth=2)
    profile.set_xlabel("layer")
    profile.set_ylabel("mean energy [MeV]")
    profile.set_xlim(-0.5, layers - 0.5)
    profile.set_ylim(bottom=0)
    spectrum(below, shower)

    panels = right.subplots(_ROWS, _COLUMNS, sharex=True, sharey=True)
    cut = max((size - _CELLS) // 2, 0)
    middle = energies[:, cut : size - cut, cut : size - cut]
    high = middle.max()
    low = high * 10.0**-_DECADES
    norm = LogNorm(low, high)
    edges = np.arange(middle.shape[1] + 1) - middle.shape[1] / 2
    chosen = np.linspace(0, layers - 1, _ROWS * _COLUMNS).round().astype(np.int64)
    for panel, layer in zip(panels.flat, chosen, strict=True):
        image = middle[layer].T
        shown = np.where(image > 0, np.maximum(image, low), np.nan)
        drawn = panel.pcolormesh(edges, edges, shown, norm=norm, cmap=heat())
        panel.set_aspect("equal")
        panel.set_xlim(*edges[[0, -1]])
        panel.set_ylim(*edges[[0, -1]])
        panel.set_xticks([-5, 0, 5])
        panel.set_yticks([-5, 0, 5])
        panel.set_title(f"layer {layer}")
    right.supxlabel("columns of cells from the particle's line")
    right.supylabel("rows from it")
    right.colorbar(drawn, ax=panels, label="mean energy of a cell [MeV]", aspect=35, pad=0.02)
    return figure

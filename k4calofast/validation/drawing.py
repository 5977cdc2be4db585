"""What pictures of validations have in common: panels, and spectra with their ratio."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from k4calofast.arrays import Floats
from k4calofast.pictures import image, styled
from k4calofast.validation.results import Comparison

BLACK, RED = "black", "tab:red"
SIDES = ((BLACK, "reference"), (RED, "generator"))
"""Colour and name of the reference and of the generated sample."""

SMALL = 7
"""Size of small letters."""

_DPI = 75


@dataclass(frozen=True)
class Figure:
    """A picture: its short name, its title, what to look for, and its PNG."""

    name: str
    title: str
    look: str
    png: bytes

    @property
    def data(self) -> str:
        """The PNG as pages have it."""
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Picture:
    """How a picture is drawn.

    Attributes
    ----------
    name, title, look
        As of `Figure`.
    draw
        Given pyplot, mplhep and the comparison, the figure; None if there is nothing to draw.
    """

    name: str
    title: str
    look: str
    draw: Callable[[Any, Any, Comparison], Any]


def draw(
    pictures: Sequence[Picture],
    comparison: Comparison,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Figure]:
    """Draw all pictures."""
    drawn = []
    with styled() as (plt, mplhep):
        for picture in pictures:
            progress(f"figure: {picture.title.lower()}")
            figure = picture.draw(plt, mplhep, comparison)
            if figure is not None:
                png = image(plt, figure, _DPI)
                drawn.append(Figure(picture.name, picture.title, picture.look, png))
    return drawn


def with_ratio(
    mplhep: Any, panels: tuple[Any, Any], edges: Floats, reference: Floats, generated: Floats
) -> None:
    """Draw two spectra above, their ratio with errors below."""
    above, below = panels
    counts = [np.histogram(values, edges)[0] for values in (reference, generated)]
    for count, (colour, label) in zip(counts, SIDES, strict=True):
        mplhep.histplot(count, edges, ax=above, color=colour, label=label, yerr=False)
    expected, found = counts
    filled = (expected > 0) & (found > 0)
    ratio = found[filled] / expected[filled]
    error = ratio * np.sqrt(1 / expected[filled] + 1 / found[filled])
    middle = 0.5 * (edges[1:] + edges[:-1])[filled]
    points(below, middle, ratio, error, 0.5)
    above.set_yscale("log")
    above.tick_params(labelbottom=False)
    for panel in panels:
        panel.set_xlim(edges[0], edges[-1])


def profiles(
    panels: tuple[Any, Any], x: Floats, half: float, reference: Floats, generated: Floats
) -> None:
    """Draw means of two samples (N, X) that belong together row by row, and their ratio below."""
    above, below = panels
    for side, (colour, label) in zip((reference, generated), SIDES, strict=True):
        above.step(x, side.mean(0), where="mid", color=colour, label=label)
    mean = reference.mean(0)
    filled = mean > 0
    error = (generated - reference).std(0) / np.sqrt(len(reference))
    ratio, error = (values[filled] / mean[filled] for values in (generated.mean(0), error))
    points(below, x[filled], ratio, error, half)
    above.tick_params(labelbottom=False)


def points(panel: Any, x: Floats, ratio: Floats, error: Floats, half: float) -> None:
    """Draw a ratio around 1."""
    panel.axhline(1, color="gray", linewidth=0.8)
    panel.errorbar(x, ratio, error, fmt=".", color=RED, markersize=3, linewidth=0.8)
    panel.set_ylim(1 - half, 1 + half)


def panel_grid(plt: Any, rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """Return a figure and its axes: for each panel one above, and a lower one for the ratio."""
    figure, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        gridspec_kw={"height_ratios": [3, 1] * rows},
        squeeze=False,
    )
    return figure, axes


def finished(axes: Any, entries: str) -> None:
    """Name the axes on the left, show the legend, and hide panels in which nothing is drawn."""
    for row in range(0, len(axes), 2):
        axes[row, 0].set_ylabel(entries)
        axes[row + 1, 0].set_ylabel("ratio")
    axes[0, 0].legend(fontsize=SMALL)
    for panel in axes.flat:
        if not panel.has_data():
            panel.axis("off")

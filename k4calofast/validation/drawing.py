"""What pictures of validations have in common: spectra with their ratio below, in panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.exceptions import MissingExtraError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A picture: its short name, its title, what to look for, and its PNG."""

    name: str
    title: str
    look: str
    png: bytes


def plotting() -> tuple[Any, Any]:
    """Return matplotlib's pyplot, without a display, and mplhep.

    Raises
    ------
    MissingExtraError
        If they are not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
        import mplhep
    except ImportError:
        raise MissingExtraError(
            "pictures need matplotlib and mplhep: pip install 'k4calofast[validation]'"
        ) from None
    return plt, mplhep


def with_ratio(
    mplhep: Any, panels: tuple[Any, Any], there: Floats, here: Floats, edges: Floats
) -> None:
    """Draw two spectra above, their ratio with errors below."""
    above, below = panels
    one, other = (np.histogram(values, edges)[0] for values in (there, here))
    mplhep.histplot(one, edges, ax=above, color="black", label="reference", yerr=False)
    mplhep.histplot(other, edges, ax=above, color="tab:red", label="generator", yerr=False)
    filled = (one > 0) & (other > 0)
    ratio = other[filled] / one[filled]
    error = ratio * np.sqrt(1 / one[filled] + 1 / other[filled])
    middle = 0.5 * (edges[1:] + edges[:-1])[filled]
    below.axhline(1, color="gray", linewidth=0.8)
    below.errorbar(middle, ratio, error, fmt=".", color="tab:red", markersize=3, linewidth=0.8)
    below.set_ylim(0.5, 1.5)
    above.set_yscale("log")
    above.tick_params(labelbottom=False)


def panel_grid(plt: Any, rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """Return a figure and its axes: for each panel one above, and a lower one for the ratio."""
    figure, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        gridspec_kw={"height_ratios": [3, 1] * rows},
        squeeze=False,
        layout="constrained",
    )
    return figure, axes

"""Pictures of a validation: spectra with their ratios, and average showers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.exceptions import MissingExtraError
from k4calofast.showers import Showers
from k4calofast.validation.fidelity import NAMES, bins
from k4calofast.validation.observables import observables

Floats = npt.NDArray[np.float64]


def draw(reference: Showers, generated: Showers, folder: Path) -> list[tuple[str, str]]:
    """Write the pictures of a comparison.

    Parameters
    ----------
    reference, generated
        Showers with the same kinds and conditions, at a few momenta.
    folder
        Where to write them.

    Returns
    -------
    list of (str, str)
        File names, and what to look for.

    Raises
    ------
    MissingExtraError
        If matplotlib and mplhep are not installed.
    """
    plt, mplhep = _plotting()
    pictures: list[tuple[str, str, Callable[..., Any]]] = [
        (
            "response.png",
            "Window energy over momentum. The points of the ratio should lie around 1 within their "
            "errors, at the peak and in the tail.",
            _responses,
        ),
        (
            "cells.png",
            "Energies of single cells. The line at 0.511 MeV comes from annihilation, the step "
            "below from its Compton edge.",
            _cells,
        ),
        (
            "images.png",
            "Mean energy of each cell at the largest momentum: Geant4, generator, and their ratio. "
            "Far cells hold little, and their ratio scatters.",
            _images,
        ),
    ]
    written = []
    with plt.style.context(mplhep.style.ATLAS), plt.rc_context({"font.size": 9}):
        for name, meaning, picture in pictures:
            figure = picture(plt, mplhep, reference, generated)
            figure.savefig(folder / name, dpi=80)
            plt.close(figure)
            written.append((name, meaning))
    return written


def _plotting() -> tuple[Any, Any]:
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


def _with_ratio(
    mplhep: Any, panels: tuple[Any, Any], there: Floats, here: Floats, edges: Floats
) -> None:
    """Two spectra above, their ratio with errors below."""
    above, below = panels
    one, other = (np.histogram(values, edges)[0] for values in (there, here))
    mplhep.histplot(one, edges, ax=above, color="black", label="Geant4", yerr=False)
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


def _panels(plt: Any, rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    figure, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        gridspec_kw={"height_ratios": [3, 1] * rows},
        squeeze=False,
        layout="constrained",
    )
    return figure, axes


def _responses(plt: Any, mplhep: Any, reference: Showers, generated: Showers) -> Any:
    by_kind: dict[int, list[tuple[float, npt.NDArray[np.bool_]]]] = {}
    for pdg, momentum, rows in bins(reference):
        by_kind.setdefault(pdg, []).append((momentum, rows))
    columns = max(map(len, by_kind.values()))
    figure, axes = _panels(plt, len(by_kind), columns, (2.9, 2.9))
    there, here = (observables(showers)["response"] for showers in (reference, generated))
    for row, (pdg, momenta) in enumerate(by_kind.items()):
        for column, (momentum, rows) in enumerate(momenta):
            panels = (axes[2 * row, column], axes[2 * row + 1, column])
            low = np.quantile(there[rows], 0.01)
            high = there[rows].max()
            edges = np.linspace(low, high + 0.02 * (high - low), 41)
            _with_ratio(mplhep, panels, there[rows], here[rows], edges)
            panels[0].set_title(f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV", fontsize=9)
            for panel in panels:
                panel.set_xlim(edges[0], edges[-1])
            if column == 0:
                panels[0].set_ylabel("showers")
                panels[1].set_ylabel("ratio")
            panels[1].set_xlabel("E / p")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    return figure


def _cells(plt: Any, mplhep: Any, reference: Showers, generated: Showers) -> Any:
    kinds = list(dict.fromkeys(reference.pdg.tolist()))
    figure, axes = _panels(plt, len(kinds), 2, (4.8, 2.9))
    for number, pdg in enumerate(kinds):
        rows = reference.pdg == pdg
        there, here = (
            1e3 * showers.energies[rows][showers.energies[rows] > 0].astype(np.float64)
            for showers in (reference, generated)
        )
        widest = max(there.max(), here.max())
        for column, edges in enumerate(
            (np.linspace(0.05, 1.2, 93), np.geomspace(0.05, widest, 61))
        ):
            panels = (axes[2 * number, column], axes[2 * number + 1, column])
            _with_ratio(mplhep, panels, there, here, edges)
            panels[0].set_title(f"{NAMES.get(pdg, pdg)}, all momenta", fontsize=9)
            for panel in panels:
                panel.set_xlim(edges[0], edges[-1])
                if column == 1:
                    panel.set_xscale("log")
            panels[1].set_xlabel("energy of a cell [MeV]")
        axes[2 * number, 0].set_ylabel("cells")
        axes[2 * number + 1, 0].set_ylabel("ratio")
    axes[0, 0].legend(fontsize=8, loc="upper right")
    return figure


def _images(plt: Any, _mplhep: Any, reference: Showers, generated: Showers) -> Any:
    from matplotlib.colors import LogNorm

    # The last bin of each kind is that of its largest momentum.
    largest = {pdg: (momentum, rows) for pdg, momentum, rows in bins(reference)}
    figure, axes = plt.subplots(
        len(largest),
        3,
        figsize=(9.5, 2.9 * len(largest)),
        squeeze=False,
        layout="constrained",
    )
    for row, (pdg, (momentum, rows)) in enumerate(largest.items()):
        there, here = (
            1e3 * showers.energies[rows].astype(np.float64).mean(0)
            for showers in (reference, generated)
        )
        norm = LogNorm(max(there.max() * 1e-5, 1e-6), there.max())
        for column, (image, title) in enumerate(((there, "Geant4"), (here, "generator"))):
            drawn = axes[row, column].imshow(image, norm=norm, cmap="viridis")
            axes[row, column].set_title(
                f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV, {title}", fontsize=9
            )
        figure.colorbar(drawn, ax=axes[row, :2], label="mean energy [MeV]")
        ratio = np.divide(here, there, out=np.full_like(there, np.nan), where=there > 0)
        drawn = axes[row, 2].imshow(ratio, vmin=0.7, vmax=1.3, cmap="RdBu_r")
        axes[row, 2].set_title("generator over Geant4", fontsize=9)
        figure.colorbar(drawn, ax=axes[row, 2])
        for panel in axes[row]:
            panel.set_xlabel("phi [cells]")
        axes[row, 0].set_ylabel("theta [cells]")
    return figure

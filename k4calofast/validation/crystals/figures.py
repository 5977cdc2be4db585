"""Pictures of a validation of showers in windows of crystals, each with what to look for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.pictures import USUAL
from k4calofast.validation.crystals.comparison import CLASSIFIERS
from k4calofast.validation.crystals.observables import IMPACT, OBSERVABLES, block
from k4calofast.validation.drawing import (
    SIDES,
    Picture,
    finished,
    panel_grid,
    profiles,
    with_ratio,
)
from k4calofast.validation.fidelity import NAMES
from k4calofast.validation.metrics import Value, mean_of
from k4calofast.validation.observables import ratio
from k4calofast.validation.pictures import at_momenta, closures, curves, rocs, spectra
from k4calofast.validation.results import Comparison


def _responses(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    sides = [sample.observables["response"] for sample in comparison.samples]

    def draw(panels: tuple[Any, Any], rows: npt.NDArray[np.bool_]) -> None:
        reference, generated = (side[rows] for side in sides)
        low, high = np.quantile(reference, 0.01), reference.max()
        edges = np.linspace(low, high + 0.02 * (high - low), 41)
        with_ratio(mplhep, panels, edges, reference, generated)

    return at_momenta(plt, comparison, (2.9, 2.9), draw, "showers", "E / p")


def _cells(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    kinds = comparison.reference.kinds
    figure, axes = panel_grid(plt, len(kinds), 2, (4.8, 2.9))
    for number, (pdg, rows) in enumerate(kinds.items()):
        sides = [sample.showers.energies[rows] for sample in comparison.samples]
        sides = [1e3 * energies[energies > 0].astype(np.float64) for energies in sides]
        widest = max(side.max() for side in sides)
        for column, edges in enumerate(
            (np.linspace(0.05, 1.2, 93), np.geomspace(0.05, widest, 61))
        ):
            panels = (axes[2 * number, column], axes[2 * number + 1, column])
            with_ratio(mplhep, panels, edges, *sides)
            panels[0].set_title(f"{NAMES.get(pdg, pdg)}, all momenta", fontsize=USUAL)
            if column == 1:
                for panel in panels:
                    panel.set_xscale("log")
            panels[1].set_xlabel("energy of a cell [MeV]")
    finished(axes, "cells")
    return figure


def _images(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    from matplotlib.colors import LogNorm

    # The last group of each kind is that of its largest momentum.
    largest = {group.pdg: group for group in comparison.groups}
    figure, axes = plt.subplots(len(largest), 3, figsize=(9.5, 2.9 * len(largest)), squeeze=False)
    for panels, (pdg, group) in zip(axes, largest.items(), strict=True):
        reference, generated = (
            1e3 * sample.showers.energies[group.rows].astype(np.float64).mean(0)
            for sample in comparison.samples
        )
        norm = LogNorm(max(reference.max() * 1e-5, 1e-6), reference.max())
        sides = zip(panels, (reference, generated), SIDES, strict=False)
        for panel, values, (_, label) in sides:
            drawn = panel.imshow(values, norm=norm, cmap="viridis")
            at = f"{NAMES.get(pdg, pdg)}, {group.momentum:.3g} GeV"
            panel.set_title(f"{at}, {label}", fontsize=USUAL)
        figure.colorbar(drawn, ax=panels[:2], label="mean energy [MeV]")
        ratio = np.full_like(reference, np.nan)
        np.divide(generated, reference, out=ratio, where=reference > 0)
        drawn = panels[2].imshow(ratio, vmin=0.7, vmax=1.3, cmap="RdBu_r")
        panels[2].set_title("generator over reference", fontsize=USUAL)
        figure.colorbar(drawn, ax=panels[2])
        for panel in panels:
            panel.set_xlabel("phi [cells]")
        panels[0].set_ylabel("theta [cells]")
    return figure


def _profiles(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    figure, axes = panel_grid(plt, 1, 2, (4.8, 3.2))
    for column, (axis, title) in enumerate(((2, "theta [rows]"), (1, "phi [columns]"))):
        shares = []
        for sample in comparison.samples:
            energies = sample.showers.energies.astype(np.float64).sum(axis)
            shares.append(ratio(energies, energies.sum(1, keepdims=True)))
        place = np.arange(shares[0].shape[1], dtype=np.float64) - shares[0].shape[1] // 2
        above, below = axes[:, column]
        profiles((above, below), place, 0.2, *shares)
        above.set_yscale("log")
        below.set_xlabel(title)
    finished(axes, "share of the energy")
    return figure


def _curves(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    def figures(side: int, number: int) -> dict[str, Value]:
        sample, rows = comparison.samples[side], comparison.groups[number].rows
        resolution = comparison.distances.own[side].resolutions[number]
        return {
            "mean E/p": mean_of(sample.observables["response"][rows]),
            "resolution [%]": resolution.energy.scaled(100),
            "resolution in z [mm]": resolution.z,
            "resolution in r phi [mm]": resolution.phi,
        }

    return curves(plt, comparison, figures)


def _pions(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    pions = [side.pion for side in comparison.distances.own]
    if None in pions:
        return None
    figure, axes = panel_grid(plt, 1, 1, (5.5, 4.0))
    reference, generated = (1e3 * pion.masses for pion in pions)
    edges = np.linspace(max(np.quantile(reference, 0.01), 0), np.quantile(reference, 0.995), 46)
    with_ratio(mplhep, tuple(axes[:, 0]), edges, reference, generated)
    axes[0, 0].set_yscale("linear")
    axes[1, 0].set_xlabel("mass of two photons [MeV]")
    finished(axes, "pairs")
    return figure


def _correlations(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    matrices = []
    for sample in comparison.samples:
        cells = block(sample.showers.energies.astype(np.float64), 5).reshape(len(sample), -1)
        share = cells / np.maximum(cells.sum(1, keepdims=True), 1e-12)
        with np.errstate(invalid="ignore", divide="ignore"):
            matrices.append(np.nan_to_num(np.corrcoef(share.T)))
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2))
    shown = (*matrices, matrices[1] - matrices[0])
    for panel, values, title, limit in zip(
        axes, shown, ("reference", "generator", "difference"), (1, 1, 0.1), strict=True
    ):
        drawn = panel.imshow(values, vmin=-limit, vmax=limit, cmap="RdBu_r")
        panel.set_title(title, fontsize=USUAL)
        figure.colorbar(drawn, ax=panel)
    return figure


PICTURES = (
    Picture(
        "response",
        "Response",
        "Window energy over momentum. The points of the ratio should lie around 1 within their "
        "errors, at the peak and in the tail.",
        _responses,
    ),
    Picture(
        "images",
        "Average showers",
        "Mean energy of each cell at the largest momentum: reference, generator, and their ratio. "
        "Far cells hold little, and their ratio scatters; a pattern in the ratio is an error.",
        _images,
    ),
    Picture(
        "cells",
        "Energies of single cells",
        "A line at 0.511 MeV comes from annihilation, the step below from its Compton edge. Both "
        "spectra should have them.",
        _cells,
    ),
    spectra(OBSERVABLES | IMPACT, 4, (3.3, 2.6), 40, ("cells", "cells_1mev")),
    Picture(
        "profiles",
        "Profiles",
        "Mean share of the energy in each row (theta) and column (phi) of the window. The ratio "
        "should be flat out to the last row.",
        _profiles,
    ),
    Picture(
        "curves",
        "Response and resolution",
        "Of clusters of 5 x 5 cells, by momentum. Generator and reference should lie on top of "
        "each other.",
        _curves,
    ),
    Picture(
        "pion",
        "Neutral pions",
        "Mass of pairs of photons at the opening angle of a pion's decay, with measured energies "
        "and positions. Peak and width should agree.",
        _pions,
    ),
    closures(CONDITIONS, OBSERVABLES),
    Picture(
        "correlations",
        "Correlations between cells",
        "Of the 25 central cells. The difference should be white.",
        _correlations,
    ),
    rocs(CLASSIFIERS),
)
"""In the order of the page."""

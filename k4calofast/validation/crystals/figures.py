"""Pictures of a validation of showers in windows of crystals, each with what to look for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Mask
from k4calofast.pictures import USUAL
from k4calofast.showers.crystals.outcomes import INTERACTED, IONISED
from k4calofast.validation.crystals.comparison import CLASSIFIERS
from k4calofast.validation.crystals.emc import CLASSIFIERS as CLASSIFIERS_OF_ALL
from k4calofast.validation.crystals.emc import SEEN, electromagnetic, outcomes_of
from k4calofast.validation.crystals.hits import OUTSIDE, PLACES, Hits
from k4calofast.validation.crystals.observables import EMC, IMPACT, OBSERVABLES, block
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

_WHOLE_NUMBERS = ("cells", "cells_1mev", "crystals", "crystals_outside", "far")
"""Observables that are numbers of crystals."""

Drawing = Callable[[Any, Any, Comparison], Any]


def _responses(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    sides = [sample.observables["response"] for sample in comparison.samples]

    def draw(panels: tuple[Any, Any], rows: npt.NDArray[np.bool_]) -> None:
        reference, generated = (side[rows] for side in sides)
        low, high = np.quantile(reference, 0.01), reference.max()
        edges = np.linspace(low, high + 0.02 * (high - low) + 1e-9, 41)
        with_ratio(mplhep, panels, edges, reference, generated)

    return at_momenta(plt, comparison, (2.9, 2.9), draw, "showers", "E / p")


def _cells(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    kinds = comparison.reference.kinds
    figure, axes = panel_grid(plt, len(kinds), 2, (4.8, 2.9))
    for number, (pdg, rows) in enumerate(kinds.items()):
        sides = [sample.showers.energies[rows] for sample in comparison.samples]
        sides = [1e3 * energies[energies > 0].astype(np.float64) for energies in sides]
        if not all(map(len, sides)):
            continue
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
        highest = max(reference.max(), 1e-3)
        norm = LogNorm(max(highest * 1e-5, 1e-6), highest)
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


_CURVES = Picture(
    "curves",
    "Response and resolution",
    "Of clusters of 5 x 5 cells, by momentum. Generator and reference should lie on top of "
    "each other.",
    _curves,
)

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
    spectra(OBSERVABLES | IMPACT, 4, (3.3, 2.6), 40, _WHOLE_NUMBERS),
    Picture(
        "profiles",
        "Profiles",
        "Mean share of the energy in each row (theta) and column (phi) of the window. The ratio "
        "should be flat out to the last row.",
        _profiles,
    ),
    _CURVES,
    Picture(
        "pion",
        "Neutral pions",
        "Mass of pairs of photons at the opening angle of a pion's decay, with measured energies "
        "and positions. Peak and width should agree.",
        _pions,
    ),
    closures(OBSERVABLES | EMC),
    Picture(
        "correlations",
        "Correlations between cells",
        "Of the 25 central cells. The difference should be white.",
        _correlations,
    ),
    rocs(CLASSIFIERS),
)
"""In the order of the page."""


def _energies(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    sides = [sample.observables["emc"] for sample in comparison.samples]
    done = outcomes_of(comparison.reference)

    def draw(panels: tuple[Any, Any], rows: Mask) -> None:
        reference, generated = (side[rows] for side in sides)
        low, high = reference.min(), np.quantile(reference, 0.999)
        edges = np.linspace(low, high + 0.1 * (high - low) + 1e-9, 46)
        with_ratio(mplhep, panels, edges, reference, generated)
        if electromagnetic(int(comparison.reference.pdg[rows][0])):
            return
        for outcome, colour in ((IONISED, "tab:blue"), (INTERACTED, "tab:orange")):
            values = reference[done[rows] == outcome]
            panels[0].hist(values, edges, color=colour, alpha=0.3)
        panels[0].set_ylim(bottom=0.5)

    return at_momenta(plt, comparison, (2.9, 2.9), draw, "showers", "E of all crystals / p")


_FAR_EDGES = np.array([0.0, 150, 250, 350, 500, 700, 1000, 1400, 2000, 2800])
"""mm."""


def _by_distance(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    rings = len(_FAR_EDGES) - 1
    sides = []
    for sample in comparison.samples:
        hits = Hits.of(sample.showers, sample.readout.detector)
        hits = hits.take(hits.where == OUTSIDE)
        ring = np.searchsorted(_FAR_EDGES[1:-1], hits.distance, side="right")
        energy = np.bincount(hits.shower * rings + ring, 1e3 * hits.energy, len(sample) * rings)
        sides.append(energy.reshape(len(sample), rings).astype(np.float64))
    middle = (_FAR_EDGES[1:] + _FAR_EDGES[:-1]) / 2

    def draw(panels: tuple[Any, Any], rows: Mask) -> None:
        seen = [side[rows] for side in sides]
        profiles(panels, middle, 1.0, *seen)
        if any(side.any() for side in seen):
            panels[0].set_yscale("log")

    return at_momenta(plt, comparison, (2.9, 2.9), draw, "MeV per shower", "distance [mm]")


_COARSE = 3
"""Crystals along a side of what is drawn of the whole calorimeter."""


def _halo(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    from matplotlib.colors import LogNorm

    detector = comparison.reference.readout.detector
    rows, columns = (-(-size // _COARSE) for size in detector.whole_window)
    largest = {group.pdg: group for group in comparison.groups}
    figure, axes = plt.subplots(len(largest), 3, figsize=(9.5, 2.9 * len(largest)), squeeze=False)
    for panels, (pdg, group) in zip(axes, largest.items(), strict=True):
        maps = []
        for sample in comparison.samples:
            showers = sample.showers.take(group.rows)
            hits = Hits.of(showers, detector)
            entered = showers.cell.astype(np.int64)[hits.shower]
            place = detector.place_of(entered, hits.crystal, detector.whole_window)
            down, across = np.divmod(place, detector.whole_window[1])
            coarse = down // _COARSE * columns + across // _COARSE
            energy = np.bincount(coarse, 1e3 * hits.energy, rows * columns) / len(showers)
            maps.append(energy.reshape(rows, columns))
        highest = max(maps[0].max(), 1e-3)
        norm = LogNorm(highest * 1e-7, highest)
        wide, high = columns * _COARSE / 2, rows * _COARSE / 2
        extent = (-wide, wide, high, -high)
        for panel, values, (_, label) in zip(panels, maps, SIDES, strict=False):
            drawn = panel.imshow(values, norm=norm, cmap="viridis", extent=extent, aspect="auto")
            at = f"{NAMES.get(pdg, pdg)}, {group.momentum:.3g} GeV"
            panel.set_title(f"{at}, {label}", fontsize=USUAL)
        figure.colorbar(drawn, ax=panels[:2], label="mean energy [MeV]")
        compared = np.full_like(maps[0], np.nan)
        np.divide(maps[1], maps[0], out=compared, where=maps[0] > 0)
        drawn = panels[2].imshow(
            compared, vmin=0, vmax=2, cmap="RdBu_r", extent=extent, aspect="auto"
        )
        panels[2].set_title("generator over reference", fontsize=USUAL)
        figure.colorbar(drawn, ax=panels[2])
        for panel in panels:
            panel.set_xlabel("phi [crystals]")
        panels[0].set_ylabel("theta [rows]")
    return figure


_TIMES = np.geomspace(0.03, 3e4, 61)
"""ns."""


def _times(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    kinds = comparison.reference.kinds
    figure, axes = panel_grid(plt, len(kinds), len(PLACES), (2.9, 2.9))
    for row, (pdg, rows) in enumerate(kinds.items()):
        seen = [
            Hits.of(sample.showers.take(rows), sample.readout.detector)
            for sample in comparison.samples
        ]
        # Full simulation may have recorded times of some showers alone.
        known = np.bincount(seen[0].shower, np.isfinite(seen[0].time), int(rows.sum())) > 0
        for column, named in enumerate(PLACES):
            times = [
                hits.time[(hits.where == column) & (hits.energy >= SEEN) & known[hits.shower]]
                for hits in seen
            ]
            if not any(map(len, times)):
                continue
            panels = (axes[2 * row, column], axes[2 * row + 1, column])
            with_ratio(mplhep, panels, _TIMES, *(np.clip(at, _TIMES[0], None) for at in times))
            panels[0].set_title(f"{NAMES.get(pdg, pdg)}, {named}", fontsize=USUAL)
            for panel in panels:
                panel.set_xscale("log")
            panels[1].set_xlabel("time after the entry [ns]")
    finished(axes, "crystals")
    return figure


def _electromagnetic_alone(draw: Drawing) -> Drawing:
    """A picture that says nothing of hadrons."""

    def drawn(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
        if not all(map(electromagnetic, comparison.reference.kinds)):
            return None
        return draw(plt, mplhep, comparison)

    return drawn


_IN_WINDOWS = {picture.name: picture for picture in PICTURES} | {
    "curves": replace(_CURVES, draw=_electromagnetic_alone(_CURVES.draw)),
    "spectra": spectra(OBSERVABLES | IMPACT | EMC, 4, (3.3, 2.6), 40, _WHOLE_NUMBERS),
    "roc": rocs(CLASSIFIERS_OF_ALL),
}

OF_ALL = (
    Picture(
        "energy",
        "Energy of the whole calorimeter",
        "Of all crystals, over momentum. Of hadrons and muons, what the reference's leave by "
        "ionisation alone is blue, what they leave by interactions orange.",
        _energies,
    ),
    Picture(
        "distance",
        "Outside the window, by distance",
        "Mean energy of crystals outside the window, by the distance between their fronts and "
        "that of the crystal entered. A generator whose ratio is 0 has lost the halo.",
        _by_distance,
    ),
    Picture(
        "halo",
        "The whole calorimeter",
        "Mean energy of all crystals around the one entered, three by three, at the largest "
        "momentum: reference, generator, and their ratio.",
        _halo,
    ),
    Picture(
        "times",
        "Times of crystals",
        "From the entry to the energy-weighted mean time of a crystal's deposits, above 1 MeV, of "
        "the showers whose times the reference knows.",
        _times,
    ),
    *_IN_WINDOWS.values(),
)
"""Of samples that know all crystals, in the order of the page."""

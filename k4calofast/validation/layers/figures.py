"""Pictures of a validation of showers in layers, each with what to look for."""

from __future__ import annotations

from typing import Any

import numpy as np

from k4calofast.arrays import Floats, Mask
from k4calofast.pictures import USUAL
from k4calofast.validation.drawing import (
    SIDES,
    Picture,
    finished,
    panel_grid,
    points,
    profiles,
    with_ratio,
)
from k4calofast.validation.fidelity import NAMES
from k4calofast.validation.layers.comparison import CLASSIFIERS
from k4calofast.validation.layers.hits import summed
from k4calofast.validation.layers.observables import OBSERVABLES
from k4calofast.validation.metrics import Value
from k4calofast.validation.pictures import at_momenta, closures, curves, momenta, rocs, spectra
from k4calofast.validation.results import Comparison, Sample

_SIZE = (2.5, 2.6)


def _in_depth(name: str, entries: str, scale: float) -> Any:
    """Draw a profile."""

    def picture(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
        sides = [scale * sample.profiles[name] for sample in comparison.samples]
        layer = np.arange(sides[0].shape[1], dtype=np.float64)

        def draw(panels: tuple[Any, Any], rows: Mask) -> None:
            profiles(panels, layer, 0.2, *(side[rows] for side in sides))
            panels[0].set_ylim(bottom=0)

        return at_momenta(plt, comparison, _SIZE, draw, entries, "layer")

    return picture


def _energies(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    sides = [1e3 * sample.observables["response"] for sample in comparison.samples]

    def draw(panels: tuple[Any, Any], rows: Mask) -> None:
        reference, generated = (side[rows] for side in sides)
        low, high = np.quantile(reference, [0.005, 0.995])
        more = 0.2 * (high - low) + 1e-9
        edges = np.linspace(low - more, high + more, 25)
        with_ratio(mplhep, panels, edges, reference, generated)

    return at_momenta(plt, comparison, _SIZE, draw, "showers", "E/p [MeV/GeV]")


def _across(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    kinds, readout = momenta(comparison.groups), comparison.reference.readout
    figure, axes = panel_grid(plt, len(kinds), 4, (3.3, 2.6))
    edges = np.arange(0.0, readout.window / 2 * readout.cell, readout.cell)
    area = np.pi * np.diff(edges**2)
    middle = (edges[1:] + edges[:-1]) / 2
    for row, (pdg, found) in enumerate(kinds.items()):
        ends = (found[0], found[-1])
        for column, ((momentum, rows), hits) in enumerate(
            (end, hits) for hits in (False, True) for end in ends
        ):
            above, below = axes[2 * row : 2 * row + 2, column]
            sides = (_rings(sample, rows, edges, hits) / area for sample in comparison.samples)
            profiles((above, below), middle, 0.3, *sides)
            above.set_yscale("log")
            above.set_title(f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV", fontsize=USUAL)
            above.set_ylabel("hits / mm$^2$" if hits else "MeV / mm$^2$")
            below.set_xlabel("distance [mm]")
    finished(axes, "MeV / mm$^2$")
    return figure


def _rings(sample: Sample, rows: Mask, edges: Floats, hits: bool) -> Floats:
    """Energy (MeV), or number of hits, of showers (N) in rings (R) around their lines."""
    seen = sample.showers.take(rows)
    ring = np.searchsorted(edges, np.hypot(seen.x, seen.y), side="right") - 1
    inside = ring < len(edges) - 1
    values = np.ones(len(ring)) if hits else 1e3 * seen.energy
    place = seen.shower * (len(edges) - 1) + ring
    found = summed(place[inside], values[inside], len(seen) * (len(edges) - 1))
    return found.reshape(len(seen), -1)


def _mips(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
    kinds, readout = comparison.reference.kinds, comparison.reference.readout
    figure, axes = panel_grid(plt, 1, len(kinds), (4.4, 3.4))
    mip = readout.calorimeter.mip
    for panels, (pdg, rows) in zip(axes.T, kinds.items(), strict=True):
        sides = [sample.showers.take(rows).energy / mip for sample in comparison.samples]
        highest = max(side.max(initial=1.0) for side in sides)
        edges = np.geomspace(max(readout.threshold / mip, 0.01), highest, 51)
        with_ratio(mplhep, panels, edges, *sides)
        for panel in panels:
            panel.set_xscale("log")
        panels[0].set_title(f"{NAMES.get(pdg, pdg)}, all momenta", fontsize=USUAL)
        panels[1].set_xlabel("energy of a hit [MIP]")
    finished(axes, "hits")
    return figure


def _curves(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    rows: Any = comparison.distances.rows

    def figures(side: int, number: int) -> dict[str, Value]:
        resolved = rows[number].resolved[side]
        return {
            "E/p [MeV/GeV]": resolved.response.scaled(1e3),
            "resolution [%]": resolved.resolution.scaled(100),
        }

    return curves(plt, comparison, figures, logarithmic=("resolution [%]",))


def _linked(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
    kinds = comparison.reference.kinds
    figure, axes = panel_grid(plt, 1, len(kinds), (4.4, 3.4))
    for (above, below), (pdg, rows) in zip(axes.T, kinds.items(), strict=True):
        sides = [
            (1e3 * sample.profiles["energies"][rows].sum(1), sample.observables["hits"][rows])
            for sample in comparison.samples
        ]
        lit = sides[0][0][sides[0][0] > 0]
        if not len(lit):
            continue
        edges = np.geomspace(lit.min(), lit.max() * (1 + 1e-9), 13)
        middle = np.sqrt(edges[1:] * edges[:-1])
        found = []
        for (energy, hits), (colour, label) in zip(sides, SIDES, strict=True):
            place = np.searchsorted(edges, energy, side="right") - 1
            parts = [hits[place == number] for number in range(len(middle))]
            mean, spread, count = (
                np.array([of(part) if len(part) else np.nan for part in parts])
                for of in (np.mean, np.std, len)
            )
            above.errorbar(middle, mean, spread, fmt=".", color=colour, label=label, capsize=2)
            found.append((mean, spread / np.sqrt(count)))
        (expected, of_expected), (generated, of_generated) = found
        ratio = generated / expected
        error = ratio * np.hypot(of_expected / expected, of_generated / generated)
        points(below, middle, ratio, error, 0.2)
        for panel in (above, below):
            panel.set_xscale("log")
        above.set_yscale("log")
        above.tick_params(labelbottom=False)
        above.set_title(NAMES.get(pdg, str(pdg)), fontsize=USUAL)
        below.set_xlabel("visible energy [MeV]")
    finished(axes, "hits")
    return figure


PICTURES = (
    Picture(
        "response",
        "Visible energy",
        "Over momentum. The points of the ratio should lie around 1 within their errors, at the "
        "peak and in the tails.",
        _energies,
    ),
    Picture(
        "curves",
        "Linearity and resolution",
        "Mean visible energy over momentum, and its 68 % width over the mean. A line for each pair "
        "of angles; generator and reference should lie on top of each other.",
        _curves,
    ),
    Picture(
        "profiles",
        "Profiles in depth",
        "Mean energy of each layer, all angles together. The ratio should be flat.",
        _in_depth("energies", "MeV / layer", 1e3),
    ),
    Picture(
        "hits",
        "Hits in depth",
        "Mean number of hits in each layer, all angles together. The ratio should be flat.",
        _in_depth("hits", "hits / layer", 1.0),
    ),
    Picture(
        "radii",
        "Profiles across",
        "Mean energy, and number of hits, per area, by the distance from the particle's line in "
        "the layer, at the smallest and at the largest momentum. Steps come from the size of the "
        "cells.",
        _across,
    ),
    Picture(
        "mips",
        "Energies of hits",
        "All momenta together. Most hits have about one MIP; in the tail is the core.",
        _mips,
    ),
    Picture(
        "linked",
        "Hits and energy",
        "Mean number of hits in bins of visible energy; bars are the spread of showers, points of "
        "the ratio have errors of means.",
        _linked,
    ),
    spectra(OBSERVABLES, 5, (3.0, 2.4), 30, ("start", "maximum")),
    closures(OBSERVABLES),
    rocs(CLASSIFIERS),
)
"""In the order of the page."""

"""Pictures of validations that all kinds of calorimeters have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import cycle
from typing import Any

import numpy as np

from k4calofast.arrays import Mask
from k4calofast.pictures import USUAL
from k4calofast.validation.closure import BINS, matrix
from k4calofast.validation.drawing import (
    BLACK,
    RED,
    SIDES,
    SMALL,
    Picture,
    finished,
    panel_grid,
    with_ratio,
)
from k4calofast.validation.fidelity import NAMES
from k4calofast.validation.kinds import Classifier
from k4calofast.validation.metrics import Value
from k4calofast.validation.observables import Observable
from k4calofast.validation.results import Comparison, Group

_MOST = 6
"""Momenta that are drawn beside each other."""


def momenta(groups: list[Group]) -> dict[int, list[tuple[float, Mask]]]:
    """Momenta of each kind, and the rows that have them at any angle; not too many."""
    merged: dict[tuple[int, int], list[Group]] = {}
    for group in groups:
        merged.setdefault((group.pdg, group.number), []).append(group)
    kinds: dict[int, list[tuple[float, Mask]]] = {}
    for (pdg, _), mine in merged.items():
        momentum = float(np.mean([group.momentum for group in mine]))
        rows = np.logical_or.reduce([group.rows for group in mine])
        kinds.setdefault(pdg, []).append((momentum, rows))
    return {
        pdg: [
            found[i] for i in np.unique(np.linspace(0, len(found) - 1, _MOST).round().astype(int))
        ]
        for pdg, found in kinds.items()
    }


def at_momenta(
    plt: Any,
    comparison: Comparison,
    size: tuple[float, float],
    drawn: Callable[[tuple[Any, Any], Mask], None],
    entries: str,
    label: str,
) -> Any:
    """Draw a panel for each kind and momentum.

    Parameters
    ----------
    drawn
        Draws one, given its two parts and the rows of its showers.
    entries, label
        What is drawn, against what.
    """
    kinds = momenta(comparison.groups)
    figure, axes = panel_grid(plt, len(kinds), max(map(len, kinds.values())), size)
    for row, (pdg, found) in enumerate(kinds.items()):
        for column, (momentum, rows) in enumerate(found):
            panels = (axes[2 * row, column], axes[2 * row + 1, column])
            drawn(panels, rows)
            panels[0].set_title(f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV", fontsize=USUAL)
            panels[1].set_xlabel(label)
    finished(axes, entries)
    return figure


def curves(
    plt: Any,
    comparison: Comparison,
    figures: Callable[[int, int], Mapping[str, Value]],
    logarithmic: Collection[str] = (),
) -> Any:
    """Draw figures of groups against the momentum, with a line for each pair of angles.

    Parameters
    ----------
    figures
        By their titles, given the number of a sample and that of a group.
    logarithmic
        Titles of those that are drawn so.
    """
    groups = comparison.groups
    found = [[figures(side, number) for number in range(len(groups))] for side in range(len(SIDES))]
    titles, kinds = list(found[0][0]), list(comparison.reference.kinds)
    size = (4.0 * len(kinds), 2.3 * len(titles))
    figure, axes = plt.subplots(len(titles), len(kinds), figsize=size, squeeze=False, sharex=True)
    for column, pdg in enumerate(kinds):
        mine = [number for number, group in enumerate(groups) if group.pdg == pdg]
        lines = cycle(("-", "--", ":", "-."))
        for angles in dict.fromkeys(groups[number].angles for number in mine):
            line, drawn = next(lines), [n for n in mine if groups[n].angles == angles]
            at = "" if angles is None else f", {angles[0]:.2f}, {angles[1]:.2f} rad"
            momentum = [groups[number].momentum for number in drawn]
            for side, (colour, label) in zip(found, SIDES, strict=True):
                for panel, title in zip(axes[:, column], titles, strict=True):
                    values = [side[number][title] for number in drawn]
                    panel.errorbar(
                        momentum,
                        [value.value for value in values],
                        [value.error for value in values],
                        fmt=f".{line}",
                        color=colour,
                        linewidth=0.8,
                        label=label + at,
                    )
        axes[0, column].set_title(NAMES.get(pdg, str(pdg)), fontsize=USUAL)
        axes[-1, column].set_xscale("log")
        axes[-1, column].set_xlabel("momentum [GeV]")
    for panels, title in zip(axes, titles, strict=True):
        panels[0].set_ylabel(title)
        for panel in panels:
            panel.set_yscale("log" if title in logarithmic else "linear")
    axes[-1, 0].legend(fontsize=SMALL)
    return figure


def spectra(
    observables: Mapping[str, Observable],
    columns: int,
    size: tuple[float, float],
    bins: int,
    whole: Collection[str],
) -> Picture:
    """Return the picture of all observables; those of `whole` are whole numbers."""

    def draw(plt: Any, mplhep: Any, comparison: Comparison) -> Any:
        figure, axes = panel_grid(plt, -(-len(observables) // columns), columns, size)
        for number, (name, observable) in enumerate(observables.items()):
            row, column = divmod(number, columns)
            panels = (axes[2 * row, column], axes[2 * row + 1, column])
            sides = [sample.observables[name] for sample in comparison.samples]
            low, high = np.quantile(sides[0], [0.002, 0.998])
            edges = np.linspace(low, high + 1e-9, bins + 1)
            if name in whole:
                edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.5)
            with_ratio(mplhep, panels, edges, *sides)
            panels[1].set_xlabel(observable.title, fontsize=SMALL + 1)
            panels[1].ticklabel_format(axis="x", style="plain", useOffset=False)
        finished(axes, "showers")
        return figure

    return Picture(
        "spectra",
        "Spectra of the observables",
        "All kinds and momenta together. A ratio that bends at the ends means tails that are too "
        "short or too long.",
        draw,
    )


def closures(observables: Mapping[str, Observable]) -> Picture:
    """Return the picture of shifts in bins of the conditions."""

    def draw(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
        found = comparison.distances.closure
        names = list(dict.fromkeys(bin_.observable for bin_ in found))
        kinds = list(dict.fromkeys(bin_.pdg for bin_ in found))
        if not found:
            return None
        conditions = list(dict.fromkeys(bin_.condition for bin_ in found))
        figure, axes = plt.subplots(
            len(kinds),
            len(names),
            figsize=(1.75 * len(names) + 1.2, 1.75 * len(kinds)),
            squeeze=False,
            sharex=True,
            sharey=True,
        )
        for row, pdg in enumerate(kinds):
            for column, name in enumerate(names):
                panel = axes[row, column]
                shifts = matrix(found, conditions, pdg, name)
                drawn = panel.imshow(shifts, vmin=-0.3, vmax=0.3, cmap="RdBu_r", aspect="auto")
                if row == 0:
                    panel.set_title(observables[name].title.split(" [")[0], fontsize=SMALL)
                if column == 0:
                    panel.set_yticks(range(len(conditions)), conditions, fontsize=6)
                    panel.set_ylabel(NAMES.get(pdg, str(pdg)), fontsize=8)
                panel.set_xticks([0, BINS - 1], ["low", "high"], fontsize=6)
                panel.tick_params(length=0, which="both")
        figure.colorbar(drawn, ax=axes, label="shift / spread")
        return figure

    return Picture(
        "closure",
        "Closure in bins of the conditions",
        "Difference of the mean of an observable, in units of its spread in the bin. One coloured "
        "row is a condition that the generator gets wrong.",
        draw,
    )


def rocs(classifiers: Mapping[str, Classifier]) -> Picture:
    """Return the picture of classifiers."""

    def draw(plt: Any, _mplhep: Any, comparison: Comparison) -> Any:
        trained = [name for name in classifiers if name in comparison.distances.separations]
        count = len(trained)
        if not count:
            return None
        figure, axes = plt.subplots(1, count, figsize=(1 + 3 * count, 3.4), squeeze=False)
        for panel, name in zip(axes[0], trained, strict=True):
            classifier = classifiers[name]
            for distances, colour, line in (
                (comparison.distances, RED, "-"),
                (comparison.itself, BLACK, "--"),
            ):
                area = distances.separations.get(name)
                if area is None:
                    continue
                panel.plot(*area.roc, line, color=colour, label=f"{area.area:.3f}")
            panel.plot([0, 1], [0, 1], ":", color="gray")
            panel.set_title(classifier.what, fontsize=8)
            panel.set_xlabel("false positives")
            panel.legend(fontsize=8, loc="lower right")
        axes[0, 0].set_ylabel("true positives")
        return figure

    return Picture(
        "roc",
        "Classifiers",
        "True against false positives of classifiers that try to tell generator and reference "
        "apart. The diagonal means that they cannot; the dashed lines are reference against "
        "reference.",
        draw,
    )

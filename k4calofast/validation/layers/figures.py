"""Figures of a validation of showers in layers, each with what to look for."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.validation.drawing import Figure, panel_grid, plotting, with_ratio
from k4calofast.validation.fidelity import NAMES
from k4calofast.validation.layers.comparison import Comparison, Group, Sample
from k4calofast.validation.layers.observables import OBSERVABLES
from k4calofast.validation.layers.readout import Readout, summed

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]
_Draw = Callable[[Any, Any, Comparison, Readout], Any]

_DPI = 80
_BLACK, _RED = "black", "tab:red"
_SIDES = ((_BLACK, "reference"), (_RED, "generator"))
_SMALL = 7
_MOST = 6
"""Momenta that are drawn beside each other."""


def draw(
    comparison: Comparison, readout: Readout, progress: Callable[[str], None] = lambda _: None
) -> list[Figure]:
    """Draw all figures.

    Raises
    ------
    MissingExtraError
        If matplotlib and mplhep are not installed.
    """
    plt, mplhep = plotting()
    pictures: list[tuple[str, str, str, _Draw]] = [
        (
            "spectra",
            "Visible energy",
            "Over momentum. The points of the ratio should lie around 1 within their errors, at "
            "the peak and in the tails.",
            _energies,
        ),
        (
            "curves",
            "Linearity and resolution",
            "Mean visible energy over momentum, and its 68 % width over the mean. A line for each "
            "pair of angles; generator and reference should lie on top of each other.",
            _curves,
        ),
        (
            "profiles",
            "Profiles in depth",
            "Mean energy of each layer, all angles together. The ratio should be flat.",
            lambda plt, _m, c, _r: _in_depth(plt, c, "energies", "MeV / layer", 1e3),
        ),
        (
            "hits",
            "Hits in depth",
            "Mean number of hits in each layer, all angles together. The ratio should be flat.",
            lambda plt, _m, c, _r: _in_depth(plt, c, "hits", "hits / layer", 1.0),
        ),
        (
            "radii",
            "Profiles across",
            "Mean energy, and number of hits, per area, by the distance from the particle's line "
            "in the layer, at the smallest and at the largest momentum. Steps come from the size "
            "of the cells.",
            _across,
        ),
        (
            "mips",
            "Energies of hits",
            "All momenta together. Most hits have about one MIP; in the tail is the core.",
            _mips,
        ),
        (
            "linked",
            "Hits and energy",
            "Mean number of hits in bins of visible energy; bars are the spread of showers, points "
            "of the ratio have errors of means.",
            _linked,
        ),
        (
            "observables",
            "Spectra of the observables",
            "All kinds and momenta together. A ratio that bends at the ends means tails that are "
            "too short or too long.",
            _observables,
        ),
        (
            "roc",
            "Classifier",
            "True against false positives of boosted trees that try to tell generator and "
            "reference apart. The diagonal means that they cannot; the dashed line is reference "
            "against reference.",
            _roc,
        ),
    ]
    drawn = []
    with plt.style.context(mplhep.style.ATLAS), plt.rc_context({"font.size": 9}):
        for name, title, look, picture in pictures:
            progress(f"figure: {title.lower()}")
            figure = picture(plt, mplhep, comparison, readout)
            buffer = io.BytesIO()
            figure.savefig(buffer, dpi=_DPI, format="png")
            plt.close(figure)
            drawn.append(Figure(name, title, look, buffer.getvalue()))
    return drawn


def _momenta(groups: list[Group]) -> dict[int, list[tuple[float, Rows]]]:
    """Momenta of each kind, and the rows that have them at any angle; not too many."""
    merged: dict[tuple[int, int], list[Group]] = {}
    for group in groups:
        merged.setdefault((group.pdg, group.number), []).append(group)
    kinds: dict[int, list[tuple[float, Rows]]] = {}
    for (pdg, _), mine in merged.items():
        momentum = float(np.mean([group.momentum for group in mine]))
        kinds.setdefault(pdg, []).append(
            (momentum, np.logical_or.reduce([group.rows for group in mine]))
        )
    return {
        pdg: [
            found[i] for i in np.unique(np.linspace(0, len(found) - 1, _MOST).round().astype(int))
        ]
        for pdg, found in kinds.items()
    }


def _samples(comparison: Comparison) -> tuple[Sample, Sample]:
    return comparison.reference, comparison.generated


def _kinds(comparison: Comparison) -> dict[int, Rows]:
    pdg = comparison.reference.seen.pdg
    return {kind: pdg == kind for kind in dict.fromkeys(pdg.tolist())}


def _ratio(panel: Any, x: Floats, there: Floats, here: Floats, half: float) -> None:
    """Draw the ratio of means of samples (N, X) that belong together row by row."""
    mean = there.mean(0)
    filled = mean > 0
    error = (here - there).std(0) / np.sqrt(len(there))
    ratio, error = (values[filled] / mean[filled] for values in (here.mean(0), error))
    panel.axhline(1, color="gray", linewidth=0.8)
    panel.errorbar(x[filled], ratio, error, fmt=".", color=_RED, markersize=3, linewidth=0.8)
    panel.set_ylim(1 - half, 1 + half)


def _in_depth(plt: Any, comparison: Comparison, name: str, title: str, scale: float) -> Any:
    kinds = _momenta(comparison.groups)
    figure, axes = panel_grid(plt, len(kinds), max(map(len, kinds.values())), (2.5, 2.6))
    layer = np.arange(comparison.layers, dtype=np.float64)
    for row, (pdg, momenta) in enumerate(kinds.items()):
        for column, (momentum, rows) in enumerate(momenta):
            above, below = axes[2 * row, column], axes[2 * row + 1, column]
            there, here = (
                scale * getattr(sample.observed, name)[rows] for sample in _samples(comparison)
            )
            for side, (colour, label) in zip((there, here), _SIDES, strict=True):
                above.step(layer, side.mean(0), where="mid", color=colour, label=label)
            _ratio(below, layer, there, here, 0.2)
            above.set_title(f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV", fontsize=9)
            above.set_ylim(bottom=0)
            above.tick_params(labelbottom=False)
            below.set_xlabel("layer")
        axes[2 * row, 0].set_ylabel(title)
        axes[2 * row + 1, 0].set_ylabel("ratio")
    _legend(axes)
    _blank(axes)
    return figure


def _energies(plt: Any, mplhep: Any, comparison: Comparison, _readout: Readout) -> Any:
    kinds = _momenta(comparison.groups)
    figure, axes = panel_grid(plt, len(kinds), max(map(len, kinds.values())), (2.5, 2.6))
    sides = [1e3 * sample.observed.numbers["response"] for sample in _samples(comparison)]
    for row, (pdg, momenta) in enumerate(kinds.items()):
        for column, (momentum, rows) in enumerate(momenta):
            panels = (axes[2 * row, column], axes[2 * row + 1, column])
            there, here = (side[rows] for side in sides)
            low, high = np.quantile(there, [0.005, 0.995])
            more = 0.2 * (high - low) + 1e-9
            edges = np.linspace(low - more, high + more, 25)
            with_ratio(mplhep, panels, there, here, edges)
            panels[0].set_title(f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV", fontsize=9)
            for panel in panels:
                panel.set_xlim(edges[0], edges[-1])
            panels[1].set_xlabel("E/p [MeV/GeV]")
        axes[2 * row, 0].set_ylabel("showers")
        axes[2 * row + 1, 0].set_ylabel("ratio")
    _legend(axes)
    _blank(axes)
    return figure


def _across(plt: Any, _mplhep: Any, comparison: Comparison, readout: Readout) -> Any:
    kinds = _momenta(comparison.groups)
    figure, axes = panel_grid(plt, len(kinds), 4, (3.3, 2.6))
    edges = np.arange(0.0, readout.window / 2 * readout.cell, readout.cell)
    area = np.pi * np.diff(edges**2)
    middle = (edges[1:] + edges[:-1]) / 2
    for row, (pdg, momenta) in enumerate(kinds.items()):
        ends = (momenta[0], momenta[-1])
        for column, ((momentum, rows), hits) in enumerate(
            (end, hits) for hits in (False, True) for end in ends
        ):
            there, here = (
                _rings(sample, rows, edges, hits) / area for sample in _samples(comparison)
            )
            above, below = axes[2 * row, column], axes[2 * row + 1, column]
            for side, (colour, label) in zip((there, here), _SIDES, strict=True):
                above.step(middle, side.mean(0), where="mid", color=colour, label=label)
            _ratio(below, middle, there, here, 0.3)
            above.set_yscale("log")
            above.set_title(f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV", fontsize=9)
            above.set_ylabel("hits / mm$^2$" if hits else "MeV / mm$^2$")
            above.tick_params(labelbottom=False)
            below.set_xlabel("distance [mm]")
        axes[2 * row + 1, 0].set_ylabel("ratio")
    _legend(axes)
    return figure


def _rings(sample: Sample, rows: Rows, edges: Floats, hits: bool) -> Floats:
    """Energy (MeV), or number of hits, of showers (N) in rings (R) around their lines."""
    seen = sample.seen.take(rows)
    ring = np.searchsorted(edges, np.hypot(seen.x, seen.y), side="right") - 1
    inside = ring < len(edges) - 1
    values = np.ones(len(ring)) if hits else 1e3 * seen.energy
    place = seen.shower * (len(edges) - 1) + ring
    found = summed(place[inside], values[inside], len(seen) * (len(edges) - 1))
    return found.reshape(len(seen), -1)


def _mips(plt: Any, mplhep: Any, comparison: Comparison, _readout: Readout) -> Any:
    kinds = _kinds(comparison)
    figure, axes = panel_grid(plt, 1, len(kinds), (4.4, 3.4))
    for column, (pdg, rows) in enumerate(kinds.items()):
        there, here = (
            sample.seen.take(rows).energy / comparison.mip for sample in _samples(comparison)
        )
        panels = (axes[0, column], axes[1, column])
        highest = max(there.max(initial=1.0), here.max(initial=1.0))
        edges = np.geomspace(max(comparison.threshold, 0.01), highest, 51)
        with_ratio(mplhep, panels, there, here, edges)
        for panel in panels:
            panel.set_xscale("log")
            panel.set_xlim(edges[0], edges[-1])
        panels[0].set_title(f"{NAMES.get(pdg, pdg)}, all momenta", fontsize=9)
        panels[1].set_xlabel("energy of a hit [MIP]")
    axes[0, 0].set_ylabel("hits")
    axes[1, 0].set_ylabel("ratio")
    _legend(axes)
    return figure


def _curves(plt: Any, _mplhep: Any, comparison: Comparison, _readout: Readout) -> Any:
    kinds = list(_kinds(comparison))
    figure, axes = plt.subplots(
        2,
        len(kinds),
        figsize=(4.0 * len(kinds), 5.2),
        squeeze=False,
        layout="constrained",
        sharex=True,
    )
    for column, pdg in enumerate(kinds):
        rows = [row for row in comparison.distances.rows if row.group.pdg == pdg]
        lines = cycle(("-", "--", ":", "-."))
        for angles in dict.fromkeys(row.group.angles for row in rows):
            line, mine = next(lines), [row for row in rows if row.group.angles == angles]
            momentum = [row.group.momentum for row in mine]
            at = "" if angles is None else f", {angles[0]:.2f}, {angles[1]:.2f} rad"
            for side, (colour, label) in zip(("reference", "generated"), _SIDES, strict=True):
                for panel, name, scale in ((0, "response", 1e3), (1, "resolution", 1e2)):
                    values = [getattr(getattr(row, side), name) for row in mine]
                    axes[panel, column].errorbar(
                        momentum,
                        [scale * value.value for value in values],
                        [scale * value.error for value in values],
                        fmt=f".{line}",
                        color=colour,
                        linewidth=0.8,
                        label=label + at,
                    )
        axes[0, column].set_title(NAMES.get(pdg, str(pdg)), fontsize=9)
        for panel in axes[:, column]:
            panel.set_xscale("log")
        axes[1, column].set_yscale("log")
        axes[1, column].set_xlabel("momentum [GeV]")
    axes[0, 0].set_ylabel("E/p [MeV/GeV]")
    axes[1, 0].set_ylabel("resolution [%]")
    axes[1, 0].legend(fontsize=_SMALL)
    return figure


def _linked(plt: Any, _mplhep: Any, comparison: Comparison, _readout: Readout) -> Any:
    kinds = _kinds(comparison)
    figure, axes = panel_grid(plt, 1, len(kinds), (4.4, 3.4))
    for column, (pdg, rows) in enumerate(kinds.items()):
        above, below = axes[0, column], axes[1, column]
        sides = [
            (1e3 * sample.observed.energies[rows].sum(1), sample.observed.numbers["hits"][rows])
            for sample in _samples(comparison)
        ]
        lit = sides[0][0][sides[0][0] > 0]
        if not len(lit):
            continue
        edges = np.geomspace(lit.min(), lit.max() * (1 + 1e-9), 13)
        middle = np.sqrt(edges[1:] * edges[:-1])
        found = []
        for (energy, hits), (colour, label) in zip(sides, _SIDES, strict=True):
            place = np.searchsorted(edges, energy, side="right") - 1
            parts = [hits[place == number] for number in range(len(middle))]
            mean, spread, count = (
                np.array([of(part) if len(part) else np.nan for part in parts])
                for of in (np.mean, np.std, len)
            )
            above.errorbar(middle, mean, spread, fmt=".", color=colour, label=label, capsize=2)
            found.append((mean, spread / np.sqrt(count)))
        (one, of_one), (other, of_other) = found
        ratio = other / one
        error = ratio * np.hypot(of_one / one, of_other / other)
        below.axhline(1, color="gray", linewidth=0.8)
        below.errorbar(middle, ratio, error, fmt=".", color=_RED, markersize=3, linewidth=0.8)
        below.set_ylim(0.8, 1.2)
        for panel in (above, below):
            panel.set_xscale("log")
        above.set_yscale("log")
        above.tick_params(labelbottom=False)
        above.set_title(NAMES.get(pdg, str(pdg)), fontsize=9)
        below.set_xlabel("visible energy [MeV]")
    axes[0, 0].set_ylabel("hits")
    axes[1, 0].set_ylabel("ratio")
    _legend(axes)
    return figure


def _observables(plt: Any, mplhep: Any, comparison: Comparison, _readout: Readout) -> Any:
    columns = 5
    rows = -(-len(OBSERVABLES) // columns)
    figure, axes = panel_grid(plt, rows, columns, (3.0, 2.4))
    for number, (name, observable) in enumerate(OBSERVABLES.items()):
        row, column = divmod(number, columns)
        panels = (axes[2 * row, column], axes[2 * row + 1, column])
        there, here = (sample.observed.numbers[name] for sample in _samples(comparison))
        low, high = np.quantile(there, [0.002, 0.998])
        edges = np.linspace(low, high + 1e-9, 31)
        if name in ("start", "maximum"):
            edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.5)
        with_ratio(mplhep, panels, there, here, edges)
        panels[1].set_xlabel(observable.title, fontsize=_SMALL)
        panels[1].ticklabel_format(axis="x", style="plain", useOffset=False)
        for panel in panels:
            panel.set_xlim(edges[0], edges[-1])
    _legend(axes)
    _blank(axes)
    return figure


def _roc(plt: Any, _mplhep: Any, comparison: Comparison, _readout: Readout) -> Any:
    figure, panel = plt.subplots(figsize=(4.4, 4.0), layout="constrained")
    for distances, colour, line in (
        (comparison.distances, _RED, "-"),
        (comparison.itself, _BLACK, "--"),
    ):
        area = distances.separation
        panel.plot(*area.roc, line, color=colour, label=f"{area.mean:.3f} ± {area.error:.3f}")
    panel.plot([0, 1], [0, 1], ":", color="gray")
    panel.set_xlabel("false positives")
    panel.set_ylabel("true positives")
    panel.legend(fontsize=8, loc="lower right")
    return figure


def _legend(axes: Any) -> None:
    axes[0, 0].legend(fontsize=_SMALL)


def _blank(axes: Any) -> None:
    """Hide the panels in which nothing is drawn."""
    for panel in axes.flat:
        if not panel.has_data():
            panel.axis("off")

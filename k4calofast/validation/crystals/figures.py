"""Figures of a validation: what people expect to see, each with what to look for."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.closure import BINS, matrix
from k4calofast.validation.crystals.comparison import CLASSIFIERS, Comparison
from k4calofast.validation.crystals.observables import IMPACT, OBSERVABLES, block
from k4calofast.validation.drawing import Figure, panel_grid, plotting, with_ratio
from k4calofast.validation.fidelity import NAMES, bins

Floats = npt.NDArray[np.float64]

_DPI = 70
_BLACK, _RED = "black", "tab:red"


@dataclass(frozen=True)
class Samples:
    """What is drawn: both samples and their comparison."""

    reference: CrystalShowers
    generated: CrystalShowers
    comparison: Comparison

    @property
    def there(self) -> dict[str, Floats]:
        """Observables of the reference."""
        return self.comparison.there

    @property
    def here(self) -> dict[str, Floats]:
        """Observables of the generated sample."""
        return self.comparison.here


_Draw = Callable[[Any, Any, Samples], Any]


def draw(samples: Samples, progress: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Draw all figures.

    Raises
    ------
    MissingExtraError
        If matplotlib and mplhep are not installed.
    """
    plt, mplhep = plotting()
    pictures: list[tuple[str, str, str, _Draw]] = [
        (
            "response",
            "Response",
            "Window energy over momentum. The points of the ratio should lie around 1 within their "
            "errors, at the peak and in the tail.",
            _responses,
        ),
        (
            "images",
            "Average showers",
            "Mean energy of each cell at the largest momentum: reference, generator, and their "
            "ratio. Far cells hold little, and their ratio scatters; a pattern in the ratio is an "
            "error.",
            _images,
        ),
        (
            "cells",
            "Energies of single cells",
            "A line at 0.511 MeV comes from annihilation, the step below from its Compton edge. "
            "Both spectra should have them.",
            _cells,
        ),
        (
            "spectra",
            "Spectra of the observables",
            "All kinds and momenta together. A ratio that bends at the ends means tails that are "
            "too short or too long.",
            _spectra,
        ),
        (
            "profiles",
            "Profiles",
            "Mean share of the energy in each row (theta) and column (phi) of the window. The "
            "ratio should be flat out to the last row.",
            _profiles,
        ),
        (
            "curves",
            "Response and resolution",
            "Of clusters of 5 x 5 cells, by momentum. Generator and reference should lie on top of "
            "each other.",
            _curves,
        ),
        (
            "pion",
            "Neutral pions",
            "Mass of pairs of photons at the opening angle of a pion's decay, with measured "
            "energies and positions. Peak and width should agree.",
            _pions,
        ),
        (
            "closure",
            "Closure in bins of the conditions",
            "Difference of the mean of an observable, in units of its spread in the bin. One "
            "coloured row is a condition that the generator gets wrong.",
            _closures,
        ),
        (
            "correlations",
            "Correlations between cells",
            "Of the 25 central cells. The difference should be white.",
            _correlations,
        ),
        (
            "roc",
            "Classifiers",
            "True against false positives of classifiers that try to tell generator and reference "
            "apart. The diagonal means that they cannot; the dashed lines are reference against "
            "reference.",
            _rocs,
        ),
    ]
    drawn = []
    with plt.style.context(mplhep.style.ATLAS), plt.rc_context({"font.size": 9}):
        for name, title, look, picture in pictures:
            progress(f"figure: {title.lower()}")
            figure = picture(plt, mplhep, samples)
            if figure is None:
                continue
            buffer = io.BytesIO()
            figure.savefig(buffer, dpi=_DPI, format="png")
            plt.close(figure)
            drawn.append(Figure(name, title, look, buffer.getvalue()))
    return drawn


def _responses(plt: Any, mplhep: Any, samples: Samples) -> Any:
    reference = samples.reference
    by_kind: dict[int, list[tuple[float, npt.NDArray[np.bool_]]]] = {}
    for pdg, momentum, rows in bins(reference):
        by_kind.setdefault(pdg, []).append((momentum, rows))
    columns = max(map(len, by_kind.values()))
    figure, axes = panel_grid(plt, len(by_kind), columns, (2.9, 2.9))
    there, here = samples.there["response"], samples.here["response"]
    for row, (pdg, momenta) in enumerate(by_kind.items()):
        for column, (momentum, rows) in enumerate(momenta):
            panels = (axes[2 * row, column], axes[2 * row + 1, column])
            low = np.quantile(there[rows], 0.01)
            high = there[rows].max()
            edges = np.linspace(low, high + 0.02 * (high - low), 41)
            with_ratio(mplhep, panels, there[rows], here[rows], edges)
            panels[0].set_title(f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV", fontsize=9)
            for panel in panels:
                panel.set_xlim(edges[0], edges[-1])
            if column == 0:
                panels[0].set_ylabel("showers")
                panels[1].set_ylabel("ratio")
            panels[1].set_xlabel("E / p")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    return figure


def _cells(plt: Any, mplhep: Any, samples: Samples) -> Any:
    reference, generated = samples.reference, samples.generated
    kinds = list(dict.fromkeys(reference.pdg.tolist()))
    figure, axes = panel_grid(plt, len(kinds), 2, (4.8, 2.9))
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
            with_ratio(mplhep, panels, there, here, edges)
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


def _images(plt: Any, _mplhep: Any, samples: Samples) -> Any:
    from matplotlib.colors import LogNorm

    reference, generated = samples.reference, samples.generated
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
        for column, (image, title) in enumerate(((there, "reference"), (here, "generator"))):
            drawn = axes[row, column].imshow(image, norm=norm, cmap="viridis")
            axes[row, column].set_title(
                f"{NAMES.get(pdg, pdg)}, {momentum:.3g} GeV, {title}", fontsize=9
            )
        figure.colorbar(drawn, ax=axes[row, :2], label="mean energy [MeV]")
        ratio = np.divide(here, there, out=np.full_like(there, np.nan), where=there > 0)
        drawn = axes[row, 2].imshow(ratio, vmin=0.7, vmax=1.3, cmap="RdBu_r")
        axes[row, 2].set_title("generator over reference", fontsize=9)
        figure.colorbar(drawn, ax=axes[row, 2])
        for panel in axes[row]:
            panel.set_xlabel("phi [cells]")
        axes[row, 0].set_ylabel("theta [cells]")
    return figure


def _spectra(plt: Any, mplhep: Any, samples: Samples) -> Any:
    named = OBSERVABLES | IMPACT
    columns = 4
    rows = -(-len(named) // columns)
    figure, axes = panel_grid(plt, rows, columns, (3.3, 2.6))
    for number, (name, observable) in enumerate(named.items()):
        row, column = divmod(number, columns)
        panels = (axes[2 * row, column], axes[2 * row + 1, column])
        there, here = samples.there[name], samples.here[name]
        low, high = np.quantile(there, [0.002, 0.998])
        edges = np.linspace(low, high + 1e-9, 41)
        if name.startswith("cells"):
            edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.5)
        with_ratio(mplhep, panels, there, here, edges)
        panels[1].set_xlabel(observable.title)
        for panel in panels:
            panel.set_xlim(edges[0], edges[-1])
    for number in range(len(named), rows * columns):
        row, column = divmod(number, columns)
        axes[2 * row, column].axis("off")
        axes[2 * row + 1, column].axis("off")
    axes[0, 0].legend(fontsize=8)
    return figure


def _profiles(plt: Any, _mplhep: Any, samples: Samples) -> Any:
    figure, axes = panel_grid(plt, 1, 2, (4.8, 3.2))
    for column, (axis, title) in enumerate(((2, "theta [rows]"), (1, "phi [columns]"))):
        shares = []
        for showers in (samples.reference, samples.generated):
            energies = showers.energies.astype(np.float64).sum(axis)
            total = energies.sum(1, keepdims=True)
            shares.append(np.divide(energies, total, out=np.zeros_like(energies), where=total > 0))
        place = np.arange(shares[0].shape[1]) - shares[0].shape[1] // 2
        above, below = axes[0, column], axes[1, column]
        for share, colour, label in zip(
            shares, (_BLACK, _RED), ("reference", "generator"), strict=True
        ):
            above.step(place, share.mean(0), where="mid", color=colour, label=label)
        ratio = shares[1].mean(0) / np.maximum(shares[0].mean(0), 1e-12)
        error = (shares[1] - shares[0]).std(0) / np.sqrt(len(shares[0]))
        below.errorbar(
            place, ratio, error / np.maximum(shares[0].mean(0), 1e-12), fmt=".", color=_RED
        )
        below.axhline(1, color="gray", linewidth=0.8)
        below.set_ylim(0.8, 1.2)
        above.set_yscale("log")
        above.tick_params(labelbottom=False)
        below.set_xlabel(title)
    axes[0, 0].set_ylabel("share of the energy")
    axes[1, 0].set_ylabel("ratio")
    axes[0, 0].legend(fontsize=8)
    return figure


def _curves(plt: Any, _mplhep: Any, samples: Samples) -> Any:
    kinds = list(dict.fromkeys(samples.reference.pdg.tolist()))
    figure, axes = plt.subplots(
        4,
        len(kinds),
        figsize=(3.6 * len(kinds), 8.5),
        squeeze=False,
        layout="constrained",
        sharex=True,
    )
    for column, pdg in enumerate(kinds):
        for side, values, colour, label in (
            (samples.comparison.reference, samples.there, _BLACK, "reference"),
            (samples.comparison.generated, samples.here, _RED, "generator"),
        ):
            mine = [one for one in side.resolutions if one.pdg == pdg]
            momentum = [one.momentum for one in mine]
            means = [
                (
                    values["response"][rows].mean(),
                    values["response"][rows].std() / np.sqrt(rows.sum()),
                )
                for kind, _, rows in bins(samples.reference)
                if kind == pdg
            ]
            axes[0, column].errorbar(
                momentum, *zip(*means, strict=True), fmt="o-", color=colour, label=label
            )
            for row, name, scale in ((1, "energy", 100), (2, "z", 1), (3, "phi", 1)):
                widths = [getattr(one, name) for one in mine]
                axes[row, column].errorbar(
                    momentum,
                    [scale * width.value for width in widths],
                    [scale * width.error for width in widths],
                    fmt="o-",
                    color=colour,
                )
        axes[0, column].set_title(NAMES.get(pdg, str(pdg)), fontsize=9)
        axes[3, column].set_xscale("log")
        axes[3, column].set_xlabel("momentum [GeV]")
    for row, title in enumerate(
        ("mean E/p", "resolution [%]", "resolution in z [mm]", "resolution in r phi [mm]")
    ):
        axes[row, 0].set_ylabel(title)
    axes[0, 0].legend(fontsize=8)
    return figure


def _pions(plt: Any, mplhep: Any, samples: Samples) -> Any:
    one, other = samples.comparison.reference.pion, samples.comparison.generated.pion
    if one is None or other is None:
        return None
    figure, axes = panel_grid(plt, 1, 1, (5.5, 4.0))
    panels = (axes[0, 0], axes[1, 0])
    there, here = 1e3 * one.masses, 1e3 * other.masses
    edges = np.linspace(max(np.quantile(there, 0.01), 0), np.quantile(there, 0.995), 46)
    with_ratio(mplhep, panels, there, here, edges)
    panels[0].set_yscale("linear")
    panels[1].set_xlabel("mass of two photons [MeV]")
    for panel in panels:
        panel.set_xlim(edges[0], edges[-1])
    panels[0].legend(fontsize=8)
    return figure


def _closures(plt: Any, _mplhep: Any, samples: Samples) -> Any:
    found = samples.comparison.closure
    names = list(dict.fromkeys(one.observable for one in found))
    kinds = list(dict.fromkeys(one.pdg for one in found))
    if not found:
        return None
    figure, axes = plt.subplots(
        len(kinds),
        len(names),
        figsize=(1.75 * len(names) + 1.2, 1.75 * len(kinds)),
        squeeze=False,
        layout="constrained",
        sharex=True,
        sharey=True,
    )
    for row, pdg in enumerate(kinds):
        for column, name in enumerate(names):
            panel = axes[row, column]
            drawn = panel.imshow(
                matrix(found, pdg, name), vmin=-0.3, vmax=0.3, cmap="RdBu_r", aspect="auto"
            )
            if row == 0:
                panel.set_title(OBSERVABLES[name].title.split(" [")[0], fontsize=7)
            if column == 0:
                panel.set_yticks(
                    range(len(CONDITIONS)), [one.name for one in CONDITIONS], fontsize=6
                )
                panel.set_ylabel(NAMES.get(pdg, str(pdg)), fontsize=8)
            panel.set_xticks([0, BINS - 1], ["low", "high"], fontsize=6)
            panel.tick_params(length=0, which="both")
    figure.colorbar(drawn, ax=axes, label="shift / spread")
    return figure


def _correlations(plt: Any, _mplhep: Any, samples: Samples) -> Any:
    matrices = []
    for showers in (samples.reference, samples.generated):
        cells = block(showers.energies.astype(np.float64), 5).reshape(len(showers), -1)
        share = cells / np.maximum(cells.sum(1, keepdims=True), 1e-12)
        with np.errstate(invalid="ignore", divide="ignore"):
            matrices.append(np.nan_to_num(np.corrcoef(share.T)))
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    shown = (*matrices, matrices[1] - matrices[0])
    for panel, values, title, limit in zip(
        axes, shown, ("reference", "generator", "difference"), (1, 1, 0.1), strict=True
    ):
        drawn = panel.imshow(values, vmin=-limit, vmax=limit, cmap="RdBu_r")
        panel.set_title(title, fontsize=9)
        figure.colorbar(drawn, ax=panel)
    return figure


def _rocs(plt: Any, _mplhep: Any, samples: Samples) -> Any:
    figure, axes = plt.subplots(1, len(CLASSIFIERS), figsize=(10, 3.4), layout="constrained")
    comparison = samples.comparison
    for panel, (name, (_, what)) in zip(axes, CLASSIFIERS.items(), strict=True):
        for distances, colour, line in (
            (comparison.distances, _RED, "-"),
            (comparison.itself, _BLACK, "--"),
        ):
            area = distances.separations[name]
            panel.plot(*area.roc, line, color=colour, label=f"{area.mean:.3f} ± {area.error:.3f}")
        panel.plot([0, 1], [0, 1], ":", color="gray")
        panel.set_title(what, fontsize=8)
        panel.set_xlabel("false positives")
        panel.legend(fontsize=8, loc="lower right")
    axes[0].set_ylabel("true positives")
    return figure

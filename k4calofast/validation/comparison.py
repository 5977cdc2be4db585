"""Everything that is compared between a reference and a generated sample, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.detector import Calorimeter
from k4calofast.showers import Showers
from k4calofast.validation.closure import Bin, closure, worst
from k4calofast.validation.fidelity import (
    NAMES,
    Check,
    Row,
    bins,
    checked,
    compare,
    relative_mean,
)
from k4calofast.validation.metrics import (
    Separation,
    SpectrumDistance,
    Value,
    coverage,
    frechet_distance,
    kernel_distance,
    separation,
    spectrum_distance,
    standardised,
)
from k4calofast.validation.observables import IMPACT, OBSERVABLES, observables
from k4calofast.validation.reconstruction import (
    PionPeak,
    Resolution,
    find_clusters,
    pion_peak,
    resolution,
)

Floats = npt.NDArray[np.float64]
Progress = Callable[[str], None]

_CLOSURE = (
    "response",
    "e1_e9",
    "e9_e25",
    "centre_theta",
    "centre_phi",
    "width_theta",
    "width_phi",
    "cells_1mev",
)
"""Observables whose means are compared in bins of the conditions."""

_MOST_CELLS = 200_000
"""Cells of each sample whose spectra are compared, at most."""

_MOST_CLASSIFIED = 40_000
"""Showers of each sample that a classifier gets, at most."""

CLASSIFIERS = {
    "observables": ("auc_observables", "boosted trees on the observables"),
    "cells": ("auc_cells", "boosted trees on the cells"),
    "network": ("auc_network", "a small network on the cells"),
}
"""Classifiers: their gates, and what they are."""


@dataclass(frozen=True)
class Distances:
    """How far one sample is from another, in all metrics."""

    spectra: dict[str, SpectrumDistance]
    separations: dict[str, Separation]
    clouds: dict[str, Value]


@dataclass(frozen=True)
class Reconstructed:
    """What a reconstruction sees of one sample."""

    resolutions: list[Resolution]
    pion: PionPeak | None


@dataclass(frozen=True)
class Comparison:
    """A generated sample beside its reference.

    Attributes
    ----------
    there, here
        Observables of the reference and of the generated sample.
    rows
        Figures in bins of momentum.
    again
        The same of the reference against its repetition; empty without one.
    distances, itself
        Of the generated sample from the reference, and of the reference from itself: its
        repetition, or halves.
    itself_is
        Which of the two.
    closure
        Bins of the conditions.
    reference, generated
        After reconstruction.
    checks
        All figures beside their gates.
    """

    there: dict[str, Floats]
    here: dict[str, Floats]
    rows: list[Row]
    again: list[Row]
    distances: Distances
    itself: Distances
    itself_is: str
    closure: list[Bin]
    reference: Reconstructed
    generated: Reconstructed
    checks: list[Check]

    @property
    def failures(self) -> list[Check]:
        """Figures that fail, the worst first."""
        failed = [check for check in self.checks if check.fails]
        return sorted(failed, key=lambda check: check.excess / check.limit, reverse=True)

    @property
    def beyond(self) -> list[Check]:
        """Figures beyond their gates by no more than chance explains."""
        return [check for check in self.checks if check.beyond and not check.fails]

    def worst_bins(self, count: int = 8) -> list[Bin]:
        """Bins of the conditions with the largest shifts, less two errors."""
        return worst(self.closure, count, 2.0)


def compare_samples(
    reference: Showers,
    generated: Showers,
    detector: Calorimeter,
    gates: Mapping[str, float],
    again: Showers | None = None,
    progress: Progress = lambda _: None,
    classifiers: Sequence[str] = tuple(CLASSIFIERS),
) -> Comparison:
    """Compare two samples with the same conditions, row by row, in all ways.

    Parameters
    ----------
    reference, generated
        N showers each.
    gates
        Limits; see `k4calofast.validation.fidelity.GATES`.
    again
        A repetition of the reference: the same particles, other random numbers.
    progress
        Called with what comes next.
    classifiers
        Which of `CLASSIFIERS` to train; they take most of the time.
    """
    progress("observables")
    there, here = observables(reference, detector), observables(generated, detector)
    rows = compare(reference, generated, there, here)
    repeated: list[Row] = []
    progress("closure in bins of the conditions")
    found = closure(reference, there, here, _CLOSURE)
    distances = _distances(reference, generated, there, here, progress, "generator", classifiers)
    if again is not None:
        twin = observables(again, detector)
        repeated = compare(reference, again, there, twin)
        itself = _distances(reference, again, there, twin, progress, "reference", classifiers)
    else:
        half = np.random.default_rng(0).permutation(len(reference)) % 2 == 0
        parts = [{name: v[side] for name, v in there.items()} for side in (half, ~half)]
        itself = _distances(
            reference.take(half),
            reference.take(~half),
            parts[0],
            parts[1],
            progress,
            "reference",
            classifiers,
        )
    progress("reconstruction")
    seen = _reconstructed(reference, generated, detector)
    checks = _checks(reference, there, here, rows, found, distances, seen, gates)
    itself_is = "two halves of the reference" if again is None else "a repetition of the reference"
    return Comparison(
        there, here, rows, repeated, distances, itself, itself_is, found, *seen, checks
    )


def _distances(
    one: Showers,
    other: Showers,
    there: dict[str, Floats],
    here: dict[str, Floats],
    progress: Progress,
    what: str,
    classifiers: Sequence[str],
) -> Distances:
    progress(f"{what}: spectra")
    names = (*OBSERVABLES, *IMPACT)
    spectra = {name: spectrum_distance(there[name], here[name]) for name in names}
    lit = [s.energies[s.energies > 0][:_MOST_CELLS].astype(np.float64) for s in (one, other)]
    spectra["cell_energy"] = spectrum_distance(np.log10(lit[0]), np.log10(lit[1]))
    progress(f"{what}: clouds")
    columns = [np.stack([values[name] for name in names], axis=1) for values in (there, here)]
    points = standardised(*columns)
    clouds = {
        "fpd": frechet_distance(*points),
        "kpd": kernel_distance(*points),
        **coverage(*points),
    }
    few = slice(0, _MOST_CLASSIFIED)
    features = {
        "observables": columns,
        "cells": [_cells(showers) for showers in (one, other)],
        "network": [_logarithms(showers) for showers in (one, other)],
    }
    separations = {}
    for name in classifiers:
        progress(f"{what}: {CLASSIFIERS[name][1]}")
        kind = "network" if name == "network" else "trees"
        one_side, other_side = features[name]
        separations[name] = separation(one_side[few], other_side[few], kind)
    return Distances(spectra, separations, clouds)


def _cells(showers: Showers) -> Floats:
    return showers.energies.reshape(len(showers), -1).astype(np.float64)


def _logarithms(showers: Showers) -> Floats:
    """Cells for a network: logarithms of MeV, and the momentum's."""
    cells = np.log1p(_cells(showers) * 1e4)
    return np.concatenate([cells, np.log(showers.momentum)[:, None]], axis=1)


def _reconstructed(
    reference: Showers, generated: Showers, detector: Calorimeter
) -> tuple[Reconstructed, Reconstructed]:
    """Reconstruct both samples with the calibration of the reference."""
    both = [find_clusters(showers, detector) for showers in (reference, generated)]
    binned = list(bins(reference))
    calibration = np.ones(len(reference))
    for _, _, rows in binned:
        total = both[0].e5x5[rows].sum()
        calibration[rows] = reference.momentum[rows].sum() / total if total > 0 else 1.0
    one, other = (
        Reconstructed(
            [resolution(showers, clusters, pdg, rows) for pdg, _, rows in binned],
            pion_peak(showers, clusters, calibration, detector.face_radius),
        )
        for showers, clusters in zip((reference, generated), both, strict=True)
    )
    return one, other


def _checks(
    reference: Showers,
    there: dict[str, Floats],
    here: dict[str, Floats],
    rows: list[Row],
    found: list[Bin],
    distances: Distances,
    seen: tuple[Reconstructed, Reconstructed],
    gates: Mapping[str, float],
) -> list[Check]:
    checks = []
    for gate in ("mean", "width", "e1_e9", "e9_e25", "lateral", "cells"):
        values = {row.where: row.figures[gate] for row in rows}
        tests = 25 * len(rows) if gate == "cells" else len(rows)
        checks += checked(gate, gates[gate], values, tests)
    kinds = {NAMES.get(pdg, str(pdg)): reference.pdg == pdg for pdg in np.unique(reference.pdg)}
    for gate, name in (("response", "response"), ("lit_cells", "cells")):
        values = {
            f"{kind}, {OBSERVABLES[name].title}": relative_mean(
                there[name][chosen], here[name][chosen]
            )
            for kind, chosen in kinds.items()
        }
        checks += checked(gate, gates[gate], values)
    spread = {}
    for kind, chosen in kinds.items():
        pdg = int(reference.pdg[chosen][0])
        widths = [row.figures["width"] for row in rows if row.pdg == pdg]
        spread[f"{kind}, width of the response"] = Value(
            float(np.mean([w.value for w in widths])),
            float(np.sqrt(sum(w.error**2 for w in widths)) / len(widths)),
        )
    checks += checked("spread", gates["spread"], spread)
    centre = {}
    for kind, chosen in kinds.items():
        for name in ("centre_theta", "centre_phi"):
            shift = here[name][chosen] - there[name][chosen]
            error = float(shift.std() / np.sqrt(len(shift)))
            centre[f"{kind}, {OBSERVABLES[name].title}"] = Value(float(shift.mean()), error)
    checks += checked("centre", gates["centre"], centre)
    checks += checked(
        "closure",
        gates["closure"],
        {
            f"{NAMES.get(b.pdg, b.pdg)}, {OBSERVABLES[b.observable].title} for "
            f"{b.condition} {b.low:.3g} to {b.high:.3g}": Value(b.shift, b.error)
            for b in found
        },
    )
    for name, area in distances.separations.items():
        gate, what = CLASSIFIERS[name]
        checks += checked(gate, gates[gate], {what: Value(area.mean, area.error)})
    one, other = seen[0].pion, seen[1].pion
    if one is not None and other is not None:
        for gate, a, b in (
            ("pion_mass", one.mean, other.mean),
            ("pion_width", one.width, other.width),
        ):
            error = float(np.hypot(a.error, b.error)) / a.value
            value = Value(b.value / a.value - 1, error)
            checks += checked(gate, gates[gate], {"neutral pion": value})
    return checks

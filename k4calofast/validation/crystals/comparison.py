"""Everything that is compared between a reference and a generated sample, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from k4calofast.detector import CrystalBarrel
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.closure import COMPARED, Bin, closure, worst
from k4calofast.validation.crystals.observables import IMPACT, OBSERVABLES, observables
from k4calofast.validation.crystals.reconstruction import (
    PionPeak,
    Resolution,
    find_clusters,
    pion_peak,
    resolution,
)
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

Floats = npt.NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)
Rows = npt.NDArray[np.int64]
Progress = Callable[[str], None]

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
        The same of the reference against itself: its repetition, or halves.
    distances, itself
        Of the generated sample from the reference, and of the reference from itself.
    itself_is
        A repetition or halves.
    closure, itself_closure
        Bins of the conditions, of the generated sample and of the reference against itself.
    reference, generated
        After reconstruction.
    checks, itself_checks
        All figures beside their gates, of the generated sample and of the reference against
        itself.
    """

    there: dict[str, Floats]
    here: dict[str, Floats]
    rows: list[Row]
    again: list[Row]
    distances: Distances
    itself: Distances
    itself_is: str
    closure: list[Bin]
    itself_closure: list[Bin]
    reference: Reconstructed
    generated: Reconstructed
    checks: list[Check]
    itself_checks: list[Check]

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
    reference: CrystalShowers,
    generated: CrystalShowers,
    detector: CrystalBarrel,
    gates: Mapping[str, float],
    again: CrystalShowers | None = None,
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
    progress("closure in bins of the conditions")
    found = closure(reference, there, here, COMPARED)
    distances = _distances(reference, generated, there, here, progress, "generator", classifiers)
    if again is not None:
        one, other, first, second = reference, again, there, observables(again, detector)
        itself_closure = closure(one, first, second, COMPARED)
    else:
        halves = _halves(reference)
        one, other = (reference.take(half) for half in halves)
        first, second = (_taken(there, half) for half in halves)
        itself_closure = closure(one, first, second, COMPARED, others=other)
    itself_rows = compare(one, other, first, second)
    itself = _distances(one, other, first, second, progress, "reference", classifiers)
    progress("reconstruction")
    seen = _reconstructed(reference, generated, detector)
    itself_seen = _reconstructed(one, other, detector)
    return Comparison(
        there,
        here,
        rows,
        itself_rows,
        distances,
        itself,
        "two halves of the reference" if again is None else "a repetition of the reference",
        found,
        itself_closure,
        *seen,
        _checks(reference, there, here, rows, found, distances, seen, gates),
        _checks(one, first, second, itself_rows, itself_closure, itself, itself_seen, gates),
    )


def _halves(showers: CrystalShowers) -> tuple[Rows, Rows]:
    """Rows of two halves, of the same kind and in the same bin of momentum row by row.

    Which shower of a bin is in which half, and beside which, is random: errors of differences are
    those of independent samples.
    """
    rng = np.random.default_rng(0)
    pairs = [
        rng.permutation(np.flatnonzero(chosen))[: chosen.sum() // 2 * 2].reshape(-1, 2)
        for _, _, chosen in bins(showers)
    ]
    # Not ordered by kind: some comparisons take a part of the rows.
    one, other = rng.permutation(np.concatenate(pairs)).T
    return one, other


def _taken(values: dict[str, Floats], rows: Rows) -> dict[str, Floats]:
    return {name: column[rows] for name, column in values.items()}


def _distances(
    one: CrystalShowers,
    other: CrystalShowers,
    there: dict[str, Floats],
    here: dict[str, Floats],
    progress: Progress,
    what: str,
    classifiers: Sequence[str],
) -> Distances:
    progress(f"{what}: spectra")
    names = (*OBSERVABLES, *IMPACT)
    spectra = {name: spectrum_distance(there[name], here[name]) for name in names}
    lit = [_evenly(s.energies[s.energies > 0], _MOST_CELLS) for s in (one, other)]
    spectra["cell_energy"] = spectrum_distance(*(np.log10(e.astype(np.float64)) for e in lit))
    progress(f"{what}: clouds")
    columns = [np.stack([values[name] for name in names], axis=1) for values in (there, here)]
    points = standardised(*columns)
    clouds = {
        "fpd": frechet_distance(*points),
        "kpd": kernel_distance(*points),
        **coverage(*points),
    }
    features = {
        "observables": columns,
        "cells": [_cells(showers) for showers in (one, other)],
        "network": [_logarithms(showers) for showers in (one, other)],
    }
    separations = {}
    for name in classifiers:
        progress(f"{what}: {CLASSIFIERS[name][1]}")
        kind = "network" if name == "network" else "trees"
        one_side, other_side = (_evenly(side, _MOST_CLASSIFIED) for side in features[name])
        separations[name] = separation(one_side, other_side, kind)
    return Distances(spectra, separations, clouds)


def _evenly(values: npt.NDArray[Number], most: int) -> npt.NDArray[Number]:
    """At most so many of the rows, evenly: samples may be ordered by momentum."""
    return values[:: max(-(-len(values) // most), 1)]


def _cells(showers: CrystalShowers) -> Floats:
    return showers.energies.reshape(len(showers), -1).astype(np.float64)


def _logarithms(showers: CrystalShowers) -> Floats:
    """Cells for a network: logarithms of MeV, and the momentum's."""
    cells = np.log1p(_cells(showers) * 1e4)
    return np.concatenate([cells, np.log(showers.momentum)[:, None]], axis=1)


def _reconstructed(
    reference: CrystalShowers, generated: CrystalShowers, detector: CrystalBarrel
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
            pion_peak(showers, clusters, calibration, detector.face.radius),
        )
        for showers, clusters in zip((reference, generated), both, strict=True)
    )
    return one, other


def _checks(
    reference: CrystalShowers,
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

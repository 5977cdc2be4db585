"""What is compared of showers in windows of crystals: groups, figures, gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from k4calofast.arrays import Floats, Indices
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.comparison import by_momentum, evenly, pairs
from k4calofast.validation.crystals.observables import (
    IMPACT,
    OBSERVABLES,
    block,
    lateral_width,
)
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
    checked,
    relative_mean,
    relative_width,
)
from k4calofast.validation.kinds import Classifier
from k4calofast.validation.metrics import Value, mean_of
from k4calofast.validation.observables import Observable
from k4calofast.validation.results import Distances, Group, Row, Sample

_GATES = {
    "mean": (0.005, "mean window energy in a bin of momentum, relative difference"),
    "width": (0.10, "68 % width of the window energy in a bin of momentum, relative difference"),
    "e1_e9": (0.02, "mean E1/E3x3 in a bin of momentum, relative difference"),
    "e9_e25": (0.02, "mean E3x3/E5x5 in a bin of momentum, relative difference"),
    "lateral": (0.02, "mean lateral width in a bin of momentum, relative difference"),
    "cells": (
        1.0,
        "worst of the 25 central cells in a bin of momentum: difference over the larger of "
        "5 % and 0.5 MeV",
    ),
    "response": (0.003, "mean response E/p of a kind, relative difference"),
    "spread": (
        0.05,
        "68 % width of the window energy of a kind, relative difference, mean over bins of "
        "momentum",
    ),
    "lit_cells": (0.01, "mean number of cells with energy of a kind, relative difference"),
    "centre": (0.05, "mean energy-weighted centre of a kind, difference in cells"),
    "closure": (
        0.25,
        "mean of an observable in a bin of a condition: difference in units of its spread",
    ),
    "auc_observables": (0.60, "area under the ROC curve of boosted trees on the observables"),
    "auc_cells": (0.70, "area under the ROC curve of boosted trees on the cells"),
    "auc_network": (0.70, "area under the ROC curve of a small network on the cells"),
    "pion_mass": (0.005, "mean of the neutral pion's peak, relative difference"),
    "pion_width": (0.10, "width of the neutral pion's peak, relative difference"),
}
"""Largest allowed value of each figure, and what it is; of differences, the size counts."""

GATES = {name: limit for name, (limit, _) in _GATES.items()}
MEANINGS = {name: meaning for name, (_, meaning) in _GATES.items()}

_MOST_CELLS = 200_000
"""Cells of each sample whose spectra are compared, at most."""

_CELL_RELATIVE, _CELL_ABSOLUTE = 0.05, 0.5e-3


@dataclass(frozen=True)
class Reconstructed:
    """What a reconstruction sees of one sample."""

    resolutions: list[Resolution]
    pion: PionPeak | None

    def data(self) -> dict[str, object]:
        """Return all but the masses, for JSON."""
        pion = None
        if self.pion is not None:
            pion = asdict(self.pion)
            pion["pairs"] = len(pion.pop("masses"))
        return {"resolutions": [asdict(found) for found in self.resolutions], "pion": pion}


def groups_of(sample: Sample) -> list[Group]:
    """Groups of showers, kind by kind and momentum by momentum.

    A sample at a few momenta has a group for each; others have bins with as many showers each, and
    their mean momentum.
    """

    def edges(momentum: Floats, bins: int) -> Floats:
        return np.quantile(momentum, np.linspace(0, 1, bins + 1))

    return [
        Group(pdg, float(sample.momentum[rows].mean()), rows, number)
        for pdg, of_kind in sample.kinds.items()
        for number, rows in enumerate(by_momentum(sample.momentum, of_kind, edges))
    ]


def halves(reference: Sample, groups: list[Group]) -> tuple[Indices, Indices, list[Group]]:
    """Rows of two halves, of the same kind and in the same bin of momentum row by row."""
    rng = np.random.default_rng(0)
    # Not ordered by kind: some comparisons take a part of the rows.
    first, second = rng.permutation(np.concatenate(pairs(groups, rng))).T
    return first, second, groups_of(reference.take(first))


def row_of(reference: Sample, generated: Sample, group: Group) -> Row:
    """Figures of a group; see `MEANINGS`."""
    expected, found = (sample.take(group.rows) for sample in (reference, generated))

    def mean(name: str) -> Value:
        return relative_mean(expected.observables[name], found.observables[name])

    blocks = [block(side.showers.energies.astype(np.float64), 5) for side in (expected, found)]
    allowed = np.maximum(_CELL_RELATIVE * blocks[0].mean(0), _CELL_ABSOLUTE)
    difference = (blocks[1] - blocks[0]) / allowed
    worst = max(
        map(mean_of, difference.reshape(len(difference), -1).T), key=lambda cell: abs(cell.value)
    )
    responses = (side.observables["response"] for side in (expected, found))
    lateral = (lateral_width(side.observables) for side in (expected, found))
    figures = {
        "mean": mean("response"),
        "width": relative_width(*responses),
        "e1_e9": mean("e1_e9"),
        "e9_e25": mean("e9_e25"),
        "lateral": relative_mean(*lateral),
        "cells": Value(abs(worst.value), worst.error),
    }
    return Row(group, figures)


def spectra(sample: Sample) -> dict[str, Floats]:
    """Values of the observables, and of the cells."""
    energies = sample.showers.energies
    lit = evenly(energies[energies > 0], _MOST_CELLS).astype(np.float64)
    names = (*OBSERVABLES, *IMPACT)
    return {name: sample.observables[name] for name in names} | {"cell_energy": np.log10(lit)}


def numbers(sample: Sample) -> Floats:
    """All observables (N, O)."""
    return np.stack([sample.observables[name] for name in OBSERVABLES | IMPACT], axis=1)


def cells(sample: Sample) -> Floats:
    """What classifiers get of the cells (N, cells)."""
    showers: CrystalShowers = sample.showers
    return showers.energies.reshape(len(showers), -1).astype(np.float64)


def logarithms(sample: Sample) -> Floats:
    """Cells for a network: logarithms of MeV, and the momentum's."""
    energies = np.log1p(cells(sample) * 1e4)
    return np.concatenate([energies, np.log(sample.momentum)[:, None]], axis=1)


CLASSIFIERS = {
    "observables": Classifier("boosted trees on the observables", numbers),
    "cells": Classifier("boosted trees on the cells", cells),
    "network": Classifier("a small network on the cells", logarithms, "network"),
}


def reconstructed(
    reference: Sample, generated: Sample, groups: list[Group]
) -> tuple[Reconstructed, Reconstructed]:
    """Reconstruct both samples with the calibration of the reference."""
    samples, detector = (reference, generated), reference.readout.detector
    clusters = [find_clusters(sample.showers, detector) for sample in samples]
    distance = np.linalg.norm(detector.front_centre(reference.showers.cell), axis=1)
    momentum = reference.momentum
    calibration = np.ones(len(reference))
    for group in groups:
        total = clusters[0].e5x5[group.rows].sum()
        factor = momentum[group.rows].sum() / total if total > 0 else 1.0
        calibration[group.rows] = factor
    expected, found = (
        Reconstructed(
            [resolution(sample.showers, of, group.pdg, group.rows) for group in groups],
            pion_peak(sample.showers, of, calibration, distance),
        )
        for sample, of in zip(samples, clusters, strict=True)
    )
    return expected, found


def checks_of(
    reference: Sample, generated: Sample, found: Distances, gates: Mapping[str, float]
) -> list[Check]:
    """All figures beside their gates."""
    checks = []
    rows = found.rows
    for gate in ("mean", "width", "e1_e9", "e9_e25", "lateral", "cells"):
        values = {row.group.where: row.figures[gate] for row in rows}
        showers = {row.group.where: row.showers for row in rows}
        tests = 25 * len(rows) if gate == "cells" else len(rows)
        checks += checked(gate, gates[gate], values, tests, showers)
    checks += checks_of_kinds(reference, generated, found, gates)
    checks += checks_of_conditions(found, gates, OBSERVABLES)
    for name, area in found.separations.items():
        values = {CLASSIFIERS[name].what: area.area}
        checks += checked(f"auc_{name}", gates[f"auc_{name}"], values, nothing=0.5)
    return checks


def checks_of_conditions(
    found: Distances, gates: Mapping[str, float], observables: Mapping[str, Observable]
) -> list[Check]:
    """Means in bins of conditions beside their gate."""
    places = [bin_.where(observables[bin_.observable].title) for bin_ in found.closure]
    values = {where: bin_.figure for where, bin_ in zip(places, found.closure, strict=True)}
    showers = {where: bin_.showers for where, bin_ in zip(places, found.closure, strict=True)}
    return checked("closure", gates["closure"], values, showers=showers)


def checks_of_kinds(
    reference: Sample,
    generated: Sample,
    found: Distances,
    gates: Mapping[str, float],
    chosen: Callable[[int], bool] = lambda _: True,
) -> list[Check]:
    """Figures of kinds of particles, and neutral pions, beside their gates.

    Parameters
    ----------
    chosen
        Which kinds (PDG numbers).
    """
    checks = []
    counts = {NAMES.get(pdg, str(pdg)): int(rows.sum()) for pdg, rows in reference.kinds.items()}
    for gate, values in _of_kinds(reference, generated, found, chosen).items():
        showers = {where: counts[where.split(",")[0]] for where in values}
        checks += checked(gate, gates[gate], values, showers=showers)
    pions = [side.pion for side in found.own]
    if None not in pions:
        for name, gate in (("mean", "pion_mass"), ("width", "pion_width")):
            expected, other = (getattr(pion, name) for pion in pions)
            error = float(np.hypot(expected.error, other.error)) / expected.value
            difference = Value(other.value / expected.value - 1, error)
            showers = {"neutral pion": counts[NAMES[22]]}
            checks += checked(gate, gates[gate], {"neutral pion": difference}, showers=showers)
    return checks


def _of_kinds(
    reference: Sample, generated: Sample, found: Distances, chosen: Callable[[int], bool]
) -> dict[str, dict[str, Value]]:
    """Figures of kinds of particles, in the order of their numbers, by gates."""
    figures: dict[str, dict[str, Value]] = {
        gate: {} for gate in ("response", "lit_cells", "spread", "centre")
    }
    for pdg in filter(chosen, np.unique(reference.pdg).tolist()):
        kind, mine = NAMES.get(pdg, str(pdg)), reference.pdg == pdg
        expected, other = (
            {name: values[mine] for name, values in sample.observables.items()}
            for sample in (reference, generated)
        )
        for gate, name in (("response", "response"), ("lit_cells", "cells")):
            where = f"{kind}, {OBSERVABLES[name].title}"
            figures[gate][where] = relative_mean(expected[name], other[name])
        widths = [row.figures["width"] for row in found.rows if row.group.pdg == pdg]
        figures["spread"][f"{kind}, width of the response"] = Value(
            float(np.mean([width.value for width in widths])),
            float(np.sqrt(sum(width.error**2 for width in widths)) / len(widths)),
        )
        for name in ("centre_theta", "centre_phi"):
            where = f"{kind}, {OBSERVABLES[name].title}"
            figures["centre"][where] = mean_of(other[name] - expected[name])
    return figures

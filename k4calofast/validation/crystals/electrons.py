"""Electrons or pions: how often an analysis takes pions for electrons.

A classifier learns from full simulation alone to tell electrons from charged pions by energy over
momentum and the shape of showers in the window, as analyses do. It then sees full simulation and
generated showers that it has not learnt from. At a cut that keeps a share of each sample's own
electrons, the share of pions that it keeps, too, is their misidentification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.validation.comparison import by_momentum
from k4calofast.validation.fidelity import Check, checked
from k4calofast.validation.metrics import Value, classifier, jackknife, relative
from k4calofast.validation.results import Sample
from k4calofast.validation.tables import Cell, Table, in_percent, rounded

ELECTRONS, PIONS = (11, -11), (211, -211)
"""PDG numbers of the two."""

EFFICIENCIES = (0.95, 0.99)
"""Shares of electrons that cuts keep."""

GATE = "misidentification"
LIMIT = 0.10
"""Of the relative difference of misidentifications."""

_FEATURES = ("response", "e1_e9", "e9_e25", "e25_window", "width_theta", "width_phi", "cells_1mev")
_FOLDS = 5
_LEAST = 100
"""Electrons, and pions, of which a classifier learns."""


@dataclass(frozen=True)
class Misidentification:
    """Pions taken for electrons, at one momentum and one cut.

    Attributes
    ----------
    momentum, efficiency
        GeV, None for all together; and share of electrons that the cut keeps.
    electrons, pions
        Showers of the reference.
    reference, generated
        Shares of pions that the cut keeps, each with its own cut.
    electrons_kept
        Share of generated electrons at the cut of the reference.
    """

    momentum: float | None
    efficiency: float
    electrons: int
    pions: int
    reference: Value
    generated: Value
    electrons_kept: Value

    @property
    def where(self) -> str:
        """In words."""
        share = f"{100 * self.efficiency:g} % of electrons"
        at = "all momenta" if self.momentum is None else f"{self.momentum:.3g} GeV"
        return f"pions at {at}, {share} kept"

    def data(self) -> dict[str, object]:
        """Return all of it, for JSON."""
        values = ("reference", "generated", "electrons_kept")
        return vars(self) | {name: vars(getattr(self, name)) for name in values}


@dataclass(frozen=True)
class Particles:
    """N electrons and pions of full simulation and of generators, row by row.

    Attributes
    ----------
    pdg, momentum
        (N,) PDG numbers, GeV.
    reference, generated
        (N, features) each.
    """

    pdg: Indices
    momentum: Floats
    reference: Floats
    generated: Floats

    @staticmethod
    def of(samples: Sequence[tuple[Sample, Sample]]) -> Particles:
        """Gather electrons and pions of samples: references, and generated showers for the same."""
        parts = []
        for reference, generated in samples:
            rows = np.isin(reference.pdg, (*ELECTRONS, *PIONS))
            sides = (_features(side.take(rows)) for side in (reference, generated))
            parts.append((reference.pdg[rows], reference.momentum[rows], *sides))
        return Particles(*map(np.concatenate, zip(*parts, strict=True)))

    @property
    def electron(self) -> Mask:
        """(N,) which of them are electrons."""
        return np.isin(self.pdg, ELECTRONS)


def _features(sample: Sample) -> Floats:
    columns = [sample.observables[name] for name in _FEATURES]
    return np.stack([*columns, np.log(sample.momentum)], axis=1)


def misidentified(samples: Sequence[tuple[Sample, Sample]]) -> list[Misidentification]:
    """Compare how often pions are taken for electrons.

    Parameters
    ----------
    samples
        References, and what models generate for the same particles: of one region. Electrons and
        pions may be in different ones.

    Returns
    -------
    list
        For each momentum and cut, and for all momenta together; empty where there are not
        electrons and pions enough.
    """
    found = Particles.of(samples)
    electron = found.electron
    if min(electron.sum(), (~electron).sum()) < _LEAST:
        return []
    scores = _scores(found)
    points = []

    def edges(momentum: Floats, bins: int) -> Floats:
        return np.quantile(momentum, np.linspace(0, 1, bins + 1))

    for rows in by_momentum(found.momentum, np.ones(len(electron), np.bool_), edges):
        of_electrons, of_pions = rows & electron, rows & ~electron
        if min(of_electrons.sum(), of_pions.sum()) < _LEAST:
            continue
        for efficiency in EFFICIENCIES:
            reference, generated = (
                _share_kept(side[rows], electron[rows], efficiency) for side in scores
            )
            cut = np.quantile(scores[0][of_electrons], 1 - efficiency)
            kept = float((scores[1][of_electrons] >= cut).mean())
            count = int(of_electrons.sum())
            # The cut has an error of its own: that of as many electrons.
            error = float(np.sqrt((kept * (1 - kept) + efficiency * (1 - efficiency)) / count))
            points.append(
                Misidentification(
                    float(found.momentum[rows].mean()),
                    efficiency,
                    count,
                    int(of_pions.sum()),
                    reference,
                    generated,
                    Value(kept, error),
                )
            )
    if len(points) > len(EFFICIENCIES):
        points += [
            _together([point for point in points if point.efficiency == efficiency])
            for efficiency in EFFICIENCIES
        ]
    return points


def _together(points: Sequence[Misidentification]) -> Misidentification:
    """Join momenta: the means of their shares, each with its own cut."""

    def mean(name: str) -> Value:
        values = [getattr(point, name) for point in points]
        error = np.sqrt(sum(value.error**2 for value in values)) / len(values)
        return Value(float(np.mean([value.value for value in values])), float(error))

    return Misidentification(
        None,
        points[0].efficiency,
        sum(point.electrons for point in points),
        sum(point.pions for point in points),
        mean("reference"),
        mean("generated"),
        mean("electrons_kept"),
    )


def _scores(found: Particles) -> tuple[Floats, Floats]:
    """How much like electrons all are, by a classifier that has not learnt from their rows."""
    electron = found.electron
    fold = np.random.default_rng(0).permutation(len(electron)) % _FOLDS
    scores = np.zeros(len(electron)), np.zeros(len(electron))
    for number in range(_FOLDS):
        learnt, seen = fold != number, fold == number
        trees = classifier("trees", number, int(learnt.sum()))
        trees.fit(found.reference[learnt], electron[learnt])
        for side, of_side in zip(scores, (found.reference, found.generated), strict=True):
            side[seen] = trees.predict_proba(of_side[seen])[:, 1]
    return scores


def _share_kept(scores: Floats, electron: Mask, efficiency: float) -> Value:
    """Share of pions above the cut that keeps a share of electrons."""

    def share(chosen: Mask) -> float:
        cut = np.quantile(scores[chosen & electron], 1 - efficiency)
        return float((scores[chosen & ~electron] >= cut).mean())

    found = jackknife(len(scores), share)
    # Of few pions kept, the error is not smaller than that of counting one.
    return replace(found, error=max(found.error, 1.0 / int((~electron).sum())))


def checks(points: Sequence[Misidentification]) -> list[Check]:
    """Relative differences beside their gate."""
    values = {point.where: relative(point.reference, point.generated) for point in points}
    showers = {point.where: point.pions for point in points}
    return checked(GATE, LIMIT, values, showers=showers)


def table(points: Sequence[Misidentification], found: Sequence[Check]) -> Table:
    """Return all of it."""
    rows: list[list[Cell | str]] = []
    for point, check in zip(points, found, strict=True):
        state = "fails" if check.fails else "not resolved" if check.blind else "passes"
        rows.append(
            [
                "all" if point.momentum is None else f"{point.momentum:.3g}",
                f"{100 * point.efficiency:g} %",
                str(point.electrons),
                str(point.pions),
                f"{point.reference.scaled(100):.3f} %",
                f"{point.generated.scaled(100):.3f} %",
                in_percent(Value(check.value, check.error)),
                Cell(state, not check.passes),
                rounded(check.needed),
                f"{point.electrons_kept.scaled(100):.2f} %",
            ]
        )
    return Table(
        "Pions taken for electrons",
        [
            "GeV",
            "electrons kept",
            "electrons",
            "pions",
            "misidentified, reference",
            "misidentified, generated",
            "difference",
            "gate",
            "pions needed",
            "generated electrons at the reference's cut",
        ],
        rows,
        "Boosted trees that learn from full simulation alone, on showers that they have not seen; "
        f"the gate is {100 * LIMIT:g} % of the reference's misidentification.",
    )

"""How far a generator is from a reference, in one number: for tuning and choosing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from k4calofast.exceptions import ModelError
from k4calofast.generator import Model
from k4calofast.validation import kinds
from k4calofast.validation.closure import closure
from k4calofast.validation.comparison import columns
from k4calofast.validation.kinds import Kind
from k4calofast.validation.metrics import frechet_distance, separation, standardised
from k4calofast.validation.reference import Reference
from k4calofast.validation.results import Sample

_POINTS, _LEAST, _BINS = 8, 60, 30
"""Points of momentum per kind, showers at each, and bins of each spectrum."""


def distance(objective: str, model: Model, reference: Reference, seed: int = 0) -> float:
    """Return how far a generator is from a reference; 0 or the smallest is the best.

    Parameters
    ----------
    objective
        One of `OBJECTIVES`.
    reference
        As for `k4calofast.validation.report.validate`; its repetition is not used.
    seed
        Of the generator's noise.

    Raises
    ------
    ModelError
        If the model cannot be compared with this reference, has no such objective, or the distance
        is no number.
    """
    reference, _ = reference.comparable(model.card, seed)
    kind = kinds.of(model.card, reference.showers)
    value = measured(objective, kind, *reference.samples(model, seed))
    if not math.isfinite(value):
        raise ModelError(f"model '{model.card.name}': {objective} is {value}")
    return value


def measured(objective: str, kind: Kind, reference: Sample, generated: Sample) -> float:
    """Return how far apart two samples of the same particles are, row by row; see `distance`."""
    return _MEASURES[objective][1](kind, reference, generated)


def chi2_ndf(reference: Sample, generated: Sample) -> float:
    """Chi2/NDF of the spectra of energy over momentum, all kinds and points of momentum together.

    The figure by which FastCaloGAN chooses its epochs: ATL-SOFT-PUB-2020-006, section 4.
    """
    sides = [sample.observables["response"] for sample in (reference, generated)]
    chi2, ndf = 0.0, 0
    for chosen in reference.kinds.values():
        rows = np.flatnonzero(chosen)
        ordered = rows[np.argsort(reference.momentum[rows], kind="stable")]
        for point in np.array_split(ordered, max(1, min(_POINTS, len(ordered) // _LEAST))):
            edges = np.unique(np.quantile(sides[0][point], np.linspace(0, 1, _BINS + 1)))[1:-1]
            if not len(edges):
                continue
            expected, found = (
                np.bincount(np.searchsorted(edges, side[point]), minlength=len(edges) + 1)
                for side in sides
            )
            both = expected + found
            filled = both > 0
            chi2 += float(((expected - found)[filled] ** 2 / both[filled]).sum())
            ndf += int(filled.sum()) - 1
    return chi2 / max(ndf, 1)


def _fpd(kind: Kind, reference: Sample, generated: Sample) -> float:
    points = standardised(*(columns(kind, sample) for sample in (reference, generated)))
    return frechet_distance(*points).value


def _area(name: str) -> Callable[[Kind, Sample, Sample], float]:
    def area(kind: Kind, reference: Sample, generated: Sample) -> float:
        if name not in kind.classifiers:
            known = ", ".join(kind.classifiers)
            raise ModelError(f"no classifier of {name} for this calorimeter; there are {known}")
        classifier = kind.classifiers[name]
        sides = (classifier.features(sample) for sample in (reference, generated))
        # Below 0.5 is chance, and no better than above.
        return 0.5 + abs(separation(*sides, method=classifier.method).mean - 0.5)

    return area


def _closure(kind: Kind, reference: Sample, generated: Sample) -> float:
    """Root of the mean square: the worst bin alone is a matter of chance."""
    found = closure(reference, generated, kind.conditions, kind.compared)
    return float(np.sqrt(np.mean([bin_.shift**2 for bin_ in found]))) if found else math.nan


_MEASURES: dict[str, tuple[str, Callable[[Kind, Sample, Sample], float]]] = {
    "chi2": ("chi2/NDF of the total energy", lambda _, *samples: chi2_ndf(*samples)),
    "fpd": ("Frechet distance of the observables", _fpd),
    "auc_observables": ("AUC on the observables", _area("observables")),
    "auc_cells": ("AUC on the cells", _area("cells")),
    "closure": ("shift of means in bins of the conditions, RMS", _closure),
}

OBJECTIVES = {name: words for name, (words, _) in _MEASURES.items()}
"""What `distance` measures, by name; AUC on the cells is of crystals alone."""

"""Everything that is compared between a reference and a generated sample, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats
from k4calofast.validation.closure import closure
from k4calofast.validation.kinds import Kind
from k4calofast.validation.metrics import (
    SpectrumDistance,
    coverage,
    frechet_distance,
    kernel_distance,
    separation,
    spectrum_distance,
    standardised,
)
from k4calofast.validation.results import Comparison, Distances, Group, Sample

Number = TypeVar("Number", bound=np.generic)
Progress = Callable[[str], None]

_MOST_CLASSIFIED = 40_000
"""Showers of each sample that a classifier gets, at most."""


def compare(
    kind: Kind,
    reference: Sample,
    generated: Sample,
    gates: Mapping[str, float],
    again: Sample | None = None,
    progress: Progress = lambda _: None,
    classifiers: Sequence[str] | None = None,
) -> Comparison:
    """Compare two samples with the same conditions, row by row, in all ways.

    Parameters
    ----------
    kind
        Of calorimeter.
    reference, generated
        N showers each.
    gates
        Limits by the names of figures.
    again
        A repetition of the reference: the same particles, other random numbers; without one, its
        halves are compared.
    progress
        Called with what comes next.
    classifiers
        Which of the kind's to train, all by default; they take most of the time.

    Raises
    ------
    FileFormatError
        If there are too few showers.
    """
    names = tuple(kind.classifiers) if classifiers is None else classifiers

    def distances(
        first: Sample, second: Sample, groups: list[Group], what: str, paired: bool
    ) -> Distances:
        progress(f"{what}: spectra, closure and clouds")
        found = Distances(
            rows=[kind.row(first, second, group) for group in groups],
            closure=closure(first, second, kind.conditions, kind.compared, paired=paired),
            spectra=_spectra(kind, first, second),
            clouds={},
            separations={},
            own=kind.own(first, second, groups),
        )
        points = standardised(*(columns(kind, sample) for sample in (first, second)))
        clouds = {
            "fpd": frechet_distance(*points),
            "kpd": kernel_distance(*points),
            **coverage(*points),
        }
        separations = {}
        for name in names:
            classifier = kind.classifiers[name]
            progress(f"{what}: {classifier.what}")
            sides = (evenly(classifier.features(one), _MOST_CLASSIFIED) for one in (first, second))
            separations[name] = separation(*sides, method=classifier.method)
        found = replace(found, clouds=clouds, separations=separations)
        return replace(found, checks=kind.checks(first, second, found, gates))

    groups = kind.groups(reference)
    from_reference = distances(reference, generated, groups, "generator", True)
    if again is not None:
        itself_is = "a repetition of the reference"
        itself = distances(reference, again, groups, "reference", True)
    else:
        itself_is = "two halves of the reference"
        one, other, parts = kind.halves(reference, groups)
        halves = reference.take(one), reference.take(other)
        itself = distances(*halves, parts, "reference", False)
    return Comparison(reference, generated, groups, from_reference, itself, itself_is)


def columns(kind: Kind, sample: Sample) -> Floats:
    """Observables (N, O) of a sample."""
    return np.stack([sample.observables[name] for name in kind.observables], axis=1)


def evenly(values: npt.NDArray[Number], most: int) -> npt.NDArray[Number]:
    """At most so many of the rows, evenly: samples may be ordered by momentum."""
    return values[:: max(-(-len(values) // most), 1)]


def pairs(groups: Sequence[Group], rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Rows (n, 2) of two halves of each group.

    Which shower of a group is in which half, and beside which, is random: errors of differences are
    those of independent samples.
    """
    return [
        rng.permutation(np.flatnonzero(group.rows))[: group.rows.sum() // 2 * 2].reshape(-1, 2)
        for group in groups
    ]


def _spectra(kind: Kind, reference: Sample, generated: Sample) -> dict[str, SpectrumDistance]:
    values = [kind.spectra(sample) for sample in (reference, generated)]
    return {name: spectrum_distance(*(side[name] for side in values)) for name in values[0]}

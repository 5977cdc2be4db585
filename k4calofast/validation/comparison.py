"""Everything that is compared between a reference and a generated sample, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Mask
from k4calofast.validation.closure import closure
from k4calofast.validation.fidelity import NAMES
from k4calofast.validation.kinds import Kind
from k4calofast.validation.metrics import (
    Part,
    Separation,
    SpectrumDistance,
    Value,
    area_of,
    coverage,
    distinct,
    frechet_distance,
    kernel_distance,
    separation,
    spectrum_distance,
    standardised,
    together,
)
from k4calofast.validation.results import Comparison, Distances, Group, Row, Sample

Number = TypeVar("Number", bound=np.generic)
Progress = Callable[[str], None]

_MOST_CLASSIFIED = 40_000
"""Showers of each sample that a classifier gets, at most."""

_LEAST_CLASSIFIED, _MOST_OF_A_KIND = 50, 15_000
"""And of one kind of particles, for a classifier of its own: with fewer, there is nothing to learn
from."""

_NEAR = 1e-3
"""Momenta that differ by less than this, relatively, are one."""

_MOST_MOMENTA, _BINS, _LEAST = 12, 5, 60
"""With more momenta, there are so many bins at most; and showers in each if it is not the only."""


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
        points = standardised(*(columns(kind, sample) for sample in (first, second)))
        found = Distances(
            rows=[kind.row(first, second, group) for group in groups],
            closure=closure(first, second, kind.conditions, kind.compared, paired=paired),
            spectra=_spectra(kind, first, second),
            clouds={
                "fpd": frechet_distance(*points),
                "kpd": kernel_distance(*points),
                **coverage(*points),
            },
            separations={
                name: area
                for name in names
                if (area := separated(name, first, second, groups, what)) is not None
            },
            own=kind.own(first, second, groups),
        )
        return replace(found, checks=kind.checks(first, second, found, gates))

    def separated(
        name: str, first: Sample, second: Sample, groups: list[Group], what: str
    ) -> Separation | None:
        classifier = kind.classifiers[name]
        progress(f"{what}: {classifier.what}")
        sides = [classifier.features(side) for side in (first, second)]
        if classifier.kinds is None:
            return separation(
                *(evenly(side, _MOST_CLASSIFIED) for side in sides), method=classifier.method
            )
        found, parts = [], []
        for pdg, rows in first.kinds.items():
            chosen = evenly(np.flatnonzero(rows), _MOST_OF_A_KIND)
            if not classifier.kinds(pdg) or len(chosen) < _LEAST_CLASSIFIED:
                continue
            area = separation(*(side[chosen] for side in sides), method=classifier.method)
            found.append(area)
            parts.append(Part(pdg, NAMES.get(pdg, str(pdg)), len(chosen), area.area))
            for group in (group for group in groups if group.pdg == pdg):
                scores = area.scores[group.rows[chosen]]
                if len(scores):
                    parts.append(Part(pdg, group.where, len(scores), area_of(scores)))
        return together(found, parts) if found else None

    groups = kind.groups(reference)
    from_reference = distances(reference, generated, groups, "generator", True)
    if again is not None:
        itself_is = "a repetition of the reference"
        itself = distances(reference, again, groups, "reference", True)
    else:
        itself_is = "two halves of the reference"
        first, second, parts = kind.halves(reference, groups)
        itself = distances(reference.take(first), reference.take(second), parts, "reference", False)
    return Comparison(reference, generated, groups, from_reference, itself, itself_is)


def columns(kind: Kind, sample: Sample) -> Floats:
    """Observables (N, O) of a sample."""
    return np.stack([sample.observables[name] for name in kind.observables], axis=1)


def evenly(values: npt.NDArray[Number], most: int) -> npt.NDArray[Number]:
    """At most so many of the rows, evenly: samples may be ordered by momentum."""
    return values[:: max(-(-len(values) // most), 1)]


def by_momentum(
    momentum: Floats, rows: Mask, edges: Callable[[Floats, int], Floats]
) -> Iterator[Mask]:
    """Rows of each momentum, or of each bin if there are many momenta.

    Parameters
    ----------
    momentum, rows
        (N,) GeV, and which are chosen from.
    edges
        Given the momenta of these and the number of bins, (bins + 1,) edges.
    """
    values = distinct(momentum[rows], _NEAR)
    if len(values) <= _MOST_MOMENTA:
        yield from (rows & (np.abs(momentum - value) < _NEAR * value) for value in values)
        return
    bins = int(np.clip(rows.sum() // _LEAST, 1, _BINS))
    number = np.searchsorted(edges(momentum[rows], bins)[1:-1], momentum, side="right")
    yield from (rows & (number == index) for index in range(bins))


def pairs(groups: Sequence[Group], rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Rows (n, 2) of two halves of each group.

    Which shower of a group is in which half, and beside which, is random: errors of differences are
    those of independent samples.
    """
    return [
        rng.permutation(np.flatnonzero(group.rows))[: group.rows.sum() // 2 * 2].reshape(-1, 2)
        for group in groups
    ]


def averages(
    rows: Sequence[Row], values: Sequence[Sequence[Value]]
) -> dict[str, tuple[list[Value], int]]:
    """Averages of values (rows, K) over the groups of a kind, if there are several.

    Small groups see little one by one; together, they see what is wrong everywhere.

    Returns
    -------
    dict
        By where they are: K averages, and the showers that they are from.
    """
    found = {}
    for pdg in dict.fromkeys(row.group.pdg for row in rows):
        mine = [i for i, row in enumerate(rows) if row.group.pdg == pdg]
        if len(mine) == 1:
            continue
        showers = np.array([rows[i].showers for i in mine])
        weight = showers / showers.sum()
        value = weight @ np.array([[value.value for value in values[i]] for i in mine])
        error = np.sqrt(
            weight**2 @ np.array([[value.error**2 for value in values[i]] for i in mine])
        )
        average = [Value(float(v), float(e)) for v, e in zip(value, error, strict=True)]
        where = f"{NAMES.get(pdg, pdg)}, average of {len(mine)} groups"
        found[where] = average, int(showers.sum())
    return found


def _spectra(kind: Kind, reference: Sample, generated: Sample) -> dict[str, SpectrumDistance]:
    values = [kind.spectra(sample) for sample in (reference, generated)]
    return {name: spectrum_distance(*(side[name] for side in values)) for name in values[0]}

"""Conditional closure: the same comparison in bins of every condition.

Averages hide conditioning errors: a generator that ignores an angle can have every spectrum right.
In each bin of each condition, the difference of an observable's mean is given in units of the
reference's standard deviation there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats
from k4calofast.detector.calorimeter import Condition
from k4calofast.validation.results import Bin, Sample

BINS = 6
"""Quantiles of each condition."""

LEAST = 60
"""Showers in a bin that is looked at."""


def closure(
    reference: Sample,
    generated: Sample,
    conditions: Sequence[Condition],
    names: Sequence[str],
    bins: int = BINS,
    paired: bool = True,
) -> list[Bin]:
    """Compare means in bins of every condition.

    Parameters
    ----------
    reference, generated
        Two samples.
    conditions
        What the columns of their conditions are.
    names
        Which observables.
    paired
        Whether they have the same conditions shower by shower.
    """
    found = []
    for pdg, chosen in reference.kinds.items():
        rows, other_rows = np.flatnonzero(chosen), np.flatnonzero(generated.pdg == pdg)
        for number, condition in enumerate(conditions):
            values = reference.conditions[rows, number]
            edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
            if len(edges) < 2:
                continue
            place = _bins_of(values, edges)
            other_place = _bins_of(generated.conditions[other_rows, number], edges)
            for index in range(len(edges) - 1):
                mine, others = rows[place == index], other_rows[other_place == index]
                if min(len(mine), len(others)) < LEAST:
                    continue
                low, high = float(edges[index]), float(edges[index + 1])
                for name in names:
                    shift = _shift(
                        reference.observables[name][mine],
                        generated.observables[name][others],
                        paired,
                    )
                    if shift is not None:
                        found.append(
                            Bin(int(pdg), condition.name, low, high, len(mine), name, *shift)
                        )
    return found


def _shift(reference: Floats, generated: Floats, paired: bool) -> tuple[float, float] | None:
    """Difference of the means over the reference's spread, and its error; None without spread."""
    spread = float(reference.std())
    if spread == 0:
        return None
    independent = (generated - reference,) if paired else (reference, generated)
    variance = sum(part.var() / len(part) for part in independent)
    shift = float(generated.mean() - reference.mean()) / spread
    return shift, float(np.sqrt(variance)) / spread


def _bins_of(values: Floats, edges: Floats) -> npt.NDArray[np.intp]:
    """Bin (N,) of each value; what is outside is in the first or last."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def matrix(
    found: Sequence[Bin], conditions: Sequence[str], pdg: int, observable: str
) -> npt.NDArray[np.float64]:
    """Shifts (conditions, bins) of one kind and observable; NaN where there is no bin."""
    rows = np.full((len(conditions), BINS), np.nan)
    for number, condition in enumerate(conditions):
        mine = [
            bin_.shift
            for bin_ in found
            if (bin_.pdg, bin_.observable, bin_.condition) == (pdg, observable, condition)
        ]
        rows[number, : len(mine)] = mine
    return rows

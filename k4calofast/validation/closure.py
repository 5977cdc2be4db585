"""Conditional closure: the same comparison in bins of every condition.

Averages hide conditioning errors: a generator that ignores an angle can have every spectrum right.
In each bin of each condition, the difference of an observable's mean is given in units of the
reference's standard deviation there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.showers.crystals import CrystalShowers

Floats = npt.NDArray[np.float64]

BINS = 6
"""Quantiles of each condition."""

LEAST = 60
"""Showers in a bin that is looked at."""

COMPARED = (
    "response",
    "e1_e9",
    "e9_e25",
    "centre_theta",
    "centre_phi",
    "width_theta",
    "width_phi",
    "cells_1mev",
)
"""Observables whose means are usually compared."""


@dataclass(frozen=True)
class Bin:
    """A bin of a condition, for one kind of particle and one observable.

    Attributes
    ----------
    pdg, condition, low, high, showers
        Which bin.
    observable
        Of what.
    shift, error
        Difference of the means, in units of the reference's standard deviation in the bin.
    """

    pdg: int
    condition: str
    low: float
    high: float
    showers: int
    observable: str
    shift: float
    error: float

    @property
    def significance(self) -> float:
        """Size of the shift in standard errors."""
        return abs(self.shift) / self.error if self.error > 0 else 0.0


def closure(
    showers: CrystalShowers,
    there: dict[str, Floats],
    here: dict[str, Floats],
    names: Sequence[str],
    bins: int = BINS,
    others: CrystalShowers | None = None,
) -> list[Bin]:
    """Compare means in bins of every condition.

    Parameters
    ----------
    showers
        The reference: N showers.
    there, here
        Observables of the reference and of the other sample, (N,) each, shower by shower at the
        same conditions.
    names
        Which observables.
    others
        The showers of `here`, if their conditions are not those of `showers`, row by row.
    """
    found = []
    for pdg in dict.fromkeys(showers.pdg.tolist()):
        kind = np.flatnonzero(showers.pdg == pdg)
        other_kind = kind if others is None else np.flatnonzero(others.pdg == pdg)
        for number, condition in enumerate(CONDITIONS):
            values = showers.conditions[kind, number]
            edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
            if len(edges) < 2:
                continue
            place = other_place = _bins_of(values, edges)
            if others is not None:
                other_place = _bins_of(others.conditions[other_kind, number], edges)
            for index in range(len(edges) - 1):
                rows, other_rows = kind[place == index], other_kind[other_place == index]
                if min(len(rows), len(other_rows)) < LEAST:
                    continue
                for name in names:
                    one, other = there[name][rows], here[name][other_rows]
                    spread = float(one.std())
                    if spread == 0:
                        continue
                    independent = (other - one,) if others is None else (one, other)
                    variance = sum(part.var() / len(part) for part in independent)
                    found.append(
                        Bin(
                            int(pdg),
                            condition.name,
                            float(edges[index]),
                            float(edges[index + 1]),
                            len(rows),
                            name,
                            float(other.mean() - one.mean()) / spread,
                            float(np.sqrt(variance)) / spread,
                        )
                    )
    return found


def _bins_of(values: Floats, edges: Floats) -> npt.NDArray[np.intp]:
    """Bin (N,) of each value; what is outside is in the first or last."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def worst(found: Sequence[Bin], count: int, beyond: float = 0.0) -> list[Bin]:
    """Return the bins that are surely the furthest off: by shift less `beyond` errors."""
    ranked = sorted(found, key=lambda one: abs(one.shift) - beyond * one.error, reverse=True)
    return ranked[:count]


def matrix(found: Sequence[Bin], pdg: int, observable: str) -> npt.NDArray[np.float64]:
    """Shifts (conditions, bins) of one kind and observable; NaN where there is no bin."""
    rows = np.full((len(CONDITIONS), BINS), np.nan)
    for number, condition in enumerate(CONDITIONS):
        mine = [
            one.shift
            for one in found
            if (one.pdg, one.observable, one.condition) == (pdg, observable, condition.name)
        ]
        rows[number, : len(mine)] = mine
    return rows

"""What observables of showers are, and what is measured of their spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Floats


@dataclass(frozen=True)
class Observable:
    """What an observable is.

    Attributes
    ----------
    title
        Name for people, with the unit.
    formula
        What is computed, from the energies E of cells.
    source
        Where it is used.
    """

    title: str
    formula: str
    source: str = ""


def width68(values: Floats) -> float:
    """Half the distance between the quantiles at 16 % and 84 %."""
    low, high = np.quantile(values, [0.16, 0.84])
    return float(high - low) / 2


def width68_error(values: Floats) -> float:
    """Standard error of `width68`, from the density of the values at the two quantiles."""
    step = float(np.clip(1.5 / np.sqrt(len(values)), 0.02, 0.14))
    ends = np.array([0.16, 0.84])
    spacing = np.quantile(values, ends + step) - np.quantile(values, ends - step)
    low, high = np.sqrt(ends * (1 - ends) / len(values)) * spacing / (2 * step)
    # Two quantiles of one sample move together.
    together = ends[0] * (1 - ends[1]) / (ends[0] * (1 - ends[0]))
    return float(np.sqrt(low**2 + high**2 - 2 * together * low * high)) / 2


def quantile_error(values: Floats, share: float) -> float:
    """Standard error of a quantile: half the distance of those that chance puts in its place."""
    away = np.sqrt(share * (1 - share) / len(values))
    low, high = np.quantile(values, np.clip([share - away, share + away], 0, 1))
    return float(high - low) / 2


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Numerator over denominator, 0 where that is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)

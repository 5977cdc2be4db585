"""From closure to a request: more showers where the generator is worst.

If the error of a mean in a bin falls with the root of the number of training showers there, the
squared errors of all bins together are least, for a given number of showers, when each bin gets a
share proportional to its error (J. Neyman, J. R. Stat. Soc. 97 (1934) 558, on strata). The density
that is asked for grows with a power of the error in each bin, over the mean; conditions are
multiplied. The power is less than Neyman's, 1: errors that several conditions make add up rather
than multiply, and a product of six factors exaggerates (docs/active_learning.md). Kinds are
compared with each other in bins of momentum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import ModelError
from k4calofast.fullsim.request import Axis, OfKind, Request
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.closure import BINS, COMPARED, Bin, closure

Floats = npt.NDArray[np.float64]

BOUNDS = (0.25, 8.0)
"""Limits of the density over the usual one."""

POWER = 0.5
"""Of the errors."""

_ACROSS = CONDITIONS[0].name
"""The condition in whose bins kinds are compared: the momentum."""


@dataclass(frozen=True)
class Fault:
    """How far off a generator is in a bin.

    Attributes
    ----------
    pdg, condition, low, high, showers
        Which bin.
    size
        Root of the mean squared shift of all observables, without what chance does, and at least as
        large as that: what is not seen to be wrong is as good as can be told.
    """

    pdg: int
    condition: str
    low: float
    high: float
    showers: int
    size: float


def faults(found: Sequence[Bin]) -> list[Fault]:
    """Join the observables of each bin."""
    together: dict[tuple[int, str, float, float, int], list[Bin]] = {}
    for one in found:
        key = (one.pdg, one.condition, one.low, one.high, one.showers)
        together.setdefault(key, []).append(one)
    result = []
    for key, bins in together.items():
        squared = float(np.mean([one.shift**2 for one in bins]))
        chance = float(np.mean([one.error**2 for one in bins]))
        result.append(Fault(*key, max(squared - chance, chance) ** 0.5))
    return result


def request(
    showers: CrystalShowers,
    there: dict[str, Floats],
    here: dict[str, Floats],
    detector: str,
    origin: str,
    bounds: tuple[float, float] = BOUNDS,
    power: float = POWER,
    bins: int = BINS,
) -> Request:
    """Ask for showers where a generator is worst.

    Parameters
    ----------
    showers
        The reference: N showers, drawn as a sample without a request.
    there, here
        Observables of the reference and of the generator, (N,) each, shower by shower at the same
        conditions.
    detector, origin
        Name of the calorimeter, and where the request comes from, in words.
    bounds
        Limits of the density over the usual one, which is 1.
    power
        Of the errors, with which the density grows; 0 asks for the usual density.
    bins
        Quantiles of each condition.

    Raises
    ------
    ModelError
        If a kind has too few showers for any bin.
    """
    found = faults(closure(showers, there, here, COMPARED, bins))
    kinds = sorted(set(showers.pdg.tolist()))
    across = [one for one in found if one.condition == _ACROSS]
    for pdg in kinds:
        if not any(one.pdg == pdg for one in across):
            raise ModelError(f"too few showers of kind {pdg} to say where more are needed")
    mean = np.mean([_mean([one for one in across if one.pdg == pdg], power) for pdg in kinds])
    axes: dict[int, dict[str, Axis]] = {}
    for pdg in kinds:
        mine = [one for one in found if one.pdg == pdg]
        axes[pdg] = {}
        for condition in CONDITIONS:
            these = [one for one in mine if one.condition == condition.name]
            if these:
                usual = float(mean) if condition.name == _ACROSS else _mean(these, power)
                axes[pdg][condition.name] = _axis(these, usual, power)
    return _normalised(showers, axes, detector, origin, bounds)


def _mean(faults: Sequence[Fault], power: float) -> float:
    """Mean size over the showers, each to the power."""
    sizes = [one.size**power for one in faults]
    return float(np.average(sizes, weights=[one.showers for one in faults]))


def _axis(faults: Sequence[Fault], usual: float, power: float) -> Axis:
    """Sizes over the usual one; between bins with too few showers to tell, that of 1."""
    edges, weights = [faults[0].low], []
    for one in faults:
        if one.low > edges[-1]:
            edges.append(one.low)
            weights.append(1.0)
        edges.append(one.high)
        weights.append(one.size**power / usual)
    return Axis(edges=tuple(edges), weights=tuple(weights))


def _normalised(
    showers: CrystalShowers,
    axes: dict[int, dict[str, Axis]],
    detector: str,
    origin: str,
    bounds: tuple[float, float],
) -> Request:
    """Scale the density so that its mean is 1, all kinds alike and within its bounds."""
    equal = 1 / len(axes)

    def scaled(factor: float) -> tuple[Request, Floats]:
        """Return a request whose shares are still to be set, and the mean density of each kind."""
        kinds = {}
        for pdg, conditions in axes.items():
            axis = conditions[_ACROSS]
            weights = tuple(factor * weight for weight in axis.weights)
            scaled_axis = {_ACROSS: Axis(edges=axis.edges, weights=weights)}
            kinds[pdg] = OfKind(share=equal, conditions=conditions | scaled_axis)
        asked = Request(detector=detector, origin=origin, bounds=bounds, kinds=kinds)
        means = [asked.density(pdg, showers.take(showers.pdg == pdg)).mean() for pdg in axes]
        return asked, np.array(means)

    # The mean grows with the factor, from one bound to the other, and 1 is between them.
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        if scaled(np.exp(middle))[1].mean() < 1:
            low = middle
        else:
            high = middle
    asked, means = scaled(float(np.exp((low + high) / 2)))
    kinds = {
        pdg: kind.model_copy(update={"share": float(mean / means.sum())})
        for (pdg, kind), mean in zip(asked.kinds.items(), means, strict=True)
    }
    return asked.model_copy(update={"kinds": kinds})

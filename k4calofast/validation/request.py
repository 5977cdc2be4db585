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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Floats
from k4calofast.exceptions import ModelError
from k4calofast.fullsim.request import Axis, Conditioned, OfKind, Request
from k4calofast.generator import Model
from k4calofast.validation import kinds
from k4calofast.validation.closure import BINS, closure
from k4calofast.validation.kinds import Kind
from k4calofast.validation.reference import Reference
from k4calofast.validation.results import Bin, Sample

BOUNDS = (0.25, 8.0)
"""Limits of the density over the usual one."""

POWER = 0.5
"""Of the errors."""

_ACROSS = "momentum"
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
    for bin_ in found:
        key = (bin_.pdg, bin_.condition, bin_.low, bin_.high, bin_.showers)
        together.setdefault(key, []).append(bin_)
    result = []
    for key, bins in together.items():
        squared = float(np.mean([bin_.shift**2 for bin_ in bins]))
        chance = float(np.mean([bin_.error**2 for bin_ in bins]))
        result.append(Fault(*key, max(squared - chance, chance) ** 0.5))
    return result


def of_model(
    model: Model,
    reference: Reference,
    seed: int = 0,
    bounds: tuple[float, float] = BOUNDS,
    power: float = POWER,
) -> tuple[Request, dict[int, Floats]]:
    """Ask for showers where a generator is worst.

    Parameters
    ----------
    reference
        Showers that were not trained on, drawn as a sample without a request.
    seed
        Of the generator's noise.
    bounds, power
        As for `request`.

    Returns
    -------
    Request
    dict of int to array
        The density at the showers of each kind.

    Raises
    ------
    ModelError
        If the model cannot be compared with the reference, or a kind has too few showers.
    """
    reference, _ = reference.comparable(model.card, seed)
    kind = kinds.of(model.card, reference.showers)
    expected, generated = reference.samples(model, seed)
    origin = f"{model.card.name} beside {len(expected)} showers of {reference.described}"
    asked = request(kind, expected, generated, model.card.detector, origin, bounds, power)
    densities = {pdg: asked.density(pdg, part) for pdg, part in _parts(expected).items()}
    return asked, densities


def _parts(sample: Sample) -> dict[int, Conditioned]:
    """Showers of each kind of particle."""
    return {pdg: sample.showers.take(rows) for pdg, rows in sample.kinds.items()}


def request(
    kind: Kind,
    reference: Sample,
    generated: Sample,
    detector: str,
    origin: str,
    bounds: tuple[float, float] = BOUNDS,
    power: float = POWER,
    bins: int = BINS,
) -> Request:
    """Ask for showers where a generator is worst.

    Parameters
    ----------
    kind
        Of calorimeter.
    reference, generated
        Drawn as a sample without a request; and what a generator makes of it, shower by shower.
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
    found = faults(closure(reference, generated, kind.conditions, kind.compared, bins))
    pdgs = sorted(reference.kinds)
    across = {
        pdg: [fault for fault in found if (fault.pdg, fault.condition) == (pdg, _ACROSS)]
        for pdg in pdgs
    }
    for pdg, momenta in across.items():
        if not momenta:
            raise ModelError(f"too few showers of kind {pdg} to say where more are needed")
    mean = float(np.mean([_mean(momenta, power) for momenta in across.values()]))
    axes: dict[int, dict[str, Axis]] = {pdg: {} for pdg in pdgs}
    for pdg in pdgs:
        for condition in kind.conditions:
            name = condition.name
            these = [fault for fault in found if (fault.pdg, fault.condition) == (pdg, name)]
            if these:
                usual = mean if name == _ACROSS else _mean(these, power)
                axes[pdg][name] = _axis(these, usual, power)
    return _normalised(_parts(reference), axes, detector, origin, bounds)


def _mean(faults: Sequence[Fault], power: float) -> float:
    """Mean size over the showers, each to the power."""
    sizes = [fault.size**power for fault in faults]
    return float(np.average(sizes, weights=[fault.showers for fault in faults]))


def _axis(faults: Sequence[Fault], usual: float, power: float) -> Axis:
    """Sizes over the usual one; between bins with too few showers to tell, that of 1."""
    edges, weights = [faults[0].low], []
    for fault in faults:
        if fault.low > edges[-1]:
            edges.append(fault.low)
            weights.append(1.0)
        edges.append(fault.high)
        weights.append(fault.size**power / usual)
    return Axis(edges=tuple(edges), weights=tuple(weights))


def _normalised(
    showers: Mapping[int, Conditioned],
    axes: dict[int, dict[str, Axis]],
    detector: str,
    origin: str,
    bounds: tuple[float, float],
) -> Request:
    """Scale the density so that its mean is 1, all kinds alike and within its bounds."""
    equal = 1 / len(axes)

    def scaled(factor: float) -> tuple[Request, Floats]:
        """Return a request whose shares are still to be set, and the mean density of each kind."""
        scaled_kinds = {}
        for pdg, conditions in axes.items():
            axis = conditions[_ACROSS]
            weights = tuple(factor * weight for weight in axis.weights)
            scaled_axis = {_ACROSS: Axis(edges=axis.edges, weights=weights)}
            scaled_kinds[pdg] = OfKind(share=equal, conditions=conditions | scaled_axis)
        asked = Request(detector=detector, origin=origin, bounds=bounds, kinds=scaled_kinds)
        return asked, np.array([asked.density(pdg, showers[pdg]).mean() for pdg in axes])

    # The mean grows with the factor, from one bound to the other, and 1 is between them.
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        if scaled(np.exp(middle))[1].mean() < 1:
            low = middle
        else:
            high = middle
    asked, means = scaled(float(np.exp((low + high) / 2)))
    shared = {
        pdg: of_kind.model_copy(update={"share": float(mean / means.sum())})
        for (pdg, of_kind), mean in zip(asked.kinds.items(), means, strict=True)
    }
    return asked.model_copy(update={"kinds": shared})

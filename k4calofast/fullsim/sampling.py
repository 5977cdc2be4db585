"""How the showers of a sample are drawn: the interface between a detector and the farm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from k4calofast.fullsim.request import Request

Floats = npt.NDArray[np.float64]

Coverage = dict[str, tuple[float, float]]
"""Range of each condition, by its name."""


@dataclass(frozen=True)
class Drawn:
    """N particles at the surface of the cells that they enter.

    Attributes
    ----------
    cell
        (N,) cell that is entered.
    position, momentum
        (N, 3) mm and GeV there.
    conditions
        (N, 6) in the order and units of `k4calofast.detector.crystals.CONDITIONS`.
    """

    cell: npt.NDArray[np.int64]
    position: Floats
    momentum: Floats
    conditions: Floats


def log_uniform(rng: np.random.Generator, low: float, high: float, n: int) -> Floats:
    """Draw N numbers (GeV, say) whose logarithm is uniform."""
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), n)))


_FEWEST, _MOST = 256, 100_000
"""Candidates that are drawn at a time."""


def on_request(
    rng: np.random.Generator,
    request: Request,
    pdg: int,
    count: int,
    draw: Callable[[int], Drawn],
) -> Drawn:
    """Draw particles of one kind with the density that is requested.

    Each candidate is taken with a probability proportional to the density at its conditions, so
    that particles keep what their conditions do not say.

    Parameters
    ----------
    draw
        Draws so many candidates as without a request, with the same generator of random numbers.
    """
    most = request.largest(pdg)
    parts: list[Drawn] = []
    missing, rate = count, 1 / most
    while missing > 0:
        candidates = draw(int(np.clip(1.1 * missing / rate, _FEWEST, _MOST)))
        chance = request.density(pdg, candidates.conditions) / most
        taken = np.flatnonzero(rng.random(len(chance)) < chance)[:missing]
        parts.append(_rows(candidates, taken))
        missing -= len(taken)
        rate = max(float(chance.mean()), 1e-3)
    return Drawn(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Drawn))
    )


def _rows(drawn: Drawn, rows: npt.NDArray[np.int64]) -> Drawn:
    return Drawn(*(getattr(drawn, field.name)[rows] for field in fields(Drawn)))

"""How the showers of a sample are drawn: the interface between a detector and the farm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from k4calofast.arrays import Columns, Floats
from k4calofast.exceptions import SteeringError
from k4calofast.fullsim.request import Request

Coverage = dict[str, tuple[float, float]]
"""Range of each condition, by its name."""


@dataclass(frozen=True)
class Chunk:
    """One process's share of a sample.

    Attributes
    ----------
    number
        Its place in the sample.
    pdg, count
        Kind and number of its showers.
    momentum
        GeV at the face: one value, or the limits between which its logarithm is uniform.
    repetition
        Other numbers are other random numbers in Geant4 for the same particles.
    request
        Density of the conditions, None for the usual one.
    """

    number: int
    pdg: int
    count: int
    momentum: tuple[float, float]
    repetition: int = 0
    request: Request | None = None


@dataclass(frozen=True)
class Drawn(Columns):
    """N particles that are to be simulated.

    Attributes
    ----------
    conditions
        (N, C) what a sample knows of them, in the units of the calorimeter's conditions.
    """

    conditions: Floats

    names: ClassVar[tuple[str, ...]]
    """Of the conditions, the C of a sample."""

    def __len__(self) -> int:
        return len(self.conditions)

    def condition(self, name: str) -> Floats:
        """(N,) values of one of the conditions."""
        return self.conditions[:, self.names.index(name)]


def refuse_beyond(
    what: str, unit: str, covered: tuple[float, float], asked: tuple[float, float]
) -> None:
    """Refuse a range that is not one, or not inside what is covered.

    Raises
    ------
    SteeringError
        If so.
    """
    if not covered[0] <= asked[0] <= asked[1] <= covered[1]:
        raise SteeringError(f"{what} must lie between {covered[0]:.4} and {covered[1]:.4} {unit}")


def log_uniform(rng: np.random.Generator, low: float, high: float, n: int) -> Floats:
    """Draw N numbers (GeV, say) whose logarithm is uniform."""
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), n)))


_FEWEST, _MOST = 256, 100_000
"""Candidates that are drawn at a time."""


SomeDrawn = TypeVar("SomeDrawn", bound=Drawn)


def on_request(
    rng: np.random.Generator, chunk: Chunk, draw: Callable[[int], SomeDrawn]
) -> SomeDrawn:
    """Draw a chunk's particles, with the density that is requested if one is.

    Each candidate is taken with a probability proportional to the density at its conditions, so
    that particles keep what their conditions do not say.

    Parameters
    ----------
    draw
        Draws so many candidates as without a request, with the same generator of random numbers.
    """
    request, pdg, missing = chunk.request, chunk.pdg, chunk.count
    if request is None:
        return draw(missing)
    most = request.largest(pdg)
    parts: list[SomeDrawn] = []
    rate = 1 / most
    while missing > 0:
        candidates = draw(int(np.clip(1.1 * missing / rate, _FEWEST, _MOST)))
        chance = request.density(pdg, candidates) / most
        taken = np.flatnonzero(rng.random(len(chance)) < chance)[:missing]
        parts.append(candidates.take(taken))
        missing -= len(taken)
        rate = max(float(chance.mean()), 1e-3)
    return type(parts[0]).concatenate(parts)

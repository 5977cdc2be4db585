"""Figures beside their gates: what fails, what chance explains, and what cannot be seen.

Generated showers have the conditions of the simulated ones, row by row, so that errors of means are
those of differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Floats
from k4calofast.validation.metrics import Value, mean_of, z_score
from k4calofast.validation.observables import width68, width68_error

NAMES = {
    22: "photon",
    11: "electron",
    -11: "positron",
    13: "mu-",
    -13: "mu+",
    211: "pi+",
    -211: "pi-",
    321: "K+",
    -321: "K-",
    130: "K0L",
    2212: "proton",
    -2212: "antiproton",
    2112: "neutron",
    -2112: "antineutron",
}
"""What people call the kinds of particles."""

CHANCE = 0.01
"""Probability that any of the comparisons of one gate fails by chance alone, if the truth is at the
gate."""


@dataclass(frozen=True)
class Check:
    """A figure beside its gate.

    Attributes
    ----------
    gate
        Name of the gate.
    where
        Of what, in words.
    value, error, limit
        The figure, its standard error, and the gate.
    chance
        How many standard errors chance can be trusted to stay below, given how many comparisons
        the gate makes.
    nothing
        The figure's value if there is no difference: 0.5 for areas under ROC curves.
    showers
        Of the reference, which the figure is from; 0 where errors do not fall with their number.
    """

    gate: str
    where: str
    value: float
    error: float
    limit: float
    chance: float
    nothing: float = 0.0
    showers: int = 0

    @property
    def excess(self) -> float:
        """What is surely beyond the gate: positive fails."""
        return abs(self.value) - self.limit - self.chance * self.error

    @property
    def fails(self) -> bool:
        """Whether the figure is beyond its gate by more than chance explains."""
        return self.excess > 0

    @property
    def beyond(self) -> bool:
        """Whether the figure is beyond its gate, by chance or not."""
        return abs(self.value) > self.limit

    @property
    def blind(self) -> bool:
        """Whether the sample does not resolve the gate: twice the limit could go unseen."""
        return self.chance * self.error > self.limit - self.nothing

    @property
    def passes(self) -> bool:
        """Whether the sample could have shown a fault, and shows none."""
        return not (self.fails or self.blind)

    @property
    def needed(self) -> int:
        """Showers of the reference from which the gate is resolved; 0 where that is unknown.

        Errors fall with the root of the number of showers, and those of generated showers with
        them: as many are compared.
        """
        if not self.showers:
            return 0
        return math.ceil(
            self.showers * (self.chance * self.error / (self.limit - self.nothing)) ** 2
        )

    @property
    def words(self) -> str:
        """One line."""
        figure = Value(self.value, self.error)
        return f"{self.where}: {self.gate} {figure:+.4f} (gate {self.limit})"

    def data(self) -> dict[str, object]:
        """Return all of it, for JSON."""
        return vars(self) | {"fails": self.fails, "blind": self.blind, "needed": self.needed}


def checked(
    gate: str,
    limit: float,
    values: Mapping[str, Value],
    tests: int = 0,
    showers: Mapping[str, int] | None = None,
    nothing: float = 0.0,
) -> list[Check]:
    """Put values, by where they are, beside a gate.

    Parameters
    ----------
    tests
        Comparisons of the gate, by default as many as there are values.
    showers
        Of the reference, by where they are.
    nothing
        As of `Check`.
    """
    chance = z_score(CHANCE / max(tests, len(values), 1))
    counts = {} if showers is None else showers
    return [
        Check(gate, where, value.value, value.error, limit, chance, nothing, counts.get(where, 0))
        for where, value in values.items()
    ]


def relative_mean(reference: Floats, generated: Floats) -> Value:
    """Relative difference of the means of two samples that belong together row by row."""
    return mean_of((generated - reference) / (float(reference.mean()) or 1.0))


def relative_width(reference: Floats, generated: Floats) -> Value:
    """Relative difference of the 68 % widths."""
    width = width68(reference)
    if width == 0:
        return Value(0.0, 0.0)
    error = np.hypot(width68_error(reference), width68_error(generated))
    return Value(width68(generated) / width - 1, float(error) / width)

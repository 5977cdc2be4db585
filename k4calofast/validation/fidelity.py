"""How near generated showers are to full simulation: the gates that a model must pass.

Means and widths are compared for each kind of particle, over all and in bins of momentum. The
generated showers have the conditions of the simulated ones, row by row, so that errors of means are
those of differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals.observables import block, lateral_width
from k4calofast.validation.metrics import Value, z_score
from k4calofast.validation.observables import width68, width68_error

Floats = npt.NDArray[np.float64]

NAMES = {22: "photon", 11: "electron", -11: "positron"}
"""What people call the kinds of particles."""

GATES = {
    "mean": 0.005,
    "width": 0.10,
    "e1_e9": 0.02,
    "e9_e25": 0.02,
    "lateral": 0.02,
    "cells": 1.0,
    "response": 0.003,
    "spread": 0.05,
    "lit_cells": 0.01,
    "centre": 0.05,
    "closure": 0.25,
    "auc_observables": 0.60,
    "auc_cells": 0.70,
    "auc_network": 0.70,
    "pion_mass": 0.005,
    "pion_width": 0.10,
}
"""Largest allowed value of each figure; of relative differences, the size counts. A model's card
can set its own."""

MEANINGS = {
    "mean": "mean window energy in a bin of momentum, relative difference",
    "width": "68 % width of the window energy in a bin of momentum, relative difference",
    "e1_e9": "mean E1/E3x3 in a bin of momentum, relative difference",
    "e9_e25": "mean E3x3/E5x5 in a bin of momentum, relative difference",
    "lateral": "mean lateral width in a bin of momentum, relative difference",
    "cells": "worst of the 25 central cells in a bin of momentum: difference over the larger of "
    "5 % and 0.5 MeV",
    "response": "mean response E/p of a kind, relative difference",
    "spread": "68 % width of the window energy of a kind, relative difference, mean over bins of "
    "momentum",
    "lit_cells": "mean number of cells with energy of a kind, relative difference",
    "centre": "mean energy-weighted centre of a kind, difference in cells",
    "closure": "mean of an observable in a bin of a condition: difference in units of its spread",
    "auc_observables": "area under the ROC curve of boosted trees on the observables",
    "auc_cells": "area under the ROC curve of boosted trees on the cells",
    "auc_network": "area under the ROC curve of a small network on the cells",
    "pion_mass": "mean of the neutral pion's peak, relative difference",
    "pion_width": "width of the neutral pion's peak, relative difference",
}

CHANCE = 0.01
"""Probability that any of the comparisons of one gate fails by chance alone, if the truth is at the
gate."""

_CELL_RELATIVE, _CELL_ABSOLUTE = 0.05, 0.5e-3
_NEAR = 1e-3
"""Momenta that differ by less than this, relatively, are one bin."""

_MOST_MOMENTA, _MOMENTUM_BINS = 12, 5
_LEAST = 60
"""Showers in a bin of momentum, if the sample has more bins than one."""


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
    """

    gate: str
    where: str
    value: float
    error: float
    limit: float
    chance: float

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
        """Whether the sample is too small: twice the gate could go unseen."""
        return self.chance * self.error > self.limit

    @property
    def words(self) -> str:
        """One line."""
        return f"{self.where}: {self.gate} {self.value:+.4f} ± {self.error:.4f} (gate {self.limit})"


def checked(gate: str, limit: float, values: Mapping[str, Value], tests: int = 0) -> list[Check]:
    """Put values, by where they are, beside a gate; `tests` is how many there are by default."""
    chance = z_score(CHANCE / max(tests, len(values), 1))
    return [
        Check(gate, where, value.value, value.error, limit, chance)
        for where, value in values.items()
    ]


@dataclass(frozen=True)
class Row:
    """Figures of one kind of particle in one bin of momentum; see `MEANINGS`."""

    pdg: int
    momentum: float
    showers: int
    figures: dict[str, Value]

    @property
    def where(self) -> str:
        """The bin in words."""
        return f"{NAMES.get(self.pdg, self.pdg)} at {self.momentum:.3g} GeV"

    def data(self) -> dict[str, object]:
        """Return all of it, for JSON."""
        own = {"pdg": self.pdg, "momentum": self.momentum, "showers": self.showers}
        return own | {
            name: {"value": figure.value, "error": figure.error}
            for name, figure in self.figures.items()
        }


def compare(
    reference: CrystalShowers,
    generated: CrystalShowers,
    there: dict[str, Floats],
    here: dict[str, Floats],
) -> list[Row]:
    """Compare showers with the same conditions, kind by kind and momentum by momentum.

    Parameters
    ----------
    reference, generated
        N showers each; the same kinds and conditions in the same rows.
    there, here
        Their observables.
    """
    return [
        Row(
            pdg,
            momentum,
            int(chosen.sum()),
            _figures(
                {name: values[chosen] for name, values in there.items()},
                {name: values[chosen] for name, values in here.items()},
                reference.energies[chosen],
                generated.energies[chosen],
            ),
        )
        for pdg, momentum, chosen in bins(reference)
    ]


def bins(showers: CrystalShowers) -> Iterator[tuple[int, float, npt.NDArray[np.bool_]]]:
    """Yield kind, momentum (GeV), and which showers (N,) have them, kind by kind.

    A sample at a few momenta has a bin for each; others have bins with as many showers each, and
    their mean momentum.
    """
    for pdg in dict.fromkeys(showers.pdg.tolist()):
        kind = showers.pdg == pdg
        momentum = showers.momentum
        values = _values(momentum[kind])
        if len(values) <= _MOST_MOMENTA:
            for value in values:
                yield int(pdg), float(value), kind & (np.abs(momentum - value) < _NEAR * value)
            continue
        count = int(np.clip(kind.sum() // _LEAST, 1, _MOMENTUM_BINS))
        edges = np.quantile(momentum[kind], np.linspace(0, 1, count + 1))
        edges[-1] = np.inf
        for low, high in pairwise(edges):
            chosen = kind & (momentum >= low) & (momentum < high)
            yield int(pdg), float(momentum[chosen].mean()), chosen


def _values(momenta: Floats) -> Floats:
    ordered = np.sort(momenta)
    first = np.append(True, np.diff(ordered) > _NEAR * ordered[1:])
    return np.asarray(ordered[first])


def relative_mean(there: Floats, here: Floats) -> Value:
    """Relative difference of the means of two samples that belong together row by row."""
    middle = float(there.mean()) or 1.0
    difference = (here - there) / middle
    return Value(float(difference.mean()), float(difference.std() / np.sqrt(len(difference))))


def relative_width(there: Floats, here: Floats) -> Value:
    """Relative difference of the 68 % widths."""
    width = width68(there)
    if width == 0:
        return Value(0.0, 0.0)
    error = np.hypot(width68_error(there), width68_error(here))
    return Value(width68(here) / width - 1, float(error) / width)


def _figures(
    there: dict[str, Floats],
    here: dict[str, Floats],
    cells_there: npt.NDArray[np.float32],
    cells_here: npt.NDArray[np.float32],
) -> dict[str, Value]:
    blocks = [block(cells.astype(np.float64), 5) for cells in (cells_there, cells_here)]
    allowed = np.maximum(_CELL_RELATIVE * blocks[0].mean(0), _CELL_ABSOLUTE)
    difference = (blocks[1] - blocks[0]) / allowed
    apart = np.abs(difference.mean(0)).ravel()
    error = difference.std(0).ravel() / np.sqrt(len(difference))
    worst = int(apart.argmax())
    return {
        "mean": relative_mean(there["response"], here["response"]),
        "width": relative_width(there["response"], here["response"]),
        "e1_e9": relative_mean(there["e1_e9"], here["e1_e9"]),
        "e9_e25": relative_mean(there["e9_e25"], here["e9_e25"]),
        "lateral": relative_mean(lateral_width(there), lateral_width(here)),
        "cells": Value(float(apart[worst]), float(error[worst])),
    }

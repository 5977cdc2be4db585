"""How the showers of a sample are drawn: the interface between a detector and the farm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
        (N, 6) in the order and units of `k4calofast.incidence.CONDITIONS`.
    """

    cell: npt.NDArray[np.int64]
    position: Floats
    momentum: Floats
    conditions: Floats


def log_uniform(rng: np.random.Generator, low: float, high: float, n: int) -> Floats:
    """Draw N numbers (GeV, say) whose logarithm is uniform."""
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), n)))

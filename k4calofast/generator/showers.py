"""Noise → model → checked energies: the one way in which showers are generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from k4calofast.generator.generated import Generated
from k4calofast.noise import normal_noise, uniform_noise

if TYPE_CHECKING:
    from k4calofast.detector import Surroundings
    from k4calofast.generator.model import Model


@dataclass(frozen=True)
class ShowerKeys:
    """What seeds the noise of N showers: each is a function of these, and of nothing else.

    Attributes
    ----------
    seed, run, event, particle
        (N,) seed of the job or of the event, run and event numbers, and index of the particle in
        its collection.
    region
        Number of the calorimeter, see `k4calofast.detector.Calorimeter`.
    """

    seed: npt.NDArray[np.uint64]
    run: npt.NDArray[np.uint32]
    event: npt.NDArray[np.uint64]
    particle: npt.NDArray[np.uint64]
    region: int = 0

    def take(self, rows: npt.NDArray[np.int64] | slice) -> ShowerKeys:
        """Return some of them."""
        return ShowerKeys(
            self.seed[rows], self.run[rows], self.event[rows], self.particle[rows], self.region
        )


def generate(
    model: Model,
    pdg: npt.NDArray[np.int32],
    conditions: npt.NDArray[np.float64],
    keys: ShowerKeys,
    surroundings: Surroundings,
) -> Generated:
    """Generate N showers.

    Parameters
    ----------
    pdg, conditions
        (N,) kinds, and (N, conditions) in the order and units of the calorimeter's.
    keys, surroundings
        Of the showers.

    Raises
    ------
    ModelError
        If the model fails, takes too long, or gives what cannot be showers.
    """
    whose = (keys.seed, keys.run, keys.event, keys.particle)
    card, inputs = model.card, dict(surroundings.inputs)
    if card.uniform:
        inputs["uniform"] = uniform_noise(*whose, card.uniform, keys.region)
    noise = normal_noise(*whose, card.noise, keys.region)
    return model.generate(pdg, conditions, noise, inputs)

"""Noise → model → checked energies: the one way in which showers are generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Floats32, IDs, Indices, Ints, Mask, Words
from k4calofast.generator.card import ModelCard
from k4calofast.generator.generated import Generated
from k4calofast.noise import normal_noise, uniform_noise

ROUNDING = 1e-6
"""Share of a range by which conditions on its edge may be rounded beyond it."""

_AT_ONCE = 4096
"""Showers whose noise is in memory together."""


class Generator(Protocol):
    """What makes showers; see `k4calofast.generator.Model`."""

    card: ModelCard

    def generate(
        self,
        pdg: Ints,
        conditions: Floats,
        noise: Floats32,
        more: Mapping[str, Floats32],
    ) -> Generated:
        """Generate showers; see `k4calofast.generator.Model.generate`."""


class Told(Protocol):
    """What a generator is told of the cells around N particles: `detector.Surroundings`, say."""

    @property
    def inputs(self) -> Mapping[str, Floats32]:
        """Arrays (N, ...) by the names of inputs."""


@dataclass(frozen=True)
class ShowerKeys:
    """What seeds the noise of N showers: each is a function of these, and of nothing else.

    Attributes
    ----------
    seed, run, event, particle
        (N,) seed of the job or of the event, run and event numbers, and index of the particle in
        its collection.
    region
        `noise_key` of the `k4calofast.detector.Calorimeter`.
    """

    seed: IDs
    run: Words
    event: IDs
    particle: IDs
    region: int = 0

    @staticmethod
    def of_sample(numbers: npt.NDArray[np.integer], seed: int) -> ShowerKeys:
        """Keys of showers that are numbered (N,) in a sample, and have no events."""
        zero = np.zeros(len(numbers), np.uint64)
        return ShowerKeys(
            zero + np.uint64(seed), zero.astype(np.uint32), zero, numbers.astype(np.uint64)
        )

    def take(self, rows: Indices | slice) -> ShowerKeys:
        """Return some of them."""
        return ShowerKeys(
            self.seed[rows], self.run[rows], self.event[rows], self.particle[rows], self.region
        )


def generate(
    model: Generator,
    pdg: Ints,
    conditions: Floats,
    keys: ShowerKeys,
    surroundings: Told | None = None,
) -> Generated:
    """Generate N showers.

    Parameters
    ----------
    pdg, conditions
        (N,) kinds, all of the model's card, and (N, conditions) in the order and units of the
        calorimeter's.
    keys, surroundings
        Of the showers; surroundings may be left out for models that are told nothing of cells.

    Returns
    -------
    Generated
        Each shower depends on nothing but its own row.

    Raises
    ------
    ModelError
        If the model fails, takes too long, or gives what cannot be showers.
    """
    cells = {} if surroundings is None else surroundings.inputs
    card, parts = model.card, [Generated.none()]
    for start in range(0, len(pdg), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        whose = keys.take(rows)
        words = (whose.seed, whose.run, whose.event, whose.particle)
        more = {name: values[rows] for name, values in cells.items()}
        if card.uniform:
            more["uniform"] = uniform_noise(*words, card.uniform, keys.region)
        noise = normal_noise(*words, card.noise, keys.region)
        parts.append(model.generate(pdg[rows], conditions[rows], noise, more).moved(start))
    return Generated.concatenate(parts)


def in_range(
    card: ModelCard,
    pdg: Ints,
    conditions: Floats,
    margin: float = 0.0,
) -> Mask:
    """Tell which of N particles a model simulates: of a kind and under conditions that it knows.

    Parameters
    ----------
    pdg, conditions
        (N,) and (N, conditions) as in `generate`.
    margin
        As in `ModelCard.holds`.
    """
    inside = np.zeros(len(pdg), np.bool_)
    for kind in card.kinds:
        rows = np.flatnonzero(pdg == kind)
        inside[rows] = card.holds(kind, conditions[rows], margin)
    return inside

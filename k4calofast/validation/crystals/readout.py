"""References of showers in windows of crystals, and how they are seen: crystal by crystal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from k4calofast import detector
from k4calofast.arrays import Floats
from k4calofast.detector import CrystalCalorimeter
from k4calofast.exceptions import ModelError
from k4calofast.generator import Generator, ShowerKeys, generate
from k4calofast.generator.card import ModelCard
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.showers.reading import Source
from k4calofast.validation.crystals.observables import observables
from k4calofast.validation.reference import Call
from k4calofast.validation.results import Sample


@dataclass(frozen=True)
class Crystals:
    """Crystals of a detector, whose energies above a threshold (GeV) are seen."""

    detector: CrystalCalorimeter
    threshold: float

    def conditions(self, showers: CrystalShowers, _seed: int = 0) -> Floats:
        """Conditions of showers."""
        return showers.conditions

    def simulated(self, showers: CrystalShowers, _seed: int = 0) -> CrystalShowers:
        """Showers without energies that a generator drops, too."""
        energies = np.where(showers.energies > self.threshold, showers.energies, np.float32(0))
        return replace(showers, energies=energies)

    def generated(self, model: Generator, showers: CrystalShowers, seed: int) -> CrystalShowers:
        """Showers of a generator for the kinds and conditions of other showers.

        Raises
        ------
        ModelError
            If they have other windows than the model.
        """
        shape = showers.energies.shape[1:]
        if shape != model.card.window:
            raise ModelError(
                f"model '{model.card.name}' has windows of {model.card.window}, the sample's "
                f"column energies has {shape}"
            )
        count = len(showers)
        keys = ShowerKeys.of_sample(np.arange(count), seed)
        found = generate(model, showers.pdg, showers.conditions, keys)
        energies = found.in_windows(count, model.card.window)
        return replace(showers, energies=energies, beside=np.zeros(count, np.float32))

    def observed(self, showers: CrystalShowers) -> Sample:
        """What is observed of showers."""
        values = observables(showers, self.detector)
        return Sample(showers, showers.conditions, values, self)

    def calls(self, model: Generator, showers: CrystalShowers) -> Call:
        """Calls for the showers of the reference, one after the other, and again."""

        def prepared(number: int, batch: int) -> Callable[[], object]:
            rows = np.arange(number * batch, (number + 1) * batch)
            part = showers.take(rows % len(showers))
            keys = ShowerKeys.of_sample(rows, 0)
            return lambda: generate(model, part.pdg, part.conditions, keys)

        return prepared


def readout(card: ModelCard, _source: Source, _threshold: float) -> Crystals:
    """Return how showers are seen that a model is compared with."""
    return Crystals(detector.load_crystals(card.detector), card.threshold)

"""References of showers in crystals, and how they are seen: crystal by crystal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from k4calofast import detector
from k4calofast.arrays import Floats, Indices
from k4calofast.detector import CrystalCalorimeter
from k4calofast.exceptions import ModelError
from k4calofast.generator import Generated, Generator, ShowerKeys, generate
from k4calofast.generator.card import ModelCard
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.showers.reading import Source
from k4calofast.validation.crystals.hits import Hits, all_centres, all_fronts
from k4calofast.validation.crystals.observables import observables, of_all_crystals
from k4calofast.validation.reference import Call
from k4calofast.validation.results import Sample


@dataclass(frozen=True)
class Crystals:
    """Crystals of a detector, whose energies above a threshold (GeV) are seen.

    What is seen is what the reference knows: windows alone, or all crystals.

    Attributes
    ----------
    detector, threshold
        See above.
    conditions_told
        Names of the conditions that generators are told; all that showers know, if there are none.
    """

    detector: CrystalCalorimeter
    threshold: float
    conditions_told: tuple[str, ...] = ()

    def conditions(self, showers: CrystalShowers, _seed: int = 0) -> Floats:
        """Conditions of showers.

        Raises
        ------
        ModelError
            If showers do not know one.
        """
        names = self.conditions_told or showers.conditions_known
        unknown = [name for name in names if name not in showers.conditions_known]
        if unknown:
            raise ModelError(
                f"the model is told {unknown[0]}, which the sample does not know: it is of an "
                "older release"
            )
        return np.stack([showers.condition(name) for name in names], axis=1)

    def simulated(self, showers: CrystalShowers, _seed: int = 0) -> CrystalShowers:
        """Showers without energies that a generator drops, too."""
        if not showers.whole:
            energies = np.where(showers.energies > self.threshold, showers.energies, np.float32(0))
            return replace(showers, energies=energies)
        known = showers.hits()
        kept = known.energy > self.threshold
        return self._in_windows(
            showers,
            np.append(0, np.cumsum(kept))[known.offsets],
            known.crystal[kept],
            known.energy[kept],
            known.time[kept],
        )

    def generated(self, model: Generator, showers: CrystalShowers, seed: int) -> CrystalShowers:
        """Showers of a generator for the kinds and conditions of other showers.

        Raises
        ------
        ModelError
            If it is not told what showers know, or fills other windows than they have.
        """
        keys = ShowerKeys.of_sample(np.arange(len(showers)), seed)
        found = generate(model, showers.pdg, self.conditions(showers), keys)
        if showers.whole:
            return self.simulated(self._in_all_crystals(found, showers, model.card))
        shape, count = showers.energies.shape[1:], len(showers)
        if shape != model.card.window:
            found = self._cut(found, showers, model.card)
        energies = found.in_windows(count, shape)
        return replace(showers, energies=energies, beside=np.zeros(count, np.float32))

    def _cut(self, found: Generated, showers: CrystalShowers, card: ModelCard) -> Generated:
        """Deposits in the windows that showers have."""
        shape = showers.energies.shape[1:]
        if card.interface != "hits":
            raise ModelError(
                f"model '{card.name}' has windows of {card.window}, the sample's column energies "
                f"has {shape}"
            )
        entered = showers.cell.astype(np.int64)[found.shower]
        crystal = self.detector.cell_in(entered, found.place, card.window)
        place = self.detector.place_of(entered, crystal, shape)
        return replace(found, place=place).take(place >= 0)

    def _in_all_crystals(
        self, found: Generated, showers: CrystalShowers, card: ModelCard
    ) -> CrystalShowers:
        """Deposits in crystals; those of a crystal are one, as in jobs."""
        entered = showers.cell.astype(np.int64)[found.shower]
        crystal = self.detector.cell_in(entered, found.place, card.window)
        time = found.delay.astype(np.float64)
        if card.interface == "windows":
            # They know no times: jobs let light come from where the particle enters.
            way = all_centres(self.detector)[crystal] - all_fronts(self.detector)[entered]
            time = np.linalg.norm(way, axis=1) / LIGHT_SPEED
        there, cells = crystal >= 0, len(all_fronts(self.detector))
        key, of = np.unique((found.shower * cells + crystal)[there], return_inverse=True)
        energy = np.bincount(of, found.energy[there], len(key)).astype(np.float64)
        time = np.bincount(of, (found.energy * time)[there], len(key)) / energy
        shower, crystal = np.divmod(key, cells)
        offsets = np.searchsorted(shower, np.arange(len(showers) + 1))
        return self._in_windows(showers, offsets, crystal, energy, time)

    def _in_windows(
        self,
        showers: CrystalShowers,
        offsets: Indices,
        crystal: npt.NDArray[np.integer],
        energy: npt.NDArray[np.floating],
        time: npt.NDArray[np.floating],
    ) -> CrystalShowers:
        """Showers of the same particles with these hits, and windows of them."""
        known = replace(
            showers.hits(),
            offsets=offsets,
            crystal=crystal.astype(np.int32),
            energy=energy.astype(np.float32),
            time=time.astype(np.float32),
        )
        return known.in_windows(self.detector, showers.energies.shape[1:])

    def observed(self, showers: CrystalShowers) -> Sample:
        """What is observed of showers."""
        values = observables(showers, self.detector)
        if showers.whole:
            values |= of_all_crystals(Hits.of(showers, self.detector), showers.momentum)
        return Sample(showers, showers.conditions, values, self)

    def calls(self, model: Generator, showers: CrystalShowers) -> Call:
        """Calls for the showers of the reference, one after the other, and again."""

        def prepared(number: int, batch: int) -> Callable[[], object]:
            rows = np.arange(number * batch, (number + 1) * batch)
            part = showers.take(rows % len(showers))
            keys, conditions = ShowerKeys.of_sample(rows, 0), self.conditions(part)
            return lambda: generate(model, part.pdg, conditions, keys)

        return prepared


def readout(card: ModelCard, _source: Source, _threshold: float) -> Crystals:
    """Return how showers are seen that a model is compared with."""
    return Crystals(detector.load_crystals(card.detector), card.threshold, card.conditions)

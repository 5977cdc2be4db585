"""References: showers of full simulation that were not trained on, and how they are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.exceptions import FileFormatError, ModelError
from k4calofast.generator import ROUNDING, Generator, in_range
from k4calofast.generator.card import ModelCard
from k4calofast.showers.base import Showers
from k4calofast.showers.reading import Place, Source
from k4calofast.validation.results import Sample

Call = Callable[[int, int], Callable[[], object]]
"""Given the number of a call and of its showers: what it does, ready to run."""


class Readout(Protocol):
    """How a calorimeter sees showers, those of full simulation and of a generator alike.

    What showers are, and what they are when they have been seen, is the kind's own.
    """

    def conditions(self, showers: Any, seed: int) -> Floats:
        """Conditions (N, C) that a generator gets for them, in the order of its card."""

    def simulated(self, showers: Any, seed: int) -> Any:
        """What is seen of the reference's showers; the seed is that of the generator's noise."""

    def generated(self, model: Generator, showers: Any, seed: int) -> Any:
        """What is seen of a generator's showers for the same particles."""

    def observed(self, seen: Any) -> Sample:
        """What is observed of showers that were seen."""

    def calls(self, model: Generator, showers: Any) -> Call:
        """Calls of a generator, to be timed."""


@dataclass(frozen=True)
class Reference:
    """Showers of full simulation that were not trained on.

    Attributes
    ----------
    showers
        All of them.
    described
        What they are, in words.
    readout
        How they are seen.
    again
        The same particles with other random numbers, if there are some.
    """

    showers: Any
    described: str
    readout: Readout
    again: Any | None = None

    def take(self, rows: Mask | Indices | slice) -> Reference:
        """Return the showers of these rows."""
        again = None if self.again is None else self.again.take(rows)
        return replace(self, showers=self.showers.take(rows), again=again)

    def thinned(self, most: int) -> Reference:
        """Return at most so many showers, spread evenly: samples may be ordered by momentum."""
        return self.take(slice(None, None, max(-(-len(self.showers) // most), 1)))

    def comparable(self, card: ModelCard, seed: int = 0) -> tuple[Reference, int]:
        """Return what a generator can be compared with, and how many showers it leaves out.

        Raises
        ------
        ModelError
            If the reference has kinds that the model does not simulate, or no showers in its range.
        FileFormatError
            If the repetition has other particles.
        """
        showers, readout = self.showers, self.readout
        unknown = set(np.unique(showers.pdg).tolist()) - set(card.kinds)
        if unknown:
            raise ModelError(f"model '{card.name}' does not simulate the kinds {sorted(unknown)}")
        conditions = readout.conditions(showers, seed)
        inside = in_range(card, showers.pdg, conditions, ROUNDING)
        if not inside.any():
            raise ModelError(f"no shower of the sample is in the range of model '{card.name}'")
        if self.again is not None and not _same_particles(showers, self.again):
            raise FileFormatError("the repetition has other particles than the reference")
        return self.take(inside), int((~inside).sum())

    def samples(self, model: Generator, seed: int = 0) -> tuple[Sample, Sample]:
        """What is observed of the showers, and of a generator's for the same particles.

        Raises
        ------
        ModelError
            If they have other windows than the model.
        """
        readout, showers = self.readout, self.showers
        seen = readout.simulated(showers, seed), readout.generated(model, showers, seed)
        return readout.observed(seen[0]), readout.observed(seen[1])


def _same_particles(showers: Showers, others: Showers) -> bool:
    """Whether showers are of the same particles, row by row, as far as they know."""
    return np.array_equal(showers.pdg, others.pdg) and all(
        np.array_equal(showers.condition(name), others.condition(name))
        for name in showers.conditions_known
    )


def refuse_unfit(card: ModelCard, file: Place, source: Source) -> None:
    """Refuse references that say nothing of a generator, whatever the showers are.

    Raises
    ------
    ModelError
        If the reference is of another detector, or has the seed of the sample that the model was
        trained on.
    """
    if source.detector is not None and source.detector != card.detector:
        raise ModelError(
            f"{file} is of detector {source.detector}, but the model of {card.detector}"
        )
    training = card.training
    # Seeds of different programs have nothing to do with each other.
    if _program(source.description) != _program(training.simulation):
        return
    if source.seed is not None and source.seed in (training.sample_seed, *training.more_seeds):
        raise ModelError(
            f"{file} has the seed of the sample that model '{card.name}' was trained on, "
            f"{source.seed}: a reference needs showers that were not trained on"
        )


def _program(simulation: str) -> str:
    """First word of a simulation's name, without its version."""
    return simulation.split(maxsplit=1)[0].rstrip(",") if simulation.strip() else ""

"""What happened in a run, for its end: counts, energies, and where they went."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np

from k4calofast.arrays import Floats, Indices
from k4calofast.events.keys import SeenKeys
from k4calofast.exceptions import InvalidEventError
from k4calofast.hits import EnergyBalance
from k4calofast.incidence import FATES, Fate

logger = logging.getLogger(__name__)

_MUCH_UNEXPLAINED = 0.01
"""Share of the incoming energy from which the end of a run warns."""


@dataclass
class RegionSummary:
    """What happened in a calorimeter.

    Attributes
    ----------
    calorimeter, models
        Their names; without models, it has hits of showers that go on into it.
    showers
        (models,) number of showers that each has made.
    hits
        Number of hits.
    energy
        Where the energy of the showers went.
    """

    calorimeter: str
    models: list[str]
    showers: Indices
    hits: int = 0
    energy: EnergyBalance = field(default_factory=EnergyBalance)

    def lines(self) -> list[str]:
        """Lines for a person."""
        lines = [f"  {self.calorimeter}: {said_of_hits(self.hits, self.energy)}"]
        lines += [
            f"  {number:>10} showers by {model}"
            for model, number in zip(self.models, self.showers, strict=True)
        ]
        return lines


@dataclass
class RunSummary:
    """What happened in a run, for its end.

    Attributes
    ----------
    regions
        What happened in each region, and in calorimeters that showers go on into.
    events
        Number of events.
    numbers, energies
        (fates,) particles and their energy (GeV) by fate, in the order of `FATES`.
    incoming
        GeV that came in.
    wrong
        Particles whose charge or mass were not those of their PDG numbers.
    unknown
        Number and energy (GeV) of particles without daughters, by the code of generatorStatus
        that is not known.
    keys
        Run and event numbers of the events with showers.
    seconds
        Time spent by stage.
    """

    regions: list[RegionSummary] = field(default_factory=list)
    events: int = 0
    numbers: Indices = field(default_factory=lambda: np.zeros(len(FATES), np.int64))
    energies: Floats = field(default_factory=lambda: np.zeros(len(FATES)))
    incoming: float = 0.0
    wrong: int = 0
    unknown: dict[int, tuple[int, float]] = field(default_factory=dict)
    keys: SeenKeys = field(default_factory=SeenKeys)
    seconds: dict[str, float] = field(
        default_factory=lambda: {"incidence": 0.0, "inference": 0.0, "hits": 0.0}
    )

    @property
    def hits(self) -> int:
        """Number of hits in all regions."""
        return sum(region.hits for region in self.regions)

    @property
    def energy(self) -> EnergyBalance:
        """Where the energy of the showers of all regions went."""
        return sum((region.energy for region in self.regions), EnergyBalance())

    @property
    def particles(self) -> dict[Fate, int]:
        """Number of particles by fate."""
        return {fate: int(number) for fate, number in zip(FATES, self.numbers, strict=True)}

    @property
    def unexplained(self) -> float:
        """Share of the incoming energy of which the record does not say where it went."""
        lost = sum(self.energies[i] for i, fate in enumerate(FATES) if fate.unexplained)
        return float(lost / self.incoming) if self.incoming > 0 else 0.0

    def refuse_losses(self, most: float) -> None:
        """Refuse a run of whose energy too much is unexplained, and warn of a part.

        Parameters
        ----------
        most
            Largest share that may be unexplained.

        Raises
        ------
        InvalidEventError
            If there is more.
        """
        share = self.unexplained
        if share > most:
            raise InvalidEventError(
                f"the record does not say where {share:.2%} of the incoming energy went, and "
                f"MaxUnexplained allows {most:.2%}: {'; '.join(self._losses())}"
            )
        if share > _MUCH_UNEXPLAINED:
            logger.warning(
                "the record does not say where %.2f %% of the incoming energy went: %s",
                100 * share,
                "; ".join(self._losses()),
            )

    def _losses(self) -> list[str]:
        position = FATES.index(Fate.LOST)
        said = [
            f"generatorStatus {code}: {number} particles, {energy:.6g} GeV"
            for code, (number, energy) in sorted(self.unknown.items())
        ]
        if self.energies[position]:
            said.append(
                f"ended in front without the daughters that took their energy: "
                f"{self.numbers[position]} particles, {self.energies[position]:.6g} GeV"
            )
        return said

    def lines(self) -> list[str]:
        """Lines for a person."""
        lines = said_of_fates(self.events, self.numbers, self.energies, self.incoming)
        lines.append(said_of_hits(self.hits, self.energy))
        worth = [region for region in self.regions if region.models or region.hits]
        if len(worth) > 1 or any(len(region.models) > 1 for region in worth):
            lines += [line for region in worth for line in region.lines()]
        if self.wrong:
            lines.append(f"{self.wrong} particles with the charge and mass of their PDG numbers")
        return [*lines, *self.keys.lines()]


def said_of_fates(events: int, numbers: Indices, energies: Floats, incoming: float) -> list[str]:
    """Say what became of particles, and of their energy.

    Parameters
    ----------
    numbers, energies
        (fates,) particles and their energy (GeV) by fate, in the order of `FATES`.
    incoming
        GeV that came in.
    """
    groups = {
        "showered": [fate.handled_here for fate in FATES],
        "handed on": [fate.handed_on for fate in FATES],
        "lost by the record": [fate.unexplained for fate in FATES],
    }
    counts = ", ".join(f"{numbers[chosen].sum()} {name}" for name, chosen in groups.items())
    parts = ", ".join(f"{energies[chosen].sum():.6g} {name}" for name, chosen in groups.items())
    others = energies[~np.any(list(groups.values()), axis=0)].sum()
    lines = [
        f"{events} events, {numbers.sum()} particles: {counts}, the others need no "
        "calorimeter simulation",
        f"energy (GeV): {incoming:.6g} came in; {parts}, {others:.6g} needs no "
        "calorimeter simulation",
    ]
    lines += [
        f"  {number:>10} {energy:>14.6g} GeV  {fate.meaning}"
        for fate, number, energy in zip(FATES, numbers, energies, strict=True)
        if number or energy
    ]
    return lines


def said_of_hits(hits: int, energy: EnergyBalance) -> str:
    """Say how many hits there are, and where energy went."""
    crossed = ""
    if energy.passed or energy.received:
        crossed = (
            f"{energy.passed:.6g} passed on to and {energy.received:.6g} received from other "
            "calorimeters, "
        )
    return (
        f"{hits} hits; energy (GeV): {energy.incident:.6g} incident, "
        f"{energy.generated:.6g} generated, {crossed}{energy.written:.6g} in hits, "
        f"{energy.beyond:.6g} beyond the detector, {energy.below:.6g} below the threshold of "
        f"hits; closure {energy.closure:.1e}"
    )

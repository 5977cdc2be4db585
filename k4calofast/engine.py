"""The fast simulation: particles in, hits out. The one place that wires the stages.

    particles -> incidence -> generator -> hits

Nothing here knows of files or of frameworks: the embedded runtime and the Gaudi components
hand over columns and take columns back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import numpy.typing as npt

from k4calofast import detector
from k4calofast.events.columns import (
    Contributions,
    EventKeys,
    Floats,
    Hits,
    Indices,
    Particles,
)
from k4calofast.events.edm4hep import FAST_SIMULATED_BIT
from k4calofast.events.keys import SeenKeys, unique
from k4calofast.exceptions import InvalidEventError, ModelError, OutOfDomainError, SteeringError
from k4calofast.generator import Model, find_model
from k4calofast.hits import Deposits, EnergyBalance, assemble
from k4calofast.incidence import (
    FATES,
    SMALLEST_MOMENTUM,
    Arrivals,
    Census,
    Fate,
    Record,
    follow,
    identified,
    much_is_left,
)
from k4calofast.noise import normal_noise, uniform_noise
from k4calofast.properties import CaloFastSimProperties

logger = logging.getLogger(__name__)


FATE_NUMBERS, FATE_ENERGIES = "FateNumbers", "FateEnergies"
"""Parameters of a frame that say the number and energy (GeV) of its particles by fate."""

_MUCH_UNEXPLAINED = 0.01
"""Share of the incoming energy from which the end of a run warns."""


@dataclass(frozen=True)
class Simulated:
    """What became of some events.

    Attributes
    ----------
    hits, contributions
        The hits of the events, and their contributions.
    fate
        (particles,) `Fate` of each particle.
    not_handled
        Indices, in their events' collections, of the particles that still wait for a
        calorimeter simulation; those of event i are
        ``not_handled[not_handled_offsets[i]:not_handled_offsets[i + 1]]``.
    numbers, energies
        (events, fates) particles and their energy (GeV) by fate, in the order of `FATES`.
    """

    hits: Hits
    contributions: Contributions
    fate: npt.NDArray[np.int8]
    not_handled_offsets: Indices
    not_handled: npt.NDArray[np.int32]
    numbers: Indices
    energies: Floats

    def flagged(self, simulator_status: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """(particles,) status with the bit of the fast simulation where a shower was made."""
        showered = self.fate < Fate.OTHER_KIND
        return np.where(showered, simulator_status | (1 << FAST_SIMULATED_BIT), simulator_status)


@dataclass
class RunSummary:
    """What happened in a run, for its end.

    Attributes
    ----------
    events, hits
        Numbers of events and hits.
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
    energy
        Where the energy of the showers went.
    seconds
        Time spent by stage.
    """

    events: int = 0
    hits: int = 0
    numbers: Indices = field(default_factory=lambda: np.zeros(len(FATES), np.int64))
    energies: Floats = field(default_factory=lambda: np.zeros(len(FATES)))
    incoming: float = 0.0
    wrong: int = 0
    unknown: dict[int, tuple[int, float]] = field(default_factory=dict)
    keys: SeenKeys = field(default_factory=SeenKeys)
    energy: EnergyBalance = field(default_factory=EnergyBalance)
    seconds: dict[str, float] = field(
        default_factory=lambda: {"incidence": 0.0, "inference": 0.0, "hits": 0.0}
    )

    @property
    def particles(self) -> dict[Fate, int]:
        """Number of particles by fate."""
        return {fate: int(number) for fate, number in zip(FATES, self.numbers, strict=True)}

    @property
    def unexplained(self) -> float:
        """Share of the incoming energy of which the record does not say where it went."""
        lost = sum(self.energies[i] for i, fate in enumerate(FATES) if fate.unexplained)
        return float(lost / self.incoming) if self.incoming > 0 else 0.0

    def lines(self) -> list[str]:
        """Lines for a person."""
        groups = {
            "showered": [fate.handled_here for fate in FATES],
            "handed on": [fate.handed_on for fate in FATES],
            "lost by the record": [fate.unexplained for fate in FATES],
        }
        counts = ", ".join(
            f"{self.numbers[chosen].sum()} {name}" for name, chosen in groups.items()
        )
        energies = ", ".join(
            f"{self.energies[chosen].sum():.6g} {name}" for name, chosen in groups.items()
        )
        others = self.energies[~np.any(list(groups.values()), axis=0)].sum()
        lines = [
            f"{self.events} events, {self.numbers.sum()} particles: {counts}, the others need no "
            "calorimeter simulation",
            f"energy (GeV): {self.incoming:.6g} came in; {energies}, {others:.6g} needs no "
            "calorimeter simulation",
        ]
        lines += [
            f"  {number:>10} {energy:>14.6g} GeV  {fate.meaning}"
            for fate, number, energy in zip(FATES, self.numbers, self.energies, strict=True)
            if number or energy
        ]
        energy = self.energy
        lines += [
            f"{self.hits} hits; energy (GeV): {energy.incident:.6g} incident, "
            f"{energy.generated:.6g} generated, {energy.written:.6g} in hits, "
            f"{energy.beyond:.6g} beyond the detector, {energy.below:.6g} below the threshold of "
            f"hits; closure {energy.closure:.1e}"
        ]
        if self.wrong:
            lines.append(f"{self.wrong} particles with the charge and mass of their PDG numbers")
        return [*lines, *self.keys.lines()]


class FastSimulation:
    """A detector and a model, ready for events.

    Raises
    ------
    K4CaloFastError
        If the model cannot be used; see `k4calofast.exceptions`.
    """

    def __init__(self, properties: CaloFastSimProperties) -> None:
        self.properties = properties
        try:
            folder = find_model(properties.Model)
        except ModelError as error:
            raise ModelError(f"Model: {error}") from error
        self.model = Model(
            folder, properties.Provider, properties.Threads, properties.InferenceTimeout
        )
        self.card = self.model.card
        self.detector = detector.load(self.card.detector)
        self._conditions = self.card.conditions
        try:
            self.detector.check_window(self.card.window)
        except ValueError as error:
            raise ModelError(f"model '{self.card.name}': {error}") from error
        self.summary = RunSummary()
        self._threshold = properties.HitThreshold * self.detector.mip
        most = self.detector.showers_at_once or properties.BatchSize
        self._at_once = min(properties.BatchSize, most)
        names = [condition.name for condition in self._conditions]
        unknown = [pdg for pdg in properties.PDG if pdg not in self.card.kinds]
        if unknown:
            raise SteeringError(
                f"PDG chooses {unknown[0]}, but model '{self.card.name}' simulates "
                + ", ".join(map(str, self.card.kinds))
            )
        self._ranges = {
            pdg: np.array([ranges[name] for name in names]).T
            for pdg, ranges in self.card.kinds.items()
            if pdg in (properties.PDG or self.card.kinds)
        }
        logger.info(
            "model %s %s (%s, SHA-256 %s…) for %s",
            self.card.name,
            self.card.version,
            self.card.licence,
            self.card.sha256[:12],
            self.detector.name,
        )

    def expected_deposits(self, particles: Particles) -> Floats:
        """(events,) about how many deposits there will be at most, from momenta alone."""
        most = max(ranges["momentum"][1] for ranges in self.card.kinds.values())
        # Broken particles are found later.
        components = np.clip(np.nan_to_num(particles.momentum), -most, most)
        momentum = np.minimum(np.linalg.norm(components, axis=1), most)
        deposits = self.detector.expected_deposits(momentum)
        each = np.where(np.isin(particles.pdg, list(self._ranges)), deposits, 0)
        return np.diff(np.append(0.0, np.cumsum(each))[particles.offsets])

    def simulate(self, keys: EventKeys, particles: Particles) -> Simulated:
        """Simulate events.

        Parameters
        ----------
        keys, particles
            Of the same events.

        Raises
        ------
        InvalidEventError
            If a particle cannot be, or if the steering says to fail at what is wrong.
        OutOfDomainError
            If a particle is outside the model's domain, and the steering says to fail.
        """
        began = perf_counter()
        record = self._record(keys, particles)
        particles = record.particles
        arrivals, census = follow(record)
        fate = census.fate
        arrivals, conditions = self._in_domain(keys, particles, arrivals, fate)
        event = particles.event_of(arrivals.particle)
        index = arrivals.particle - particles.offsets[event]
        pdg = particles.pdg[arrivals.particle]
        keys = unique(keys, self.properties.RepeatedKeys, self.summary.keys, np.unique(event))
        arrived = perf_counter()
        deposits = self._generate(keys, arrivals, conditions, pdg, event, index)
        generated = perf_counter()
        hits, contributions, energy = assemble(
            self.detector, arrivals, pdg, event, index, len(keys), deposits, self._threshold
        )
        waiting = np.flatnonzero(_waits(fate))
        offsets = np.searchsorted(waiting, particles.offsets)
        in_event = waiting - particles.offsets[particles.event_of(waiting)]
        numbers, energies = census.per_event(particles.offsets, much_is_left(record, census))
        summary = self.summary
        summary.events += len(keys)
        summary.hits += len(hits.energy)
        summary.numbers += numbers.sum(0)
        summary.energies += energies.sum(0)
        summary.incoming += float(census.incoming.sum())
        summary.energy += energy
        self._count_unknown(particles, census)
        for stage, start, stop in (
            ("incidence", began, arrived),
            ("inference", arrived, generated),
            ("hits", generated, perf_counter()),
        ):
            summary.seconds[stage] += stop - start
        return Simulated(
            hits, contributions, fate, offsets, in_event.astype(np.int32), numbers, energies
        )

    def _record(self, keys: EventKeys, particles: Particles) -> Record:
        """What the particles' record says, made sure that it can be.

        Particles that only document something may be nonsense; others may not.
        """
        particles, wrong = identified(particles)
        record = Record(particles, self.detector, self.properties.AlternativeStableStatuses)
        impossible = record.first_impossible(self.properties.MaxEnergy)
        if impossible is not None:
            bad, reason = impossible
            raise InvalidEventError(f"{_where(keys, particles, bad)} has {reason}")
        wrong &= record.real
        if wrong.any():
            first = _where(keys, particles, int(wrong.argmax()))
            said = f"{first} has not the charge and mass of its PDG number"
            if self.properties.ChargeAndMass == "fail":
                raise InvalidEventError(
                    f"{said}, and ChargeAndMass is 'fail'; 'mend' takes those of the number"
                )
            if not self.summary.wrong:
                logger.warning("%s; these are taken, here and for all others", said)
        self.summary.wrong += int(wrong.sum())
        return record

    def _count_unknown(self, particles: Particles, census: Census) -> None:
        rows = np.flatnonzero(census.fate == Fate.UNKNOWN_STATUS)
        for code in np.unique(particles.generator_status[rows]).tolist():
            those = rows[particles.generator_status[rows] == code]
            if code not in self.summary.unknown:
                logger.warning(
                    "generatorStatus %d is not known here, and a particle without daughters has "
                    "it: its energy is lost, unless AlternativeStableStatuses names the code",
                    code,
                )
            number, energy = self.summary.unknown.get(code, (0, 0.0))
            total = energy + float(census.energy[those].sum())
            self.summary.unknown[code] = number + len(those), total

    def finish(self) -> list[str]:
        """Return lines for the end of the run.

        Raises
        ------
        InvalidEventError
            If more energy is unexplained than the steering allows.
        """
        share, most = self.summary.unexplained, self.properties.MaxUnexplained
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
        return self.summary.lines()

    def _losses(self) -> list[str]:
        summary = self.summary
        position = FATES.index(Fate.LOST)
        said = [
            f"generatorStatus {code}: {number} particles, {energy:.6g} GeV"
            for code, (number, energy) in sorted(summary.unknown.items())
        ]
        if summary.energies[position]:
            said.append(
                f"ended in front without the daughters that took their energy: "
                f"{summary.numbers[position]} particles, {summary.energies[position]:.6g} GeV"
            )
        return said

    def _in_domain(
        self,
        keys: EventKeys,
        particles: Particles,
        arrivals: Arrivals,
        fate: npt.NDArray[np.int8],
    ) -> tuple[Arrivals, Floats]:
        """Arrivals that the model simulates, and the conditions it gets for them.

        The fate of the others says why not.
        """
        pdg = particles.pdg[arrivals.particle]
        known = np.isin(pdg, list(self.card.kinds))
        if self.properties.OtherKinds == "fail" and not known.all():
            bad = arrivals.particle[np.flatnonzero(~known)[0]]
            raise OutOfDomainError(
                f"{_where(keys, particles, bad)} is of a kind that model '{self.card.name}' does "
                "not simulate, and OtherKinds is 'fail'; 'skip' hands it on"
            )
        # Why a particle was not simulated: its kind comes before its way.
        waits = _waits(fate) & (fate < Fate.BORN_OUTSIDE) | (fate == Fate.SHOWERED)
        fate[waits & ~np.isin(particles.pdg, list(self._ranges))] = Fate.NOT_CHOSEN
        fate[waits & ~np.isin(particles.pdg, list(self.card.kinds))] = Fate.OTHER_KIND
        largest = np.abs(particles.momentum).max(1, initial=0.0)
        # Too slow for any path, so for the range as well.
        slow = (fate == Fate.BESIDE) & (largest > 0) & (largest <= SMALLEST_MOMENTUM)
        if self.properties.OutOfRange == "fail" and slow.any():
            bad = int(slow.argmax())
            raise OutOfDomainError(
                f"{_where(keys, particles, bad)}: momentum {largest[bad]:.4g} GeV is outside the "
                f"range of model '{self.card.name}', and OutOfRange is 'fail'; 'skip' hands it on"
            )
        fate[slow] = Fate.OUT_OF_RANGE
        chosen = np.isin(pdg, list(self._ranges))
        conditions = arrivals.conditions.copy()
        outside = np.zeros(len(arrivals), np.bool_)
        for kind, (low, high) in self._ranges.items():
            rows = np.flatnonzero(pdg == kind)
            values = conditions[rows]
            outside[rows] = ((values < low) | (values > high)).any(1)
            conditions[rows] = np.clip(values, low, high)
        if self.properties.OutOfRange == "fail" and outside.any():
            row = np.flatnonzero(outside)[0]
            bad = arrivals.particle[row]
            low, high = self._ranges[int(pdg[row])]
            values = arrivals.conditions[row]
            wrong = np.flatnonzero((values < low) | (values > high))[0]
            condition = self._conditions[wrong]
            raise OutOfDomainError(
                f"{_where(keys, particles, bad)}: {condition.name} {values[wrong]:.4g} "
                f"{condition.unit} is outside the range {low[wrong]:.4g} to {high[wrong]:.4g} of "
                f"model '{self.card.name}', and OutOfRange is 'fail'; 'skip' hands it on, 'clamp' "
                "simulates it at the edge"
            )
        if self.properties.OutOfRange == "clamp":
            fate[arrivals.particle[outside]] = Fate.CLAMPED
            return arrivals.take(chosen), conditions[chosen]
        fate[arrivals.particle[outside]] = Fate.OUT_OF_RANGE
        inside = chosen & ~outside
        return arrivals.take(inside), conditions[inside]

    def _generate(
        self,
        keys: EventKeys,
        arrivals: Arrivals,
        conditions: Floats,
        pdg: npt.NDArray[np.int32],
        event: Indices,
        index: Indices,
    ) -> Deposits:
        seed = keys.seeds(self.properties.Seed)
        parts = [Deposits.none()]
        for start in range(0, len(pdg), self._at_once):
            rows = slice(start, start + self._at_once)
            whose = (
                seed[event[rows]],
                keys.run[event[rows]],
                keys.event[event[rows]],
                index[rows].astype(np.uint64),
            )
            surroundings = self.detector.surroundings(
                arrivals.cell[rows],
                arrivals.position[rows],
                arrivals.momentum[rows],
                self.card.window,
            )
            more = dict(surroundings.inputs)
            if self.card.uniform:
                more["uniform"] = uniform_noise(*whose, self.card.uniform)
            noise = normal_noise(*whose, self.card.noise)
            generated = self.model.generate(pdg[rows], conditions[rows], noise, more)
            parts.append(Deposits.of(generated, surroundings).moved(start))
        return Deposits.concatenate(parts)


def model_facts(simulation: FastSimulation) -> dict[str, str]:
    """What an output says of the model behind it, and of its frames' counts of fates."""
    card = simulation.card
    return {
        "ModelName": card.name,
        "ModelVersion": card.version,
        "ModelSHA256": card.sha256,
        "FateNames": ",".join(fate.name for fate in FATES),
    }


def _waits(fate: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Tell which particles wait for another simulation (`Fate.handed_on`)."""
    return (fate >= Fate.OTHER_KIND) & (fate < Fate.NOT_FINAL)


def _where(keys: EventKeys, particles: Particles, particle: int) -> str:
    event = int(particles.event_of(np.array([particle]))[0])
    index = particle - int(particles.offsets[event])
    return (
        f"run {keys.run[event]}, event {keys.event[event]}: MCParticle {index} "
        f"(PDG {particles.pdg[particle]})"
    )

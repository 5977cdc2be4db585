"""The fast simulation: particles in, hits out. The one place that wires the stages.

    particles -> incidence -> generator -> hits

Nothing here knows of files or of frameworks: the embedded runtime and the Gaudi components
hand over columns and take columns back.
"""

from __future__ import annotations

import logging
from collections import Counter
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
from k4calofast.exceptions import InvalidEventError, ModelError, OutOfDomainError, SteeringError
from k4calofast.generator import Model, find_model
from k4calofast.hits import Deposits, EnergyBalance, assemble
from k4calofast.incidence import Arrivals, Fate, arrive
from k4calofast.incidence.start import FAST_SIMULATED_BIT
from k4calofast.noise import normal_noise, uniform_noise
from k4calofast.properties import CaloFastSimProperties

logger = logging.getLogger(__name__)


_LAYERED_AT_ONCE = 256
"""Layered showers generated in one go, so that memory stays small."""

_DEPOSITS = {True: (75.0, 0.7), False: (30.0, 0.4)}
"""Deposits of a shower of 1 GeV, and the power of its energy that they grow with: of layered
calorimeters, and of crystals."""


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
    """

    hits: Hits
    contributions: Contributions
    fate: npt.NDArray[np.int8]
    not_handled_offsets: Indices
    not_handled: npt.NDArray[np.int32]

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
    particles
        Number of particles by fate.
    energy
        Where the energy went.
    seconds
        Time spent by stage.
    """

    events: int = 0
    hits: int = 0
    particles: Counter[Fate] = field(default_factory=Counter)
    energy: EnergyBalance = field(default_factory=EnergyBalance)
    seconds: dict[str, float] = field(
        default_factory=lambda: {"incidence": 0.0, "inference": 0.0, "hits": 0.0}
    )

    def lines(self) -> list[str]:
        """Lines for a person."""
        showers = sum(n for fate, n in self.particles.items() if fate.handled_here)
        handed_on = sum(n for fate, n in self.particles.items() if fate.handed_on)
        energy = self.energy
        lines = [
            f"{self.events} events, {sum(self.particles.values())} particles: {showers} showered, "
            f"{handed_on} handed on, the others need no calorimeter simulation"
        ]
        lines += [
            f"  {self.particles[fate]:>10}  {fate.meaning}" for fate in Fate if self.particles[fate]
        ]
        lines += [
            f"{self.hits} hits; energy (GeV): {energy.incident:.6g} incident, "
            f"{energy.generated:.6g} generated, {energy.written:.6g} in hits, "
            f"{energy.beyond:.6g} beyond the detector, {energy.below:.6g} below the threshold of "
            f"hits; closure {energy.closure:.1e}"
        ]
        return lines


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
        self._check_window()
        self.summary = RunSummary()
        self._threshold = properties.HitThreshold * self.detector.mip
        # What is known of the cells of layered showers is a hundred times what a crystal's is.
        self._at_once = properties.BatchSize
        if self.card.layered:
            self._at_once = min(properties.BatchSize, _LAYERED_AT_ONCE)
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

    def _check_window(self) -> None:
        """Make sure that the window is one of this detector, before the first event.

        Raises
        ------
        ModelError
            If it is not.
        """
        nothing, nowhere = np.zeros(0, np.int64), np.zeros((0, 3))
        if any(edge % 2 == 0 for edge in self.card.window[-2:]):
            raise ModelError(f"model '{self.card.name}': a window needs a centre, so odd sides")
        try:
            self.detector.surroundings(nothing, nowhere, nowhere, self.card.window)
        except ValueError as error:
            raise ModelError(f"model '{self.card.name}': {error}") from error

    def expected_deposits(self, particles: Particles) -> Floats:
        """(events,) about how many deposits there will be at most, from momenta alone."""
        of_1_gev, power = _DEPOSITS[self.card.layered]
        momentum = np.linalg.norm(particles.momentum, axis=1)
        most = max(ranges["momentum"][1] for ranges in self.card.kinds.values())
        # Broken particles are found later.
        momentum = np.clip(np.nan_to_num(momentum), 0, most)
        each = np.where(np.isin(particles.pdg, list(self._ranges)), of_1_gev * momentum**power, 0)
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
            If a particle's momentum, vertex, time, charge or mass is not a number.
        OutOfDomainError
            If a particle is outside the model's domain, and the steering says to fail.
        """
        began = perf_counter()
        self._check(keys, particles)
        arrivals, fate = arrive(particles, self.detector)
        arrivals, conditions = self._in_domain(keys, particles, arrivals, fate)
        event = particles.event_of(arrivals.particle)
        index = arrivals.particle - particles.offsets[event]
        pdg = particles.pdg[arrivals.particle]
        arrived = perf_counter()
        deposits = self._generate(keys, arrivals, conditions, pdg, event, index)
        generated = perf_counter()
        hits, contributions, energy = assemble(
            self.detector, arrivals, pdg, event, index, len(keys), deposits, self._threshold
        )
        waiting = np.flatnonzero(_waits(fate))
        offsets = np.searchsorted(waiting, particles.offsets)
        in_event = waiting - particles.offsets[particles.event_of(waiting)]
        self._count(fate, len(keys), len(hits.energy), energy)
        for stage, start, stop in (
            ("incidence", began, arrived),
            ("inference", arrived, generated),
            ("hits", generated, perf_counter()),
        ):
            self.summary.seconds[stage] += stop - start
        return Simulated(hits, contributions, fate, offsets, in_event.astype(np.int32))

    def _check(self, keys: EventKeys, particles: Particles) -> None:
        """Particles that no one wants to simulate may be nonsense; others may not."""
        matter = (particles.generator_status == 1) | (particles.simulator_status != 0)
        bad = particles.first_not_finite(np.flatnonzero(matter))
        if bad is not None:
            raise InvalidEventError(
                f"{_where(keys, particles, bad)} has a momentum, vertex, time, charge or mass "
                "that is not a number"
            )

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
        waits = _waits(fate) | (fate == Fate.SHOWERED)
        fate[waits & ~np.isin(particles.pdg, list(self._ranges))] = Fate.NOT_CHOSEN
        fate[waits & ~np.isin(particles.pdg, list(self.card.kinds))] = Fate.OTHER_KIND
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

    def _count(
        self, fate: npt.NDArray[np.int8], events: int, hits: int, energy: EnergyBalance
    ) -> None:
        self.summary.events += events
        self.summary.hits += hits
        values, counts = np.unique(fate, return_counts=True)
        for value, count in zip(values, counts, strict=True):
            self.summary.particles[Fate(value)] += int(count)
        self.summary.energy += energy


def model_facts(simulation: FastSimulation) -> dict[str, str]:
    """What an output says of the model behind it."""
    card = simulation.card
    return {"ModelName": card.name, "ModelVersion": card.version, "ModelSHA256": card.sha256}


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

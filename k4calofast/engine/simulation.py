"""Events in, hits out: what becomes of every particle, in all regions of a detector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from k4calofast.arrays import Floats, Indices, Ints, Mask
from k4calofast.engine.region import NO_MODEL, Placed, Region, Simulator, shower_keys
from k4calofast.engine.sorting import sort, with_beyond
from k4calofast.engine.summary import RegionSummary, RunSummary
from k4calofast.events.columns import Contributions, EventKeys, Hits, Particles
from k4calofast.events.edm4hep import FAST_SIMULATED_BIT
from k4calofast.events.keys import unique
from k4calofast.exceptions import InvalidEventError, ModelError, OutOfDomainError, SteeringError
from k4calofast.generator import Model, sets
from k4calofast.hits import Deposits, assemble
from k4calofast.incidence import (
    SMALLEST_MOMENTUM,
    Arrivals,
    Census,
    Fate,
    Fates,
    Record,
    follow,
    identified,
    much_is_left,
)
from k4calofast.properties import CaloFastSimProperties

logger = logging.getLogger(__name__)

_DEPOSITS_AT_ONCE = 700_000
"""In memory together: some 300 bytes each while they become hits and are written."""


@dataclass(frozen=True)
class Simulated:
    """What became of some events.

    Attributes
    ----------
    regions
        The hits of the events in each of `FastSimulation.calorimeters`, and their contributions.
    fate
        (particles,) `Fate` of each particle.
    not_handled
        Indices, in their events' collections, of the particles that still wait for a
        calorimeter simulation; those of event i are
        ``not_handled[not_handled_offsets[i]:not_handled_offsets[i + 1]]``.
    numbers, energies
        (events, fates) particles and their energy (GeV) by fate, in the order of `FATES`.
    """

    regions: tuple[tuple[Hits, Contributions], ...]
    fate: Fates
    not_handled_offsets: Indices
    not_handled: Ints
    numbers: Indices
    energies: Floats

    @property
    def hits(self) -> Hits:
        """The hits in the first region."""
        return self.regions[0][0]

    @property
    def contributions(self) -> Contributions:
        """The contributions to the hits in the first region."""
        return self.regions[0][1]

    def flagged(self, simulator_status: Ints) -> Ints:
        """(particles,) status with the bit of the fast simulation where a shower was made."""
        showered = self.fate < Fate.OTHER_KIND
        return np.where(showered, simulator_status | (1 << FAST_SIMULATED_BIT), simulator_status)


Load = Callable[[Path, str, int, float], Model]
"""Makes a model of its folder, and of the provider, threads and timeout."""


class FastSimulation:
    """The regions of a detector with their models, ready for events.

    Parameters
    ----------
    properties
        What the steering says.
    load
        Loads models; who simulates often can keep them.

    Attributes
    ----------
    regions
        In the order of their first models.
    calorimeters
        Those of the regions, and after them those that showers go on into.
    summary
        What happened so far.

    Raises
    ------
    K4CaloFastError
        If a model cannot be used; see `k4calofast.exceptions`.
    """

    def __init__(self, properties: CaloFastSimProperties, load: Load = Model) -> None:
        self.properties = properties
        self.regions, of_set = _regions(properties, load)
        said = properties.OutOfRange
        self._out_of_range = of_set if said == "auto" else said
        self._check_kinds()
        self._warn_of_fields()
        self._warn_of_threshold()
        self.calorimeters = with_beyond([region.calorimeter for region in self.regions])
        models = [[model.card.name for model in region.models] for region in self.regions]
        models += [[] for _ in self.calorimeters[len(self.regions) :]]
        self.summary = RunSummary(
            [
                RegionSummary(calorimeter.name, names, np.zeros(len(names), np.int64))
                for calorimeter, names in zip(self.calorimeters, models, strict=True)
            ]
        )
        self._known = set().union(*(region.known for region in self.regions))
        self._chosen = set().union(*(region.chosen for region in self.regions))
        for region in self.regions:
            for model in region.models:
                logger.info(
                    "model %s %s (%s, SHA-256 %s…) for %s",
                    model.card.name,
                    model.card.version,
                    model.card.licence,
                    model.card.sha256[:12],
                    region.calorimeter.name,
                )

    def _check_kinds(self) -> None:
        known = [
            kind for region in self.regions for model in region.simulators for kind in model.kinds
        ]
        for pdg in self.properties.PDG:
            if pdg not in known:
                raise SteeringError(
                    f"PDG chooses {pdg}, but model '{self.properties.Model}' simulates "
                    + ", ".join(map(str, dict.fromkeys(known)))
                )

    def _warn_of_fields(self) -> None:
        fields = {
            region.calorimeter.name: region.calorimeter.magnetic_field for region in self.regions
        }
        if len(set(fields.values())) > 1:
            logger.warning(
                "the regions are in different magnetic fields (%s): particles come to each in its "
                "own, and to where they set out in the first",
                ", ".join(f"{name}: {field:g} T" for name, field in fields.items()),
            )

    def _warn_of_threshold(self) -> None:
        """Say where a threshold does nothing, as in crystals: its unit is that of a layer."""
        without = [region.calorimeter for region in self.regions if not region.calorimeter.mip]
        if self.properties.HitThreshold > 0 and without:
            logger.warning(
                "HitThreshold does nothing in %s, which %s no layers: all hits with energy are "
                "written there",
                " and ".join(calorimeter.name for calorimeter in without),
                "has" if len(without) == 1 else "have",
            )

    def expected_deposits(self, particles: Particles) -> Floats:
        """(events,) about how many deposits there will be at most, from momenta alone."""
        each = np.max(
            [
                region.expected_deposits(particles.pdg, particles.momentum)
                for region in self.regions
            ],
            axis=0,
        )
        each = np.where(particles.listed, each, 0.0)
        return np.diff(np.append(0.0, np.cumsum(each))[particles.offsets])

    def at_once(self, particles: Particles) -> int:
        """How many of these events, from the first on, should be in memory together."""
        expected = np.cumsum(self.expected_deposits(particles))
        return int(np.searchsorted(expected, _DEPOSITS_AT_ONCE, side="right"))

    def simulate(
        self, keys: EventKeys, particles: Particles, *, of_subset: bool = False
    ) -> Simulated:
        """Simulate events.

        Parameters
        ----------
        keys, particles
            Of the same events.
        of_subset
            Whether a subset says who is listed. What these left in front is counted by whoever
            made it, even if all are listed.

        Raises
        ------
        InvalidEventError
            If a particle cannot be, or if the steering says to fail at what is wrong.
        OutOfDomainError
            If a particle is outside the models' domain, and the steering says to fail.
        """
        clock = [perf_counter()]
        record = self._record(keys, particles)
        particles = record.particles
        arrivals, census = follow(record)
        arrivals = tuple(part.take(particles.listed[part.particle]) for part in arrivals)
        chosen = self._in_domain(keys, particles, arrivals, census.fate)
        events = [particles.event_of(part.particle) for part, _ in chosen]
        keys = unique(
            keys, self.properties.RepeatedKeys, self.summary.keys, np.unique(np.concatenate(events))
        )
        clock.append(perf_counter())
        deposits = []
        for region, (part, placed), event, summary in zip(
            self.regions, chosen, events, self.summary.regions, strict=False
        ):
            index = part.particle - particles.offsets[event]
            whose = shower_keys(region.calorimeter, keys, self.properties.Seed, event, index)
            pdg = particles.pdg[part.particle]
            deposits.append(region.generate(part, placed, pdg, whose))
            summary.showers += np.bincount(placed.model, minlength=len(region.models))
        clock.append(perf_counter())
        regions = self._assembled(particles, [part for part, _ in chosen], deposits)
        clock.append(perf_counter())
        if of_subset or not particles.listed.all():
            census = census.of(particles.listed)
        return self._counted(record, census, regions, clock)

    def _assembled(
        self, particles: Particles, arrivals: Sequence[Arrivals], deposits: Sequence[Deposits]
    ) -> tuple[tuple[Hits, Contributions], ...]:
        """Hits in each calorimeter of what the showers of the regions left."""
        found = sort(self.calorimeters, arrivals, deposits)
        whose = found.arrivals.particle
        event = particles.event_of(whose)
        made = []
        for number, calorimeter in enumerate(self.calorimeters):
            hits, contributions, energy = assemble(
                calorimeter,
                found.arrivals,
                particles.pdg[whose],
                event,
                whose - particles.offsets[event],
                particles.n_events,
                found.deposits[number],
                self.properties.HitThreshold * calorimeter.mip,
            )
            made.append((hits, contributions))
            summary = self.summary.regions[number]
            summary.hits += len(hits.energy)
            summary.energy += replace(
                found.energy[number], written=energy.written, below=energy.below
            )
        return tuple(made)

    def _counted(
        self,
        record: Record,
        census: Census,
        regions: tuple[tuple[Hits, Contributions], ...],
        clock: Sequence[float],
    ) -> Simulated:
        """Count what became of the particles."""
        particles, summary = record.particles, self.summary
        waiting = np.flatnonzero(_waits(census.fate))
        offsets = np.searchsorted(waiting, particles.offsets)
        in_event = waiting - particles.offsets[particles.event_of(waiting)]
        much = much_is_left(record, census)
        numbers, energies = census.per_event(particles.offsets, much, particles.listed)
        summary.events += particles.n_events
        summary.numbers += numbers.sum(0)
        summary.energies += energies.sum(0)
        summary.incoming += float(census.incoming.sum())
        self._count_unknown(particles, census)
        for stage, seconds in zip(summary.seconds, np.diff(clock), strict=True):
            summary.seconds[stage] += float(seconds)
        return Simulated(
            regions, census.fate, offsets, in_event.astype(np.int32), numbers, energies
        )

    def _record(self, keys: EventKeys, particles: Particles) -> Record:
        """What the particles' record says, made sure that it can be.

        Particles that only document something may be nonsense; others may not.
        """
        particles, wrong = identified(particles)
        record = Record(
            particles,
            *(region.calorimeter for region in self.regions),
            stable=self.properties.AlternativeStableStatuses,
        )
        impossible = record.first_impossible(self.properties.MaxEnergy)
        if impossible is not None:
            bad, reason = impossible
            raise InvalidEventError(f"{_where(keys, particles, bad)} has {reason}")
        wrong &= record.real & particles.listed
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
        self.summary.refuse_losses(self.properties.MaxUnexplained)
        return self.summary.lines()

    def _in_domain(
        self,
        keys: EventKeys,
        particles: Particles,
        arrivals: Sequence[Arrivals],
        fate: Fates,
    ) -> list[tuple[Arrivals, Placed]]:
        """Arrivals that models simulate, region by region, and what these get for them.

        The fate of the others says why not.
        """
        self._refuse_other_kinds(keys, particles, arrivals)
        # Why a particle was not simulated: its kind comes before its way.
        waits = _waits(fate) & (fate < Fate.BORN_OUTSIDE) | (fate == Fate.SHOWERED)
        in_region = np.full(len(particles), len(self.regions))
        for number, part in enumerate(arrivals):
            in_region[part.particle] = number
        # What enters no region might have been for any.
        kinds = [(region.known, region.chosen) for region in self.regions]
        for number, (known, chosen) in enumerate([*kinds, (self._known, self._chosen)]):
            those = waits & (in_region == number)
            fate[those & ~np.isin(particles.pdg, list(chosen))] = Fate.NOT_CHOSEN
            fate[those & ~np.isin(particles.pdg, list(known))] = Fate.OTHER_KIND
        self._leave_slow_ones(keys, particles, fate)
        simulated = []
        for region, part in zip(self.regions, arrivals, strict=True):
            placed = region.place(particles.pdg[part.particle], part.conditions)
            chosen_here = placed.model != NO_MODEL
            outside = chosen_here & ~placed.inside
            if self._out_of_range == "fail" and outside.any():
                raise _out_of_range(keys, particles, region, part, placed, int(outside.argmax()))
            clamps = self._out_of_range == "clamp"
            fate[part.particle[outside]] = Fate.CLAMPED if clamps else Fate.OUT_OF_RANGE
            rows = chosen_here if clamps else chosen_here & placed.inside
            simulated.append((part.take(rows), placed.take(rows)))
        return simulated

    def _refuse_other_kinds(
        self, keys: EventKeys, particles: Particles, arrivals: Sequence[Arrivals]
    ) -> None:
        if self.properties.OtherKinds != "fail":
            return
        for region, part in zip(self.regions, arrivals, strict=True):
            other = ~np.isin(particles.pdg[part.particle], list(region.known))
            if other.any():
                bad = int(part.particle[other.argmax()])
                raise OutOfDomainError(
                    f"{_where(keys, particles, bad)} is of a kind that {_models(region)} does not "
                    "simulate, and OtherKinds is 'fail'; 'skip' hands it on"
                )

    def _leave_slow_ones(self, keys: EventKeys, particles: Particles, fate: Fates) -> None:
        """Particles that are too slow for any path are so for any range, too."""
        largest = np.abs(particles.momentum).max(1, initial=0.0)
        slow = (fate == Fate.BESIDE) & (largest > 0) & (largest <= SMALLEST_MOMENTUM)
        refused = slow & particles.listed
        if self._out_of_range == "fail" and refused.any():
            bad = int(refused.argmax())
            raise OutOfDomainError(
                f"{_where(keys, particles, bad)}: momentum {largest[bad]:.4g} GeV is outside the "
                f"range of {_models(*self.regions)}, and OutOfRange is 'fail'; 'skip' hands it on"
            )
        fate[slow] = Fate.OUT_OF_RANGE


def _regions(
    properties: CaloFastSimProperties, load: Load
) -> tuple[tuple[Region, ...], Literal["skip", "clamp"]]:
    """Load the models that the steering names, and sort them into regions.

    Returns
    -------
    regions
        In the order of their first models.
    out_of_range
        What to do with particles outside of all ranges, if the steering does not say.

    Raises
    ------
    ModelError
        If a model cannot be used.
    """
    try:
        found = sets.found(properties.Model)
    except ModelError as error:
        raise ModelError(f"Model: {error}") from error
    simulators: dict[str, list[Simulator]] = {}
    for folder, pdg in found.members:
        model = load(folder, properties.Provider, properties.Threads, properties.InferenceTimeout)
        card = model.card
        missing = set(pdg) - set(card.kinds)
        if missing:
            raise ModelError(
                f"Model: '{properties.Model}' wants PDG {min(missing)} of model '{card.name}', "
                f"which simulates {', '.join(map(str, card.kinds))}"
            )
        simulators.setdefault(card.detector, []).append(Simulator(model, pdg or tuple(card.kinds)))
    regions = tuple(
        Region(those[0].model.detector, those, properties.PDG, properties.BatchSize)
        for those in simulators.values()
    )
    return regions, found.out_of_range


def _models(*regions: Region) -> str:
    """Models of regions, for a person."""
    names = [f"'{model.card.name}'" for region in regions for model in region.models]
    return f"model {names[0]}" if len(names) == 1 else f"any of the models {', '.join(names)}"


def _out_of_range(
    keys: EventKeys,
    particles: Particles,
    region: Region,
    arrivals: Arrivals,
    placed: Placed,
    row: int,
) -> OutOfDomainError:
    particle = int(arrivals.particle[row])
    card = region.models[int(placed.model[row])].card
    low, high = card.limits(int(particles.pdg[particle]))
    told = region.models[int(placed.model[row])].columns
    values = arrivals.conditions[row, told]
    wrong = np.flatnonzero((values < low) | (values > high))[0]
    condition = region.calorimeter.conditions[told[wrong]]
    return OutOfDomainError(
        f"{_where(keys, particles, particle)}: {condition.name} {values[wrong]:.4g} "
        f"{condition.unit} is outside the range {low[wrong]:.4g} to {high[wrong]:.4g} of "
        f"model '{card.name}', and OutOfRange is 'fail'; 'skip' hands it on, "
        "'clamp' simulates it at the edge"
    )


def _waits(fate: Fates) -> Mask:
    """Tell which particles wait for another simulation (`Fate.handed_on`)."""
    return (fate >= Fate.OTHER_KIND) & (fate < Fate.NOT_FINAL)


def _where(keys: EventKeys, particles: Particles, particle: int) -> str:
    event = int(particles.event_of(np.array([particle]))[0])
    index = particle - int(particles.offsets[event])
    return (
        f"run {keys.run[event]}, event {keys.event[event]}: MCParticle {index} "
        f"(PDG {particles.pdg[particle]})"
    )

"""`k4calofast.engine` on frames."""

from __future__ import annotations

import numpy as np

from k4calofast.engine import FastSimulation
from k4calofast.engine.simulation import FATE_ENERGIES, FATE_FACTS, FATE_NUMBERS, region_facts
from k4calofast.events.columns import Particles
from k4calofast.events.copying import copied
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    EVENT_HEADER,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout, parameters, subset, with_parameters
from k4calofast.events.typed import find_collection, particles
from k4calofast.properties import CaloFastSimProperties
from k4calofast.steering.algorithms.algorithm import CELL_ID_ENCODING, Job, Metadata, hit_fields

_DEPOSITS_AT_ONCE = 700_000
"""In memory together: some 300 bytes each while they become hits and are written."""


class CaloFastSim:
    """See `k4calofast.steering.algorithms.Algorithm`."""

    def __init__(self, name: str, properties: CaloFastSimProperties, job: Job) -> None:
        self._name, self._p, self._job = name, properties, job
        self._simulation = FastSimulation(properties)
        self._read: tuple[Frames, Particles] | None = None

    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        """See `Algorithm`."""
        p = self._p
        self._names = [info.name for info in infos]
        find_collection(infos, p.InputEventHeader[0], EVENT_HEADER.collection)
        self._input = find_collection(infos, p.InputMCParticles[0], MC_PARTICLE.collection)
        self._hits = CollectionInfo.new(p.OutputHits[0], SIM_CALORIMETER_HIT)
        self._contributions = CollectionInfo.new(p.OutputContributions[0], CALO_HIT_CONTRIBUTION)
        # What hits and particles not handled point to.
        flagged = tuple(self._input.named(name) for name in p.OutputMCParticles)
        self._particles = (*flagged, self._input)[0]
        not_handled = self._input.named(p.OutputNotHandled[0], is_subset=True)
        return (self._hits, self._contributions, not_handled, *flagged)

    def metadata(self, _known: Metadata) -> Metadata:
        """See `Algorithm`."""
        (region,) = self._simulation.regions
        facts = region_facts(region) | FATE_FACTS
        return {
            f"{self._hits.name}__{CELL_ID_ENCODING}": region.calorimeter.encoding.text,
            # By output, so that those of all passes over a file are kept.
            **{f"{self._hits.name}__{key}": text for key, text in facts.items()},
        }

    def at_once(self, frames: Frames) -> int:
        """See `Bounded`."""
        expected = self._simulation.expected_deposits(self._particles_of(frames))
        return int(np.searchsorted(np.cumsum(expected), _DEPOSITS_AT_ONCE, side="right"))

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        """See `Algorithm`."""
        p = self._p
        keys = self._job.keys(frames, p.InputEventHeader[0], first, self._name)
        these = self._particles_of(frames)
        result = self._simulation.simulate(keys, these)
        target = self._particles.collection_id
        fields = {
            **hit_fields(
                self._hits, self._contributions, result.hits, result.contributions, target
            ),
            **subset(p.OutputNotHandled[0], result.not_handled_offsets, result.not_handled, target),
        }
        there = parameters({}, frames.count) | dict(frames.fields)
        for kind, what, counts in (
            ("Int", FATE_NUMBERS, result.numbers),
            ("Double", FATE_ENERGIES, result.energies),
        ):
            fields |= with_parameters(there, kind, {f"{self._hits.name}__{what}": counts})
        if p.OutputMCParticles:
            status = result.flagged(these.simulator_status)
            members = {"simulatorStatus": status}
            fields |= copied(frames, self._input, self._particles, members, self._names)
        return fields

    def _particles_of(self, frames: Frames) -> Particles:
        """Read the particles, once for frames that are looked at before they are worked on."""
        if self._read is None or self._read[0] is not frames:
            self._read = frames, particles(frames, self._input)
        return self._read[1]

    def finish(self) -> list[str]:
        """See `Algorithm`."""
        return self._simulation.finish()

    def seconds(self) -> dict[str, float]:
        """See `Algorithm`."""
        return self._simulation.summary.seconds

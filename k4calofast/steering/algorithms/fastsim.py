"""`k4calofast.engine` on frames."""

from __future__ import annotations

from k4calofast.engine import FastSimulation
from k4calofast.engine.outputs import SUBSET_OF, metadata, output_fields, with_output_names
from k4calofast.events.columns import Particles
from k4calofast.events.copying import copied
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    EVENT_HEADER,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout
from k4calofast.events.typed import find_collection, listed_particles, particles
from k4calofast.exceptions import SteeringError
from k4calofast.properties import CaloFastSimProperties
from k4calofast.steering.algorithms.algorithm import Algorithm, Job, Metadata


class CaloFastSim(Algorithm):
    """Simulates."""

    def __init__(self, name: str, properties: CaloFastSimProperties, job: Job) -> None:
        self._name, self._job = name, job
        self._simulation = FastSimulation(properties)
        self._p = with_output_names(properties, self._simulation.regions)
        self._read: tuple[Frames, CollectionInfo, Particles] | None = None

    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        p = self._p
        self._infos = infos
        find_collection(infos, p.InputEventHeader[0], EVENT_HEADER.collection)
        particles_type = MC_PARTICLE.collection
        self._input = find_collection(infos, p.InputMCParticles[0], particles_type, is_subset=None)
        hits = [CollectionInfo.new(name, SIM_CALORIMETER_HIT) for name in p.OutputHits]
        contributions = [
            CollectionInfo.new(name, CALO_HIT_CONTRIBUTION) for name in p.OutputContributions
        ]
        self._copy = [self._input.named(name) for name in p.OutputMCParticles]
        not_handled = self._input.named(p.OutputNotHandled[0], is_subset=True)
        return (*hits, *contributions, not_handled, *self._copy)

    def metadata(self, known: Metadata) -> Metadata:
        p = self._p
        said = known.get(f"{self._input.name}__{SUBSET_OF}")
        self._whole = next(
            (info for info in self._infos if self._input.is_subset and info.name == said), None
        )
        if p.OutputMCParticles and self._input.is_subset and self._whole is None:
            raise SteeringError(
                "OutputMCParticles copies a collection, and the metadata do not say which one "
                f"InputMCParticles '{self._input.name}' is a subset of: leave OutputMCParticles "
                "empty"
            )
        whole = (*p.OutputMCParticles, (self._whole or self._input).name)[0]
        return metadata(p, self._simulation.regions) | {
            f"{p.OutputNotHandled[0]}__{SUBSET_OF}": whole
        }

    def at_once(self, frames: Frames) -> int:
        return self._simulation.at_once(self._particles_of(frames)[1])

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        p = self._p
        keys = self._job.keys(frames, p.InputEventHeader[0], first, self._name)
        info, these = self._particles_of(frames)
        result = self._simulation.simulate(keys, these, of_subset=self._input.is_subset)
        # What hits and particles not handled point to.
        target = (*self._copy, info)[0].collection_id
        fields = output_fields(p, result, frames, target)
        for copy in self._copy:
            status = result.flagged(these.simulator_status)
            names = [known.name for known in self._infos]
            fields |= copied(frames, info, copy, {"simulatorStatus": status}, names)
        return fields

    def _particles_of(self, frames: Frames) -> tuple[CollectionInfo, Particles]:
        """Read the particles, once for frames that are looked at before they are worked on."""
        if self._read is None or self._read[0] is not frames:
            if self._input.is_subset:
                self._read = (
                    frames,
                    *listed_particles(frames, self._input, self._infos, self._whole),
                )
            else:
                self._read = frames, self._input, particles(frames, self._input)
        return self._read[1:]

    def finish(self) -> list[str]:
        return self._simulation.finish()

    def seconds(self) -> dict[str, float]:
        return self._simulation.summary.seconds

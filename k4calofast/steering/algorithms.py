"""The components' work on chunks of frames: thin doors between frames and columns."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from k4calofast.engine import FastSimulation
from k4calofast.events.columns import EventKeys
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    EVENT_HEADER,
    HELICITY_UNSET,
    MC_PARTICLE,
    SCHEMA_VERSION,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout, collection, subset
from k4calofast.events.typed import event_keys, find_collection, particles
from k4calofast.exceptions import SteeringError
from k4calofast.particle_gun import ParticleGun
from k4calofast.properties import CaloFastSimProperties, CaloParticleGunProperties, Properties

Metadata = dict[str, Any]


class Algorithm(Protocol):
    """Work on every event."""

    def start(self, infos: tuple[CollectionInfo, ...], /) -> tuple[CollectionInfo, ...]:
        """Check the collections that will be there, and return those that this adds."""

    def metadata(self) -> Metadata:
        """Return what the metadata of the output must say."""

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        """Return the fields of the new collections; `first` is the first event's number."""

    def finish(self) -> list[str]:
        """Return lines for the end of the run."""

    def seconds(self) -> dict[str, float]:
        """Return the time spent so far, by stage."""


class CaloFastSim:
    """`k4calofast.engine` on frames."""

    def __init__(self, name: str, properties: CaloFastSimProperties) -> None:
        self._name, self._p = name, properties
        self._simulation = FastSimulation(properties)

    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        """See `Algorithm`."""
        p = self._p
        header = EVENT_HEADER.collection
        find_collection(infos, p.InputEventHeader[0], header)
        self._input = find_collection(infos, p.InputMCParticles[0], MC_PARTICLE.collection)
        self._contributions = CollectionInfo.new(
            p.OutputContributions[0], CALO_HIT_CONTRIBUTION, SCHEMA_VERSION
        )
        return (
            CollectionInfo.new(p.OutputHits[0], SIM_CALORIMETER_HIT, SCHEMA_VERSION),
            self._contributions,
            CollectionInfo.new(
                p.OutputNotHandled[0], MC_PARTICLE, self._input.schema_version, is_subset=True
            ),
        )

    def metadata(self) -> Metadata:
        """See `Algorithm`."""
        card = self._simulation.card
        return {
            f"{self._p.OutputHits[0]}__CellIDEncoding": self._simulation.detector.encoding.text,
            f"{self._name}__ModelName": card.name,
            f"{self._name}__ModelVersion": card.version,
            f"{self._name}__ModelSHA256": card.sha256,
        }

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        """See `Algorithm`."""
        p = self._p
        keys = event_keys(frames, p.InputEventHeader[0], first)
        result = self._simulation.simulate(keys, particles(frames, p.InputMCParticles[0]))
        hits, parts = result.hits, result.contributions
        count = len(parts.energy)
        return {
            **collection(
                p.OutputHits[0],
                SIM_CALORIMETER_HIT,
                hits.offsets,
                {"cellID": hits.cell_id, "energy": hits.energy, "position": hits.position},
                {
                    "contributions": (
                        hits.contributions,
                        _from_event_start(hits.contributions[hits.offsets]),
                        self._contributions.collection_id,
                    )
                },
            ),
            **collection(
                p.OutputContributions[0],
                CALO_HIT_CONTRIBUTION,
                hits.contributions[hits.offsets],
                {
                    "PDG": parts.pdg,
                    "energy": parts.energy,
                    "time": parts.time,
                    "stepPosition": parts.position,
                    "stepLength": np.zeros(count, np.float32),
                },
                {
                    "particle": (
                        np.arange(count + 1),
                        parts.particle,
                        self._input.collection_id,
                    )
                },
            ),
            **subset(
                p.OutputNotHandled[0],
                result.not_handled_offsets,
                result.not_handled,
                self._input.collection_id,
            ),
        }

    def finish(self) -> list[str]:
        """See `Algorithm`."""
        return self._simulation.summary.lines()

    def seconds(self) -> dict[str, float]:
        """See `Algorithm`."""
        return self._simulation.summary.seconds


class CaloParticleGun:
    """`k4calofast.particle_gun` on frames."""

    def __init__(self, properties: CaloParticleGunProperties) -> None:
        self._p = properties
        self._gun = ParticleGun(properties)

    def start(self, _infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        """See `Algorithm`."""
        p = self._p
        return (
            CollectionInfo.new(p.OutputEventHeader[0], EVENT_HEADER, SCHEMA_VERSION),
            CollectionInfo.new(p.OutputMCParticles[0], MC_PARTICLE, SCHEMA_VERSION),
        )

    def metadata(self) -> Metadata:
        """See `Algorithm`."""
        return {}

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        """See `Algorithm`."""
        p = self._p
        numbers = np.arange(frames.count, dtype=np.uint64) + np.uint64(p.FirstEvent + first)
        keys = EventKeys(np.full(frames.count, p.Run, np.uint32), numbers)
        shot = self._gun.shoot(keys.event)
        helicity = np.full(len(shot["PDG"]), HELICITY_UNSET, np.int32)
        one_each = np.arange(frames.count + 1)
        return {
            **collection(
                p.OutputEventHeader[0],
                EVENT_HEADER,
                one_each,
                {
                    "eventNumber": keys.event,
                    "runNumber": keys.run,
                    "timeStamp": np.zeros(frames.count, np.uint64),
                    "weight": np.ones(frames.count),
                },
            ),
            **collection(
                p.OutputMCParticles[0],
                MC_PARTICLE,
                one_each * p.ParticlesPerEvent,
                {**shot, "helicity": helicity},
            ),
        }

    def finish(self) -> list[str]:
        """See `Algorithm`."""
        return []

    def seconds(self) -> dict[str, float]:
        """See `Algorithm`."""
        return {}


def _from_event_start(offsets: Any) -> Any:
    """Numbers 0, 1, 2, ... that start again with every event."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def create(name: str, properties: Properties) -> Algorithm:
    """Create the algorithm that has these properties.

    Raises
    ------
    SteeringError
        If they are those of no algorithm.
    """
    match properties:
        case CaloFastSimProperties():
            return CaloFastSim(name, properties)
        case CaloParticleGunProperties():
            return CaloParticleGun(properties)
    raise SteeringError(f"{name} cannot be in TopAlg: it is not an algorithm")

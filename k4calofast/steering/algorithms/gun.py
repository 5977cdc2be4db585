"""`k4calofast.particle_gun` on frames."""

from __future__ import annotations

import numpy as np

from k4calofast.events.columns import EventKeys
from k4calofast.events.edm4hep import EVENT_HEADER, HELICITY_UNSET, MC_PARTICLE
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout, collection
from k4calofast.particle_gun import ParticleGun
from k4calofast.properties import CaloParticleGunProperties
from k4calofast.steering.algorithms.algorithm import Metadata


class CaloParticleGun:
    """See `k4calofast.steering.algorithms.Algorithm`."""

    def __init__(self, properties: CaloParticleGunProperties) -> None:
        self._p = properties
        self._gun = ParticleGun(properties)

    def start(self, _infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        """See `Algorithm`."""
        p = self._p
        return (
            CollectionInfo.new(p.OutputEventHeader[0], EVENT_HEADER),
            CollectionInfo.new(p.OutputMCParticles[0], MC_PARTICLE),
        )

    def metadata(self, _known: Metadata) -> Metadata:
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

"""`k4calofast.particle_gun` on frames."""

from __future__ import annotations

import numpy as np

from k4calofast.events.columns import EventKeys
from k4calofast.events.edm4hep import EVENT_HEADER, HELICITY_UNSET, MC_PARTICLE
from k4calofast.events.fields import header_fields
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout, collection
from k4calofast.particle_gun import ParticleGun
from k4calofast.properties import CaloParticleGunProperties
from k4calofast.steering.algorithms.algorithm import Algorithm


class CaloParticleGun(Algorithm):
    """Makes events of its own."""

    def __init__(self, properties: CaloParticleGunProperties) -> None:
        self._p = properties
        self._gun = ParticleGun(properties)

    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        p = self._p
        return (
            CollectionInfo.new(p.OutputEventHeader[0], EVENT_HEADER),
            CollectionInfo.new(p.OutputMCParticles[0], MC_PARTICLE),
        )

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        p = self._p
        numbers = np.arange(frames.count, dtype=np.uint64) + np.uint64(p.FirstEvent + first)
        shot = self._gun.shoot(numbers)
        keys = EventKeys(np.full(frames.count, p.Run, np.uint32), numbers)
        helicity = np.full(len(shot["PDG"]), HELICITY_UNSET, np.int32)
        return {
            **header_fields(p.OutputEventHeader[0], keys),
            **collection(
                p.OutputMCParticles[0],
                MC_PARTICLE,
                np.arange(frames.count + 1) * p.ParticlesPerEvent,
                {**shot, "helicity": helicity},
            ),
        }

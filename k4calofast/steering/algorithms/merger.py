"""`k4calofast.hits.merging` on frames."""

from __future__ import annotations

import numpy as np

from k4calofast.events.edm4hep import CALO_HIT_CONTRIBUTION, MC_PARTICLE, SIM_CALORIMETER_HIT
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout
from k4calofast.events.typed import find_collection, particles, relations, sim_hits
from k4calofast.hits.merging import Merger
from k4calofast.properties import CaloHitMergerProperties
from k4calofast.steering.algorithms.algorithm import (
    CELL_ID_ENCODING,
    Metadata,
    encoding_of,
    hit_fields,
)


class CaloHitMerger:
    """See `k4calofast.steering.algorithms.Algorithm`."""

    def __init__(self, properties: CaloHitMergerProperties) -> None:
        self._p = properties
        self._merger = Merger(properties)

    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        """See `Algorithm`."""
        p = self._p
        self._infos = infos
        self._particles = find_collection(infos, p.InputMCParticles[0], MC_PARTICLE.collection)
        for name in (p.InputFastHits[0], p.InputFullHits[0]):
            find_collection(infos, name, SIM_CALORIMETER_HIT.collection)
        self._hits = CollectionInfo.new(p.OutputHits[0], SIM_CALORIMETER_HIT)
        self._contributions = CollectionInfo.new(p.OutputContributions[0], CALO_HIT_CONTRIBUTION)
        return (self._hits, self._contributions)

    def metadata(self, known: Metadata) -> Metadata:
        """See `Algorithm`."""
        encoding = encoding_of(known, self._p.InputFastHits[0], self._p.InputFullHits[0])
        return {f"{self._hits.name}__{CELL_ID_ENCODING}": encoding}

    def execute(self, frames: Frames, _first: int) -> dict[str, Layout]:
        """See `Algorithm`."""
        p = self._p
        name = p.InputMCParticles[0]
        child, parent = relations(frames, self._particles, "parents")
        these = particles(frames, name)
        hits, contributions = self._merger.merge(
            np.asarray(these.offsets),
            these.simulator_status,
            (child, parent),
            sim_hits(frames, p.InputFastHits[0], self._infos),
            sim_hits(frames, p.InputFullHits[0], self._infos),
        )
        target = self._particles.collection_id
        return hit_fields(self._hits, self._contributions, hits, contributions, target)

    def finish(self) -> list[str]:
        """See `Algorithm`."""
        return self._merger.lines()

    def seconds(self) -> dict[str, float]:
        """See `Algorithm`."""
        return {}

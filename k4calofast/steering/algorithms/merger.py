"""`k4calofast.hits.merging` on frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from k4calofast.arrays import Indices, Ints, Mask, owners
from k4calofast.events.columns import OWN_COLLECTION, Contributions, Hits
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    CELL_ID_ENCODING,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.fields import hit_fields
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import UNSET, Layout
from k4calofast.events.typed import find_collection, particles, relations, sim_hits, subset
from k4calofast.exceptions import InvalidEventError
from k4calofast.hits.energies import EventName
from k4calofast.hits.merging import Merger
from k4calofast.properties import CaloHitMergerProperties
from k4calofast.steering.algorithms.algorithm import Algorithm, Metadata, encoding_of


class CaloHitMerger(Algorithm):
    """Merges hits of two simulations."""

    def __init__(self, properties: CaloHitMergerProperties) -> None:
        self._p = properties
        self._merger = Merger(properties)

    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        p = self._p
        self._infos = infos
        self._particles = find_collection(infos, p.InputMCParticles[0], MC_PARTICLE.collection)
        find_collection(infos, p.InputNotHandled[0], MC_PARTICLE.collection, is_subset=True)
        for name in (p.InputFastHits[0], p.InputFullHits[0]):
            find_collection(infos, name, SIM_CALORIMETER_HIT.collection)
        self._hits = CollectionInfo.new(p.OutputHits[0], SIM_CALORIMETER_HIT)
        self._contributions = CollectionInfo.new(p.OutputContributions[0], CALO_HIT_CONTRIBUTION)
        return (self._hits, self._contributions)

    def metadata(self, known: Metadata) -> Metadata:
        encoding = encoding_of(known, self._p.InputFastHits[0], self._p.InputFullHits[0])
        return {f"{self._hits.name}__{CELL_ID_ENCODING}": encoding}

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        p = self._p

        def name_of(event: int) -> str:
            return f"event entry {first + event}"

        known = _Known(frames, self._infos, self._particles, name_of)
        hits, contributions = self._merger.merge(
            known.particles,
            relations(frames, self._particles, "parents"),
            known.subset(p.InputNotHandled[0]),
            known.hits(p.InputFastHits[0]),
            known.hits(p.InputFullHits[0]),
            name_of,
        )
        target = self._particles.collection_id
        return hit_fields(self._hits, self._contributions, hits, contributions, target)

    def finish(self) -> list[str]:
        return self._merger.lines()


class _Known:
    """The particles of some events, which are recognised where others point to copies of them."""

    def __init__(
        self,
        frames: Frames,
        infos: tuple[CollectionInfo, ...],
        info: CollectionInfo,
        name_of: EventName,
    ) -> None:
        self._frames, self._infos, self._info, self._name_of = frames, infos, info, name_of
        self.particles = particles(frames, info)
        self._compared: dict[int, tuple[Indices, Mask]] = {}

    def hits(self, name: str) -> tuple[Hits, Contributions]:
        """Read hits; contributions of copies become those of these particles."""
        hits, contributions = sim_hits(self._frames, name, self._infos)
        event = hits.event_of_contributions
        collection, particle = contributions.collection.copy(), contributions.particle.copy()
        types = {info.collection_id: info.data_type for info in self._infos}
        for number in np.unique(collection[particle >= 0]).tolist():
            rows = np.flatnonzero((collection == number) & (particle >= 0))
            if types.get(number) != MC_PARTICLE.collection:
                # To podio, too, a particle that is not in the file is none.
                particle[rows] = UNSET
                continue
            ours = self._ours(number, particle[rows], event[rows], name)
            collection[rows[ours]] = OWN_COLLECTION
        return hits, replace(contributions, collection=collection, particle=particle)

    def subset(self, name: str) -> Indices:
        """Read a subset of these particles, counted over all events."""
        offsets, index, collection = subset(self._frames, name)
        event = owners(offsets)
        for number in np.unique(collection).tolist():
            rows = np.flatnonzero(collection == number)
            if not self._ours(number, index[rows], event[rows], name).all():
                raise InvalidEventError(
                    f"'{name}' holds particles that are not in '{self._info.name}'"
                )
        return self.particles.offsets[event] + index

    def _ours(self, number: int, index: Ints, event: Indices, what: str) -> Mask:
        """Tell which particles of a collection are these, or copies of these."""
        if number not in self._compared:
            self._compared[number] = self._compare(number, what)
        offsets, copied = self._compared[number]
        beyond = np.flatnonzero(index >= np.diff(offsets)[event])
        if beyond.size:
            raise InvalidEventError(
                f"{self._name_of(int(event[beyond[0]]))}: '{what}' points beyond the particles"
            )
        ours: Mask = copied[offsets[event] + index]
        return ours

    def _compare(self, number: int, what: str) -> tuple[Indices, Mask]:
        """Compare the particles of a collection with these."""
        known = [info for info in self._infos if info.collection_id == number]
        if not known:
            raise InvalidEventError(f"'{what}' points to particles that are not in the file")
        ours = self.particles
        if known[0].name == self._info.name:
            return ours.offsets, np.ones(len(ours), np.bool_)
        others = particles(self._frames, known[0])
        event = others.event_of(np.arange(len(others)))
        index = np.arange(len(others)) - others.offsets[event]
        exists = index < np.diff(ours.offsets)[event]
        place = np.where(exists, ours.offsets[event] + index, -1)
        return others.offsets, others.copied_in(ours, place)

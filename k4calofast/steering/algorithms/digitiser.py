"""`k4calofast.hits.digitisation` on frames."""

from __future__ import annotations

import numpy as np

from k4calofast.arrays import ranks
from k4calofast.events.edm4hep import (
    CALO_HIT_LINK,
    CALORIMETER_HIT,
    CELL_ID_ENCODING,
    EVENT_HEADER,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout, collection
from k4calofast.events.typed import find_collection, sim_hits
from k4calofast.hits.digitisation import NO_HIT, Digitiser
from k4calofast.properties import CaloDigitiserProperties
from k4calofast.steering.algorithms.algorithm import Algorithm, Job, Metadata, encoding_of


class CaloDigitiser(Algorithm):
    """Digitises."""

    def __init__(self, name: str, properties: CaloDigitiserProperties, job: Job) -> None:
        self._name, self._p, self._job = name, properties, job
        self._digitiser = Digitiser(properties)

    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        p = self._p
        self._infos = infos
        find_collection(infos, p.InputEventHeader[0], EVENT_HEADER.collection)
        sim_hits_type = SIM_CALORIMETER_HIT.collection
        self._inputs = [find_collection(infos, name, sim_hits_type) for name in p.InputHits]
        self._outputs = [CollectionInfo.new(name, CALORIMETER_HIT) for name in p.OutputHits]
        links = [CollectionInfo.new(name, CALO_HIT_LINK) for name in p.OutputLinks]
        return (*self._outputs, *links)

    def metadata(self, known: Metadata) -> Metadata:
        return {
            f"{output.name}__{CELL_ID_ENCODING}": encoding_of(known, info.name)
            for info, output in zip(self._inputs, self._outputs, strict=True)
        }

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        p = self._p
        keys = self._job.keys(frames, p.InputEventHeader[0], first, self._name)
        hits = [sim_hits(frames, name, self._infos) for name in p.InputHits]
        fields: dict[str, Layout] = {}
        for info, output, links, digits in zip(
            self._inputs,
            self._outputs,
            p.OutputLinks,
            self._digitiser.digitise(keys, hits),
            strict=True,
        ):
            count = len(digits.energy)
            members = digits.members | {"type": np.zeros(count, np.int32)}
            fields |= collection(output.name, CALORIMETER_HIT, digits.offsets, members)
            linked = np.flatnonzero(digits.hit != NO_HIT)
            one_each = np.arange(len(linked) + 1)
            fields |= collection(
                links,
                CALO_HIT_LINK,
                np.searchsorted(linked, digits.offsets),
                {"weight": np.ones(len(linked), np.float32)},
                {
                    "from": (one_each, ranks(digits.offsets)[linked], output.collection_id),
                    "to": (one_each, digits.hit[linked], info.collection_id),
                },
            )
        return fields

    def finish(self) -> list[str]:
        return self._digitiser.lines()

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
from k4calofast.hits.digitisation import Digitiser
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
        self._input = find_collection(infos, p.InputHits[0], SIM_CALORIMETER_HIT.collection)
        self._output = CollectionInfo.new(p.OutputHits[0], CALORIMETER_HIT)
        return (self._output, CollectionInfo.new(p.OutputLinks[0], CALO_HIT_LINK))

    def metadata(self, known: Metadata) -> Metadata:
        encoding = encoding_of(known, self._p.InputHits[0])
        return {f"{self._output.name}__{CELL_ID_ENCODING}": encoding}

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        p = self._p
        keys = self._job.keys(frames, p.InputEventHeader[0], first, self._name)
        digits = self._digitiser.digitise(keys, *sim_hits(frames, p.InputHits[0], self._infos))
        count = len(digits.energy)
        one_each = np.arange(count + 1)
        return {
            **collection(
                p.OutputHits[0],
                CALORIMETER_HIT,
                digits.offsets,
                digits.members | {"type": np.zeros(count, np.int32)},
            ),
            **collection(
                p.OutputLinks[0],
                CALO_HIT_LINK,
                digits.offsets,
                {"weight": np.ones(count, np.float32)},
                {
                    "from": (one_each, ranks(digits.offsets), self._output.collection_id),
                    "to": (one_each, digits.hit, self._input.collection_id),
                },
            ),
        }

    def finish(self) -> list[str]:
        return self._digitiser.lines()

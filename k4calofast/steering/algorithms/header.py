"""k4FWCore's EventHeaderCreator, for input without EventHeaders."""

from __future__ import annotations

import numpy as np

from k4calofast.events.edm4hep import EVENT_HEADER
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout, collection
from k4calofast.steering.algorithms.algorithm import Metadata
from k4calofast.steering.configurables import EventHeaderCreatorProperties


class EventHeaderCreator:
    """See `k4calofast.steering.algorithms.Algorithm`.

    As with Gaudi, events are counted from the first of the job, not of the file.
    """

    def __init__(self, properties: EventHeaderCreatorProperties) -> None:
        self._p = properties
        self._made = 0

    def start(self, _infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        """See `Algorithm`."""
        return (CollectionInfo.new(self._p.EventHeaderCollection, EVENT_HEADER),)

    def metadata(self, _known: Metadata) -> Metadata:
        """See `Algorithm`."""
        return {}

    def execute(self, frames: Frames, _first: int) -> dict[str, Layout]:
        """See `Algorithm`."""
        p, count = self._p, frames.count
        numbers = np.arange(count, dtype=np.uint64) + np.uint64(p.eventNumberOffset + self._made)
        self._made += count
        return collection(
            p.EventHeaderCollection,
            EVENT_HEADER,
            np.arange(count + 1),
            {
                "eventNumber": numbers,
                "runNumber": np.full(count, p.runNumber, np.uint32),
                "timeStamp": np.zeros(count, np.uint64),
                "weight": np.ones(count),
            },
        )

    def finish(self) -> list[str]:
        """See `Algorithm`."""
        return []

    def seconds(self) -> dict[str, float]:
        """See `Algorithm`."""
        return {}

"""k4FWCore's EventHeaderCreator, for input without EventHeaders."""

from __future__ import annotations

import numpy as np

from k4calofast.events.columns import EventKeys
from k4calofast.events.edm4hep import EVENT_HEADER
from k4calofast.events.fields import header_fields
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout
from k4calofast.steering.algorithms.algorithm import Algorithm
from k4calofast.steering.configurables import EventHeaderCreatorProperties


class EventHeaderCreator(Algorithm):
    """As with Gaudi, events are counted from the first of the job, not of the file."""

    def __init__(self, properties: EventHeaderCreatorProperties) -> None:
        self._p = properties
        self._made = 0

    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        return (CollectionInfo.new(self._p.EventHeaderCollection, EVENT_HEADER),)

    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        p, count = self._p, frames.count
        numbers = np.arange(count, dtype=np.uint64) + np.uint64(p.eventNumberOffset + self._made)
        self._made += count
        keys = EventKeys(np.full(count, p.runNumber, np.uint32), numbers)
        return header_fields(p.EventHeaderCollection, keys)

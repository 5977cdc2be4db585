"""What the event loop asks of an algorithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from k4calofast.events.columns import EventKeys
from k4calofast.events.edm4hep import CELL_ID_ENCODING
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout
from k4calofast.events.typed import event_keys
from k4calofast.events.unique_id import unique_ids
from k4calofast.exceptions import MissingCollectionError, SteeringError

Metadata = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """What algorithms need to know of the job.

    Attributes
    ----------
    unique_id_seed
        Seed of the UniqueIDGenSvc, None for a job without.
    """

    unique_id_seed: int | None = None

    def keys(self, frames: Frames, header: str, first: int, algorithm: str) -> EventKeys:
        """Return what seeds an algorithm's random numbers; see `event_keys`."""
        keys = event_keys(frames, header, first)
        if self.unique_id_seed is None:
            return keys
        return replace(keys, seed=unique_ids(self.unique_id_seed, keys, algorithm))


class Algorithm(ABC):
    """Work on every event."""

    @abstractmethod
    def start(self, infos: tuple[CollectionInfo, ...]) -> tuple[CollectionInfo, ...]:
        """Check the collections that will be there, and return those that this adds."""

    def metadata(self, known: Metadata) -> Metadata:
        """Return what the metadata of the output must say; `known` is what it says so far."""
        return {}

    def at_once(self, frames: Frames) -> int:
        """Return how many of these frames, from the first on, should be in memory together."""
        return frames.count

    @abstractmethod
    def execute(self, frames: Frames, first: int) -> dict[str, Layout]:
        """Return the fields of the new collections; `first` is the first event's number."""

    def finish(self) -> list[str]:
        """Return lines for the end of the run."""
        return []

    def seconds(self) -> dict[str, float]:
        """Return the time spent so far, by stage."""
        return {}


def encoding_of(known: Metadata, *collections: str) -> str:
    """Cell-ID encoding of collections that share it.

    Raises
    ------
    MissingCollectionError
        If there is none, or they do not share it.
    """
    found = {name: known.get(f"{name}__{CELL_ID_ENCODING}") for name in collections}
    values = set(found.values()) - {None}
    if len(values) != 1:
        said = ", ".join(f"'{name}': {value}" for name, value in found.items())
        raise MissingCollectionError(f"one cell-ID encoding is needed, the metadata says {said}")
    return str(values.pop())


def refuse_other_encodings(known: Metadata, added: Metadata) -> None:
    """Refuse hits whose cells are counted otherwise than the metadata says already.

    Raises
    ------
    SteeringError
        If there is another encoding of the same collection, as of hits of the input that were not
        read.
    """
    for key, value in added.items():
        collection, _, name = key.rpartition("__")
        there = known.get(key, value)
        if name == CELL_ID_ENCODING and there != value:
            raise SteeringError(
                f"OutputHits '{collection}': the input's metadata gives hits of this name the "
                f"cell-ID encoding '{there}', but these have '{value}'; set OutputHits to another "
                "name"
            )

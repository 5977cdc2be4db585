"""What is known of events besides their numbers: names of collections, and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from k4calofast.events.edm4hep import CELL_ID_ENCODING
from k4calofast.events.metadata import Parameters


@dataclass(frozen=True)
class Content:
    """What a file says of its events, and what it calls them.

    Attributes
    ----------
    header, particles
        Names of the collections of EventHeaders and MCParticles.
    not_handled
        Name of the subset of the particles that wait for another simulation; empty for none.
    hits
        Collections of SimCalorimeterHits, with those of their contributions.
    digits
        Collections of CalorimeterHits.
    metadata
        Parameters of the file's metadata by kind and key.
    options
        Lines with the options of the job behind.
    """

    header: str = "EventHeader"
    particles: str = "MCParticles"
    not_handled: str = ""
    hits: Mapping[str, str] = field(default_factory=dict)
    digits: tuple[str, ...] = ()
    metadata: Parameters = field(default_factory=dict)
    options: tuple[str, ...] = ()

    @property
    def collections(self) -> tuple[str, ...]:
        """Names of all collections of hits."""
        return (*self.hits, *self.digits)

    def text(self, key: str) -> str | None:
        """Text of the metadata, None if they do not have the key."""
        values: list[Any] = self.metadata.get("String", {}).get(key, [])
        return str(values[0]) if values else None

    def encoding(self, collection: str) -> str | None:
        """How cell IDs of a collection are made, None if the file does not say it."""
        return self.text(f"{collection}__{CELL_ID_ENCODING}")

"""Frames of a file: the fields of its events, and what the file says about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import awkward as ak

from k4calofast.events.edm4hep import (
    EDM4HEP_VERSION,
    PODIO_VERSION,
    DataType,
    collection_id,
    definition,
)
from k4calofast.events.layout import Layout
from k4calofast.exceptions import FileFormatError

EVENTS = "events"
METADATA = "metadata"
"""Names of the two categories of frames that have a meaning of their own."""

CONFIGURATION = "configuration_metadata"
OPTIONS = "gaudiConfigOptions"
"""Category in which k4FWCore keeps a job's options, and its parameter with their lines."""


@dataclass(frozen=True)
class CollectionInfo:
    """What podio stores about a collection, once per category of frames."""

    collection_id: int
    data_type: str
    is_subset: bool
    schema_version: int
    name: str
    storage_type: str

    @classmethod
    def new(cls, name: str, data_type: DataType) -> CollectionInfo:
        """Describe a collection that this package adds."""
        return cls(
            collection_id(name),
            data_type.collection,
            False,
            data_type.schema_version,
            name,
            f"std::vector<{data_type.data_record}>",
        )

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> CollectionInfo:
        """Describe a collection as podio's metadata do."""
        data_type = stored["dataType"]
        return cls(
            stored["collectionID"],
            data_type,
            stored["isSubset"],
            stored["schemaVersion"],
            stored["name"],
            stored.get("storageType", _storage_type(data_type)),
        )

    def named(self, name: str, *, is_subset: bool = False) -> CollectionInfo:
        """Describe another collection of the same type, of this name."""
        return replace(self, collection_id=collection_id(name), name=name, is_subset=is_subset)


@dataclass(frozen=True)
class FileInfo:
    """What a file says about the software behind it.

    Attributes
    ----------
    podio_version
        Version of podio that wrote it.
    definitions
        Data models by name, as podio's JSON.
    model_versions
        Versions of data models by name.
    streamers
        ROOT's descriptions of the structs, from which it knows those of other versions.
    """

    podio_version: tuple[int, int, int]
    definitions: Mapping[str, str]
    model_versions: Mapping[str, tuple[int, int, int]]
    streamers: tuple[Any, ...] = field(default=(), compare=False)

    @classmethod
    def own(cls) -> FileInfo:
        """Describe files that this package starts itself."""
        return cls(PODIO_VERSION, {"edm4hep": definition()}, {"edm4hep": EDM4HEP_VERSION})


@dataclass(frozen=True)
class Frames:
    """Some frames of one category, in the layout that podio gives an RNTuple.

    Attributes
    ----------
    fields
        Awkward layouts by name, one entry per frame.
    count
        Number of frames.
    first
        Number of the first one in the input, for messages.
    """

    fields: Mapping[str, Layout]
    count: int
    first: int = 0

    def array(self, field: str) -> ak.Array:
        """Return one field for analysis.

        Raises
        ------
        FileFormatError
            If there is none of this name.
        """
        if field not in self.fields:
            raise FileFormatError(f"no field '{field}', which belongs to the data")
        return ak.Array(self.fields[field])

    def slice(self, start: int, stop: int) -> Frames:
        """Return frames `start` to `stop` (excluded)."""
        part = {name: layout[start:stop] for name, layout in self.fields.items()}
        return Frames(part, stop - start, self.first + start)

    @classmethod
    def joined(cls, parts: Sequence[Frames]) -> Frames:
        """Return the frames of several parts with the same fields, one after the other."""
        if len(parts) == 1:
            return parts[0]
        # Slices drag along what they are slices of.
        fields = {
            name: ak.concatenate(
                [ak.to_packed(part.fields[name]) for part in parts], highlevel=False
            )
            for name in parts[0].fields
        }
        return cls(fields, sum(part.count for part in parts), parts[0].first)

    def with_fields(self, more: Mapping[str, Layout]) -> Frames:
        """Return the frames with further fields, which replace any of the same name."""
        return replace(self, fields={**self.fields, **more})


def _storage_type(data_type: str) -> str:
    """C++ type of the vector that stores a collection, for files that do not say it."""
    user = re.match(r"podio::UserDataCollection<(.+)>$", data_type)
    if user is not None:
        return f"std::vector<{user[1]}>"
    if data_type.startswith("podio::LinkCollection<"):
        return "std::vector<podio::LinkData>"
    return f"std::vector<{data_type.removesuffix('Collection')}Data>"


def owner(field: str, collections: Iterable[str]) -> str | None:
    """Collection that a field belongs to, None for frame parameters.

    A relation's field is ``_<collection>_<relation>``; the longest name that fits is meant.
    """
    names = [
        name
        for name in collections
        if field in (name, f"{name}_objIdx") or field.startswith(f"_{name}_")
    ]
    return max(names, key=len, default=None)

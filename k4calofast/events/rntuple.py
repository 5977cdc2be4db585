"""Reading podio's RNTuples: arrays as uproot reads them, with the structs' C++ names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import awkward as ak

from k4calofast.events.frames import CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import Layout, Struct
from k4calofast.events.uproot_rntuple import NO_VERSION

_INFOS = "___CollectionTypeInfo"
"""End of the names of the fields that describe a category's collections."""


class NTupleCategory:
    """One category of frames, stored as an RNTuple."""

    def __init__(
        self, directory: Any, name: str, infos: Callable[[], tuple[CollectionInfo, ...]]
    ) -> None:
        self._infos = infos
        self._ntuple = directory[name]
        self.num_entries = int(self._ntuple.num_entries)
        self._children: dict[int, list[int]] = {}
        for i, field in enumerate(self._ntuple.field_records):
            if field.parent_field_id != i:
                self._children.setdefault(field.parent_field_id, []).append(i)
        self._top = {
            field.field_name: i
            for i, field in enumerate(self._ntuple.field_records)
            if field.parent_field_id == i
        }

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields that `frames` yields."""
        return tuple(self._top)

    @property
    def infos(self) -> tuple[CollectionInfo, ...]:
        """The category's collections."""
        return self._infos()

    @property
    def header(self) -> bytes:
        """The RNTuple's header, which says how everything is stored."""
        return bytes(self._ntuple.header_bytes)

    def frames(self, start: int, stop: int, size: int, fields: tuple[str, ...]) -> Iterator[Frames]:
        """Yield entries `start` to `stop` in chunks of at most `size`; one, if there are none.

        A cluster is the smallest part that can be read, so this reads whole clusters, as
        many as a chunk needs, and cuts them.
        """
        for first, last in self._cluster_groups(start, stop, size):
            array = self._ntuple.arrays(
                filter_name=list(fields), entry_start=first, entry_stop=last
            )
            packed = array.layout.to_packed()
            read = Frames(
                {field: self._named(packed.content(field), self._top[field]) for field in fields},
                last - first,
            )
            self._ntuple.page_link_list.clear()
            for at in range(0, max(read.count, 1), size):
                yield read.slice(at, min(at + size, read.count))

    def _cluster_groups(self, start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
        if start >= stop:
            yield start, start
        begin = start
        for cluster in self._ntuple.cluster_summaries:
            end = min(cluster.num_first_entry + cluster.num_entries, stop)
            if end - begin >= size or (end == stop and end > begin):
                yield begin, end
                begin = end

    def _named(self, layout: Layout, field: int) -> Layout:
        """Give records the C++ names that the file has for them."""
        children = self._children.get(field, [])
        if isinstance(layout, ak.contents.RecordArray):
            contents = [
                self._named(content, child)
                for content, child in zip(layout.contents, children, strict=True)
            ]
            parameters = dict(layout.parameters)
            if not layout.is_tuple:
                description = self._ntuple.field_records[field]
                version = description.type_version
                parameters |= Struct(
                    description.type_name,
                    None if version == NO_VERSION else version,
                    description.checksum,
                ).parameters()
            return ak.contents.RecordArray(
                contents,
                layout.fields if not layout.is_tuple else None,
                layout.length,
                parameters=parameters,
            )
        if children:
            return layout.copy(content=self._named(layout.content, children[0]))
        return layout


def _only_entry(metadata: Any, wanted: Callable[[str], bool]) -> dict[str, Any]:
    names = [field.name for field in metadata.fields if wanted(field.name)]
    return {name: row[0] for name, row in metadata.arrays(filter_name=names, how=dict).items()}


def file_info(metadata: Any) -> FileInfo:
    """Read what podio's metadata says about the software."""
    entry = _only_entry(metadata, lambda name: not name.endswith(_INFOS))
    definitions = {}
    for row in entry["EDMDefinitions"].tolist():
        name, text = row.values() if isinstance(row, dict) else row
        definitions[name] = text
    return FileInfo(
        _version(entry["PodioBuildVersion"]),
        definitions,
        {
            name.removesuffix("___Version"): _version(value)
            for name, value in entry.items()
            if name.endswith("___Version")
        },
    )


def _version(numbers: Any) -> tuple[int, int, int]:
    major, minor, patch = (int(number) for number in numbers)
    return major, minor, patch


def collection_infos(metadata: Any) -> dict[str, tuple[CollectionInfo, ...]]:
    """Read what podio's metadata says about the collections of each category."""
    names = tuple(field.name for field in metadata.fields if field.name.endswith(_INFOS))
    stored = metadata.stored(names)
    if stored not in _INFOS_OF:
        _INFOS_OF.clear()
        _INFOS_OF[stored] = {
            name.removesuffix(_INFOS): tuple(map(CollectionInfo.of, rows.tolist()))
            for name, rows in _only_entry(metadata, names.__contains__).items()
        }
    return _INFOS_OF[stored]


_INFOS_OF: dict[Any, dict[str, tuple[CollectionInfo, ...]]] = {}
"""Those of the latest file: inputs of a job have the same, and parsing them takes longest."""

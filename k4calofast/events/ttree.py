"""Reading podio's TTrees: branches of split structs become fields in RNTuple layout."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import awkward as ak
import numpy as np
import uproot
from uproot.containers import AsArray, AsString
from uproot.interpretation.objects import AsObjects

from k4calofast.events.edm4hep import DTYPES
from k4calofast.events.frames import CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import (
    PARAMETER_KINDS,
    Layout,
    Struct,
    jagged,
    parameters,
    record,
)
from k4calofast.exceptions import FileFormatError

_VECTOR = re.compile(r"(?:std::)?vector<(.+?)\s*>$")
_OLD_RELATION = re.compile(r"(.+)#(\d+)$")
_OLD_VECTOR_MEMBER = re.compile(r"(.+)_(\d+)$")


class TreeCategory:
    """One category of frames, stored as a TTree."""

    header = None

    def __init__(
        self, directory: Any, name: str, infos: tuple[CollectionInfo, ...], file: FileInfo
    ):
        self.infos = infos
        self._tree = directory[name]
        # uproot looks names of leaves up by going through all branches; some files have thousands.
        for branch in self._tree.itervalues(recursive=True):
            self._tree._lookup.setdefault(branch.name, branch)
        self._streamers = directory.file
        self.num_entries = int(self._tree.num_entries)
        self._fields: dict[str, Callable[[dict[str, Any]], Layout]] = {}
        self._leaves: dict[str, list[str]] = {}
        renamed = _modern_names(self._tree, infos, file)
        for branch in self._tree.branches:
            if branch.name == "PARAMETERS":
                self._add_parameter_map(branch)
            else:
                self._add_branch(branch, renamed.get(branch.name, branch.name))
        # Before EDM4hep wanted them, files had no double parameters.
        for kind in PARAMETER_KINDS:
            if f"GP{kind}Keys" not in self._fields:
                for field in (f"GP{kind}Keys", f"GP{kind}Values"):
                    self._leaves[field], self._fields[field] = [], _no_parameters(field)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields that `frames` yields."""
        return tuple(self._fields)

    def frames(self, start: int, stop: int, size: int, fields: tuple[str, ...]) -> Iterator[Frames]:
        """Yield entries `start` to `stop` in chunks of at most `size`; one, if there are none."""
        leaves = list(dict.fromkeys(leaf for field in fields for leaf in self._leaves[field]))
        steps = (
            self._tree.iterate(leaves, step_size=size, entry_start=start, entry_stop=stop, how=dict)
            if start < stop
            else iter([self._tree.arrays(leaves, entry_start=start, entry_stop=start, how=dict)])
        )
        done = start
        for arrays in steps:
            count = min(size, stop - done)
            done += count
            arrays["count"] = count
            yield Frames({field: self._fields[field](arrays) for field in fields}, count)

    def _add_branch(self, branch: Any, field: str) -> None:
        if branch.branches:
            match = _VECTOR.match(branch.typename)
            if match is None:
                raise FileFormatError(f"branch {branch.name}: {branch.typename} is not podio's")
            leaves, build = self._struct(match[1], branch.name)
            self._leaves[field] = leaves

            def split(arrays: dict[str, Any]) -> Layout:
                offsets = _offsets(arrays[leaves[0]])
                for leaf in leaves[1:]:
                    if not np.array_equal(_offsets(arrays[leaf]), offsets):
                        raise FileFormatError(f"branch {leaf}: not one entry for each object")
                return jagged(offsets, build(arrays))

            self._fields[field] = split
        else:
            self._leaves[field] = [branch.name]
            self._fields[field] = _whole(branch.name)

    def _struct(
        self, cpp: str, prefix: str
    ) -> tuple[list[str], Callable[[dict[str, Any]], Layout]]:
        """Leaves of a struct in a vector, and how to build its records from them."""
        leaves: list[str] = []
        members: dict[str, Callable[[dict[str, Any]], Layout]] = {}
        streamer = self._streamers.streamer_named(cpp)
        # podio's own structs have no version of their own.
        version = None if cpp.startswith("podio::") else int(streamer.class_version)
        struct = Struct(cpp, version, int(streamer.member("fCheckSum")))
        for element in streamer.elements:
            path = f"{prefix}.{element.name}"
            if self._is_struct(element.typename):
                inner, members[element.name] = self._struct(element.typename, path)
                leaves += inner
            else:
                if element.array_length:
                    path += f"[{element.array_length}]"
                leaves.append(path)
                members[element.name] = _content(path)
        return leaves, lambda arrays: record(
            struct, {name: build(arrays) for name, build in members.items()}
        )

    def _is_struct(self, typename: str) -> bool:
        return "::" in typename and typename not in DTYPES

    def _add_parameter_map(self, branch: Any) -> None:
        """Frame parameters of old files: maps from keys to vectors of values."""
        for kind in PARAMETER_KINDS:
            for part, column in (("first", "Keys"), ("second", "Values")):
                leaf = f"_{kind.lower()}Map.{part}"
                if any(name.endswith(leaf) for name in branch.keys(recursive=True)):
                    self._leaves[f"GP{kind}{column}"] = [leaf]
                    self._fields[f"GP{kind}{column}"] = _whole(leaf)


def _content(leaf: str) -> Callable[[dict[str, Any]], Layout]:
    return lambda arrays: ak.to_packed(arrays[leaf]).layout.content


def _whole(leaf: str) -> Callable[[dict[str, Any]], Layout]:
    return lambda arrays: ak.to_packed(arrays[leaf]).layout


def _offsets(array: ak.Array) -> np.ndarray[Any, Any]:
    counts = ak.to_numpy(ak.num(array, axis=1))
    return np.concatenate([[0], np.cumsum(counts)])


def _no_parameters(field: str) -> Callable[[dict[str, Any]], Layout]:
    return lambda arrays: parameters({}, arrays["count"])[field]


def _modern_names(tree: Any, infos: tuple[CollectionInfo, ...], file: FileInfo) -> dict[str, str]:
    """Names that podio gives today to the branches of relations that it once numbered."""
    renamed = {}
    types = {info.name: info.data_type.removesuffix("Collection") for info in infos}
    datatypes: dict[str, Any] = {}
    for text in file.definitions.values():
        datatypes |= json.loads(text).get("datatypes", {})
    for branch in tree.branches:
        for pattern, sections in (
            (_OLD_RELATION, ("OneToManyRelations", "OneToOneRelations")),
            (_OLD_VECTOR_MEMBER, ("VectorMembers",)),
        ):
            match = pattern.match(branch.name)
            if match is None or match[1] not in types or branch.name in types:
                continue
            name, number = match[1], int(match[2])
            definition = datatypes.get(types[name], {})
            members = [member for section in sections for member in definition.get(section, [])]
            if number >= len(members):
                raise FileFormatError(
                    f"branch {branch.name}: the file does not say which relation of "
                    f"{types[name]} this is; rewrite it with podio 1.0 or later"
                )
            # "<type> <name> // comment"
            renamed[branch.name] = f"_{name}_{members[number].split('//')[0].split()[-1]}"
    return renamed


def file_info(metadata: Any) -> FileInfo:
    """Read what podio's metadata tree says about the software."""
    branches = {branch.name: branch for branch in metadata.branches}
    return FileInfo(
        _version(branches["PodioBuildVersion"]),
        _definitions(branches.get("EDMDefinitions")),
        {
            name.removesuffix("___Version"): _version(branch)
            for name, branch in branches.items()
            if name.endswith("___Version")
        },
    )


def _version(branch: Any) -> tuple[int, int, int]:
    major, minor, patch = (int(branch[part].array()[0]) for part in ("major", "minor", "patch"))
    return major, minor, patch


def _definitions(branch: Any | None) -> dict[str, str]:
    if branch is None:
        return {}
    parts = {part.name[-1]: part.array()[0].tolist() for part in branch.branches}
    return dict(zip(parts["0"], parts["1"], strict=True))


def collection_infos(metadata: Any) -> dict[str, tuple[CollectionInfo, ...]]:
    """Read what podio's metadata tree says about the collections of each category.

    Since podio 1.3 they are structs; before, tuples of ID, type, whether it is a subset and
    (not always) the schema version, with the names in a table beside them.
    """
    infos = {}
    for branch in metadata.branches:
        if not branch.name.endswith("___CollectionTypeInfo"):
            continue
        category = branch.name.removesuffix("___CollectionTypeInfo")
        columns = {part.name.rsplit(".", 1)[-1]: _column(part) for part in branch.branches}
        if "collectionID" not in columns:
            table = metadata[f"{category}___idTable"]
            ids = table["m_collectionIDs"].array()[0].tolist()
            names = dict(zip(ids, table["m_names"].array()[0].tolist(), strict=True))
            columns = {
                "collectionID": columns["_0"],
                "dataType": columns["_1"],
                "isSubset": columns["_2"],
                "schemaVersion": columns.get("_3", [1] * len(columns["_0"])),
                "name": [names[identity] for identity in columns["_0"]],
            }
        rows = zip(*columns.values(), strict=True)
        infos[category] = tuple(
            CollectionInfo.of(dict(zip(columns, row, strict=True))) for row in rows
        )
    return infos


def _column(branch: Any) -> list[Any]:
    # uproot does not recognise strings in tuples by itself.
    known = not isinstance(
        branch.interpretation, uproot.interpretation.identify.UnknownInterpretation
    )
    array = (
        branch.array()
        if known
        else branch.array(AsObjects(AsArray(True, False, AsString(False), ()), branch))
    )
    return list(array[0].tolist())

"""Awkward layouts that say which C++ struct each record is.

An EDM4hep collection in an RNTuple is a field of type ``std::vector<edm4hep::XData>`` with
further fields for relations and vector members; these functions build such fields from
columns. Records carry their C++ name in Awkward's ``__record__`` parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Indices
from k4calofast.events.edm4hep import COMPONENTS, DTYPES, SCHEMA_VERSION, DataType
from k4calofast.exceptions import FileFormatError, SteeringError

Layout = Any
"""An `awkward.contents.Content`."""

UNSET = -1
"""Index of a relation that points nowhere."""

PARAMETER_KINDS: dict[str, Any] = {
    "Int": np.int32,
    "Float": np.float32,
    "Double": np.float64,
    "String": str,
}
"""Frame parameters are stored by type, as ``GP<kind>Keys`` and ``GP<kind>Values``."""


@dataclass(frozen=True)
class Struct:
    """A C++ struct, as ROOT identifies it.

    Attributes
    ----------
    name
        Its name.
    version
        Version of its layout: the schema version of its data model, from which ROOT knows
        how members have changed since. None for structs without versions.
    checksum
        ROOT's checksum of its layout, None if it is not known.
    """

    name: str
    version: int | None = None
    checksum: int | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of Awkward records of this struct."""
        return {"__record__": self.name, "version": self.version, "checksum": self.checksum}

    @classmethod
    def of(cls, form: Any) -> Struct:
        """Return the struct of Awkward records."""
        parameters = form.parameters
        return cls(parameters["__record__"], parameters.get("version"), parameters.get("checksum"))


def record(struct: Struct, members: Mapping[str, Layout]) -> Layout:
    """Records of a C++ struct from one layout per member."""
    return ak.contents.RecordArray(
        list(members.values()), list(members), parameters=struct.parameters()
    )


def jagged(offsets: Indices, content: Layout) -> Layout:
    """Lists, one per event: element i is ``content[offsets[i]:offsets[i + 1]]``."""
    return ak.contents.ListOffsetArray(ak.index.Index64(np.asarray(offsets, np.int64)), content)


def numbers(values: npt.ArrayLike, dtype: npt.DTypeLike) -> Layout:
    """Plain numbers."""
    return ak.contents.NumpyArray(np.ascontiguousarray(values, dtype))


def object_ids(index: npt.ArrayLike, collection: npt.ArrayLike) -> Layout:
    """``podio::ObjectID`` records from indices (`UNSET` for nowhere) and collections' IDs."""
    index = np.asarray(index, np.int32)
    ids = np.where(index < 0, 0, collection)
    return record(
        Struct("podio::ObjectID"),
        {"index": numbers(index, np.int32), "collectionID": numbers(ids, np.uint32)},
    )


def collection(
    name: str,
    data_type: DataType,
    offsets: Indices,
    members: Mapping[str, npt.ArrayLike],
    relations: Mapping[str, tuple[Indices, npt.ArrayLike, npt.ArrayLike]] | None = None,
) -> dict[str, Layout]:
    """Fields of a collection.

    Parameters
    ----------
    name
        Name of the collection.
    data_type
        Its type.
    offsets
        (events + 1,) where each event's objects start.
    members
        (objects,) or, for a struct of three, (objects, 3) values; all members must be given.
    relations
        For each relation: (objects + 1,) offsets of the targets of each object, the
        targets' indices in their collection and event (`UNSET` for nowhere), and the ID of
        that collection, one for all or one for each. Relations that are not given are empty,
        or unset.

    Returns
    -------
    dict
        The fields by name.
    """
    relations = dict(relations or {})
    count = int(offsets[-1])
    content: dict[str, Layout] = {}
    for member, cpp in data_type.members.items():
        values = np.asarray(members[member])
        if cpp in COMPONENTS:
            parts = COMPONENTS[cpp]
            content[member] = record(
                Struct(cpp, SCHEMA_VERSION),
                {part: numbers(values[:, i], DTYPES[parts[part]]) for i, part in enumerate(parts)},
            )
        else:
            content[member] = numbers(values, DTYPES[cpp])
    fields: dict[str, Layout] = {}
    nothing = (np.zeros(count + 1, np.int64), np.zeros(0, np.int32), 0)
    for relation in (*data_type.vectors, *data_type.to_many):
        targets, index, target_id = relations.get(relation, nothing)
        # Begin and end count from the event's first target.
        first = np.repeat(targets[offsets[:-1]], np.diff(offsets))
        content[f"{relation}_begin"] = numbers(targets[:-1] - first, np.uint32)
        content[f"{relation}_end"] = numbers(targets[1:] - first, np.uint32)
        if relation in data_type.vectors:
            values = numbers(index, DTYPES[data_type.vectors[relation]])
        else:
            values = object_ids(index, target_id)
        fields[f"_{name}_{relation}"] = jagged(targets[offsets], values)
    for relation in data_type.to_one:
        _, index, target_id = relations.get(relation, (None, np.full(count, UNSET, np.int32), 0))
        fields[f"_{name}_{relation}"] = jagged(offsets, object_ids(index, target_id))
    return {
        name: jagged(
            offsets, record(Struct(data_type.data_record, data_type.struct_version), content)
        ),
        **fields,
    }


def subset(name: str, offsets: Indices, index: npt.ArrayLike, target_id: int) -> dict[str, Layout]:
    """Fields of a subset collection: references to some objects of another collection."""
    return {f"{name}_objIdx": jagged(offsets, object_ids(index, target_id))}


def parameters(values: Mapping[str, Mapping[str, list[Any]]], count: int = 1) -> dict[str, Layout]:
    """Fields of frame parameters, the same in each of `count` frames.

    Parameters
    ----------
    values
        By kind (see `PARAMETER_KINDS`), then by key: a list of values each.
    """
    fields: dict[str, Layout] = {}
    for kind, dtype in PARAMETER_KINDS.items():
        keys = list(values.get(kind, {}))
        lists = [values[kind][key] for key in keys]
        fields[f"GP{kind}Keys"] = jagged(np.arange(count + 1) * len(keys), strings(keys * count))
        flat = [value for value_list in lists for value in value_list] * count
        content = strings(flat) if dtype is str else numbers(flat, dtype)
        inner = np.concatenate([[0], np.cumsum([len(v) for v in lists] * count)])
        fields[f"GP{kind}Values"] = jagged(
            np.arange(count + 1) * len(keys), jagged(inner.astype(np.int64), content)
        )
    return fields


def refuse_parameter(key: str, value: int | float | str) -> None:
    """Refuse a frame parameter that could not be written.

    Raises
    ------
    SteeringError
        If it is an integer that does not fit into 32 bits, as podio has them, or text that is none.
    """
    try:
        key.encode()
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        raise SteeringError(
            f"metadata {key!a} = {value!a} holds what is no letter, and cannot be written as text"
        ) from None
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        raise SteeringError(
            f"metadata '{key}' = {value}: integers have 32 bits in podio; take a float or a string"
        )


def with_parameters(
    fields: Mapping[str, Layout], kind: str, values: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Layout]:
    """Fields of frame parameters with more of one kind; a key that is there is replaced.

    Parameters
    ----------
    fields
        Of the frames' parameters, as `parameters` makes them.
    values
        By key: (frames, values) numbers.
    """
    keys, lists = ak.Array(fields[f"GP{kind}Keys"]), ak.Array(fields[f"GP{kind}Values"])
    for key, numbers_of in values.items():
        stays = keys != key
        count = len(keys)
        more = ak.Array(jagged(np.arange(count + 1), strings([key] * count)))
        inner = np.arange(count + 1) * numbers_of.shape[1]
        flat = numbers(numbers_of.ravel(), PARAMETER_KINDS[kind])
        added = ak.Array(jagged(np.arange(count + 1), jagged(inner, flat)))
        keys = ak.concatenate([keys[stays], more], axis=1)
        lists = ak.concatenate([lists[stays], added], axis=1)
    return {
        f"GP{kind}Keys": ak.to_packed(keys).layout,
        f"GP{kind}Values": ak.to_packed(lists).layout,
    }


def read_parameters(fields: Mapping[str, Layout], frame: int) -> dict[str, dict[str, list[Any]]]:
    """Frame parameters of one frame, as `parameters` takes them; none of a kind without fields.

    Raises
    ------
    FileFormatError
        If there are not as many lists of values as keys.
    """
    found = {}
    for kind in PARAMETER_KINDS:
        keys, values = (
            ak.Array(fields[name])[frame].tolist() if name in fields else []
            for name in (f"GP{kind}Keys", f"GP{kind}Values")
        )
        if len(keys) != len(values):
            raise FileFormatError(
                f"frame parameters: {len(keys)} keys and {len(values)} values of kind {kind}"
            )
        found[kind] = dict(zip(keys, values, strict=True))
    return found


def strings(values: list[str]) -> Layout:
    """Strings."""
    encoded = [value.encode() for value in values]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in encoded])]).astype(np.int64)
    characters = np.frombuffer(b"".join(encoded), np.uint8)
    return ak.contents.ListOffsetArray(
        ak.index.Index64(offsets),
        ak.contents.NumpyArray(characters, parameters={"__array__": "char"}),
        parameters={"__array__": "string"},
    )

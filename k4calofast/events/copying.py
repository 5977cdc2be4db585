"""A collection again under another name, with some members changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import awkward as ak
import numpy as np
import numpy.typing as npt

from k4calofast.events.frames import CollectionInfo, Frames, owner
from k4calofast.events.layout import Layout


def copied(
    frames: Frames,
    info: CollectionInfo,
    copy: CollectionInfo,
    members: Mapping[str, npt.NDArray[np.generic]],
    collections: Iterable[str],
) -> dict[str, Layout]:
    """Fields of a copy; relations among the collection's objects become relations of the copy's.

    Parameters
    ----------
    frames, info
        Where the collection is, and what it is.
    copy
        What the copy is.
    members
        (objects,) values of the members that change.
    collections
        Names of all collections in the frames: one may begin like another.
    """
    names = list(collections)
    fields: dict[str, Layout] = {}
    objects = frames.fields[info.name].to_packed()
    fields[copy.name] = ak.contents.ListOffsetArray(
        objects.offsets,
        _with_members(
            objects.content,
            {name: ak.contents.NumpyArray(values) for name, values in members.items()},
        ),
    )
    for field, layout in frames.fields.items():
        if field != info.name and owner(field, names) == info.name:
            targets = layout.to_packed()
            fields[f"_{copy.name}_" + field.removeprefix(f"_{info.name}_")] = (
                ak.contents.ListOffsetArray(
                    targets.offsets, _pointing_at(targets.content, info, copy)
                )
            )
    return fields


def _pointing_at(targets: Layout, info: CollectionInfo, copy: CollectionInfo) -> Layout:
    if not (targets.is_record and "collectionID" in targets.fields):
        return targets
    ids = np.asarray(targets.content("collectionID").data)
    ids = np.where(ids == info.collection_id, copy.collection_id, ids).astype(ids.dtype)
    return _with_members(targets, {"collectionID": ak.contents.NumpyArray(ids)})


def _with_members(records: Layout, members: Mapping[str, Layout]) -> Layout:
    contents = [members.get(name, records.content(name)) for name in records.fields]
    return ak.contents.RecordArray(contents, records.fields, parameters=records.parameters)

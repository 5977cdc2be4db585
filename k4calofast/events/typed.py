"""From the fields of frames to the typed columns that the stages work on."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from k4calofast.events.columns import (
    Contributions,
    EventKeys,
    Floats,
    Hits,
    Indices,
    Particles,
)
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.exceptions import InvalidEventError, MissingCollectionError


def find_collection(
    infos: tuple[CollectionInfo, ...], name: str, data_type: str, *, is_subset: bool = False
) -> CollectionInfo:
    """Return the description of a collection, or of a subset.

    Raises
    ------
    MissingCollectionError
        If there is none of this name, or it is of another type, or a subset where a collection
        is wanted, or the reverse.
    """
    for info in infos:
        if info.name == name:
            break
    else:
        same = [info.name for info in infos if info.data_type == data_type]
        hint = f"; of that type there is {', '.join(same)}" if same else ""
        raise MissingCollectionError(f"no collection '{name}' of type {data_type}{hint}")
    if info.data_type != data_type or info.is_subset != is_subset:
        wanted, found = (
            f"a subset of {kind}" if subset else kind
            for kind, subset in ((data_type, is_subset), (info.data_type, info.is_subset))
        )
        raise MissingCollectionError(f"collection '{name}' is {found}, not {wanted}")
    return info


def event_keys(frames: Frames, name: str, first: int) -> EventKeys:
    """Read run and event numbers from a collection of EventHeaders.

    Parameters
    ----------
    first
        Number of the first of these frames in the input, for messages.

    Raises
    ------
    InvalidEventError
        If an event does not have exactly one header.
    """
    headers = frames.array(name)
    counts = ak.to_numpy(ak.num(headers, axis=1))
    wrong = np.flatnonzero(counts != 1)
    if wrong.size:
        raise InvalidEventError(
            f"event entry {first + wrong[0]} has {counts[wrong[0]]} EventHeaders in '{name}'; "
            "exactly one is needed"
        )
    flat = headers.layout.to_packed().content
    # Old files hold signed numbers here.
    return EventKeys(
        _column(flat, "runNumber").astype(np.uint32), _column(flat, "eventNumber").astype(np.uint64)
    )


def particles(frames: Frames, name: str) -> Particles:
    """Read a collection of MCParticles, whatever the precision of its members."""
    jagged = frames.array(name).layout.to_packed()
    flat = jagged.content
    return Particles(
        offsets=np.asarray(jagged.offsets.data, np.int64),
        pdg=_column(flat, "PDG").astype(np.int32),
        generator_status=_column(flat, "generatorStatus").astype(np.int32),
        simulator_status=_column(flat, "simulatorStatus").astype(np.int32),
        charge=_column(flat, "charge").astype(np.float64),
        time=_column(flat, "time").astype(np.float64),
        mass=_column(flat, "mass").astype(np.float64),
        vertex=_vectors(flat, "vertex"),
        endpoint=_vectors(flat, "endpoint"),
        momentum=_vectors(flat, "momentum"),
        momentum_at_endpoint=_vectors(flat, "momentumAtEndpoint"),
    )


def relations(frames: Frames, info: CollectionInfo, relation: str) -> tuple[Indices, Indices]:
    """Read a to-many relation of a collection to itself; what points elsewhere is left out.

    Returns
    -------
    source, target
        (relations,) numbers of the objects at both ends, counted over all events.
    """
    objects = frames.array(info.name).layout.to_packed()
    source, row = _ranges(
        _column(objects.content, f"{relation}_begin"), _column(objects.content, f"{relation}_end")
    )
    targets = frames.array(f"_{info.name}_{relation}").layout.to_packed()
    begin = np.asarray(objects.offsets.data, np.int64)
    event = np.searchsorted(begin, source, side="right") - 1
    row += np.asarray(targets.offsets.data, np.int64)[event]
    index = _column(targets.content, "index").astype(np.int64)[row]
    inside = _column(targets.content, "collectionID")[row] == info.collection_id
    inside &= (index >= 0) & (index < np.diff(begin)[event])
    return source[inside], (index + begin[event])[inside]


def sim_hits(
    frames: Frames, name: str, infos: tuple[CollectionInfo, ...]
) -> tuple[Hits, Contributions]:
    """Read a collection of SimCalorimeterHits with its contributions.

    These may be in several collections, and may point to particles of several.

    Raises
    ------
    MissingCollectionError
        If the file lacks the contributions.
    InvalidEventError
        If a hit points to a contribution that is not there.
    """
    objects = frames.array(name).layout.to_packed()
    flat, offsets = objects.content, np.asarray(objects.offsets.data, np.int64)
    targets = frames.array(f"_{name}_contributions").layout.to_packed()
    hit, row = _ranges(_column(flat, "contributions_begin"), _column(flat, "contributions_end"))
    event = np.searchsorted(offsets, hit, side="right") - 1
    row += np.asarray(targets.offsets.data, np.int64)[event]
    index = _column(targets.content, "index").astype(np.int64)[row]
    collection = _column(targets.content, "collectionID")[row]
    counts = np.bincount(hit, minlength=len(flat))
    hits = Hits(
        offsets,
        _column(flat, "cellID").astype(np.uint64),
        _column(flat, "energy").astype(np.float32),
        _vectors(flat, "position").astype(np.float32),
        np.concatenate([[0], np.cumsum(counts)]),
    )
    count = len(row)
    contributions = Contributions(
        particle=np.empty(count, np.int32),
        collection=np.empty(count, np.uint32),
        pdg=np.empty(count, np.int32),
        energy=np.empty(count, np.float32),
        time=np.empty(count, np.float32),
        position=np.empty((count, 3), np.float32),
        step_length=np.zeros(count, np.float32),
    )
    names = {info.collection_id: info.name for info in infos}
    for number in np.unique(collection).tolist():
        if number not in names:
            raise MissingCollectionError(f"the contributions of '{name}' are not in the file")
        parts = frames.array(names[number]).layout.to_packed()
        begin = np.asarray(parts.offsets.data, np.int64)
        here = np.flatnonzero(collection == number)
        if ((index[here] < 0) | (index[here] >= np.diff(begin)[event[here]])).any():
            raise InvalidEventError(f"a hit of '{name}' points to a contribution that is not there")
        rows = index[here] + begin[event[here]]
        particle = frames.array(f"_{names[number]}_particle").layout.to_packed().content
        content = parts.content
        contributions.particle[here] = _column(particle, "index")[rows]
        contributions.collection[here] = _column(particle, "collectionID")[rows]
        contributions.pdg[here] = _column(content, "PDG")[rows]
        contributions.energy[here] = _column(content, "energy")[rows]
        contributions.time[here] = _column(content, "time")[rows]
        contributions.position[here] = _vectors(content, "stepPosition")[rows]
        if "stepLength" in content.fields:
            contributions.step_length[here] = _column(content, "stepLength")[rows]
    return hits, contributions


def subset(
    frames: Frames, name: str
) -> tuple[Indices, npt.NDArray[np.int32], npt.NDArray[np.uint32]]:
    """Read a subset collection.

    Returns
    -------
    offsets
        (events + 1,) the objects of event i are ``offsets[i]:offsets[i + 1]``.
    index, collection
        (objects,) each: where each object is.
    """
    jagged = frames.array(f"{name}_objIdx").layout.to_packed()
    return (
        np.asarray(jagged.offsets.data, np.int64),
        _column(jagged.content, "index").astype(np.int32),
        _column(jagged.content, "collectionID").astype(np.uint32),
    )


def _ranges(begin: npt.NDArray[Any], end: npt.NDArray[Any]) -> tuple[Indices, Indices]:
    """List the elements of ranges: the range that each is of, and the element."""
    count = end.astype(np.int64) - begin.astype(np.int64)
    owner = np.repeat(np.arange(len(count)), count)
    first = np.cumsum(count) - count
    return owner, np.arange(len(owner)) + (begin.astype(np.int64) - first)[owner]


def _column(flat: Any, member: str) -> npt.NDArray[Any]:
    return np.asarray(flat.content(member).data)


def _vectors(flat: Any, member: str) -> Floats:
    vector = flat.content(member)
    return np.stack([_column(vector, axis) for axis in "xyz"], axis=1).astype(np.float64)

"""From the fields of frames to the typed columns that the stages work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Indices, Ints, Words, owners
from k4calofast.events.columns import Contributions, EventKeys, Hits, Particles, one_of_each
from k4calofast.events.edm4hep import EVENT_HEADER
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.exceptions import FileFormatError, InvalidEventError, MissingCollectionError

_MOST_SHARED = 100
"""Objects per entry of a relation: podio gives each its own, far more would fill the memory."""

_CONVERTED = np.errstate(over="ignore", invalid="ignore")
"""Members become the types of the columns: what is too large is infinite, for others to refuse."""


def find_collection(
    infos: tuple[CollectionInfo, ...], name: str, data_type: str, *, is_subset: bool | None = False
) -> CollectionInfo:
    """Return the description of a collection, or of a subset; of either if that is None.

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
        if data_type == EVENT_HEADER.collection:
            hint += "; EventHeaderCreator in front makes one"
        raise MissingCollectionError(f"no collection '{name}' of type {data_type}{hint}")
    if info.data_type != data_type or is_subset not in (None, info.is_subset):
        wanted, found = (
            f"a subset of {kind}" if subset else kind
            for kind, subset in ((data_type, is_subset), (info.data_type, info.is_subset))
        )
        raise MissingCollectionError(f"collection '{name}' is {found}, not {wanted}")
    return info


@_CONVERTED
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
    headers = _jagged(frames, name)
    counts = np.diff(headers.offsets.data)
    wrong = np.flatnonzero(counts != 1)
    if wrong.size:
        raise InvalidEventError(
            f"event entry {first + wrong[0]} has {counts[wrong[0]]} EventHeaders in '{name}'; "
            "exactly one is needed"
        )
    flat = headers.content
    # Old files hold signed numbers here.
    return EventKeys(
        _column(flat, "runNumber").astype(np.uint32),
        _column(flat, "eventNumber").astype(np.uint64),
        place=first + np.arange(len(counts), dtype=np.uint64),
    )


@_CONVERTED
def particles(frames: Frames, info: CollectionInfo) -> Particles:
    """Read a collection of MCParticles, whatever the precision of its members."""
    jagged = _jagged(frames, info.name)
    parent, child = _family(frames, info, jagged)
    offsets = np.asarray(jagged.offsets.data, np.int64)
    read = Particles.of_members(offsets, partial(_column, jagged.content))
    return replace(read, parent=parent, child=child)


def listed_particles(
    frames: Frames,
    subset_info: CollectionInfo,
    infos: tuple[CollectionInfo, ...],
    whole: CollectionInfo | None = None,
) -> tuple[CollectionInfo, Particles]:
    """Read the MCParticles that a subset is of, in which it says who is listed.

    Parameters
    ----------
    subset_info, infos
        Of the subset, and of all collections there are.
    whole
        What it is a subset of where nobody is listed, if that is known.

    Returns
    -------
    info, particles
        The collection, and all of it. If nobody is listed and it is not known, the subset itself,
        and no particles.

    Raises
    ------
    InvalidEventError
        If the subset lists particles of several collections, or some that are not there.
    """
    name = subset_info.name
    offsets, index, collection = subset(frames, name)
    numbers = np.unique(collection).tolist()
    of = [info for info in infos if info.collection_id in numbers and not info.is_subset]
    if len(of) < len(numbers):
        raise InvalidEventError(f"'{name}' lists particles that are not in the event")
    if len(of) > 1:
        names = ", ".join(info.name for info in of)
        raise InvalidEventError(
            f"'{name}' lists particles of several collections ({names}); those of one are needed"
        )
    info = of[0] if of else whole
    if info is None:
        return subset_info, no_particles(frames.count)
    these = particles(frames, info)
    event = owners(offsets)
    beyond = np.flatnonzero((index < 0) | (index >= np.diff(these.offsets)[event]))
    if beyond.size:
        raise InvalidEventError(
            f"event entry {frames.first + event[beyond[0]]}: '{name}' lists a particle that is not "
            f"in '{info.name}'"
        )
    listed = np.zeros(len(these), np.bool_)
    listed[these.offsets[event] + index] = True
    return info, replace(these, listed=listed)


def no_particles(events: int) -> Particles:
    """Particles of so many events that have none."""
    none, vectors = np.zeros(0), np.zeros((0, 3))
    integers = np.zeros(0, np.int32)
    offsets = np.zeros(events + 1, np.int64)
    return Particles(offsets, *(integers,) * 3, *(none,) * 3, *(vectors,) * 4)


def _family(frames: Frames, info: CollectionInfo, objects: Any) -> tuple[Indices, Indices]:
    """Parents and children: some producers fill one of the two relations only."""
    there = set(frames.fields)
    pairs = [np.zeros((2, 0), np.int64)]
    if f"_{info.name}_parents" in there:
        child, parent = _relations(frames, info, "parents", objects)
        pairs.append(np.stack([parent, child]))
    if f"_{info.name}_daughters" in there:
        pairs.append(np.stack(_relations(frames, info, "daughters", objects)))
    parent, child = np.concatenate(pairs, axis=1)
    return one_of_each(parent, child)


@_CONVERTED
def relations(frames: Frames, info: CollectionInfo, relation: str) -> tuple[Indices, Indices]:
    """Read a to-many relation of a collection to itself; what points elsewhere is left out.

    Returns
    -------
    source, target
        (relations,) numbers of the objects at both ends, counted over all events.
    """
    return _relations(frames, info, relation, _jagged(frames, info.name))


def related(frames: Frames, info: CollectionInfo, relation: str) -> tuple[Indices, Ints]:
    """Read a to-many relation of a collection to itself, as lists; see `relations`.

    Returns
    -------
    offsets
        (objects + 1,) the targets of object i are ``index[offsets[i]:offsets[i + 1]]``.
    index
        (relations,) numbers of the targets in their events; none if there is no such relation.
    """
    objects = _jagged(frames, info.name)
    if f"_{info.name}_{relation}" not in frames.fields:
        return np.zeros(len(objects.content) + 1, np.int64), np.zeros(0, np.int32)
    source, target = relations(frames, info, relation)
    first = np.asarray(objects.offsets.data, np.int64)
    event = np.searchsorted(first, target, side="right") - 1
    counts = np.bincount(source, minlength=len(objects.content))
    return np.append(0, np.cumsum(counts)), (target - first[event]).astype(np.int32)


def _relations(
    frames: Frames, info: CollectionInfo, relation: str, objects: Any
) -> tuple[Indices, Indices]:
    targets = _jagged(frames, f"_{info.name}_{relation}")
    source, row = _related(frames, info.name, relation, objects, targets)
    begin = np.asarray(objects.offsets.data, np.int64)
    event = np.searchsorted(begin, source, side="right") - 1
    index = _column(targets.content, "index").astype(np.int64)[row]
    inside = _column(targets.content, "collectionID")[row] == info.collection_id
    inside &= (index >= 0) & (index < np.diff(begin)[event])
    return source[inside], (index + begin[event])[inside]


@_CONVERTED
def hits_alone(frames: Frames, name: str) -> Hits:
    """Read a collection of SimCalorimeterHits as if they had no contributions."""
    objects = _jagged(frames, name)
    flat = objects.content
    return Hits(
        np.asarray(objects.offsets.data, np.int64),
        _column(flat, "cellID").astype(np.uint64),
        _column(flat, "energy").astype(np.float32),
        _column(flat, "position").astype(np.float32),
        np.zeros(len(flat) + 1, np.int64),
    )


@_CONVERTED
def members(
    frames: Frames, name: str, wanted: Mapping[str, Any]
) -> tuple[Indices, dict[str, npt.NDArray[Any]]]:
    """Read members of the objects of a collection.

    Parameters
    ----------
    wanted
        For each member the value of objects that are stored without it, by which its type is known.

    Returns
    -------
    offsets, members
        (events + 1,) where each event's objects start, and (objects,) values by name.
    """
    objects = _jagged(frames, name)
    flat = objects.content
    columns = {
        member: _column(flat, member).astype(np.asarray(usual).dtype)
        if member in flat.fields
        else np.full(len(flat), usual)
        for member, usual in wanted.items()
    }
    return np.asarray(objects.offsets.data, np.int64), columns


@_CONVERTED
def vectors(frames: Frames, name: str, member: str) -> tuple[Indices, npt.NDArray[Any]]:
    """Read a vector member of a collection's objects: offsets (objects + 1,) and values."""
    objects, values = _jagged(frames, name), _jagged(frames, f"_{name}_{member}")
    source, row = _related(frames, name, member, objects, values)
    counts = np.bincount(source, minlength=len(objects.content))
    return np.append(0, np.cumsum(counts)), np.asarray(values.content.data)[row]


@_CONVERTED
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
    hits = hits_alone(frames, name)
    objects, offsets = _jagged(frames, name), hits.offsets
    targets = _jagged(frames, f"_{name}_contributions")
    hit, row = _related(frames, name, "contributions", objects, targets)
    event = np.searchsorted(offsets, hit, side="right") - 1
    index = _column(targets.content, "index").astype(np.int64)[row]
    collection = _column(targets.content, "collectionID")[row]
    counts = np.bincount(hit, minlength=len(hits.energy))
    hits = replace(hits, contributions=np.concatenate([[0], np.cumsum(counts)]))
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
        parts = _jagged(frames, names[number])
        begin = np.asarray(parts.offsets.data, np.int64)
        here = np.flatnonzero(collection == number)
        lost = here[(index[here] < 0) | (index[here] >= np.diff(begin)[event[here]])]
        if lost.size:
            raise InvalidEventError(
                f"event entry {frames.first + event[lost[0]]}: a hit of '{name}' points to a "
                "contribution that is not there"
            )
        rows = index[here] + begin[event[here]]
        particles = _jagged(frames, f"_{names[number]}_particle")
        if not np.array_equal(particles.offsets.data, parts.offsets.data):
            raise InvalidEventError(f"'{names[number]}': not one particle for each contribution")
        particle, content = particles.content, parts.content
        contributions.particle[here] = _column(particle, "index")[rows]
        contributions.collection[here] = _column(particle, "collectionID")[rows]
        for member, column in contributions.members.items():
            if member in content.fields or member != "stepLength":
                column[here] = _column(content, member)[rows]
    return hits, contributions


def subset(frames: Frames, name: str) -> tuple[Indices, Ints, Words]:
    """Read a subset collection.

    Returns
    -------
    offsets
        (events + 1,) the objects of event i are ``offsets[i]:offsets[i + 1]``.
    index, collection
        (objects,) each: where each object is.
    """
    jagged = _jagged(frames, f"{name}_objIdx")
    return (
        np.asarray(jagged.offsets.data, np.int64),
        _column(jagged.content, "index").astype(np.int32),
        _column(jagged.content, "collectionID").astype(np.uint32),
    )


def _jagged(frames: Frames, name: str) -> Any:
    """Lists of objects, one per event."""
    layout = frames.array(name).layout.to_packed()
    if not layout.is_list:
        raise FileFormatError(f"field '{name}' holds no lists of objects")
    return layout


def _related(
    frames: Frames, name: str, relation: str, objects: Any, targets: Any
) -> tuple[Indices, Indices]:
    """List what a to-many relation holds: the object that each entry is of, and the entry.

    Both count over all events. Ranges end within their event: whatever the file says, there are
    no more than the relation can hold for each object.
    """
    begin = _column(objects.content, f"{relation}_begin").astype(np.int64)
    end = _column(objects.content, f"{relation}_end").astype(np.int64)
    first = np.asarray(targets.offsets.data, np.int64)
    event = owners(objects.offsets.data)
    there = np.diff(first)[event]
    count = end - begin
    wrong = np.flatnonzero((count < 0) | ((count > 0) & ((begin < 0) | (end > there))))
    if wrong.size:
        one = wrong[0]
        raise InvalidEventError(
            f"event entry {frames.first + event[one]}: the {relation} of an object of '{name}' are "
            f"{begin[one]} to {end[one]} of {there[one]}"
        )
    if count.sum() > _MOST_SHARED * max(len(targets.content), 10_000):
        raise InvalidEventError(
            f"the {relation} of '{name}' are {count.sum()}, but the file lists "
            f"{len(targets.content)}"
        )
    source = np.repeat(np.arange(len(count)), count)
    offset = (first[event] + begin - (np.cumsum(count) - count))[source]
    return source, np.arange(len(source)) + offset


def _column(flat: Any, member: str) -> npt.NDArray[Any]:
    """Values (objects,) of a member, or (objects, 3) of vectors."""
    if member not in flat.fields:
        raise FileFormatError(f"there is no member '{member}', but {', '.join(flat.fields)}")
    content = flat.content(member)
    if content.is_record:
        return np.stack([_column(content, axis) for axis in "xyz"], axis=1)
    return np.asarray(content.data)

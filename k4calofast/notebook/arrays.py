"""Frames of EDM4hep to arrays of events, and arrays of events to frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import vector

from k4calofast.arrays import Indices, Mask, owners, ranks
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.events.columns import OWN_COLLECTION, Contributions, Hits, Particles
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    CALORIMETER_HIT,
    EVENT_HEADER,
    HELICITY_UNSET,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.fields import hit_fields
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import (
    Layout,
    collection,
    jagged,
    numbers,
    parameters,
    strings,
    subset,
    with_parameters,
)
from k4calofast.events.typed import (
    hits_alone,
    members,
    particles,
    related,
    sim_hits,
    vectors,
)
from k4calofast.events.typed import subset as read_subset
from k4calofast.exceptions import InvalidEventError, K4CaloFastError, MissingCollectionError
from k4calofast.incidence import FATES
from k4calofast.incidence.fate import Fates
from k4calofast.notebook.content import Content

vector.register_awkward()

EVENTS_RECORD = "CaloEvents"
"""Name of the records that are events."""

HITS_RECORD = "CaloHit"
"""Name of the records that are hits, or contributions to them."""

NO_LAYER = -1

_FATE_NUMBERS, _FATE_ENERGIES = "numbers", "energies"

_OF_DIGITS: dict[str, Any] = {
    "cellID": np.uint64(0),
    "energy": np.float32(0),
    "energyError": np.float32(0),
    "time": np.float32(0),
    "type": np.int32(0),
}
"""Members of CalorimeterHits beside the position, and what stands for those that a file lacks."""

_OF_HEADERS: dict[str, Any] = {
    "runNumber": np.uint32(0),
    "eventNumber": np.uint64(0),
    "timeStamp": np.uint64(0),
    "weight": np.float64(1),
}


def layout_of(
    frames: Frames,
    infos: tuple[CollectionInfo, ...],
    content: Content,
    fates: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    fate: Fates | None = None,
) -> Layout:
    """Records of events, `EVENTS_RECORD`, from frames.

    Parameters
    ----------
    frames, infos
        The collections of the content.
    fates
        By collection of hits: (events, fates) numbers and energies (GeV).
    fate
        (particles,) of each particle, if it is known.

    Raises
    ------
    K4CaloFastError
        If collections contradict each other.
    """
    fields = _headers(frames, infos, content)
    target = next((info for info in infos if info.name == content.particles), None)
    if target is not None:
        fields["particles"] = _particles(frames, target, content, fate)
    fields["hits"] = _all_hits(frames, infos, content)
    if content.digits:
        fields["digits"] = _all_digits(frames, content)
    if fates:
        fields["fates"] = _record({name: _counts(*counts) for name, counts in fates.items()})
    return _record(fields, EVENTS_RECORD)


def _record(fields: Mapping[str, Layout], name: str | None = None) -> Layout:
    return ak.contents.RecordArray(
        list(fields.values()), list(fields), parameters={"__record__": name} if name else None
    )


def _xyz(values: npt.NDArray[Any]) -> dict[str, Layout]:
    return {axis: numbers(values[:, i], values.dtype) for i, axis in enumerate("xyz")}


def _named(names: Sequence[str], which: npt.NDArray[Any]) -> Layout:
    """Texts (N,), stored once each."""
    return ak.contents.IndexedArray(ak.index.Index64(which.astype(np.int64)), strings([*names]))


def _counts(many: npt.NDArray[Any], energies: npt.NDArray[Any]) -> Layout:
    size = many.shape[1]
    return _record(
        {
            name: ak.contents.RegularArray(numbers(counts.ravel(), counts.dtype), size, len(counts))
            for name, counts in ((_FATE_NUMBERS, many), (_FATE_ENERGIES, energies))
        }
    )


def _headers(
    frames: Frames, infos: tuple[CollectionInfo, ...], content: Content
) -> dict[str, Layout]:
    """Run and event numbers; those of files without headers are 0, and places in the file."""
    count = frames.count
    weights = np.zeros(count + 1, np.int64), np.zeros(0)
    if any(info.name == content.header for info in infos):
        offsets, columns = members(frames, content.header, _OF_HEADERS)
        wrong = np.flatnonzero(np.diff(offsets) != 1)
        if wrong.size:
            raise InvalidEventError(
                f"event entry {frames.first + wrong[0]} has {np.diff(offsets)[wrong[0]]} "
                f"EventHeaders in '{content.header}'; exactly one is needed"
            )
        if f"_{content.header}_weights" in frames.fields:
            weights = vectors(frames, content.header, "weights")
    else:
        columns = {name: np.full(count, usual) for name, usual in _OF_HEADERS.items()}
        columns["eventNumber"] = frames.first + np.arange(count, dtype=np.uint64)
    return {
        "run": numbers(columns["runNumber"], np.uint32),
        "event": numbers(columns["eventNumber"], np.uint64),
        "time_stamp": numbers(columns["timeStamp"], np.uint64),
        "weight": numbers(columns["weight"], np.float64),
        "weights": jagged(weights[0], numbers(weights[1], np.float64)),
    }


def _particles(
    frames: Frames, info: CollectionInfo, content: Content, fate: Fates | None
) -> Layout:
    these = particles(frames, info)
    _, more = members(frames, info.name, {"helicity": np.int32(HELICITY_UNSET)})
    fields = {
        "pdg": numbers(these.pdg, np.int32),
        **{
            name: numbers(these.momentum[:, i], np.float64)
            for i, name in enumerate(("px", "py", "pz"))
        },
        "mass": numbers(these.mass, np.float64),
        "charge": numbers(these.charge, np.float32),
        "vertex": _record(_xyz(these.vertex), "Vector3D"),
        "time": numbers(these.time, np.float32),
        "generator_status": numbers(these.generator_status, np.int32),
        "simulator_status": numbers(these.simulator_status, np.int32),
        "endpoint": _record(_xyz(these.endpoint), "Vector3D"),
        "momentum_at_endpoint": _record(_xyz(these.momentum_at_endpoint), "Vector3D"),
        "helicity": numbers(more["helicity"], np.int32),
    }
    for relation in ("parents", "daughters"):
        offsets, index = related(frames, info, relation)
        fields[relation] = jagged(offsets, numbers(index, np.int32))
    if content.not_handled:
        fields["not_handled"] = numbers(_listed(frames, info, content, these), np.bool_)
    if fate is not None:
        position = np.zeros(max(FATES) + 1, np.int64)
        position[list(FATES)] = np.arange(len(FATES))
        fields["fate"] = _named([one.name for one in FATES], position[fate])
    return jagged(these.offsets, _record(fields, "Momentum4D"))


def _listed(frames: Frames, info: CollectionInfo, content: Content, these: Particles) -> Mask:
    offsets, index, of = read_subset(frames, content.not_handled)
    event = owners(offsets)
    ours = (of == info.collection_id) & (index >= 0) & (index < np.diff(these.offsets)[event])
    listed = np.zeros(len(these), np.bool_)
    listed[(these.offsets[event] + index)[ours]] = True
    return listed


def _all_hits(frames: Frames, infos: tuple[CollectionInfo, ...], content: Content) -> Layout:
    """Hits of all collections, event by event, with their contributions."""
    parts = [_hits(frames, infos, name) for name in content.hits]
    if not parts:
        hits, contributions = _no_hits(frames.count)
        parts = [(hits, contributions)]
    merged = Contributions.concatenate([contributions for _, contributions in parts])
    particle = merged.particle.copy()
    # Indices of particles count in the one collection that is read.
    ids = [info.collection_id for info in infos if info.name == content.particles]
    particle[~np.isin(merged.collection, [OWN_COLLECTION, *ids])] = -1
    of_contribution = _record(
        {
            "particle": numbers(particle, np.int32),
            "pdg": numbers(merged.pdg, np.int32),
            "energy": numbers(merged.energy, np.float32),
            "time": numbers(merged.time, np.float32),
            **_xyz(merged.position),
            "step_length": numbers(merged.step_length, np.float32),
        },
        HITS_RECORD,
    )
    before = np.cumsum([0] + [len(contributions.energy) for _, contributions in parts])
    starts, stops = (
        np.concatenate(
            [hits.contributions[part] + at for (hits, _), at in zip(parts, before, strict=False)]
        )
        for part in (slice(None, -1), slice(1, None))
    )
    offsets, order, which = _in_events([hits.offsets for hits, _ in parts])
    columns = {
        "cellID": np.concatenate([hits.cell_id for hits, _ in parts])[order],
        "energy": np.concatenate([hits.energy for hits, _ in parts])[order],
        "time": np.concatenate([hits.times(made) for hits, made in parts])[order],
    }
    position = np.concatenate([hits.position for hits, _ in parts])[order]
    fields = {name: numbers(column, column.dtype) for name, column in columns.items()}
    fields |= _xyz(position)
    fields["layer"] = numbers(_layer(columns["cellID"], which, content), np.int16)
    fields["collection"] = _named([*content.hits], which)
    fields["contributions"] = ak.contents.ListArray(
        ak.index.Index64(starts[order]), ak.index.Index64(stops[order]), of_contribution
    )
    return jagged(offsets, _record(fields, HITS_RECORD))


def _hits(
    frames: Frames, infos: tuple[CollectionInfo, ...], name: str
) -> tuple[Hits, Contributions]:
    """Hits of a collection; whose contributions were dropped has none."""
    try:
        return sim_hits(frames, name, infos)
    except MissingCollectionError:
        return hits_alone(frames, name), _no_hits(frames.count)[1]


def _no_hits(events: int) -> tuple[Hits, Contributions]:
    nothing, nowhere = np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
    nobody, none = np.zeros(0, np.int32), np.zeros(0, np.uint32)
    hits = Hits(
        np.zeros(events + 1, np.int64),
        np.zeros(0, np.uint64),
        nothing,
        nowhere,
        np.zeros(1, np.int64),
    )
    return hits, Contributions(nobody, none, nobody, nothing, nothing, nowhere, nothing)


def _in_events(parts: Sequence[Indices]) -> tuple[Indices, Indices, Indices]:
    """Put the objects of several collections together, event by event.

    Parameters
    ----------
    parts
        Offsets (events + 1,) of each collection.

    Returns
    -------
    offsets, order, which
        (events + 1,) of all; and of each object, where it was in the collections one after the
        other, and in which of them.
    """
    event = np.concatenate([owners(offsets) for offsets in parts])
    order = np.argsort(event, kind="stable")
    which = np.repeat(np.arange(len(parts)), [offsets[-1] for offsets in parts])
    return np.sum(parts, axis=0), order, which[order]


def _layer(cell_id: npt.NDArray[Any], which: Indices, content: Content) -> npt.NDArray[np.int16]:
    """Layers of cells, `NO_LAYER` where cell IDs do not say it."""
    layer = np.full(len(cell_id), NO_LAYER, np.int16)
    for number, name in enumerate(content.hits):
        text = content.encoding(name)
        if text is None:
            continue
        rows = which == number
        try:
            layer[rows] = CellIDEncoding(text).decode(cell_id[rows], "layer")
        except ValueError:  # Another detector's words, or no layers.
            continue
    return layer


def _all_digits(frames: Frames, content: Content) -> Layout:
    parts = [
        members(frames, name, {**_OF_DIGITS, "position": np.float32(0)}) for name in content.digits
    ]
    offsets, order, which = _in_events([offsets for offsets, _ in parts])
    columns = {
        member: np.concatenate([columns[member] for _, columns in parts])[order]
        for member in (*_OF_DIGITS, "position")
    }
    names = {"energyError": "energy_error"}
    fields = {
        names.get(member, member): numbers(columns[member], columns[member].dtype)
        for member in _OF_DIGITS
    }
    fields |= _xyz(columns["position"])
    fields["collection"] = _named(content.digits, which)
    return jagged(offsets, _record(fields, HITS_RECORD))


def frames_of(events: ak.Array, content: Content) -> tuple[Frames, tuple[CollectionInfo, ...]]:
    """Frames of events, and what is in them; what was left out of the events is left out.

    Raises
    ------
    K4CaloFastError
        If events lack fields, or hold missing values, or contributions point to no particle.
    """
    try:
        packed = ak.to_packed(events).layout
        return _frames(packed, content)
    except K4CaloFastError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise InvalidEventError(
            f"these events lack what a file needs, or hold missing values ({reason}); masks that "
            "drop leave whole events: events[events.event > 3]"
        ) from error


def _frames(packed: Layout, content: Content) -> tuple[Frames, tuple[CollectionInfo, ...]]:
    count = packed.length
    infos = [CollectionInfo.new(content.header, EVENT_HEADER)]
    fields: dict[str, Layout] = {**_header_fields(packed, content)}
    offsets = np.zeros(count + 1, np.int64)
    target = CollectionInfo.new(content.particles, MC_PARTICLE)
    if "particles" in packed.fields:
        infos.append(target)
        fields |= _particle_fields(packed, target)
        offsets, flat = _list(packed, "particles")
        if content.not_handled and "not_handled" in flat.fields:
            infos.append(target.named(content.not_handled, is_subset=True))
            waiting = np.flatnonzero(_column(flat, "not_handled"))
            fields |= subset(
                content.not_handled,
                np.searchsorted(waiting, offsets),
                ranks(offsets)[waiting],
                target.collection_id,
            )
    if "hits" in packed.fields:
        for name, of_contributions in content.hits.items():
            made = _written_hits(packed, name, np.diff(offsets))
            of_hits = CollectionInfo.new(name, SIM_CALORIMETER_HIT)
            parts = CollectionInfo.new(of_contributions, CALO_HIT_CONTRIBUTION)
            infos += [of_hits, parts]
            fields |= hit_fields(of_hits, parts, *made, target.collection_id)
    if "digits" in packed.fields:
        for name in content.digits:
            infos.append(CollectionInfo.new(name, CALORIMETER_HIT))
            fields |= _digit_fields(packed, name)
    there = parameters({}, count)
    if "fates" in packed.fields:
        from k4calofast.engine.outputs import FATE_ENERGIES, FATE_NUMBERS

        of_fates = packed.content("fates")
        for name in of_fates.fields:
            for kind, key, part in (
                ("Int", FATE_NUMBERS, _FATE_NUMBERS),
                ("Double", FATE_ENERGIES, _FATE_ENERGIES),
            ):
                values = ak.to_numpy(of_fates.content(name).content(part))
                there |= with_parameters(there, kind, {f"{name}__{key}": values})
    return Frames(fields | there, count), tuple(infos)


def _column(layout: Layout, field: str) -> npt.NDArray[Any]:
    if field not in layout.fields:
        raise InvalidEventError(f"the events have no '{field}'")
    return np.asarray(ak.to_numpy(layout.content(field), allow_missing=False))


def _list(layout: Layout, field: str) -> tuple[Indices, Layout]:
    lists = layout.content(field)
    if not hasattr(lists, "offsets"):
        lists = lists.to_ListOffsetArray64(True)
    return np.asarray(lists.offsets.data, np.int64), lists.content


def _three(layout: Layout, axes: Sequence[str] = ("x", "y", "z")) -> npt.NDArray[Any]:
    return np.stack([_column(layout, axis) for axis in axes], axis=1)


def _header_fields(packed: Layout, content: Content) -> dict[str, Layout]:
    offsets, weights = _list(packed, "weights")
    columns = {
        "eventNumber": _column(packed, "event"),
        "runNumber": _column(packed, "run"),
        "timeStamp": _column(packed, "time_stamp"),
        "weight": _column(packed, "weight"),
    }
    lists = {"weights": (offsets, np.asarray(ak.to_numpy(weights)), 0)}
    return collection(content.header, EVENT_HEADER, np.arange(packed.length + 1), columns, lists)


def _particle_fields(packed: Layout, info: CollectionInfo) -> dict[str, Layout]:
    offsets, flat = _list(packed, "particles")
    columns = {
        "PDG": _column(flat, "pdg"),
        "generatorStatus": _column(flat, "generator_status"),
        "simulatorStatus": _column(flat, "simulator_status"),
        "charge": _column(flat, "charge"),
        "time": _column(flat, "time"),
        "mass": _column(flat, "mass"),
        "vertex": _three(flat.content("vertex")),
        "endpoint": _three(flat.content("endpoint")),
        "momentum": _three(flat, ("px", "py", "pz")),
        "momentumAtEndpoint": _three(flat.content("momentum_at_endpoint")),
        "helicity": _column(flat, "helicity"),
    }
    relations = {}
    for relation in ("parents", "daughters"):
        begin, index = _list(flat, relation)
        targets = np.asarray(ak.to_numpy(index))
        _refuse_beyond(targets, begin[offsets], np.diff(offsets), relation)
        relations[relation] = (begin, targets, info.collection_id)
    return collection(info.name, MC_PARTICLE, offsets, columns, relations)


def _refuse_beyond(index: npt.NDArray[Any], offsets: Indices, counts: Indices, what: str) -> None:
    """Refuse indices of particles that the events do not have."""
    if (index >= counts[owners(offsets)]).any():
        raise InvalidEventError(
            f"{what} point to particles that are not there: keep all particles of an event"
        )


def _of_collection(packed: Layout, field: str, name: str) -> tuple[Layout, Indices, Indices]:
    """Objects of all collections, the rows of those of one, and these' offsets."""
    offsets, flat = _list(packed, field)
    rows = np.flatnonzero(np.asarray(ak.Array(flat.content("collection")) == name))
    return flat, rows, np.searchsorted(rows, offsets)


def _written_hits(packed: Layout, name: str, counts: Indices) -> tuple[Hits, Contributions]:
    flat, rows, offsets = _of_collection(packed, "hits", name)
    begin, parts = _list(flat, "contributions")
    sizes = np.diff(begin)[rows]
    ends = np.append(0, np.cumsum(sizes))
    kept = np.repeat(begin[rows] - ends[:-1], sizes) + np.arange(ends[-1])
    particle = _column(parts, "particle")[kept]
    _refuse_beyond(particle, ends[offsets], counts, "contributions")
    hits = Hits(
        offsets,
        _column(flat, "cellID")[rows],
        _column(flat, "energy")[rows],
        _three(flat)[rows],
        ends,
    )
    return hits, Contributions(
        particle,
        np.full(len(kept), OWN_COLLECTION, np.uint32),
        _column(parts, "pdg")[kept],
        _column(parts, "energy")[kept],
        _column(parts, "time")[kept],
        _three(parts)[kept],
        _column(parts, "step_length")[kept],
    )


def _digit_fields(packed: Layout, name: str) -> dict[str, Layout]:
    flat, rows, offsets = _of_collection(packed, "digits", name)
    columns = {
        "cellID": _column(flat, "cellID")[rows],
        "energy": _column(flat, "energy")[rows],
        "energyError": _column(flat, "energy_error")[rows],
        "time": _column(flat, "time")[rows],
        "position": _three(flat)[rows],
        "type": _column(flat, "type")[rows],
    }
    return collection(name, CALORIMETER_HIT, offsets, columns)

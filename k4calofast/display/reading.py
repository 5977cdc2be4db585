"""Events of EDM4hep files, ours and others', as they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from k4calofast import detector
from k4calofast.arrays import Floats, Indices, Mask, owners
from k4calofast.detector import Calorimeter, CellIDEncoding
from k4calofast.display import ways
from k4calofast.display.scene import (
    NOBODY,
    Cells,
    Collection,
    Deposits,
    Event,
    Particle,
    Scene,
    known_of,
)
from k4calofast.documents import one_line
from k4calofast.engine.outputs import FATE_ENERGIES, FATE_NAMES, FATE_NUMBERS
from k4calofast.events import typed
from k4calofast.events.columns import Contributions, Hits, Particles
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    CELL_ID_ENCODING,
    CREATED_IN_SIMULATION_BIT,
    EVENT_HEADER,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import read_parameters
from k4calofast.events.reading import EventSource, Place
from k4calofast.exceptions import (
    InvalidEventError,
    K4CaloFastError,
    MissingCollectionError,
    SteeringError,
)
from k4calofast.incidence import Fate, identified

_SAME_PLACE = 1.0
"""mm between a hit and the centre of its cell."""

_BIN = 1.0
"""ns: contributions of a particle to a cell within this are one deposit."""

_ROUNDING = 1e-4
"""Relative; energies of hits are sums of single precision."""

_MOST = 250
"""Particles that are listed; a full simulation can have thousands."""

_NOT_HANDLED = "NotHandled"
_FRONT = 4
"""Corners of the front of cells of which nothing is known."""
"""End of the usual name of what the fast simulation hands on."""


@dataclass(frozen=True)
class _Source:
    """What is read of a file.

    Attributes
    ----------
    hits
        Collections of SimCalorimeterHits.
    particles
        Collections of MCParticles, the one that is preferred first.
    header
        Name of the EventHeaders; None if there are none.
    not_handled
        Subset collections of particles that wait for another simulation.
    """

    infos: tuple[CollectionInfo, ...]
    metadata: dict[str, list[Any]]
    hits: tuple[CollectionInfo, ...]
    particles: tuple[CollectionInfo, ...]
    header: str | None
    not_handled: tuple[CollectionInfo, ...]


def read(file: Place, entries: Sequence[int], hits: Sequence[str] = ()) -> Scene:
    """Read events of an EDM4hep file, TTree or RNTuple.

    A collection of hits is a calorimeter's that is known here if its cell IDs name cells of that at
    the hits' positions, whatever the collection is called.

    Parameters
    ----------
    file
        Path or URL.
    entries
        Numbers of the events in the file, from 0 on.
    hits
        Names of collections of SimCalorimeterHits; all that have hits by default.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    SteeringError
        If it has no such event, or none are asked for.
    MissingCollectionError
        If it has no such collection, or none of SimCalorimeterHits at all.
    InvalidEventError
        If there are no hits in these events, or relations point nowhere.
    """
    with closing(EventSource([file])) as everything:
        count = everything.num_events
        source = _chosen(file, everything, hits)
    if not entries:
        raise SteeringError(f"{file}: no events are asked for")
    for entry in entries:
        if not 0 <= entry < count:
            there = f"they are numbered 0 to {count - 1}" if count else "it has none"
            raise SteeringError(f"{file}: no event {entry}; {there}")
    contributions = [
        info for info in source.infos if info.data_type == CALO_HIT_CONTRIBUTION.collection
    ]
    named = [*source.hits, *source.particles, *source.not_handled, *contributions]
    names = [info.name for info in named] + ([source.header] if source.header else [])
    with closing(EventSource([file], names)) as events:
        frames = [next(events.chunks(entry, entry + 1, 1)) for entry in entries]
    try:
        return _scene(file, source, frames)
    except K4CaloFastError as error:
        raise type(error)(f"{file}: {error}") from error


def _chosen(file: Place, source: EventSource, hits: Sequence[str]) -> _Source:
    def of(data_type: str, *, subset: bool = False) -> tuple[CollectionInfo, ...]:
        return tuple(
            info
            for info in source.infos
            if info.data_type == data_type and info.is_subset == subset
        )

    there = of(SIM_CALORIMETER_HIT.collection)
    names = ", ".join(info.name for info in there) or "none"
    for name in hits:
        if name not in [info.name for info in there]:
            raise MissingCollectionError(
                f"{file}: no SimCalorimeterHits '{name}'; there are {names}"
            )
    if not there:
        raise MissingCollectionError(f"{file}: no SimCalorimeterHits: nothing to show")
    parameters = read_parameters(source.metadata.fields, 0)
    header = of(EVENT_HEADER.collection)
    return _Source(
        source.infos,
        parameters.get("String", {}),
        tuple(info for info in there if not hits or info.name in hits),
        of(MC_PARTICLE.collection),
        header[0].name if header else None,
        tuple(
            info
            for info in of(MC_PARTICLE.collection, subset=True)
            if info.name.endswith(_NOT_HANDLED)
        ),
    )


@dataclass(frozen=True)
class _Read:
    """What an event holds of a collection."""

    info: CollectionInfo
    hits: Hits
    contributions: Contributions | None


def _scene(file: Place, source: _Source, frames: Sequence[Frames]) -> Scene:
    found = [[_hits(event, info, source.infos) for info in source.hits] for event in frames]
    filled = [
        number
        for number in range(len(source.hits))
        if any(event[number].hits.cell_id.size > 0 for event in found)
    ]
    if not filled:
        which = ", ".join(info.name for info in source.hits)
        many = "these events" if len(frames) > 1 else f"event {frames[0].first}"
        verb = "are" if len(source.hits) > 1 else "is"
        raise InvalidEventError(f"no hits in {many}: {which} {verb} empty")
    collections = tuple(
        _collection(
            source.hits[number].name,
            source.metadata,
            [event[number].hits for event in found],
        )
        for number in filled
    )
    events = tuple(
        _event(source, collections, event, [hits[number] for number in filled])
        for event, hits in zip(frames, found, strict=True)
    )
    name = file if isinstance(file, str) else file.name
    return Scene(one_line(name), collections, events)


def _hits(frames: Frames, info: CollectionInfo, infos: tuple[CollectionInfo, ...]) -> _Read:
    """Hits with their contributions, or without, where an output command has dropped these."""
    try:
        return _Read(info, *typed.sim_hits(frames, info.name, infos))
    except MissingCollectionError:
        return _Read(info, typed.hits_alone(frames, info.name), None)


def _collection(name: str, metadata: dict[str, list[Any]], hits: Sequence[Hits]) -> Collection:
    ids = np.concatenate([each.cell_id for each in hits])
    position = np.concatenate([each.position for each in hits]).astype(np.float64)
    calorimeter = _calorimeter(name, ids, position)
    encoding = None if calorimeter is None else calorimeter.encoding
    for text in metadata.get(f"{name}__{CELL_ID_ENCODING}", [])[:1]:
        # A page of hits is worth more than a sentence about a wrong encoding.
        with suppress(ValueError):
            encoding = CellIDEncoding(text)
    return Collection(name, encoding, calorimeter)


def _calorimeter(name: str, ids: Any, position: Floats) -> Calorimeter | None:
    """Return the calorimeter in whose cells most of the hits are."""
    best, most = None, 0
    known = [detector.load(one) for one in detector.names()]
    # Where two have the same cells, the name of the collection decides.
    for calorimeter in sorted(known, key=lambda one: one.collection != name):
        count = int((_cells(calorimeter, ids, position) >= 0).sum())
        if count > most:
            best, most = calorimeter, count
    return best


def _cells(calorimeter: Calorimeter, ids: Any, position: Floats) -> Indices:
    """(N,) cells of a calorimeter that hits are in, -1 for those that are elsewhere."""
    cells = calorimeter.cell_of(ids)
    here = np.flatnonzero(cells >= 0)
    far = np.linalg.norm(calorimeter.centre(cells[here]) - position[here], axis=1)
    cells[here[~(far < _SAME_PLACE)]] = -1
    return cells


def _event(
    source: _Source, collections: Sequence[Collection], frames: Frames, found: Sequence[_Read]
) -> Event:
    notes: list[str] = []
    cells: list[Cells] = []
    places: list[Indices] = []
    for number, (collection, one) in enumerate(zip(collections, found, strict=True)):
        these = _in_cells(number, collection, one.hits)
        drawn = (these.energy > 0) & np.isfinite(these.energy) & np.isfinite(these.position).all(1)
        before = sum(len(part.energy) for part in cells)
        places.append(np.where(drawn, before + np.cumsum(drawn) - 1, NOBODY))
        cells.append(these.take(drawn))
        if not drawn.all():
            notes.append(
                f"{(~drawn).sum()} hits of {collection.name} are not shown: they have no "
                "energy, or are not numbers."
            )
        if one.contributions is None and len(drawn):
            notes.append(
                f"{collection.name} has no contributions: whose its hits are, and when, is unknown."
            )
    most = max(part.solids.shape[1] for part in cells) // 2
    everything = Cells.concatenate([_with_corners(part, most) for part in cells])
    whose = _whose(source, collections, frames, found, everything.position)
    parts = [_deposits(one, place, whose) for one, place in zip(found, places, strict=True)]
    deposits, shown, left_out = _shown(whose, Deposits.concatenate(parts))
    if left_out:
        notes.append(f"{left_out} particles of less energy are not listed; their deposits are.")
    run, number_in_run = _header(frames, source.header)
    return Event(
        frames.first,
        run,
        number_in_run,
        everything,
        deposits,
        shown,
        _fates(frames, source.metadata),
        tuple(notes),
    )


def _with_corners(cells: Cells, front: int) -> Cells:
    """Return cells with so many corners in front, the last ones again if they have fewer."""
    own = cells.solids.shape[1] // 2
    corner = np.minimum(np.arange(front), own - 1)
    return replace(cells, solids=cells.solids[:, np.concatenate([corner, own + corner])])


def _in_cells(number: int, collection: Collection, hits: Hits) -> Cells:
    """Hits as cells, with the solids of those that are known."""
    position = hits.position.astype(np.float64)
    solids = np.full((len(position), 2 * _FRONT, 3), np.nan)
    if collection.calorimeter is not None:
        known = _cells(collection.calorimeter, hits.cell_id, position)
        inside = known >= 0
        corners = collection.calorimeter.solids(known[inside])
        solids = np.full((len(position), *corners.shape[1:]), np.nan)
        solids[inside] = corners
    energy = hits.energy.astype(np.float64)
    return Cells(np.full(len(energy), number), hits.cell_id, position, energy, solids)


@dataclass(frozen=True)
class _Whose:
    """The particles of an event.

    Attributes
    ----------
    info
        Of their collection; None if there is none.
    owner
        (N,) the particle that each one's deposits are shown with: itself, or the nearest ancestor
        that a generator made, or that set out for the calorimeter.
    ways
        Those that are drawn.
    handed_on
        (N,) whether each waits for another simulation.
    """

    info: CollectionInfo | None
    particles: Particles
    owner: Indices
    ways: ways.Ways
    handed_on: Mask


def _whose(
    source: _Source,
    collections: Sequence[Collection],
    frames: Frames,
    found: Sequence[_Read],
    position: Floats,
) -> _Whose:
    info = _particles_of(source, found)
    if info is None:
        nothing = np.zeros(0, np.int64)
        none = typed.no_particles(1)
        return _Whose(None, none, nothing, ways.Ways(nothing, ()), nothing.astype(np.bool_))
    particles, _ = identified(typed.particles(frames, info))
    created = particles.has(CREATED_IN_SIMULATION_BIT)
    calorimeters = known_of(collections)
    if calorimeters:
        drawn = ways.in_detector(particles, calorimeters)
    else:
        final = np.flatnonzero((particles.generator_status == 1) & ~created)
        reach = float(np.quantile(np.linalg.norm(position, axis=1), 0.05)) if len(position) else 0.0
        drawn = ways.straight(particles, final, reach)
    handed_on = np.zeros(len(particles), np.bool_)
    for listed in source.not_handled:
        _, index, collection = typed.subset(frames, listed.name)
        index = index[collection == info.collection_id]
        handed_on[index[(index >= 0) & (index < len(particles))]] = True
    keeps = ~created | handed_on
    keeps[drawn.particle] = True
    return _Whose(info, particles, _owners(particles, keeps), drawn, handed_on)


def _particles_of(source: _Source, found: Sequence[_Read]) -> CollectionInfo | None:
    """Return the collection of particles that most of the contributions point to."""
    pointed = np.concatenate(
        [np.zeros(0, np.uint32)]
        + [one.contributions.collection for one in found if one.contributions is not None]
    )
    counts = [int((pointed == info.collection_id).sum()) for info in source.particles]
    return source.particles[int(np.argmax(counts))] if counts else None


def _owners(particles: Particles, keeps: Mask) -> Indices:
    """(N,) the nearest ancestor, or the particle itself, that keeps what it has."""
    owner = np.arange(len(particles))
    up = owner.copy()
    # One that has several parents goes to the first.
    up[particles.child[::-1]] = particles.parent[::-1]
    up = np.where(keeps, owner, up)
    for _ in range(len(particles).bit_length()):
        up = up[up]
    return up


def _deposits(one: _Read, place: Indices, whose: _Whose) -> Deposits:
    """Deposits in the cells of a collection.

    Parameters
    ----------
    place
        (H,) number of each hit's cell among those that are drawn; negative if it is not.
    """
    hits, contributions = one.hits, one.contributions
    total = hits.energy.astype(np.float64)
    hit = owners(hits.contributions)
    particle = np.zeros(0, np.int64)
    energy = time = np.zeros(0)
    if contributions is not None:
        index = contributions.particle.astype(np.int64)
        known = (index >= 0) & (index < len(whose.particles))
        if whose.info is not None:
            known &= contributions.collection == whose.info.collection_id
        particle = np.full(len(index), NOBODY)
        particle[known] = whose.owner[index[known]]
        energy = contributions.energy.astype(np.float64)
        time = contributions.time.astype(np.float64)
    usable = (energy > 0) & np.isfinite(energy) & (place[hit] >= 0)
    hit, particle = hit[usable], particle[usable]
    energy, time = energy[usable], time[usable]
    rest = total - np.bincount(hit, energy, len(total))
    bare = np.flatnonzero((rest > _ROUNDING * total) & (place >= 0))
    return _together(
        Deposits(
            np.concatenate([place[hit], place[bare]]),
            np.concatenate([particle, np.full(len(bare), NOBODY)]),
            np.concatenate([energy, rest[bare]]),
            np.concatenate([time, np.full(len(bare), np.nan)]),
        )
    )


def _together(deposits: Deposits) -> Deposits:
    """Add up what a particle left in a cell within a nanosecond."""
    if not len(deposits.cell):
        return deposits
    with np.errstate(invalid="ignore"):
        bins = np.floor(deposits.time / _BIN)
    bins = np.where(np.isfinite(bins), bins.clip(-1e9, 1e9), -2e9).astype(np.int64)
    keys = np.stack([deposits.cell, deposits.particle, bins])
    (cell, particle, _), group = np.unique(keys, axis=1, return_inverse=True)
    group = group.reshape(-1)
    time = np.full(len(cell), np.inf)
    np.fmin.at(time, group, deposits.time)
    energy = np.bincount(group, deposits.energy, len(cell)).astype(np.float64)
    return Deposits(cell, particle, energy, np.where(np.isfinite(time), time, np.nan))


def _shown(whose: _Whose, deposits: Deposits) -> tuple[Deposits, tuple[Particle, ...], int]:
    """Choose the particles that are listed, and number them.

    Returns
    -------
    deposits
        With the numbers of the listed particles.
    particles
        The most energetic first.
    left_out
        How many there are beside them.
    """
    p = whose.particles
    wanted = whose.handed_on.copy()
    wanted[whose.ways.particle] = True
    wanted[deposits.particle[deposits.particle >= 0]] = True
    momentum = np.linalg.norm(p.momentum, axis=1)
    energy = np.hypot(momentum, p.mass)
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(-np.nan_to_num(energy[rows]), kind="stable")]
    listed = rows[:_MOST]
    number = np.full(len(p) + 1, NOBODY)
    number[listed] = np.arange(len(listed))
    lines = dict(zip(whose.ways.particle.tolist(), whose.ways.points, strict=True))
    x, y, z = p.momentum[listed].T
    theta, phi = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    found = tuple(
        Particle(
            int(p.pdg[row]),
            float(p.charge[row]),
            float(energy[row]),
            float(momentum[row]),
            float(theta[place]),
            float(phi[place]),
            bool(whose.handed_on[row]),
            lines.get(row, np.zeros((0, 3))),
        )
        for place, row in enumerate(listed.tolist())
    )
    renamed = replace(deposits, particle=number[deposits.particle])
    return renamed, found, len(rows) - len(listed)


def _header(frames: Frames, name: str | None) -> tuple[int | None, int | None]:
    """Run and event number, if there is exactly one header that says them."""
    if name is None:
        return None, None
    try:
        keys = typed.event_keys(frames, name, frames.first)
    except InvalidEventError:
        return None, None
    return int(keys.run[0]), int(keys.event[0])


def _fates(frames: Frames, metadata: dict[str, list[Any]]) -> tuple[tuple[str, int, float], ...]:
    """What became of the particles, from what our own files say of each event."""
    parameters = read_parameters(frames.fields, 0)
    found: dict[str, tuple[int, float]] = {}
    for key, names in metadata.items():
        hits, _, fact = key.rpartition("__")
        if fact != FATE_NAMES or not names:
            continue
        numbers = parameters["Int"].get(f"{hits}__{FATE_NUMBERS}", [])
        energies = parameters["Double"].get(f"{hits}__{FATE_ENERGIES}", [])
        for name, number, energy in zip(names[0].split(","), numbers, energies, strict=False):
            if number:
                meaning = Fate[name].meaning if name in Fate.__members__ else name
                found[meaning] = (int(number), float(energy))
    return tuple((meaning, *values) for meaning, values in found.items())

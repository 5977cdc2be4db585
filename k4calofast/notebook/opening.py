"""Reading EDM4hep files, ours and others', as arrays of events."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from os import PathLike, fspath
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from k4calofast.engine.outputs import FATE_ENERGIES, FATE_NAMES, FATE_NUMBERS, SUBSET_OF
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    CALORIMETER_HIT,
    EVENT_HEADER,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.frames import EVENTS, CollectionInfo, Frames
from k4calofast.events.layout import read_parameters
from k4calofast.events.reading import EventFile, EventSource, place
from k4calofast.exceptions import FileFormatError, MissingCollectionError, SteeringError
from k4calofast.incidence import FATES
from k4calofast.notebook.arrays import layout_of
from k4calofast.notebook.content import Content
from k4calofast.notebook.events import Events, events_of

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


def open(  # noqa: A001 - as uproot.open
    path: Paths,
    *,
    start: int = 0,
    stop: int | None = None,
    collections: Sequence[str] | None = None,
    particles: str | None = None,
) -> Events:
    """Read events of EDM4hep files, ours or others', TTree or RNTuple.

    Parameters
    ----------
    path
        A file or an URL, or several whose events come one after the other.
    start, stop
        Events to read, from `start` on and before `stop`, counted from 0; all by default. They are
        in memory together, about 100 bytes for each hit and contribution: take some hundreds of
        large ones at once.
    collections
        Collections of SimCalorimeterHits and CalorimeterHits to read; all by default.
    particles
        Collection of MCParticles to read, and to count contributions' particles in; by default
        ``MCParticles``, or the first if there is none of that name.

    Returns
    -------
    Events
        The events with their particles and hits.

    Raises
    ------
    FileFormatError
        If a file cannot be read.
    MissingCollectionError
        If there is no collection of a name.

    Examples
    --------
    >>> events = k4calofast.open("hits.edm4hep.root", stop=100)  # doctest: +SKIP
    >>> events.hits.energy, events.EMCBarrelCollection.rho  # doctest: +SKIP
    """
    files = [path] if isinstance(path, str | PathLike) else [*path]
    if not files:
        raise SteeringError("no file is given")
    places = [place(fspath(file)) for file in files]
    with closing(EventFile(places[0])) as first:
        if EVENTS not in first.categories:
            raise FileFormatError(f"{first.path}: no category '{EVENTS}'")
        infos = first.categories[EVENTS].infos
    named = _Named(infos, collections, particles, str(places[0]))
    source = EventSource(places, named.read or [infos[0].name] if infos else [])
    count = source.num_events
    first_event, last, _ = slice(start, stop).indices(count)
    frames = Frames.joined([*source.chunks(first_event, last, max(last - first_event, 1))])
    metadata = read_parameters(source.metadata.fields, 0)
    content = named.content(metadata)
    layout = layout_of(frames, source.infos, content, _fates(frames, content))
    return events_of(layout, content)


class _Named:
    """Which collections of a file are read."""

    def __init__(
        self,
        infos: tuple[CollectionInfo, ...],
        hits: Sequence[str] | None,
        particles: str | None,
        file: str,
    ) -> None:
        of_type: dict[str, list[str]] = {}
        for info in infos:
            if not info.is_subset:
                of_type.setdefault(info.data_type, []).append(info.name)
        simulated = of_type.get(SIM_CALORIMETER_HIT.collection, [])
        digits = of_type.get(CALORIMETER_HIT.collection, [])
        wanted = [*simulated, *digits] if hits is None else [*hits]
        for name in wanted:
            if name not in (*simulated, *digits):
                there = ", ".join((*simulated, *digits)) or "none"
                raise MissingCollectionError(
                    f"{file}: no collection '{name}' of calorimeter hits; there are {there}"
                )
        self._contributions = of_type.get(CALO_HIT_CONTRIBUTION.collection, [])
        self._hits = [name for name in simulated if name in wanted]
        self._digits = tuple(name for name in digits if name in wanted)
        self._header = _usual("EventHeader", of_type.get(EVENT_HEADER.collection, []))
        of_particles = of_type.get(MC_PARTICLE.collection, [])
        if particles is not None and particles not in of_particles:
            raise MissingCollectionError(
                f"{file}: no collection '{particles}' of MCParticles; there are "
                f"{', '.join(of_particles) or 'none'}"
            )
        self._particles = particles or _usual("MCParticles", of_particles)
        self._subsets = [
            info.name
            for info in infos
            if info.is_subset and info.data_type == MC_PARTICLE.collection
        ]

    @property
    def read(self) -> list[str]:
        """Names of all collections to read."""
        own = [name for name in map(self._usual_contributions, self._hits) if name]
        contributions = own if len(own) == len(self._hits) else self._contributions
        return [
            name
            for name in (
                self._header,
                self._particles,
                *self._subsets,
                *self._hits,
                *(contributions if self._hits else ()),
                *self._digits,
            )
            if name
        ]

    def _usual_contributions(self, hits: str) -> str:
        """Contributions of hits, by the habits of k4FWCore and DD4hep; empty if not there."""
        names = (f"{hits}Contributions", f"{hits}Contribution", f"{hits}_Contributions")
        return next((name for name in names if name in self._contributions), "")

    def content(self, metadata: dict[str, dict[str, list[Any]]]) -> Content:
        """Describe what is read."""
        texts = metadata.get("String", {})
        waiting = [
            name for name in self._subsets if texts.get(f"{name}__{SUBSET_OF}") == [self._particles]
        ]
        return Content(
            self._header or "EventHeader",
            self._particles or "MCParticles",
            waiting[-1] if waiting else "",
            {
                name: self._usual_contributions(name) or f"{name}Contributions"
                for name in self._hits
            },
            self._digits,
            metadata,
        )


def _usual(name: str, names: Sequence[str]) -> str:
    """Name that is meant by default: the usual one, else the first, else none."""
    return name if name in names else next(iter(names), "")


def _fates(
    frames: Frames, content: Content
) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Numbers and energies of fates that the frames' parameters tell, by collection of hits."""
    found = {}
    expected = ",".join(fate.name for fate in FATES)
    for name in content.hits:
        if content.text(f"{name}__{FATE_NAMES}") != expected:
            continue
        counts = tuple(
            _values(frames, kind, f"{name}__{key}", dtype)
            for kind, key, dtype in (
                ("Int", FATE_NUMBERS, np.int32),
                ("Double", FATE_ENERGIES, np.float64),
            )
        )
        if counts[0] is not None and counts[1] is not None:
            found[name] = (counts[0], counts[1])
    return found


def _values(frames: Frames, kind: str, key: str, dtype: npt.DTypeLike) -> npt.NDArray[Any] | None:
    """Parameter of all frames, (frames, fates); None if one lacks it."""
    keys, values = (frames.array(f"GP{kind}{part}") for part in ("Keys", "Values"))
    chosen = values[keys == key]
    if not ak.all(ak.num(chosen) == 1) or not ak.all(ak.num(chosen, axis=2) == len(FATES)):
        return None
    return np.asarray(ak.flatten(chosen, axis=None), dtype).reshape(-1, len(FATES))

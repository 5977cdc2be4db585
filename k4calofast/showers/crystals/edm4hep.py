"""Single showers out of EDM4hep files of a full simulation: whose deposit is whose.

A shower is what one particle deposits that arrives at the calorimeter, with all that stems from
it. Who arrives, where, and with what momentum is decided as in the fast simulation, by
`k4calofast.incidence`; the deposits are the contributions to SimCalorimeterHits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import awkward as ak
import numpy as np

from k4calofast.arrays import Indices
from k4calofast.detector import CrystalCalorimeter, load_crystals
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.events import typed
from k4calofast.events.columns import Contributions, Hits, Particles
from k4calofast.events.edm4hep import CALO_HIT_CONTRIBUTION, MC_PARTICLE, SIM_CALORIMETER_HIT
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.reading import EventSource, Place
from k4calofast.exceptions import (
    FileFormatError,
    InvalidEventError,
    K4CaloFastError,
    MissingCollectionError,
)
from k4calofast.incidence import Record, follow, identified
from k4calofast.showers.base import LARGEST, impossible
from k4calofast.showers.crystals.windows import CrystalShowers, in_windows
from k4calofast.showers.hints import Hints

logger = logging.getLogger(__name__)

_EVENTS_AT_ONCE = 100
"""A full simulation may write a contribution per step: 100 000 of them in an event."""

_ROUNDING = 1e-5
"""Relative; energies of hits are sums of single precision."""

_NO_ARRIVAL, _OTHER_KIND = -1, -2


@dataclass
class _LeftOut:
    """What is in the file and in no shower: contributions, and energies (GeV)."""

    orphans: int = 0
    orphan_energy: float = 0.0
    others: int = 0
    other_energy: float = 0.0
    hits: float = 0.0
    contributions: float = 0.0

    def count(self, shower: Indices, hits: Hits, contributions: Contributions) -> None:
        """Count the contributions (C,) by the shower that each belongs to."""
        energy = contributions.energy.astype(np.float64)
        orphan, other = shower == _NO_ARRIVAL, shower == _OTHER_KIND
        self.orphans += int(orphan.sum())
        self.orphan_energy += float(energy[orphan].sum())
        self.others += int(other.sum())
        self.other_energy += float(energy[other].sum())
        self.hits += float(hits.energy.sum(dtype=np.float64))
        self.contributions += float(energy.sum())

    @property
    def bare(self) -> float:
        """Energy (GeV) of hits that is in no contribution."""
        difference = self.hits - self.contributions
        return difference if abs(difference) > _ROUNDING * self.hits else 0.0


def read(
    files: Sequence[Place],
    hints: Hints = Hints(),  # noqa: B008 - it is frozen
    detector: str = "BESIII_EMC_barrel",
) -> CrystalShowers:
    """Read the showers of every particle that arrives at the calorimeter.

    A contribution belongs to the particle that it names, or to the ancestor whose shower that is
    part of. What belongs to nobody, or to a particle of another kind, is counted and logged.
    Particles that arrive and deposit nothing are showers without energy, and are logged, too.

    Parameters
    ----------
    files
        EDM4hep files, TTree or RNTuple; read in chunks of events.
    hints
        The collections, and which showers are wanted.
    detector
        Name of the calorimeter, see `k4calofast.detector.load`.

    Returns
    -------
    Showers
        In the order of the files, events and particles; energies in GeV.

    Raises
    ------
    FileFormatError
        If a file cannot be read, has cell IDs of another detector, or if there are no showers.
    MissingCollectionError
        If a collection is missing, or the contributions name particles of another one.
    InvalidEventError
        If energies or particles are not numbers, energies are negative, no hit has contributions,
        or relations point nowhere.
    UnknownDetectorError
        If there is no such detector.
    """
    barrel = load_crystals(detector)
    parts = [part for file in files for part in _read_file(file, hints, barrel)]
    if not any(len(part) for part in parts):
        listed = ", ".join(str(file) for file in files) or "no files"
        raise FileFormatError(
            f"{listed}: no showers: no particle of '{hints.particles}' of the kinds "
            f"{', '.join(map(str, hints.kinds))} arrives at {detector}"
        )
    return CrystalShowers.concatenate(parts)


def _read_file(file: Place, hints: Hints, detector: CrystalCalorimeter) -> Iterator[CrystalShowers]:
    with closing(EventSource([file])) as source:
        infos = source.infos
    with _in(file):
        for option, name, kind in (
            ("--hits", hints.hits, SIM_CALORIMETER_HIT),
            ("--particles", hints.particles, MC_PARTICLE),
        ):
            try:
                typed.find_collection(infos, name, kind.collection)
            except MissingCollectionError as error:
                raise MissingCollectionError(f"{error}; name it by {option}") from error
    # Which of them holds the contributions is in the data.
    possible = [info.name for info in infos if info.data_type == CALO_HIT_CONTRIBUTION.collection]
    left_out, count, empty = _LeftOut(), 0, 0
    with closing(EventSource([file], [hints.hits, hints.particles, *possible])) as source:
        for frames in source.chunks(0, source.num_events, _EVENTS_AT_ONCE):
            with _in(file):
                _check_target(frames, hints, infos)
                showers = _showers(frames, hints, detector, infos, left_out)
            count += len(showers)
            empty += int((showers.energies.sum((1, 2)) + showers.beside == 0).sum())
            yield showers
    if left_out.hits and not left_out.contributions:
        raise InvalidEventError(
            f"{file}: the hits of '{hints.hits}' have no contributions, so nothing says whose "
            "they are"
        )
    complete = not (left_out.orphans or left_out.others or left_out.bare or empty)
    logger.log(
        logging.INFO if complete else logging.WARNING,
        "%s: %d showers, %d of them without energy; in no shower are %d contributions to '%s' "
        "with %.4g GeV that stem from no particle that arrives at %s, %d with %.4g GeV of "
        "particles of other kinds, and %.4g GeV of hits that are in no contribution",
        *(file, count, empty, left_out.orphans, hints.hits, left_out.orphan_energy),
        *(detector.name, left_out.others, left_out.other_energy, left_out.bare),
    )


def _showers(
    frames: Frames,
    hints: Hints,
    detector: CrystalCalorimeter,
    infos: tuple[CollectionInfo, ...],
    left_out: _LeftOut,
) -> CrystalShowers:
    """Showers of some events."""
    info = typed.find_collection(infos, hints.particles, MC_PARTICLE.collection)
    particles, _ = identified(typed.particles(frames, info))
    hits, contributions = typed.sim_hits(frames, hints.hits, infos)
    for name, energy in (("hits", hits.energy), ("contributions to hits", contributions.energy)):
        if bad := impossible(energy):
            raise InvalidEventError(
                f"{bad} {name} of '{hints.hits}' have an energy that is NaN or negative"
            )
    cells = detector.cell_of(hits.cell_id)
    if (cells < 0).any():
        raise FileFormatError(
            f"{(cells < 0).sum()} of {len(cells)} hits of '{hints.hits}' have cell IDs that "
            f"belong to no cell of {detector.name}: are they of another detector?"
        )
    record = Record(particles, detector)
    impossible_particle = record.first_impossible(LARGEST)
    if impossible_particle is not None:
        raise InvalidEventError(f"a particle of '{hints.particles}' has {impossible_particle[1]}")
    (arrivals,), census = follow(record)
    pdg = particles.pdg[arrivals.particle]
    chosen = np.isin(pdg, hints.kinds)
    # The last entry is for -1: nobody.
    arrival = np.full(len(particles) + 1, _NO_ARRIVAL)
    arrival[arrivals.particle] = np.arange(len(arrivals))
    of_particle = arrival[census.account]
    number = np.append(np.where(chosen, np.cumsum(chosen) - 1, _OTHER_KIND), _NO_ARRIVAL)
    shower = number[_of_contributions(of_particle, particles, hits, contributions)]
    left_out.count(shower, hits, contributions)
    mine = shower >= 0
    arrivals = arrivals.take(chosen)
    energies, beside = in_windows(
        detector,
        arrivals.cell,
        hints.window,
        shower[mine],
        np.repeat(cells, np.diff(hits.contributions))[mine],
        contributions.energy[mine],
    )
    cell = arrivals.cell.astype(np.int32)
    conditions = arrivals.conditions[:, : len(CONDITIONS)]
    return CrystalShowers(pdg[chosen], cell, conditions, energies, beside)


def _of_contributions(
    of_particle: Indices, particles: Particles, hits: Hits, contributions: Contributions
) -> Indices:
    """Number (C,) of the arrival that each contribution stems from, -1 for none."""
    of_events = np.diff(hits.contributions[hits.offsets])
    first = np.repeat(particles.offsets[:-1], of_events)
    size = np.repeat(np.diff(particles.offsets), of_events)
    index = contributions.particle.astype(np.int64)
    if (index >= size).any():
        raise InvalidEventError("a contribution points beyond the particles")
    result = np.full(len(index), -1, np.int64)
    known = index >= 0
    result[known] = of_particle[(first + index)[known]]
    return result


def _check_target(frames: Frames, hints: Hints, infos: tuple[CollectionInfo, ...]) -> None:
    """Indices into another collection of MCParticles would name the wrong particles."""
    hits = frames.array(f"_{hints.hits}_contributions")
    ids = np.unique(ak.to_numpy(ak.flatten(hits.collectionID))).tolist()
    names = {info.collection_id: info.name for info in infos}
    for contributions in [names[number] for number in ids if number in names]:
        particle = ak.flatten(frames.array(f"_{contributions}_particle"))
        named = np.unique(ak.to_numpy(particle.collectionID[particle.index >= 0])).tolist()
        others = {names.get(number, f"ID {number}") for number in named} - {hints.particles}
        if others:
            raise MissingCollectionError(
                f"the contributions of '{hints.hits}' name particles of "
                f"'{', '.join(sorted(others))}', not of '{hints.particles}'"
            )


@contextmanager
def _in(file: Place) -> Iterator[None]:
    """Say in which file something is wrong."""
    try:
        yield
    except K4CaloFastError as error:
        raise type(error)(f"{file}: {error}") from error
    except KeyError as error:
        raise MissingCollectionError(f"{file}: no field {error}") from error

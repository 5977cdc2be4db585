"""Single showers out of raw files (``.rtraw``) of BESIII's own full simulation, read with pybes3.

The collection ``m_emcMcHitCol`` has an entry per particle (of ``m_mcParticleCol``): where and with
what momentum it entered a crystal, and what it and all that stems from it left in each crystal.
BOSS writes it when the job asks: ``RootWriter.ItemList += {"/Event/MC/EmcMcHitCol#1"};``.

pybes3 hands on BOSS's units: hits are in mm and MeV, particles in cm and GeV. In files of BOSS
7.2.0 and 8.1.0 (test data in pybes3's source distribution) the momenta of photons in the two agree
with these units, and the points of entry lie on the crystals of pybes3's table to 1e-4 mm.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot
from pybes3 import identifier

from k4calofast.arrays import Floats, Indices
from k4calofast.detector import besiii
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.events.reading import readable
from k4calofast.exceptions import FileFormatError, MissingCollectionError
from k4calofast.showers.base import impossible
from k4calofast.showers.crystals.windows import CrystalShowers, in_windows

_UNREADABLE = "cannot be read as a raw file of BESIII"

logger = logging.getLogger(__name__)

HITS, PARTICLES = "TMcEvent/m_emcMcHitCol", "TMcEvent/m_mcParticleCol"
"""Branches of the tree ``Event``."""

MOST_LOST = 0.05
"""GeV that a particle may have lost in front of the calorimeter, for `read`.

Ionisation in beam pipe, drift chamber and TOF takes 0.02 to 0.05. Who lost more has radiated, and
BOSS books what the radiated photons deposit as the particle's own."""

_MEV, _CM = 1e-3, 10.0
"""GeV, mm."""
_ON_SURFACE = 0.1
"""mm between the point of entry and the crystal."""
_EVENTS_AT_ONCE = 1000


class Fate(IntEnum):
    """What becomes of an entry of the collection of hits."""

    SHOWER = 0
    NO_ENTRY = 1
    OTHER_KIND = 2
    RADIATED = 3


def read(
    files: Sequence[Path],
    window: tuple[int, int] = (11, 11),
    kinds: Sequence[int] = (22, 11, -11),
    most_lost: float = MOST_LOST,
) -> CrystalShowers:
    """Read the showers of all particles that enter a crystal of the barrel; see `showers_of`.

    Parameters
    ----------
    files
        Raw files, read in chunks of events.
    window, kinds, most_lost
        See `showers_of`.

    Raises
    ------
    FileFormatError
        If a file cannot be read, or makes no sense, or if there are no showers.
    MissingCollectionError
        If a file lacks the particles or the hits.
    """
    parts = []
    for file in files:
        entries, energy = np.zeros(len(Fate), np.int64), np.zeros(len(Fate))
        with readable(file, _UNREADABLE):
            for particles, hits in _chunks(file):
                showers, fate, deposit = showers_of(particles, hits, window, kinds, most_lost)
                parts.append(showers)
                entries += np.bincount(fate, minlength=len(Fate))
                energy += np.bincount(fate, deposit, len(Fate))
        logger.log(
            logging.WARNING if entries[Fate.NO_ENTRY :].any() else logging.INFO,
            "%s: %d particles in showers (%.4g GeV); in none are %d that enter no crystal of the "
            "barrel from the front (%.4g GeV), %d of other kinds (%.4g GeV), and %d that lost more "
            "than %g GeV before (%.4g GeV)",
            *(file, entries[Fate.SHOWER], energy[Fate.SHOWER], entries[Fate.NO_ENTRY]),
            *(energy[Fate.NO_ENTRY], entries[Fate.OTHER_KIND], energy[Fate.OTHER_KIND]),
            *(entries[Fate.RADIATED], most_lost, energy[Fate.RADIATED]),
        )
    if not any(len(part) for part in parts):
        raise FileFormatError(
            f"{', '.join(map(str, files)) or 'no files'}: no showers: no particle of the kinds "
            f"{', '.join(map(str, kinds))} in '{HITS}' enters the barrel with all its energy"
        )
    return CrystalShowers.concatenate(parts)


def showers_of(
    particles: ak.Array,
    hits: ak.Array,
    window: tuple[int, int] = (11, 11),
    kinds: Sequence[int] = (22, 11, -11),
    most_lost: float = MOST_LOST,
) -> tuple[CrystalShowers, Indices, Floats]:
    """Showers of some events.

    A particle makes a shower if it sets out in front of the barrel and enters a crystal of it.
    Conditions are those at its point of entry, as the simulation had them: behind the material in
    front. Deposits of particles that were born in the calorimeter, of a decay say, belong to their
    nearest ancestor that entered it. Deposits in the endcaps are beside the window.

    Parameters
    ----------
    particles, hits
        Events of jagged records, as pybes3 reads ``m_mcParticleCol`` and ``m_emcMcHitCol``.
    window
        Rows and columns of crystals around the one that is entered.
    kinds
        PDG numbers of the particles whose showers are wanted.
    most_lost
        GeV that they may have lost in front; see `MOST_LOST`.

    Returns
    -------
    showers
        In the order of the hits; energies in GeV.
    fate
        (hits,) `Fate` of every entry.
    deposit
        (hits,) its energy (GeV).

    Raises
    ------
    FileFormatError
        If energies are NaN or negative, momenta or points NaN, crystals unknown, or a particle is
        in the hits alone.
    """
    barrel = besiii.barrel()
    entries = _Entries.of(hits)
    of_entry, cell, energy = _deposits(hits)
    row = _find(_numbered(particles, "m_trackIndex"), _numbered(hits, "m_trackIndex"))
    if (row < 0).any():
        raise FileFormatError(f"'{HITS}' holds particles that are not in '{PARTICLES}'")
    enters, entered = _entering(entries, _vectors(particles, "m_{}InitialPosition")[row] * _CM)
    set_out = np.linalg.norm(_vectors(particles, "m_{}InitialMomentum"), axis=1)[row]

    reason = np.full(len(row), Fate.NO_ENTRY, np.int64)
    reason[enters] = Fate.SHOWER
    reason[enters[(set_out - entries.size)[enters] > most_lost]] = Fate.RADIATED
    reason[enters[~np.isin(entries.pdg[enters], list(kinds))]] = Fate.OTHER_KIND
    arrival = _arrivals(particles, row, enters)
    fate = np.where(arrival < 0, Fate.NO_ENTRY, reason[arrival])

    chosen = np.flatnonzero(reason == Fate.SHOWER)
    shower = np.searchsorted(chosen, arrival)[of_entry]
    showered = fate[of_entry] == Fate.SHOWER
    energies, beside = in_windows(
        barrel, entered[chosen], window, shower[showered], cell[showered], energy[showered]
    )
    conditions = barrel.conditions_at(
        entered[chosen], entries.position[chosen], entries.momentum[chosen]
    )
    showers = CrystalShowers(
        entries.pdg[chosen],
        entered[chosen].astype(np.int32),
        conditions[:, : len(CONDITIONS)],
        energies,
        beside,
    )
    return showers, fate, np.bincount(of_entry, energy, len(row)).astype(np.float64)


@dataclass(frozen=True)
class _Entries:
    """Of hits: kind, whether it reached the calorimeter, point (mm) and momentum (GeV) there."""

    pdg: npt.NDArray[np.int32]
    reached: npt.NDArray[np.bool_]
    position: Floats
    momentum: Floats

    @property
    def size(self) -> Floats:
        """(N,) of the momenta."""
        size: Floats = np.linalg.norm(self.momentum, axis=1)
        return size

    @staticmethod
    def of(hits: ak.Array) -> _Entries:
        position, momentum = _vectors(hits, "m_{}Position"), _vectors(hits, "m_p{}") * _MEV
        if not (np.isfinite(position).all() and np.isfinite(momentum).all()):
            raise FileFormatError(f"'{HITS}' holds points or momenta that are not numbers")
        pdg = _flat(hits, "m_PDGCode").astype(np.int32)
        return _Entries(pdg, _flat(hits, "m_hitEmc") == 1, position, momentum)


def _entering(entries: _Entries, vertex: Floats) -> tuple[Indices, Indices]:
    """Rows of those that come from in front of the barrel into it, and the crystals (N,) of all."""
    barrel, size = besiii.barrel(), entries.size
    moving = np.flatnonzero(entries.reached & (size > 0))
    direction = entries.momentum[moving] / size[moving, None]
    entry = barrel.first_cell(entries.position[moving], direction)
    entered = np.full(len(size), -1, np.int64)
    entered[moving] = entry.cell
    on_surface = np.abs(entry.distance) < _ON_SURFACE
    return moving[on_surface & barrel.in_front(vertex[moving])], entered


def _arrivals(particles: ak.Array, row: Indices, enters: Indices) -> Indices:
    """(N,) whose shower an entry belongs to: its own, or that of the nearest ancestor; -1."""
    number = _numbered(particles, "m_trackIndex")
    parent = _find(number, _numbered(particles, "m_mother"))
    arrival = np.full(len(number), -1, np.int64)
    arrival[row[enters]] = enters
    child = np.flatnonzero(parent >= 0)
    return nearest_arrival(arrival, child, parent[child])[row]


def nearest_arrival(arrival: Indices, child: Indices, parent: Indices) -> Indices:
    """Pass the numbers of arrivals on to the particles that stem from them.

    Parameters
    ----------
    arrival
        (N,) number of each particle's arrival, -1 for those that do not arrive.
    child, parent
        (R,) relations between the particles.

    Returns
    -------
    npt.NDArray
        (N,) number of the arrival of the particle itself, or else of its nearest ancestor that
        arrives; -1 where there is none.
    """
    found = arrival.copy()
    while True:
        new = np.flatnonzero((found[child] < 0) & (found[parent] >= 0))
        if not new.size:
            return found
        found[child[new]] = found[parent[new]]


def origin(file: Path) -> str:
    """Program, version and seed of a file, as far as its job options say."""
    with readable(file, _UNREADABLE), uproot.open(file) as root:
        info = {}
        for name in ("m_bossVer", "m_jobOptions"):
            try:
                info[name] = str(root[f"JobInfoTree/JobInfo/{name}"].array().tolist())
            except uproot.KeyInFileError:
                info[name] = ""
    version = re.search(r"\d[\w.-]*", info["m_bossVer"])
    seed = re.search(r"RndmSeed\s*=\s*(\d+)", info["m_jobOptions"])
    return f"BOSS{f' {version[0]}' if version else ''}{f', seed {seed[1]}' if seed else ''}"


def _chunks(file: Path) -> Iterator[tuple[ak.Array, ak.Array]]:
    """Particles and hits of some events at a time."""
    if not file.is_file():
        raise FileFormatError("no such file")
    with uproot.open(file) as root:
        names = set(root["Event"].keys()) if "Event" in root else set()
        for branch in (PARTICLES, HITS):
            if branch not in names:
                raise MissingCollectionError(f"no branch '{branch}' in a tree 'Event'")
        tree = root["Event"]
        for start in range(0, tree.num_entries, _EVENTS_AT_ONCE):
            particles, hits = (
                tree[branch].array(entry_start=start, entry_stop=start + _EVENTS_AT_ONCE)
                for branch in (PARTICLES, HITS)
            )
            if not hits.fields or not particles.fields:
                raise MissingCollectionError(
                    f"'{HITS if particles.fields else PARTICLES}' was not written; BOSS does "
                    'with RootWriter.ItemList += {"/Event/MC/McParticleCol#1", '
                    '"/Event/MC/EmcMcHitCol#1"};'
                )
            yield particles, hits


def _deposits(hits: ak.Array) -> tuple[Indices, Indices, Floats]:
    """Deposits of all entries: the entry, the cell (-1 in the endcaps), the energy (GeV)."""
    deposits = ak.flatten(hits["m_hitMap"])
    of_hit = np.repeat(np.arange(len(deposits)), ak.to_numpy(ak.num(deposits)))
    crystal = _flat(deposits, "key").astype(np.uint32)
    energy = _flat(deposits, "val").astype(np.float64) * _MEV
    if bad := impossible(energy):
        raise FileFormatError(f"{bad} deposits in '{HITS}' are NaN or negative")
    theta, phi = identifier.emc_id_to_theta(crystal), identifier.emc_id_to_phi(crystal)
    part = identifier.emc_id_to_module(crystal)
    fields = {"part": part, "theta": theta, "phi": phi}
    # Two endcaps and the barrel between them.
    known = identifier.check_emc_id(crystal) & (part <= 2)
    for field in besiii.ENCODING.fields:
        known &= fields.get(field.name, 0) <= field.limits[1]
    if not known.all():
        raise FileFormatError(f"{(~known).sum()} deposits in '{HITS}' are in no crystal of BESIII")
    cell = besiii.barrel().cell_of(besiii.ENCODING.encode(system=besiii.SYSTEM, **fields))
    return of_hit, cell, energy


def _numbered(records: ak.Array, member: str) -> Indices:
    """Numbers of particles, made unique over all events; negative ones are of no particle."""
    number = _flat(records, member).astype(np.int64)
    event = np.repeat(np.arange(len(records)), ak.to_numpy(ak.num(records)))
    return np.where(number < 0, -1, (event << 32) + number)


def _find(numbers: Indices, wanted: Indices) -> Indices:
    """Row of each wanted number, -1 where there is none."""
    order = np.argsort(numbers)
    found = np.append(order, -1)[np.searchsorted(numbers[order], wanted)]
    known = (found >= 0) & (wanted >= 0)
    known[known] = numbers[found[known]] == wanted[known]
    return np.where(known, found, -1)


def _flat(records: ak.Array, member: str) -> npt.NDArray[np.generic]:
    values: npt.NDArray[np.generic] = ak.to_numpy(ak.flatten(records[member]))
    return values


def _vectors(records: ak.Array, member: str) -> Floats:
    """(N, 3) of the members of this name for x, y and z."""
    axes = [_flat(records, member.format(axis)).astype(np.float64) for axis in "xyz"]
    return np.stack(axes, axis=1)

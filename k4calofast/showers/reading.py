"""One door for samples of showers, whatever the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uproot

import k4calofast
from k4calofast.detector import load
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.events.reading import EventSource, readable
from k4calofast.exceptions import FileFormatError
from k4calofast.showers import besiii_raw, calochallenge, crystals, edm4hep, hdf5
from k4calofast.showers.crystals import CrystalShowers

_FORMATS = (
    "showers are read from HDF5 files (of `k4calofast fullsim`, or like the CaloChallenge's) and "
    "from ROOT files (EDM4hep, or BESIII's rtraw)"
)


@dataclass(frozen=True)
class Source:
    """Where a sample of showers comes from.

    Attributes
    ----------
    detector
        Name of the calorimeter, None where the file does not say.
    description
        Simulation, and its seed where it is known.
    seed
        None where the file does not say.
    provenance
        Of samples of `k4calofast fullsim`.
    """

    detector: str | None
    description: str
    seed: int | None = None
    provenance: crystals.CrystalProvenance | None = None


@dataclass(frozen=True)
class Hints:
    """What files do not say by themselves; see `read`.

    Attributes
    ----------
    hits, particles
        Collections of EDM4hep files.
    binning
        XML file of a sample of the CaloChallenge, where it has another name.
    detector
        Name of the calorimeter; None for what the file says, or for the usual one in EDM4hep.
    """

    hits: str = "EMCBarrelCollection"
    particles: str = "MCParticles"
    binning: Path | None = None
    detector: str | None = None


def read(
    file: Path,
    *,
    hits: str = "EMCBarrelCollection",
    particles: str = "MCParticles",
    window: tuple[int, int] = (11, 11),
    detector: str = "BESIII_EMC_barrel",
    kinds: Sequence[int] = (22, 11, -11),
    binning: Path | None = None,
    only_energies: bool = False,
) -> tuple[CrystalShowers, Source]:
    """Read showers from any file that holds some. What it is, its content says.

    ============================================  ==============================================
    file                                          read by
    ============================================  ==============================================
    HDF5, written by ``k4calofast fullsim``       `k4calofast.showers.hdf5`
    HDF5 with the datasets of the CaloChallenge   `k4calofast.showers.calochallenge`
    ROOT, written by podio                        `k4calofast.showers.edm4hep`
    ROOT with BESIII's tree ``Event``             `k4calofast.showers.besiii_raw`
    ============================================  ==============================================

    Parameters
    ----------
    hits, particles, detector
        For EDM4hep.
    window, kinds
        For EDM4hep and BESIII's raw files; the others hold windows.
    binning, only_energies
        For the CaloChallenge; without `binning`, the file's name with the suffix ``.xml``.

    Raises
    ------
    FileFormatError
        If the file is none of these, is damaged, holds no showers, or energies that are NaN or
        negative.
    MissingCollectionError, InvalidEventError
        See `k4calofast.showers.edm4hep.read`.
    """
    if file.is_dir():
        raise FileFormatError(f"{file}: a folder; {_FORMATS}")
    magic = hdf5.start(file)
    if magic[:4] == b"root":
        if _by_podio(file):
            showers = edm4hep.read([file], hits, particles, window, detector, kinds)
            source = Source(detector, f"full simulation, {_data_model(file)}")
        else:
            showers = besiii_raw.read([file], window, kinds)
            origin = besiii_raw.origin(file)
            source = Source("BESIII_EMC_barrel", origin, _seed(origin))
    elif magic == hdf5.SIGNATURE:
        if calochallenge.is_sample(file):
            xml = binning or file.with_suffix(".xml")
            showers = calochallenge.read(file, xml, only_energies)
            name, description = calochallenge.origin(file)
            said = description or "in the layout of the CaloChallenge"
            source = Source(name, said, _seed(description))
        else:
            showers, provenance = crystals.read(file)
            said = _said(provenance)
            source = Source(provenance.detector, said, provenance.seed, provenance)
    else:
        raise FileFormatError(f"{file}: neither HDF5 nor ROOT; {_FORMATS}")
    if not len(showers):
        raise FileFormatError(f"{file}: holds no showers")
    crystals.refuse_impossible(file, showers)
    return showers, source


def read_with_provenance(
    file: Path, hints: Hints | None = None
) -> tuple[CrystalShowers, crystals.CrystalProvenance]:
    """Read showers from any file that holds some, and what a training must know of them.

    Samples of `k4calofast fullsim` say it all. Of others, the coverage is measured: the generator
    that is trained on them is for what is in them. What a file does not say is "unknown".

    Raises
    ------
    FileFormatError
        If nobody says of which detector the showers are, or file and hints differ in it; and see
        `read`.
    UnknownDetectorError
        If there is no such detector.
    """
    hints = Hints() if hints is None else hints
    showers, source = read(
        file,
        hits=hints.hits,
        particles=hints.particles,
        detector=hints.detector or "BESIII_EMC_barrel",
        binning=hints.binning,
    )
    detector = source.detector or hints.detector
    if detector is None:
        raise FileFormatError(f"{file} does not say of which detector it is: name it (--detector)")
    if hints.detector not in (None, detector):
        raise FileFormatError(f"{file} is of detector {detector}, not of {hints.detector}")
    load(detector)
    if source.provenance is not None:
        return showers, source.provenance
    rows, columns = showers.energies.shape[1:]
    provenance = crystals.CrystalProvenance(
        detector=detector,
        window=(rows, columns),
        simulation=source.description,
        physics="unknown",
        physics_data="unknown",
        range_cut=None,
        magnetic_field=None,
        geometry="geometry unknown",
        sampling=f"particles as they come in {file.name}",
        coverage=_coverage(showers),
        seed=source.seed,
        software=f"k4calofast {k4calofast.__version__}",
    )
    return showers, provenance


_LEAST_WIDE = {"rad": 1e-3, "mm": 0.1}
"""Ranges are at least so wide: differences by rounding alone are none.  Momenta: a thousandth."""


def _coverage(showers: CrystalShowers) -> dict[int, dict[str, tuple[float, float]]]:
    """Range that each condition fills, for each kind."""
    coverage = {}
    for pdg in np.unique(showers.pdg).tolist():
        conditions = showers.conditions[showers.pdg == pdg]
        ranges = {}
        for condition, low, high in zip(
            CONDITIONS, conditions.min(0), conditions.max(0), strict=True
        ):
            middle = (low + high) / 2
            least = _LEAST_WIDE.get(condition.unit, 1e-3 * abs(middle))
            half = max(high - low, least) / 2
            ranges[condition.name] = (float(middle - half), float(middle + half))
        coverage[pdg] = ranges
    return coverage


def _by_podio(file: Path) -> bool:
    with readable(file, "cannot be read"), uproot.open(file) as root:
        podio, besiii = "podio_metadata" in root, "Event" in root
    if not podio and not besiii:
        raise FileFormatError(f"{file}: a ROOT file of neither podio nor BESIII; {_FORMATS}")
    return podio


def _data_model(file: Path) -> str:
    """Data model of an EDM4hep file: it says nothing of the program, nor of a seed."""
    with closing(EventSource([file])) as source:
        version = source.info.model_versions.get("edm4hep")
    return f"EDM4hep {'.'.join(map(str, version))}" if version else "EDM4hep"


def _said(provenance: crystals.CrystalProvenance) -> str:
    again = f", repetition {provenance.repetition}" if provenance.repetition else ""
    seed = "unknown" if provenance.seed is None else provenance.seed
    return f"{provenance.simulation}, {provenance.physics}, seed {seed}{again}"


def _seed(description: str) -> int | None:
    """Seed that a description ends with, or names before a repetition."""
    found = re.search(r"\bseed (\d+)\b", description)
    return None if found is None else int(found[1])

"""Showers in crystals from files of other programs; what a file is, its content says."""

from __future__ import annotations

import re
from pathlib import Path

import uproot

from k4calofast.detector import Calorimeter
from k4calofast.detector.besiii import barrel
from k4calofast.events.reading import EventSource, Place, readable
from k4calofast.exceptions import FileFormatError
from k4calofast.showers import hdf5
from k4calofast.showers.crystals import besiii_raw, calochallenge, edm4hep
from k4calofast.showers.crystals.windows import LAYOUT, CrystalShowers
from k4calofast.showers.hints import Hints
from k4calofast.showers.provenance import Source

_FORMATS = (
    "showers are read from HDF5 files (of `k4calofast fullsim`, or like the CaloChallenge's) and "
    "from ROOT files (EDM4hep, or BESIII's rtraw)"
)


def read_others(
    file: Place, calorimeter: Calorimeter, hints: Hints
) -> tuple[CrystalShowers, Source]:
    """Read a file that other programs wrote.

    ============================================  ================
    file                                          read by
    ============================================  ================
    HDF5 with the datasets of the CaloChallenge   `calochallenge`
    ROOT, written by podio                        `edm4hep`
    ROOT with BESIII's tree ``Event``             `besiii_raw`
    ============================================  ================

    Errors are those of `k4calofast.showers.reading.read`.
    """
    if isinstance(file, str):
        return _of_podio(file, hints, calorimeter)
    magic = hdf5.start(file)
    if magic == hdf5.SIGNATURE:
        return _calochallenge(file, hints)
    if magic[:4] != b"root":
        raise FileFormatError(f"{file}: neither HDF5 nor ROOT; {_FORMATS}")
    if _by_podio(file):
        return _of_podio(file, hints, calorimeter)
    showers = besiii_raw.read([file], hints.window, hints.kinds)
    origin = besiii_raw.origin(file)
    return showers, Source(barrel().name, origin, _seed(origin))


def _of_podio(file: Place, hints: Hints, calorimeter: Calorimeter) -> tuple[CrystalShowers, Source]:
    showers = edm4hep.read([file], hints, calorimeter.name)
    return showers, Source(calorimeter.name, f"full simulation, {_data_model(file)}")


def _calochallenge(file: Path, hints: Hints) -> tuple[CrystalShowers, Source]:
    layout, names = hdf5.contents(file)
    if not names >= calochallenge.DATASETS:
        said = "" if layout is None else f", but '{layout}'"
        raise FileFormatError(f"{file}: not a shower sample ('{LAYOUT.name}'){said}; {_FORMATS}")
    xml = hints.binning or file.with_suffix(".xml")
    showers = calochallenge.read(file, xml, hints.only_energies)
    name, description = calochallenge.origin(file)
    said = description or "in the layout of the CaloChallenge"
    return showers, Source(name, said, _seed(description))


def _by_podio(file: Path) -> bool:
    with readable(file, "cannot be read"), uproot.open(file) as root:
        podio, besiii = "podio_metadata" in root, "Event" in root
    if not podio and not besiii:
        raise FileFormatError(f"{file}: a ROOT file of neither podio nor BESIII; {_FORMATS}")
    return podio


def _data_model(file: Place) -> str:
    """Data model of an EDM4hep file: it says nothing of the program, nor of a seed."""
    version = EventSource([file]).info.model_versions.get("edm4hep")
    return f"EDM4hep {'.'.join(map(str, version))}" if version else "EDM4hep"


def _seed(description: str) -> int | None:
    """Seed that a description ends with, or names before a repetition."""
    found = re.search(r"\bseed (\d+)\b", description)
    return None if found is None else int(found[1])

"""One door for samples of showers, whatever the file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import uproot

from k4calofast.events.reading import EventSource, readable
from k4calofast.exceptions import FileFormatError
from k4calofast.showers import besiii_raw, calochallenge, edm4hep, hdf5
from k4calofast.showers.columns import Showers
from k4calofast.showers.deposits import refuse_impossible


@dataclass(frozen=True)
class Source:
    """Where a sample of showers comes from.

    Attributes
    ----------
    detector
        Name of the calorimeter, None where the file does not say.
    description
        Simulation, and its seed where it is known.
    """

    detector: str | None
    description: str


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
) -> tuple[Showers, Source]:
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
    if not file.is_file():
        raise FileFormatError(f"{file}: no such file")
    with file.open("rb") as start:
        magic = start.read(8)
    if magic[:4] == b"root":
        if _by_podio(file):
            showers = edm4hep.read([file], hits, particles, window, detector, kinds)
            source = Source(detector, f"full simulation, {_data_model(file)}")
        else:
            showers = besiii_raw.read([file], window, kinds)
            source = Source("BESIII_EMC_barrel", besiii_raw.origin(file))
    elif magic == b"\x89HDF\r\n\x1a\n":
        if calochallenge.is_sample(file):
            xml = binning or file.with_suffix(".xml")
            showers = calochallenge.read(file, xml, only_energies)
            name, description = calochallenge.origin(file)
            source = Source(name, description or "in the layout of the CaloChallenge")
        else:
            showers, provenance = hdf5.read(file)
            source = Source(provenance.detector, _said(provenance))
    else:
        raise FileFormatError(f"{file}: neither HDF5 nor ROOT, so not a sample of showers")
    if not len(showers):
        raise FileFormatError(f"{file}: holds no showers")
    refuse_impossible(file, showers)
    return showers, source


def _by_podio(file: Path) -> bool:
    with readable(file, "cannot be read"), uproot.open(file) as root:
        return "podio_metadata" in root


def _data_model(file: Path) -> str:
    """Data model of an EDM4hep file: it says nothing of the program, nor of a seed."""
    with closing(EventSource([file])) as source:
        version = source.info.model_versions.get("edm4hep")
    return f"EDM4hep {'.'.join(map(str, version))}" if version else "EDM4hep"


def _said(provenance: hdf5.Provenance) -> str:
    again = f", repetition {provenance.repetition}" if provenance.repetition else ""
    return f"{provenance.simulation}, {provenance.physics}, seed {provenance.seed}{again}"

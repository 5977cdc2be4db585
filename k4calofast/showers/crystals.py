"""Showers in crystals as HDF5 files: windows of energies, and where they come from.

Layout, version 1: one dataset per column of `CrystalShowers`, with the attributes ``unit`` and
``description``; the provenance as attributes of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import FileFormatError
from k4calofast.showers.deposits import LARGEST, SMALLEST, impossible
from k4calofast.showers.hdf5 import read_columns, write_columns
from k4calofast.showers.provenance import Provenance

LAYOUT = "k4calofast showers 1"

_COLUMNS = {
    "pdg": ("", "PDG number of the particle"),
    "cell": ("", "cell that was hit"),
    "conditions": (
        ", ".join(condition.unit for condition in CONDITIONS),
        ", ".join(condition.name for condition in CONDITIONS),
    ),
    "energies": ("GeV", "energy deposited in each cell of the window around the hit cell"),
    "beside": ("GeV", "energy deposited in cells outside the window"),
}


_DIMENSIONS = {"pdg": 1, "cell": 1, "conditions": 2, "energies": 3, "beside": 1}
_TYPES = {
    "pdg": np.int32,
    "cell": np.int32,
    "conditions": np.float64,
    "energies": np.float32,
    "beside": np.float32,
}


@dataclass(frozen=True)
class CrystalShowers:
    """N showers, each seen in a window of cells around the cell that was hit.

    Attributes
    ----------
    pdg
        (N,) PDG number of the particle.
    cell
        (N,) cell that was hit.
    conditions
        (N, 6) in the order and units of `k4calofast.detector.crystals.CONDITIONS`.
    energies
        (N, rows, columns) energy deposited in each cell of the window (GeV); 0 where the
        window has no cell.
    beside
        (N,) energy deposited in cells outside the window (GeV).
    """

    pdg: npt.NDArray[np.int32]
    cell: npt.NDArray[np.int32]
    conditions: npt.NDArray[np.float64]
    energies: npt.NDArray[np.float32]
    beside: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pdg)

    @property
    def momentum(self) -> npt.NDArray[np.float64]:
        """(N,) momentum at the face (GeV): the first of the conditions."""
        return self.conditions[:, 0]

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> CrystalShowers:
        """Return the showers of these rows."""
        return CrystalShowers(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence[CrystalShowers]) -> CrystalShowers:
        """Return the showers of several samples, one after the other."""
        return CrystalShowers(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(CrystalShowers)
            )
        )


class CrystalProvenance(Provenance):
    """Where a sample of showers in windows comes from.

    Samples of others say less: `k4calofast.showers.reading.read_with_provenance`.

    Attributes
    ----------
    window
        Its shape (rows, columns).
    """

    window: tuple[int, int]

    covered = frozenset(condition.name for condition in CONDITIONS)


def write(
    file: Path,
    parts: Iterable[CrystalShowers],
    provenance: CrystalProvenance | Callable[[], CrystalProvenance],
) -> int:
    """Write showers, part by part, under a temporary name that is changed at the end.

    Returns
    -------
    int
        Number of showers.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rows = ({name: getattr(part, name) for name in _COLUMNS} for part in parts)
    return write_columns(file, LAYOUT, _COLUMNS, rows, provenance)


def read(file: Path) -> tuple[CrystalShowers, CrystalProvenance]:
    """Read a sample.

    Raises
    ------
    FileFormatError
        If the file is missing, is not such a sample, is empty, or holds NaN or negative energies.
    """

    def fits(sizes: Mapping[str, tuple[int, ...]], provenance: CrystalProvenance) -> None:
        count = sizes["pdg"][0]
        of_one = {"conditions": (len(CONDITIONS),), "energies": provenance.window}
        for name, size in sizes.items():
            needed = (count, *of_one.get(name, ()))
            if size != needed:
                raise FileFormatError(f"{file}: column {name} has the shape {size}, not {needed}")

    columns, provenance = read_columns(file, LAYOUT, _DIMENSIONS, CrystalProvenance, fits, _TYPES)
    showers = CrystalShowers(**columns)
    refuse_impossible(file, showers)
    return showers, provenance


def refuse_impossible(file: Path, showers: CrystalShowers) -> None:
    """Refuse what no training and no comparison survives, whoever has read it.

    Raises
    ------
    FileFormatError
        If energies are NaN, negative or absurd, or conditions NaN or absurd; the message names file
        and column.
    """
    for name in ("energies", "beside"):
        if impossible(getattr(showers, name)):
            raise FileFormatError(
                f"{file}: column {name} holds NaN or negative energies, or some above "
                f"{LARGEST:g} GeV"
            )
    if not (np.abs(showers.conditions) <= LARGEST).all():
        raise FileFormatError(f"{file}: column conditions holds NaN, or values above {LARGEST:g}")
    if not (showers.momentum >= SMALLEST).all():
        raise FileFormatError(f"{file}: column conditions holds momenta below {SMALLEST:g} GeV")

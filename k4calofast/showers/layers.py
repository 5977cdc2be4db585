"""Showers in layers as HDF5 files: sparse columns of small cells, and where they come from.

Layout, version 1: one dataset per column of `LayerShowers`, with the attributes ``unit`` and
``description``; the provenance as attributes of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from k4calofast.detector.description import describe
from k4calofast.exceptions import FileFormatError
from k4calofast.showers.deposits import LARGEST, impossible
from k4calofast.showers.hdf5 import read_columns, write_columns
from k4calofast.showers.provenance import Provenance

LAYOUT = "k4calofast layered showers 1"

PIXELS_PER_CELL = 10
"""Small cells along a side of a cell, so that cells can be put anywhere on them."""

_COLUMNS = {
    "pdg": ("", "PDG number of the particle"),
    "momentum": ("GeV", "of the particle at the front face"),
    "angle_t": ("rad", "atan2(p_t, p_n) of the particle: across the module"),
    "angle_z": ("rad", "atan2(p_z, p_n) of the particle: along the beam"),
    "offsets": ("", "points of shower i are offsets[i]:offsets[i + 1]"),
    "layer": ("", "sensitive slice of a point, counted from the front"),
    "column": ("pitch", "small cell of a point along t, 0 begins where the particle enters"),
    "row": ("pitch", "small cell of a point along z, 0 begins where the particle enters"),
    "energy": ("GeV", "energy deposited in the small cell's silicon"),
    "time": ("ns", "of the earliest deposit, after the particle is at the front face"),
}
_TYPES = {
    "pdg": np.int32,
    "momentum": np.float64,
    "angle_t": np.float64,
    "angle_z": np.float64,
    "offsets": np.int64,
    "layer": np.uint8,
    "column": np.int16,
    "row": np.int16,
    "energy": np.float32,
    "time": np.float32,
}
_OF_SHOWERS = ("pdg", "momentum", "angle_t", "angle_z")
_OF_POINTS = ("layer", "column", "row", "energy", "time")

_CHUNK = 16384
"""Rows that are compressed together."""


@dataclass(frozen=True)
class LayerShowers:
    """N showers with P points: small cells of the layers' silicon with energy in them.

    A particle enters the front face of a module's stack at t = 0, z = 0; its frame is (t, z, n), n
    along the module's normal, z along the beam, t across.

    Attributes
    ----------
    pdg
        (N,) PDG number of the particle.
    momentum
        (N,) at the front face (GeV).
    angle_t, angle_z
        (N,) atan2(p_t, p_n) and atan2(p_z, p_n) there (rad).
    offsets
        (N + 1,) the points of shower i are ``offsets[i]:offsets[i + 1]``.
    layer
        (P,) sensitive slice, counted from the front.
    column, row
        (P,) small cell along t and along z: k covers [k pitch, (k + 1) pitch) from where the
        particle enters.
    energy
        (P,) GeV that is deposited in the silicon.
    time
        (P,) ns of the earliest deposit, after the particle is at the front face.
    """

    pdg: npt.NDArray[np.int32]
    momentum: npt.NDArray[np.float64]
    angle_t: npt.NDArray[np.float64]
    angle_z: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.int64]
    layer: npt.NDArray[np.uint8]
    column: npt.NDArray[np.int16]
    row: npt.NDArray[np.int16]
    energy: npt.NDArray[np.float32]
    time: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pdg)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> LayerShowers:
        """Return the showers of these rows."""
        kept = np.arange(len(self))[rows]
        counts = np.diff(self.offsets)[kept]
        offsets = np.append(0, np.cumsum(counts))
        points = np.arange(offsets[-1]) + np.repeat(self.offsets[kept] - offsets[:-1], counts)
        return LayerShowers(
            offsets=offsets,
            **{name: getattr(self, name)[kept] for name in _OF_SHOWERS},
            **{name: getattr(self, name)[points] for name in _OF_POINTS},
        )

    @staticmethod
    def concatenate(parts: Sequence[LayerShowers]) -> LayerShowers:
        """Return the showers of several samples, one after the other."""
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        return LayerShowers(
            offsets=np.append(0, np.cumsum(counts)),
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in (*_OF_SHOWERS, *_OF_POINTS)
            },
        )


class LayerProvenance(Provenance):
    """Where a sample of showers in layers comes from.

    Attributes
    ----------
    pitch
        Size of the small cells (mm).
    """

    pitch: float = Field(gt=0, allow_inf_nan=False)

    covered = frozenset(("momentum", "angle_t", "angle_z"))


def write(
    file: Path,
    parts: Iterable[LayerShowers],
    provenance: LayerProvenance | Callable[[], LayerProvenance],
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
    return write_columns(file, LAYOUT, _COLUMNS, _rows(parts), provenance, _CHUNK)


def _rows(parts: Iterable[LayerShowers]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Rows that each part adds to the columns."""
    points = 0
    for number, part in enumerate(parts):
        rows = {name: getattr(part, name) for name in (*_OF_SHOWERS, *_OF_POINTS)}
        rows["offsets"] = points + part.offsets[1 if number else 0 :]
        yield rows
        points += len(part.layer)


def read(file: Path) -> tuple[LayerShowers, LayerProvenance]:
    """Read a sample.

    Raises
    ------
    FileFormatError
        If the file is missing, is not such a sample, or holds what cannot be: offsets that do not
        fit, layers that the detector has not, NaN, negative energies.
    UnknownDetectorError
        If it is of a detector that is not known.
    """

    def fits(sizes: Mapping[str, tuple[int, ...]], _: LayerProvenance) -> None:
        for names in (_OF_SHOWERS, _OF_POINTS):
            for name in names:
                if sizes[name] != sizes[names[0]]:
                    raise FileFormatError(
                        f"{file}: column {name} is not as long as column {names[0]}"
                    )
        if sizes["offsets"][0] != sizes["pdg"][0] + 1:
            raise FileFormatError(f"{file}: column offsets does not fit the showers")

    columns, provenance = read_columns(
        file, LAYOUT, dict.fromkeys(_COLUMNS, 1), LayerProvenance, fits, _TYPES
    )
    showers = LayerShowers(**columns)
    _refuse_misfits(file, showers)
    layers = len(describe(provenance.detector).depths)
    if (showers.layer >= layers).any():
        raise FileFormatError(
            f"{file}: column layer holds {showers.layer.max()}, but {provenance.detector} has "
            f"{layers} layers"
        )
    return showers, provenance


def _refuse_misfits(file: Path, showers: LayerShowers) -> None:
    offsets = showers.offsets
    if offsets[0] != 0 or offsets[-1] != len(showers.layer) or (np.diff(offsets) < 0).any():
        raise FileFormatError(f"{file}: column offsets does not fit the showers and their points")
    for name in ("momentum", "energy"):
        if impossible(getattr(showers, name)):
            raise FileFormatError(
                f"{file}: column {name} holds NaN or negative values, or some above {LARGEST:g}"
            )
    for name in ("angle_t", "angle_z", "time"):
        if not (np.abs(getattr(showers, name)) <= LARGEST).all():
            raise FileFormatError(f"{file}: column {name} holds NaN, or values above {LARGEST:g}")

"""Showers in layers: sparse points in small cells, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from k4calofast.detector import Calorimeter
from k4calofast.detector.description import describe
from k4calofast.exceptions import FileFormatError
from k4calofast.showers.base import Column, Rows, Showers
from k4calofast.showers.hdf5 import Layout
from k4calofast.showers.hints import Hints
from k4calofast.showers.provenance import Provenance, Source

PIXELS_PER_CELL = 10
"""Small cells along a side of a cell, so that cells can be put anywhere on them."""


@dataclass(frozen=True)
class CellsOfPixels:
    """Cells made of a sample's small cells, its pixels.

    A phase says by how many pixels borders of cells are moved from where the particle enters.
    Arguments are arrays of numpy or tensors of torch that broadcast, and so are results.

    Attributes
    ----------
    size
        Side of a cell (mm).
    per_cell
        Pixels along it.
    """

    size: float
    per_cell: int

    def at(self, position: Any, phase: Any) -> Any:
        """Numbers of the cells that hold positions (mm from where the particle enters)."""
        return (position / (self.size / self.per_cell) - phase) // self.per_cell

    def of(self, pixel: Any, phase: Any) -> Any:
        """Numbers of the cells that pixels are part of."""
        return (pixel - phase) // self.per_cell

    def centre(self, cell: Any, phase: Any) -> Any:
        """Centres of cells (mm from where the particle enters)."""
        return (cell + 0.5) * self.size + phase * (self.size / self.per_cell)


@dataclass(frozen=True)
class LayerShowers(Showers):
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

    momentum: npt.NDArray[np.float64]
    angle_t: npt.NDArray[np.float64]
    angle_z: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.int64]
    layer: npt.NDArray[np.uint8]
    column: npt.NDArray[np.int16]
    row: npt.NDArray[np.int16]
    energy: npt.NDArray[np.float32]
    time: npt.NDArray[np.float32]

    columns = {  # noqa: RUF012 - a constant of the class
        "pdg": Column(np.int32, "", "PDG number of the particle"),
        "momentum": Column(np.float64, "GeV", "of the particle at the front face"),
        "angle_t": Column(
            np.float64, "rad", "atan2(p_t, p_n) of the particle: across the module", negative=True
        ),
        "angle_z": Column(
            np.float64, "rad", "atan2(p_z, p_n) of the particle: along the beam", negative=True
        ),
        "offsets": Column(
            np.int64, "", "points of shower i are offsets[i]:offsets[i + 1]", rows=Rows.BORDERS
        ),
        "layer": Column(
            np.uint8, "", "sensitive slice of a point, counted from the front", rows=Rows.POINTS
        ),
        "column": Column(
            np.int16,
            "pitch",
            "small cell of a point along t, 0 begins where the particle enters",
            rows=Rows.POINTS,
        ),
        "row": Column(
            np.int16,
            "pitch",
            "small cell of a point along z, 0 begins where the particle enters",
            rows=Rows.POINTS,
        ),
        "energy": Column(
            np.float32, "GeV", "energy deposited in the small cell's silicon", rows=Rows.POINTS
        ),
        "time": Column(
            np.float32,
            "ns",
            "of the earliest deposit, after the particle is at the front face",
            rows=Rows.POINTS,
            negative=True,
        ),
    }

    conditions_known = ("momentum", "angle_t", "angle_z")

    def condition(self, name: str) -> npt.NDArray[np.float64]:
        """(N,) values of one of `conditions_known`."""
        values: npt.NDArray[np.float64] = getattr(self, name)
        return values


class LayerProvenance(Provenance):
    """Where a sample of showers in layers comes from.

    Attributes
    ----------
    pitch
        Size of the small cells (mm).
    """

    pitch: float = Field(gt=0, allow_inf_nan=False)

    covered = LayerShowers.conditions_known


LAYOUT = Layout("k4calofast layered showers 1", LayerShowers, LayerProvenance, 16384)
"""How samples are stored."""

write = LAYOUT.write


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
    showers, provenance = LAYOUT.read(file)
    layers = len(describe(provenance.detector).depths)
    if (showers.layer >= layers).any():
        raise FileFormatError(
            f"{file}: column layer holds {showers.layer.max()}, but {provenance.detector} has "
            f"{layers} layers"
        )
    return showers, provenance


def read_others(file: Path, _: Calorimeter, __: Hints) -> tuple[LayerShowers, Source]:
    """Refuse files of others: they hold whole cells, and generators need smaller ones.

    Raises
    ------
    FileFormatError
        Always.
    """
    raise FileFormatError(
        f"{file}: showers in layers are read from samples of `k4calofast fullsim`, and this is none"
    )

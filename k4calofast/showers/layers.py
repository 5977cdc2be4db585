"""Showers in layers: sparse points in small cells, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from k4calofast.arrays import Floats, Floats32, Indices
from k4calofast.detector import Calorimeter
from k4calofast.detector.description import describe
from k4calofast.events.reading import Place
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


_angle = partial(Column, np.float64, "rad", negative=True)
_of_points = partial(Column, rows=Rows.POINTS)


@dataclass(frozen=True)
class LayerShowers(Showers):
    """N showers with P points: small cells of the layers' silicon with energy in them.

    A particle enters the front face of a module's stack at t = 0, z = 0; its frame is (t, z, n), n
    along the module's normal, z along the beam, t across.
    """

    momentum: Annotated[Floats, Column(np.float64, "GeV", "of the particle at the front face")]
    angle_t: Annotated[Floats, _angle("atan2(p_t, p_n) of the particle: across the module")]
    angle_z: Annotated[Floats, _angle("atan2(p_z, p_n) of the particle: along the beam")]
    offsets: Annotated[
        Indices,
        Column(np.int64, "", "points of shower i are offsets[i]:offsets[i + 1]", rows=Rows.BORDERS),
    ]
    layer: Annotated[
        npt.NDArray[np.uint8],
        _of_points(np.uint8, "", "sensitive slice of a point, counted from the front"),
    ]
    column: Annotated[
        npt.NDArray[np.int16],
        _of_points(
            np.int16, "pitch", "small cell of a point along t, 0 begins where the particle enters"
        ),
    ]
    row: Annotated[
        npt.NDArray[np.int16],
        _of_points(
            np.int16, "pitch", "small cell of a point along z, 0 begins where the particle enters"
        ),
    ]
    energy: Annotated[
        Floats32, _of_points(np.float32, "GeV", "energy deposited in the small cell's silicon")
    ]
    time: Annotated[
        Floats32,
        _of_points(
            np.float32,
            "ns",
            "of the earliest deposit, after the particle is at the front face",
            negative=True,
        ),
    ]

    conditions_known = ("momentum", "angle_t", "angle_z")

    def condition(self, name: str) -> Floats:
        """(N,) values of one of `conditions_known`."""
        values: Floats = getattr(self, name)
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

LAYOUTS = (LAYOUT,)

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


def read_others(file: Place, _: Calorimeter, __: Hints) -> tuple[LayerShowers, Source]:
    """Refuse files of others: they hold whole cells, and generators need smaller ones.

    Raises
    ------
    FileFormatError
        Always.
    """
    raise FileFormatError(
        f"{file}: showers in layers are read from samples of `k4calofast fullsim`, and this is none"
    )

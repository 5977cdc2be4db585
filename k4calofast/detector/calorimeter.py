"""What the other stages need to know of a calorimeter, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from k4calofast.detector.encoding import CellIDEncoding

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Condition:
    """One input of a generator."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Entry:
    """The first cell that each of N lines enters.

    Attributes
    ----------
    cell
        (N,) index of the cell, -1 where the line enters none.
    distance
        (N,) mm from the line's start to the surface of the cell, along its direction;
        infinite where it enters none.
    """

    cell: Cells
    distance: Floats


class Surroundings(Protocol):
    """The cells around N particles: a window for each."""

    @property
    def inputs(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """What generators are told of the cells, beside the conditions, by the input's name."""

    def cells(self, shower: Cells, place: Cells) -> Cells:
        """Cells (D,) of places (D,) in the windows of showers (D,), -1 where there is none."""


class Calorimeter(Protocol):
    """A calorimeter whose cells are numbered 0, 1, 2, ...; lengths in mm, angles in rad."""

    @property
    def name(self) -> str:
        """Name under which `k4calofast.detector.load` finds it."""

    @property
    def encoding(self) -> CellIDEncoding:
        """Encoding of the cell IDs."""

    @property
    def magnetic_field(self) -> float:
        """Field along z in front of and inside the calorimeter (T, signed)."""

    @property
    def mip(self) -> float:
        """Most probable energy (GeV) that a minimum ionising particle leaves in a layer.

        0 for calorimeters that are not layered.
        """

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What generators are told of how and where a particle meets the cell that it enters."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    def face_radius(self) -> float:
        """Radius (mm) of the largest cylinder around z that no cell reaches into."""

    @property
    def face_half_length(self) -> float:
        """Largest |z| (mm) of any front face."""

    @property
    def outer_radius(self) -> float:
        """Radius (mm) of the smallest cylinder around z that holds all cells."""

    @property
    def half_length(self) -> float:
        """Largest |z| (mm) of any cell."""

    def in_front(self, points: Floats) -> npt.NDArray[np.bool_]:
        """Whether points (N, 3) lie before the calorimeter's face, or on it to 0.1 mm."""

    def first_cell(self, points: Floats, directions: Floats) -> Entry:
        """Cell that each straight line enters first.

        Parameters
        ----------
        points
            (N, 3) starts, between `face_radius` and the cells' surface.
        directions
            (N, 3) unit vectors.
        """

    def centre(self, cells: Cells) -> Floats:
        """(N, 3) centre of each cell (mm, world)."""

    def conditions_at(self, cells: Cells, position: Floats, momentum: Floats) -> Floats:
        """Conditions (N, len(conditions)) of particles that enter, in that order and its units.

        Parameters
        ----------
        cells
            (N,) that are entered.
        position, momentum
            (N, 3) mm and GeV there.
        """

    def surroundings(
        self, cells: Cells, position: Floats, momentum: Floats, window: tuple[int, ...], /
    ) -> Surroundings:
        """Return the windows of cells around where particles enter.

        Parameters
        ----------
        cells
            (N,) that are entered.
        position, momentum
            (N, 3) mm and GeV there.
        window
            Its shape, as model cards have it.

        Raises
        ------
        ValueError
            If it is not the shape of a window of this calorimeter.
        """

    def cell_id(self, cells: Cells) -> npt.NDArray[np.uint64]:
        """Cell IDs of cells."""

    def cell_of(self, cell_ids: npt.NDArray[np.uint64]) -> Cells:
        """Cells of cell IDs, -1 where the ID belongs to no cell."""

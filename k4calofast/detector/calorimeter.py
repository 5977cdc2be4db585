"""What the other stages need to know of a calorimeter, whatever it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from k4calofast.arrays import Floats, Floats32, IDs, Indices, Mask
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.detector.face import Face


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

    cell: Indices
    distance: Floats


# The first region of each experiment, from when there was only one.
_WITHOUT_NOISE_KEY = frozenset(
    {"BESIII_EMC_barrel", "CEPC_ECAL_barrel", "CLD_ECAL_barrel", "ILD_ECAL_barrel"}
)


def noise_key_of(name: str) -> int:
    """Return the number (32 bits) by which noise in a calorimeter differs from that in others.

    A job with several calorimeters gives each of a particle's showers noise of its own. The
    number is 0 for the barrels whose showers were drawn before there were others, and made of the
    SHA-256 of the name for all others, never 0.
    """
    if name in _WITHOUT_NOISE_KEY:
        return 0
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") or 1


class Surroundings(Protocol):
    """The cells around N particles: a window for each."""

    @property
    def inputs(self) -> Mapping[str, Floats32]:
        """What generators are told of the cells, beside the conditions, by the input's name."""

    def cells(self, shower: Indices, place: Indices) -> Indices:
        """Cells (D,) of places (D,) in the windows of showers (D,), -1 where there is none.

        The numbers that follow those of the calorimeter's own cells are those of the
        calorimeters `Calorimeter.beyond`, one after the other.
        """


class Calorimeter(Protocol):
    """A calorimeter whose cells are numbered 0, 1, 2, ...; lengths in mm, angles in rad."""

    @property
    def name(self) -> str:
        """Name under which `k4calofast.detector.load` finds it."""

    @property
    def kind(self) -> str:
        """What it is made of: ``crystals`` or ``layers``.

        It names the module or folder that holds a kind's own part, in this and other folders.
        """

    @property
    def collection(self) -> str:
        """Usual name of its hits."""

    @property
    def noise_key(self) -> int:
        """Number of 32 bits that tells noise here from that elsewhere; see `noise_key_of`."""

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
    def delays_after_light(self) -> bool:
        """Whether delays of generated hits count from when light could have come from the entry.

        Else they count from when the particle entered, and are those of the energy-weighted mean
        time of what it left in a cell.
        """

    @property
    def beyond(self) -> tuple[Calorimeter, ...]:
        """Calorimeters that showers go on into, across the borders of windows' own cells."""

    @property
    def showers_at_once(self) -> int | None:
        """How many showers may be generated in one go, so that memory stays small.

        None for as many as one likes.
        """

    @property
    def face(self) -> Face:
        """The surface in front of all cells."""

    def expected_deposits(self, momentum: Floats) -> Floats:
        """About how many deposits (N,) showers of momenta (N,) in GeV make at most."""

    def in_front(self, points: Floats) -> Mask:
        """Whether points (N, 3) lie before the cells, seen from the beam, or on them to 0.1 mm.

        Points beyond the ends of a barrel, where nothing is behind them, are not in front of it.
        """

    def behind(self, points: Floats) -> Mask:
        """Whether points (N, 3) lie in the cells, or beyond them, seen from the beam.

        No point is in front and behind; points beyond the ends of a barrel are neither.
        """

    def encloses(self, points: Floats) -> Mask:
        """Whether points (N, 3) lie in a simple volume around all cells: nothing is entered else.

        It begins at the beam for barrels.
        """

    def first_cell(self, points: Floats, directions: Floats) -> Entry:
        """Cell that each straight line enters first.

        Parameters
        ----------
        points
            (N, 3) starts, between `face` and the cells' surface.
        directions
            (N, 3) unit vectors.
        """

    def centre(self, cells: Indices) -> Floats:
        """(N, 3) centre of each cell (mm, world)."""

    def solids(self, cells: Indices) -> Floats:
        """(N, 2 k, 3) corners of what is sensitive in each cell (mm, world).

        The k of the face that is nearer to the beam, one after the other around it, then those
        behind them in the same order. Cells with fewer than k have the last ones again.
        """

    @property
    def outline(self) -> tuple[Floats, ...]:
        """Lines through points (P, 3) in mm each, that show where the calorimeter is."""

    def conditions_at(self, cells: Indices, position: Floats, momentum: Floats) -> Floats:
        """Conditions (N, len(conditions)) of particles that enter, in that order and its units.

        Parameters
        ----------
        cells
            (N,) that are entered.
        position, momentum
            (N, 3) mm and GeV there.
        """

    def check_window(self, window: tuple[int, ...]) -> None:
        """Make sure that this can be the shape of a window.

        Raises
        ------
        ValueError
            If it cannot; the message says why.
        """

    def surroundings(
        self, cells: Indices, position: Floats, momentum: Floats, window: tuple[int, ...], /
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
            As `check_window`.
        """

    def cell_id(self, cells: Indices) -> IDs:
        """Cell IDs of cells."""

    def cell_of(self, cell_ids: IDs) -> Indices:
        """Cells of cell IDs, -1 where the ID belongs to no cell."""

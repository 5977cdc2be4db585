"""A barrel of crystals, each a convex block given by its eight corners.

Crystals stand in rings of constant theta, every ring with the same number of crystals in
phi. All that the other stages ask follows from the corners; nothing is assumed about where
the crystals point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from k4calofast.arrays import Floats, Floats32, IDs, Indices, Mask
from k4calofast.detector.calorimeter import Condition, Entry, noise_key_of
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.detector.face import Cylinder, crossings

FACES = np.array(
    [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)
"""Corners of the six faces of a block: front, back, and the four sides between them."""

CONDITIONS = (
    Condition("momentum", "GeV", "magnitude of the momentum at the calorimeter's face"),
    Condition("delta_theta_mom", "rad", "theta of the momentum minus theta of the cell's axis"),
    Condition("delta_phi_mom", "rad", "phi of the momentum minus phi of the cell's axis"),
    Condition("delta_z_pos", "mm", "z of the hit point minus z of the cell's front centre"),
    Condition("delta_phi_pos", "rad", "phi of the hit point minus phi of the front centre"),
    Condition("z", "mm", "z of the hit point"),
)
"""What generators are told of a particle that enters a crystal."""

# Crystals looked at around the first guess of the one that is entered: the guess is made
# at one radius for all rings, and a line at 80 degrees to the normal crosses three
# crystals in phi between the nearest and the farthest front face.
_SEARCH_RINGS = 2
_SEARCH_COLUMNS = 3
_LINES_AT_ONCE = 2048
_OUTLINED = 12
"""Columns of crystals along which an outline is drawn."""
_WINDOW_DIMENSIONS = 2

# Positions written as floats by a simulation that stops particles on the face.
_FACE_TOLERANCE = 0.1  # mm


@dataclass(frozen=True, eq=False)
class CrystalWindows:
    """Crystals around N particles.

    Attributes
    ----------
    crystals
        (N, places), -1 where there is none.
    """

    crystals: Indices

    @property
    def inputs(self) -> dict[str, Floats32]:
        """Nothing: what there is to know of crystals is in the conditions."""
        return {}

    def cells(self, shower: Indices, place: Indices) -> Indices:
        """See `Surroundings`."""
        return self.crystals[shower, place]


@dataclass(frozen=True, eq=False)
class CrystalBarrel:
    """A barrel calorimeter made of crystals.

    Parameters
    ----------
    name, collection
        Name of the detector, and usual name of its hits.
    encoding
        Cell-ID encoding with the fields ``theta`` (ring) and ``phi`` (crystal in the ring).
    cell_id_constants
        Values of the encoding's other fields.
    magnetic_field
        Field along z (T).
    corners
        (rings, crystals per ring, 8, 3) corners in mm: the four of the front face, then the
        four of the back face in the same order. Rings ordered along z (either way).
    """

    name: str
    collection: str
    encoding: CellIDEncoding
    cell_id_constants: dict[str, int]
    magnetic_field: float
    corners: Floats = field(repr=False)

    kind: ClassVar[str] = "crystals"
    conditions: ClassVar[tuple[Condition, ...]] = CONDITIONS
    mip: ClassVar[float] = 0.0
    showers_at_once: ClassVar[int | None] = None

    @property
    def n_rings(self) -> int:
        """Number of rings in theta."""
        return int(self.corners.shape[0])

    @property
    def n_columns(self) -> int:
        """Number of crystals in each ring."""
        return int(self.corners.shape[1])

    @property
    def noise_key(self) -> int:
        """See `Calorimeter`."""
        return noise_key_of(self.name)

    @property
    def n_cells(self) -> int:
        """See `Calorimeter`."""
        return self.n_rings * self.n_columns

    @cached_property
    def face(self) -> Cylinder:
        """The largest cylinder around z that no crystal reaches into, as long as its front faces.

        Its length ends at the largest |z| of any of them.
        """
        front = self.corners[..., :4, :2]
        # The point of a front face nearest to z lies on an edge: check edges, not corners.
        start, along = front, np.roll(front, -1, axis=-2) - front
        length2 = np.maximum((along**2).sum(-1), 1e-12)
        t = np.clip(-(start * along).sum(-1) / length2, 0.0, 1.0)
        radius = float(np.linalg.norm(start + t[..., None] * along, axis=-1).min())
        return Cylinder(radius, float(np.abs(self.corners[..., :4, 2]).max()))

    @cached_property
    def outer_radius(self) -> float:
        """Radius (mm) of the smallest cylinder around z that holds all crystals."""
        return float(np.linalg.norm(self.corners[..., :2], axis=-1).max())

    @cached_property
    def half_length(self) -> float:
        """Largest |z| (mm) of any crystal."""
        return float(np.abs(self.corners[..., 2]).max())

    @cached_property
    def _front_centres(self) -> Floats:
        centres: Floats = self.corners[..., :4, :].mean(-2).reshape(-1, 3)
        return centres

    @cached_property
    def _centres(self) -> Floats:
        centres: Floats = self.corners.mean(-2).reshape(-1, 3)
        return centres

    @cached_property
    def _planes(self) -> tuple[Floats, Floats]:
        """Outward unit normals (cells, 6, 3) and offsets (cells, 6) of the faces."""
        faces = self.corners[..., FACES, :].reshape(-1, 6, 4, 3)
        # Diagonals give the best plane of four corners that are not quite in one plane.
        normals = np.cross(faces[:, :, 2] - faces[:, :, 0], faces[:, :, 3] - faces[:, :, 1])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        middles = faces.mean(-2)
        outward = ((middles - self._centres[:, None]) * normals).sum(-1)
        normals *= np.sign(outward)[..., None]
        return normals, (middles * normals).sum(-1)

    @cached_property
    def _ring_guess(self) -> tuple[float, Floats, Indices]:
        """Radius of the guess, z borders between rings at it, and rings in order of z."""
        front = self._front_centres.reshape(self.n_rings, self.n_columns, 3)[:, 0]
        order = np.argsort(front[:, 2])
        z = front[order, 2]
        radius = float(np.linalg.norm(front[:, :2], axis=1).mean())
        return radius, (z[1:] + z[:-1]) / 2, order

    @cached_property
    def outline(self) -> tuple[Floats, ...]:
        """See `Calorimeter`: edges of both ends, in front and behind, and lines between them."""
        rings = self.corners[np.argsort(self.corners[..., 2].mean((1, 2)))]
        faces = rings.reshape(self.n_rings, self.n_columns, 2, 4, 3)
        by_z = np.take_along_axis(faces, np.argsort(faces[..., 2], axis=-1)[..., None], axis=-2)
        # The edge of a face that is farther outwards has two of its corners.
        ends = np.stack([by_z[0, :, :, :2].mean(-2), by_z[-1, :, :, 2:].mean(-2)])
        along = np.concatenate([ends[:1], faces.mean(-2), ends[1:]])
        around = np.argsort(np.arctan2(ends[0, :, 0, 1], ends[0, :, 0, 0]))
        some = np.linspace(0, self.n_columns, _OUTLINED, endpoint=False).astype(np.int64)
        # Crystals at the ends lean outwards: the barrel is thickest in between.
        thickest = int(np.linalg.norm(along[:, 0, 1, :2], axis=-1).argmax())
        rings_drawn = [*ends[0].swapaxes(0, 1), *ends[1].swapaxes(0, 1), along[thickest, :, 1]]
        lines = [ring[np.append(around, around[0])] for ring in rings_drawn]
        lines += [along[:, column, side] for column in around[some] for side in (0, 1)]
        lines += [ends[end, column] for column in around[some] for end in (0, 1)]
        return tuple(lines)

    def in_front(self, points: Floats) -> Mask:
        """See `Calorimeter`: before the crystals' front faces."""
        radius = np.hypot(points[:, 0], points[:, 1])
        front = self.corners[..., :4, :]
        inside = np.abs(points[:, 2]) <= self.face.half_length + _FACE_TOLERANCE
        deep = radius > np.linalg.norm(front[..., :2], axis=-1).max() + _FACE_TOLERANCE
        between = np.flatnonzero(inside & ~deep & (radius > self.face.radius))
        outward = points[between] * [1.0, 1.0, 0.0] / radius[between, None]
        distance = self.first_cell(points[between], outward).distance
        inside &= ~deep
        inside[between] = distance > -_FACE_TOLERANCE
        return inside

    def behind(self, points: Floats) -> Mask:
        """See `Calorimeter`.

        Beyond the ends of the front faces, where crystals lean outwards, all that is outside the
        face's cylinder is behind.
        """
        behind = np.abs(points[:, 2]) <= self.half_length
        behind &= np.hypot(points[:, 0], points[:, 1]) > self.face.radius
        rows = np.flatnonzero(behind)
        behind[rows] = ~self.in_front(points[rows])
        return behind

    def encloses(self, points: Floats) -> Mask:
        """See `Calorimeter`."""
        return Cylinder(self.outer_radius, self.half_length).holds(points)

    def expected_deposits(self, momentum: Floats) -> Floats:
        """See `Calorimeter`."""
        return 30.0 * momentum**0.4

    def first_cell(self, points: Floats, directions: Floats) -> Entry:
        """See `Calorimeter`: through a crystal's front or a side.

        A line that starts inside a crystal enters it at a negative distance.
        """
        n = len(points)
        cell, distance = np.full(n, -1, np.int64), np.full(n, np.inf)
        for start in range(0, n, _LINES_AT_ONCE):
            part = slice(start, start + _LINES_AT_ONCE)
            near = self._cells_near(points[part], directions[part])
            entered, left = self._crossings(near, points[part], directions[part])
            entered[(near < 0) | (left <= 0)] = np.inf
            first = entered.argmin(axis=1)
            rows = np.arange(len(first))
            distance[part] = entered[rows, first]
            cell[part] = np.where(np.isfinite(distance[part]), near[rows, first], -1)
        return Entry(cell, distance)

    def _cells_near(self, points: Floats, directions: Floats) -> Indices:
        """(N, candidates) crystals that a line may enter first, -1 beyond the last ring."""
        radius, borders, order = self._ring_guess
        # The line at the radius of the guess, or at its start if that is further out.
        a = (directions[:, :2] ** 2).sum(1)
        b = (points[:, :2] * directions[:, :2]).sum(1)
        c = (points[:, :2] ** 2).sum(1) - radius**2
        root = np.sqrt(np.maximum(b * b - a * c, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where((c < 0) & (a > 0), (root - b) / a, 0.0)
        at = points + np.minimum(step, 1e4)[:, None] * directions
        ring = order[np.searchsorted(borders, at[:, 2])]
        # The mean phi of ring 0's fronts fixes where column 0 starts.
        first = np.arctan2(self._front_centres[0, 1], self._front_centres[0, 0])
        column = np.rint(
            (np.arctan2(at[:, 1], at[:, 0]) - first) * self.n_columns / (2 * np.pi)
        ).astype(np.int64)
        return self._block(ring, column, _SEARCH_RINGS, _SEARCH_COLUMNS).reshape(len(points), -1)

    def _crossings(
        self, cells: Indices, points: Floats, directions: Floats
    ) -> tuple[Floats, Floats]:
        """Distances (N, candidates) at which lines enter and leave cells; see `crossings`."""
        normals, offsets = self._planes
        speed = np.einsum("nkfc,nc->nkf", normals[cells], directions)
        gap = offsets[cells] - np.einsum("nkfc,nc->nkf", normals[cells], points)
        return crossings(speed, gap)

    def front_centre(self, cells: Indices) -> Floats:
        """(N, 3) centre of each crystal's front face (mm, world)."""
        return self._front_centres[cells]

    def centre(self, cells: Indices) -> Floats:
        """See `Calorimeter`: the mean of a crystal's corners."""
        return self._centres[cells]

    def solids(self, cells: Indices) -> Floats:
        """See `Calorimeter`: all of a crystal is sensitive."""
        return self.corners.reshape(-1, *self.corners.shape[2:])[cells]

    @cached_property
    def _axis_angles(self) -> tuple[Floats, Floats]:
        axis = self._centres - self._front_centres
        theta = np.arctan2(np.hypot(axis[:, 0], axis[:, 1]), axis[:, 2])
        return theta, np.arctan2(axis[:, 1], axis[:, 0])

    def axis_angles(self, cells: Indices) -> tuple[Floats, Floats]:
        """Theta and phi, (N,) each, of the axis from front centre to centre (rad)."""
        theta, phi = self._axis_angles
        return theta[cells], phi[cells]

    def conditions_at(self, cells: Indices, position: Floats, momentum: Floats) -> Floats:
        """See `Calorimeter`: (N, 6), those of `CONDITIONS`."""
        front = self.front_centre(cells)
        axis_theta, axis_phi = self.axis_angles(cells)
        px, py, pz = momentum.T
        x, y, z = position.T
        return np.stack(
            [
                np.linalg.norm(momentum, axis=1),
                np.arctan2(np.hypot(px, py), pz) - axis_theta,
                wrapped(np.arctan2(py, px) - axis_phi),
                z - front[:, 2],
                wrapped(np.arctan2(y, x) - np.arctan2(front[:, 1], front[:, 0])),
                z,
            ],
            axis=1,
        )

    def check_window(self, window: tuple[int, ...]) -> None:
        """See `Calorimeter`: rows and columns, both odd, and no more columns than a ring has."""
        if len(window) != _WINDOW_DIMENSIONS:
            raise ValueError(f"a window of crystals has rows and columns, not {len(window)} sides")
        rows, columns = window
        if rows % 2 == 0 or columns % 2 == 0:
            raise ValueError(
                f"a window of {rows} x {columns} has no centre: both sides must be odd"
            )
        if columns > self.n_columns:
            raise ValueError(
                f"a window of {rows} x {columns} meets itself: a ring has {self.n_columns} crystals"
            )

    def window(self, cells: Indices, shape: tuple[int, ...]) -> Indices:
        """(N, rows, columns) crystals around each crystal, -1 beyond the last ring.

        Rows are rings in the order of their numbers, columns are crystals of the ring;
        the first and the last crystal of a ring are neighbours.

        Raises
        ------
        ValueError
            As `check_window`.
        """
        self.check_window(shape)
        rows, columns = shape
        ring, column = np.divmod(np.asarray(cells, np.int64), self.n_columns)
        return self._block(ring, column, rows // 2, columns // 2)

    def surroundings(
        self, cells: Indices, _position: Floats, _momentum: Floats, window: tuple[int, ...]
    ) -> CrystalWindows:
        """See `Calorimeter`, and `window`."""
        return CrystalWindows(self.window(cells, window).reshape(len(cells), math.prod(window)))

    def _block(self, ring: Indices, column: Indices, d_ring: int, d_column: int) -> Indices:
        rings = ring[:, None] + np.arange(-d_ring, d_ring + 1)
        columns = (column[:, None] + np.arange(-d_column, d_column + 1)) % self.n_columns
        block = rings[:, :, None] * self.n_columns + columns[:, None, :]
        inside = (rings >= 0) & (rings < self.n_rings)
        return np.where(inside[:, :, None], block, -1)

    @cached_property
    def _cell_ids(self) -> IDs:
        ring, column = np.divmod(np.arange(self.n_cells), self.n_columns)
        return self.encoding.encode(theta=ring, phi=column, **self.cell_id_constants)

    def cell_id(self, cells: Indices) -> IDs:
        """See `Calorimeter`."""
        return self._cell_ids[cells]

    def cell_of(self, cell_ids: IDs) -> Indices:
        """See `Calorimeter`."""
        ring = self.encoding.decode(cell_ids, "theta")
        column = self.encoding.decode(cell_ids, "phi")
        inside = (ring < self.n_rings) & (column < self.n_columns)
        cells = np.where(inside, ring * self.n_columns + column, 0)
        return np.where(inside & (self._cell_ids[cells] == cell_ids), cells, -1)


def wrapped(angle: Floats) -> Floats:
    """Angles wrapped to (-pi, pi]."""
    return np.pi - (np.pi - angle) % (2 * np.pi)

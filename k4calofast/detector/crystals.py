"""Calorimeters of crystals: a barrel, and the endcaps of both of its ends.

Crystals stand in rows, rings of constant theta. All that the other stages ask follows from their
corners; nothing is assumed about where they point.

Barrel and endcaps are calorimeters of their own, but showers know no border: windows go on from
one to the other, and the numbers that follow those of a calorimeter's own crystals are those of
the other one's (`Calorimeter.beyond`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from k4calofast.arrays import Floats, Floats32, IDs, Indices, Mask
from k4calofast.detector.blocks import Blocks
from k4calofast.detector.calorimeter import Condition, Entry, noise_key_of
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.detector.face import Cylinder, Discs
from k4calofast.detector.rows import Rows

CONDITIONS = (
    Condition("momentum", "GeV", "magnitude of the momentum at the calorimeter's face"),
    Condition("delta_theta_mom", "rad", "theta of the momentum minus theta of the cell's axis"),
    Condition("delta_phi_mom", "rad", "phi of the momentum minus phi of the cell's axis"),
    Condition("delta_z_pos", "mm", "z of the hit point minus z of the cell's front centre"),
    Condition("delta_phi_pos", "rad", "phi of the hit point minus phi of the front centre"),
    Condition("z", "mm", "z of the hit point"),
)
"""What samples and generators of barrels were told before there was a depth."""

_DEPTH = Condition(
    "depth", "mm", "distance of the hit point from the cell's front, along its axis: 0 on it"
)

BARREL_CONDITIONS = (*CONDITIONS, _DEPTH)
"""What generators are told of a particle that enters a crystal of a barrel."""

ENDCAP_CONDITIONS = (
    *CONDITIONS[:3],
    Condition("delta_r_pos", "mm", "radius of the hit point minus that of the cell's front centre"),
    CONDITIONS[4],
    Condition("r", "mm", "distance of the hit point from the beam's axis"),
    _DEPTH,
)
"""Likewise of an endcap. Thetas are those from the end that the crystal is at."""

# Crystals looked at around the first guess of the one that is entered: the guess is made
# at one radius for all rings, and a line at 80 degrees to the normal crosses three
# crystals in phi between the nearest and the farthest front face.
_SEARCH_RINGS = 2
_SEARCH_COLUMNS = 3
_CONE_STEPS = 4
_LINES_AT_ONCE = 2048
_OUTLINED = 12
"""Columns of crystals along which an outline is drawn."""

# Positions written as floats by a simulation that stops particles on the face.
_FACE_TOLERANCE = 0.1  # mm


@dataclass(frozen=True, eq=False)
class CrystalWindows:
    """Crystals around N particles.

    Attributes
    ----------
    calorimeter
        Whose crystals are entered.
    entered
        (N,) crystals in the middles of the windows.
    window
        Rows and columns.
    """

    calorimeter: CrystalCalorimeter
    entered: Indices
    window: tuple[int, ...]

    @property
    def inputs(self) -> dict[str, Floats32]:
        """Nothing: what there is to know of crystals is in the conditions."""
        return {}

    def cells(self, shower: Indices, place: Indices) -> Indices:
        """See `Surroundings`."""
        return self.calorimeter.cell_in(self.entered[shower], place, self.window)


@dataclass(frozen=True, eq=False)
class CrystalCalorimeter(ABC):
    """What calorimeters of crystals have in common.

    Parameters
    ----------
    name, collection
        Name of the detector, and usual name of its hits.
    encoding
        Cell-ID encoding.
    cell_ids
        (cells,) of its crystals.
    magnetic_field
        Field along z (T).
    rows
        All crystals that windows go on to.
    own
        (cells,) numbers in the rows of the calorimeter's own crystals, in ascending order.
    blocks
        Shapes of its own crystals.
    others
        Returns the calorimeters that have the other crystals of the rows.
    """

    name: str
    collection: str
    encoding: CellIDEncoding
    cell_ids: IDs = field(repr=False)
    magnetic_field: float
    rows: Rows = field(repr=False)
    own: Indices = field(repr=False)
    blocks: Blocks = field(repr=False)
    others: Callable[[], tuple[CrystalCalorimeter, ...]] = field(repr=False)

    kind: ClassVar[str] = "crystals"
    conditions: ClassVar[tuple[Condition, ...]]
    mip: ClassVar[float] = 0.0
    delays_after_light: ClassVar[bool] = False
    showers_at_once: ClassVar[int | None] = None

    @property
    def noise_key(self) -> int:
        """See `Calorimeter`."""
        return noise_key_of(self.name)

    @property
    def n_cells(self) -> int:
        """See `Calorimeter`."""
        return len(self.own)

    @property
    def beyond(self) -> tuple[CrystalCalorimeter, ...]:
        """See `Calorimeter`."""
        return self.others()

    @property
    def whole_window(self) -> tuple[int, int]:
        """Shape of the window that holds all crystals of the rows, whichever is entered."""
        return self.rows.whole

    @cached_property
    def _in_rows(self) -> Indices:
        """Numbers in the rows of the calorimeter's own crystals, and of those beyond."""
        return np.concatenate([self.own, *(other.own for other in self.beyond)])

    @cached_property
    def _of_rows(self) -> Indices:
        """Number in this calorimeter of each crystal of the rows, -1 where it has none."""
        numbers = np.full(len(self.rows.row), -1)
        numbers[self._in_rows] = np.arange(len(self._in_rows))
        return numbers

    @abstractmethod
    def _way(self, cells: Indices) -> Indices:
        """(N,) whether the rows of windows are in the order of theta (1) or against it (-1)."""

    @property
    @abstractmethod
    def face(self) -> Cylinder | Discs:
        """See `Calorimeter`."""

    @property
    @abstractmethod
    def outline(self) -> tuple[Floats, ...]:
        """See `Calorimeter`."""

    @abstractmethod
    def in_front(self, points: Floats) -> Mask:
        """See `Calorimeter`."""

    @abstractmethod
    def behind(self, points: Floats) -> Mask:
        """See `Calorimeter`."""

    @abstractmethod
    def conditions_at(self, cells: Indices, position: Floats, momentum: Floats) -> Floats:
        """See `Calorimeter`."""

    @abstractmethod
    def _cells_near(self, points: Floats, directions: Floats) -> Indices:
        """(N, candidates) crystals that a line may enter first, -1 for none."""

    @cached_property
    def outer_radius(self) -> float:
        """Radius (mm) of the smallest cylinder around z that holds all crystals."""
        return float(np.linalg.norm(self.blocks.corners[..., :2], axis=-1).max())

    @cached_property
    def half_length(self) -> float:
        """Largest |z| (mm) of any crystal."""
        return float(np.abs(self.blocks.corners[..., 2]).max())

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
            entered, left = self.blocks.crossings(near, points[part], directions[part])
            entered[(near < 0) | (left <= 0)] = np.inf
            first = entered.argmin(axis=1)
            rows = np.arange(len(first))
            distance[part] = entered[rows, first]
            cell[part] = np.where(np.isfinite(distance[part]), near[rows, first], -1)
        return Entry(cell, distance)

    @cached_property
    def _all_centres(self) -> tuple[Floats, Floats]:
        """Of fronts, and of crystals: own ones and those beyond."""
        everyone = (self, *self.beyond)
        fronts = np.concatenate([one.blocks.front_centres for one in everyone])
        return fronts, np.concatenate([one.blocks.centres for one in everyone])

    def front_centre(self, cells: Indices) -> Floats:
        """(N, 3) centre of the front face of each crystal, own and beyond (mm, world)."""
        return self._all_centres[0][cells]

    def centre(self, cells: Indices) -> Floats:
        """See `Calorimeter`: the mean of a crystal's corners, also of those beyond."""
        return self._all_centres[1][cells]

    def solids(self, cells: Indices) -> Floats:
        """See `Calorimeter`: all of a crystal is sensitive."""
        return self.blocks.corners[cells]

    def axis_angles(self, cells: Indices) -> tuple[Floats, Floats]:
        """Theta and phi, (N,) each, of the axis from front centre to centre (rad)."""
        theta, phi = self.blocks.axis_angles
        return theta[cells], phi[cells]

    def check_window(self, window: tuple[int, ...]) -> None:
        """See `Calorimeter`: rows and columns, both odd, not more than `whole_window` has."""
        self.rows.check(window)

    def cell_in(self, entered: Indices, place: Indices, shape: tuple[int, ...]) -> Indices:
        """Crystals (D,) in places of windows, own ones and those beyond; -1 where there is none.

        Parameters
        ----------
        entered
            (D,) own crystals in the middles of the windows.
        place
            (D,) places, counted with columns the fastest.
        shape
            Rows and columns of the windows.
        """
        found = self.rows.crystal(self.own[entered], place, shape, self._way(entered))
        return np.where(found >= 0, self._of_rows[found], -1)

    def place_of(self, entered: Indices, cell: Indices, shape: tuple[int, ...]) -> Indices:
        """Places (D,) of crystals in windows, -1 outside of them and for none: `cell_in` back.

        Parameters
        ----------
        entered
            (D,) own crystals in the middles of the windows.
        cell
            (D,) crystals, own ones and those beyond; -1 for none.
        shape
            Rows and columns of the windows.
        """
        crystal = self._in_rows[cell]
        place = self.rows.place(self.own[entered], crystal, shape, self._way(entered))
        return np.where(cell >= 0, place, -1)

    def window(self, cells: Indices, shape: tuple[int, ...]) -> Indices:
        """(N, rows, columns) crystals around each crystal, as `cell_in`.

        Raises
        ------
        ValueError
            As `check_window`.
        """
        self.check_window(shape)
        middles = np.asarray(cells, np.int64)
        places = np.arange(math.prod(shape))
        found = self.cell_in(np.repeat(middles, len(places)), np.tile(places, len(middles)), shape)
        return found.reshape(len(middles), *shape)

    def surroundings(
        self, cells: Indices, _position: Floats, _momentum: Floats, window: tuple[int, ...]
    ) -> CrystalWindows:
        """See `Calorimeter`, and `cell_in`."""
        self.check_window(window)
        return CrystalWindows(self, cells, window)

    def cell_id(self, cells: Indices) -> IDs:
        """See `Calorimeter`."""
        return self.cell_ids[cells]

    @cached_property
    def _by_id(self) -> tuple[IDs, Indices]:
        order = np.argsort(self.cell_ids)
        return self.cell_ids[order], order

    def cell_of(self, cell_ids: IDs) -> Indices:
        """See `Calorimeter`."""
        ids, cells = self._by_id
        at = np.minimum(np.searchsorted(ids, cell_ids), len(ids) - 1)
        return np.where(ids[at] == cell_ids, cells[at], -1)

    def _of_momentum(self, cells: Indices, momentum: Floats) -> tuple[Floats, Floats, Floats]:
        """Momentum (GeV), and its theta and phi minus those of the cells' axes (rad)."""
        axis_theta, axis_phi = self.axis_angles(cells)
        px, py, pz = momentum.T
        return (
            np.linalg.norm(momentum, axis=1),
            np.arctan2(np.hypot(px, py), pz) - axis_theta,
            wrapped(np.arctan2(py, px) - axis_phi),
        )

    def _phi_from_front(self, cells: Indices, position: Floats) -> Floats:
        front = self.blocks.front_centres[cells]
        phi = np.arctan2(position[:, 1], position[:, 0])
        return wrapped(phi - np.arctan2(front[:, 1], front[:, 0]))


@dataclass(frozen=True, eq=False)
class CrystalBarrel(CrystalCalorimeter):
    """A barrel of crystals with four sides: its own rows have the same number of columns."""

    conditions: ClassVar[tuple[Condition, ...]] = BARREL_CONDITIONS

    @cached_property
    def n_columns(self) -> int:
        """Number of crystals in each ring."""
        return int(self.rows.sizes[self.rows.row[self.own[0]]])

    @property
    def n_rings(self) -> int:
        """Number of rings in theta."""
        return self.n_cells // self.n_columns

    @property
    def corners(self) -> Floats:
        """(rings, crystals per ring, 8, 3) corners in mm, as `Blocks` has them."""
        return self.blocks.corners.reshape(self.n_rings, self.n_columns, 8, 3)

    def _way(self, cells: Indices) -> Indices:
        return np.ones(len(cells), np.int64)

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
    def _ring_guess(self) -> tuple[float, Floats, Indices]:
        """Radius of the guess, z borders between rings at it, and rings in order of z."""
        front = self.blocks.front_centres.reshape(self.n_rings, self.n_columns, 3)[:, 0]
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

    def _cells_near(self, points: Floats, directions: Floats) -> Indices:
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
        # The phi of ring 0's first front fixes where column 0 starts.
        front = self.blocks.front_centres
        first = np.arctan2(front[0, 1], front[0, 0])
        column = np.rint(
            (np.arctan2(at[:, 1], at[:, 0]) - first) * self.n_columns / (2 * np.pi)
        ).astype(np.int64)
        return self._block(ring, column).reshape(len(points), -1)

    def _block(self, ring: Indices, column: Indices) -> Indices:
        """(N, rings, columns) own crystals around these."""
        rings = ring[:, None] + np.arange(-_SEARCH_RINGS, _SEARCH_RINGS + 1)
        columns = column[:, None] + np.arange(-_SEARCH_COLUMNS, _SEARCH_COLUMNS + 1)
        block = rings[:, :, None] * self.n_columns + columns[:, None, :] % self.n_columns
        inside = (rings >= 0) & (rings < self.n_rings)
        return np.where(inside[:, :, None], block, -1)

    def conditions_at(self, cells: Indices, position: Floats, momentum: Floats) -> Floats:
        """See `Calorimeter`: (N, 7), those of `BARREL_CONDITIONS`."""
        size, theta, phi = self._of_momentum(cells, momentum)
        z = position[:, 2]
        return np.stack(
            [
                size,
                theta,
                phi,
                z - self.front_centre(cells)[:, 2],
                self._phi_from_front(cells, position),
                z,
                self.blocks.depth(cells, position),
            ],
            axis=1,
        )


@dataclass(frozen=True, eq=False)
class CrystalEndcaps(CrystalCalorimeter):
    """The endcaps of both ends: rows at small theta, and as many at large theta.

    Generators are told nothing of the end. To them the beam's axis is on the side of a window's
    first row, and thetas are counted from the end that the crystal is at: one end is the mirror
    image of the other. The field along z stays what it is in such a mirror.
    """

    conditions: ClassVar[tuple[Condition, ...]] = ENDCAP_CONDITIONS

    @cached_property
    def _end(self) -> Indices:
        """(cells,) 1 at positive z, -1 at negative z."""
        return np.sign(self.blocks.front_centres[:, 2]).astype(np.int64)

    def _way(self, cells: Indices) -> Indices:
        return self._end[cells]

    @cached_property
    def _front_corners(self) -> Floats:
        return self.blocks.corners[:, : self.blocks.most_sides].reshape(-1, 3)

    @cached_property
    def face(self) -> Discs:
        """The discs that no crystal reaches through, from the fronts' smallest to largest radius.

        Their holes end where the crystals do.

        A front is nearer to the beam's axis along its edges than at its corners.
        """
        front = self.blocks.corners[:, : self.blocks.most_sides, :2]
        start, along = front, np.roll(front, -1, axis=-2) - front
        length2 = np.maximum((along**2).sum(-1), 1e-12)
        t = np.clip(-(start * along).sum(-1) / length2, 0.0, 1.0)
        inner = np.linalg.norm(start + t[..., None] * along, axis=-1).min()
        outer = np.linalg.norm(front, axis=-1).max()
        distance = np.abs(self._front_corners[:, 2]).min()
        return Discs(float(distance), self.half_length, float(inner), float(outer))

    @cached_property
    def outline(self) -> tuple[Floats, ...]:
        """See `Calorimeter`: both ends' inner and outer edges, in front and behind, and between."""
        k = self.blocks.most_sides
        corners = self.blocks.corners
        lines = []
        row = self.rows.row[self.own]
        for end in (1, -1):
            there = np.unique(row[self._end == end])
            inner, outer = there[:: int(np.sign(end))][[0, -1]]
            edges = []
            for ring, pick in ((inner, np.argsort), (outer, lambda r: np.argsort(-r))):
                of_ring = corners[row == ring]
                for face in (of_ring[:, :k], of_ring[:, k:]):
                    # The edge on the inner or outer side has two of a face's corners.
                    nearest = pick(np.linalg.norm(face[..., :2], axis=-1))
                    points = np.take_along_axis(face, nearest[:, :2, None], axis=1).mean(1)
                    phi = np.arctan2(points[:, 1], points[:, 0])
                    edges.append(points[np.argsort(phi)])
            lines += [np.concatenate([edge, edge[:1]]) for edge in edges]
            fractions = np.linspace(0, 1, _OUTLINED, endpoint=False)
            inside, behind_inside, outside, behind_outside = (
                edge[(fractions * len(edge)).astype(np.int64)] for edge in edges
            )
            for one, other in (
                (inside, outside),
                (inside, behind_inside),
                (outside, behind_outside),
                (behind_inside, behind_outside),
            ):
                lines += list(np.stack([one, other], axis=1))
        return tuple(lines)

    def in_front(self, points: Floats) -> Mask:
        """See `Calorimeter`: between both ends' front faces, as far from the axis as any crystal.

        What is in their holes, farther along the axis than the fronts, is not in front.
        """
        radius, z = np.hypot(points[:, 0], points[:, 1]), np.abs(points[:, 2])
        face = self.face
        in_front = (z <= face.distance) & (radius <= self.outer_radius)
        deepest = np.abs(self._front_corners[:, 2]).max() + _FACE_TOLERANCE
        between = (z > face.distance) & (z <= deepest)
        between &= (radius >= face.inner_radius) & (radius <= self.outer_radius)
        rows = np.flatnonzero(between)
        outward = np.zeros((len(rows), 3))
        outward[:, 2] = np.sign(points[rows, 2])
        distance = self.first_cell(points[rows], outward).distance
        in_front[rows] = distance > -_FACE_TOLERANCE
        return in_front

    def behind(self, points: Floats) -> Mask:
        """See `Calorimeter`: all that is farther from the origin along z than the front faces.

        It is as far from the axis as the front faces, or a crystal.
        """
        radius, z = np.hypot(points[:, 0], points[:, 1]), np.abs(points[:, 2])
        behind = (z > self.face.distance) & (radius >= self.face.inner_radius)
        behind &= radius <= self.outer_radius
        rows = np.flatnonzero(behind)
        behind[rows] = ~self.in_front(points[rows])
        return behind

    @cached_property
    def _inner_slope(self) -> float:
        """Slope, to the beam's axis, of the axes of the innermost row."""
        return float(np.abs(np.tan(self.blocks.axis_angles[0])).min())

    @cached_property
    def _around(self) -> tuple[Indices, Indices, Indices, Floats]:
        """First own crystal and size of each of an end's rows (ends, rows), and phi of each."""
        row = self.rows.row[self.own]
        rows, first, sizes = np.unique(row, return_index=True, return_counts=True)
        front = self.blocks.front_centres
        half = len(rows) // 2
        return (
            first.reshape(2, half),
            sizes.reshape(2, half),
            rows,
            np.arctan2(front[:, 1], front[:, 0]) % (2 * np.pi),
        )

    def _cells_near(self, points: Floats, directions: Floats) -> Indices:
        distance = float(np.abs(self.blocks.front_centres[:, 2]).mean())
        inner, outer = self.face.inner_radius, self.face.outer_radius
        # The line at the mean of the fronts, or at its start if that is farther along.
        along = np.abs(directions[:, 2])
        with np.errstate(divide="ignore"):
            step = np.where(along > 0, (distance - np.abs(points[:, 2])) / along, 0.0)
        at = points + np.clip(step, 0.0, 1e4)[:, None] * directions
        radius = np.hypot(at[:, 0], at[:, 1])
        # Beside: where it comes to the rows from there.
        rows = np.flatnonzero(radius > outer)
        at[rows] += _to_radius(at[rows], directions[rows], outer)[:, None] * directions[rows]
        # In the hole, which is a cone: the same, better at each step.
        rows = np.flatnonzero(radius < inner)
        start, way = at[rows], directions[rows]
        for _ in range(_CONE_STEPS if rows.size else 0):
            there = inner + self._inner_slope * (np.abs(at[rows, 2]) - distance)
            at[rows] = start + _to_radius(start, way, there)[:, None] * way
        phi = np.arctan2(at[:, 1], at[:, 0]) % (2 * np.pi)
        end = (points[:, 2] < 0).astype(np.int64)
        first, sizes, _, azimuth = self._around
        near = []
        for row in range(first.shape[1]):
            start, size = first[end, row], sizes[end, row]
            column = np.zeros(len(points), np.int64)
            for one in (0, 1):
                lines = end == one
                there = azimuth[first[one, row] :][: sizes[one, row]]
                column[lines] = np.searchsorted((there[1:] + there[:-1]) / 2, phi[lines])
            around = column[:, None] + np.arange(-_SEARCH_COLUMNS, _SEARCH_COLUMNS + 1)
            near.append(start[:, None] + around % size[:, None])
        return np.concatenate(near, axis=1)

    def conditions_at(self, cells: Indices, position: Floats, momentum: Floats) -> Floats:
        """See `Calorimeter`: (N, 7), those of `ENDCAP_CONDITIONS`."""
        size, theta, phi = self._of_momentum(cells, momentum)
        radius = np.hypot(position[:, 0], position[:, 1])
        front = self.front_centre(cells)
        return np.stack(
            [
                size,
                self._end[cells] * theta,
                phi,
                radius - np.hypot(front[:, 0], front[:, 1]),
                self._phi_from_front(cells, position),
                radius,
                self.blocks.depth(cells, position),
            ],
            axis=1,
        )


def _to_radius(points: Floats, directions: Floats, radius: Floats | float) -> Floats:
    """Distance (N,) along lines to cylinders around z, 0 for those that do not come to them."""
    a = (directions[:, :2] ** 2).sum(1)
    b = (points[:, :2] * directions[:, :2]).sum(1)
    c = (points[:, :2] ** 2).sum(1) - radius**2
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # From inside on the way out, from outside on the way in.
        step = np.where(c < 0, root - b, -root - b) / a
    return np.where((a > 0) & (square >= 0) & (step > 0), np.minimum(step, 1e4), 0.0)


def wrapped(angle: Floats) -> Floats:
    """Angles wrapped to (-pi, pi]."""
    return np.pi - (np.pi - angle) % (2 * np.pi)

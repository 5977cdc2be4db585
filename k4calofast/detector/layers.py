"""Layered barrels: modules of plane sensitive layers with small cells, from a description.

Every module has a frame of its own, (n, t, z): n along its normal, at distance n from the beam
line; t across; z along the beam. For a module whose normal points to azimuth phi, x is
n cos(phi) - t sin(phi) and y is n sin(phi) + t cos(phi).

In a layer, cells stand in columns along t and rows along z. Columns and rows are counted along
rulers, which know where cells are, what lies dead between them, and how cell IDs number them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Floats32, IDs, Indices, Mask
from k4calofast.detector.calorimeter import Condition, Entry, noise_key_of
from k4calofast.detector.description import TOWER_WAFERS, BarrelDescription, Grid, Wafers
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.detector.face import Cylinder, crossings

CONDITIONS = (
    Condition("momentum", "GeV", "magnitude of the momentum at the module's surface"),
    Condition("angle_t", "rad", "angle to the module's normal across the module, atan2(p_t, p_n)"),
    Condition("angle_z", "rad", "angle to the module's normal along the beam, atan2(p_z, p_n)"),
    Condition("offset_t", "mm", "t of the entry point minus t of the nearest column of cells"),
    Condition("offset_z", "mm", "z of the entry point minus z of the nearest row of cells"),
    Condition("depth", "mm", "depth of the entry point behind the module's front"),
)
"""What generators are told of a particle that enters a module, in its frame (n, t, z); columns and
rows are those of the first layer."""

# Positions written as floats by a simulation that stops particles on the face.
_FACE_TOLERANCE = 0.1  # mm

_ROUNDING = 1e-6
"""mm by which cells may reach over the end of what carries them."""

_SLAB_LAYERS = 2

_CORNERS = np.array(
    [[n, t, z] for n in (-1.0, 1.0) for t, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
)
"""Corners of a cell in units of half its sides (n, t, z), as `Calorimeter.solids` has them."""


@dataclass(frozen=True, eq=False)
class Ruler:
    """Cells along one direction, in the order of their positions.

    Attributes
    ----------
    centre, half
        (C,) mm, of cells.
    low, high
        mm: what carries the cells reaches from here to there.
    fields
        (C,) values that each cell adds to fields of the cell ID, by field.
    """

    centre: Floats
    half: Floats
    low: float
    high: float
    fields: dict[str, Indices]

    def __len__(self) -> int:
        return len(self.centre)

    @cached_property
    def step(self) -> float:
        """From one cell to the next (mm), in the middle."""
        return 2 * float(self.half[len(self) // 2])

    @cached_property
    def borders(self) -> Floats:
        """(C - 1,) mm, between one cell and the next."""
        return (self.centre[1:] + self.centre[:-1]) / 2

    def nearest(self, position: Floats) -> Indices:
        """Cells (N,) whose centres are nearest to positions (N,) in mm."""
        return np.searchsorted(self.borders, position)

    def at(self, position: Floats) -> Indices:
        """Cells (N,) at positions (N,) in mm; -1 where there is nothing, or nothing sensitive."""
        near = self.nearest(position)
        inside = np.abs(position - self.centre[near]) <= self.half[near] + _ROUNDING
        inside &= (position >= self.low) & (position <= self.high)
        return np.where(inside, near, -1)

    def around(self, position: Floats, size: int) -> tuple[Indices, Floats]:
        """Cells around positions, as if the ruler went on beyond its ends.

        Parameters
        ----------
        position
            (N,) mm.
        size
            How many, odd.

        Returns
        -------
        cells
            (N, size); below 0 or beyond the last for those that are not there.
        centres
            (N, size) mm.
        """
        cells, centres = around([self], position[:, None], size)
        return cells[:, 0], centres[:, 0]


@dataclass(frozen=True)
class View:
    """Cells of all layers as N particles see them that go straight on.

    Attributes
    ----------
    columns, rows
        (N, layers, size) places on the rulers; beyond their ends for cells that are not there.
    t, z
        (N, layers, size) mm: the centres of columns and rows, less where the particle's line
        crosses the layer.
    crossing
        (N, layers, 2) t and z (mm) where it does.
    """

    barrel: LayeredBarrel
    module: Indices
    columns: Indices
    rows: Indices
    t: Floats
    z: Floats
    crossing: Floats

    @property
    def inputs(self) -> dict[str, Floats32]:
        """See `Surroundings`: ``t`` and ``z``."""
        return {"t": self.t.astype(np.float32), "z": self.z.astype(np.float32)}

    def cells(self, shower: Indices, place: Indices) -> Indices:
        """See `Surroundings`.

        Places are counted by layer, column and row. Where a module has ended, it is the
        neighbouring module's cell.
        """
        layers, size = self.t.shape[1:]
        line, row = _parted(place, size)
        layer = line // size
        columns = self.columns.ravel()[shower * (layers * size) + line]
        rows = self.rows.ravel()[(shower * layers + layer) * size + row]
        barrel, module = self.barrel, self.module[shower]
        there = (columns >= 0) & (columns < barrel.widths[layer])
        there &= (rows >= 0) & (rows < len(barrel.rows))
        cells = np.where(there, barrel.cell(module, layer, columns, rows), -1)
        beside = np.flatnonzero(cells < 0)
        shower, layer = shower[beside], layer[beside]
        column = line[beside] - layer * size
        t = self.t[shower, layer, column] + self.crossing[shower, layer, 0]
        z = self.z[shower, layer, row[beside]] + self.crossing[shower, layer, 1]
        points = np.stack([barrel.planes[layer], t, z], axis=1)
        cells[beside] = barrel.cell_at(barrel.to_world(module[beside], points))
        return cells


def around(rulers: Sequence[Ruler], position: Floats, size: int) -> tuple[Indices, Floats]:
    """Cells of R rulers around positions on each of them; see `Ruler.around`.

    Parameters
    ----------
    position
        (N, R) mm.

    Returns
    -------
    cells, centres
        (N, R, size).
    """
    half, last = size // 2, np.array([len(ruler) - 1 for ruler in rulers])
    start, end = (np.array([ruler.centre[place] for ruler in rulers]) for place in (0, -1))
    step = np.array([ruler.step for ruler in rulers])
    # All rulers, one behind the other, are searched at once.
    reach = 1 + np.maximum(np.abs(start), np.abs(end)).max()
    behind = 2 * reach * np.arange(len(rulers))
    borders = np.concatenate([ruler.borders + by for ruler, by in zip(rulers, behind, strict=True)])
    middle = np.searchsorted(borders, np.clip(position, -reach, reach) + behind)
    before = np.cumsum(last) - last
    middle -= before
    below, above = position < start - step / 2, position > end + step / 2
    if below.any() or above.any():
        middle = np.where(below, np.rint((position - start) / step), middle)
        middle = np.where(above, last + np.rint((position - end) / step), middle).astype(np.int64)
    cells = middle[:, :, None] + np.arange(-half, size - half)
    # Most windows have all of their cells.
    centres = np.concatenate([ruler.centre for ruler in rulers])
    first = before + np.arange(len(rulers))
    nearest = np.clip(cells, 0, last[:, None])
    nearest += first[:, None]
    found = centres.take(nearest)
    row, ruler = np.nonzero((middle < half) | (middle > last - half))
    places = cells[row, ruler]
    over = np.minimum(places, 0) + np.maximum(places - last[ruler, None], 0)
    found[row, ruler] += step[ruler, None] * over
    return cells, found


class LayeredBarrel:
    """A barrel of modules of layers.

    Parameters
    ----------
    description
        What is written about it.

    Attributes
    ----------
    planes
        (layers,) mm from the beam line to the middle of each layer.
    azimuth
        (modules,) rad, of their normals.
    rows
        Ruler of all rows, along z.
    widths
        (layers,) number of columns.
    half_length
        Largest abs(z) (mm) of any cell.
    """

    kind, conditions = "layers", CONDITIONS
    # What is known of the cells around a shower is a hundred times what it is for crystals.
    showers_at_once: int | None = 256
    delays_after_light: bool = True

    def __init__(self, description: BarrelDescription) -> None:
        self.description = d = description
        self.name, self.collection = d.name, d.collection
        self.noise_key = noise_key_of(d.name)
        self.face = Cylinder(d.inner_radius, d.half_length)
        self.encoding = CellIDEncoding(d.encoding)
        self.magnetic_field, self.mip, self.half_length = d.magnetic_field, d.mip, d.half_length
        self.planes: Floats = d.inner_radius + np.array(d.depths)
        self.n_modules, self.n_layers = d.modules.count, len(self.planes)
        angles = d.modules.angle + d.modules.step * np.arange(self.n_modules)
        self.azimuth: Floats = np.deg2rad(angles)
        self._cos, self._sin = np.cos(self.azimuth), np.sin(self.azimuth)
        self.rows = _rows(d)
        self._column_rulers = [self._columns(layer) for layer in range(self.n_layers)]
        self.widths = np.array([len(ruler) for ruler in self._column_rulers])
        self._most_columns = int(self.widths.max())

    # --- shape ------------------------------------------------------------------------------

    @property
    def beyond(self) -> tuple[LayeredBarrel, ...]:
        """See `Calorimeter`: none."""
        return ()

    @property
    def n_cells(self) -> int:
        """Number of cells, those places counted that only the widest layer has."""
        return self.n_modules * self.n_layers * self._most_columns * len(self.rows)

    @property
    def outer_radius(self) -> float:
        """Radius (mm) of the smallest cylinder around z that holds all cells."""
        n = self.description.inner_radius + np.array([0.0, self.description.thickness])
        low, high = self._sides(n - self.description.inner_radius)
        return float(np.hypot(n, np.maximum(np.abs(low), np.abs(high))).max())

    def _sides(self, depth: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Where a module ends along t, at depths (mm) behind its front."""
        d, modules = self.description, self.description.modules
        turn = 2 * np.pi / modules.count
        front = d.inner_radius * np.tan(turn / 2)
        depths = np.asarray(depth, np.float64)
        if modules.shape == "radial":
            width = front + depths * np.tan(turn / 2)
            return -width, width
        behind = (d.thickness - modules.support) / np.sin(turn)
        shrinks = depths / np.tan(turn)
        return -front + shrinks, front + behind - shrinks

    def _columns(self, layer: int) -> Ruler:
        """Ruler of a layer's columns."""
        d = self.description
        if isinstance(d.cells, Grid):
            # Layers are as wide as the module is where they begin, tungsten included.
            period = d.layers[0]
            depth = layer * sum(part.thickness for part in period.slices)
            low, high = self._sides(depth)
            return _grid(d.cells.size, float(low), float(high), d.cells.fields["column"])
        return _wafer_columns(d, d.cells, *self._slab(layer, d.cells))

    def _slab(self, layer: int, wafers: Wafers) -> tuple[float, float]:
        """Where the slab of a layer begins and ends along t: two layers have one in common."""
        low, high = self._sides(self._slab_ends[layer // _SLAB_LAYERS])
        return float(low) + wafers.plug, float(high)

    @cached_property
    def _slab_ends(self) -> list[float]:
        """Depths at which slabs end: where the structure behind their second layer begins."""
        cells = self.description.cells
        depth, sensitive, ends = 0.0, 0, []
        for part in self.description.stack:
            if sensitive == _SLAB_LAYERS and part.material == getattr(cells, "structure", None):
                ends.append(depth)
                sensitive = 0
            sensitive += part.sensitive
            depth += part.thickness
        return ends

    # --- frames -----------------------------------------------------------------------------

    def to_local(self, module: Indices, vectors: Floats) -> Floats:
        """(N, 3) vectors (n, t, z) in the frames of modules (N,), of world vectors (N, 3)."""
        cos, sin = self._cos[module], self._sin[module]
        x, y, z = vectors.T
        return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)

    def to_world(self, module: Indices, vectors: Floats) -> Floats:
        """(N, 3) world vectors of vectors (n, t, z) in the frames of modules (N,)."""
        cos, sin = self._cos[module], self._sin[module]
        n, t, z = vectors.T
        return np.stack([cos * n - sin * t, sin * n + cos * t, z], axis=1)

    def module_at(self, points: Floats) -> Indices:
        """Modules (N,) that hold points (N, 3), -1 where none does."""
        d = self.description
        cos, sin = self._cos, self._sin
        depth = points[:, :1] * cos + points[:, 1:2] * sin - d.inner_radius
        across = points[:, 1:2] * cos - points[:, :1] * sin
        low, high = self._sides(depth)
        inside = (depth >= 0) & (depth <= d.thickness) & (across >= low) & (across <= high)
        inside &= np.abs(points[:, 2:]) <= d.half_length
        return np.where(inside.any(1), inside.argmax(1), -1)

    # --- entering ---------------------------------------------------------------------------

    def in_front(self, points: Floats) -> Mask:
        """See `Calorimeter`: before the modules' front faces."""
        outward = points[:, :1] * np.cos(self.azimuth) + points[:, 1:2] * np.sin(self.azimuth)
        inside = np.abs(points[:, 2]) <= self.half_length + _FACE_TOLERANCE
        inside &= outward.max(1) <= self.face.radius + _FACE_TOLERANCE
        return inside

    def behind(self, points: Floats) -> Mask:
        """See `Calorimeter`: in modules, between them or beyond."""
        return (np.abs(points[:, 2]) <= self.half_length) & ~self.in_front(points)

    def encloses(self, points: Floats) -> Mask:
        """See `Calorimeter`."""
        return Cylinder(self.outer_radius, self.half_length).holds(points)

    def expected_deposits(self, momentum: Floats) -> Floats:
        """See `Calorimeter`."""
        return 75.0 * momentum**0.7

    def first_cell(self, points: Floats, directions: Floats) -> Entry:
        """See `Calorimeter`: the cell behind where a line enters a module, through whichever face.

        It is the cell that is nearest to the line where that crosses the next layer, or the first
        layer for lines that come in behind all.
        """
        normals, offsets = self._faces
        speed = np.einsum("mfc,nc->nmf", normals, directions)
        gap = offsets - np.einsum("mfc,nc->nmf", normals, points)
        entered, left = crossings(speed, gap)
        entered[left <= 0] = np.inf
        module = entered.argmin(1)
        distance = entered[np.arange(len(points)), module]
        cell = np.full(len(points), -1, np.int64)
        hit = np.flatnonzero(np.isfinite(distance))
        where = points[hit] + distance[hit, None] * directions[hit]
        cell[hit] = self._cell_behind(module[hit], where, directions[hit])
        return Entry(cell, distance)

    @cached_property
    def _faces(self) -> tuple[Floats, Floats]:
        """Outward normals (modules, 6, 3) and offsets (modules, 6) of the faces of modules."""
        d = self.description
        low, high = self._sides([0.0, d.thickness])
        slope_low, slope_high = float(np.diff(low)[0]), float(np.diff(high)[0])
        front, back = d.inner_radius, d.inner_radius + d.thickness
        local = np.array(
            [
                [-1.0, 0.0, 0.0],
                [1.0, 0.0, 0.0],
                [slope_low / d.thickness, -1.0, 0.0],
                [-slope_high / d.thickness, 1.0, 0.0],
                [0.0, 0.0, -1.0],
                [0.0, 0.0, 1.0],
            ]
        )
        on = np.array(
            [
                [front, 0, 0],
                [back, 0, 0],
                [front, low[0], 0],
                [front, high[0], 0],
                [front, 0, -d.half_length],
                [front, 0, d.half_length],
            ]
        )
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        offset = (local * on).sum(1)
        normals = np.stack(
            [self.to_world(np.full(6, module), local) for module in range(self.n_modules)]
        )
        return normals, np.broadcast_to(offset, (self.n_modules, 6))

    def _cell_behind(self, module: Indices, points: Floats, directions: Floats) -> Indices:
        n, t, z = self.to_local(module, points).T
        along = self.to_local(module, directions)
        layer = np.searchsorted(self.planes, n - _ROUNDING)
        layer = np.where(layer == self.n_layers, self.n_layers - 1, layer)
        with np.errstate(divide="ignore", invalid="ignore"):
            way = np.where(along[:, 0] > 0, (self.planes[layer] - n) / along[:, 0], 0.0)
        # Along the layer, lines go on for ever.
        way = np.clip(way, 0.0, self.description.thickness)
        row = self.rows.nearest(z + way * along[:, 2])
        column = np.empty(len(module), np.int64)
        for number in np.unique(layer):
            rows = np.flatnonzero(layer == number)
            ruler = self._column_rulers[number]
            column[rows] = ruler.nearest((t + way * along[:, 1])[rows])
        return self.cell(module, layer, column, row)

    # --- cells ------------------------------------------------------------------------------

    def cell(self, module: Indices, layer: Indices, column: Indices, row: Indices) -> Indices:
        """Cells (N,) of modules, layers, columns and rows."""
        place = (module * self.n_layers + layer) * self._most_columns + column
        return place * len(self.rows) + row

    def place(self, cells: Indices) -> tuple[Indices, Indices, Indices, Indices]:
        """Module, layer, column and row (N,) of cells (N,)."""
        place, row = _parted(cells, len(self.rows))
        place, column = _parted(place, self._most_columns)
        module, layer = _parted(place, self.n_layers)
        return module, layer, column, row

    def columns(self, layer: int) -> Ruler:
        """Ruler of a layer's columns, along t."""
        return self._column_rulers[layer]

    @cached_property
    def _column_centres(self) -> Floats:
        """(layers, most columns) mm, not a number where a layer has no such column."""
        table = np.full((self.n_layers, self._most_columns), np.nan)
        for layer, ruler in enumerate(self._column_rulers):
            table[layer, : len(ruler)] = ruler.centre
        return table

    def local_centre(self, cells: Indices) -> Floats:
        """(N, 3) centre (n, t, z) of each cell in the frame of its module (mm)."""
        _, layer, column, row = self.place(cells)
        return np.stack(
            [
                self.planes[layer],
                self._column_centres[layer, column],
                self.rows.centre[row],
            ],
            axis=1,
        )

    def centre(self, cells: Indices) -> Floats:
        """See `Calorimeter`."""
        line, row = _parted(cells, len(self.rows))
        x, y = self._lines
        # One coordinate after the other is written, and read, at several times the speed.
        centre = np.empty((3, len(cells)))
        centre[0], centre[1] = x.take(line), y.take(line)
        centre[2] = self.rows.centre.take(row)
        return centre.T

    @cached_property
    def _lines(self) -> tuple[Floats, Floats]:
        """Place (lines,) in x, and in y (mm), of each column of a module's layer."""
        first = np.arange(self.n_modules * self.n_layers * self._most_columns)
        first *= len(self.rows)
        x, y, _ = self.to_world(self.place(first)[0], self.local_centre(first)).T
        return x.copy(), y.copy()

    def solids(self, cells: Indices) -> Floats:
        """See `Calorimeter`: of the cell's part of the sensitive slice."""
        module, layer, column, row = self.place(cells)
        half = np.empty((len(cells), 3))
        half[:, 0] = np.array([s.thickness for s in self.description.stack if s.sensitive])[layer]
        half[:, 0] /= 2
        for number in np.unique(layer):
            rows = np.flatnonzero(layer == number)
            # Where there is no such column, the centre is not a number.
            half[rows, 1] = self._column_rulers[number].half.take(column[rows], mode="clip")
        half[:, 2] = self.rows.half[row]
        local = self.local_centre(cells)[:, None] + half[:, None] * _CORNERS
        return self.to_world(np.repeat(module, len(_CORNERS)), local.reshape(-1, 3)).reshape(
            local.shape
        )

    @property
    def outline(self) -> tuple[Floats, ...]:
        """See `Calorimeter`: edges of the modules."""
        d = self.description
        (low, behind_low), (high, behind_high) = self._sides([0.0, d.thickness])
        front, back = d.inner_radius, d.inner_radius + d.thickness
        # The middle of the front is where a module is nearest to the beam.
        ring = np.array(
            [[front, low], [front, 0.0], [front, high], [back, behind_high], [back, behind_low]]
        )
        points = np.stack([np.insert(ring, 2, end * d.half_length, axis=1) for end in (-1, 1)])
        lines = []
        for module in range(self.n_modules):
            ends = np.stack([self.to_world(np.full(len(ring), module), one) for one in points])
            lines += [np.concatenate([end, end[:1]]) for end in ends]
            lines += [ends[:, corner] for corner in (0, 2, 3, 4)]
        return tuple(lines)

    def cell_at(self, points: Floats) -> Indices:
        """Cells (N,) at points (N, 3) in mm, of the layer nearest in depth.

        -1 where no module is, and where a module has nothing sensitive: at its sides, between
        wafers.
        """
        module = self.module_at(points)
        cells = np.full(len(points), -1, np.int64)
        inside = np.flatnonzero(module >= 0)
        n, t, z = self.to_local(module[inside], points[inside]).T
        layer = np.searchsorted((self.planes[1:] + self.planes[:-1]) / 2, n)
        row = self.rows.at(z)
        column = np.full(len(inside), -1, np.int64)
        for number in np.unique(layer):
            rows = np.flatnonzero(layer == number)
            column[rows] = self._column_rulers[number].at(t[rows])
        sensitive = (row >= 0) & (column >= 0)
        found = self.cell(module[inside], layer, column, row)
        cells[inside[sensitive]] = found[sensitive]
        return cells

    # --- what a shower sees -----------------------------------------------------------------

    def conditions_at(self, cells: Indices, position: Floats, momentum: Floats) -> Floats:
        """See `Calorimeter`: (N, 6), those of `CONDITIONS`."""
        module = self.place(cells)[0]
        n, t, z = self.to_local(module, position).T
        along = self.to_local(module, momentum)
        return np.stack(
            [
                np.linalg.norm(momentum, axis=1),
                np.arctan2(along[:, 1], along[:, 0]),
                np.arctan2(along[:, 2], along[:, 0]),
                t - self.columns(0).around(t, 1)[1][:, 0],
                z - self.rows.around(z, 1)[1][:, 0],
                n - self.face.radius,
            ],
            axis=1,
        )

    def check_window(self, window: tuple[int, ...]) -> None:
        """See `Calorimeter`: all layers, and as many columns as rows, an odd number."""
        size = window[-1] if window else 0
        if tuple(window) != (self.n_layers, size, size) or size % 2 == 0:
            raise ValueError(
                f"a window of {' x '.join(map(str, window))} is none of {self.n_layers} layers and "
                "as many columns as rows, an odd number"
            )

    def surroundings(
        self, cells: Indices, position: Floats, momentum: Floats, window: tuple[int, ...]
    ) -> View:
        """See `Calorimeter`: the cells around the particles' straight lines, in all layers."""
        self.check_window(window)
        size = window[1]
        module = self.place(cells)[0]
        start, way = self.to_local(module, position), self.to_local(module, momentum)
        slope = way[:, 1:] / np.maximum(way[:, :1], 1e-9)
        crossing = start[:, None, 1:] + slope[:, None] * (self.planes[:, None] - start[:, None, :1])
        shape = (len(module), self.n_layers, size)
        columns, t = around(self._column_rulers, crossing[:, :, 0], size)
        rows, z = self.rows.around(crossing[:, :, 1].ravel(), size)
        return View(
            self,
            module,
            columns,
            rows.reshape(shape),
            t - crossing[:, :, :1],
            z.reshape(shape) - crossing[:, :, 1:],
            crossing,
        )

    # --- cell IDs ---------------------------------------------------------------------------

    def cell_id(self, cells: Indices) -> IDs:
        """See `Calorimeter`."""
        line, row = _parted(cells, len(self.rows))
        of_lines, of_rows = self._ids
        return of_lines.take(line) + of_rows.take(row)

    @cached_property
    def _ids(self) -> tuple[IDs, IDs]:
        """What lines of cells, and rows, add to cell IDs."""
        d, of_rows = self.description, self.rows.fields
        first = np.arange(len(self._lines[0])) * len(self.rows)
        module, layer, column, _ = self.place(first)
        fields = {name: np.full(len(first), value) for name, value in d.constants.items()}
        fields |= {d.modules.field: module + d.modules.first, "layer": layer}
        of_layers = [part.fields for part in d.stack if part.sensitive]
        for name in {name for values in of_layers for name in values}:
            fields[name] = np.array([values.get(name, 0) for values in of_layers])[layer]
        for number, ruler in enumerate(self._column_rulers):
            there = (layer == number) & (column < len(ruler))
            for name, values in ruler.fields.items():
                own = np.where(there, values.take(column, mode="clip"), 0)
                fields[name] = fields.get(name, 0) + own
        # A field that has a part of each must hold the sum of both; a carry would change others.
        for name in fields.keys() & of_rows.keys():
            self.encoding.encode(**{name: [fields[name].max() + of_rows[name].max()]})
            if fields[name].min() < 0 or of_rows[name].min() < 0:
                raise ValueError(f"'{name}' of the cell ID has two parts, one of them negative")
        return self.encoding.encode(**fields), self.encoding.encode(**of_rows)

    def cell_of(self, cell_ids: IDs) -> Indices:
        """See `Calorimeter`."""
        d, decode = self.description, self.encoding.decode
        ids = np.asarray(cell_ids, np.uint64)
        module = decode(ids, d.modules.field) - d.modules.first
        layer = decode(ids, "layer")
        column, row = self._from_fields(ids, layer)
        possible = (module >= 0) & (module < self.n_modules) & (layer < self.n_layers)
        layer = np.where(possible, layer, 0)
        possible &= (column >= 0) & (column < self.widths[layer])
        possible &= (row >= 0) & (row < len(self.rows))
        zeros = [np.where(possible, place, 0) for place in (module, layer, column, row)]
        cells = self.cell(*zeros)
        return np.where(possible & (self.cell_id(cells) == ids), cells, -1)

    def _from_fields(self, ids: IDs, layer: Indices) -> tuple[Indices, Indices]:
        """Column and row that the fields of cell IDs name; any number where they name none."""
        d, decode = self.description, self.encoding.decode
        if isinstance(d.cells, Grid):
            column = decode(ids, d.cells.fields["column"])
            first = np.array(
                [ruler.fields[d.cells.fields["column"]][0] for ruler in self._column_rulers]
            )
            row = decode(ids, d.cells.fields["row"])
            layer = np.clip(layer, 0, self.n_layers - 1)
            return column - first[layer], row - self.rows.fields[d.cells.fields["row"]][0]
        wafer, per = decode(ids, "wafer"), d.cells.per_wafer
        column = (wafer - 1) // TOWER_WAFERS * per + decode(ids, "cellX")
        tower = (decode(ids, "module") - 1) * d.cells.towers + decode(ids, "tower")
        row = (tower * TOWER_WAFERS + (wafer - 1) % TOWER_WAFERS) * per + decode(ids, "cellY")
        return column, row


def _grid(size: float, low: float, high: float, field: str) -> Ruler:
    """Cells at whole multiples of their size, all that something between low and high is in."""
    first, last = int(np.floor(low / size + 0.5)), int(np.floor(high / size + 0.5))
    number = np.arange(first, last + 1)
    return Ruler(
        size * number.astype(np.float64), np.full(len(number), size / 2), low, high, {field: number}
    )


def _rows(d: BarrelDescription) -> Ruler:
    cells = d.cells
    if isinstance(cells, Grid):
        return _grid(cells.size, -d.half_length, d.half_length, cells.fields["row"])
    length, tower = cells.along_beam(d.half_length)
    wafer, half = cells.wafer(d.half_length), d.cell_size / 2
    module, number, side, cell = np.meshgrid(
        np.arange(cells.modules),
        np.arange(cells.towers),
        np.arange(TOWER_WAFERS),
        np.arange(cells.per_wafer),
        indexing="ij",
    )
    middle = (module + 0.5) * length - d.half_length
    middle = middle - length / 2 + cells.module_edge + (number + 0.5) * tower
    start = middle + (side - TOWER_WAFERS / 2) * wafer + cells.guard
    fields = {
        "module": module.ravel() + 1,
        "tower": number.ravel(),
        "wafer": side.ravel() + 1,
        "cellY": cell.ravel(),
    }
    centre = (start + (2 * cell + 1) * half).ravel()
    return Ruler(centre, np.full(len(centre), half), -d.half_length, d.half_length, fields)


def _wafer_columns(d: BarrelDescription, cells: Wafers, low: float, high: float) -> Ruler:
    wafer, size = cells.wafer(d.half_length), d.cell_size
    whole = int((high - low) // wafer)
    # What remains holds a wafer of fewer cells.
    rest = int((high - low - whole * wafer - 2 * cells.guard) // size)
    last = rest if rest >= 1 else 0
    number = np.concatenate(
        [np.repeat(np.arange(whole), cells.per_wafer), np.full(last, whole)]
    ).astype(np.int64)
    cell = np.concatenate([np.tile(np.arange(cells.per_wafer), whole), np.arange(last)])
    # The cells of the cut wafer are counted from its edge, not from inside its guard ring.
    edge = np.where(number < whole, cells.guard, 0.0)
    centre = low + number * wafer + edge + (cell + 0.5) * size
    fields = {"wafer": TOWER_WAFERS * number, "cellX": cell}
    return Ruler(centre, np.full(len(centre), size / 2), low, high, fields)


def _parted(numbers: Indices, size: int) -> tuple[Indices, Indices]:
    """Quotients and rests: a tenth of the time of `numpy.divmod`."""
    quotient = numbers // size
    return quotient, numbers - quotient * size

"""Layered barrels: a ring of modules around the beam line.

For a module whose normal points to azimuth phi, x is n cos(phi) - t sin(phi) and y is
n sin(phi) + t cos(phi); n is the distance from the beam line, and z that along it.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, IDs, Indices, Mask
from k4calofast.detector.description import TOWER_WAFERS, BarrelDescription, Grid, Wafers
from k4calofast.detector.face import Cylinder
from k4calofast.detector.layers import FACE_TOLERANCE, LayeredCalorimeter, parted
from k4calofast.detector.rulers import Ruler, grid

_SLAB_LAYERS = 2


class LayeredBarrel(LayeredCalorimeter):
    """A barrel of modules of layers.

    Parameters
    ----------
    description
        What is written about it.

    Attributes
    ----------
    azimuth
        (modules,) rad, of their normals.
    """

    description: BarrelDescription
    face: Cylinder

    def __init__(self, description: BarrelDescription) -> None:
        d = self.description = description
        self.face, self.half_length = Cylinder(d.inner_radius, d.half_length), d.half_length
        angles = d.modules.angle + d.modules.step * np.arange(d.modules.count)
        self.azimuth: Floats = np.deg2rad(angles)
        self._cos, self._sin = np.cos(self.azimuth), np.sin(self.azimuth)
        columns = [self._columns(layer) for layer in range(len(d.depths))]
        super().__init__(d, d.modules.count, d.inner_radius, _rows(d), columns)

    # --- shape ------------------------------------------------------------------------------

    @property
    def module_numbers(self) -> tuple[str, Indices]:
        """See `LayeredCalorimeter`."""
        modules = self.description.modules
        return modules.field, modules.first + np.arange(modules.count)

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
            return grid(d.cells.size, float(low), float(high), d.cells.fields["column"])
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
        """See `LayeredCalorimeter`."""
        cos, sin = self._cos[module], self._sin[module]
        x, y, z = vectors.T
        return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)

    def to_world(self, module: Indices, vectors: Floats) -> Floats:
        """See `LayeredCalorimeter`."""
        cos, sin = self._cos[module], self._sin[module]
        n, t, z = vectors.T
        return np.stack([cos * n - sin * t, sin * n + cos * t, z], axis=1)

    def module_at(self, points: Floats) -> Indices:
        """See `LayeredCalorimeter`."""
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
        inside = np.abs(points[:, 2]) <= self.half_length + FACE_TOLERANCE
        inside &= outward.max(1) <= self.face.radius + FACE_TOLERANCE
        return inside

    def behind(self, points: Floats) -> Mask:
        """See `Calorimeter`: in modules, between them or beyond."""
        return (np.abs(points[:, 2]) <= self._reach) & ~self.in_front(points)

    def encloses(self, points: Floats) -> Mask:
        """See `Calorimeter`."""
        return Cylinder(self.outer_radius, self._reach).holds(points)

    @cached_property
    def _reach(self) -> float:
        """Largest abs(z) (mm) of the barrel, and of centres of cells that are cut at its ends."""
        return max(self.half_length, float(np.abs(self.rows.centre).max()) + FACE_TOLERANCE)

    @cached_property
    def _blocks(self) -> tuple[Floats, Floats, Indices]:
        """See `LayeredCalorimeter`: a block for each module, of six faces."""
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
        modules = np.arange(self.n_modules)
        return normals, np.broadcast_to(offset, (self.n_modules, 6)), modules

    def centre(self, cells: Indices) -> Floats:
        """See `Calorimeter`."""
        line, row = parted(cells, len(self.rows))
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

    # --- cell IDs ---------------------------------------------------------------------------

    def _from_fields(self, ids: IDs, layer: Indices) -> tuple[Indices, Indices]:
        """See `LayeredCalorimeter`."""
        d, decode = self.description, self.encoding.decode
        if isinstance(d.cells, Grid):
            return super()._from_fields(ids, layer)
        wafer, per = decode(ids, "wafer"), d.cells.per_wafer
        column = (wafer - 1) // TOWER_WAFERS * per + decode(ids, "cellX")
        tower = (decode(ids, "module") - 1) * d.cells.towers + decode(ids, "tower")
        row = (tower * TOWER_WAFERS + (wafer - 1) % TOWER_WAFERS) * per + decode(ids, "cellY")
        return column, row


def _rows(d: BarrelDescription) -> Ruler:
    cells = d.cells
    if isinstance(cells, Grid):
        return grid(cells.size, -d.half_length, d.half_length, cells.fields["row"])
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

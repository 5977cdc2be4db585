"""Layered calorimeters: modules of plane sensitive layers with small cells, from a description.

Every module has a frame of its own, (n, t, z): n along its normal, away from the origin, z along
the beam in barrels, and t across; in endcaps, t and z are the two directions across the beam in
which cells stand.

In a layer, cells stand in columns along t and rows along z. Columns and rows are counted along
rulers (`k4calofast.detector.rulers`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from k4calofast.arrays import Floats, Floats32, IDs, Indices, Mask
from k4calofast.detector.calorimeter import Condition, Entry, noise_key_of
from k4calofast.detector.description import Description, Grid
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.detector.face import Face, crossings
from k4calofast.detector.rulers import ROUNDING, Ruler, around

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

FACE_TOLERANCE = 0.1
"""mm: positions are written as floats by a simulation that stops particles on the face."""

_CORNERS = np.array(
    [[n, t, z] for n in (-1.0, 1.0) for t, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
)
"""Corners of a cell in units of half its sides (n, t, z), as `Calorimeter.solids` has them."""


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

    calorimeter: LayeredCalorimeter
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
        line, row = parted(place, size)
        layer = line // size
        columns = self.columns.ravel()[shower * (layers * size) + line]
        rows = self.rows.ravel()[(shower * layers + layer) * size + row]
        calorimeter, module = self.calorimeter, self.module[shower]
        there = calorimeter.has(module, layer, columns, rows)
        cells = np.where(there, calorimeter.cell(module, layer, columns, rows), -1)
        beside = np.flatnonzero(cells < 0)
        shower, layer = shower[beside], layer[beside]
        column = line[beside] - layer * size
        t = self.t[shower, layer, column] + self.crossing[shower, layer, 0]
        z = self.z[shower, layer, row[beside]] + self.crossing[shower, layer, 1]
        points = np.stack([calorimeter.planes[layer], t, z], axis=1)
        cells[beside] = calorimeter.cell_at(calorimeter.to_world(module[beside], points))
        return cells


class LayeredCalorimeter(ABC):
    """Modules of layers.

    Parameters
    ----------
    description
        What is written about it.
    modules
        How many there are.
    front
        mm from the origin to the modules' front, along their normals.
    rows
        Ruler of all rows, along z.
    columns
        Ruler of each layer's columns, along t.

    Attributes
    ----------
    planes
        (layers,) mm from the origin to the middle of each layer, along the normals.
    widths
        (layers,) number of columns.
    half_length
        Largest abs(z) (mm) of any cell.
    """

    kind, conditions = "layers", CONDITIONS
    # What is known of the cells around a shower is a hundred times what it is for crystals.
    showers_at_once: int | None = 256
    description: Description
    face: Face
    half_length: float
    delays_after_light: bool = True

    def __init__(
        self,
        description: Description,
        modules: int,
        front: float,
        rows: Ruler,
        columns: Sequence[Ruler],
    ) -> None:
        self.description = d = description
        self.name, self.collection = d.name, d.collection
        self.noise_key = noise_key_of(d.name)
        self.encoding = CellIDEncoding(d.encoding)
        self.magnetic_field, self.mip = d.magnetic_field, d.mip
        self.front = front
        self.planes: Floats = front + np.array(d.depths)
        self.n_modules, self.n_layers = modules, len(self.planes)
        self.rows = rows
        self._column_rulers = list(columns)
        self.widths = np.array([len(ruler) for ruler in self._column_rulers])
        self._most_columns = int(self.widths.max())

    # --- what barrels and endcaps differ in ---------------------------------------------------

    @property
    @abstractmethod
    def outline(self) -> tuple[Floats, ...]:
        """See `Calorimeter`."""

    @property
    @abstractmethod
    def module_numbers(self) -> tuple[str, Indices]:
        """Field of the cell ID that numbers modules, and the number (modules,) of each."""

    @abstractmethod
    def to_local(self, module: Indices, vectors: Floats) -> Floats:
        """(N, 3) vectors (n, t, z) in the frames of modules (N,), of world vectors (N, 3)."""

    @abstractmethod
    def to_world(self, module: Indices, vectors: Floats) -> Floats:
        """(N, 3) world vectors of vectors (n, t, z) in the frames of modules (N,)."""

    @abstractmethod
    def module_at(self, points: Floats) -> Indices:
        """Modules (N,) that hold points (N, 3), -1 where none does."""

    @abstractmethod
    def in_front(self, points: Floats) -> Mask:
        """See `Calorimeter`."""

    @abstractmethod
    def behind(self, points: Floats) -> Mask:
        """See `Calorimeter`."""

    @abstractmethod
    def encloses(self, points: Floats) -> Mask:
        """See `Calorimeter`."""

    @property
    @abstractmethod
    def _blocks(self) -> tuple[Floats, Floats, Indices]:
        """Convex blocks that modules are made of.

        Returns
        -------
        normals, offsets
            (blocks, faces, 3) and (blocks, faces) mm: outward normals, and distances along them.
        module
            (blocks,) that each belongs to.
        """

    # --- shape ------------------------------------------------------------------------------

    @property
    def beyond(self) -> tuple[LayeredCalorimeter, ...]:
        """See `Calorimeter`: none."""
        return ()

    @property
    def n_cells(self) -> int:
        """Number of cells, those places counted that only the widest layer has."""
        return self.n_modules * self.n_layers * self._most_columns * len(self.rows)

    def has(self, _module: Indices, layer: Indices, column: Indices, row: Indices) -> Mask:
        """Whether layers (N,) of modules (N,) have a cell of these columns and rows (N,)."""
        there = (column >= 0) & (column < self.widths[layer])
        return there & (row >= 0) & (row < len(self.rows))

    # --- entering ---------------------------------------------------------------------------

    def expected_deposits(self, momentum: Floats) -> Floats:
        """See `Calorimeter`."""
        return 75.0 * momentum**0.7

    def first_cell(self, points: Floats, directions: Floats) -> Entry:
        """See `Calorimeter`: the cell behind where a line enters a module, through whichever face.

        It is the cell that is nearest to the line where that crosses the next layer, or the first
        layer for lines that come in behind all.
        """
        normals, offsets, owner = self._blocks
        speed = np.einsum("mfc,nc->nmf", normals, directions)
        gap = offsets - np.einsum("mfc,nc->nmf", normals, points)
        entered, left = crossings(speed, gap)
        entered[left <= 0] = np.inf
        block = entered.argmin(1)
        distance = entered[np.arange(len(points)), block]
        cell = np.full(len(points), -1, np.int64)
        hit = np.flatnonzero(np.isfinite(distance))
        where = points[hit] + distance[hit, None] * directions[hit]
        cell[hit] = self._cell_behind(owner[block[hit]], where, directions[hit])
        return Entry(cell, distance)

    def _cell_behind(self, module: Indices, points: Floats, directions: Floats) -> Indices:
        n, t, z = self.to_local(module, points).T
        along = self.to_local(module, directions)
        layer = np.searchsorted(self.planes, n - ROUNDING)
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
        place, row = parted(cells, len(self.rows))
        place, column = parted(place, self._most_columns)
        module, layer = parted(place, self.n_layers)
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

    @abstractmethod
    def centre(self, cells: Indices) -> Floats:
        """See `Calorimeter`."""

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
                n - self.front,
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
        line, row = parted(cells, len(self.rows))
        of_lines, of_rows = self._ids
        return of_lines.take(line) + of_rows.take(row)

    @cached_property
    def _ids(self) -> tuple[IDs, IDs]:
        """What lines of cells, and rows, add to cell IDs."""
        of_rows = self.rows.fields
        first = np.arange(self.n_modules * self.n_layers * self._most_columns) * len(self.rows)
        module, layer, column, _ = self.place(first)
        d, (of_modules, numbers) = self.description, self.module_numbers
        fields = {name: np.full(len(first), value) for name, value in d.constants.items()}
        fields |= {of_modules: numbers[module], "layer": layer}
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
        ids = np.asarray(cell_ids, np.uint64)
        of_modules, numbers = self.module_numbers
        number, layer = (self.encoding.decode(ids, name) for name in (of_modules, "layer"))
        order = numbers.argsort()
        place = np.searchsorted(numbers[order], number).clip(max=self.n_modules - 1)
        module = order[place]
        column, row = self._from_fields(ids, layer)
        possible = (numbers[module] == number) & (layer < self.n_layers)
        layer = np.where(possible, layer, 0)
        possible &= self.has(module, layer, column, row)
        zeros = [np.where(possible, place, 0) for place in (module, layer, column, row)]
        cells = self.cell(*zeros)
        return np.where(possible & (self.cell_id(cells) == ids), cells, -1)

    def _from_fields(self, ids: IDs, layer: Indices) -> tuple[Indices, Indices]:
        """Column and row that the fields of cell IDs name; any number where they name none."""
        cells, decode = self.description.cells, self.encoding.decode
        assert isinstance(cells, Grid)  # noqa: S101 - what has others says how they are numbered
        column, row = cells.fields["column"], cells.fields["row"]
        first = np.array([ruler.fields[column][0] for ruler in self._column_rulers])
        layer = np.clip(layer, 0, self.n_layers - 1)
        return decode(ids, column) - first[layer], decode(ids, row) - self.rows.fields[row][0]


def parted(numbers: Indices, size: int) -> tuple[Indices, Indices]:
    """Quotients and rests: a tenth of the time of `numpy.divmod`."""
    quotient = numbers // size
    return quotient, numbers - quotient * size

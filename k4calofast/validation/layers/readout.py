"""Showers in layers as a calorimeter sees them: hits in cells, above a threshold.

Full simulation has deposits in small cells, "pixels"; the calorimeter's cells lie anywhere on them.
Where, the phase says: by how many pixels borders of cells are moved from where the particle enters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from k4calofast.detector import LayeredBarrel
from k4calofast.exceptions import FileFormatError
from k4calofast.generator import Generated, Generator, ShowerKeys, generate
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.showers.layers import CellsOfPixels, LayerShowers

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_AT_ONCE = 128
"""Showers that are looked at together, so that memory stays small."""

_ROUNDING = 1e-6


@dataclass(frozen=True)
class SeenShowers:
    """N showers with H hits.

    Attributes
    ----------
    pdg, momentum, angle_t, angle_z
        (N,) the particles: PDG number, GeV and rad, as in `LayerShowers`.
    outside
        (N,) GeV outside the windows, where that is known: 0 of generators.
    offsets
        (N + 1,) the hits of shower i are ``offsets[i]:offsets[i + 1]``.
    layer, column, row
        (H,) layer, and place in its window.
    x, y
        (H,) mm across and along the beam: the cell's centre less where the particle's line crosses
        the layer.
    energy
        (H,) GeV.
    delay
        (H,) ns after light could have come straight from where the particle entered.
    """

    pdg: npt.NDArray[np.int32]
    momentum: Floats
    angle_t: Floats
    angle_z: Floats
    outside: Floats
    offsets: Indices
    layer: Indices
    column: Indices
    row: Indices
    x: Floats
    y: Floats
    energy: Floats
    delay: Floats

    def __len__(self) -> int:
        return len(self.pdg)

    @property
    def shower(self) -> Indices:
        """(H,) whose hits they are."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, rows: npt.NDArray[np.bool_] | Indices) -> SeenShowers:
        """Return the showers of these rows."""
        kept = np.arange(len(self))[rows]
        counts = np.diff(self.offsets)[kept]
        offsets = np.append(0, np.cumsum(counts))
        hits = np.arange(offsets[-1]) + np.repeat(self.offsets[kept] - offsets[:-1], counts)
        return SeenShowers(
            **{name: getattr(self, name)[kept] for name in _OF_SHOWERS},
            offsets=offsets,
            **{name: getattr(self, name)[hits] for name in _OF_HITS},
        )

    @staticmethod
    def concatenate(parts: list[SeenShowers]) -> SeenShowers:
        """Return the showers of several, one after the other."""
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        return SeenShowers(
            offsets=np.append(0, np.cumsum(counts)),
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in (*_OF_SHOWERS, *_OF_HITS)
            },
        )


_OF_SHOWERS = ("pdg", "momentum", "angle_t", "angle_z", "outside")
_OF_HITS = tuple(
    field.name for field in fields(SeenShowers) if field.name not in (*_OF_SHOWERS, "offsets")
)


@dataclass(frozen=True)
class Readout:
    """What reads showers out.

    Attributes
    ----------
    barrel
        Its layers.
    pixels
        Pixels in a cell.
    window
        Columns, and rows, of the window in each layer; odd.
    threshold
        GeV; hits with less are not seen.
    """

    barrel: LayeredBarrel
    pixels: int
    window: int
    threshold: float

    @staticmethod
    def of(barrel: LayeredBarrel, pitch: float, window: int, threshold: float) -> Readout:
        """Return the readout of a barrel.

        Parameters
        ----------
        pitch
            Size of pixels (mm).
        window
            Columns, and rows.
        threshold
            MIPs.

        Raises
        ------
        FileFormatError
            If no whole number of pixels makes a cell.
        """
        cell = 2 * float(barrel.rows.half[0])
        pixels = round(cell / pitch)
        if pixels < 1 or abs(pixels * pitch - cell) > _ROUNDING * cell:
            raise FileFormatError(
                f"a cell of {barrel.name}, {cell:.6g} mm, is no whole number of the reference's "
                f"small cells, {pitch:.6g} mm"
            )
        return Readout(barrel, pixels, window, threshold * barrel.mip)

    @property
    def cell(self) -> float:
        """Size of a cell (mm)."""
        return 2 * float(self.barrel.rows.half[0])

    @property
    def cells(self) -> CellsOfPixels:
        """Which pixels make a cell."""
        return CellsOfPixels(self.cell, self.pixels)

    @property
    def depth(self) -> Floats:
        """(L,) mm behind the front, of the middle of each layer."""
        return self.barrel.planes - self.barrel.face.radius

    @property
    def places(self) -> int:
        """Number of places in the windows of a shower."""
        return self.barrel.n_layers * self.window**2

    def parted(self, key: Indices) -> tuple[Indices, Indices, Indices, Indices]:
        """Shower, layer, column and row (D,) of places (D,), counted on from shower to shower."""
        rest, row = np.divmod(key, self.window)
        rest, column = np.divmod(rest, self.window)
        shower, layer = np.divmod(rest, self.barrel.n_layers)
        return shower, layer, column, row

    def phases(self, count: int, seed: int) -> Indices:
        """Random phases (count, 2), in pixels."""
        return np.random.default_rng(seed).integers(0, self.pixels, (count, 2))

    def windows(self, showers: LayerShowers, phase: Indices) -> Windows:
        """Return the windows of showers (N,) whose cells lie at phases (N, 2)."""
        slope = np.tan(np.stack([showers.angle_t, showers.angle_z], axis=1))
        line = self.depth[None, :, None] * slope[:, None]
        middle = self.cells.at(line, phase[:, None])
        centre = self.cells.centre(middle, phase[:, None]) - line
        return Windows(self, phase, line, middle.astype(np.int64), centre)


@dataclass(frozen=True)
class Windows:
    """Windows of N showers in all layers.

    Attributes
    ----------
    readout
        See there.
    phase
        (N, 2) pixels by which borders of cells are moved from where the particle enters.
    line
        (N, L, 2) mm across and along the beam: where the particle's line crosses layers, from where
        it enters.
    middle, centre
        (N, L, 2) column and row of each window's middle cell, and its centre (mm) less the line.
    """

    readout: Readout
    phase: Indices
    line: Floats
    middle: Indices
    centre: Floats

    @property
    def places(self) -> Floats:
        """(N, L, 2, S) mm: centres of columns and of rows, less the line."""
        size = self.readout.window
        steps = (np.arange(size) - size // 2) * self.readout.cell
        return self.centre[..., None] + steps

    @property
    def inputs(self) -> dict[str, npt.NDArray[np.float32]]:
        """What a generator is told of the cells: ``t`` and ``z``."""
        places = self.places.astype(np.float32)
        return {"t": places[:, :, 0], "z": places[:, :, 1]}

    def at(
        self, shower: Indices, layer: Indices, column: Indices, row: Indices
    ) -> tuple[Floats, Floats]:
        """Centres (D,) of cells across and along the beam (mm), less the line."""
        readout = self.readout
        x, y = (
            self.centre[shower, layer, axis] + (cell - readout.window // 2) * readout.cell
            for axis, cell in enumerate((column, row))
        )
        return x, y

    @property
    def offsets(self) -> Floats:
        """(N, 2) mm: where the particle enters, less the centre of the cell that is there."""
        cells = self.readout.cells
        offsets: Floats = -cells.centre(cells.at(0.0, self.phase), self.phase)
        return offsets


def full_simulation(showers: LayerShowers, readout: Readout, seed: int) -> SeenShowers:
    """Return the hits of full simulation, in cells whose phases are drawn with a seed."""
    phase = readout.phases(len(showers), seed)
    found = []
    for rows in _parts(len(showers)):
        part = showers.take(rows)
        found.append(_simulated(part, readout.windows(part, phase[rows])))
    return SeenShowers.concatenate(found)


def generator(model: Generator, showers: LayerShowers, readout: Readout, seed: int) -> SeenShowers:
    """Return a generator's hits for the particles of showers.

    Cells are those of `full_simulation` with this seed, which is that of the noise, too.

    Raises
    ------
    ModelError
        If what it gives cannot be showers.
    """
    phase, numbers = readout.phases(len(showers), seed), np.arange(len(showers))
    found = []
    for rows in _parts(len(showers)):
        part = showers.take(rows)
        windows = readout.windows(part, phase[rows])
        made = called(model, part, windows, numbers[rows], seed)
        key = made.shower * readout.places + made.place
        found.append(_hits(part, windows, *_merged(key, made.energy, made.delay)))
    return SeenShowers.concatenate(found)


def summed(where: Indices, values: npt.NDArray[np.floating], count: int) -> Floats:
    """Sums (count,) of values (D,) that belong to numbers (D,) below `count`."""
    return np.asarray(np.bincount(where, values.astype(np.float64), count), np.float64)


def conditions(showers: LayerShowers, windows: Windows) -> Floats:
    """Conditions (N, 6) of showers that enter at the front, as the barrel's `conditions`."""
    particle = (showers.momentum, showers.angle_t, showers.angle_z)
    return np.stack([*particle, *windows.offsets.T, np.zeros(len(showers))], axis=1)


def called(
    model: Generator, showers: LayerShowers, windows: Windows, numbers: Indices, seed: int
) -> Generated:
    """Call a generator once.

    Parameters
    ----------
    numbers
        (N,) of the showers in their sample: noise belongs to them.
    seed
        Of the noise.

    Raises
    ------
    ModelError
        If what it gives cannot be showers.
    """
    keys, card = ShowerKeys.of_sample(numbers, seed), model.card
    found = generate(model, showers.pdg, conditions(showers, windows), keys, windows)
    found.check(card.name, len(showers), math.prod(card.window))
    return found


def _simulated(showers: LayerShowers, windows: Windows) -> SeenShowers:
    """Hits of full simulation, in windows."""
    readout = windows.readout
    size, half = readout.window, readout.window // 2
    shower = np.repeat(np.arange(len(showers)), np.diff(showers.offsets))
    layer = showers.layer.astype(np.int64)
    column, row = (
        readout.cells.of(pixels.astype(np.int64), windows.phase[shower, axis])
        - windows.middle[shower, layer, axis]
        + half
        for axis, pixels in enumerate((showers.column, showers.row))
    )
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    outside = summed(shower[~inside], showers.energy[~inside], len(showers))
    place = (layer * size + column) * size + row
    key = (shower * readout.places + place)[inside]
    key, energy, time = _merged(key, showers.energy[inside], showers.time[inside])
    shower, layer, column, row = readout.parted(key)
    x, y = windows.at(shower, layer, column, row)
    across, along = (windows.line[shower, layer, axis] for axis in (0, 1))
    way = np.sqrt(readout.depth[layer] ** 2 + (x + across) ** 2 + (y + along) ** 2)
    delay = np.maximum(time - way / LIGHT_SPEED, 0.0)
    return replace(_hits(showers, windows, key, energy, delay), outside=outside)


def _merged(
    key: Indices, energy: npt.NDArray[np.floating], time: npt.NDArray[np.floating]
) -> tuple[Indices, Floats, Floats]:
    """Different keys, the sums of their energies, and the earliest of their times."""
    found, of = np.unique(key, return_inverse=True)
    first = np.full(len(found), np.inf)
    np.minimum.at(first, of, time.astype(np.float64))
    return found, summed(of, energy, len(found)), first


def _hits(
    showers: LayerShowers, windows: Windows, key: Indices, energy: Floats, delay: Floats
) -> SeenShowers:
    """Hits at places, counted on from shower to shower; those below the threshold are left out."""
    lit = energy >= windows.readout.threshold
    shower, layer, column, row = windows.readout.parted(key[lit])
    x, y = windows.at(shower, layer, column, row)
    counts = np.bincount(shower, minlength=len(showers))
    return SeenShowers(
        showers.pdg,
        showers.momentum,
        showers.angle_t,
        showers.angle_z,
        np.zeros(len(showers)),
        np.append(0, np.cumsum(counts)),
        layer,
        column,
        row,
        x,
        y,
        energy[lit],
        delay[lit],
    )


def _parts(count: int) -> list[slice]:
    return [slice(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE)]

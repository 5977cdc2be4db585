"""Showers in layers as a calorimeter sees them: hits in cells, above a threshold.

Full simulation has deposits in small cells, "pixels"; the calorimeter's cells lie anywhere on them.
Where, the phase says: by how many pixels borders of cells are moved from where the particle enters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from k4calofast import detector
from k4calofast.arrays import Floats, Indices
from k4calofast.detector import LayeredCalorimeter
from k4calofast.exceptions import FileFormatError, ModelError
from k4calofast.generator import Generated, Generator, ShowerKeys, generate
from k4calofast.generator.card import ModelCard
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.showers.layers import CellsOfPixels, LayerProvenance, LayerShowers
from k4calofast.showers.reading import Source
from k4calofast.validation.layers.hits import SeenShowers, summed
from k4calofast.validation.layers.observables import observables
from k4calofast.validation.reference import Call
from k4calofast.validation.results import Sample

_AT_ONCE = 128
"""Showers that are looked at together, so that memory stays small."""

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Readout:
    """What reads showers out.

    Attributes
    ----------
    calorimeter
        Its layers.
    pixels
        Pixels in a cell.
    window
        Columns, and rows, of the window in each layer; odd.
    threshold
        GeV; hits with less are not seen.
    """

    calorimeter: LayeredCalorimeter
    pixels: int
    window: int
    threshold: float

    @staticmethod
    def of(calorimeter: LayeredCalorimeter, pitch: float, window: int, threshold: float) -> Readout:
        """Return the readout of a calorimeter.

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
        cell = 2 * float(calorimeter.rows.half[0])
        pixels = round(cell / pitch)
        if pixels < 1 or abs(pixels * pitch - cell) > _ROUNDING * cell:
            raise FileFormatError(
                f"a cell of {calorimeter.name}, {cell:.6g} mm, is no whole number of the "
                f"reference's small cells, {pitch:.6g} mm"
            )
        return Readout(calorimeter, pixels, window, threshold * calorimeter.mip)

    @property
    def cell(self) -> float:
        """Size of a cell (mm)."""
        return 2 * float(self.calorimeter.rows.half[0])

    @property
    def cells(self) -> CellsOfPixels:
        """Which pixels make a cell."""
        return CellsOfPixels(self.cell, self.pixels)

    @property
    def depth(self) -> Floats:
        """(L,) mm behind the front, of the middle of each layer."""
        return self.calorimeter.planes - self.calorimeter.front

    @property
    def places(self) -> int:
        """Number of places in the windows of a shower."""
        return self.calorimeter.n_layers * self.window**2

    def parted(self, key: Indices) -> tuple[Indices, Indices, Indices, Indices]:
        """Shower, layer, column and row (D,) of places (D,), counted on from shower to shower."""
        rest, row = np.divmod(key, self.window)
        rest, column = np.divmod(rest, self.window)
        shower, layer = np.divmod(rest, self.calorimeter.n_layers)
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

    def conditions(self, showers: LayerShowers, seed: int) -> Floats:
        """Conditions (N, 6) of showers that enter at the front."""
        return conditions(showers, self.windows(showers, self.phases(len(showers), seed)))

    def simulated(self, showers: LayerShowers, seed: int) -> SeenShowers:
        """Return the hits of full simulation, in cells whose phases are drawn with a seed."""
        phase = self.phases(len(showers), seed)
        found = []
        for rows in _parts(len(showers)):
            part = showers.take(rows)
            found.append(_simulated(part, self.windows(part, phase[rows])))
        return SeenShowers.concatenate(found)

    def generated(self, model: Generator, showers: LayerShowers, seed: int) -> SeenShowers:
        """Return a generator's hits for the particles of showers.

        Cells are those of `simulated` with this seed, which is that of the noise, too.

        Raises
        ------
        ModelError
            If what it gives cannot be showers.
        """
        phase, numbers = self.phases(len(showers), seed), np.arange(len(showers))
        found = []
        for rows in _parts(len(showers)):
            part = showers.take(rows)
            windows = self.windows(part, phase[rows])
            made = called(model, part, windows, numbers[rows], seed)
            key = made.shower * self.places + made.place
            found.append(_hits(part, windows, *_merged(key, made.energy, made.delay)))
        return SeenShowers.concatenate(found)

    def observed(self, seen: SeenShowers) -> Sample:
        """What is observed of hits."""
        numbers, profiles = observables(seen, self.calorimeter.n_layers, self.calorimeter.mip)
        of_particles = np.stack([seen.momentum, seen.angle_t, seen.angle_z], axis=1)
        return Sample(seen, of_particles, numbers, self, profiles)

    def calls(self, model: Generator, showers: LayerShowers) -> Call:
        """Calls for showers that are chosen at random, the same every time, in random cells."""
        rng = np.random.default_rng(0)

        def prepared(_number: int, batch: int) -> Callable[[], object]:
            part = showers.take(rng.integers(0, len(showers), batch))
            windows = self.windows(part, rng.integers(0, self.pixels, (batch, 2)))
            return lambda: called(model, part, windows, np.arange(batch), 0)

        return prepared


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
    def inputs(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """What generators are told of the cells."""
        places = self.places.astype(np.float32)
        return {"t": places[:, :, 0], "z": places[:, :, 1]}

    @property
    def places(self) -> Floats:
        """(N, L, 2, S) mm: centres of columns and of rows, less the line."""
        size = self.readout.window
        steps = (np.arange(size) - size // 2) * self.readout.cell
        return self.centre[..., None] + steps

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


def conditions(showers: LayerShowers, windows: Windows) -> Floats:
    """Conditions (N, 6) of showers that enter at the front, as the calorimeter's `conditions`."""
    particle = (showers.momentum, showers.angle_t, showers.angle_z)
    return np.stack([*particle, *windows.offsets.T, np.zeros(len(showers))], axis=1)


def called(
    model: Generator, showers: LayerShowers, windows: Windows, numbers: Indices, seed: int
) -> Generated:
    """Call a generator once.

    Parameters
    ----------
    numbers, seed
        Of the noise: (N,) numbers of the showers in their sample.

    Raises
    ------
    ModelError
        If what it gives cannot be showers.
    """
    given = conditions(showers, windows)
    found = generate(model, showers.pdg, given, ShowerKeys.of_sample(numbers, seed), windows)
    found.check(model.card.name, len(showers), math.prod(model.card.window))
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


def readout(card: ModelCard, source: Source, threshold: float) -> Readout:
    """Return how showers are seen that a model is compared with.

    Parameters
    ----------
    threshold
        MIPs.

    Raises
    ------
    FileFormatError
        If no whole number of the reference's small cells makes a cell of the calorimeter.
    ModelError
        If the model is of no layered calorimeter.
    """
    calorimeter, provenance = detector.load(card.detector), source.provenance
    if not isinstance(calorimeter, LayeredCalorimeter) or not isinstance(
        provenance, LayerProvenance
    ):
        raise ModelError(f"model '{card.name}' does not generate showers in layers")
    return Readout.of(calorimeter, provenance.pitch, card.window[-1], threshold)

"""A sample of showers in layers as tensors, and what cells of any size and place make of it.

Samples hold deposits in pixels, a tenth of a cell wide, so that one shower can be seen by cells
that lie anywhere: the phase says where, in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from k4calofast.exceptions import TrainingError
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.showers.layers import PIXELS_PER_CELL, CellsOfPixels, LayerShowers
from k4calofast.training import family

PHASES = PIXELS_PER_CELL
"""Places, along a side, where a cell's border can be."""

ELECTRON, POSITRON, PHOTON = 11, -11, 22


def mirrors(pdg: Tensor, angle_z: Tensor) -> tuple[Tensor, Tensor]:
    """Which showers (N,) are seen mirrored across, and along the beam.

    The field is along the beam: mirrored along it, all stays the same. Mirrored across, it turns
    round, and a positron becomes an electron. (Photons' showers have more electrons than positrons
    and so care a little, too.)
    """
    return pdg == POSITRON, angle_z < 0


@dataclass(frozen=True)
class Layers:
    """The stack that showers are seen in.

    Attributes
    ----------
    depth
        (L,) mm behind the front, of the middle of each layer.
    cell
        Size of a cell (mm).
    mip
        GeV.
    """

    depth: Tensor
    cell: float
    mip: float

    def __len__(self) -> int:
        return len(self.depth)


@dataclass(frozen=True)
class Shape(family.Shape):
    """What a sample, and the size of the window, decide about a generator.

    Attributes
    ----------
    layers
        The stack.
    """

    layers: Layers


class Particles(NamedTuple):
    """N particles, mirrored.

    Attributes
    ----------
    momentum
        (N,) GeV.
    slope
        (N, 2) tangents of angle_t and angle_z.
    electron
        (N,) 1 for electrons, 0 for photons.
    """

    momentum: Tensor
    slope: Tensor
    electron: Tensor

    def take(self, rows: Tensor | slice) -> Particles:
        """Return some of them."""
        return Particles(*(column[rows] for column in self))


@dataclass(frozen=True)
class Cells:
    """Cells with energy, C of them, of n showers, in the order of shower, layer, column and row.

    Attributes
    ----------
    shower, layer, column, row
        (C,) which of the n showers; the layer; and where in its window.
    energy
        (C,) in units of a MIP.
    x, y
        (C,) mm: the cell's centre less where the particle's line crosses the layer.
    delay
        (C,) ns after light could have come straight from the front.
    middle
        (n, L, 2) mm: the centre of each window's middle cell, less the same.
    outside
        (n,) energy outside the windows.
    """

    shower: Tensor
    layer: Tensor
    column: Tensor
    row: Tensor
    energy: Tensor
    x: Tensor
    y: Tensor
    delay: Tensor
    middle: Tensor
    outside: Tensor


@dataclass(frozen=True)
class LayeredSample:
    """N showers with P deposits, mirrored as `mirrors` says.

    Attributes
    ----------
    pdg
        (N,) 22 or 11.
    momentum
        (N,) GeV.
    slope
        (N, 2) tangents of angle_t and angle_z.
    offsets
        (N + 1,) deposits of shower i are ``offsets[i]:offsets[i + 1]``.
    layer, column, row
        (P,) where: the layer, and the pixel from where the particle enters.
    energy, time
        (P,) MIPs, and ns after the particle was at the front.
    layers
        The stack.
    """

    pdg: Tensor
    momentum: Tensor
    slope: Tensor
    offsets: Tensor
    layer: Tensor
    column: Tensor
    row: Tensor
    energy: Tensor
    time: Tensor
    layers: Layers

    def __len__(self) -> int:
        return len(self.pdg)

    def to(self, device: torch.device) -> LayeredSample:
        """Return the showers on a device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if field.name != "layers"
        }
        return replace(self, **moved)

    @staticmethod
    def of(showers: LayerShowers, layers: Layers) -> LayeredSample:
        """Mirror showers.

        Raises
        ------
        TrainingError
            If there are kinds of particles that are not known here, or no showers.
        """
        unknown = set(np.unique(showers.pdg).tolist()) - {ELECTRON, POSITRON, PHOTON}
        if unknown or not len(showers):
            raise TrainingError(f"showers of the kinds {sorted(unknown)} cannot be trained on")
        pdg = torch.from_numpy(showers.pdg.astype(np.int64))
        angles = [torch.from_numpy(angle) for angle in (showers.angle_t, showers.angle_z)]
        flips = mirrors(pdg, angles[1])
        counts = torch.from_numpy(np.diff(showers.offsets))
        slope = torch.stack(
            [torch.where(flip, -one, one).tan() for flip, one in zip(flips, angles, strict=True)], 1
        )
        column, row = (
            _flipped(torch.from_numpy(pixels.astype(np.int32)), flip.repeat_interleave(counts))
            for flip, pixels in zip(flips, (showers.column, showers.row), strict=True)
        )
        return LayeredSample(
            torch.where(pdg == PHOTON, PHOTON, ELECTRON),
            torch.from_numpy(showers.momentum.astype(np.float32)),
            slope.float(),
            torch.from_numpy(showers.offsets),
            torch.from_numpy(showers.layer.astype(np.int64)),
            column,
            row,
            torch.from_numpy(showers.energy / np.float32(layers.mip)),
            torch.from_numpy(showers.time),
            layers,
        )

    def particles(self, rows: Tensor) -> Particles:
        """Return the particles of showers (n,)."""
        electron = (self.pdg[rows] == ELECTRON).float()
        return Particles(self.momentum[rows], self.slope[rows], electron)

    def cells(self, rows: Tensor, phase: Tensor, size: int, threshold: float) -> Cells:
        """Cells of showers, as cells that lie at phases see them.

        Parameters
        ----------
        rows
            (n,) of the sample.
        phase
            (n, 2) pixels, 0 to `PHASES` - 1, by which borders of cells are moved.
        size
            Columns, and rows, of a window; odd.
        threshold
            MIPs; cells with less are empty.
        """
        start, counts = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        shower = torch.arange(len(rows)).repeat_interleave(counts)
        first = torch.cumsum(counts, 0) - counts
        points = torch.arange(len(shower)) + (start - first)[shower]
        layer = self.layer[points]
        half = size // 2
        line = self.layers.depth[None, :, None] * self.slope[rows][:, None]
        of_pixels = CellsOfPixels(self.layers.cell, PHASES)
        middle = of_pixels.at(line, phase[:, None])
        centre = of_pixels.centre(middle, phase[:, None]) - line
        middle = middle.long()
        places = []
        for axis, pixels in enumerate((self.column, self.row)):
            cell = of_pixels.of(pixels[points], phase[shower, axis])
            places.append(cell - middle[shower, layer, axis] + half)
        column, row = places
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        energy = self.energy[points]
        outside = torch.zeros(len(rows)).index_add_(0, shower[~inside], energy[~inside])
        key = ((shower * len(self.layers) + layer) * size + column) * size + row
        found, of = torch.unique(key[inside], return_inverse=True)
        total = torch.zeros(len(found)).index_add_(0, of, energy[inside])
        first_time = torch.full((len(found),), torch.inf).scatter_reduce_(
            0, of, self.time[points][inside], "amin"
        )
        lit = total > threshold
        found, total, first_time = found[lit], total[lit], first_time[lit]
        rest, row = found.div(size, rounding_mode="floor"), found % size
        rest, column = rest.div(size, rounding_mode="floor"), rest % size
        shower, layer = rest.div(len(self.layers), rounding_mode="floor"), rest % len(self.layers)
        x = centre[shower, layer, 0] + (column - half) * self.layers.cell
        y = centre[shower, layer, 1] + (row - half) * self.layers.cell
        at = torch.stack([x, y], 1) + line[shower, layer]
        way = torch.sqrt(self.layers.depth[layer] ** 2 + (at**2).sum(1))
        delay = (first_time - way / LIGHT_SPEED).clamp(min=0.0)
        return Cells(shower, layer, column, row, total, x, y, delay, centre, outside)


def _flipped(pixels: Tensor, flip: Tensor) -> Tensor:
    """Pixels (P,) as seen in a mirror at where the particle enters, where that is so."""
    return torch.where(flip, -1 - pixels, pixels)

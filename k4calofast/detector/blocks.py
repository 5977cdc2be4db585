"""Convex blocks, such as crystals: a front polygon, a back polygon, and sides between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.detector.face import crossings

_OF_A_PLANE = np.array([0, 1, 2, 3])
"""Corners of a polygon from which its plane is taken."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """B convex blocks with up to k sides.

    Parameters
    ----------
    corners
        (B, 2 k, 3) mm: those of the front, one after the other around it, then those behind them
        in the same order. Blocks with fewer sides have their last corners again.
    sides
        (B,) number of sides of each, at least 4.
    """

    corners: Floats = field(repr=False)
    sides: Indices = field(repr=False)

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def most_sides(self) -> int:
        """How many corners a front has in `corners`."""
        return int(self.corners.shape[1]) // 2

    @cached_property
    def _real(self) -> Mask:
        """(B, 2 k, 1) whether corners are no repetitions."""
        front = np.arange(self.most_sides) < self.sides[:, None]
        return np.tile(front, 2)[..., None]

    @cached_property
    def front_centres(self) -> Floats:
        """(B, 3) mean of the corners of each front (mm)."""
        k = self.most_sides
        centres: Floats = self.corners[:, :k].mean(-2, where=self._real[:, :k])
        return centres

    @cached_property
    def centres(self) -> Floats:
        """(B, 3) mean of each block's corners (mm)."""
        centres: Floats = self.corners.mean(-2, where=self._real)
        return centres

    @cached_property
    def axes(self) -> Floats:
        """(B, 3) from the centre of each front to that of its block (mm)."""
        return self.centres - self.front_centres

    @cached_property
    def axis_angles(self) -> tuple[Floats, Floats]:
        """Theta and phi, (B,) each, of the axes (rad)."""
        axis = self.axes
        theta = np.arctan2(np.hypot(axis[:, 0], axis[:, 1]), axis[:, 2])
        return theta, np.arctan2(axis[:, 1], axis[:, 0])

    @cached_property
    def planes(self) -> tuple[Floats, Floats]:
        """Outward unit normals (B, k + 2, 3) and offsets (B, k + 2): front, back, sides (mm)."""
        k = self.most_sides
        side = np.arange(k)
        after = (side + 1) % k
        between = np.stack([side, after, k + after, k + side], axis=1)
        faces = np.concatenate([[_OF_A_PLANE, k + _OF_A_PLANE], between])
        corners = self.corners[:, faces, :]
        # Where there is no such side, the front does no harm a second time.
        none = (side >= self.sides[:, None] - 1) & (side < k - 1)
        corners[:, 2:][none] = np.repeat(corners[:, :1], k, axis=1)[none]
        # Diagonals give the best plane of four corners that are not quite in one plane.
        normals = np.cross(corners[:, :, 2] - corners[:, :, 0], corners[:, :, 3] - corners[:, :, 1])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        middles = corners.mean(-2)
        outward = ((middles - self.centres[:, None]) * normals).sum(-1)
        normals *= np.sign(outward)[..., None]
        return normals, (middles * normals).sum(-1)

    def crossings(
        self, blocks: Indices, points: Floats, directions: Floats
    ) -> tuple[Floats, Floats]:
        """Distances (N, candidates) at which lines enter and leave blocks.

        Parameters
        ----------
        blocks
            (N, candidates) for each line.
        points, directions
            (N, 3) mm and unit vectors.

        Returns
        -------
        entered, left
            See `k4calofast.detector.face.crossings`.
        """
        normals, offsets = self.planes
        speed = np.einsum("nkfc,nc->nkf", normals[blocks], directions)
        gap = offsets[blocks] - np.einsum("nkfc,nc->nkf", normals[blocks], points)
        return crossings(speed, gap)

    def depth(self, blocks: Indices, points: Floats) -> Floats:
        """Distance (N,) in mm of points (N, 3) from the fronts of blocks (N,), along the axes."""
        normals, offsets = self.planes
        normal = normals[blocks, 0]
        axis = self.axes[blocks]
        axis = axis / np.linalg.norm(axis, axis=1, keepdims=True)
        behind = offsets[blocks, 0] - (points * normal).sum(1)
        depth: Floats = behind / -(axis * normal).sum(1)
        return depth

    def outside(self, blocks: Indices, points: Floats) -> Floats:
        """How far (N,) in mm points (N, 3) are outside of blocks (N,); negative inside."""
        normals, offsets = self.planes
        apart = np.einsum("nfc,nc->nf", normals[blocks], points) - offsets[blocks]
        outside: Floats = apart.max(1)
        return outside

"""Layered endcaps: a polygonal plate at either end, with a hole for the beam.

At positive z, the frame (n, t, z) of a plate has n along the beam, t at the azimuth `turn` of the
description and z a quarter of a turn farther. At negative z, n points there, t is the opposite of
what it is at the other end, and z is the same. See `LayeredCalorimeter` for what they are.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.detector.description import EndcapDescription
from k4calofast.detector.face import Discs
from k4calofast.detector.layers import FACE_TOLERANCE, LayeredCalorimeter
from k4calofast.detector.rulers import grid


class LayeredEndcaps(LayeredCalorimeter):
    """Both endcaps, each of which is a module.

    Parameters
    ----------
    description
        What is written about them.

    Attributes
    ----------
    frames
        (2, 3, 3) unit vectors n, t and z (world) of both plates.
    outer_radius
        Largest distance from the beam (mm) of what is in a plate.
    """

    description: EndcapDescription
    face: Discs

    def __init__(self, description: EndcapDescription) -> None:
        d, plates = description, description.plates
        cos, sin = np.cos(np.deg2rad(plates.turn)), np.sin(np.deg2rad(plates.turn))
        along, across = np.array([cos, sin, 0.0]), np.array([-sin, cos, 0.0])
        beam = np.array([0.0, 0.0, 1.0])
        self.frames: Floats = np.array([[beam, along, across], [-beam, -along, across]])
        normals = np.deg2rad(plates.angle + 360 / plates.sides * np.arange(plates.sides))
        self._sides = np.stack([np.cos(normals), np.sin(normals)], axis=1)
        self.half_length = d.distance + d.thickness
        self.outer_radius = plates.corner
        self.face = Discs(d.distance, self.half_length, plates.inner, self.outer_radius)
        fields, reach = d.cells.fields, self.outer_radius
        rows = grid(d.cells.size, -reach, reach, fields["row"])
        columns = grid(d.cells.size, -reach, reach, fields["column"])
        super().__init__(d, 2, d.distance, rows, [columns] * len(d.depths))

    @property
    def module_numbers(self) -> tuple[str, Indices]:
        """See `LayeredCalorimeter`."""
        plates = self.description.plates
        return plates.field, np.array(plates.numbers)

    def has(self, module: Indices, layer: Indices, column: Indices, row: Indices) -> Mask:
        """See `LayeredCalorimeter`: cells that a plate reaches into."""
        there = super().has(module, layer, column, row)
        rows = np.flatnonzero(there)
        there[rows] = self._existing[module[rows], column[rows], row[rows]]
        return there

    @cached_property
    def _existing(self) -> Mask:
        """(2, columns, rows) whether a plate reaches into the cell."""
        t, z = self.columns(0).centre[:, None], self.rows.centre
        half, plates = self.columns(0).step / 2, self.description.plates
        result = np.empty((2, len(t), len(z)), np.bool_)
        for module, frame in enumerate(self.frames):
            reaches, outside = np.ones_like(result[0]), np.zeros_like(result[0])
            for of_t, of_z in self._sides @ frame[1:, :2].T:
                middle, by = of_t * t + of_z * z, half * (abs(of_t) + abs(of_z))
                reaches &= middle - by < plates.outer
                outside |= middle + by > plates.inner
            result[module] = reaches & outside
        return result

    def _in_plate(self, points: Floats, margin: float = 0.0) -> Mask:
        """Whether points (N, 3) are beside the hole and within the plate, however far along z.

        Both are a margin (mm) wider.
        """
        away = (points[:, :2] @ self._sides.T).max(1)
        plates = self.description.plates
        inside: Mask = (away >= plates.inner - margin) & (away <= plates.outer + margin)
        return inside

    @property
    def _cut(self) -> float:
        """How far (mm) centres of cells may be from the plate that they reach into."""
        return self.columns(0).step * math.sqrt(0.5)

    # --- frames -----------------------------------------------------------------------------

    def to_local(self, module: Indices, vectors: Floats) -> Floats:
        """See `LayeredCalorimeter`."""
        local: Floats = np.einsum("nij,nj->ni", self.frames[module], vectors)
        return local

    def to_world(self, module: Indices, vectors: Floats) -> Floats:
        """See `LayeredCalorimeter`."""
        world: Floats = np.einsum("nij,ni->nj", self.frames[module], vectors)
        return world

    def module_at(self, points: Floats) -> Indices:
        """See `LayeredCalorimeter`."""
        z = points[:, 2]
        inside = (np.abs(z) >= self.front) & (np.abs(z) <= self.half_length)
        inside &= self._in_plate(points)
        return np.where(inside, (z < 0).astype(np.int64), -1)

    # --- entering ---------------------------------------------------------------------------

    def in_front(self, points: Floats) -> Mask:
        """See `Calorimeter`: between both plates' fronts, as far from the axis as any cell.

        What is in their holes, farther along the axis than the fronts, is not in front.
        """
        radius, z = np.hypot(points[:, 0], points[:, 1]), np.abs(points[:, 2])
        near = (z <= self.front) & (radius <= self.outer_radius)
        on_face = (z <= self.front + FACE_TOLERANCE) & self._in_plate(points)
        in_front: Mask = near | on_face
        return in_front

    def behind(self, points: Floats) -> Mask:
        """See `Calorimeter`: in the plates, or farther from the origin along z.

        Centres of cells that are cut at the edges are behind, too.
        """
        behind: Mask = np.abs(points[:, 2]) > self.front
        behind &= self._in_plate(points, self._cut)
        return behind & ~self.in_front(points)

    def encloses(self, points: Floats) -> Mask:
        """See `Calorimeter`."""
        radius = np.hypot(points[:, 0], points[:, 1])
        inside: Mask = radius < self.outer_radius + self._cut
        inside &= np.abs(points[:, 2]) < self.half_length
        return inside

    @cached_property
    def _blocks(self) -> tuple[Floats, Floats, Indices]:
        """See `LayeredCalorimeter`: a plate is cut from side to side, as its hole is not convex."""
        plates, count = self.description.plates, len(self._sides)
        turn = np.pi / count
        cos, sin = np.cos(turn), np.sin(turn)
        x, y = self._sides.T
        # Between the two half planes that are half a step away from a side's normal.
        left = np.stack([-x * sin - y * cos, x * cos - y * sin], axis=1)
        right = np.stack([-x * sin + y * cos, -x * cos - y * sin], axis=1)
        flat = np.stack([-self._sides, self._sides, left, right], axis=1)
        offset = np.array([-plates.inner, plates.outer, 0.0, 0.0, -self.front, self.half_length])
        normals = np.zeros((2, count, 6, 3))
        normals[:, :, :4, :2] = flat
        for module, along in enumerate((1.0, -1.0)):
            normals[module, :, 4, 2], normals[module, :, 5, 2] = -along, along
        owner = np.repeat(np.arange(2), count)
        return normals.reshape(-1, 6, 3), np.broadcast_to(offset, (2 * count, 6)), owner

    def _cell_behind(self, module: Indices, points: Floats, directions: Floats) -> Indices:
        """See `LayeredCalorimeter`: where the line leaves the plate before, what it enters at."""
        cells = super()._cell_behind(module, points, directions)
        _, layer, column, row = self.place(cells)
        rows = np.flatnonzero(~self.has(module, layer, column, row))
        local = self.to_local(module[rows], points[rows])
        column, row = self.columns(0).nearest(local[:, 1]), self.rows.nearest(local[:, 2])
        cells[rows] = self.cell(module[rows], layer[rows], column, row)
        return cells

    def centre(self, cells: Indices) -> Floats:
        """See `Calorimeter`."""
        module, layer, column, row = self.place(cells)
        t, z = self.columns(0).centre.take(column), self.rows.centre.take(row)
        beam, along, across = (self.frames[module, axis] for axis in range(3))
        centre = np.empty((3, len(cells)))
        for axis in range(2):
            centre[axis] = t * along[:, axis] + z * across[:, axis]
        centre[2] = self.planes.take(layer) * beam[:, 2]
        centre[:, ~self._existing[module, column, row]] = np.nan
        return centre.T

    def solids(self, cells: Indices) -> Floats:
        """See `Calorimeter`: of whole cells, where a plate's edge cuts them, too."""
        module, _, column, row = self.place(cells)
        solids = super().solids(cells)
        solids[~self._existing[module, column, row]] = np.nan
        return solids

    @property
    def outline(self) -> tuple[Floats, ...]:
        """See `Calorimeter`: edges of the plates and of their holes."""
        plates, step = self.description.plates, np.pi / len(self._sides)
        # Corners, and the middles of sides, where the hole is nearest to the beam.
        phi = np.deg2rad(plates.angle) + step * np.arange(2 * len(self._sides))
        away = np.where(np.arange(len(phi)) % 2, 1 / np.cos(step), 1.0)[:, None]
        corners = away * np.stack([np.cos(phi), np.sin(phi)], axis=1)
        lines = []
        for end in (1.0, -1.0):
            edges = [
                np.insert(size * corners, 2, end * z, axis=1)
                for size in (plates.inner, plates.outer)
                for z in (self.front, self.half_length)
            ]
            lines += [np.concatenate([edge, edge[:1]]) for edge in edges]
            inside, behind_inside, outside, behind_outside = (edge[1::2] for edge in edges)
            for one, other in (
                (inside, behind_inside),
                (outside, behind_outside),
                (inside, outside),
                (behind_inside, behind_outside),
            ):
                lines += list(np.stack([one, other], axis=1))
        return tuple(lines)

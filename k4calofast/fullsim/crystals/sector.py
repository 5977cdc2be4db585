"""Crystals of a barrel in Geant4: the real blocks at their real places, all rings, some columns.

A barrel of crystals looks the same from every column, so one sector serves all of phi: the
shower is turned to the sector's middle column, simulated there, and turned back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from k4calofast.arrays import Floats, Floats32, Indices
from k4calofast.detector.crystals import CrystalBarrel
from k4calofast.fullsim.simulation import CellEnergies, World
from k4calofast.incidence.transport import turned
from k4calofast.showers.crystals.windows import in_windows


@dataclass(frozen=True)
class CrystalSector:
    """All rings of a crystal barrel, with some columns around a middle one.

    Parameters
    ----------
    barrel
        The barrel.
    columns
        How many columns, odd.
    material
        NIST name of the crystals' material; around and between them is air. (In a vacuum, an
        electron that the field holds in a gap never stops.)
    elements
        Atomic numbers of that material and of air.
    """

    barrel: CrystalBarrel
    columns: int
    material: str
    elements: tuple[int, ...]

    @property
    def magnetic_field(self) -> float:
        """Along z (T)."""
        return self.barrel.magnetic_field

    def construct(self, g4: Any) -> tuple[World, list[Any]]:
        """Build the sector around column 0; see `k4calofast.fullsim.simulation.Volumes`."""
        side = self.barrel.outer_radius + 50.0
        world = World(g4, side, side, self.barrel.half_length + 50.0)
        material = world.nist.FindOrBuildMaterial(self.material)
        sensitive = []
        half = self.columns // 2
        for ring in range(self.barrel.n_rings):
            origin, rotation, half_depth, outline = _block(self.barrel.corners[ring, 0])
            corners = g4.G4TwoVectorVector([g4.G4TwoVector(x, y) for x, y in outline])
            volume = world.volume(g4.G4GenericTrap(f"crystal{ring}", half_depth, corners), material)
            sensitive.append(volume)
            for column in range(-half, half + 1):
                around_z = _turn(2 * np.pi * column / self.barrel.n_columns)
                place = g4.G4Transform3D(
                    _rotation_matrix(g4, around_z @ rotation), g4.G4ThreeVector(*around_z @ origin)
                )
                world.place(volume, place, copy=ring * self.columns + column + half)
        return world, sensitive

    def to_sector(self, cells: Indices, vectors: Floats) -> Floats:
        """Turn vectors (N, 3) so that the cells that are hit come to the middle column."""
        column = cells % self.barrel.n_columns
        return turned(vectors, -2 * np.pi * column / self.barrel.n_columns)

    def in_window(
        self, deposits: CellEnergies, cells: Indices, shape: tuple[int, int]
    ) -> tuple[Floats32, Floats32]:
        """Sort deposits into windows around the cells that were hit; see `in_windows`."""
        ring, column = np.divmod(deposits.cell, self.columns)
        column += cells[deposits.event] - self.columns // 2
        cell = ring * self.barrel.n_columns + column % self.barrel.n_columns
        return in_windows(self.barrel, cells, shape, deposits.event, cell, deposits.energy)


def _turn(angle: float) -> Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _block(corners: Floats) -> tuple[Floats, Floats, float, Floats]:
    """Describe a block with parallel front and back faces in its own frame.

    Returns
    -------
    origin
        (3,) world position of the frame, half way between the faces.
    rotation
        (3, 3) from the frame to the world; its third column is the way from front to back.
    half_depth
        Half the distance between the faces.
    outline
        (8, 2) corners of the front and of the back face in the frame, clockwise.
    """
    front, back = corners[:4], corners[4:]
    normal = np.cross(front[2] - front[0], front[3] - front[1])
    inward = normal / np.linalg.norm(normal)
    inward *= np.sign((back.mean(0) - front.mean(0)) @ inward)
    along = front[1] - front[0]
    x = along / np.linalg.norm(along)
    rotation = np.stack([x, np.cross(inward, x), inward], axis=1)
    depth = float((back.mean(0) - front.mean(0)) @ inward)
    origin = front.mean(0) + inward * depth / 2
    outline = _with_plane_sides(((corners - origin) @ rotation)[:, :2])
    x, y = outline[:4].T
    area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
    if area > 0:
        outline = np.concatenate([outline[3::-1], outline[:3:-1]])
    return origin, rotation, depth / 2, outline


def _with_plane_sides(outline: Floats) -> Floats:
    """Move the back corners of a block (8, 2) so that its sides are planes.

    Tables of corners are rounded: sides are twisted by nanometres to micrometres. G4GenericTrap
    takes such a side for a twisted surface, whose equation is then so nearly degenerate that it
    misses a quarter of the rays that come from outside. A side is a plane if its edges in front
    and at the back are parallel; the back's keep their middles.
    """
    front, back = outline[:4], outline[4:]
    middle = (back + np.roll(back, -1, axis=0)) / 2
    along = np.roll(front, -1, axis=0) - front
    before, start = np.roll(along, 1, axis=0), np.roll(middle, 1, axis=0)
    cross = before[:, 0] * along[:, 1] - before[:, 1] * along[:, 0]
    way = middle - start
    path = (way[:, 0] * along[:, 1] - way[:, 1] * along[:, 0]) / cross
    return np.concatenate([front, start + path[:, None] * before])


def _rotation_matrix(g4: Any, rotation: Floats) -> Any:
    matrix = g4.G4RotationMatrix()
    return matrix.rotateAxes(*(g4.G4ThreeVector(*column) for column in rotation.T))

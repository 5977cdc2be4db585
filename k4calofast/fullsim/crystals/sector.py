"""Crystals of a barrel in Geant4: the real blocks at their real places, all rings, some columns.

A barrel of crystals looks the same from every column, so one sector serves all of phi: the
shower is turned to the sector's middle column, simulated there, and turned back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats
from k4calofast.detector.crystals import CrystalBarrel
from k4calofast.fullsim.simulation import CellEnergies
from k4calofast.incidence.transport import turned


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

    def construct(self, g4: Any, keep: list[Any]) -> tuple[Any, list[Any]]:
        """Build the sector around column 0; see `k4calofast.fullsim.simulation.Volumes`."""
        nist = g4.G4NistManager.Instance()
        air = nist.FindOrBuildMaterial("G4_AIR")
        material = nist.FindOrBuildMaterial(self.material)
        side = self.barrel.outer_radius + 50.0
        world_solid = g4.G4Box("world", side, side, self.barrel.half_length + 50.0)
        world_volume = g4.G4LogicalVolume(world_solid, air, "world")
        world = g4.G4PVPlacement(
            None, g4.G4ThreeVector(), world_volume, "world", None, False, 0, False
        )
        keep += [nist, air, material, world_solid, world_volume, world]
        sensitive = []
        half = self.columns // 2
        for ring in range(self.barrel.n_rings):
            origin, rotation, half_depth, outline = _block(self.barrel.corners[ring, 0])
            corners = g4.G4TwoVectorVector([g4.G4TwoVector(x, y) for x, y in outline])
            solid = g4.G4GenericTrap(f"crystal{ring}", half_depth, corners)
            volume = g4.G4LogicalVolume(solid, material, f"crystal{ring}")
            keep += [corners, solid, volume]
            sensitive.append(volume)
            for column in range(-half, half + 1):
                turn = 2 * np.pi * column / self.barrel.n_columns
                around_z = _turn(turn)
                place = g4.G4Transform3D(
                    _rotation_matrix(g4, around_z @ rotation), g4.G4ThreeVector(*around_z @ origin)
                )
                copy = ring * self.columns + column + half
                keep.append(
                    g4.G4PVPlacement(
                        place, volume, f"crystal{ring}", world_volume, False, copy, False
                    )
                )
        return world, sensitive

    def to_sector(self, cells: npt.NDArray[np.int64], vectors: Floats) -> Floats:
        """Turn vectors (N, 3) so that the cells that are hit come to the middle column."""
        column = cells % self.barrel.n_columns
        return turned(vectors, -2 * np.pi * column / self.barrel.n_columns)

    def in_window(
        self, deposits: CellEnergies, cells: npt.NDArray[np.int64], shape: tuple[int, int]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Sort deposits into windows around the cells that were hit.

        Returns
        -------
        energies
            (N, rows, columns) GeV.
        beside
            (N,) GeV in the sector's other crystals.
        """
        rows, columns = shape
        hit_ring = cells // self.barrel.n_columns
        ring, column = np.divmod(deposits.cell, self.columns)
        row = ring - hit_ring[deposits.event] + rows // 2
        column = column - self.columns // 2 + columns // 2
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        energies = np.zeros((len(cells), rows, columns))
        np.add.at(
            energies,
            (deposits.event[inside], row[inside], column[inside]),
            deposits.energy[inside],
        )
        beside = np.zeros(len(cells))
        np.add.at(beside, deposits.event[~inside], deposits.energy[~inside])
        return energies.astype(np.float32), beside.astype(np.float32)


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

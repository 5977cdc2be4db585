"""Shapes of crystals in Geant4: blocks with parallel faces, four or five corners each.

What Geant4 is given are the corners of both faces in the block's own frame, whose z axis runs from
the front to the back. Everything is made from the corners of the calorimeter's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from k4calofast.arrays import Floats

_QUADRILATERAL = 4


@dataclass(frozen=True, eq=False)
class Block:
    """A block with parallel faces of n corners.

    Attributes
    ----------
    origin
        (3,) mm, world position of its frame, half way between the faces.
    rotation
        (3, 3) from the frame to the world; its third column is the way from front to back.
    half_depth
        Half the distance between the faces (mm).
    front, back
        (n, 2) corners of the faces in the frame (mm), clockwise seen from behind.
    """

    origin: Floats
    rotation: Floats
    half_depth: float
    front: Floats
    back: Floats

    @classmethod
    def of(cls, front: Floats, back: Floats) -> Block:
        """Describe a block by the corners (n, 3) of its faces in the world, in the same order.

        Its sides are made planes.
        """
        normal = np.cross(front[2] - front[0], front[3] - front[1])
        inward = normal / np.linalg.norm(normal)
        inward *= np.sign((back.mean(0) - front.mean(0)) @ inward)
        along = front[1] - front[0]
        x = along / np.linalg.norm(along)
        rotation = np.stack([x, np.cross(inward, x), inward], axis=1)
        depth = float((back.mean(0) - front.mean(0)) @ inward)
        origin = front.mean(0) + inward * depth / 2
        ahead, behind = (((face - origin) @ rotation)[:, :2] for face in (front, back))
        behind = _with_plane_sides(ahead, behind)
        if _area(ahead) > 0:
            ahead, behind = ahead[::-1], behind[::-1]
        return cls(origin, rotation, depth / 2, ahead, behind)

    def grown(self, thickness: float, ahead: float, behind: float) -> Block:
        """Return a block around this one: so much (mm) more at the sides, in front, and behind.

        Its sides are parallel to this one's.
        """
        depth = 2 * self.half_depth
        steps = np.array([-ahead / depth, 1 + behind / depth])
        faces = [self.front + step * (self.back - self.front) for step in steps]
        front, back = (_outset(face, thickness) for face in faces)
        origin = self.origin + self.rotation[:, 2] * (behind - ahead) / 2
        return Block(origin, self.rotation, (depth + ahead + behind) / 2, front, back)

    def slab_behind(self, gap: float, thickness: float) -> Block:
        """Return a slab (mm) that continues this block, so much behind its back."""
        depth = 2 * self.half_depth
        faces = [
            self.front + (1 + step / depth) * (self.back - self.front)
            for step in (gap, gap + thickness)
        ]
        origin = self.origin + self.rotation[:, 2] * (self.half_depth + gap + thickness / 2)
        return Block(origin, self.rotation, thickness / 2, *faces)

    @property
    def parts(self) -> tuple[Block, ...]:
        """The block itself, or, if it has five corners, two of four that make it up.

        It is cut along the bisector of its bluntest corner, where a block that is grown from it has
        its own bisector: parts of the one lie in parts of the other.
        """
        if len(self.front) == _QUADRILATERAL:
            return (self,)
        first = int(_cosines(self.front).argmin())
        faces = [_halves(np.roll(face, -first, axis=0)) for face in (self.front, self.back)]
        return tuple(
            Block(self.origin, self.rotation, self.half_depth, front, back)
            for front, back in zip(*faces, strict=True)
        )

    def solid(self, g4: Any, name: str) -> Any:
        """Make it, of four corners, with the module `geant4_pybind`."""
        corners = [g4.G4TwoVector(x, y) for x, y in np.concatenate([self.front, self.back])]
        return g4.G4GenericTrap(name, self.half_depth, g4.G4TwoVectorVector(corners))


def _area(outline: Floats) -> float:
    """Twice the area of a polygon (n, 2): positive if it runs counterclockwise."""
    x, y = outline.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def _outset(outline: Floats, by: float) -> Floats:
    """Move the edges of a polygon (n, 2) that runs clockwise outwards by so much."""
    along = np.roll(outline, -1, axis=0) - outline
    along /= np.linalg.norm(along, axis=1)[:, None]
    outward = np.stack([-along[:, 1], along[:, 0]], axis=1)
    before = np.roll(outward, 1, axis=0)
    # The corner moves along the bisector of its two edges' normals.
    bisector = before + outward
    moved: Floats = outline + by * bisector / (1 + (before * outward).sum(1))[:, None]
    return moved


def _edges(outline: Floats) -> tuple[Floats, Floats]:
    """Unit vectors (n, 2) along the edges that end and that begin at each corner."""
    along = np.roll(outline, -1, axis=0) - outline
    along /= np.linalg.norm(along, axis=1)[:, None]
    return np.roll(along, 1, axis=0), along


def _cosines(outline: Floats) -> Floats:
    """Cosines (n,) of the angles at the corners."""
    before, after = _edges(outline)
    return np.asarray(-(before * after).sum(1))


def _halves(outline: Floats) -> tuple[Floats, Floats]:
    """Cut a polygon (5, 2) along the bisector of its first corner."""
    before, after = (edge[0] for edge in _edges(outline))
    way = after - before
    start, edge = outline[2], outline[3] - outline[2]
    from_corner = start - outline[0]
    share = (from_corner[1] * way[0] - from_corner[0] * way[1]) / (
        edge[0] * way[1] - edge[1] * way[0]
    )
    middle = start + share * edge
    return (
        np.stack([outline[0], outline[1], outline[2], middle]),
        np.stack([outline[0], middle, outline[3], outline[4]]),
    )


def _with_plane_sides(front: Floats, back: Floats) -> Floats:
    """Move the back corners of a block so that its sides are planes.

    Tables of corners are rounded: sides are twisted by nanometres to micrometres. G4GenericTrap
    takes such a side for a twisted surface, whose equation is then so nearly degenerate that it
    misses a quarter of the rays that come from outside. A side is a plane if its edges in front
    and at the back are parallel; the back's keep their middles. Faces of more than four corners are
    of the same shape in the table: the back is the front, larger.
    """
    if len(front) > _QUADRILATERAL:
        scale = np.sqrt(_area(back) / _area(front))
        return np.asarray(back.mean(0) + scale * (front - front.mean(0)))
    middle = (back + np.roll(back, -1, axis=0)) / 2
    along = np.roll(front, -1, axis=0) - front
    before, start = np.roll(along, 1, axis=0), np.roll(middle, 1, axis=0)
    cross = before[:, 0] * along[:, 1] - before[:, 1] * along[:, 0]
    way = middle - start
    path = (way[:, 0] * along[:, 1] - way[:, 1] * along[:, 0]) / cross
    return np.asarray(start + path[:, None] * before)

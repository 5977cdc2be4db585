"""The face of a calorimeter: the surface that particles from within come to first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from k4calofast.arrays import Floats, Mask
from k4calofast.detector.helix import advance, path_to_radius

_ROUNDING = 1e-6  # mm


class Face(Protocol):
    """A simple surface that no cell reaches through; lengths in mm, momenta in GeV.

    Particles move on helices around z. Their curvature is the turn in phi per mm of path, 0 for
    straight lines.
    """

    def path_to(self, position: Floats, momentum: Floats, curvature: Floats) -> Floats:
        """Path (N,) in mm from in front of the face to it, infinite if it is never reached.

        Starts on the face or behind it get 0.

        Parameters
        ----------
        position, momentum
            (N, 3).
        curvature
            (N,) rad/mm.
        """

    def path_back(
        self, position: Floats, momentum: Floats, curvature: Floats, clearance: float
    ) -> Floats:
        """Path (N,) in mm from behind the face back to where it is so far (mm) away.

        It is infinite for what does not come from there, or starts in front of it.
        """

    def within(self, points: Floats) -> Mask:
        """Whether points (N, 3) on the surface belong to the face, and not to what goes on it."""


@dataclass(frozen=True)
class Cylinder:
    """A cylinder around z.

    Attributes
    ----------
    radius, half_length
        mm.
    """

    radius: float
    half_length: float

    def path_to(self, position: Floats, momentum: Floats, curvature: Floats) -> Floats:
        """Path from inside the cylinder, however long, to it; see `Face`."""
        path = path_to_radius(position, momentum, curvature, self.radius)
        path[(position[:, :2] ** 2).sum(1) >= self.radius**2] = 0.0
        return path

    def path_back(
        self, position: Floats, momentum: Floats, curvature: Floats, clearance: float
    ) -> Floats:
        """Path from outside the cylinder back to one that is so much smaller; see `Face`."""
        radius = self.radius - clearance
        path = path_to_radius(position, -momentum, -curvature, radius)
        return np.where(np.hypot(position[:, 0], position[:, 1]) > radius, path, np.inf)

    def within(self, points: Floats) -> Mask:
        """See `Face`: within the cylinder's length."""
        return np.abs(points[:, 2]) < self.half_length

    def holds(self, points: Floats) -> Mask:
        """Whether points (N, 3) lie inside of the cylinder."""
        return (np.hypot(points[:, 0], points[:, 1]) < self.radius) & self.within(points)


@dataclass(frozen=True)
class Discs:
    """Two discs around z, at both ends of what lies between them, and the sides of their holes.

    The sides go on from the discs, away from what is between them.

    Attributes
    ----------
    distance, end
        mm from the origin, along z, of the discs and of the sides' ends.
    inner_radius, outer_radius
        mm, of the discs.
    """

    distance: float
    end: float
    inner_radius: float
    outer_radius: float

    def path_to(self, position: Floats, momentum: Floats, curvature: Floats) -> Floats:
        """Path from between the discs to one of them, or to its plane outside; see `Face`.

        What flies into a hole has come to the face where it comes to its side.
        """
        path = np.where(np.abs(position[:, 2]) < self.distance, self._path(position, momentum), 0.0)
        rows = np.flatnonzero(np.isfinite(path))
        at, way = advance(position[rows], momentum[rows], curvature[rows], path[rows])
        inside = np.hypot(at[:, 0], at[:, 1]) < self.inner_radius
        rows, at, way = rows[inside], at[inside], way[inside]
        more = path_to_radius(at, way, curvature[rows], self.inner_radius)
        with np.errstate(invalid="ignore"):
            steps = more * way[:, 2] / np.linalg.norm(way, axis=1)
            path[rows] += np.where(np.abs(at[:, 2] + steps) < self.end, more, np.inf)
        return path

    def path_back(
        self, position: Floats, momentum: Floats, _curvature: Floats, clearance: float
    ) -> Floats:
        """Path from behind a disc back to so far in front of its plane; see `Face`."""
        distance = self.distance - clearance
        came = np.sign(momentum[:, 2]) == np.sign(position[:, 2])
        behind = np.abs(position[:, 2]) > distance
        with np.errstate(divide="ignore", invalid="ignore"):
            way = (np.abs(position[:, 2]) - distance) / np.abs(momentum[:, 2])
            path = way * np.linalg.norm(momentum, axis=1)
        return np.where(behind & came, path, np.inf)

    def _path(self, position: Floats, momentum: Floats) -> Floats:
        """Path to the plane of the disc that a particle between them flies to."""
        z, pz = position[:, 2], momentum[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            way = (np.copysign(self.distance, pz) - z) / pz
        return np.where(pz == 0, np.inf, way * np.linalg.norm(momentum, axis=1))

    def within(self, points: Floats) -> Mask:
        """See `Face`: between the discs' radii, and not farther from their middle."""
        radius = np.hypot(points[:, 0], points[:, 1])
        on_discs = np.abs(points[:, 2]) < self.distance + _ROUNDING
        return on_discs & (radius > self.inner_radius) & (radius < self.outer_radius)


def crossings(speed: Floats, gap: Floats) -> tuple[Floats, Floats]:
    """Distances (...) at which straight lines enter and leave convex blocks.

    Parameters
    ----------
    speed, gap
        (..., faces) share of a line's direction along the outward normal of each face, and
        distance (mm) from the line's start to the face along it.

    Returns
    -------
    entered, left
        mm along the lines; entered is infinite for those that miss the block.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        at = gap / speed
    entered = np.where(speed < 0, at, -np.inf).max(-1)
    left = np.where(speed > 0, at, np.inf).min(-1)
    # A line parallel to a face is outside for good if it is on the face's outer side.
    outside = ((speed == 0) & (gap < 0)).any(-1)
    return np.where(outside | (entered >= left), np.inf, entered), left

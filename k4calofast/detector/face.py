"""The face of a calorimeter: the surface that particles from within come to first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from k4calofast.arrays import Floats, Mask


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
        path = _path_through(position, momentum, curvature, self.radius)
        path[(position[:, :2] ** 2).sum(1) >= self.radius**2] = 0.0
        return path

    def path_back(
        self, position: Floats, momentum: Floats, curvature: Floats, clearance: float
    ) -> Floats:
        """Path from outside the cylinder back to one that is so much smaller; see `Face`."""
        radius = self.radius - clearance
        path = _path_through(position, -momentum, -curvature, radius)
        return np.where(np.hypot(position[:, 0], position[:, 1]) > radius, path, np.inf)

    def within(self, points: Floats) -> Mask:
        """See `Face`: within the cylinder's length."""
        return np.abs(points[:, 2]) < self.half_length

    def holds(self, points: Floats) -> Mask:
        """Whether points (N, 3) lie inside of the cylinder."""
        return (np.hypot(points[:, 0], points[:, 1]) < self.radius) & self.within(points)


@dataclass(frozen=True)
class Discs:
    """Two discs with holes around z, at both ends of what lies between them.

    Attributes
    ----------
    distance
        mm from the origin, along z.
    inner_radius, outer_radius
        mm.
    """

    distance: float
    inner_radius: float
    outer_radius: float

    def path_to(self, position: Floats, momentum: Floats, _curvature: Floats) -> Floats:
        """Path from between the discs to the plane of one of them; see `Face`."""
        between = np.abs(position[:, 2]) < self.distance
        return np.where(between, self._path(position, momentum, self.distance), 0.0)

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

    def _path(self, position: Floats, momentum: Floats, distance: float) -> Floats:
        """Path to the plane at this |z| that a particle between the planes flies to."""
        z, pz = position[:, 2], momentum[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            way = (np.copysign(distance, pz) - z) / pz
        return np.where(pz == 0, np.inf, way * np.linalg.norm(momentum, axis=1))

    def within(self, points: Floats) -> Mask:
        """See `Face`: between the discs' radii."""
        radius = np.hypot(points[:, 0], points[:, 1])
        return (radius > self.inner_radius) & (radius < self.outer_radius)


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


def _path_through(position: Floats, momentum: Floats, curvature: Floats, radius: float) -> Floats:
    """Path (N,) in mm to a cylinder around z, from either side; infinite if never reached."""
    p = np.linalg.norm(momentum, axis=1)
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    room = radius**2 - (position[:, :2] ** 2).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ux, uy = momentum[:, 0] / pt, momentum[:, 1] / pt
        along = position[:, 0] * ux + position[:, 1] * uy
        across = position[:, 1] * ux - position[:, 0] * uy
        # After turning by the angle a the distance r from z is, with k the curvature of the
        # transverse path and (along, across) the start in the frame of its direction,
        #   r^2 = r0^2 + 2 along sin(a) / k + 2 (across / k + 1 / k^2) (1 - cos(a)),
        # a quadratic equation in tan(a / 2), solved without cancellation.
        k = curvature * p / pt
        linear, square = along * np.abs(k), across * k + 1
        constant = room * k**2 / 2
        q = linear + np.copysign(np.sqrt(linear**2 + constant * (2 * square - constant)), linear)
        roots = np.stack([constant / q, -q / (2 * square - constant)])
        turn = (2 * np.arctan(roots) % (2 * np.pi)).min(0)
        root = np.sqrt(along**2 + room)
        straight = np.where(room > 0, room / (along + root), room / (along - root))
        straight[straight < 0] = np.nan
        path = np.where(k == 0, straight, turn / np.abs(k)) * p / pt
    return np.where(np.isnan(path), np.inf, path)

"""Straight lines and helices from where particles set out to the first cell they enter.

In a field along z a charged particle moves on a helix of radius pT / (0.2998 |q B|) (GeV, e,
T, m); for q B > 0 it turns clockwise seen from +z (Lorentz force; PDG Review of Particle
Physics, "Detectors for accelerators", sect. momentum measurements in a magnetic field).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.detector import Calorimeter
from k4calofast.events.columns import Floats, Indices

LIGHT_SPEED = 299.792458
"""mm / ns"""

_CURVATURE = 1e-6 * LIGHT_SPEED
"""Curvature (1/mm) of a track of 1 GeV transverse momentum, charge 1, in 1 T."""

# A helix is followed on its tangents, in steps over which it leaves them by no more than
# this; every step ends nearer to the surface, where the error goes down with the square of
# the rest.
_SAGITTA = 0.05  # mm
_ON_SURFACE = 1e-7  # mm
_MOST_STEPS = 400


@dataclass(frozen=True)
class Hits:
    """Where N particles first meet a cell.

    Attributes
    ----------
    cell
        (N,) cell that is entered, -1 where none is.
    position, momentum
        (N, 3) mm and GeV at its surface.
    path
        (N,) mm from the start to there.
    reached
        (N,) whether the particle came through the face's cylinder within the face's length,
        so that entering no cell means passing through a gap.
    """

    cell: Indices
    position: Floats
    momentum: Floats
    path: Floats
    reached: npt.NDArray[np.bool_]


def velocity(momentum: Floats, mass: Floats) -> Floats:
    """Velocity (N,) in mm/ns of momenta (N, 3) and masses (N,) in GeV."""
    p = np.linalg.norm(momentum, axis=1)
    speed: Floats = LIGHT_SPEED * p / np.hypot(p, mass)
    return speed


def advance(
    position: Floats, momentum: Floats, curvature: Floats, path: Floats
) -> tuple[Floats, Floats]:
    """Move particles along their helices.

    Parameters
    ----------
    position, momentum
        (N, 3) mm and GeV.
    curvature
        (N,) rad per mm of path, positive towards larger phi; 0 for straight lines.
    path
        (N,) mm, may be negative.

    Returns
    -------
    position, momentum
        (N, 3) at the end of the path.
    """
    turn = curvature * path
    p = np.linalg.norm(momentum, axis=1)
    # The chord of an arc: shorter than it by sinc(turn / 2), turned by half its angle.
    chord = path * np.sinc(turn / (2 * np.pi)) / p
    step = turned(momentum, turn / 2) * chord[:, None]
    step[:, 2] = momentum[:, 2] * path / p
    return position + step, turned(momentum, turn)


def turned(vectors: Floats, angle: Floats) -> Floats:
    """Vectors (N, 3) turned around z by angles (N,) in rad."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = vectors.T
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1)


def curvature_of(momentum: Floats, charge: Floats, field: float) -> Floats:
    """Turn in phi per mm of path (N,) of momenta (N, 3) in GeV, charges in e, field in T."""
    p = np.linalg.norm(momentum, axis=1)
    curvature: Floats = -_CURVATURE * charge * field / p
    return curvature


def turn_to(
    position: Floats, momentum: Floats, curvature: Floats, point: Floats
) -> tuple[Floats, Floats]:
    """Turn in phi (rad) and path (mm), (N,) each, of helices to points on them.

    Parameters
    ----------
    position, momentum
        (N, 3) mm and GeV.
    curvature
        (N,) as for `advance`.
    point
        (N, 3) mm, less than half a turn away. For points beside the helix, one as long as it.
    """
    way = point - position
    chord = np.hypot(way[:, 0], way[:, 1])
    p = np.linalg.norm(momentum, axis=1)
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    bend = np.divide(curvature * p, pt, out=np.zeros_like(p), where=pt > 0)
    half = np.arcsin(np.clip(bend * chord / 2, -1, 1))
    return 2 * half, np.hypot(chord / np.sinc(half / np.pi), way[:, 2])


def path_to_cylinder(
    position: Floats, momentum: Floats, curvature: Floats, radius: float
) -> Floats:
    """Path (N,) in mm from inside a cylinder around z to it, infinite if never reached.

    Starts on or outside the cylinder get 0.
    """
    path = _path_through_cylinder(position, momentum, curvature, radius)
    path[(position[:, :2] ** 2).sum(1) >= radius**2] = 0.0
    return path


def back_to_cylinder(
    position: Floats, momentum: Floats, curvature: Floats, radius: float
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Move particles from outside a cylinder around z back to where they left it.

    Returns
    -------
    position, momentum
        (N, 3) there.
    found
        (N,) whether they come from inside it; the others stay where they are.
    """
    path = _path_through_cylinder(position, -momentum, -curvature, radius)
    found = np.isfinite(path) & (np.hypot(position[:, 0], position[:, 1]) > radius)
    back = np.where(found, -path, 0.0)
    position, momentum = advance(position, momentum, curvature, back)
    return position, momentum, found


def _path_through_cylinder(
    position: Floats, momentum: Floats, curvature: Floats, radius: float
) -> Floats:
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


def first_hits(detector: Calorimeter, position: Floats, momentum: Floats, charge: Floats) -> Hits:
    """Follow particles to the first cell that each of them enters.

    Parameters
    ----------
    position, momentum
        (N, 3) mm and GeV, in front of the calorimeter; momenta not zero.
    charge
        (N,) e.
    """
    curvature = curvature_of(momentum, charge, detector.magnetic_field)
    path = path_to_cylinder(position, momentum, curvature, detector.face_radius)
    p = np.linalg.norm(momentum, axis=1)
    with np.errstate(invalid="ignore"):
        z = np.abs(position[:, 2] + path * momentum[:, 2] / p)
    arrives = np.isfinite(path)
    reached = arrives & (z < detector.face_half_length)
    # What passes the end of the face can still enter the outermost cells from the side.
    follow = arrives & (z < detector.half_length)

    n = len(position)
    cell = np.full(n, -1, np.int64)
    at, direction = position.copy(), momentum.copy()
    rows = np.flatnonzero(follow)
    at[rows], direction[rows] = advance(position[rows], momentum[rows], curvature[rows], path[rows])
    with np.errstate(divide="ignore"):
        longest = np.sqrt(2 * _SAGITTA / np.abs(curvature))
    for _ in range(_MOST_STEPS):
        if not len(rows):
            break
        tangent = direction[rows] / p[rows, None]
        entry = detector.first_cell(at[rows], tangent)
        # A straight line is followed to its end at once.
        ahead = np.minimum(entry.distance, longest[rows])
        done = (curvature[rows] == 0) | (np.abs(entry.distance) < _ON_SURFACE)
        cell[rows[done]] = entry.cell[done]
        moves = np.isfinite(ahead)
        moving, ahead = rows[moves], ahead[moves]
        at[moving], direction[moving] = advance(
            at[moving], direction[moving], curvature[moving], ahead
        )
        path[moving] += ahead
        inside = np.hypot(at[rows, 0], at[rows, 1]) < detector.outer_radius
        rows = rows[~done & inside & (np.abs(at[rows, 2]) < detector.half_length)]
    return Hits(cell, at, direction, path, reached)

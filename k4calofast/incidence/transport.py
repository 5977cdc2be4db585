"""Straight lines and helices from where particles set out to the first cell they enter.

In a field along z a charged particle moves on a helix of radius pT / (0.2998 |q B|) (GeV, e,
T, m); for q B > 0 it turns clockwise seen from +z (Lorentz force; PDG Review of Particle
Physics, "Detectors for accelerators", sect. momentum measurements in a magnetic field).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.detector import Calorimeter
from k4calofast.detector.helix import advance

LIGHT_SPEED = 299.792458
"""mm / ns"""

_CURVATURE = 1e-6 * LIGHT_SPEED
"""Curvature (1/mm) of a track of 1 GeV transverse momentum, charge 1, in 1 T."""

# A helix is followed on its tangents, in steps over which it leaves them by no more than
# this; every step ends nearer to the surface, where the error goes down with the square of
# the rest.
_SAGITTA = 0.05  # mm
_ON_SURFACE = 1e-7  # mm
_SHORTEST_WAY = 1.0  # mm
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
        (N,) whether the particle came through the face, so that entering no cell means passing
        through a gap.
    """

    cell: Indices
    position: Floats
    momentum: Floats
    path: Floats
    reached: Mask


def velocity(momentum: Floats, mass: Floats) -> Floats:
    """Velocity (N,) in mm/ns of momenta (N, 3) and masses (N,) in GeV."""
    p = np.linalg.norm(momentum, axis=1)
    speed: Floats = LIGHT_SPEED * p / np.hypot(p, mass)
    return speed


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


def first_hits(
    detector: Calorimeter,
    position: Floats,
    momentum: Floats,
    charge: Floats,
    farthest: Floats | None = None,
) -> Hits:
    """Follow particles to the first cell that each of them enters.

    Parameters
    ----------
    position, momentum
        (N, 3) mm and GeV, in front of the calorimeter; momenta not zero.
    charge
        (N,) e.
    farthest
        (N,) mm of path after which particles are not followed: they are in another calorimeter.
    """
    curvature = curvature_of(momentum, charge, detector.magnetic_field)
    path = detector.face.path_to(position, momentum, curvature)
    p = np.linalg.norm(momentum, axis=1)

    n = len(position)
    cell, reached = np.full(n, -1, np.int64), np.zeros(n, np.bool_)
    at, direction = position.copy(), momentum.copy()
    rows = np.flatnonzero(np.isfinite(path))
    at[rows], direction[rows] = advance(position[rows], momentum[rows], curvature[rows], path[rows])
    reached[rows] = detector.face.within(at[rows])
    # What passes the end of the face can still enter the outermost cells from the side.
    rows = rows[detector.encloses(at[rows])]
    if farthest is not None:
        rows = rows[path[rows] < farthest[rows]]
    with np.errstate(divide="ignore"):
        longest = np.sqrt(2 * _SAGITTA / np.abs(curvature))
    for _ in range(_MOST_STEPS):
        if not len(rows):
            break
        tangent = direction[rows] / p[rows, None]
        entry = detector.first_cell(at[rows], tangent)
        # A straight line is followed to its end at once.
        ahead = np.minimum(entry.distance, longest[rows])
        # What is in front again, as in the hole of an endcap, meets no cell before the face.
        again = detector.face.path_to(at[rows], direction[rows], curvature[rows])
        ahead = np.where((curvature[rows] != 0) & (again > _SHORTEST_WAY), again, ahead)
        done = (curvature[rows] == 0) | (np.abs(entry.distance) < _ON_SURFACE)
        cell[rows[done]] = entry.cell[done]
        moves = np.isfinite(ahead)
        moving, ahead = rows[moves], ahead[moves]
        at[moving], direction[moving] = advance(
            at[moving], direction[moving], curvature[moving], ahead
        )
        path[moving] += ahead
        rows = rows[~done & moves & detector.encloses(at[rows])]
        if farthest is not None:
            rows = rows[path[rows] < farthest[rows]]
    return Hits(cell, at, direction, path, reached)

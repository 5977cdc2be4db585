"""Helices around z, and straight lines: points after a path, and paths to cylinders."""

from __future__ import annotations

import numpy as np

from k4calofast.arrays import Floats


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


def path_to_radius(position: Floats, momentum: Floats, curvature: Floats, radius: float) -> Floats:
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

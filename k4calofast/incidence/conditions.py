"""The conditions of a generator: how and where a particle meets the cell that it enters.

The names, their order and their units are defined here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k4calofast.detector import Calorimeter
from k4calofast.events.columns import Floats, Indices


@dataclass(frozen=True)
class Condition:
    """One input of a generator."""

    name: str
    unit: str
    meaning: str


CONDITIONS = (
    Condition("momentum", "GeV", "magnitude of the momentum at the calorimeter's face"),
    Condition("delta_theta_mom", "rad", "theta of the momentum minus theta of the cell's axis"),
    Condition("delta_phi_mom", "rad", "phi of the momentum minus phi of the cell's axis"),
    Condition("delta_z_pos", "mm", "z of the hit point minus z of the cell's front centre"),
    Condition("delta_phi_pos", "rad", "phi of the hit point minus phi of the front centre"),
    Condition("z", "mm", "z of the hit point"),
)


def wrapped(angle: Floats) -> Floats:
    """Angles wrapped to (-pi, pi]."""
    return np.pi - (np.pi - angle) % (2 * np.pi)


def conditions_of(
    detector: Calorimeter, cells: Indices, position: Floats, momentum: Floats
) -> Floats:
    """Conditions (N, 6), in the order and units of `CONDITIONS`.

    Parameters
    ----------
    cells
        (N,) cells that are hit.
    position, momentum
        (N, 3) mm and GeV at the cells' surface.
    """
    front = detector.front_centre(cells)
    axis_theta, axis_phi = detector.axis_angles(cells)
    px, py, pz = momentum.T
    x, y, z = position.T
    return np.stack(
        [
            np.linalg.norm(momentum, axis=1),
            np.arctan2(np.hypot(px, py), pz) - axis_theta,
            wrapped(np.arctan2(py, px) - axis_phi),
            z - front[:, 2],
            wrapped(np.arctan2(y, x) - np.arctan2(front[:, 1], front[:, 0])),
            z,
        ],
        axis=1,
    )

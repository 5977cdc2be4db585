"""The conditions of a generator: how and where a particle meets the cell that it enters.

The names, their order and their units are defined here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k4calofast.detector import Calorimeter, CrystalBarrel, LayeredBarrel
from k4calofast.events.columns import Floats, Indices
from k4calofast.exceptions import UnknownDetectorError


@dataclass(frozen=True)
class Condition:
    """One input of a generator."""

    name: str
    unit: str
    meaning: str


CRYSTAL_CONDITIONS = CONDITIONS = (
    Condition("momentum", "GeV", "magnitude of the momentum at the calorimeter's face"),
    Condition("delta_theta_mom", "rad", "theta of the momentum minus theta of the cell's axis"),
    Condition("delta_phi_mom", "rad", "phi of the momentum minus phi of the cell's axis"),
    Condition("delta_z_pos", "mm", "z of the hit point minus z of the cell's front centre"),
    Condition("delta_phi_pos", "rad", "phi of the hit point minus phi of the front centre"),
    Condition("z", "mm", "z of the hit point"),
)

"""Of calorimeters made of crystals."""

LAYER_CONDITIONS = (
    Condition("momentum", "GeV", "magnitude of the momentum at the module's surface"),
    Condition("angle_t", "rad", "angle to the module's normal across the module, atan2(p_t, p_n)"),
    Condition("angle_z", "rad", "angle to the module's normal along the beam, atan2(p_z, p_n)"),
    Condition("offset_t", "mm", "t of the entry point minus t of the nearest column of cells"),
    Condition("offset_z", "mm", "z of the entry point minus z of the nearest row of cells"),
    Condition("depth", "mm", "depth of the entry point behind the module's front"),
)
"""Of layered barrels: in the frame (n, t, z) of the module that is entered, and its first layer."""


def conditions_for(detector: Calorimeter) -> tuple[Condition, ...]:
    """Return the conditions that describe incidence on a calorimeter."""
    return LAYER_CONDITIONS if isinstance(detector, LayeredBarrel) else CRYSTAL_CONDITIONS


def wrapped(angle: Floats) -> Floats:
    """Angles wrapped to (-pi, pi]."""
    return np.pi - (np.pi - angle) % (2 * np.pi)


def conditions_of(
    detector: Calorimeter, cells: Indices, position: Floats, momentum: Floats
) -> Floats:
    """Conditions (N, 6), in the order and units of `conditions_for`.

    Parameters
    ----------
    cells
        (N,) cells that are hit.
    position, momentum
        (N, 3) mm and GeV at the cells' surface.
    """
    if isinstance(detector, LayeredBarrel):
        return _at_module(detector, cells, position, momentum)
    if not isinstance(detector, CrystalBarrel):
        raise UnknownDetectorError(f"{detector.name}: no conditions are known for its kind")
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


def _at_module(
    detector: LayeredBarrel, cells: Indices, position: Floats, momentum: Floats
) -> Floats:
    """Conditions (N, 6), in the order and units of `LAYER_CONDITIONS`."""
    module = detector.place(cells)[0]
    n, t, z = detector.to_local(module, position).T
    along = detector.to_local(module, momentum)
    columns, rows = detector.columns(0), detector.rows
    return np.stack(
        [
            np.linalg.norm(momentum, axis=1),
            np.arctan2(along[:, 1], along[:, 0]),
            np.arctan2(along[:, 2], along[:, 0]),
            t - columns.around(t, 1)[1][:, 0],
            z - rows.around(z, 1)[1][:, 0],
            n - detector.face_radius,
        ],
        axis=1,
    )

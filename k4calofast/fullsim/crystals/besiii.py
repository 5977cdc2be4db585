"""What is BESIII's own in its full simulation: the crystals' material, and where showers start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats
from k4calofast.detector import besiii
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.fullsim import sampling
from k4calofast.fullsim.crystals.sector import CrystalSector
from k4calofast.fullsim.sampling import Coverage
from k4calofast.incidence.transport import first_hits

_AIR = (6, 7, 8, 18)

WINDOW = (11, 11)
SECTOR_COLUMNS = 17
"""Columns simulated around the hit crystal; docs/fullsim.md has the measured leakage."""

START_GAP = 0.01
"""Particles start this far (mm) in front of the crystal that they enter."""

CHARGE = {22: 0.0, 11: -1.0, -11: 1.0}
"""The kinds of particles, by PDG number, with their charge."""

MOMENTA = (0.02, 3.0)
"""GeV."""

_WIDE = {22: 0.35, 11: 1.0, -11: 1.0}
COVERAGE: dict[int, Coverage] = {
    pdg: {
        "momentum": MOMENTA,
        "delta_theta_mom": (-0.35, 0.35),
        "delta_phi_mom": (-wide, wide),
        "delta_z_pos": (-40.0, 40.0),
        "delta_phi_pos": (-0.027, 0.027),
        "z": (-1378.0, 1378.0),
    }
    for pdg, wide in _WIDE.items()
}
"""Ranges that the conditions fill, by kind. Charged particles come in at all angles down to
transverse momenta that barely reach the calorimeter."""

SAMPLING = (
    "z at the face uniform; 3 in 5 particles from a vertex (4 in 5 of them within 5 mm of the "
    "axis and 30 mm of the centre, the others up to 300 mm away) along a helix, 2 in 5 at the "
    "face with angles uniform over the coverage; charged particles too soft to come from a "
    "vertex all at the face"
)


@dataclass(frozen=True)
class Drawn(sampling.Drawn):
    """N particles at the surface of the crystals that they enter.

    Attributes
    ----------
    conditions
        (N, 6) in the order and units of `k4calofast.detector.crystals.CONDITIONS`.
    cell
        (N,) cell that is entered.
    position, momentum
        (N, 3) mm and GeV there.
    """

    cell: npt.NDArray[np.int64]
    position: Floats
    momentum: Floats

    names = tuple(condition.name for condition in CONDITIONS)


def sector() -> CrystalSector:
    """Return the crystals that are simulated: CsI without its 0.1 % of thallium."""
    return CrystalSector(besiii.barrel(), SECTOR_COLUMNS, "G4_CESIUM_IODIDE", (53, 55, *_AIR))


def draw(rng: np.random.Generator, pdg: int, momentum: Floats) -> Drawn:
    """Draw incidences of one kind of particle on the barrel.

    Parameters
    ----------
    momentum
        (N,) magnitude at the face (GeV).

    Returns
    -------
    Drawn
        N of them; each is inside `COVERAGE` and enters a crystal.
    """
    barrel, n = besiii.barrel(), len(momentum)
    cell = np.full(n, -1, np.int64)
    position, direction = np.zeros((n, 3)), np.zeros((n, 3))
    conditions = np.zeros((n, len(CONDITIONS)))
    limits = np.array([COVERAGE[pdg][condition.name] for condition in CONDITIONS])
    while (missing := np.flatnonzero(cell < 0)).size:
        p = momentum[missing]
        at_face = rng.random(len(p)) < 0.4
        start, vector = _from_vertex(rng, p)
        face_start, face_vector = _at_face(rng, p, _WIDE[pdg])
        start[at_face], vector[at_face] = face_start[at_face], face_vector[at_face]
        hits = first_hits(barrel, start, vector, np.full(len(p), CHARGE[pdg]))
        found = np.flatnonzero(hits.cell >= 0)
        drawn = barrel.conditions_at(hits.cell[found], hits.position[found], hits.momentum[found])
        drawn = drawn[:, : len(CONDITIONS)]
        # The momentum's range is for the caller to keep.
        inside = ((drawn >= limits[:, 0]) & (drawn <= limits[:, 1]))[:, 1:].all(1)
        found, drawn = found[inside], drawn[inside]
        rows = missing[found]
        cell[rows], conditions[rows] = hits.cell[found], drawn
        position[rows], direction[rows] = hits.position[found], hits.momentum[found]
    return Drawn(conditions, cell, position, direction)


def _from_vertex(rng: np.random.Generator, p: Floats) -> tuple[Floats, Floats]:
    """Vertices, and momenta that reach the face at a z near to uniform."""
    n, barrel = len(p), besiii.barrel()
    near = rng.random(n) < 0.8
    distance = np.where(near, rng.uniform(0, 5, n), rng.exponential(60, n).clip(0, 300))
    phi_vertex = rng.uniform(-np.pi, np.pi, n)
    vertex = np.stack(
        [
            distance * np.cos(phi_vertex),
            distance * np.sin(phi_vertex),
            np.where(near, rng.normal(0, 15, n).clip(-30, 30), rng.uniform(-300, 300, n)),
        ],
        axis=1,
    )
    z = rng.uniform(-barrel.half_length, barrel.half_length, n)
    cot = (z - vertex[:, 2]) / barrel.face.radius
    phi = rng.uniform(-np.pi, np.pi, n)
    transverse = p / np.hypot(1, cot)
    momentum = np.stack(
        [transverse * np.cos(phi), transverse * np.sin(phi), transverse * cot], axis=1
    )
    return vertex, momentum


def _at_face(rng: np.random.Generator, p: Floats, wide: float) -> tuple[Floats, Floats]:
    """Points in front of the face, and momenta at wide angles to the way from the centre."""
    n, barrel = len(p), besiii.barrel()
    phi = rng.uniform(-np.pi, np.pi, n)
    z = rng.uniform(-barrel.half_length, barrel.half_length, n)
    point = np.stack(
        [barrel.face.radius * np.cos(phi), barrel.face.radius * np.sin(phi), z], axis=1
    )
    # A little wider than the coverage, whose axes do not all point to the centre.
    theta = np.arctan2(barrel.face.radius, z) + rng.uniform(-0.45, 0.45, n)
    phi += rng.uniform(-wide - 0.1, wide + 0.1, n)
    momentum = np.stack(
        [
            p * np.sin(theta) * np.cos(phi),
            p * np.sin(theta) * np.sin(phi),
            p * np.cos(theta),
        ],
        axis=1,
    )
    return point, momentum

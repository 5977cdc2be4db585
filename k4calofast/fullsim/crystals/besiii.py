"""Particles that are shot at BESIII's EMC: kinds, how they come in, and ranges that they fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from particle import Particle

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.detector import besiii
from k4calofast.detector.crystals import (
    BARREL_CONDITIONS,
    ENDCAP_CONDITIONS,
    CrystalCalorimeter,
)
from k4calofast.detector.face import Cylinder
from k4calofast.fullsim import sampling
from k4calofast.fullsim.sampling import Coverage
from k4calofast.incidence.transport import Hits, curvature_of, first_hits
from k4calofast.showers.crystals.outcomes import SHOWERING

WINDOW = (11, 11)
"""Rows and columns of the windows that are derived from all crystals."""

OTHERS = (13, -13, 211, -211, 321, -321, 130, 2212, -2212, 2112, -2112)
"""Muons and hadrons that live long enough to reach the calorimeter."""

KINDS = (*SHOWERING, *OTHERS)

MOMENTA = (0.02, 3.0)
"""GeV, of all kinds together."""

LEAST_OF_OTHERS = 0.05
"""GeV, of muons and hadrons."""

CHARGE = {pdg: float(Particle.from_pdgid(pdg).charge or 0) for pdg in KINDS}

_ANGLES: Coverage = {"delta_theta_mom": (-1.6, 1.6), "delta_phi_mom": (-1.7, 1.7)}
_PLACES: dict[str, Coverage] = {
    besiii.BARREL: {
        "delta_z_pos": (-270.0, 270.0),
        "delta_phi_pos": (-0.03, 0.03),
        "z": (-1630.0, 1630.0),
        "depth": (-0.5, 285.0),
    },
    besiii.ENDCAPS: {
        "delta_r_pos": (-80.0, 160.0),
        "delta_phi_pos": (-0.07, 0.07),
        "r": (480.0, 1030.0),
        "depth": (-0.5, 285.0),
    },
}


def coverage(name: str) -> dict[int, Coverage]:
    """Ranges that the conditions may fill in the calorimeter of this name, by kind.

    Particles come in at all angles, up to grazing ones, and through sides of crystals.
    """
    ranges = _ANGLES | _PLACES[name]
    return {
        pdg: {"momentum": (MOMENTA[0] if pdg in SHOWERING else LEAST_OF_OTHERS, MOMENTA[1])}
        | ranges
        for pdg in KINDS
    }


SAMPLING = (
    "what enters this calorimeter first, of particles which are for 11 in 20 from within 5 mm of "
    "the axis and 30 mm of the centre, for 1 in 20 from up to 300 mm away, and for 1 in 5 from "
    "anywhere within 800 mm of the axis, along a helix to a place of the face that is near to "
    "uniform; for 1 in 5 at the face, with directions half uniform in angle and half in the solid "
    "angle's projection, up to grazing; those too soft to come from a vertex are from the other "
    "sources"
)

_SOURCES = np.array([0.55, 0.05, 0.2, 0.2])
_NEAR, _AWAY, _DISPLACED, _AT_FACE = range(4)
_FARTHEST = 800.0  # mm
_DEEPEST = 1.5
"""Radians to the normal, of what comes in at the face."""
_ROUNDS = 20
"""After so many, what is still missing comes in at the face."""


@dataclass(frozen=True)
class Drawn(sampling.Drawn):
    """N particles at the surface of the crystals that they enter.

    Attributes
    ----------
    conditions
        (N, C) in the order and units of the calorimeter's conditions.
    cell
        (N,) cell that is entered.
    position, momentum
        (N, 3) mm and GeV there.
    """

    cell: npt.NDArray[np.int64]
    position: Floats
    momentum: Floats


class DrawnInBarrel(Drawn):
    """Those in the barrel."""

    names = tuple(condition.name for condition in BARREL_CONDITIONS)


class DrawnInEndcaps(Drawn):
    """Those in an endcap."""

    names = tuple(condition.name for condition in ENDCAP_CONDITIONS)


def draw(
    rng: np.random.Generator, calorimeter: CrystalCalorimeter, pdg: int, momentum: Floats
) -> Drawn:
    """Draw incidences of one kind of particle.

    Parameters
    ----------
    calorimeter
        Barrel or endcaps.
    momentum
        (N,) magnitude at the face (GeV).

    Returns
    -------
    Drawn
        N of them; each is inside `coverage` and enters a crystal of this calorimeter first.
    """
    n, count = len(momentum), len(calorimeter.conditions)
    cell = np.full(n, -1, np.int64)
    position, direction, conditions = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, count))
    ranges = coverage(calorimeter.name)[pdg]
    limits = np.array([ranges[condition.name] for condition in calorimeter.conditions])
    source = rng.choice(len(_SOURCES), n, p=_SOURCES)
    rounds = 0
    while (missing := np.flatnonzero(cell < 0)).size:
        if rounds == _ROUNDS:
            source[missing] = _AT_FACE
        rounds += 1
        p, charge = momentum[missing], np.full(len(missing), CHARGE[pdg])
        start, vector = _from(rng, calorimeter, source[missing], p)
        reaches = _reaches(calorimeter, start, vector, charge)
        source[missing[~reaches]] = _AT_FACE
        missing = missing[reaches]
        hits = _first(calorimeter, start[reaches], vector[reaches], charge[reaches])
        found = np.flatnonzero(hits.cell >= 0)
        drawn = calorimeter.conditions_at(
            hits.cell[found], hits.position[found], hits.momentum[found]
        )
        # The momentum's range is for the caller to keep.
        inside = ((drawn >= limits[:, 0]) & (drawn <= limits[:, 1]))[:, 1:].all(1)
        found, drawn = found[inside], drawn[inside]
        rows = missing[found]
        cell[rows], conditions[rows] = hits.cell[found], drawn
        position[rows], direction[rows] = hits.position[found], hits.momentum[found]
    kind = DrawnInBarrel if calorimeter.name == besiii.BARREL else DrawnInEndcaps
    return kind(conditions, cell, position, direction)


def _first(
    calorimeter: CrystalCalorimeter, start: Floats, momentum: Floats, charge: Floats
) -> Hits:
    """Where particles enter the calorimeter; no cell for those that enter another one before."""
    hits = first_hits(calorimeter, start, momentum, charge)
    for other in calorimeter.beyond:
        rows = np.flatnonzero(hits.cell >= 0)
        before = first_hits(other, start[rows], momentum[rows], charge[rows])
        late = (before.cell >= 0) & (before.path < hits.path[rows])
        hits.cell[rows[late]] = -1
    return hits


def _reaches(
    calorimeter: CrystalCalorimeter, start: Floats, momentum: Floats, charge: Floats
) -> Mask:
    """Whether particles (N,) come as far from the axis as the innermost crystals."""
    curvature = curvature_of(momentum, charge, calorimeter.magnetic_field)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Turned by 90 degrees and as long as the radius, the direction leads to the helix' axis.
        to_axis = np.stack([-momentum[:, 1], momentum[:, 0]], axis=1)
        to_axis /= (np.linalg.norm(momentum, axis=1) * curvature)[:, None]
        farthest = np.linalg.norm(start[:, :2] + to_axis, axis=1) + np.linalg.norm(to_axis, axis=1)
    face = calorimeter.face
    least = face.radius if isinstance(face, Cylinder) else face.inner_radius
    return np.asarray((charge == 0) | (farthest > least))


def _from(
    rng: np.random.Generator, calorimeter: CrystalCalorimeter, source: Indices, p: Floats
) -> tuple[Floats, Floats]:
    """Starts (mm) and momenta (GeV), (N, 3) each, that aim at the calorimeter."""
    n = len(p)
    target, inward = _on_face(rng, calorimeter, n)
    distance = np.select(
        [source == _NEAR, source == _AWAY],
        [rng.uniform(0, 5, n), rng.exponential(60, n).clip(0, 300)],
        _FARTHEST * np.sqrt(rng.random(n)),
    )
    phi = rng.uniform(-np.pi, np.pi, n)
    z = np.select(
        [source == _NEAR, source == _AWAY],
        [rng.normal(0, 15, n).clip(-30, 30), rng.uniform(-300, 300, n)],
        rng.uniform(-1300, 1300, n),
    )
    start = np.stack([distance * np.cos(phi), distance * np.sin(phi), z], axis=1)
    way = target - start
    at_face = source == _AT_FACE
    start[at_face] = (target - 1e-3 * inward)[at_face]
    way[at_face] = _directions(rng, -inward)[at_face]
    return start, p[:, None] * way / np.linalg.norm(way, axis=1)[:, None]


def _on_face(
    rng: np.random.Generator, calorimeter: CrystalCalorimeter, n: int
) -> tuple[Floats, Floats]:
    """Points (mm) in front of the crystals, and unit vectors back to the beam, (N, 3) each."""
    phi = rng.uniform(-np.pi, np.pi, n)
    around = np.stack([np.cos(phi), np.sin(phi), np.zeros(n)], axis=1)
    face = calorimeter.face
    along = np.array([0.0, 0.0, 1.0])
    if isinstance(face, Cylinder):
        z = rng.uniform(-1.02, 1.02, n) * face.half_length
        return face.radius * around + z[:, None] * along, -around
    end = np.where(rng.random(n) < 0.5, 1.0, -1.0)[:, None]
    radius = rng.uniform(0.96 * face.inner_radius, 1.06 * face.outer_radius, n)
    return radius[:, None] * around + face.distance * end * along, -end * along


def _directions(rng: np.random.Generator, normal: Floats) -> Floats:
    """Unit vectors (N, 3) within `_DEEPEST` of normals: at wide angles."""
    n = len(normal)
    uniform = rng.uniform(0, _DEEPEST, n)
    projected = np.arcsin(np.sqrt(rng.random(n)) * np.sin(_DEEPEST))
    theta = np.where(rng.random(n) < 0.5, uniform, projected)
    phi = rng.uniform(-np.pi, np.pi, n)
    # Any two unit vectors across the normal, which is along z or across it.
    across = np.where(np.abs(normal[:, 2:]) > 0.5, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    other = np.cross(normal, across)
    directions: Floats = (
        np.cos(theta)[:, None] * normal
        + (np.sin(theta) * np.cos(phi))[:, None] * across
        + (np.sin(theta) * np.sin(phi))[:, None] * other
    )
    return directions

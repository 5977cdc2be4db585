"""What became of a particle in crystals: nothing, only ionisation, or an interaction.

Hadrons and muons do one of three things, which the energy that is seen tells apart (`outcomes`):

- nothing: no energy is seen. Neutral hadrons, above all.
- ionised: the energy is what the particle loses by ionisation on its way through the crystals, or
  all of its kinetic energy if that is not enough to leave them, within `IONISED_WITHIN`. The
  minimum ionising peak, and that of particles that range out.
- interacted: all else, be it more energy (interactions, decays, captures, annihilation) or less.

The loss by ionisation is the mean of Bethe's formula (Review of Particle Physics, Passage of
particles through matter, eq. 34.5), integrated along the way; material constants and density effect
of caesium iodide are those of R. M. Sternheimer, M. J. Berger, S. M. Seltzer, At. Data Nucl. Data
Tables 30 (1984) 261.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from k4calofast.arrays import Floats, Floats32, Indices, Ints
from k4calofast.incidence.kinds import nominal

NOTHING, IONISED, INTERACTED = 0, 1, 2
"""Outcomes."""

IONISED_WITHIN = (0.8, 1.25)
"""Energies of an ionising particle over the loss that is expected."""

LENGTH = 280.0
"""mm: of the crystals of BESIII's EMC, barrel and endcaps."""

LONGEST = 420.0
"""mm: where a way along the axis is longer, the particle leaves at the side of the calorimeter."""

RADIUS, END = 940.0, 1380.0
"""mm: of the fronts of the barrel's crystals from the beam, and of the endcaps' from the centre."""

_DENSITY, _Z_OVER_A, _EXCITATION = 4.51, 0.41569, 553.1e-9
"""Of caesium iodide: g/cm3, and mean excitation energy in GeV."""

_C, _X0, _X1, _A, _K = 6.2807, 0.0395, 3.3353, 0.25381, 2.6657
"""Of caesium iodide: Sternheimer's parameters of the density effect."""

_ELECTRON = 0.51099895e-3
_FACTOR = 0.307075e-3
"""GeV cm2: of Bethe's formula."""

SHOWERING = (22, 11, -11)
"""Kinds that make electromagnetic showers; of the charged ones, ionisation says nothing."""

GRID = np.linspace(np.log(1e-4), np.log(20.0), 512)
"""Logarithms of kinetic energies (GeV) of the tables of ranges."""


def ionises(pdg: int) -> bool:
    """Whether a kind can go its way by ionisation alone: whether it is charged, and no electron."""
    return pdg not in SHOWERING and float(nominal(np.array([pdg]))[0][0]) != 0


def ranges(pdg: int) -> Floats:
    """Logarithms of the ranges (mm) of a charged kind with kinetic energies as in `GRID`."""
    return _ranges(*(float(value[0]) for value in nominal(np.array([pdg]))))


@lru_cache
def _ranges(charge: float, mass: float) -> Floats:
    kinetic = np.exp(GRID)
    gamma = 1 + kinetic / mass
    beta2 = 1 - 1 / gamma**2
    momentum2 = gamma**2 * beta2
    largest = 2 * _ELECTRON * momentum2
    largest /= 1 + 2 * gamma * _ELECTRON / mass + (_ELECTRON / mass) ** 2
    x = 0.5 * np.log10(momentum2)
    effect = 2 * np.log(10) * x - _C + _A * np.maximum(_X1 - x, 0.0) ** _K
    effect = np.where(x < _X0, 0.0, np.maximum(effect, 0.0))
    logarithm = 0.5 * np.log(2 * _ELECTRON * momentum2 * largest / _EXCITATION**2)
    # Where the formula ends, at about 1 MeV of a proton, the loss is as good as constant.
    number = np.maximum(logarithm - beta2 - effect / 2, 0.8)
    per_cm = _DENSITY * _FACTOR * _Z_OVER_A * charge**2 / beta2 * number
    step = np.diff(GRID) * (kinetic / per_cm)[:-1] * np.expm1(np.diff(GRID)) / np.diff(GRID)
    logarithms: Floats = np.log(10 * np.cumsum(np.append(kinetic[0] / per_cm[0], step)))
    return logarithms


def expected_ionisation(pdg: Ints, momentum: Floats, way: Floats) -> Floats:
    """Energy (N,) in GeV that particles lose by ionisation on a way; see `ionises`.

    Parameters
    ----------
    pdg, momentum
        (N,) kinds, and GeV.
    way
        (N,) mm.
    """
    result = np.zeros(len(pdg))
    for kind in np.unique(pdg).tolist():
        rows = np.flatnonzero(pdg == kind)
        mass = float(nominal(np.array([kind]))[1][0])
        if not ionises(kind):
            continue
        table, p = ranges(kind), momentum[rows]
        kinetic = p**2 / (np.sqrt(p**2 + mass**2) + mass)
        left = np.exp(np.interp(np.log(kinetic), GRID, table)) - way[rows]
        energy = np.exp(np.interp(np.log(np.maximum(left, 1e-9)), table, GRID))
        result[rows] = kinetic - np.where(left > np.exp(table[0]), energy, 0.0)
    return result


def way(condition: Callable[[str], Floats], names: tuple[str, ...]) -> Floats:
    """Length (N,) in mm of straight ways from the entry to behind the crystals.

    Parameters
    ----------
    condition
        Returns the values (N,) of a condition.
    names
        Of the conditions there are.
    """
    endcap = "r" in names
    at = condition("r" if endcap else "z")
    axis = np.arctan2(at, END) if endcap else np.arctan2(RADIUS, at)
    return way_inside(
        axis,
        condition("delta_theta_mom"),
        condition("delta_phi_mom"),
        condition("depth") if "depth" in names else np.zeros(len(at)),
    )


def way_inside(axis: Floats, d_theta: Floats, d_phi: Floats, depth: Floats) -> Floats:
    """Length (N,) in mm of straight ways at angles to a crystal's axis.

    Parameters
    ----------
    axis
        (N,) theta of the axis (rad).
    d_theta, d_phi
        (N,) of the momentum, less those of the axis (rad).
    depth
        (N,) of the entry, along the axis (mm).
    """
    theta = axis + d_theta
    cosine = np.sin(axis) * np.sin(theta) * np.cos(d_phi) + np.cos(axis) * np.cos(theta)
    inside: Floats = np.clip(LENGTH - depth, 1.0, LENGTH)
    length: Floats = inside / np.maximum(cosine, LENGTH / LONGEST)
    return length


def outcomes(energy: Floats | Floats32, expected: Floats) -> Indices:
    """Outcomes (N,) of particles: `NOTHING`, `IONISED` or `INTERACTED`.

    Parameters
    ----------
    energy
        (N,) GeV that is seen: in all crystals, or in a window, above the threshold of crystals.
    expected
        (N,) GeV; see `expected_ionisation`.
    """
    low, high = IONISED_WITHIN
    ionised = (energy > low * expected) & (energy < high * expected)
    return np.where(energy > 0, np.where(ionised, IONISED, INTERACTED), NOTHING)

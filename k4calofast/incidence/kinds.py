"""Facts of kinds of particles, by their PDG numbers; from the PDG's tables (package `particle`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from particle import PDGID, InvalidParticle, Particle, ParticleNotFound

from k4calofast.arrays import Floats, Ints, Mask
from k4calofast.events.columns import Particles

NEUTRINOS = (12, 14, 16, 18)
_GLUONS = (9, 21)

_SHORT_LIVED = 1e-3
"""mm that light goes in a lifetime; masses of what lives shorter have a width."""
_SAME_CHARGE = 1e-3
_SAME_MASS = 0.05
"""Relative: generators differ in the last digits of masses."""
_ROUNDING = 1e-3
"""Relative to the momentum: masses that were calculated from rounded energies and momenta."""


@dataclass(frozen=True)
class Kind:
    """What is known of a kind; NaN for what is not.

    Attributes
    ----------
    charge, mass
        e and GeV; the mass only of what lives long enough to have a sharp one.
    free
        Whether it can fly through a detector: partons, strings and the like cannot.
    of_matter
        Whether matter is made of it, so that it can be knocked out with its rest mass.
    """

    charge: float
    mass: float
    free: bool
    of_matter: bool


@lru_cache(maxsize=10_000)
def kind(pdg: int) -> Kind:
    """Return what is known of a PDG number."""
    identity = PDGID(pdg)
    charge = identity.charge
    partonic = (
        identity.is_quark or pdg in _GLUONS or identity.is_diquark or identity.is_generator_specific
    )
    of_matter = pdg == 11 or pdg in (2112, 2212) or (bool(identity.is_nucleus) and pdg > 0)
    return Kind(
        np.nan if charge is None or not identity.is_valid else float(charge),
        _mass(pdg),
        not partonic,
        of_matter,
    )


def _mass(pdg: int) -> float:
    if abs(pdg) in NEUTRINOS:
        return np.nan
    try:
        particle = Particle.from_pdgid(pdg)
    except (InvalidParticle, ParticleNotFound):
        return np.nan
    if particle.mass is None:
        return np.nan
    stable = particle.width == 0 or (particle.ctau is not None and particle.ctau > _SHORT_LIVED)
    return float(particle.mass) * 1e-3 if stable else np.nan


def facts(pdg: Ints) -> tuple[Floats, Floats, Mask, Mask]:
    """Charge, mass, whether free and whether of matter, (N,) each; see `Kind`."""
    kinds, which = np.unique(pdg, return_inverse=True)
    known = [kind(int(one)) for one in kinds]
    charge = np.array([one.charge for one in known], np.float64)
    mass = np.array([one.mass for one in known], np.float64)
    free = np.array([one.free for one in known], np.bool_)
    of_matter = np.array([one.of_matter for one in known], np.bool_)
    return charge[which], mass[which], free[which], of_matter[which]


def nominal(pdg: Ints) -> tuple[Floats, Floats]:
    """Charge and mass (GeV) in the PDG's tables, (N,) each; NaN for what they do not have.

    Masses are those in the middle of a width, and 0 for neutrinos.
    """
    kinds, which = np.unique(pdg, return_inverse=True)
    known = [_nominal(int(one)) for one in kinds]
    values = np.array(known, np.float64).reshape(-1, 2)[which]
    return values[:, 0], values[:, 1]


def _nominal(pdg: int) -> tuple[float, float]:
    charge = kind(pdg).charge
    if abs(pdg) in NEUTRINOS:
        return charge, 0.0
    try:
        mass = Particle.from_pdgid(pdg).mass
    except (InvalidParticle, ParticleNotFound):
        mass = None
    return charge, np.nan if mass is None else float(mass) * 1e-3


def identified(particles: Particles) -> tuple[Particles, Mask]:
    """Return particles with the charge and mass of their PDG numbers, where theirs are wrong.

    Wrong is what is 0 and should not be, or contradicts the number. Where a record and the
    number agree, the record's digits stay.

    Returns
    -------
    particles
        With charges and masses that can be trusted.
    wrong
        (particles,) whose were not.
    """
    charge, mass, free, _ = facts(particles.pdg)
    momentum = np.abs(particles.momentum).max(1, initial=0.0)
    with np.errstate(invalid="ignore"):
        wrong_charge = np.abs(particles.charge - charge) > _SAME_CHARGE
        away = np.abs(particles.mass - mass)
        wrong_mass = away > _SAME_MASS * mass + _ROUNDING * momentum
    wrong_mass |= (particles.mass == 0) & (mass > 0)
    # What is not a number is refused, not mended.
    wrong_charge &= free & np.isfinite(particles.charge)
    wrong_mass &= free & np.isfinite(particles.mass)
    wrong = wrong_charge | wrong_mass
    if not wrong.any():
        return particles, wrong
    return replace(
        particles,
        charge=np.where(wrong_charge, charge, particles.charge),
        mass=np.where(wrong_mass, mass, particles.mass),
    ), wrong

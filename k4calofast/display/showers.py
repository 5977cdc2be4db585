"""Mean showers of a model: what it generates for many particles of one kind and momentum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Floats
from k4calofast.detector import Calorimeter
from k4calofast.documents import validated
from k4calofast.events.columns import Particles
from k4calofast.exceptions import OutOfDomainError, SteeringError
from k4calofast.generator import Model, ShowerKeys, generate, in_range
from k4calofast.generator.card import ModelCard
from k4calofast.incidence import arrive
from k4calofast.particle_gun import ParticleGun
from k4calofast.properties import CaloParticleGunProperties

SPREAD = 1.5
"""Degrees by which directions differ in theta and phi: particles enter all over a cell."""

_AT_ONCE = 256


@dataclass(frozen=True)
class MeanShower:
    """N showers together.

    Attributes
    ----------
    card, calorimeter
        Of the model.
    pdg, momentum, theta, phi
        Kind, GeV, and degrees.
    mean
        Mean energy (GeV) in each place of the window, of its shape.
    deposited
        (N,) GeV in the window.
    """

    card: ModelCard
    calorimeter: Calorimeter
    pdg: int
    momentum: float
    theta: float
    phi: float
    mean: Floats
    deposited: Floats


def mean_shower(
    model: Model, pdg: int, momentum: float, theta: float, phi: float, count: int, seed: int
) -> MeanShower:
    """Generate showers of particles that come from the middle of the detector.

    Parameters
    ----------
    pdg, momentum, theta, phi
        Kind, GeV and degrees; directions are spread evenly by `SPREAD` to both sides.
    count
        How many particles are shot; those that meet no cell are left out.
    seed
        Of directions and showers.

    Raises
    ------
    OutOfDomainError
        If the model is not for such particles, or none of them meets a cell in its range.
    SteeringError
        If there is no such particle, or angles are none.
    ModelError
        If the model fails.
    """
    card, calorimeter = model.card, model.detector
    if pdg not in card.kinds:
        kinds = ", ".join(map(str, card.kinds))
        raise OutOfDomainError(f"model '{card.name}' does not simulate PDG {pdg}, but {kinds}")
    asked = {
        "PDG": [pdg],
        "MomentumMin": momentum,
        "MomentumMax": momentum,
        "ThetaMin": max(theta - SPREAD, 0.0),
        "ThetaMax": min(theta + SPREAD, 180.0),
        "PhiMin": phi - SPREAD,
        "PhiMax": phi + SPREAD,
        "Seed": seed,
    }
    gun = ParticleGun(validated(CaloParticleGunProperties, asked, "showers", SteeringError))
    shot = gun.shoot(np.arange(count, dtype=np.uint64))
    particles = Particles.of_members(np.arange(count + 1), shot.__getitem__)
    arrivals, _ = arrive(particles, calorimeter)
    told = arrivals.conditions[:, model.columns]
    inside = in_range(card, particles.pdg[arrivals.particle], told)
    arrivals, told = arrivals.take(inside), told[inside]
    if not len(arrivals):
        raise OutOfDomainError(
            f"no PDG {pdg} of {momentum:g} GeV at theta {theta:g}, phi {phi:g} degrees meets a "
            f"cell of {calorimeter.name} in the range of model '{card.name}'"
        )
    keys = ShowerKeys.of_sample(arrivals.particle, seed)
    total, deposited = np.zeros(card.window), []
    for start in range(0, len(arrivals), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        some = arrivals.take(rows)
        surroundings = calorimeter.surroundings(
            some.cell, some.position, some.momentum, card.window
        )
        pdgs = particles.pdg[some.particle]
        found = generate(model, pdgs, told[rows], keys.take(rows), surroundings)
        energies = found.in_windows(len(some), card.window).astype(np.float64)
        total += energies.sum(0)
        deposited.append(energies.reshape(len(some), -1).sum(1))
    return MeanShower(
        card,
        calorimeter,
        pdg,
        momentum,
        theta,
        phi,
        total / len(arrivals),
        np.concatenate(deposited),
    )

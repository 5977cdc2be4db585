"""Samples for validations: showers of the package's own generator, as many as needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from k4calofast.detector.besiii import barrel as besiii_barrel
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.fullsim.crystals import besiii
from k4calofast.generator import Model, find_model
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals.readout import Crystals

MOMENTA = (0.1, 0.3, 1.0, 2.5)


@pytest.fixture(scope="session")
def model() -> Model:
    return Model(find_model("besiii_emc_barrel/flow"), "cpu", 2)


@pytest.fixture(scope="session")
def conditions() -> CrystalShowers:
    """Photons at four momenta; their energies are still to be made."""
    count = 16_000
    momentum = np.resize(MOMENTA, 4 * count)
    barrel = besiii_barrel()
    every = besiii.draw(np.random.default_rng(3), barrel, 22, momentum)
    # What is outside of the generator's ranges is in samples of today, but not in its.
    known = np.ones(len(every), np.bool_)
    for name, largest in (("delta_theta_mom", 0.35), ("delta_phi_mom", 0.35), ("delta_z_pos", 40)):
        known &= np.abs(every.condition(name)) < largest
    known &= np.abs(every.condition("z")) < 1378
    drawn = every.take(np.flatnonzero(known)[:count])
    return CrystalShowers(
        np.full(count, 22, np.int32),
        drawn.cell.astype(np.int32),
        drawn.conditions[:, : len(CONDITIONS)],
        np.zeros((count, 11, 11), np.float32),
        np.zeros(count, np.float32),
    )


@pytest.fixture(scope="session")
def readout(barrel, model) -> Crystals:
    return Crystals(barrel, model.card.threshold)


@pytest.fixture(scope="session")
def reference(readout, model, conditions) -> CrystalShowers:
    return readout.generated(model, conditions, 1)


@pytest.fixture(scope="session")
def repeated(readout, model, conditions) -> CrystalShowers:
    """The same photons with other noise: as good as the reference."""
    return readout.generated(model, conditions, 2)


@pytest.fixture(scope="session")
def without_angle(readout, model, conditions) -> CrystalShowers:
    """Showers of a generator that does not see delta_phi_mom."""
    blind = conditions.conditions.copy()
    blind[:, 2] = 0.0
    made = readout.generated(model, replace(conditions, conditions=blind), 2)
    return replace(conditions, energies=made.energies)

"""Samples for validations: showers of the package's own generator, as many as needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4calofast.generator import Model, find_model
from k4calofast.showers import crystals
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals.readout import Crystals

GEANT4 = Path(__file__).resolve().parents[1] / "data" / "geant4_showers.h5"
MOMENTA = (0.1, 0.3, 1.0, 2.5)


@pytest.fixture(scope="session")
def model() -> Model:
    return Model(find_model("besiii_emc_barrel/flow"), "cpu", 2)


@pytest.fixture(scope="session")
def conditions() -> CrystalShowers:
    """Photons at four momenta; their energies are still to be made.

    They meet the barrel as those of a sample that is as wide as the generator's, again and again.
    """
    count = 16_000
    sample, _ = crystals.read(GEANT4)
    photons = np.isin(np.round(sample.momentum, 3), MOMENTA) & (sample.pdg == 22)
    drawn = sample.take(np.resize(np.flatnonzero(photons), count))
    return replace(
        drawn,
        energies=np.zeros((count, 11, 11), np.float32),
        beside=np.zeros(count, np.float32),
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

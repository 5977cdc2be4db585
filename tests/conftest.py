"""What all tests share: the real files, where they are, and the detector."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from k4calofast.detector import besiii
from k4calofast.detector.crystals import CrystalBarrel
from k4calofast.events.columns import Particles
from k4calofast.particle_gun import ParticleGun
from k4calofast.properties import CaloParticleGunProperties

settings.register_profile("default", deadline=None, max_examples=50)
# For readers of files: pytest tests/events/test_fuzz.py --hypothesis-profile fuzz
settings.register_profile("fuzz", deadline=None, max_examples=3000, print_blob=True)
settings.load_profile("default")

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("K4CALOFAST_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def barrel() -> CrystalBarrel:
    """The BESIII EMC barrel."""
    return besiii.barrel()


@pytest.fixture(scope="session")
def shot() -> Callable[..., Particles]:
    """Shoot photons, electrons and positrons, or what the gun's properties say, for events."""

    def shoot(events: int, **properties) -> Particles:
        chosen = CaloParticleGunProperties(
            **{"PDG": [22, 11, -11], "MomentumMin": 0.2, "MomentumMax": 2.0} | properties
        )
        members = ParticleGun(chosen).shoot(np.arange(events, dtype=np.uint64))
        return Particles(
            offsets=np.arange(events + 1) * chosen.ParticlesPerEvent,
            pdg=members["PDG"],
            generator_status=members["generatorStatus"],
            simulator_status=members["simulatorStatus"],
            charge=members["charge"],
            time=members["time"],
            mass=members["mass"],
            vertex=members["vertex"],
            endpoint=members["endpoint"],
            momentum=members["momentum"],
            momentum_at_endpoint=members["momentumAtEndpoint"],
        )

    return shoot


@pytest.fixture
def edm4hep_records():
    """Path of a record of particles by its name; skips the test where it is absent."""

    def path(name: str) -> Path:
        file = DATA / "records" / name
        if not file.exists():
            pytest.skip(f"{file} is not here (K4CALOFAST_TEST_DATA)")
        return file

    return path


@pytest.fixture
def edm4hep_file():
    """Path of a real EDM4hep file by its name; skips the test where it is absent."""

    def path(name: str) -> Path:
        file = DATA / "edm4hep" / name
        if not file.exists():
            pytest.skip(f"{file} is not here (K4CALOFAST_TEST_DATA)")
        return file

    return path

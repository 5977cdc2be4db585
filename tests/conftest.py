"""What all tests share: the real files, where they are, and the detector."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from k4calofast.detector import besiii
from k4calofast.detector.crystals import CrystalBarrel

settings.register_profile("default", deadline=None, max_examples=50)
settings.load_profile("default")

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("K4CALOFAST_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def barrel() -> CrystalBarrel:
    """The BESIII EMC barrel."""
    return besiii.barrel()


@pytest.fixture
def edm4hep_file():
    """Path of a real EDM4hep file by its name; skips the test where it is absent."""

    def path(name: str) -> Path:
        file = DATA / "edm4hep" / name
        if not file.exists():
            pytest.skip(f"{file} is not here (K4CALOFAST_TEST_DATA)")
        return file

    return path

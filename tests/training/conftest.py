"""A small Geant4 sample, and trainings small enough for a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from k4calofast.showers import crystals
from k4calofast.training.crystals.kind import KIND
from k4calofast.training.crystals.sample import Sample

GEANT4 = Path(__file__).resolve().parents[1] / "data" / "geant4_showers.h5"

SMALL = {
    "flow_matching": {
        "width": 32,
        "blocks": 2,
        "steps": 60,
        "batch": 256,
        "distillation_steps": 10,
        "distillation_batch": 64,
        "jumps": 2,
        "small_jumps": 1,
        "small_width": 16,
        "small_steps": 30,
        "small_batch": 64,
        "trajectories": 500,
    },
    "pixelcnn": {
        "classes": 32,
        "missing_classes": 32,
        "channels": 8,
        "layers": 2,
        "context": 4,
        "embedding": 16,
        "steps": 30,
        "batch": 32,
        "missing_steps": 30,
        "missing_batch": 64,
    },
    "vae": {
        "kind": "bib_ae",
        "latent": 8,
        "width": 32,
        "blocks": 1,
        "embedding": 16,
        "couplings": 2,
        "steps": 40,
        "batch": 64,
        "critic_width": 32,
        "critic_steps": 10,
        "critic_batch": 32,
        "post_steps": 10,
        "post_batch": 32,
        "missing_classes": 32,
        "missing_steps": 30,
        "missing_batch": 64,
    },
    "hadrons": {
        "latent": 8,
        "width": 32,
        "later_width": 16,
        "blocks": 1,
        "embedding": 16,
        "couplings": 2,
        "steps": 40,
        "batch": 64,
        "post_steps": 10,
        "post_batch": 32,
        "response_width": 32,
        "interacted": 32,
        "response_steps": 30,
        "response_batch": 64,
    },
    "library": {"showers": 1200, "bin": 8},
    "diffusion": {
        "width": 32,
        "blocks": 2,
        "steps": 60,
        "batch": 256,
        "distillation_steps": 10,
        "distillation_batch": 64,
    },
    "gan": {
        "latent": 8,
        "channels": 4,
        "hidden": 32,
        "steps": 40,
        "batch": 64,
    },
    "wgan_gp": {
        "latent": 16,
        "width": 32,
        "layers": 2,
        "critic_width": 32,
        "critic_layers": 2,
        "steps": 60,
        "batch": 128,
    },
    "caloflow": {
        "width": 32,
        "layers": 1,
        "passes": 4,
        "transforms": 2,
        "energy_steps": 20,
        "energy_batch": 256,
        "steps": 20,
        "batch": 64,
        "student_steps": 10,
        "student_batch": 32,
    },
    "gflash": {"steps": 5, "batch": 128, "bin": 100, "matched": 2000},
}
"""For each family, settings of a training of a few seconds."""


@pytest.fixture(scope="session")
def geant4():
    return GEANT4


@pytest.fixture(scope="session")
def small():
    return SMALL


@pytest.fixture(scope="session")
def sample() -> Sample:
    return Sample.of(crystals.read(GEANT4)[0], 5e-5)


@pytest.fixture(scope="session")
def shape():
    return KIND.shape(crystals.read(GEANT4)[1], None)

"""A small Geant4 sample of showers in layers, and a generator trained on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from k4calofast.showers import layers
from k4calofast.training import recipe
from k4calofast.training.families import settings_of

GEANT4 = Path(__file__).resolve().parents[2] / "data" / "layered_showers.h5"
SMALL = {
    "window": 21,
    "profile_width": 24,
    "profile_steps": 60,
    "profile_batch": 16,
    "components": 4,
    "width": 32,
    "parts": 3,
    "steps": 400,
    "batch": 64,
    "learning_rate": 5e-3,
    "numbers": 256,
    "epoch": 40,
}
TINY = SMALL | {
    "window": 9,
    "profile_steps": 20,
    "components": 2,
    "steps": 40,
    "batch": 32,
    "numbers": 64,
    "epoch": 20,
}


@pytest.fixture(scope="session")
def geant4_layers() -> Path:
    return GEANT4


@pytest.fixture(scope="session")
def small_layers():
    """Settings of a training of a few seconds."""
    return settings_of("layered")(**SMALL)


@pytest.fixture(scope="session")
def made(tmp_path_factory, small_layers) -> tuple[Path, Path]:
    """A model folder, and its work folder."""
    folder = tmp_path_factory.mktemp("layered")
    output, work = folder / "barrel" / "layered", folder / "work"
    task = recipe.Task("layered", small_layers, GEANT4)
    recipe.train(task, recipe.Product(output, work, "k4calofast train ..."))
    return output, work


@pytest.fixture(scope="session")
def halves(tmp_path_factory) -> tuple[Path, Path]:
    """A few showers to train on, and others to choose by."""
    folder = tmp_path_factory.mktemp("halves")
    showers, provenance = layers.read(GEANT4)
    files = folder / "train.h5", folder / "choose.h5"
    for seed, file in enumerate(files):
        part = showers.take(slice(seed, None, 4))
        layers.write(file, [part], provenance.model_copy(update={"seed": seed}))
    return files


@pytest.fixture(scope="session")
def tiny_layers():
    """Settings of a training of a second, which has learned nothing."""
    return settings_of("layered")(**TINY)


@pytest.fixture(scope="session")
def tiny(halves, tiny_layers, tmp_path_factory) -> tuple[Path, Path]:
    """A model folder, and its work folder."""
    folder = tmp_path_factory.mktemp("tiny")
    output, work = folder / "barrel" / "layered", folder / "work"
    task = recipe.Task("layered", tiny_layers, halves[0])
    recipe.train(task, recipe.Product(output, work, "k4calofast train ..."))
    return output, work

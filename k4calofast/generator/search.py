"""Where models are: by their path, or by their name in one of a few folders.

A model is a folder with a card, a set a YAML file (`k4calofast.generator.sets`); both are looked
for in the same places, and what comes first is taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import platformdirs

from k4calofast.exceptions import ModelError
from k4calofast.generator import index
from k4calofast.generator.card import CARD_FILE

SEARCH_PATH = "K4CALOFAST_MODEL_PATH"
"""Environment variable with folders, separated by colons, to look for models in first."""

CACHE = "K4CALOFAST_MODEL_CACHE"
"""Environment variable with the folder that fetched models are put into."""

SET_SUFFIX = ".yaml"

PACKAGED = Path(__file__).resolve().parents[1] / "models"
"""Folder of the models that are installed with the package."""


def cache_folder() -> Path:
    """Folder that `k4calofast models fetch` puts models into: of the user, if none is named."""
    named = os.environ.get(CACHE, "")
    # Where pooch would put its files.
    return Path(named) if named else Path(platformdirs.user_cache_dir("k4calofast")) / "models"


def model_folders() -> list[Path]:
    """Folders that are searched for models, in this order."""
    listed = [Path(part) for part in os.environ.get(SEARCH_PATH, "").split(":") if part]
    # In a checkout, models are beside the package.
    return [*listed, PACKAGED, PACKAGED.parents[1] / "models", cache_folder()]


def matches(name: str) -> Iterator[Path]:
    """Yield cards of models and files of sets that a name can stand for, in the order of search.

    Parameters
    ----------
    name
        Path of a model's folder or of a file, or the name of either in one of the `model_folders`.
    """
    if not name:
        return
    # A name can be too long for a path.
    with suppress(OSError, ValueError):
        if name.endswith(SET_SUFFIX) and Path(name).is_file():
            yield Path(name)
        for folder in (Path(), *model_folders()):
            for file in (folder / name / CARD_FILE, folder / f"{name}{SET_SUFFIX}"):
                if file.is_file():
                    yield file


def find_model(name: str) -> Path:
    """Folder of a model that is given by its path, or by its name in one of the folders.

    Raises
    ------
    ModelError
        If there is none; the message says how to get it, or lists the models there are.
    """
    for file in matches(name):
        if file.name == CARD_FILE:
            return file.parent
    raise missing(name)


def installed() -> dict[str, Path]:
    """Folders of all models in the `model_folders`, by name; the first of each name."""
    return _by_name(f"*/*/{CARD_FILE}")


def installed_sets() -> dict[str, Path]:
    """Files of all sets in the `model_folders`, by name; the first of each name."""
    return _by_name(f"*/*{SET_SUFFIX}")


def _by_name(pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in model_folders():
        for file in sorted(folder.glob(pattern)):
            place = file.parent if file.name == CARD_FILE else file
            name = str(place.relative_to(folder)).removesuffix(SET_SUFFIX)
            # What begins with a dot is about to be written, or a system's own.
            if not name.startswith("."):
                found.setdefault(name, place)
    return found


def missing(name: str) -> ModelError:
    """Return the error for a name that stands for no model."""
    if not name:
        return ModelError("no model is given")
    if (entry := index.entries().get(name)) is not None:
        return ModelError(
            f"model '{name}' is not installed: get it by `k4calofast models fetch {name}` "
            f"({entry.size / 1e6:.1f} MB)"
        )
    models, sets = installed(), installed_sets()
    if name in sets:
        return ModelError(f"'{name}' is a set of models, and one model is wanted")
    to_fetch = sorted(set(index.entries()) - set(models))
    sentence = f"no model '{name}'; there are {', '.join(sorted(models)) or 'none'}"
    if sets:
        sentence += f"; and the sets {', '.join(sorted(sets))}"
    if to_fetch:
        sentence += f"; and by `k4calofast models fetch`, {', '.join(to_fetch)}"
    return ModelError(sentence)

"""Families of generators: each a module with its settings, networks and losses.

A module defines `FAMILY`, and is loaded, torch with it, when its family is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from k4calofast.exceptions import TrainingError

if TYPE_CHECKING:
    from k4calofast.training.configuration import Settings

_MODULES = {
    "gan": "crystals.families.gan",
    "wgan_gp": "crystals.families.wgan_gp",
    "pixelcnn": "crystals.families.pixelcnn",
    "vae": "crystals.families.vae",
    "hadrons": "crystals.families.hadrons",
    "caloflow": "crystals.families.caloflow",
    "flow_matching": "crystals.families.flow_matching",
    "diffusion": "crystals.families.diffusion",
    "library": "crystals.families.library",
    "gflash": "crystals.families.gflash",
    "layered": "layers.family",
}

FAMILIES = tuple(_MODULES)
"""Names of the families."""

DEFAULT = "flow_matching"
"""The family that made the generators of this package."""


def kind_of(name: str) -> str:
    """Return the kind of calorimeters that a family is for, as `k4calofast.training.kinds` has it.

    Raises
    ------
    TrainingError
        If there is no family of that name; the message lists them.
    """
    return _module(name).partition(".")[0]


def load(name: str) -> Any:
    """Return the class of a family, a `k4calofast.training.family.Family`; see `kind_of`."""
    return import_module(f"k4calofast.training.{_module(name)}").FAMILY


def settings_of(name: str) -> type[Settings]:
    """Return the settings of a family; see `kind_of`."""
    settings: type[Settings] = load(name).Settings
    return settings


def _module(name: str) -> str:
    if name not in _MODULES:
        raise TrainingError(f"no family '{name}'; there are {', '.join(FAMILIES)}")
    return _MODULES[name]

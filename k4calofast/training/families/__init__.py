"""Families of generators: each a module with its settings, networks and losses.

A module defines `FAMILY`, and is loaded, torch with it, when its family is asked for.
"""

from __future__ import annotations

from importlib import import_module

from k4calofast.exceptions import TrainingError
from k4calofast.training.configuration import Settings

FAMILIES = (
    "gan",
    "wgan_gp",
    "pixelcnn",
    "vae",
    "caloflow",
    "flow_matching",
    "diffusion",
    "library",
    "gflash",
    "layered",
)
"""Names of the families; of modules here, too."""

OF_LAYERS = ("layered",)
"""Those that make showers in layers; the others make windows of crystals."""

DEFAULT = "flow_matching"
"""The family that made the generators of this package."""


def check(name: str) -> str:
    """Return the name of a family.

    Raises
    ------
    TrainingError
        If there is none of that name; the message lists them.
    """
    if name not in FAMILIES:
        raise TrainingError(f"no family '{name}'; there are {', '.join(FAMILIES)}")
    return name


def settings_of(name: str) -> type[Settings]:
    """Return the settings of a family.

    Raises
    ------
    TrainingError
        If there is none of that name.
    """
    module = import_module(f"k4calofast.training.families.{check(name)}")
    found: type[Settings] = module.FAMILY.Settings
    return found

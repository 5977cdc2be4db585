"""Full simulation of crystals: blocks at their places, energies in windows around the one hit."""

from k4calofast.fullsim.crystals.setup import setup

__all__ = ["setup"]

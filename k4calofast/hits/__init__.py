"""From windows of cell energies to calorimeter hits and their contributions, and digits."""

from k4calofast.hits.assembly import EnergyBalance, assemble

__all__ = ["EnergyBalance", "assemble"]

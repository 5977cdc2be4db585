"""From windows of cell energies to calorimeter hits and their contributions."""

from k4calofast.hits.assembly import Contributions, EnergyBalance, Hits, assemble

__all__ = ["Contributions", "EnergyBalance", "Hits", "assemble"]

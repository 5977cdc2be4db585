"""From deposits in cells to calorimeter hits and their contributions, and digits."""

from k4calofast.hits.assembly import Deposits, EnergyBalance, assemble

__all__ = ["Deposits", "EnergyBalance", "assemble"]

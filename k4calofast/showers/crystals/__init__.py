"""Showers in crystals: windows of energies, from samples of this package and files of others."""

from k4calofast.showers.crystals.others import read_others
from k4calofast.showers.crystals.windows import (
    LAYOUT,
    LAYOUTS,
    AllHits,
    CrystalProvenance,
    CrystalShowers,
    read,
    write,
)

__all__ = [
    "LAYOUT",
    "LAYOUTS",
    "AllHits",
    "CrystalProvenance",
    "CrystalShowers",
    "read",
    "read_others",
    "write",
]

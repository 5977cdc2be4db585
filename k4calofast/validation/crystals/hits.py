"""Deposits of showers in all crystals, and where they are: in the window, outside, elsewhere.

The window is that of the sample's energies, around the crystal that was entered; it goes on over
the borders between calorimeters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Columns, Floats, Indices, Mask, owners
from k4calofast.detector import CrystalCalorimeter
from k4calofast.showers.crystals import CrystalShowers

ENTERED, NEXT, WINDOW, OUTSIDE = 0, 1, 2, 3
"""Where a crystal is: entered, one of the eight around that, in the window, or outside."""

PLACES = ("the crystal entered", "the eight around it", "rest of the window", "outside the window")
"""In words."""


@dataclass(frozen=True)
class Hits(Columns):
    """H deposits of N showers, each in a crystal of its own.

    Attributes
    ----------
    shower
        (H,) whose, in ascending order.
    crystal
        (H,) number in the calorimeter that was entered, and then in those beyond.
    energy
        (H,) GeV.
    time
        (H,) ns, energy-weighted mean, after the particle entered; NaN where it is not known.
    where
        (H,) `ENTERED`, `NEXT`, `WINDOW` or `OUTSIDE`.
    other
        (H,) whether the crystal is of another calorimeter than the one that was entered.
    distance
        (H,) mm between the front of the crystal and that of the one that was entered.
    """

    shower: Indices
    crystal: Indices
    energy: Floats
    time: Floats
    where: Indices
    other: Mask
    distance: Floats

    @staticmethod
    def of(showers: CrystalShowers, detector: CrystalCalorimeter) -> Hits:
        """Return the deposits of showers.

        Raises
        ------
        FileFormatError
            If the sample knows windows alone.
        """
        known = showers.hits()
        shower, crystal = owners(known.offsets), known.crystal.astype(np.int64)
        entered = known.cell.astype(np.int64)[shower]
        rows, columns = showers.energies.shape[1:]
        place = detector.place_of(entered, crystal, (rows, columns))
        down, across = np.divmod(place, columns)
        away = np.maximum(np.abs(down - rows // 2), np.abs(across - columns // 2))
        where = np.where(place < 0, OUTSIDE, np.minimum(away, WINDOW))
        fronts = all_fronts(detector)
        distance = np.linalg.norm(fronts[crystal] - fronts[entered], axis=1)
        energy, time = known.energy.astype(np.float64), known.time.astype(np.float64)
        other = crystal >= detector.n_cells
        return Hits(shower, crystal, energy, time, where, other, distance)


def all_fronts(detector: CrystalCalorimeter) -> Floats:
    """(crystals, 3) mm: centres of the fronts of a calorimeter's crystals, and of those beyond."""
    return np.concatenate([of.front_centre(np.arange(of.n_cells)) for of in _all(detector)])


def all_centres(detector: CrystalCalorimeter) -> Floats:
    """(crystals, 3) mm: centres of the same crystals."""
    return np.concatenate([of.centre(np.arange(of.n_cells)) for of in _all(detector)])


def _all(detector: CrystalCalorimeter) -> tuple[CrystalCalorimeter, ...]:
    return detector, *detector.beyond

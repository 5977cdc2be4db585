"""What generators make: deposits in the places of windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Generated:
    """D deposits of some showers.

    Attributes
    ----------
    shower
        (D,) whose, in ascending order.
    place
        (D,) where in the window, counted with its last dimension the fastest.
    energy
        (D,) GeV, above 0.
    delay
        (D,) ns after light could have come straight from where the particle entered.
    """

    shower: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    energy: npt.NDArray[np.float32]
    delay: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.shower)

    @staticmethod
    def of_windows(energies: npt.NDArray[np.float32]) -> Generated:
        """Deposits of energies (N, ...) in windows; without delay."""
        flat = energies.reshape(len(energies), int(np.prod(energies.shape[1:])))
        shower, place = np.nonzero(flat != 0)
        energy = flat[shower, place]
        return Generated(shower, place, energy, np.zeros(len(energy), np.float32))

    def first(self, showers: int) -> Generated:
        """Return the deposits of the first showers."""
        rows = slice(0, int(np.searchsorted(self.shower, showers)))
        return Generated(*(getattr(self, field.name)[rows] for field in fields(self)))

    def moved(self, by: int) -> Generated:
        """Return the same for showers with so much larger numbers."""
        return Generated(self.shower + by, self.place, self.energy, self.delay)

    @staticmethod
    def concatenate(parts: Sequence[Generated]) -> Generated:
        """Return the deposits of several, one after the other."""
        return Generated(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(Generated)
            )
        )

"""The columns of a sample of single-particle showers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Showers:
    """N showers, each seen in a window of cells around the cell that was hit.

    Attributes
    ----------
    pdg
        (N,) PDG number of the particle.
    cell
        (N,) cell that was hit.
    conditions
        (N, 6) in the order and units of `k4calofast.detector.crystals.CONDITIONS`.
    energies
        (N, rows, columns) energy deposited in each cell of the window (GeV); 0 where the
        window has no cell.
    beside
        (N,) energy deposited in cells outside the window (GeV).
    """

    pdg: npt.NDArray[np.int32]
    cell: npt.NDArray[np.int32]
    conditions: npt.NDArray[np.float64]
    energies: npt.NDArray[np.float32]
    beside: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pdg)

    @property
    def momentum(self) -> npt.NDArray[np.float64]:
        """(N,) momentum at the face (GeV): the first of the conditions."""
        return self.conditions[:, 0]

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> Showers:
        """Return the showers of these rows."""
        return Showers(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence[Showers]) -> Showers:
        """Return the showers of several samples, one after the other."""
        return Showers(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(Showers)
            )
        )

"""Deposits of showers in all crystals, by place around the crystal that is entered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

from k4calofast.arrays import Floats32, Indices, Mask, owners

Places = TypeVar("Places", Tensor, Indices)

WHOLE = (111, 121)
"""Rows and columns of the window that holds every crystal of BESIII's EMC, whatever is entered."""


def place_in_whole(window: tuple[int, int]) -> Indices:
    """Places (cells,) in `WHOLE` of the cells of a smaller window with the same centre."""
    rows, columns = window
    row = WHOLE[0] // 2 - rows // 2 + np.arange(rows)
    column = WHOLE[1] // 2 - columns // 2 + np.arange(columns)
    return (row[:, None] * WHOLE[1] + column).ravel()


def around(place: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (D,) of places (D,) in `WHOLE`, from that of the crystal entered."""
    row = place.div(WHOLE[1], rounding_mode="floor")
    return row - WHOLE[0] // 2, place - row * WHOLE[1] - WHOLE[1] // 2


def place_at(down: Tensor, across: Tensor) -> Tensor:
    """Places (D,) in `WHOLE` of rows and columns (D,): the inverse of `around`."""
    return (down + WHOLE[0] // 2) * WHOLE[1] + across + WHOLE[1] // 2


def opposite(place: Places) -> Places:
    """Places (D,) in `WHOLE` of what is as many rows on the other side of the crystal entered."""
    return (WHOLE[0] - 1) * WHOLE[1] - place + 2 * (place % WHOLE[1])


@dataclass(frozen=True)
class Deposits:
    """D deposits of N showers, mirrored as conditions are.

    Attributes
    ----------
    offsets
        (N + 1,) where those of a shower start.
    place
        (D,) in `WHOLE`.
    energy
        (D,) GeV, above the threshold.
    delay
        (D,) ns after the entry, NaN where it is not known.
    """

    offsets: Indices
    place: Indices
    energy: Floats32
    delay: Floats32

    @property
    def shower(self) -> Indices:
        """(D,) whose."""
        return owners(self.offsets)

    def where(self, wanted: Mask) -> Deposits:
        """Return some of the deposits (D,) of the same showers."""
        counts = np.bincount(self.shower[wanted], minlength=len(self.offsets) - 1)
        offsets = np.append(0, np.cumsum(counts))
        return Deposits(offsets, self.place[wanted], self.energy[wanted], self.delay[wanted])

    def within(self, window: tuple[int, int]) -> Mask:
        """Whether deposits (D,) are in a window with the same centre."""
        return np.isin(self.place, place_in_whole(window))

    def take(self, rows: Indices) -> Deposits:
        """Return the deposits of some showers."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.append(0, np.cumsum(counts))
        points = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], counts)
        return Deposits(offsets, self.place[points], self.energy[points], self.delay[points])

"""Rulers: where cells are along one direction, what lies dead between them, and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from k4calofast.arrays import Floats, Indices

ROUNDING = 1e-6
"""mm by which cells may reach over the end of what carries them."""


@dataclass(frozen=True, eq=False)
class Ruler:
    """Cells along one direction, in the order of their positions.

    Attributes
    ----------
    centre, half
        (C,) mm, of cells.
    low, high
        mm: what carries the cells reaches from here to there.
    fields
        (C,) values that each cell adds to fields of the cell ID, by field.
    """

    centre: Floats
    half: Floats
    low: float
    high: float
    fields: dict[str, Indices]

    def __len__(self) -> int:
        return len(self.centre)

    @cached_property
    def step(self) -> float:
        """From one cell to the next (mm), in the middle."""
        return 2 * float(self.half[len(self) // 2])

    @cached_property
    def borders(self) -> Floats:
        """(C - 1,) mm, between one cell and the next."""
        return (self.centre[1:] + self.centre[:-1]) / 2

    def nearest(self, position: Floats) -> Indices:
        """Cells (N,) whose centres are nearest to positions (N,) in mm."""
        return np.searchsorted(self.borders, position)

    def at(self, position: Floats) -> Indices:
        """Cells (N,) at positions (N,) in mm; -1 where there is nothing, or nothing sensitive."""
        near = self.nearest(position)
        inside = np.abs(position - self.centre[near]) <= self.half[near] + ROUNDING
        inside &= (position >= self.low) & (position <= self.high)
        return np.where(inside, near, -1)

    def around(self, position: Floats, size: int) -> tuple[Indices, Floats]:
        """Cells around positions, as if the ruler went on beyond its ends.

        Parameters
        ----------
        position
            (N,) mm.
        size
            How many, odd.

        Returns
        -------
        cells
            (N, size); below 0 or beyond the last for those that are not there.
        centres
            (N, size) mm.
        """
        cells, centres = around([self], position[:, None], size)
        return cells[:, 0], centres[:, 0]


def around(rulers: Sequence[Ruler], position: Floats, size: int) -> tuple[Indices, Floats]:
    """Cells of R rulers around positions on each of them; see `Ruler.around`.

    Parameters
    ----------
    position
        (N, R) mm.

    Returns
    -------
    cells, centres
        (N, R, size).
    """
    half, last = size // 2, np.array([len(ruler) - 1 for ruler in rulers])
    start, end = (np.array([ruler.centre[place] for ruler in rulers]) for place in (0, -1))
    step = np.array([ruler.step for ruler in rulers])
    # All rulers, one behind the other, are searched at once.
    reach = 1 + np.maximum(np.abs(start), np.abs(end)).max()
    behind = 2 * reach * np.arange(len(rulers))
    borders = np.concatenate([ruler.borders + by for ruler, by in zip(rulers, behind, strict=True)])
    middle = np.searchsorted(borders, np.clip(position, -reach, reach) + behind)
    before = np.cumsum(last) - last
    middle -= before
    below, above = position < start - step / 2, position > end + step / 2
    if below.any() or above.any():
        middle = np.where(below, np.rint((position - start) / step), middle)
        middle = np.where(above, last + np.rint((position - end) / step), middle).astype(np.int64)
    cells = middle[:, :, None] + np.arange(-half, size - half)
    # Most windows have all of their cells.
    centres = np.concatenate([ruler.centre for ruler in rulers])
    first = before + np.arange(len(rulers))
    nearest = np.clip(cells, 0, last[:, None])
    nearest += first[:, None]
    found = centres.take(nearest)
    row, ruler = np.nonzero((middle < half) | (middle > last - half))
    places = cells[row, ruler]
    over = np.minimum(places, 0) + np.maximum(places - last[ruler, None], 0)
    found[row, ruler] += step[ruler, None] * over
    return cells, found


def grid(size: float, low: float, high: float, field: str) -> Ruler:
    """Cells at whole multiples of their size, all that something between low and high is in."""
    first, last = int(np.floor(low / size + 0.5)), int(np.floor(high / size + 0.5))
    number = np.arange(first, last + 1)
    return Ruler(
        size * number.astype(np.float64), np.full(len(number), size / 2), low, high, {field: number}
    )

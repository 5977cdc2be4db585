"""Rows of crystals: how all crystals of a calorimeter are numbered, and windows of them.

A row is a ring of crystals at one theta. Rows are numbered in the order of theta, and crystals row
by row, each row beginning at its column 0. Rows may have different numbers of crystals.

A window has rows and columns, both odd, around the crystal in its middle. Its rows are those next
to the middle's; its columns are counted, in each row, from the crystal that is nearest in phi to
the middle one: in rows of as many crystals as the middle's, that of the same column. A window that
is wider than a row holds each of its crystals once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from k4calofast.arrays import Floats, Indices

_DIMENSIONS = 2


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of crystals, C crystals in all.

    Parameters
    ----------
    sizes
        (rows,) number of crystals in each row.
    azimuth
        (C,) phi of each crystal (rad), in ascending order within a row.
    """

    sizes: Indices
    azimuth: Floats = field(repr=False)

    @cached_property
    def first(self) -> Indices:
        """(rows,) number of each row's column 0."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def row(self) -> Indices:
        """(C,) row of each crystal."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def column(self) -> Indices:
        """(C,) column of each crystal, in its row."""
        return np.arange(len(self.row)) - self.first[self.row]

    @cached_property
    def _nearest(self) -> Indices:
        """(C, rows) column of each row that is nearest in phi to each crystal."""
        nearest = np.empty((len(self.row), len(self.sizes)), np.int64)
        for row, (first, size) in enumerate(zip(self.first, self.sizes, strict=True)):
            there = self.azimuth[first : first + size]
            away = np.abs(self.azimuth[:, None] - there)
            nearest[:, row] = np.minimum(away, 2 * np.pi - away).argmin(1)
            alike = self.sizes[self.row] == size
            nearest[alike, row] = self.column[alike]
        return nearest

    @property
    def whole(self) -> tuple[int, int]:
        """Shape of the smallest window that holds all crystals, whatever is in its middle."""
        return 2 * len(self.sizes) - 1, int(self.sizes.max()) // 2 * 2 + 1

    def check(self, shape: tuple[int, ...]) -> None:
        """Make sure that this can be the shape of a window.

        Raises
        ------
        ValueError
            If it cannot; the message says why.
        """
        if len(shape) != _DIMENSIONS:
            raise ValueError(f"a window of crystals has rows and columns, not {len(shape)} sides")
        rows, columns = shape
        if rows % 2 == 0 or columns % 2 == 0:
            raise ValueError(
                f"a window of {rows} x {columns} has no centre: both sides must be odd"
            )
        most = self.whole
        if rows > most[0] or columns > most[1]:
            raise ValueError(
                f"a window of {rows} x {columns} is larger than the whole calorimeter, which "
                f"{most[0]} x {most[1]} hold"
            )

    def crystal(
        self, middle: Indices, place: Indices, shape: tuple[int, ...], way: Indices
    ) -> Indices:
        """Crystals (D,) in places of windows, -1 where there is none.

        Parameters
        ----------
        middle
            (D,) crystals in the windows' middles.
        place
            (D,) places, counted with columns the fastest.
        shape
            Rows and columns of the windows.
        way
            (D,) 1 where a window's rows are in the order of theta, -1 where they are against it.
        """
        rows, columns = shape
        down = place // columns
        across = place - down * columns - columns // 2
        row = self.row[middle] + way * (down - rows // 2)
        there = (row >= 0) & (row < len(self.sizes)) & (place >= 0) & (place < math.prod(shape))
        row = np.where(there, row, 0)
        size = self.sizes[row]
        there &= (across >= -(size // 2)) & (across < size - size // 2)
        column = (self._nearest[middle, row] + across) % size
        return np.where(there, self.first[row] + column, -1)

    def place(
        self, middle: Indices, crystal: Indices, shape: tuple[int, ...], way: Indices
    ) -> Indices:
        """Places (D,) of crystals (D,) in windows, -1 outside of them; see `crystal`."""
        rows, columns = shape
        row = self.row[crystal]
        size = self.sizes[row]
        down = way * (row - self.row[middle])
        across = self.column[crystal] - self._nearest[middle, row]
        across = (across + size // 2) % size - size // 2
        inside = (np.abs(down) <= rows // 2) & (np.abs(across) <= columns // 2)
        place = (down + rows // 2) * columns + across + columns // 2
        return np.where(inside, place, -1)

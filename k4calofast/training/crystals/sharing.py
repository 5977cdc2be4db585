"""How cells share a shower's energy: in groups that are drawn one after the other.

Cells that are drawn all at once know nothing of each other, and their sum is far from what is to be
shared out. So the energy is shared among groups of cells first, and each group knows its part and
all cells before it; of a few drawings, that is taken whose sum is nearest to its part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from k4calofast.training.crystals.variables import CUT, EDGE, POWER, SPAN, Scale, above_edge
from k4calofast.training.sums import sums

UNIT = 5.0
"""Scale of numbers, for networks."""

_BY_PARITY = 4
"""Groups by whether row and column are odd, counted from the middle."""

_NEAR = 2
"""Rows and columns within which a cell's neighbours are."""

_MIDDLE, _STRETCH, _ALL = 12.0, 3.0, 7.5
"""Of numbers of parts: logarithms of odds are moved and stretched, and all has one of its own."""

_CHANGE = (1 / 3, 3.0)
"""By which what a group's energies have above `EDGE` is changed so that they add up."""

_LEAST_TOTAL = 1e-4
"""GeV; shares are of no smaller total than this."""


def grouped(window: tuple[int, int], groups: int) -> list[Tensor]:
    """Cells of groups, none of which has two cells with a common side; of four, with a corner.

    The cell in the middle, which mostly has most of the energy, is in the first.
    """
    from_middle = [torch.arange(size) - size // 2 for size in window]
    row, column = (at.flatten() for at in torch.meshgrid(*from_middle, indexing="ij"))
    if groups == _BY_PARITY:
        # What touches at a corner comes next: the last two see all around them.
        of = torch.tensor([[0, 2], [3, 1]])[row % 2, column % 2]
    else:
        of = (row + column) % groups
    return [torch.nonzero(of == group)[:, 0] for group in range(groups)]


def near(window: tuple[int, int], groups: Sequence[Tensor], nothing: int) -> Tensor:
    """Where what is seen of cells near those of the last group is, of the groups before.

    Parameters
    ----------
    nothing
        Where what lies outside the window is.

    Returns
    -------
    Tensor
        (cells, 3 n), of n places that are at most `_NEAR` rows and columns away.
    """
    place = torch.stack(torch.unravel_index(torch.cat(list(groups)), window), 1)
    cells = len(groups[-1])
    before, mine = place[:-cells], place[-cells:]
    away = before - mine[:, None]
    close = (away.abs() <= _NEAR).all(2)
    offsets = torch.unique(away[close], dim=0)
    found = (away[:, None] == offsets[:, None]).all(3)
    number = torch.where(found.any(2), found.int().argmax(2), nothing)
    parts = [torch.where(number < nothing, number + k * len(before), nothing) for k in range(3)]
    return torch.cat(parts, 1)


def seen_of(numbers: Tensor) -> Tensor:
    """What networks see (N, 2 cells) of numbers (N, cells), `EMPTY` where empty."""
    lit = numbers > CUT
    return torch.cat([lit.to(numbers.dtype), torch.where(lit, numbers, 0.0) / UNIT], 1)


class Shared(NamedTuple):
    """The energy that cells share.

    Attributes
    ----------
    scale
        Between numbers and energies.
    total
        (N,) GeV.
    """

    scale: Scale
    total: Tensor

    def energies(self, numbers: Tensor) -> Tensor:
        """Energies (N, n) in GeV of numbers (N, n), `EMPTY` where empty."""
        return torch.where(numbers > CUT, self.scale.decode(numbers), 0.0)

    def seen(self, numbers: Tensor) -> Tensor:
        """What networks see of some cells' numbers (N, n), `EMPTY` where empty.

        Returns
        -------
        Tensor
            (N, 3 n): whether lit, numbers, shares of the total.
        """
        shares = self.energies(numbers) / self.total.clamp(min=_LEAST_TOTAL)[:, None]
        return torch.cat([seen_of(numbers), shares.clamp(0.0, 2.0)], 1)

    def levels(self, energy: Tensor) -> Tensor:
        """What networks see (N, 2) of an energy (N,) in GeV: as a share, and as a number."""
        share = energy / self.total.clamp(min=_LEAST_TOTAL)
        number = ((energy + EDGE / 50) / EDGE) ** POWER
        return torch.stack([share, number / 3], 1)

    def nearer(self, total: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Choose, of two drawings (N, n), that whose sum is nearer to (N,) GeV."""

        def off(numbers: Tensor) -> Tensor:
            # As ratios, but that it does not matter what is next to nothing.
            found = sums(self.energies(numbers))
            return ((found + _LEAST_TOTAL) / (total + _LEAST_TOTAL)).log().abs()

        def choose(one: Tensor, other: Tensor) -> Tensor:
            return torch.where((off(other) < off(one))[:, None], other, one)

        return choose

    def fitted(self, numbers: Tensor, total: Tensor) -> Tensor:
        """Numbers (N, n) whose large energies are changed so that their sum is (N,) GeV.

        What they have above `EDGE` is, so that none of them comes to lie on it: many that did would
        be one line in the spectrum, and what they had been missing there.
        """
        energies = self.energies(numbers)
        large = numbers > SPAN
        above = torch.where(large, energies - EDGE, 0.0)
        of_above = sums(above)
        wanted = of_above + total - sums(energies)
        factor = (wanted / of_above.clamp(min=1e-6)).clamp(*_CHANGE)
        return torch.where(large, above_edge(EDGE + above * factor[:, None]), numbers)


class Split(NamedTuple):
    """How groups share the energy.

    Attributes
    ----------
    sums
        (N,) GeV of each group.
    numbers
        (N, 1) of each group but the last: of the part that it takes of what is left, NaN for none.
    free
        (N,) of each group but the last: 1 where there is something left to take, else 0.
    """

    sums: list[Tensor]
    numbers: list[Tensor]
    free: list[Tensor]

    @staticmethod
    def of(energies: Sequence[Tensor]) -> Split:
        """Return it for energies (N, n) of the groups."""
        each = [sums(part) for part in energies]
        numbers, free = [], []
        for number in range(len(each) - 1):
            rest = reduce(torch.add, each[number + 1 :])
            odds = each[number] / rest.clamp(min=1e-9)
            of_part = (odds.clamp(min=1e-9).log() + _MIDDLE) / _STRETCH
            of_part = torch.where(rest > 0, of_part.clamp(0.0, _ALL - 1), _ALL)
            of_part = torch.where(each[number] > 0, of_part, torch.nan)
            numbers.append(of_part[:, None])
            free.append((each[number] + rest > 0).to(rest.dtype))
        return Split(each, numbers, free)


def fraction(numbers: Tensor) -> Tensor:
    """Parts, 0 to 1, that numbers of `Split` stand for; `EMPTY` for none."""
    parts = torch.sigmoid(numbers * _STRETCH - _MIDDLE)
    parts = torch.where(numbers > _ALL - 0.5, torch.ones_like(parts), parts)
    return torch.where(numbers > CUT, parts, torch.zeros_like(parts))

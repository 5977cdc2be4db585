"""Energies and delays of hits: tables of quantiles, by what is expected where a hit is.

A hit's energy depends on three things: how many chances there were to hit its cell (a cell with one
particle in it has the spectrum of one), how much energy is expected there, and how many hits share
the layer's energy. Tables are read where a uniform number says.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_CLASSES = (1.5, 2.5, 4.5, 8.5, 16.5, 32.5, 64.5)
"""Borders of the number of hits in the layer."""

_CHANCES, _EXPECTED, _POINTS = 10, 10, 49
_DISTANCES, _DEPTHS, _TIMES = 8, 4, 33
_FEWEST = 30
_MIDDLE = 0.5


def _ranks(places: Tensor) -> Tensor:
    """Ranks of places between 0 and 1: closer at both ends, where spectra have their tails."""
    return torch.where(places < _MIDDLE, 2 * places**2, 1 - 2 * (1 - places) ** 2)


def _places(ranks: Tensor) -> Tensor:
    """Inverse of `_ranks`.

    With nothing but roots: what has to be approximated, ONNX Runtime computes in one way for the
    bulk of an array and in another for its end, and hits have no place of their own in it.
    """
    below, above = (ranks / 2).sqrt(), 1 - ((1 - ranks) / 2).sqrt()
    return torch.where(ranks < _MIDDLE, below, above)


def _quantiles(values: Tensor, points: int) -> Tensor:
    ranks = _ranks(torch.linspace(0.0, 1.0, points, dtype=torch.float64))
    return torch.quantile(values.double(), ranks).float()


def _borders(values: Tensor, bins: int) -> Tensor:
    """Borders (bins - 1,) of bins of equal content."""
    if len(values) < bins:
        return torch.linspace(1.0, 2.0, bins - 1) * 1e6
    inner = torch.linspace(0.0, 1.0, bins + 1)[1:-1]
    return torch.quantile(values.double(), inner.double()).float()


class Quantiles(nn.Module):
    """Tables of quantiles.

    Parameters
    ----------
    tables, points
        How many, and of how many entries.
    """

    table: Tensor

    def __init__(self, tables: int, points: int) -> None:
        super().__init__()
        self.points = points
        self.register_buffer("table", torch.zeros(tables * points))

    def fit(self, number: int, values: Tensor) -> None:
        """Fill a table."""
        start = number * self.points
        self.table[start : start + self.points] = _quantiles(values, self.points)

    def forward(self, number: Tensor, uniform: Tensor) -> Tensor:
        """Values (C,) of tables (C,) at uniform numbers (C,)."""
        last = self.points - 1
        place = _places(uniform) * last
        below = place.floor().clamp(0, last - 1)
        index = number * self.points + below.long()
        low, high = self.table[index], self.table[index + 1]
        start, stop = _ranks(below / last), _ranks((below + 1) / last)
        part = (uniform - start) / (stop - start)
        return low + part.clamp(0.0, 1.0) * (high - low)


class HitEnergies(nn.Module):
    """Spectra of hits' energies."""

    classes: Tensor
    chances: Tensor
    expected: Tensor

    def __init__(self) -> None:
        super().__init__()
        count = len(_CLASSES) + 1
        self.register_buffer("classes", torch.tensor(_CLASSES))
        self.register_buffer("chances", torch.zeros(count, _CHANCES - 1))
        self.register_buffer("expected", torch.zeros(count * _CHANCES, _EXPECTED - 1))
        self.quantiles = Quantiles(count * _CHANCES * _EXPECTED, _POINTS)

    def fit(self, chances: Tensor, expected: Tensor, hits: Tensor, energy: Tensor) -> None:
        """Take the spectra of hits (C,).

        Parameters
        ----------
        chances
            Expected number of chances that hit the cell.
        expected
            MIPs, expected in the cell if it is hit.
        hits
            Number of hits in the layer.
        energy
            MIPs.
        """
        of_class = (hits[:, None] > self.classes).sum(1)
        for number in range(len(_CLASSES) + 1):
            rows = torch.nonzero(of_class == number)[:, 0]
            self.chances[number] = _borders(chances[rows], _CHANCES)
            column = (chances[rows][:, None] > self.chances[number]).sum(1)
            for k in range(_CHANCES):
                here = rows[column == k]
                kind = number * _CHANCES + k
                self.expected[kind] = _borders(expected[here], _EXPECTED)
                place = (expected[here][:, None] > self.expected[kind]).sum(1)
                for j in range(_EXPECTED):
                    values = energy[here[place == j]]
                    if len(values) < _FEWEST:
                        values = energy[here] if len(here) >= _FEWEST else energy[rows]
                    if len(values) < _FEWEST:
                        values = energy
                    self.quantiles.fit(kind * _EXPECTED + j, values)

    def kind(self, chances: Tensor, expected: Tensor, hits: Tensor) -> Tensor:
        """Tables (C,) of hits; arguments as of `fit`."""
        of_class = (hits[:, None] > self.classes).long().sum(1)
        kind = of_class * _CHANCES + (chances[:, None] > self.chances[of_class]).long().sum(1)
        return kind * _EXPECTED + (expected[:, None] > self.expected[kind]).long().sum(1)

    def forward(self, kind: Tensor, uniform: Tensor) -> Tensor:
        """Energies (C,) in MIPs at uniform numbers (C,)."""
        energies: Tensor = self.quantiles(kind, uniform)
        return energies


class HitDelays(nn.Module):
    """Spectra of hits' delays, by distance from the particle's line and by layer."""

    distances: Tensor

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("distances", torch.zeros(_DISTANCES - 1))
        self.quantiles = Quantiles(_DISTANCES * _DEPTHS, _TIMES)

    def fit(self, distance: Tensor, layer: Tensor, delay: Tensor) -> None:
        """Take the spectra of hits (C,): mm, number, ns."""
        self.distances.copy_(_borders(distance, _DISTANCES))
        kind = self.kind(distance, layer)
        for number in range(_DISTANCES * _DEPTHS):
            here = delay[kind == number]
            self.quantiles.fit(number, here if len(here) >= _FEWEST else delay)

    def kind(self, distance: Tensor, layer: Tensor) -> Tensor:
        """Tables (C,) of hits."""
        near = (distance[:, None] > self.distances).long().sum(1)
        return near * _DEPTHS + (layer * _DEPTHS).div(self.layers, rounding_mode="floor")

    def forward(self, kind: Tensor, uniform: Tensor) -> Tensor:
        """Delays (C,) in ns at uniform numbers (C,)."""
        delays: Tensor = self.quantiles(kind, uniform)
        return delays

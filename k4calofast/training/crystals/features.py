"""Features of kinds and conditions: what every network is told of a particle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from k4calofast.showers.crystals.outcomes import SHOWERING
from k4calofast.training.crystals.ionisation import Ionisation
from k4calofast.training.family import Range

_WAVES = {
    "delta_theta_mom": (1,),
    "delta_phi_mom": (1,),
    "delta_z_pos": (1, 2, 4),
    "delta_phi_pos": (1, 2, 4),
    "z": (1, 2, 4),
    "delta_r_pos": (1, 2, 4),
    "r": (1, 2, 4),
}
"""Frequencies of the Fourier features: positions matter on the scale of a crystal."""

_WIDE = {
    "delta_theta_mom": 0.5,
    "delta_phi_mom": 0.5,
    "delta_z_pos": 30.0,
    "delta_r_pos": 30.0,
}
"""Conditions whose range may be much wider than where most showers are, and where these are: there
the scale is linear, beyond it is logarithmic."""

_SHALLOW = 10.0
"""mm: depths of entries are told apart on this scale and above."""


class Features(nn.Module):
    """Features of kinds and mirrored conditions.

    Parameters
    ----------
    kinds
        PDG numbers.
    ranges
        Range of each condition; momenta and depths are taken in the logarithm, and what is far
        from the middle of a wide range.
    names
        Of the conditions, in their order.
    """

    kinds: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, kinds: list[int], ranges: Mapping[str, Range], names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.register_buffer("kinds", torch.tensor(kinds))
        bounds = [_bounds(name, ranges[name]) for name in names]
        self.wide = {name for name in names if _is_wide(name, ranges[name])}
        self.register_buffer("low", torch.tensor([low for low, _ in bounds]))
        self.register_buffer("high", torch.tensor([high for _, high in bounds]))
        waves = sum(len(_WAVES.get(name, ())) for name in names)
        self.size = len(kinds) + len(names) + 1 + 2 * waves
        # Of electromagnetic showers, mass and ionisation need not be told.
        massive = not set(kinds) <= set(SHOWERING)
        self.ionisation = Ionisation(kinds, names) if massive else None
        if self.ionisation is not None:
            self.size += Ionisation.size

    def forward(self, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return features (N, size)."""
        scaled = self.scaled(conditions)
        columns = [(pdg[:, None] == self.kinds).to(scaled.dtype), scaled, scaled[:, :1] ** 2]
        for index, name in enumerate(self.names):
            for frequency in _WAVES.get(name, ()):
                angle = math.pi * frequency * scaled[:, index : index + 1]
                columns += [angle.sin(), angle.cos()]
        if self.ionisation is not None:
            columns.append(self.ionisation.features(pdg, conditions))
        return torch.cat(columns, 1)

    def scaled(self, conditions: Tensor) -> Tensor:
        """Conditions (N, conditions) scaled to about -1 to 1."""
        columns = [conditions[:, :1].log()]
        for index, name in enumerate(self.names[1:], 1):
            column = conditions[:, index : index + 1]
            if name in self.wide:
                column = _compressed(column, _WIDE[name])
            columns.append(_logarithmic(column) if name == "depth" else column)
        return 2 * (torch.cat(columns, 1) - self.low) / (self.high - self.low) - 1


def _logarithmic(depth: Tensor) -> Tensor:
    """A scale for depths (mm), most of which are 0."""
    return (1 + depth.clamp(min=0.0) / _SHALLOW).log()


def _compressed(values: Tensor, middle: float) -> Tensor:
    """Values as they are in the middle of their range, and logarithms beyond."""
    beyond = middle * (1 + (values.abs() / middle).clamp(min=1.0).log())
    return torch.where(values.abs() > middle, values.sign() * beyond, values)


def _is_wide(name: str, bounds: Range) -> bool:
    return name in _WIDE and max(map(abs, bounds)) > 2.5 * _WIDE[name]


def _bounds(name: str, bounds: Range) -> Range:
    low, high = bounds
    if name == "depth":
        # Something wide enough, also where all showers enter at the front.
        return 0.0, math.log1p(max(high, _SHALLOW) / _SHALLOW)
    if _is_wide(name, bounds):
        return -_WIDE[name], _WIDE[name]
    if name == "momentum":
        return math.log(low), math.log(high)
    if name == "z":
        return 0.0, max(abs(low), abs(high))
    return low, high

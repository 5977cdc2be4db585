"""Features of kinds and conditions: what every network is told of a particle."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.training.family import Range

_WAVES = {
    "delta_theta_mom": (1,),
    "delta_phi_mom": (1,),
    "delta_z_pos": (1, 2, 4),
    "delta_phi_pos": (1, 2, 4),
    "z": (1, 2, 4),
}
"""Frequencies of the Fourier features: positions matter on the scale of a crystal."""


class Features(nn.Module):
    """Features of kinds and mirrored conditions.

    Parameters
    ----------
    kinds
        PDG numbers.
    ranges
        Range of each condition; momenta are taken in the logarithm.
    """

    kinds: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, kinds: list[int], ranges: Mapping[str, Range]) -> None:
        super().__init__()
        self.register_buffer("kinds", torch.tensor(kinds))
        bounds = [_bounds(condition.name, ranges[condition.name]) for condition in CONDITIONS]
        self.register_buffer("low", torch.tensor([low for low, _ in bounds]))
        self.register_buffer("high", torch.tensor([high for _, high in bounds]))
        self.size = len(kinds) + len(CONDITIONS) + 1 + 2 * sum(map(len, _WAVES.values()))

    def forward(self, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return features (N, size)."""
        conditions = torch.cat([conditions[:, :1].log(), conditions[:, 1:]], 1)
        scaled = 2 * (conditions - self.low) / (self.high - self.low) - 1
        columns = [(pdg[:, None] == self.kinds).to(scaled.dtype), scaled, scaled[:, :1] ** 2]
        for index, condition in enumerate(CONDITIONS):
            for frequency in _WAVES.get(condition.name, ()):
                angle = math.pi * frequency * scaled[:, index : index + 1]
                columns += [angle.sin(), angle.cos()]
        return torch.cat(columns, 1)


def number_of(pdg: Tensor, kinds: Tensor) -> Tensor:
    """Places (N,) of kinds (N,) among all kinds."""
    numbers = torch.arange(len(kinds), device=pdg.device)
    return torch.where(pdg[:, None] == kinds, numbers, 0).amax(1)


def _bounds(name: str, bounds: Range) -> Range:
    low, high = bounds
    if name == "momentum":
        return math.log(low), math.log(high)
    if name == "z":
        return 0.0, max(abs(low), abs(high))
    return low, high

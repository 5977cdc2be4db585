"""What tests of several families use."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class Linear(nn.Module):
    """A critic whose slope is known."""

    def __init__(self, slope: float, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(slope * torch.ones(size) / size**0.5)

    def score(self, numbers, features):
        return numbers @ self.weight + 5 * features.sum(1)

    def forward(self, added, _, features):
        return self.score(added, features)


@pytest.fixture
def critic_of_slope():
    """Make a critic of this slope, for so many numbers."""
    return Linear

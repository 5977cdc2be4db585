"""Dense layers."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def dense(*sizes: int) -> nn.Sequential:
    """Return linear layers between these sizes, with a SiLU after each."""
    parts = [(nn.Linear(*both), nn.SiLU()) for both in pairwise(sizes)]
    return nn.Sequential(*(module for part in parts for module in part))


def zeroed(*layers: nn.Module) -> None:
    """Let linear layers return zeros, to start with."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)

"""The network: a velocity for every point between noise and showers, given the conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from k4calofast.training.dense import dense, zeroed

Bounded = Callable[[Tensor], Tensor]
"""Keeps numbers where the network knows them: `ShowerVariables.bounded`."""


class Context(NamedTuple):
    """What the conditions contribute to the network; the same at every time."""

    first: Tensor
    scales: list[Tensor]
    shifts: list[Tensor]


class Velocity(nn.Module):
    """A residual network whose blocks are modulated by conditions and time.

    Conditions and time enter as a sum, so that the conditions' part is computed once per shower,
    and in the exported graph the time's part is a constant.

    Parameters
    ----------
    dimension
        Numbers per shower.
    features
        Features of the conditions.
    width, blocks
        Size of the network.
    embedding
        Size of the embedding of the conditions.
    """

    def __init__(
        self, dimension: int, features: int, width: int = 384, blocks: int = 5, embedding: int = 128
    ) -> None:
        super().__init__()
        self.width = width
        self.embedding = dense(features, 2 * embedding, embedding)
        self.clock = dense(8, 64, 64)
        self.first = nn.Linear(dimension, width)
        self.first_context = nn.Linear(embedding, width)
        self.first_time = nn.Linear(64, width, bias=False)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.context = nn.ModuleList(nn.Linear(embedding, 2 * width) for _ in range(blocks))
        self.time = nn.ModuleList(nn.Linear(64, 2 * width, bias=False) for _ in range(blocks))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.last = nn.Linear(width, dimension)
        zeroed(*self.outer, self.last)

    def of(self, features: Tensor) -> Context:
        """Return what features (N, features) contribute."""
        embedded = self.embedding(features)
        # Cut here, once, and at fixed places: in the exported graph, chunk() would compute them.
        both = [layer(embedded) for layer in self.context]
        return Context(
            self.first_context(embedded),
            [values[:, : self.width] + 1 for values in both],
            [values[:, self.width :] for values in both],
        )

    def forward(self, x: Tensor, time: Tensor, context: Context) -> Tensor:
        """Velocity (N, dimension) at x (N, dimension) and time (N, 1) or (1, 1) in [0, 1]."""
        # Between noise and data of unit width, this is the best linear guess of the velocity;
        # the network adds the rest, at unit size for all times.
        spread = time**2 + (1 - time) ** 2
        return (2 * time - 1) / spread * x + self.correction(x, time, context) / spread.sqrt()

    def correction(self, x: Tensor, time: Tensor, context: Context) -> Tensor:
        """What the network itself says (N, dimension), with the arguments of `forward`."""
        clock = self.clock(_clock_features(time))
        h = self.first(x) + context.first + self.first_time(clock)
        for inner, in_time, outer, scale, shift in zip(
            self.inner, self.time, self.outer, context.scales, context.shifts, strict=True
        ):
            now = in_time(clock)
            scale = scale + now[:, : self.width]
            shift = shift + now[:, self.width :]
            h = h + outer(F.silu(inner(F.silu(h)) * scale + shift))
        found: Tensor = self.last(F.silu(h))
        return found


def _clock_features(time: Tensor) -> Tensor:
    waves = [wave(math.pi * n * time) for n in (1, 2, 4) for wave in (torch.sin, torch.cos)]
    return torch.cat([time, time**2, *waves], 1)


def weighted(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error, with a weight per number."""
    loss: Tensor = ((found.float() - wanted) ** 2 * weight).mean()
    return loss

"""Spectra of cells' numbers: empty, or a mixture of normal densities."""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from k4calofast.training.crystals.variables import CUT, EMPTY

_LOG_WIDTHS = (-3.5, 1.5)
"""Bounds of the logarithms of widths, of numbers."""

LOWEST = CUT + 0.02
"""Smallest number of a cell that is lit."""

_HIGHEST = 60.0
"""Largest: some hundred GeV. Far from what it was trained on, a network may return anything, and
sums of that must be numbers."""

_LARGEST = 60.0
"""Most that the logarithm of a weight may be over that of empty."""

_SOFTNESS = 0.5
"""Temperature of choices that critics look at."""


class Mixtures(NamedTuple):
    """Of each cell, a mixture: empty, or one of a few normal densities of its number.

    Attributes
    ----------
    logits
        (N, 1 + components, cells), of empty first.
    means, log_widths
        (N, components, cells).
    """

    logits: Tensor
    means: Tensor
    log_widths: Tensor

    @staticmethod
    def of(outputs: Tensor, components: int) -> Mixtures:
        """Read a network's outputs (N, (1 + 3 components) cells)."""
        k = components
        cells = outputs.shape[1] // (1 + 3 * k)
        logits, means, widths = torch.split(
            outputs.float().reshape(-1, 1 + 3 * k, cells), [1 + k, k, k], 1
        )
        # Apart in the beginning, so that each finds its own part of the spectrum.
        start = torch.linspace(1.0, 6.0, k, device=outputs.device)[:, None]
        return Mixtures(logits, means * 2 + start, widths.clamp(*_LOG_WIDTHS))

    def nats(self, numbers: Tensor) -> Tensor:
        """Minus the logarithm of the likelihood (N, cells) of numbers (N, cells), NaN for empty."""
        empty = numbers.isnan()
        at = (numbers.nan_to_num(0.0)[:, None] - self.means) * (-self.log_widths).exp()
        normal = -0.5 * at**2 - self.log_widths - 0.5 * math.log(2 * math.pi)
        lit = torch.logsumexp(self.logits[:, 1:] + normal, 1)
        found = torch.where(empty, self.logits[:, 0], lit)
        return torch.logsumexp(self.logits, 1) - found

    def draw(self, uniform: Tensor, normal: Tensor) -> Tensor:
        """Numbers (N, cells), `EMPTY` where empty.

        Parameters
        ----------
        uniform, normal
            (N, cells) random numbers.
        """
        # Over that of empty; one component after the other, for the exported graph's sake.
        weights = (self.logits[:, 1:] - self.logits[:, :1]).clamp(max=_LARGEST).exp().unbind(1)
        left = uniform * reduce(torch.add, weights, torch.ones(())) - 1
        lit = left > 0
        (mean, *means), (log_width, *log_widths) = self.means.unbind(1), self.log_widths.unbind(1)
        for weight, next_mean, next_width in zip(weights[:-1], means, log_widths, strict=True):
            left = left - weight
            mean = torch.where(left > 0, next_mean, mean)
            log_width = torch.where(left > 0, next_width, log_width)
        numbers = (mean + log_width.exp() * normal).clamp(LOWEST, _HIGHEST)
        return torch.where(lit, numbers, torch.full((), EMPTY, device=numbers.device))

    def draw_softly(self, normal: Tensor) -> Tensor:
        """Draw numbers (N, cells) whose choices have gradients, too.

        Forward it is a choice, backward a weighted mean (E. Jang et al., arXiv:1611.01144).
        """
        level = torch.rand_like(self.logits).clamp(1e-6, 1 - 1e-6)
        noisy = self.logits - (-level.log()).log()
        share = (noisy / _SOFTNESS).softmax(1)
        values = (self.means + self.log_widths.exp() * normal[:, None]).clamp(LOWEST, _HIGHEST)
        values = torch.cat([torch.full_like(normal, EMPTY)[:, None], values], 1)
        mean = (share * values.detach()).sum(1)
        drawn = values.gather(1, noisy.argmax(1, keepdim=True))[:, 0]
        return drawn + (mean - mean.detach())

"""The energy that is seen of hadrons and muons: nothing, ionisation, or an interaction.

It comes first, and is a condition of what follows. It is a mixture of three outcomes
(`k4calofast.showers.crystals.outcomes`), each of which is divided into steps that one network gives
probabilities, so that shares of outcomes and spectra within them have an explicit likelihood:

- nothing: one step;
- ionised: steps of the energy over that which is expected of ionisation, so that the minimum
  ionising peak, or the kinetic energy where a particle ranges out, is at the same place for all
  kinds and conditions, and sharp;
- interacted: steps of a root of the energy over the available one.

Within a step, energies are spread as the sample's are on the whole, evenly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from k4calofast.showers.crystals.outcomes import IONISED_WITHIN
from k4calofast.training.crystals.missing import chosen, cumulating
from k4calofast.training.dense import dense

_LOW, _HIGH = IONISED_WITHIN
_ROOT = 3.0
"""Of the energy over the available one, of interactions: small energies have fine steps, too."""

_LEAST = 1e-6


class Energies(NamedTuple):
    """What bounds, and is expected of, N particles.

    Attributes
    ----------
    expected, available
        (N,) GeV, of ionisation, and at most.
    """

    expected: Tensor
    available: Tensor


class Response(nn.Module):
    """Spectrum of the energy that is seen, given the conditions.

    Parameters
    ----------
    features
        Features of the conditions.
    width
        Of the network.
    ionised, interacted
        Steps of the two outcomes.

    Attributes
    ----------
    size
        Numbers that `told` returns.
    """

    size = 6

    def __init__(self, features: int, width: int, ionised: int, interacted: int) -> None:
        super().__init__()
        self.ionised, self.interacted = ionised, interacted
        self.count = 1 + ionised + interacted
        self.network = dense(features, width, width, self.count)[:-1]

    def forward(self, given: Tensor) -> Tensor:
        """Logits (N, steps) for features (N, features)."""
        logits: Tensor = self.network(given)
        return logits

    def steps(self, energy: Tensor, of: Energies) -> Tensor:
        """Steps (N,) that energies (N,) in GeV lie in."""
        ratio = energy / of.expected.clamp(min=_LEAST)
        ionised = (ratio > _LOW) & (ratio < _HIGH) & (of.expected > 0)
        within = (ratio - _LOW) / (_HIGH - _LOW) * self.ionised
        root = (energy / of.available).clamp(0.0, 1.0) ** (1 / _ROOT) * self.interacted
        first = 1 + within.floor().clamp(0, self.ionised - 1)
        last = 1 + self.ionised + root.floor().clamp(0, self.interacted - 1)
        steps = torch.where(ionised, first, last)
        return torch.where(energy > 0, steps, torch.zeros_like(steps)).long()

    def energy(self, steps: Tensor, places: Tensor, of: Energies) -> Tensor:
        """Energies (N,) in GeV at places (N,), 0 to 1, within steps (N,)."""
        ratio = _LOW + (steps - 1 + places) * ((_HIGH - _LOW) / self.ionised)
        root = ((steps - 1 - self.ionised + places) / self.interacted).clamp(min=0.0)
        energy = torch.where(steps > self.ionised, root**_ROOT * of.available, ratio * of.expected)
        return torch.where(steps > 0, energy, torch.zeros_like(energy))

    def draw(self, given: Tensor, uniform: Tensor) -> Tensor:
        """Steps (N,) that uniform numbers (N,) choose."""
        return chosen(self(given), uniform[:, None], cumulating(self.count))[:, 0]

    def told(self, steps: Tensor, energy: Tensor, of: Energies) -> Tensor:
        """Numbers (N, size) of about 1: the outcome, and the energy on several scales."""
        seen = steps > 0
        ionised = seen & (steps <= self.ionised)
        ratio = (energy / of.expected.clamp(min=_LEAST)).clamp(max=_HIGH)
        columns = [
            seen.to(energy.dtype),
            ionised.to(energy.dtype),
            torch.where(ionised, 5 * (ratio - 1), torch.zeros_like(ratio)),
            3 * (energy / of.available).clamp(0.0, 1.0) ** (1 / _ROOT) - 1.5,
            (energy + 1e-4).log() / 3 + 1,
            2 * (energy / (energy + of.expected + 1e-4)) - 1,
        ]
        return torch.stack(columns, 1)


def nats(logits: Tensor, steps: Tensor) -> Tensor:
    """Minus the mean logarithm of the likelihood of steps (N,) by logits (N, steps)."""
    return F.cross_entropy(logits.float(), steps)

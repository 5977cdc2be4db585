"""The energy that is seen of hadrons and muons: nothing, ionisation, or an interaction.

It comes first, and is a condition of what follows. It is a mixture of three outcomes
(`k4calofast.showers.crystals.outcomes`), each of which is divided into steps that one network gives
probabilities, so that shares of outcomes and spectra within them have an explicit likelihood:

- nothing: one step;
- ionised: steps of the energy over that which is expected of ionisation, so that the minimum
  ionising peak, or the kinetic energy where a particle ranges out, is at the same place for all
  kinds and conditions; the steps are finest where the peak of those that stop is;
- interacted: steps of a root of the energy over the available one, without those of the outcome
  before.

Within a step, energies are spread evenly. Logarithms of probabilities are interpolated between
fewer knots than there are steps, and what the network is told is chosen so that a few thousand
showers of a kind are enough: kinds one by one, waves in the momentum, since cross sections have
structures that differ from kind to kind, and whether a particle stops. Without either, it learns
its sample by heart: on an independent one, the likelihood soon gets worse.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from k4calofast.showers.crystals.outcomes import IONISED_WITHIN
from k4calofast.training.crystals.features import Features
from k4calofast.training.crystals.ionisation import Ionisation
from k4calofast.training.crystals.missing import chosen, cumulating
from k4calofast.training.dense import dense

_LOW, _HIGH = IONISED_WITHIN
_ROOT = 3.0
"""Of the energy over the available one, of interactions: small energies have fine steps, too."""

_LEAST = 1e-6

_STEPS = (
    (_LOW, 0.97, 34),
    (0.97, 0.99, 20),
    (0.99, 1.002, 24),
    (1.002, 1.01, 8),
    (1.01, _HIGH, 48),
)
"""Of the energy over that expected of ionisation: bounds, and number. Protons that stop leave their
kinetic energy but for what is lost in wrappings, to a per mille."""

_KNOTS = 20
"""Among the steps of one part."""

_WAVES = (0.5, 1, 2, 4)
"""Frequencies of the momentum's features."""


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
        That it is told; see `Told`.
    width
        Of the network.
    interacted
        Steps of that outcome.

    Attributes
    ----------
    size
        Numbers that `told` returns.
    """

    size = 6

    knots: Tensor
    edges: Tensor

    def __init__(self, features: int, width: int, interacted: int) -> None:
        super().__init__()
        edges = [np.linspace(low, high, count, False) for low, high, count in _STEPS]
        self.register_buffer("edges", torch.from_numpy(np.append(np.concatenate(edges), _HIGH)))
        self.edges = self.edges.float()
        self.ionised, self.interacted = len(self.edges) - 1, interacted
        self.count = 1 + self.ionised + interacted
        ionised, parts = self.ionised, [_between(count) for _, _, count in _STEPS]
        of_ionised = torch.block_diag(*parts)  # type: ignore[no-untyped-call]
        of_interacted = _between(interacted, 2 * _KNOTS)
        knots = torch.zeros(1 + len(of_ionised) + len(of_interacted), self.count)
        knots[0, 0] = 1.0
        knots[1 : 1 + len(of_ionised), 1 : 1 + ionised] = of_ionised
        knots[1 + len(of_ionised) :, 1 + ionised :] = of_interacted
        self.register_buffer("knots", knots)
        self.network = dense(features, width, width, len(self.knots))[:-1]

    def forward(self, given: Tensor) -> Tensor:
        """Logits (N, steps) for features (N, features) of `Told`."""
        logits: Tensor = self.network(given) @ self.knots
        return logits

    def steps(self, energy: Tensor, of: Energies) -> Tensor:
        """Steps (N,) that energies (N,) in GeV lie in."""
        ratio = energy / of.expected.clamp(min=_LEAST)
        ionised = (ratio > _LOW) & (ratio < _HIGH) & (of.expected > 0)
        within = (ratio[:, None] >= self.edges[1:]).to(torch.int64).sum(1)
        low, gap = _gap(of)
        root = (energy / of.available).clamp(0.0, 1.0) ** (1 / _ROOT)
        root = torch.where(root > low, torch.maximum(root - gap, low), root)
        root = root / (1 - gap) * self.interacted
        first = 1 + within.clamp(0, self.ionised - 1).to(root.dtype)
        last = 1 + self.ionised + root.floor().clamp(0, self.interacted - 1)
        steps = torch.where(ionised, first, last)
        return torch.where(energy > 0, steps, torch.zeros_like(steps)).long()

    def energy(self, steps: Tensor, places: Tensor, of: Energies) -> Tensor:
        """Energies (N,) in GeV at places (N,), 0 to 1, within steps (N,)."""
        step = (steps - 1).clamp(0, self.ionised - 1).long()
        ratio = self.edges[step] + places * (self.edges[step + 1] - self.edges[step])
        low, gap = _gap(of)
        root = ((steps - 1 - self.ionised + places) / self.interacted).clamp(min=0.0) * (1 - gap)
        root = torch.where(root > low, root + gap, root)
        energy = torch.where(steps > self.ionised, root**_ROOT * of.available, ratio * of.expected)
        # What ranges out is seen with an error, but not beyond what there is.
        energy = torch.minimum(energy, of.available)
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


class Told(nn.Module):
    """What `Response` is told of kinds and conditions: little, but that sharply.

    Parameters
    ----------
    features
        Of the family, which has the scales.
    ionisation
        What is expected of ionisation.
    """

    def __init__(self, features: Features, ionisation: Ionisation) -> None:
        super().__init__()
        self.features, self.ionisation = features, ionisation
        of_momentum = 2 + 2 * len(_WAVES) + 3
        kinds, others = len(features.kinds), len(features.names) - 1
        self.size = kinds + of_momentum * (1 + kinds) + Ionisation.size + 2 * others

    def forward(self, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return numbers (N, size)."""
        scaled = self.features.scaled(conditions)
        kind = (pdg[:, None] == self.features.kinds).to(scaled.dtype)
        momentum, others = scaled[:, :1], scaled[:, 1:]
        angles = [math.pi * frequency * momentum for frequency in _WAVES]
        waves = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
        margins = self.ionisation.margins(pdg, conditions)
        of_momentum = torch.cat([momentum, momentum**2, *waves, margins], 1)
        columns = [
            kind,
            of_momentum,
            (kind[:, :, None] * of_momentum[:, None]).flatten(1),
            self.ionisation.features(pdg, conditions),
            others,
            others**2 - 1 / 3,
        ]
        return torch.cat(columns, 1)


def _gap(of: Energies) -> tuple[Tensor, Tensor]:
    """Where roots (N,) of ionising particles begin, and the length of where they are."""
    share = of.expected / of.available
    low, high = ((end * share).clamp(max=1.0) ** (1 / _ROOT) for end in IONISED_WITHIN)
    return low, high - low


def _between(steps: int, most: int = _KNOTS) -> Tensor:
    """Matrix (knots, steps) that interpolates between knots."""
    count = max(min(steps, most), 2) if steps > 1 else 1
    place = torch.linspace(0, count - 1, steps)
    return (1 - (place - torch.arange(count)[:, None]).abs()).clamp(min=0.0)


def nats(logits: Tensor, steps: Tensor) -> Tensor:
    """Minus the mean logarithm of the likelihood of steps (N,) by logits (N, steps)."""
    return F.cross_entropy(logits.float(), steps)

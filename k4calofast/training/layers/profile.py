"""Where in a layer hits are, and where energy is: mixtures of normal densities around a line.

For each layer a small network says how wide the mixtures are and where, from the energies and hits
of all layers and a few numbers of the shower. Densities are integrated over cells exactly: a cell's
share is a difference of error functions along each direction, whatever the cells' lattice. With F a
cell's share and nu the number of independent chances, which the network says, too, the cell is hit
with probability 1 - exp(-nu F).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from k4calofast.training.layers.sample import Particles
from k4calofast.training.sums import sums

NARROWEST, WIDEST = 1.0, 60.0
"""Widths (mm) that the mixture's components start from."""

LATENTS = 4
"""Numbers of a shower: centre of gravity along t and z, mean radius of energy and of hits."""

_LEAST = 1e-12
_LOW, _HIGH = -1.0, 5.0
"""Of the logarithm of chances per hit."""

_OFFSET = 0.05
"""MIPs, added to energies whose logarithm is taken."""


class Mixtures(NamedTuple):
    """Mixtures of K components in R layers.

    Attributes
    ----------
    energy, hits
        (R, K) weights.
    width, centre
        (R, K, 2) mm, along t and z.
    chances
        (R,) number of chances for hits.
    """

    energy: Tensor
    hits: Tensor
    width: Tensor
    centre: Tensor
    chances: Tensor

    def take(self, rows: Tensor) -> Mixtures:
        """Return the mixtures of these layers."""
        return Mixtures(*(part[rows] for part in self))

    def within(self, low: Tensor, high: Tensor) -> Tensor:
        """Share (R, K) of each component between lines, along t and z.

        Parameters
        ----------
        low, high
            (R, 2) mm.
        """
        below, above = (normal((edge[:, None] - self.centre) / self.width) for edge in (low, high))
        return (above - below).prod(2)


class Profile(nn.Module):
    """The network.

    Parameters
    ----------
    layers
        How many.
    width, components
        Its size, and that of the mixtures.
    """

    def __init__(self, layers: int, width: int, components: int) -> None:
        super().__init__()
        self.layers, self.components = layers, components
        self.place = nn.Embedding(layers, 12)
        self.network = nn.Sequential(
            nn.Linear(CONTEXT + LATENTS + 12, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 4 * components + 3),
        )
        widths = torch.linspace(math.log(NARROWEST), math.log(WIDEST), components)
        self.logarithm = nn.Parameter(widths)
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, context: Tensor, layer: Tensor, hits: Tensor, slope: Tensor) -> Mixtures:
        """Mixtures of R layers.

        Parameters
        ----------
        context
            (R, context + latents) see `context_of` and `scaled`.
        layer, hits
            (R,) number of each, and of hits in it.
        slope
            (R, 2) tangents of the particle's angles.
        """
        out = self.network(torch.cat([context, self.place(layer)], 1))
        k = self.components
        energy, of_hits, centre, stretch, chances = out.split([k, k, 2 * k, 2, 1], 1)
        # A line at an angle sees the same shower wider.
        stretch = (1 + 0.5 * torch.tanh(stretch)) * torch.sqrt(1 + slope**2)
        width = self.logarithm.exp()[None, :, None] * stretch[:, None]
        return Mixtures(
            F.softmax(energy, 1),
            F.softmax(of_hits, 1),
            width,
            # Wide components lie askew where lines come at an angle.
            centre.reshape(-1, k, 2) * width,
            hits * chances[:, 0].clamp(_LOW, _HIGH).exp(),
        )


CONTEXT = 15


def context_of(energies: Tensor, hits: Tensor, particles: Particles) -> Tensor:
    """What the network is told of each layer, (N, L, CONTEXT), beside the latent numbers.

    Parameters
    ----------
    energies, hits
        (N, L) MIPs, and numbers of hits.
    """
    momentum, slope, electron = particles
    layers = energies.shape[1]
    number = torch.arange(layers, dtype=energies.dtype, device=energies.device)[None]
    total = sums(energies)[:, None].clamp(min=_OFFSET)
    share = energies / total
    # A product with a triangle: a cumulative sum whose order is fixed.
    before = share @ torch.ones(layers, layers, device=energies.device).triu()
    mean = sums(share * number)[:, None]
    spread = sums(share * (number - mean) ** 2)[:, None].clamp(min=0.0).sqrt()
    logarithm = (energies + _OFFSET).log()
    edge = torch.full_like(logarithm[:, :1], math.log(_OFFSET))
    previous = torch.cat([edge, logarithm[:, :-1]], 1)
    following = torch.cat([logarithm[:, 1:], edge], 1)
    whole = torch.stack(
        [
            total[:, 0].log() / 5,
            mean[:, 0] / 20,
            spread[:, 0] / 10,
            momentum.log() / 3,
            slope[:, 0],
            slope[:, 1],
            slope[:, 0] ** 2,
            slope[:, 1] ** 2,
            electron,
        ],
        1,
    )
    count = (hits + 1).log()
    dense = count - (energies + 1).log()
    columns = [logarithm / 3, previous / 3, following / 3, before, count / 3, dense]
    of_layers = torch.stack(columns, 2)
    return torch.cat([of_layers, whole[:, None].expand(-1, layers, -1)], 2)


def scaled(latents: Tensor) -> Tensor:
    """Latent numbers (N, LATENTS) at unit size."""
    centre = latents.new_tensor([0.0, 0.0, 2.2, 2.8])
    size = latents.new_tensor([2.0, 2.0, 0.5, 0.5])
    return (latents - centre) / size


def normal(x: Tensor) -> Tensor:
    """Distribution function of the normal density."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def unlikelihood(share: Tensor, nu: Tensor, of: Tensor, window: Tensor) -> Tensor:
    """Minus the logarithm of the likelihood of hits, summed over layers.

    Parameters
    ----------
    share, of
        (C,) of the cells that are hit, and their layers.
    nu, window
        (count,) chances, and share of all cells.
    """
    hit = torch.log(-torch.expm1(-(nu[of] * share)) + _LEAST).sum()
    rest = window - torch.zeros_like(window).index_add_(0, of, share)
    loss: Tensor = (nu * rest).sum() - hit
    return loss


def least(share: Tensor) -> Tensor:
    """Shares that are not zero."""
    return share.clamp(min=_LEAST)

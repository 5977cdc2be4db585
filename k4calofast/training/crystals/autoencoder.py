"""An autoencoder of cells: encoder, decoders of groups of cells, density of latent numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.missing import INPUTS, LEVELS
from k4calofast.training.crystals.mixtures import Mixtures
from k4calofast.training.crystals.sharing import Shared, Split, fraction, grouped, near, seen_of
from k4calofast.training.crystals.variables import EMPTY
from k4calofast.training.dense import dense, zeroed

_PARTS, _SPLIT_WIDTH = 3, 64
"""Normal densities of the part that a group takes, and size of the network for it."""


class AutoencoderSettings(Settings):
    """Settings of an autoencoder of cells.

    Attributes
    ----------
    latent
        Latent numbers, an even number of them.
    width, blocks
        Size of encoder and decoder.
    embedding
        Size of the embedding of the conditions.
    components
        Normal densities in the spectrum of a cell.
    groups
        Of cells that are drawn one after the other: 1, 2 (as the colours of a chessboard), or 4 (by
        whether row and column are odd).
    later_width, local_width
        Of the decoders of all groups but the first: what sees the whole window, and what is near a
        cell.
    drawings
        Of a group, from which that is taken whose sum is nearest to what it should be.
    couplings
        Of the density of latent numbers; with 0 they are normal.
    """

    latent: int = Field(default=24, ge=2, multiple_of=2)
    width: int = Field(default=256, ge=8)
    blocks: int = Field(default=3, ge=1)
    embedding: int = Field(default=96, ge=4)
    components: int = Field(default=3, ge=1)
    groups: Literal[1, 2, 4] = 1
    later_width: int = Field(default=128, ge=8)
    local_width: int = Field(default=48, ge=8)
    drawings: int = Field(default=4, ge=1, le=16)
    couplings: int = Field(default=6, ge=0)


class Trunk(nn.Module):
    """A residual network whose blocks are modulated by the conditions.

    Parameters
    ----------
    inputs, outputs
        Numbers in and out.
    embedding
        Size of the embedding of the conditions.
    width, blocks
        Size of the network.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, width: int, blocks: int) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Linear(inputs, width)
        self.given = nn.Linear(embedding, width, bias=False)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.both = nn.ModuleList(nn.Linear(embedding, 2 * width) for _ in range(blocks))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.last = nn.Linear(width, outputs)
        zeroed(*self.outer)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Return (N, outputs) for x (N, inputs) and the embedded conditions (N, embedding)."""
        h = self.first(x) + self.given(embedded)
        for inner, both, outer in zip(self.inner, self.both, self.outer, strict=True):
            modulation = both(embedded)
            scale, shift = modulation[:, : self.width], modulation[:, self.width :]
            h = h + outer(F.silu(inner(F.silu(h)) * (1 + scale) + shift))
        found: Tensor = self.last(F.silu(h))
        return found


class Density(nn.Module):
    """Density of latent numbers: couplings between them and normal numbers.

    Parameters
    ----------
    latent
        Latent numbers.
    embedding
        Size of the embedding of the conditions.
    couplings
        Number of layers, each of which changes one half of the numbers.
    """

    def __init__(self, latent: int, embedding: int, couplings: int) -> None:
        super().__init__()
        self.part = latent // 2
        trunks = [Trunk(self.part, 2 * self.part, embedding, 96, 1) for _ in range(couplings)]
        zeroed(*(trunk.last for trunk in trunks))
        self.layers = nn.ModuleList(trunks)

    def _halves(self, x: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return what stays in a layer, and what changes."""
        first, second = x[:, : self.part], x[:, self.part :]
        return (first, second) if number % 2 == 0 else (second, first)

    def _together(self, stays: Tensor, changed: Tensor, number: int) -> Tensor:
        return torch.cat([stays, changed] if number % 2 == 0 else [changed, stays], 1)

    def _map(self, stays: Tensor, embedded: Tensor, number: int) -> tuple[Tensor, Tensor]:
        found = self.layers[number](stays, embedded).float()
        # Bounded, so that nothing runs away.
        return 2 * torch.tanh(found[:, : self.part] / 2), found[:, self.part :]

    def normal(self, latent: Tensor, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """Normal numbers (N, latent) of latent ones, and log (N,) of the change of volume."""
        change = latent.new_zeros(len(latent))
        for number in range(len(self.layers)):
            stays, changes = self._halves(latent, number)
            scale, shift = self._map(stays, embedded, number)
            latent = self._together(stays, changes * scale.exp() + shift, number)
            change = change + scale.sum(1)
        return latent, change

    def latent(self, normal: Tensor, embedded: Tensor) -> Tensor:
        """Latent numbers (N, latent) of normal ones: the inverse of `normal`."""
        for number in reversed(range(len(self.layers))):
            stays, changes = self._halves(normal, number)
            scale, shift = self._map(stays, embedded, number)
            normal = self._together(stays, (changes - shift) * (-scale).exp(), number)
        return normal


class Code(NamedTuple):
    """What a shower becomes.

    Attributes
    ----------
    latent
        (N, latent) numbers drawn from the encoder's density.
    normal
        (N, latent) the same as the density of latent numbers sees them.
    divergence
        (N,) nats: how much more probable they are to the encoder than beforehand.
    """

    latent: Tensor
    normal: Tensor
    divergence: Tensor


class Autoencoder(nn.Module):
    """Encoder, decoder and the density of latent numbers.

    Parameters
    ----------
    settings
        Of the family.
    features
        Numbers that all networks are told.
    window
        Rows and columns of cells.

    Attributes
    ----------
    groups
        Cells of each group.
    drawn
        Numbers that are drawn: of cells, and of what groups but the last take.
    """

    def __init__(
        self, settings: AutoencoderSettings, features: int, window: tuple[int, int]
    ) -> None:
        super().__init__()
        s, cells = settings, math.prod(window)
        self.components, self.size = s.components, s.latent
        self.embedding = dense(features, 2 * s.embedding, s.embedding)
        self.encoder = Trunk(2 * cells, 2 * s.latent, s.embedding, s.width, s.blocks)
        self.groups = grouped(window, s.groups)
        self.back = torch.cat(self.groups).argsort()
        self.drawn, self.drawings = cells + s.groups - 1, s.drawings
        outputs = (1 + 3 * s.components) * len(self.groups[0])
        self.decoder = Trunk(s.latent + LEVELS, outputs, s.embedding, s.width, s.blocks)
        self.splits = nn.ModuleList(
            Trunk(s.latent + LEVELS * number, 1 + 3 * _PARTS, s.embedding, _SPLIT_WIDTH, 1)
            for number in range(s.groups - 1)
        )
        self.later = nn.ModuleList(
            Later(settings, window, self.groups[: number + 1])
            for number in range(1, len(self.groups))
        )
        self.density = Density(s.latent, s.embedding, s.couplings)

    def encode(self, numbers: Tensor, embedded: Tensor) -> Code:
        """Draw codes of numbers (N, cells), NaN for empty."""
        found = self.encoder(seen_of(numbers.nan_to_num(EMPTY)), embedded).float()
        # Narrow in the beginning, so that the decoder gets used to latent numbers that say much.
        mean, log_width = found[:, : self.size], (found[:, self.size :] - 2).clamp(-6.0, 2.0)
        noise = torch.randn_like(mean)
        latent = mean + log_width.exp() * noise
        normal, change = self.density.normal(latent, embedded)
        after = (-0.5 * noise**2 - log_width).sum(1)
        before = (-0.5 * normal**2).sum(1) + change
        return Code(latent, normal, after - before)

    def nats(self, latent: Tensor, embedded: Tensor, numbers: Tensor, shared: Shared) -> Tensor:
        """Minus the logarithm (N,) of the likelihood of numbers (N, cells), NaN for empty."""
        filled = numbers.nan_to_num(EMPTY)
        parts = [filled[:, group] for group in self.groups]
        split = Split.of([shared.energies(part) for part in parts])
        result = torch.zeros((), device=numbers.device)
        for number, group in enumerate(self.groups):
            if number < len(self.splits):
                spectra = self._split(latent, embedded, split.sums[:number], shared)
                result = result + spectra.nats(split.numbers[number])[:, 0] * split.free[number]
            spectra = self._mixtures(latent, embedded, parts[:number], split.sums[number], shared)
            result = result + spectra.nats(numbers[:, group]).sum(1)
        return result

    def draw(
        self,
        latent: Tensor,
        embedded: Tensor,
        shared: Shared,
        drawn: Callable[[Mixtures, Tensor], Tensor],
    ) -> Tensor:
        """Numbers (N, cells), group after group.

        Parameters
        ----------
        drawn
            Returns numbers of mixtures, whose places among `drawn` numbers it is given: those of
            cells, and after them those of groups.
        """
        numbers: list[Tensor] = []
        sums_before: list[Tensor] = []
        left = shared.total
        for number, group in enumerate(self.groups):
            share = left
            if number < len(self.splits):
                spectra = self._split(latent, embedded, sums_before, shared)
                place = torch.full((1,), len(self.back) + number)
                share = left * fraction(drawn(spectra, place)[:, 0])
            found = self._mixtures(latent, embedded, numbers, share, shared)
            drawings = (drawn(found, group.roll(by)) for by in self._shifts(len(group)))
            numbers.append(shared.fitted(reduce(shared.nearer(share), drawings), share))
            sums_before.append(share)
            left = left - share
        return torch.cat(numbers, 1)[:, self.back]

    def _shifts(self, cells: int) -> list[int]:
        """By how much random numbers of so many cells are moved on from one drawing to the next."""
        return [number * cells // self.drawings for number in range(self.drawings)]

    def _split(
        self, latent: Tensor, embedded: Tensor, before: Sequence[Tensor], shared: Shared
    ) -> Mixtures:
        """Mixtures of the part that the group takes which comes after those with these sums."""
        levels = [shared.levels(energy) for energy in before]
        found = self.splits[len(before)](torch.cat([latent, *levels], 1), embedded)
        return Mixtures.of(found, _PARTS)

    def _mixtures(
        self,
        latent: Tensor,
        embedded: Tensor,
        before: Sequence[Tensor],
        share: Tensor,
        shared: Shared,
    ) -> Mixtures:
        """Mixtures of the group that comes after those with these numbers, and has this sum."""
        level = shared.levels(share)
        if before:
            seen = torch.cat([shared.seen(torch.cat(list(before), 1)), level], 1)
            found = self.later[len(before) - 1](latent, seen, embedded)
        else:
            found = self.decoder(torch.cat([latent, level], 1), embedded)
        return Mixtures.of(found, self.components)


class Later(nn.Module):
    """Decoder of a group of cells that knows those before.

    One network sees the whole window. What it makes of it goes to another, which is the same for
    all cells and sees what is near a cell: whether there is a cluster is decided among neighbours,
    wherever they are.

    Parameters
    ----------
    settings
        Of the family.
    window
        Rows and columns of cells.
    groups
        Cells of the groups before, and last those of this one.
    """

    def __init__(
        self, settings: AutoencoderSettings, window: tuple[int, int], groups: Sequence[Tensor]
    ) -> None:
        super().__init__()
        s, before, cells = settings, sum(map(len, groups[:-1])), len(groups[-1])
        numbers, self.local = 1 + 3 * s.components, s.local_width
        sizes = s.latent + INPUTS * before + LEVELS, cells * numbers + self.local
        self.trunk = Trunk(*sizes, s.embedding, s.later_width, s.blocks)
        self.near = near(window, groups, INPUTS * before + LEVELS)
        self.place = nn.Parameter(0.1 * torch.randn(cells, self.local))
        self.first = nn.Linear(self.near.shape[1], self.local, bias=False)
        self.second = nn.Linear(self.local, self.local)
        self.last = nn.Linear(self.local, numbers)
        zeroed(self.last)

    def forward(self, latent: Tensor, seen: Tensor, embedded: Tensor) -> Tensor:
        """Return (N, (1 + 3 components) cells) for what is `Shared.seen` (N, n)."""
        found = self.trunk(torch.cat([latent, seen], 1), embedded)
        shower, cells = found[:, : self.local], found[:, self.local :]
        around = F.pad(seen, (0, 1))[:, self.near.flatten()].reshape(-1, *self.near.shape)
        h = F.silu(self.first(around) + self.place + shower[:, None])
        h = h + F.silu(self.second(h))
        result: Tensor = cells + self.last(h).transpose(1, 2).flatten(1)
        return result

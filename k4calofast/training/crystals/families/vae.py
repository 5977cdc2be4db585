"""Variational autoencoders: a VAE, or a BIB-AE with critics; both with a post-processor.

E. Buhmann et al., Getting High: High Fidelity Simulation of High Granularity Calorimeters with High
Speed, arXiv:2005.05334. An encoder turns a shower into a few latent numbers, a decoder turns them
back. Of a VAE, the latent numbers are regularised by the Kullback-Leibler divergence; of a BIB-AE,
by that, by a maximum mean discrepancy and by a critic, and another critic judges what the decoder
makes. In the end a post-processor, a network that sees one cell at a time, corrects the energies of
cells: it is trained with maximum mean discrepancies of the cells' energies.

Six things differ from the publication:

- The missing energy comes first, and what is told of it is a condition of all networks; the sum of
  cells is set by it. Energies are the numbers of `k4calofast.training.crystals.variables`.
- The decoder returns a spectrum for each cell, from which energies are drawn: a probability that it
  is empty, and a mixture of normal densities of the number. A decoder that returns energies blurs.
  This likelihood takes the place of the critic of differences.
- Cells may be drawn in groups, none of which has neighbours in it. Each group knows those before,
  and how much energy they left: cells that are drawn all at once have sums far from what is to be
  shared out, and scatter what should be one cluster.
- Latent numbers are drawn from a density that couplings learn together with the autoencoder (as
  L. Dinh et al., Density estimation using Real NVP, arXiv:1605.08803): where codes of showers are
  not normal, the decoder need not make sense of what lies between them.
- Critics come when the likelihood has been trained, and are of the kind of a GAN with a penalty on
  slopes at real showers (L. Mescheder et al., arXiv:1801.04406).
- The spectra of all cells together are matched to those of the sample in the very end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.crystals.adversarial import Turns, squared_slope
from k4calofast.training.crystals.family import uniform_of
from k4calofast.training.crystals.missing import (
    INPUTS,
    LEVELS,
    Missing,
    MissingEnergy,
    MissingSettings,
)
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.spectra import MatchedSettings, Spectra, Standardised
from k4calofast.training.crystals.variables import CUT, EDGE, EMPTY, POWER, Scale, ShowerVariables
from k4calofast.training.dense import dense, zeroed
from k4calofast.training.family import Shape, Stage
from k4calofast.training.sums import sums

_UNIT = 5.0
"""Scale of numbers, for networks."""

_LOG_WIDTHS = (-3.5, 1.5)
"""Bounds of the logarithms of widths, of numbers."""

_LOWEST = CUT + 0.02
"""Smallest number of a cell that is lit."""

_LARGEST = 60.0
"""Most that the logarithm of a weight may be over that of empty."""

_BY_PARITY = 4
"""Groups by whether row and column are odd, counted from the middle."""

_NEAR = 2
"""Rows and columns within which a cell's neighbours are."""

_LEAST_TOTAL = 1e-4
"""GeV; shares are of no smaller total than this."""

_SOFTNESS = 0.5
"""Temperature of choices that critics look at."""


class VAESettings(MissingSettings, MatchedSettings):
    """Settings of a variational autoencoder.

    Attributes
    ----------
    kind
        ``vae``, or ``bib_ae`` with critics.
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
    couplings
        Of the density of latent numbers; with 0 they are normal.
    divergence
        Weight of the Kullback-Leibler divergence.
    steps, learning_rate, batch
        Of the autoencoder.
    critic_width, critic_steps, critic_rate, critic_batch
        Of the training with critics.
    critic, latent_critic, discrepancy
        Weights of the two critics and of the latent numbers' maximum mean discrepancy, per shower
        and beside its likelihood in bits per cell.
    penalty
        Of the critics' slopes.
    post_steps, post_rate, post_batch
        Of the post-processor; with 0 steps there is none.
    """

    title: ClassVar[str] = "variational autoencoder"
    source: ClassVar[str] = "Buhmann et al., arXiv:2005.05334"

    block: int = Field(default=64, ge=1, le=1 << 16)
    kind: Literal["vae", "bib_ae"] = "vae"
    latent: int = Field(default=24, ge=2, multiple_of=2)
    width: int = Field(default=256, ge=8)
    blocks: int = Field(default=3, ge=1)
    embedding: int = Field(default=96, ge=4)
    components: int = Field(default=3, ge=1)
    groups: Literal[1, 2, 4] = 1
    later_width: int = Field(default=128, ge=8)
    local_width: int = Field(default=48, ge=8)
    couplings: int = Field(default=6, ge=0)
    divergence: float = Field(default=1.0, gt=0)
    steps: int = Field(default=10_000, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    batch: int = Field(default=512, ge=1)
    critic_width: int = Field(default=256, ge=8)
    critic_steps: int = Field(default=3_000, ge=1)
    critic_rate: float = Field(default=2e-4, gt=0)
    critic_batch: int = Field(default=256, ge=2)
    critic: float = Field(default=0.05, ge=0)
    latent_critic: float = Field(default=0.01, ge=0)
    discrepancy: float = Field(default=0.1, ge=0)
    penalty: float = Field(default=1.0, ge=0)
    post_steps: int = Field(default=1_000, ge=0)
    post_rate: float = Field(default=1e-3, gt=0)
    post_batch: int = Field(default=256, ge=2)


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
        numbers = (mean + log_width.exp() * normal).clamp(min=_LOWEST)
        return torch.where(lit, numbers, torch.full((), EMPTY, device=numbers.device))

    def draw_softly(self, normal: Tensor) -> Tensor:
        """Draw numbers (N, cells) whose choices have gradients, too.

        Forward it is a choice, backward a weighted mean (E. Jang et al., arXiv:1611.01144).
        """
        level = torch.rand_like(self.logits).clamp(1e-6, 1 - 1e-6)
        noisy = self.logits - (-level.log()).log()
        share = (noisy / _SOFTNESS).softmax(1)
        values = (self.means + self.log_widths.exp() * normal[:, None]).clamp(min=_LOWEST)
        values = torch.cat([torch.full_like(normal, EMPTY)[:, None], values], 1)
        mean = (share * values.detach()).sum(1)
        drawn = values.gather(1, noisy.argmax(1, keepdim=True))[:, 0]
        return drawn + (mean - mean.detach())


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
    """

    def __init__(self, settings: VAESettings, features: int, window: tuple[int, int]) -> None:
        super().__init__()
        s, cells = settings, math.prod(window)
        self.components, self.size = s.components, s.latent
        self.embedding = dense(features, 2 * s.embedding, s.embedding)
        self.encoder = Trunk(2 * cells, 2 * s.latent, s.embedding, s.width, s.blocks)
        self.groups = grouped(window, s.groups)
        self.back = torch.cat(self.groups).argsort()
        outputs = (1 + 3 * s.components) * len(self.groups[0])
        self.decoder = Trunk(s.latent, outputs, s.embedding, s.width, s.blocks)
        self.later = nn.ModuleList(
            Later(settings, window, self.groups[: number + 1])
            for number in range(1, len(self.groups))
        )
        self.density = Density(s.latent, s.embedding, s.couplings)

    def encode(self, numbers: Tensor, embedded: Tensor) -> Code:
        """Draw codes of numbers (N, cells), NaN for empty."""
        found = self.encoder(_seen(numbers.nan_to_num(EMPTY)), embedded).float()
        # Narrow in the beginning, so that the decoder gets used to latent numbers that say much.
        mean, log_width = found[:, : self.size], (found[:, self.size :] - 2).clamp(-6.0, 2.0)
        noise = torch.randn_like(mean)
        latent = mean + log_width.exp() * noise
        normal, change = self.density.normal(latent, embedded)
        after = (-0.5 * noise**2 - log_width).sum(1)
        before = (-0.5 * normal**2).sum(1) + change
        return Code(latent, normal, after - before)

    def decode(self, latent: Tensor, embedded: Tensor, numbers: Tensor, shared: Shared) -> Mixtures:
        """Mixtures of cells, for numbers (N, cells) of those before, NaN for empty."""
        filled = numbers.nan_to_num(EMPTY)
        before = [filled[:, group] for group in self.groups]
        parts = [
            self._mixtures(latent, embedded, before[:number], shared)
            for number in range(len(before))
        ]
        together = (torch.cat(part, 2)[:, :, self.back] for part in zip(*parts, strict=True))
        return Mixtures(*together)

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
            Returns numbers of mixtures of a group of cells, whose places it is given.
        """
        numbers: list[Tensor] = []
        for group in self.groups:
            numbers.append(drawn(self._mixtures(latent, embedded, numbers, shared), group))
        return torch.cat(numbers, 1)[:, self.back]

    def _mixtures(
        self, latent: Tensor, embedded: Tensor, before: Sequence[Tensor], shared: Shared
    ) -> Mixtures:
        """Mixtures of the group that comes after those with these numbers."""
        if not before:
            return Mixtures.of(self.decoder(latent, embedded), self.components)
        seen = shared.seen(torch.cat(list(before), 1))
        later = self.later[len(before) - 1]
        return Mixtures.of(later(latent, seen, embedded), self.components)


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
        self, settings: VAESettings, window: tuple[int, int], groups: Sequence[Tensor]
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
        around = F.pad(seen, (0, 1))[:, self.near.flatten()].unflatten(1, self.near.shape)
        h = F.silu(self.first(around) + self.place + shower[:, None])
        h = h + F.silu(self.second(h))
        return cells + self.last(h).transpose(1, 2).flatten(1)


def near(window: tuple[int, int], groups: Sequence[Tensor], nothing: int) -> Tensor:
    """Where what is seen of cells near those of the last group is, of the groups before.

    Parameters
    ----------
    nothing
        Where what lies outside the window is.

    Returns
    -------
    Tensor
        (cells, 3 n), of n places that are at most `_NEAR` rows and columns away.
    """
    place = torch.stack(torch.unravel_index(torch.cat(list(groups)), window), 1)
    cells = len(groups[-1])
    before, mine = place[:-cells], place[-cells:]
    away = before - mine[:, None]
    close = (away.abs() <= _NEAR).all(2)
    offsets = torch.unique(away[close], dim=0)
    found = (away[:, None] == offsets[:, None]).all(3)
    number = torch.where(found.any(2), found.int().argmax(2), nothing)
    parts = [torch.where(number < nothing, number + k * len(before), nothing) for k in range(3)]
    return torch.cat(parts, 1)


class Shared(NamedTuple):
    """The energy that cells share.

    Attributes
    ----------
    scale
        Between numbers and energies.
    total
        (N,) GeV.
    """

    scale: Scale
    total: Tensor

    def seen(self, numbers: Tensor) -> Tensor:
        """What networks see of some cells' numbers (N, n), `EMPTY` where empty, and what is left.

        Returns
        -------
        Tensor
            (N, 3 n + 2): whether lit, numbers, shares of the total; what is left, as a share and as
            a number.
        """
        total = self.total[:, None]
        energies = torch.where(numbers > CUT, self.scale.decode(numbers), 0.0)
        left = total - sums(energies)[:, None]
        shares = torch.cat([energies, left], 1) / total.clamp(min=_LEAST_TOTAL)
        number = ((left.clamp(min=0.0) + EDGE / 50) / EDGE) ** POWER
        return torch.cat([_seen(numbers), shares.clamp(-1.0, 2.0), number / 3], 1)


def grouped(window: tuple[int, int], groups: int) -> list[Tensor]:
    """Cells of groups, none of which has two cells with a common side; of four, with a corner.

    The cell in the middle, which mostly has most of the energy, is in the first.
    """
    from_middle = [torch.arange(size) - size // 2 for size in window]
    row, column = (at.flatten() for at in torch.meshgrid(*from_middle, indexing="ij"))
    if groups == _BY_PARITY:
        # What touches at a corner comes next: the last two see all around them.
        of = torch.tensor([[0, 2], [3, 1]])[row % 2, column % 2]
    else:
        of = (row + column) % groups
    return [torch.nonzero(of == group)[:, 0] for group in range(groups)]


def _seen(numbers: Tensor) -> Tensor:
    """What networks see (N, 2 cells) of numbers (N, cells), `EMPTY` where empty."""
    lit = numbers > CUT
    return torch.cat([lit.to(numbers.dtype), torch.where(lit, numbers, 0.0) / _UNIT], 1)


class PostProcessor(nn.Module):
    """Correction of one cell at a time, knowing its place and the conditions.

    Parameters
    ----------
    cells
        Number of cells.
    features
        Numbers it is told of the conditions.
    width
        Of its layers.
    """

    def __init__(self, cells: int, features: int, width: int = 32) -> None:
        super().__init__()
        self.given = dense(features, 64, width)[:-1]
        self.place = nn.Parameter(0.1 * torch.randn(cells, width))
        self.first = nn.Linear(1, width, bias=False)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)
        zeroed(self.last)

    def forward(self, numbers: Tensor, given: Tensor) -> Tensor:
        """Corrected numbers (N, cells); what is empty stays so."""
        h = self.first(numbers[:, :, None] / _UNIT) + self.place + self.given(given)[:, None]
        correction = self.last(F.silu(self.second(F.silu(h))))[:, :, 0]
        corrected = (numbers + correction.to(numbers.dtype)).clamp(min=_LOWEST)
        return torch.where(numbers > CUT, corrected, numbers)


class VAE(Missing, Standardised):
    """Latent numbers from a density, cells from spectra that they decide."""

    Settings = VAESettings
    settings: VAESettings

    def __init__(self, settings: VAESettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.variables = ShowerVariables(shape.cells, settings.threshold)
        self.spectra = Spectra(shape.window)
        told = self.features.size + MissingEnergy.size
        self.missing = MissingEnergy(self.features.size, 128, settings.missing_classes)
        self.autoencoder = Autoencoder(settings, told, shape.window)
        self.post = PostProcessor(shape.cells, told)
        # Here, not in their stage, so that a training that goes on starts from the same.
        self.critics = nn.ModuleList(
            Critic(inputs, told, settings.critic_width)
            for inputs in (2 * shape.cells, settings.latent)
            if settings.kind == "bib_ae"
        )
        # Latent numbers; for cells and the missing energy, a choice and a place.
        self.noise = settings.latent + 2 * self.variables.dimension

    def prepare(self, sample: Sample) -> None:
        numbers = self.variables.fit(sample, self.settings.seed)
        self.classes = self.missing.fit(self.variables.missing, numbers[:, -1:])
        self.numbers = numbers[:, :-1].contiguous()
        self.spectra.begin(self.variables.cell)

    def stages(self, sample: Sample) -> Iterator[Stage]:
        s = self.settings
        course = s.steps, s.batch, s.learning_rate
        yield AutoencoderStage("autoencoder", self, self.autoencoder, sample, *course)
        if s.kind == "bib_ae":
            course = s.critic_steps, s.critic_batch, s.critic_rate
            yield CriticsStage("critics", self, self.autoencoder, sample, *course)
        if s.post_steps:
            course = s.post_steps, s.post_batch, s.post_rate
            yield PostStage("post", self, self.post, sample, *course)
        yield self.missing_stage(sample)

    def standardised(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        choice, place = uniform_of(noise[:, -self._numbers - 1 : -self._numbers]), noise[:, -1:]
        given, available = self.features(pdg, conditions), self.available(pdg, conditions)
        classes = self.missing.draw(given, choice)
        within = uniform_of(place)
        numbers = self.drawn(noise, *self.told(given, classes, within, available))
        missing = self.missing.classes.filled(classes, within, place)
        v = self.variables
        return v.bounded((torch.cat([numbers, missing], 1) - v.mean) / v.width)

    @property
    def _numbers(self) -> int:
        return self.shape.cells + 1

    def drawn(self, noise: Tensor, told: Tensor, total: Tensor) -> Tensor:
        """Numbers (N, cells) of cells, for what networks are told, and their sums (N,) in GeV."""
        latent, cells = self.settings.latent, self.shape.cells
        code = noise[:, :latent]
        choice = uniform_of(noise[:, latent : latent + cells])
        place = noise[:, latent + cells + 1 : latent + 2 * cells + 1]
        embedded = self.autoencoder.embedding(told)
        numbers = self.autoencoder.draw(
            self.autoencoder.density.latent(code, embedded),
            embedded,
            Shared(self.variables.cell, total),
            lambda spectra, cells: spectra.draw(choice[:, cells], place[:, cells]),
        )
        return self.post(numbers, told) if self.settings.post_steps else numbers

    def told_of(self, sample: Sample, rows: Tensor) -> Tensor:
        """Return what networks are told of the training sample's showers in these rows."""
        part = sample.take(rows)
        classes = self.classes[rows.cpu()].to(part.pdg.device)
        places = torch.rand(classes.shape, device=classes.device)
        return self.told(self.given(part), classes, places, part.available)[0]

    def told(
        self, given: Tensor, classes: Tensor, places: Tensor, available: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What networks are told: features (N, features) and the missing energy; and the total."""
        told, total = self.missing.told(classes, places, self.variables.missing, available)
        return torch.cat([given, told], 1), total[:, 0]

    def method(self) -> str:
        s = self.settings
        critics = f"; {s.critic_steps} steps with critics" if s.kind == "bib_ae" else ""
        post = f"; {s.post_steps} of the post-processor" if s.post_steps else ""
        name = "BIB-AE" if s.kind == "bib_ae" else "variational autoencoder"
        groups = f" and cells in {s.groups} groups" if s.groups > 1 else ""
        return (
            f"{name} with {s.latent} latent numbers{groups}, {s.steps} steps of {s.batch} "
            f"showers{critics}"
            f"{post}; {s.missing_steps} of the missing energy; spectra of cells matched"
        )


FAMILY = VAE


class Given(NamedTuple):
    """Showers of a step.

    Attributes
    ----------
    numbers
        (N, cells), NaN for empty.
    told
        (N, features) what networks are told.
    total
        (N,) GeV.
    """

    numbers: Tensor
    told: Tensor
    total: Tensor


class _Stage(Stage):
    """A training on numbers of cells, given the missing energy."""

    family: VAE

    def given(self, rows: Tensor) -> Given:
        """Return the showers in these rows of the sample."""
        family, part = self.family, self.sample.take(rows)
        numbers = family.numbers[rows.cpu()].to(self.device)
        return Given(numbers, family.told_of(self.sample, rows), part.energies.sum(1))


class AutoencoderStage(_Stage):
    """The evidence lower bound: minus its bits per cell."""

    def loss(self, rows: Tensor) -> Tensor:
        given = self.given(rows)
        network = self.family.autoencoder
        embedded = network.embedding(given.told)
        code = network.encode(given.numbers, embedded)
        # Weak in the beginning: otherwise the decoder learns to do without latent numbers.
        warm = min(1.0, (int(self.steps_done) + 1) / (0.5 * self.steps))
        return bound(self.family, given, code, embedded, warm)


def bound(family: VAE, given: Given, code: Code, embedded: Tensor, warm: float = 1.0) -> Tensor:
    """Minus the evidence lower bound, in bits per cell."""
    shared = Shared(family.variables.cell, given.total)
    spectra = family.autoencoder.decode(code.latent, embedded, given.numbers, shared)
    nats = spectra.nats(given.numbers).sum(1)
    divergence = family.settings.divergence * warm * code.divergence
    return (nats + divergence).mean() / (family.shape.cells * math.log(2))


class CriticsStage(_Stage, Turns):
    """The bound, and critics of showers and of latent numbers."""

    betas = (0.5, 0.99)

    def sides(self) -> tuple[tuple[nn.Module, float], tuple[nn.Module, float]]:
        """See `Turns.sides`: critics learn faster."""
        return (self.trained, self.rate), (self.family.critics, 2 * self.rate)

    def training_step(self, rows: Tensor) -> Tensor:
        """Train critics, then the autoencoder; return the bound."""
        given = self.given(rows)
        real = self.seen(given.numbers.nan_to_num(EMPTY), given.total)
        network, s = self.family.autoencoder, self.family.settings
        embedded = network.embedding(given.told)
        code = network.encode(given.numbers, embedded)
        rebuilt = self.drawn(code.latent, embedded, given.total)
        noise = torch.randn_like(code.normal)
        made = self.drawn(network.density.latent(noise, embedded), embedded, given.total)
        fakes = torch.cat([rebuilt, made])
        twice = given.told.repeat(2, 1)

        judge, latent_judge = self.family.critics
        judged = contest(judge, real, fakes.detach(), given.told, twice, s.penalty)
        of_codes = contest(
            latent_judge, noise, code.normal.detach(), given.told, given.told, s.penalty
        )
        self.turn(1, judged + of_codes)

        loss = bound(self.family, given, code, embedded)
        loss = loss + s.critic * F.softplus(-judge(fakes, twice)).mean()
        fooled = F.softplus(-latent_judge(code.normal, given.told)).mean()
        loss = loss + s.latent_critic * fooled
        loss = loss + s.discrepancy * discrepancy(code.normal, noise)
        self.turn(0, loss)
        return loss.detach()

    def loss(self, rows: Tensor) -> Tensor:
        """Return the bound, without training anything."""
        given = self.given(rows)
        embedded = self.family.autoencoder.embedding(given.told)
        code = self.family.autoencoder.encode(given.numbers, embedded)
        return bound(self.family, given, code, embedded)

    def drawn(self, latent: Tensor, embedded: Tensor, total: Tensor) -> Tensor:
        """Showers of latent numbers, as the critic sees them."""
        numbers = self.family.autoencoder.draw(
            latent,
            embedded,
            Shared(self.family.variables.cell, total),
            lambda spectra, _: spectra.draw_softly(torch.randn_like(spectra.means[:, 0])),
        )
        return self.seen(numbers, total)

    def seen(self, numbers: Tensor, total: Tensor) -> Tensor:
        """What the critic sees (N, 2 cells): numbers, and energies over the total."""
        return torch.cat([numbers / _UNIT, shares(self.family, numbers, total)], 1)


class Critic(nn.Module):
    """How real numbers (N, inputs) look under conditions (N, told): a score (N,).

    Parameters
    ----------
    inputs, told
        Sizes of the two.
    width
        Of its layers.
    """

    def __init__(self, inputs: int, told: int, width: int) -> None:
        super().__init__()
        self.first, self.given = nn.Linear(inputs, width), nn.Linear(told, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.last = nn.Linear(width, 1)

    def forward(self, numbers: Tensor, told: Tensor) -> Tensor:
        """Return scores (N,)."""
        h = F.leaky_relu(self.first(numbers) + self.given(told), 0.2)
        for layer in self.layers:
            h = h + F.leaky_relu(layer(h), 0.2)
        score: Tensor = self.last(h)[:, 0]
        return score


def contest(
    critic: Callable[[Tensor, Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    of_real: Tensor,
    of_fake: Tensor,
    penalty: float,
) -> Tensor:
    """Cross-entropy of a critic, and the penalty on its slope at real numbers."""
    judged = F.softplus(-critic(real, of_real)).mean() + F.softplus(critic(fake, of_fake)).mean()
    return judged + 0.5 * penalty * squared_slope(critic, real, of_real).mean()


class PostStage(_Stage):
    """Discrepancies between cells that were made and those of the sample."""

    def loss(self, rows: Tensor) -> Tensor:
        family, given = self.family, self.given(rows)
        network = family.autoencoder
        with torch.no_grad():
            embedded = network.embedding(given.told)
            code = torch.randn((len(rows), family.settings.latent), device=self.device)
            choice = torch.rand(given.numbers.shape, device=self.device)
            place = torch.randn_like(choice)
            before = network.draw(
                network.density.latent(code, embedded),
                embedded,
                Shared(family.variables.cell, given.total),
                lambda spectra, cells: spectra.draw(choice[:, cells], place[:, cells]),
            )
        made: Tensor = family.post(before, given.told)
        real = given.numbers.nan_to_num(0.0)
        fake = torch.where(before > CUT, made, torch.zeros(()))
        first = len(family.shape.kinds)
        momentum = 3 * family.given(self.sample, rows)[:, first : first + 1]
        loss = torch.zeros((), device=self.device)
        for pair in self.views(real, fake):
            loss = loss + discrepancy(*(torch.cat([side, momentum], 1) for side in pair))
        available = self.sample.available[rows]
        sums = shares(family, torch.where(before > CUT, made, before), available).sum(1)
        wrong: Tensor = sums - given.total / available
        # As near as possible to what it was, and right on the whole.
        return loss + wrong.mean().square() + 0.05 * (made - before).square().mean()

    def views(self, real: Tensor, fake: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Groups of cells: the largest in order, and those around the middle where they are."""
        ordered = [numbers.sort(1, descending=True).values for numbers in (real, fake)]
        for start in range(0, min(24, real.shape[1]), 4):
            yield ordered[0][:, start : start + 8], ordered[1][:, start : start + 8]
        ring = self.family.spectra.ring
        for cells in (ring <= 1, ring == 2):
            yield real[:, cells], fake[:, cells]


def shares(family: VAE, numbers: Tensor, whole: Tensor) -> Tensor:
    """Energies (N, cells) of numbers over what they are parts of (N,), in GeV."""
    energies = family.variables.cell.decode(numbers)
    energies = torch.where(numbers > CUT, energies, torch.zeros_like(energies))
    return energies / whole.clamp(min=1e-3)[:, None]


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Maximum mean discrepancy of two samples (N, n), squared and without bias.

    Kernels are Gaussian, of three widths around the mean distance: A. Gretton et al., J. Mach.
    Learn. Res. 13 (2012) 723, eq. 3.
    """
    count = len(one)
    both = torch.cat([one, other]).float()
    squares = torch.cdist(both, both).square()
    scale = squares.detach().sum() / (4 * count * count - 2 * count)
    kernel = torch.stack([(-squares / (width * scale)).exp() for width in (0.1, 0.5, 2.0)]).mean(0)
    apart = 1 - torch.eye(count, device=one.device)
    within = (kernel[:count, :count] + kernel[count:, count:]) * apart
    inside: Tensor = within.sum() / (count * (count - 1))
    return inside - 2 * kernel[:count, count:].mean()

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
- Cells may be drawn in groups, none of which has neighbours in it
  (`k4calofast.training.crystals.sharing`).
- Latent numbers are drawn from a density that couplings learn together with the autoencoder (as
  L. Dinh et al., Density estimation using Real NVP, arXiv:1605.08803): where codes of showers are
  not normal, the decoder need not make sense of what lies between them.
- Critics come when the likelihood has been trained, and are of the kind of a GAN with a penalty on
  slopes at real showers (L. Mescheder et al., arXiv:1801.04406).
- The spectra of all cells together are matched to those of the sample in the very end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.crystals.adversarial import Turns, squared_slope
from k4calofast.training.crystals.autoencoder import Autoencoder, AutoencoderSettings, Code
from k4calofast.training.crystals.family import uniform_of
from k4calofast.training.crystals.missing import Missing, MissingEnergy, MissingSettings
from k4calofast.training.crystals.mixtures import LOWEST
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.sharing import UNIT, Shared
from k4calofast.training.crystals.spectra import MatchedSettings, Spectra, Standardised
from k4calofast.training.crystals.variables import CUT, EMPTY, ShowerVariables
from k4calofast.training.dense import dense, zeroed
from k4calofast.training.family import Shape, Stage


class VAESettings(AutoencoderSettings, MissingSettings, MatchedSettings):
    """Settings of a variational autoencoder.

    Attributes
    ----------
    kind
        ``vae``, or ``bib_ae`` with critics.
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
        h = self.first(numbers[:, :, None] / UNIT) + self.place + self.given(given)[:, None]
        correction = self.last(F.silu(self.second(F.silu(h))))[:, :, 0]
        corrected = (numbers + correction.to(numbers.dtype)).clamp(min=LOWEST)
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
        # Latent numbers; for cells, parts and the missing energy, a choice and a place.
        self.noise = settings.latent + 2 * (self.autoencoder.drawn + 1)

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
        return self.autoencoder.drawn + 1

    def drawn(self, noise: Tensor, told: Tensor, total: Tensor) -> Tensor:
        """Numbers (N, cells) of cells, for what networks are told, and their sums (N,) in GeV."""
        latent, drawn = self.settings.latent, self.autoencoder.drawn
        code = noise[:, :latent]
        choice = uniform_of(noise[:, latent : latent + drawn])
        place = noise[:, latent + drawn + 1 : latent + 2 * drawn + 1]
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
    nats = family.autoencoder.nats(code.latent, embedded, given.numbers, shared)
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
        return torch.cat([numbers / UNIT, shares(self.family, numbers, total)], 1)


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
            choice = torch.rand((len(rows), network.drawn), device=self.device)
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
    energies = Shared(family.variables.cell, whole).energies(numbers)
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

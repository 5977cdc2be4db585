"""Hadrons and muons: a mixture of outcomes for the energy that is seen, then an autoencoder.

Nothing, minimum ionising or interacted: `k4calofast.training.crystals.response` draws what is seen
of a particle. Outcome and energy are conditions of the family `vae`, whose networks place the
energy in crystals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from k4calofast.training.crystals.autoencoder import Autoencoder
from k4calofast.training.crystals.families.vae import (
    VAE,
    AutoencoderStage,
    PostProcessor,
    PostStage,
    VAESettings,
)
from k4calofast.training.crystals.family import uniform_of
from k4calofast.training.crystals.ionisation import Ionisation, number_of
from k4calofast.training.crystals.missing import Missing
from k4calofast.training.crystals.response import Energies, Response, Told, nats
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.spectra import Spectra
from k4calofast.training.crystals.variables import EDGE, ShowerVariables, rescaled
from k4calofast.training.family import Shape, Stage

_LEAST = 1e-4
"""GeV: spectra of showers of which less is seen are not told apart."""

_TOGETHER = 4096
"""Showers that are generated at once."""

_ROUNDS, _FEW = 5, 100
"""Of the correction of shares of energy, and showers from which it is believed by half."""


class HadronSettings(VAESettings):
    """Settings of the generator of hadrons and muons.

    Attributes
    ----------
    response_width
        Of the network for the energy that is seen.
    interacted
        Steps of that energy, of particles that interact.
    response_steps, response_rate, response_batch
        Of its training.
    """

    title: ClassVar[str] = "mixture of outcomes and variational autoencoder"
    source: ClassVar[str] = "the autoencoder: Buhmann et al., arXiv:2005.05334"

    width: int = Field(default=160, ge=8)
    blocks: int = Field(default=2, ge=1)
    components: int = Field(default=3, ge=1)
    groups: Literal[1, 2, 4] = 4
    later_width: int = Field(default=96, ge=8)
    local_width: int = Field(default=32, ge=8)
    steps: int = Field(default=12_000, ge=1)
    post_steps: int = Field(default=0, ge=0)
    response_width: int = Field(default=128, ge=8)
    interacted: int = Field(default=192, ge=1)
    response_steps: int = Field(default=2_500, ge=1)
    response_rate: float = Field(default=3e-3, gt=0)
    response_batch: int = Field(default=2048, ge=1)


class Hadrons(VAE):
    """What is seen from a mixture of outcomes, cells from an autoencoder."""

    Settings = HadronSettings
    settings: HadronSettings
    seen: Tensor
    balance: Tensor

    def __init__(self, settings: HadronSettings, shape: Shape) -> None:
        # Not the autoencoder's own spectrum of the missing energy.
        super(Missing, self).__init__(settings, shape)
        self.ionisation = Ionisation(shape.kinds, self.conditions)
        self.variables = ShowerVariables(shape.cells, settings.threshold)
        self.spectra = Spectra(shape.window)
        told = self.features.size + Response.size
        self.known = Told(self.features, self.ionisation)
        self.response = Response(self.known.size, settings.response_width, settings.interacted)
        self.autoencoder = Autoencoder(settings, told, shape.window)
        self.post = PostProcessor(shape.cells, told)
        shares = len(shape.kinds) * self.spectra.points * self.spectra.rings
        self.register_buffer("balance", torch.ones(shares))
        self.noise = settings.latent + 2 * (self.autoencoder.drawn + 1)

    def prepare(self, sample: Sample) -> None:
        self.numbers = self.variables.fit(sample, self.settings.seed)[:, :-1].contiguous()
        self.spectra.begin(self.variables.cell)
        self.seen = self.response.steps(sample.energies.sum(1), self.energies_of(sample))

    def stages(self, sample: Sample) -> Iterator[Stage]:
        s = self.settings
        # Showers without any energy have no cells.
        lit = sample.energies.sum(1) > 0
        self.numbers = self.numbers[lit]
        course = s.steps, s.batch, s.learning_rate
        yield AutoencoderStage("autoencoder", self, self.autoencoder, sample.take(lit), *course)
        if s.post_steps:
            course = s.post_steps, s.post_batch, s.post_rate
            yield PostStage("post", self, self.post, sample.take(lit), *course)
        course = s.response_steps, s.response_batch, s.response_rate
        yield ResponseStage("response", self, self.response, sample, *course)

    def energies_of(self, sample: Sample) -> Energies:
        """Return what is expected of a sample's particles."""
        return Energies(self.ionisation(sample.pdg, sample.conditions)[1], sample.available)

    def told_of(self, sample: Sample, rows: Tensor) -> Tensor:
        part = sample.take(rows)
        energy, of = part.energies.sum(1), self.energies_of(part)
        told = self.response.told(self.response.steps(energy, of), energy, of)
        return torch.cat([self.given(part), told], 1)

    def cells(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Draw standardised numbers (N, cells + 1) of cells, and the sum of all (N,) in GeV."""
        given = self.features(pdg, conditions)
        expected = self.ionisation(pdg, conditions)[1]
        of = Energies(expected, self.available(pdg, conditions))
        before = self.settings.latent + self.autoencoder.drawn
        steps = self.response.draw(self.known(pdg, conditions), uniform_of(noise[:, before]))
        total = self.response.energy(steps, uniform_of(noise[:, -1]), of)
        told = torch.cat([given, self.response.told(steps, total, of)], 1)
        numbers = self.drawn(noise, told, total)
        numbers = torch.cat([numbers, torch.zeros_like(numbers[:, :1])], 1)
        v = self.variables
        return v.bounded((numbers - v.mean) / v.width), total

    def standardised(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        return self.cells(noise, pdg, conditions)[0]

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        standardised, total = self.cells(noise, pdg, conditions)
        return self.placed(self.variables.numbers(standardised)[:, :-1], pdg, total)

    def placed(self, numbers: Tensor, pdg: Tensor, total: Tensor) -> Tensor:
        """Energies (N, cells) in GeV of cells' numbers (N, cells), with these sums (N,)."""
        energies = self.spectra(numbers, total.clamp(min=_LEAST))
        of = self._share_of(pdg, total)[:, None] * self.spectra.rings + self.spectra.ring
        energies = torch.where(energies > EDGE, energies * self.balance[of], energies)
        # What is seen is seen somewhere: at least in the crystal that is entered.
        lit = (energies > 0).to(energies.dtype) @ energies.new_ones(self.shape.cells, 1)
        middle = torch.arange(self.shape.cells, device=energies.device) == self.shape.cells // 2
        energies = torch.where((lit < 1) & middle, total[:, None], energies)
        energies = rescaled(energies, total)
        return torch.where(energies > self.variables.threshold, energies, torch.zeros(()))

    def _share_of(self, pdg: Tensor, total: Tensor) -> Tensor:
        """Which kind and point of energy (N,) showers belong to."""
        kind = number_of(pdg, self.features.kinds)
        point: Tensor = kind * self.spectra.points + self.spectra.point(total.clamp(min=_LEAST))
        return point

    @torch.no_grad()
    def finish(self, sample: Sample) -> None:
        few = sample.take(slice(None, None, -(-len(sample) // self.settings.matched)))
        parts, totals = [], []
        generator = torch.Generator().manual_seed(self.settings.seed + 2)
        for part in few.blocks(_TOGETHER):
            noise = torch.randn((len(part), self.noise), generator=generator)
            found, total = self.cells(noise, part.pdg, part.conditions)
            parts.append(self.variables.numbers(found)[:, :-1])
            totals.append(total)
        numbers, total, seen = torch.cat(parts), torch.cat(totals), few.energies.sum(1)
        self.balance.fill_(1.0)
        self.spectra.match(
            self.variables.cell,
            (numbers[total > 0], total[total > 0]),
            (few.energies[seen > 0], seen[seen > 0]),
            _LEAST,
        )
        self._balance(numbers, total, few)

    def _balance(self, numbers: Tensor, total: Tensor, sample: Sample) -> None:
        """Let cells at each distance have the sample's share of the energy, kind by kind.

        When sums are brought to what is seen, showers with much energy far out are scaled down, and
        those with little up: on the whole, cells far out lose.
        """
        rings, seen = self.spectra.rings, sample.energies.sum(1)
        parts = len(self.balance) // rings
        wanted, count = self._shares(sample.energies, self._share_of(sample.pdg, seen), parts)
        certain = (count / (count + _FEW))[:, None]
        for _ in range(_ROUNDS):
            blocks = zip(
                *(torch.split(column, _TOGETHER) for column in (numbers, sample.pdg, total)),
                strict=True,
            )
            energies = torch.cat([self.placed(*block) for block in blocks])
            found, _ = self._shares(energies, self._share_of(sample.pdg, total), parts)
            ratio = (wanted / found.clamp(min=1e-9)).clamp(0.8, 1.25)
            ratio = torch.where((wanted > 0) & (found > 0), ratio, torch.ones(()))
            self.balance.mul_((ratio**certain).flatten()).clamp_(0.3, 3.0)

    def _shares(self, energies: Tensor, of: Tensor, parts: int) -> tuple[Tensor, Tensor]:
        """Shares (parts, rings) of the energy in rings, and showers (parts,) with energy."""
        rings = self.spectra.rings
        in_rings = energies @ torch.nn.functional.one_hot(self.spectra.ring, rings).float()
        sums = torch.zeros(parts, rings).index_add(0, of, in_rings)
        lit = (in_rings.sum(1) > 0).float()
        count = torch.zeros(parts).index_add(0, of, lit)
        return sums / sums.sum(1, keepdim=True).clamp(min=1e-9), count

    def method(self) -> str:
        s = self.settings
        return (
            f"mixture of nothing, ionised and interacted, {s.response_steps} steps; variational "
            f"autoencoder with {s.latent} latent numbers, {s.steps} steps of {s.batch} showers; "
            "spectra of cells and shares of energy by distance matched"
        )


FAMILY = Hadrons


class ResponseStage(Stage):
    """The likelihood of the energy that is seen."""

    chooses = True
    weight_decay = 1e-1
    decay = 0.995
    family: Hadrons

    def loss(self, rows: Tensor) -> Tensor:
        """See `Stage.loss`."""
        steps = self.family.seen[rows.cpu()].to(self.device)
        known = self.family.known(self.sample.pdg[rows], self.sample.conditions[rows])
        return nats(self.trained(known), steps)

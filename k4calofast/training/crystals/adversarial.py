"""Generators that are trained against a critic: what is the same for all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Precision
from k4calofast.training.crystals.normalisation import (
    Name,
    ShowerNumbers,
    linear_guess,
    normalisation,
    with_constant,
)
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.spectra import MatchedSettings, Spectra, Standardised
from k4calofast.training.family import Shape, Stage

Score = Callable[[Tensor, Tensor], Tensor]
"""Of numbers (N, size) and features (N, F): `Adversarial.score`."""


class AdversarialSettings(MatchedSettings):
    """What adversarial families have in common.

    Attributes
    ----------
    normalisation
        What networks see of energies; see `k4calofast.training.crystals.normalisation`.
    latent
        Standard normal numbers that describe a shower as a whole.
    steps, batch
        Of the training.
    learning_rate, critic_rate
        Of the generator, and of what it is trained against.
    penalty
        Of the slope of what the generator is trained against.
    matched
        With the normalisation `shower`; see `MatchedSettings`.
    """

    # Second derivatives lose too much in bfloat16, and gain little time on a CPU.
    precision: Precision = "32-true"

    normalisation: Name = "shower"
    latent: int = Field(default=64, ge=1)
    steps: int = Field(default=8_000, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    critic_rate: float = Field(default=5e-4, gt=0)
    penalty: float = Field(default=1.0, ge=0)


class Adversarial(Standardised):
    """A generator that is trained against a critic.

    The critic is part of the family so that a training that starts from another has both.

    Attributes
    ----------
    generator
        Noise and features to what is added to the linear guess from features.
    critic
        Numbers less the guess, numbers, and features to a score.
    guess
        (features + 1, size) coefficients of the linear guess.
    spread
        (size,) widths of numbers over all conditions.
    variables, spectra
        Of the normalisation `shower`; others have none.
    """

    settings: AdversarialSettings
    generator: nn.Module
    critic: nn.Module
    guess: Tensor
    spread: Tensor

    def __init__(self, settings: AdversarialSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.normalisation = normalisation(settings.normalisation, shape.cells, settings.threshold)
        if isinstance(self.normalisation, ShowerNumbers):
            self.variables = self.normalisation.variables
            self.spectra = Spectra(shape.window)
        size = self.normalisation.size
        self.register_buffer("guess", torch.zeros(self.features.size + 1, size))
        self.register_buffer("spread", torch.ones(size))

    def prepare(self, sample: Sample) -> None:
        """Fit the normalisation and the guess."""
        given = self.given(sample)
        self.numbers = self.normalisation.fit(sample, given, self.settings.seed)
        if isinstance(self.normalisation, ShowerNumbers):
            self.spectra.begin(self.variables.cell)
        self.guess.copy_(linear_guess(given, self.numbers)[0])
        self.spread.copy_(self.numbers.std(0).clamp(min=1.0))

    def raw(self, noise: Tensor, features: Tensor) -> Tensor:
        """Return the generator's numbers (N, size), before any threshold."""
        raw: Tensor = self.generator(noise, features) + with_constant(features) @ self.guess
        return raw

    def score(self, numbers: Tensor, features: Tensor) -> Tensor:
        """Return the critic's scores (N,) of numbers (N, size)."""
        added = numbers - with_constant(features) @ self.guess
        score: Tensor = self.critic(added, numbers / self.spread, features)
        return score.reshape(len(numbers))

    def finish(self, sample: Sample) -> None:
        """Match spectra, with the normalisation `shower`."""
        if isinstance(self.normalisation, ShowerNumbers):
            super().finish(sample)

    def contest(self, kind: type[Contest], sample: Sample) -> Contest:
        """Return the only training, of this kind."""
        s = self.settings
        course = s.steps, s.batch, s.learning_rate
        return kind("contest", self, self.generator, sample, *course)

    def standardised(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """See `Standardised.standardised`: with the normalisation `shower`."""
        return self.variables.bounded(self.raw(noise, self.features(pdg, conditions)))

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Generate energies; see `Family.generate`."""
        if isinstance(self.normalisation, ShowerNumbers):
            return super().generate(noise, pdg, conditions)
        raw = self.raw(noise, self.features(pdg, conditions))
        return self.normalisation.energies(raw, self.available(pdg, conditions))


class Turns(Stage):
    """A training of a generator and critics in turns, each side with its own Adam."""

    automatic_optimization = False

    @abstractmethod
    def sides(self) -> tuple[tuple[nn.Module, float], tuple[nn.Module, float]]:
        """Return generator and critics, each with its largest learning rate."""

    def configure_optimizers(self) -> Any:
        """Adam for each of the two; their rates follow one course."""
        return [
            torch.optim.Adam(module.parameters(), lr=rate, betas=self.betas)
            for module, rate in self.sides()
        ]

    def turn(self, which: int, loss: Tensor) -> None:
        """Let the generator (0) or the critics (1) learn."""
        module, rate = self.sides()[which]
        optimizer = self.optimizers()[which]  # type: ignore[index]
        # From the step, so that a training that goes on needs no schedules.
        for group in optimizer.param_groups:
            group["lr"] = rate * self.rate_at(int(self.steps_done))
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.largest_gradient is not None:
            nn.utils.clip_grad_norm_(module.parameters(), self.largest_gradient)
        optimizer.step()


class Contest(Turns):
    """Real and generated numbers before a critic."""

    chooses = True
    family: Adversarial
    every = 1
    """Turns of the critic per turn of the generator."""

    def sides(self) -> tuple[tuple[nn.Module, float], tuple[nn.Module, float]]:
        """See `Turns.sides`."""
        family = self.family
        return (family.generator, self.rate), (family.critic, family.settings.critic_rate)

    def training_step(self, rows: Tensor) -> Tensor:
        """Train the critic, and at its turn the generator; return the critic's loss."""
        real, features, available = self.given(rows)
        mine = (int(self.steps_done) + 1) % self.every == 0
        with torch.set_grad_enabled(mine):
            fake = self.fake(features, available)
        found = self.of_critic(real, fake.detach(), features)
        self.turn(1, found)
        if mine:
            critic = self.family.critic.requires_grad_(False)
            self.turn(0, self.of_generator(self.family.score(fake, features)))
            critic.requires_grad_(True)
        return found.detach()

    def loss(self, rows: Tensor) -> Tensor:
        """Return the critic's loss, without training anything."""
        real, features, available = self.given(rows)
        return self.of_critic(real, self.fake(features, available).detach(), features)

    @abstractmethod
    def of_critic(self, real: Tensor, fake: Tensor, features: Tensor) -> Tensor:
        """Return the critic's loss of real and generated numbers (N, size)."""

    @abstractmethod
    def of_generator(self, scores: Tensor) -> Tensor:
        """Return the generator's loss of scores (N,) of what it made."""

    def given(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return numbers (n, size), features (n, features) and available energies (n,)."""
        family = self.family
        family.numbers = family.numbers.to(rows.device)
        return family.numbers[rows], family.given(self.sample, rows), self.sample.available[rows]

    def fake(self, features: Tensor, available: Tensor) -> Tensor:
        """Generate numbers (n, size), as the critic sees them."""
        noise = torch.randn((len(features), self.family.noise), device=self.device)
        raw = self.family.raw(noise, features).float()
        return self.family.normalisation.seen(raw, available)


def squared_slope(score: Score, numbers: Tensor, features: Tensor) -> Tensor:
    """Squared norm (N,) of a score's gradient at numbers (N, size), to be differentiated."""
    at = numbers.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(score(at, features).sum(), at, create_graph=True)
    return gradient.square().sum(1)

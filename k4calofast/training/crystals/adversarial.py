"""Generators that are trained against a critic: what is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Precision, Settings
from k4calofast.training.crystals.family import CrystalFamily
from k4calofast.training.crystals.normalisation import (
    Name,
    ShowerNumbers,
    linear_guess,
    normalisation,
    with_constant,
)
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.spectra import Spectra, match_spectra
from k4calofast.training.crystals.variables import ShowerVariables
from k4calofast.training.family import Shape, Stage

Score = Callable[[Tensor, Tensor], Tensor]
"""Of numbers (N, size) and features (N, F): `Adversarial.score`."""


class AdversarialSettings(Settings):
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
        Showers whose spectra are matched in the end, with the normalisation `shower`.
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
    matched: int = Field(default=200_000, ge=1)


class Adversarial(CrystalFamily):
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
    variables: ShowerVariables
    spectra: Spectra

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
        given = self.features(sample.pdg, sample.conditions)
        self._numbers = self.normalisation.fit(sample, given, self.settings.seed)
        if isinstance(self.normalisation, ShowerNumbers):
            self.spectra.begin(self.variables.cell)
        self.guess.copy_(linear_guess(given, self._numbers)[0])
        self.spread.copy_(self._numbers.std(0).clamp(min=1.0))

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
            match_spectra(self, sample, self.settings.matched, self.settings.seed + 2)

    def standardised(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return the standardised numbers (N, size) of showers, with the normalisation `shower`."""
        return self.variables.bounded(self.raw(noise, self.features(pdg, conditions)))

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Generate energies; see `Family.generate`."""
        available = self.available(pdg, conditions)
        if isinstance(self.normalisation, ShowerNumbers):
            standardised = self.standardised(noise, pdg, conditions)
            return self.variables.decode(standardised, available, self.spectra)
        raw = self.raw(noise, self.features(pdg, conditions))
        return self.normalisation.energies(raw, available)


class Contest(Stage):
    """A training of generator and critic in turns, each with its own Adam."""

    automatic_optimization = False
    chooses = True
    family: Adversarial
    steps_done: Tensor

    def __init__(self, family: Adversarial, sample: Sample, numbers: Tensor) -> None:
        s = family.settings
        super().__init__(
            "contest", family, family.generator, sample, s.steps, s.batch, s.learning_rate
        )
        self.critic, self.numbers = family.critic, numbers

    def configure_optimizers(self) -> Any:
        """Adam for each of the two; their rates follow one course."""
        s = self.family.settings
        return [
            torch.optim.Adam(self.trained.parameters(), lr=s.learning_rate, betas=self.betas),
            torch.optim.Adam(self.critic.parameters(), lr=s.critic_rate, betas=self.betas),
        ]

    def loss(self, rows: Tensor) -> Tensor:
        """Return the critic's loss, without training anything."""
        real, features, available = self.given(rows)
        return self.of_critic(real, self.fake(features, available).detach(), features)

    def of_critic(self, real: Tensor, fake: Tensor, features: Tensor) -> Tensor:
        """Return the critic's loss of real and generated numbers (N, size)."""
        raise NotImplementedError

    def given(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return numbers (n, size), features (n, features) and available energies (n,)."""
        self.numbers = self.numbers.to(self.device)
        sample = self.sample
        features = self.family.features(sample.pdg[rows], sample.conditions[rows])
        return self.numbers[rows], features, sample.available[rows]

    def fake(self, features: Tensor, available: Tensor) -> Tensor:
        """Generate numbers (n, size), as the critic sees them."""
        noise = torch.randn((len(features), self.family.noise), device=self.device)
        raw = self.family.raw(noise, features).float()
        return self.family.normalisation.seen(raw, available)

    def turn(self, which: int, loss: Tensor) -> None:
        """Let the generator (0) or the critic (1) learn."""
        s = self.family.settings
        optimizer = self.optimizers()[which]  # type: ignore[index]
        # From the step, so that a training that goes on needs no schedules.
        course = self.rate_at(int(self.steps_done))
        for group in optimizer.param_groups:
            group["lr"] = (s.learning_rate, s.critic_rate)[which] * course
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.largest_gradient is not None:
            network = (self.trained, self.critic)[which]
            nn.utils.clip_grad_norm_(network.parameters(), self.largest_gradient)
        optimizer.step()


def squared_slope(score: Score, numbers: Tensor, features: Tensor) -> Tensor:
    """Squared norm (N,) of a score's gradient at numbers (N, size), to be differentiated."""
    at = numbers.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(score(at, features).sum(), at, create_graph=True)
    return gradient.square().sum(1)

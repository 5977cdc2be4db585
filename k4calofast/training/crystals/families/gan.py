"""A conditional GAN with convolutions: the design that BESIII studied for this calorimeter.

The generator makes an image of the window out of noise, conditions and the kind, by transposed
convolutions: 3 x 3, 6 x 6, 11 x 11 cells. A discriminator, convolutions again, is shown windows
with their conditions and learns which are Geant4's. The loss is the non-saturating one
(I. Goodfellow et al., arXiv:1406.2661): the generator is paid for what the discriminator takes for
real, so that it learns most where it is worst. The discriminator's slope at real showers is
penalised (R1: L. Mescheder et al., arXiv:1801.04406), at every few steps (T. Karras et al.,
arXiv:1912.04958), since that takes second derivatives.

What differs from GANs of images: a map of noise enters where the image has its full size, since
deposits in far cells hardly depend on each other; and the numbers are by default much like those of
this package's flow (`k4calofast.training.crystals.normalisation`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Precision, Settings
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
from k4calofast.training.family import Family, Shape, Stage

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


class GanSettings(AdversarialSettings):
    """Settings of the convolutional GAN.

    Attributes
    ----------
    channels
        Of the images at full size; smaller images have more.
    hidden
        Nodes of dense layers.
    penalty_every
        Steps between two in which the slope is penalised.
    """

    title: ClassVar[str] = "conditional GAN with convolutions"
    source: ClassVar[str] = "Goodfellow et al., arXiv:1406.2661; Mescheder et al., arXiv:1801.04406"

    channels: int = Field(default=24, ge=1)
    hidden: int = Field(default=256, ge=1)
    penalty_every: int = Field(default=4, ge=1)


class Adversarial(Family):
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


class Gan(Adversarial):
    """Transposed convolutions against convolutions."""

    Settings = GanSettings
    settings: GanSettings

    def __init__(self, settings: GanSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        s, extra = settings, self.normalisation.extra
        self.noise = s.latent + self.normalisation.size
        sizes = (self.features.size, shape.window, extra, s.channels, s.hidden)
        self.generator = Generator(s.latent, *sizes)
        # To start with, each number is nearly the linear guess and noise of its width.
        self.generator.gain.data.copy_(self.normalisation.widths)
        self.critic = Discriminator(*sizes)

    def stages(self, sample: Sample) -> Iterator[Stage]:
        """Yield the only training."""
        yield NonSaturating(self, sample, self._numbers)

    def method(self) -> str:
        """Return how it was trained."""
        s = self.settings
        return (
            f"convolutional GAN, {s.steps} steps of {s.batch} showers, non-saturating loss with R1 "
            f"penalty {s.penalty}; normalisation {s.normalisation}"
        )


FAMILY = Gan


def sizes_of(window: tuple[int, int]) -> list[tuple[int, int]]:
    """Return sizes of images from a window's down, each half of the one before, rounded up."""
    rows, columns = window
    middle = (rows + 1) // 2, (columns + 1) // 2
    return [window, middle, ((middle[0] + 1) // 2, (middle[1] + 1) // 2)]


class Generator(nn.Module):
    """Noise and features to numbers of cells, and of the shower as a whole.

    Parameters
    ----------
    latent
        Numbers of noise that are not of one number of the result.
    features
        Of conditions and kind.
    window
        Rows and columns.
    extra
        Numbers of the shower as a whole.
    channels, hidden
        See `GanSettings`.
    """

    def __init__(
        self,
        latent: int,
        features: int,
        window: tuple[int, int],
        extra: int,
        channels: int,
        hidden: int,
    ) -> None:
        super().__init__()
        full, middle, small = sizes_of(window)
        self.latent, self.window, self.small = latent, window, (4 * channels, *small)
        self.dense = nn.Sequential(
            nn.Linear(latent + features, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
        )
        self.image = nn.Linear(hidden, math.prod(self.small))
        self.whole = nn.Linear(hidden, extra) if extra else None
        self.first = _doubled(4 * channels, 2 * channels, small, middle)
        self.second = _doubled(2 * channels, channels, middle, full)
        self.third = nn.Conv2d(channels + 1, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 1, 1)
        # Convolutions do not know where they are, but the middle cell is not like others.
        self.place = nn.Parameter(0.02 * torch.randn(channels, *window))
        self.offset = nn.Parameter(torch.zeros(1, *window))
        self.gain = nn.Parameter(torch.ones(math.prod(window) + extra))

    def forward(self, noise: Tensor, features: Tensor) -> Tensor:
        """Return numbers (N, size) of noise (N, latent + size), where size is cells + extra."""
        own = noise[:, self.latent :]
        h = self.dense(torch.cat([noise[:, : self.latent], features], 1))
        image = F.silu(self.image(h)).reshape(-1, *self.small)
        image = F.silu(self.second(F.silu(self.first(image))) + self.place)
        cells = own[:, : math.prod(self.window)].reshape(-1, 1, *self.window)
        image = F.silu(self.third(torch.cat([image, cells], 1)))
        columns = [(self.last(image) + self.offset).flatten(1)]
        if self.whole is not None:
            columns += [self.whole(h)]
        return torch.cat(columns, 1) + own * self.gain


class Discriminator(nn.Module):
    """Numbers of a shower, twice, and features to one number: large for Geant4's.

    Parameters
    ----------
    features, window, extra, channels, hidden
        As for `Generator`.
    """

    def __init__(
        self, features: int, window: tuple[int, int], extra: int, channels: int, hidden: int
    ) -> None:
        super().__init__()
        _, _, small = sizes_of(window)
        self.window = window
        self.first = nn.Conv2d(2, channels, 3, padding=1)
        self.place = nn.Parameter(0.02 * torch.randn(channels, *window))
        self.second = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.third = nn.Conv2d(2 * channels, 4 * channels, 3, stride=2, padding=1)
        self.embedding = nn.Sequential(nn.Linear(features, hidden // 2 + 1), nn.SiLU())
        inputs = 4 * channels * math.prod(small) + 2 * extra + hidden // 2 + 1
        self.dense = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, added: Tensor, numbers: Tensor, features: Tensor) -> Tensor:
        """Return scores (N, 1); see `Adversarial.score`."""
        cells = math.prod(self.window)
        images = torch.stack([added[:, :cells], numbers[:, :cells]], 1)
        image = F.silu(self.first(images.reshape(-1, 2, *self.window)) + self.place)
        image = F.silu(self.third(F.silu(self.second(image))))
        columns = [image.flatten(1), added[:, cells:], numbers[:, cells:], self.embedding(features)]
        score: Tensor = self.dense(torch.cat(columns, 1))
        return score


def _doubled(
    inputs: int, outputs: int, size: tuple[int, int], wanted: tuple[int, int]
) -> nn.ConvTranspose2d:
    """Return a transposed convolution that doubles an image, less one where that is wanted."""
    padding = (wanted[0] - 2 * size[0] + 1, wanted[1] - 2 * size[1] + 1)
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=padding)


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


class NonSaturating(Contest):
    """The generator is paid for what the discriminator takes for real."""

    family: Gan
    betas = (0.0, 0.99)

    def training_step(self, rows: Tensor) -> Tensor:
        """Train the discriminator, then the generator; return the discriminator's loss."""
        real, features, available = self.given(rows)
        fake = self.fake(features, available)
        found = self.of_critic(real, fake.detach(), features)
        self.turn(1, found)
        self.critic.requires_grad_(False)
        self.turn(0, F.softplus(-self.family.score(fake, features)).mean())
        self.critic.requires_grad_(True)
        return found.detach()

    def of_critic(self, real: Tensor, fake: Tensor, features: Tensor) -> Tensor:
        """Return the cross-entropy, and the penalty where it is due."""
        s = self.family.settings
        due = int(self.steps_done) % s.penalty_every == 0 and s.penalty > 0
        scores = self.family.score(torch.cat([real, fake]), torch.cat([features, features]))
        found = F.softplus(-scores[: len(real)]).mean() + F.softplus(scores[len(real) :]).mean()
        if due:
            slope = squared_slope(self.family.score, real, features).mean()
            found = found + 0.5 * s.penalty * s.penalty_every * slope
        return found


def squared_slope(score: Score, numbers: Tensor, features: Tensor) -> Tensor:
    """Squared norm (N,) of a score's gradient at numbers (N, size), to be differentiated."""
    at = numbers.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(score(at, features).sum(), at, create_graph=True)
    return gradient.square().sum(1)

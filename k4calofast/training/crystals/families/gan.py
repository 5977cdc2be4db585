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
from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.crystals.adversarial import (
    Adversarial,
    AdversarialSettings,
    Contest,
    squared_slope,
)
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.dense import dense
from k4calofast.training.family import Shape, Stage


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
        yield self.contest(NonSaturating, sample)

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
        self.dense = dense(latent + features, hidden, hidden)
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
        self.embedding = dense(features, hidden // 2 + 1)
        inputs = 4 * channels * math.prod(small) + 2 * extra + hidden // 2 + 1
        self.dense = dense(inputs, hidden, hidden, 1)[:-1]

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


class NonSaturating(Contest):
    """The generator is paid for what the discriminator takes for real."""

    family: Gan
    betas = (0.0, 0.99)

    def of_generator(self, scores: Tensor) -> Tensor:
        """See `Contest.of_generator`."""
        return F.softplus(-scores).mean()

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

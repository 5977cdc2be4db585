"""Wasserstein GAN with gradient penalty: dense networks, as FastCaloGAN of ATLAS.

A critic, several steps of it for each of the generator, learns the function of slope 1 whose mean
differs most between Geant4's showers and generated ones; the generator lowers that difference
(I. Gulrajani et al., arXiv:1704.00028). FastCaloGAN (ATL-SOFT-PUB-2020-006) does this with dense
networks, normalises energies by the incident energy, and chooses its epoch by chi2 of the total
energy; CaloShowerGAN (arXiv:2309.06515) and the second version of FastCaloGAN use swish and learn
the sum of energies as a number of its own, next to the fractions of the cells. LHCb's calorimeter
had the same kind of GAN (V. Chekalina et al., arXiv:1812.01319).

`normalisation` chooses between these and this package's own numbers, which are the default: in
linear units, cells of a few hundred keV are left to chance
(`k4calofast.training.crystals.normalisation`).
Unlike ATLAS's, one generator serves all momenta, positions and kinds, and layers add to what they
are given, instead of batch normalisation. Regions one after another, as ATLAS trains them, are
`k4calofast train --start`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.crystals.adversarial import (
    Adversarial,
    AdversarialSettings,
    Contest,
    Score,
    squared_slope,
)
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.family import Shape, Stage

Activation = Literal["swish", "relu", "leaky_relu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "swish": F.silu,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
}


class WganGpSettings(AdversarialSettings):
    """Settings of the Wasserstein GAN.

    Attributes
    ----------
    width, layers
        Of the generator.
    critic_width, critic_layers
        Of the critic.
    activation
        Of both.
    critic_steps
        Steps of the critic per step of the generator; `steps` counts those of the critic.
    """

    title: ClassVar[str] = "Wasserstein GAN with gradient penalty"
    source: ClassVar[str] = (
        "ATLAS, ATL-SOFT-PUB-2020-006; Faucci Giannelli, Zhang, arXiv:2309.06515"
    )

    latent: int = Field(default=128, ge=1)
    steps: int = Field(default=20_000, ge=1)
    batch: int = Field(default=256, ge=1)
    penalty: float = Field(default=10.0, ge=0)

    width: int = Field(default=256, ge=1)
    layers: int = Field(default=4, ge=1)
    critic_width: int = Field(default=256, ge=1)
    critic_layers: int = Field(default=3, ge=1)
    activation: Activation = "swish"
    critic_steps: int = Field(default=3, ge=1)


class WganGp(Adversarial):
    """Dense networks against dense networks."""

    Settings = WganGpSettings
    settings: WganGpSettings

    def __init__(self, settings: WganGpSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        s, size = settings, self.normalisation.size
        given = self.features.size
        self.noise = s.latent
        self.generator = Dense(s.latent + given, s.width, s.layers, size, s.activation)
        # To start with, each number is the linear guess and noise of its width.
        with torch.no_grad():
            own = torch.eye(size, s.latent + given) * self.normalisation.widths[:, None]
            self.generator.past.weight.copy_(own)
        self.critic = Dense(2 * size + given, s.critic_width, s.critic_layers, 1, s.activation)

    def stages(self, sample: Sample) -> Iterator[Stage]:
        contest = self.contest(Wasserstein, sample)
        contest.every = self.settings.critic_steps
        yield contest

    def method(self) -> str:
        """Return how it was trained."""
        s = self.settings
        return (
            f"Wasserstein GAN, {s.steps} steps of {s.batch} showers for the critic, one in "
            f"{s.critic_steps} for the generator, gradient penalty {s.penalty}; normalisation "
            f"{s.normalisation}"
        )


FAMILY = WganGp


class Dense(nn.Module):
    """Dense layers, which add to what they are given, and a linear path past them.

    By that path, each cell can have a noise of its own: those far away are lit by chance.

    Parameters
    ----------
    inputs, outputs
        Numbers in and out.
    width, layers
        Size of the hidden layers.
    activation
        Between layers.
    """

    def __init__(
        self, inputs: int, width: int, layers: int, outputs: int, activation: Activation
    ) -> None:
        super().__init__()
        self.activation = _ACTIVATIONS[activation]
        self.first = nn.Linear(inputs, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.last = nn.Linear(width, outputs)
        self.past = nn.Linear(inputs, outputs, bias=False)

    def forward(self, *columns: Tensor) -> Tensor:
        """Return numbers (N, outputs); the columns together are the inputs."""
        inputs = torch.cat(columns, 1)
        h = self.activation(self.first(inputs))
        for layer in self.inner:
            h = h + self.activation(layer(h))
        result: Tensor = self.last(h) + self.past(inputs)
        return result


class Wasserstein(Contest):
    """The critic's mean difference is what the generator lowers."""

    family: WganGp
    betas = (0.5, 0.9)
    largest_gradient = None

    def of_generator(self, scores: Tensor) -> Tensor:
        """See `Contest.of_generator`."""
        return -scores.mean()

    def of_critic(self, real: Tensor, fake: Tensor, features: Tensor) -> Tensor:
        """Return the generated mean less the real one, and the penalty."""
        scores = self.family.score(torch.cat([real, fake]), torch.cat([features, features]))
        difference = scores[len(real) :].mean() - scores[: len(real)].mean()
        between = torch.lerp(real, fake, torch.rand((len(real), 1), device=real.device))
        penalty = gradient_penalty(self.family.score, between, features)
        loss: Tensor = difference + self.family.settings.penalty * penalty
        return loss


def gradient_penalty(score: Score, numbers: Tensor, features: Tensor) -> Tensor:
    """Mean squared deviation of a score's slope from 1, at numbers (N, size).

    Eq. 3 of Gulrajani et al., without its factor.
    """
    # The square root has no derivative at 0.
    slope = (squared_slope(score, numbers, features) + 1e-12).sqrt()
    return (slope - 1).square().mean()

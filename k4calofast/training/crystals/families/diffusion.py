"""Denoising diffusion: showers out of noise, as CaloDiffusion makes them.

O. Amram and K. Pedro, Denoising diffusion models with geometry adaptation for high fidelity
calorimeter simulation, arXiv:2308.03876. A network learns to tell shower and noise apart at every
mixture of the two; from pure noise, a few such guesses lead to a shower.

As there: the cosine schedule (A. Nichol and P. Dhariwal, arXiv:2102.09672), and for objective a
mean of noise and shower with a weight that makes it of unit size at every time, which for a
schedule that keeps the variance is v of T. Salimans and J. Ho, arXiv:2202.00512. The noise alone as
objective, and the later minimal signal to noise ratio, differ by a weight over time: a setting.

Not as there:

- Time is continuous, and the sampler is DDIM (J. Song et al., arXiv:2010.02502), in few steps, not
  DDPM in 400: each costs an evaluation. `eta: 1` is DDPM's amount of noise in between.
- The network is the residual network of `k4calofast.training.crystals.velocity`, not a U-Net.
  A window has 121 cells: a dense layer of 368 costs as much as a 3 x 3 convolution of 12 channels,
  and sees all cells at once.
- Cells are `k4calofast.training.crystals.variables.ShowerVariables`, not logits of shares of the
  energy: most cells here are empty, and the sum has to be right to a permille.
- The trained sampler is distilled: a student learns to do in one step what the sampler does in
  several. Repeated, this is the progressive distillation of Salimans and Ho; here it is done once,
  from a trajectory of a sampler of second order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.spectra import MatchedSettings, Spectra, Standardised
from k4calofast.training.crystals.variables import ShowerVariables
from k4calofast.training.crystals.velocity import Bounded, Velocity, weighted
from k4calofast.training.family import Shape, Stage

Guess = Callable[[Tensor, Tensor], Tensor]
"""v (N, dimension) at points (N, dimension) and a time (1, 1)."""

Objective = Literal["hybrid", "noise", "min_snr"]

QUARTER = math.pi / 2
"""Angle of pure noise; that of a shower is 0. ."""

_MOST_SNR = 5.0
"""The constant of arXiv:2303.09556."""


class DiffusionSettings(MatchedSettings):
    """Settings of denoising diffusion.

    Attributes
    ----------
    width, blocks
        Size of the network.
    objective
        Whose error counts the same at all times: ``hybrid``, a mean of shower and noise;
        ``noise``; ``min_snr``, the shower's over that of the noise, but not more than five times.
    steps, learning_rate, batch
        Of the denoising.
    sampling_steps
        Evaluations of the network per shower.
    distillation_steps, distillation_rate, distillation_batch
        Of the distillation to as many steps; with 0 steps there is none, and a good shower takes
        some 30 evaluations.
    substeps
        Steps of second order of the teacher per step of the student.
    eta
        Noise between two steps of the sampler: 0 is none (DDIM), 1 that of DDPM.
    """

    title: ClassVar[str] = "denoising diffusion"
    source: ClassVar[str] = "CaloDiffusion: Amram and Pedro, arXiv:2308.03876"

    width: int = Field(default=368, ge=8)
    blocks: int = Field(default=4, ge=1)
    objective: Objective = "hybrid"
    steps: int = Field(default=12_000, ge=1)
    learning_rate: float = Field(default=4e-3, gt=0)
    batch: int = Field(default=1024, ge=1)
    sampling_steps: int = Field(default=4, ge=1)
    distillation_steps: int = Field(default=2_500, ge=0)
    distillation_rate: float = Field(default=1e-3, gt=0)
    distillation_batch: int = Field(default=256, ge=1)
    substeps: int = Field(default=2, ge=1)
    eta: float = Field(default=0.0, ge=0.0, le=1.0)

    @field_validator("eta")
    @classmethod
    def _no_noise_in_what_is_distilled(cls, eta: float, info: ValidationInfo) -> float:
        if eta > 0 and info.data.get("distillation_steps", 0) > 0:
            raise ValueError("noise between steps cannot be distilled; set distillation_steps: 0")
        return eta


class Diffusion(Standardised):
    """A guess of shower and noise in every mixture of the two."""

    Settings = DiffusionSettings
    settings: DiffusionSettings

    def __init__(self, settings: DiffusionSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.variables = ShowerVariables(shape.cells, settings.threshold)
        self.spectra = Spectra(shape.window)
        self.dimension = self.variables.dimension
        fresh = settings.sampling_steps if settings.eta > 0 else 1
        self.noise = self.dimension * fresh
        size = (self.dimension, self.features.size, settings.width, settings.blocks)
        self.network = Velocity(*size)
        self.student = Velocity(*size) if settings.distillation_steps > 0 else None

    def stages(self, sample: Sample) -> Iterator[Stage]:
        s = self.settings
        course = s.steps, s.batch, s.learning_rate
        denoising = Denoising("denoising", self, self.network, sample, *course)
        # Few steps of what is not distilled yet say nothing about an epoch.
        denoising.chooses = self.student is None
        yield denoising
        if self.student is not None:
            self.student.load_state_dict(self.network.state_dict())
            self.network.requires_grad_(False)
            course = s.distillation_steps, s.distillation_batch, s.distillation_rate
            yield Distillation("distillation", self, self.student, sample, *course)

    def standardised(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        guess = guesses(self.student or self.network, self.features(pdg, conditions))
        first, *others = torch.split(noise, self.dimension, 1)
        s = self.settings
        return sampled(guess, first, others, s.sampling_steps, s.eta, self.variables.bounded)

    def method(self) -> str:
        s = self.settings
        text = (
            f"denoising diffusion, {s.steps} steps of {s.batch} showers; DDIM sampler of "
            f"{s.sampling_steps} steps, eta {s.eta:g}"
        )
        if s.distillation_steps > 0:
            text += f", distilled, {s.distillation_steps} steps of {s.distillation_batch}"
        return text + "; spectra of cells and of the missing energy matched"


FAMILY = Diffusion


class Denoising(Stage):
    """What is shower and what is noise in a mixture."""

    family: Diffusion

    def loss(self, rows: Tensor) -> Tensor:
        family = self.family
        showers = family.encoded(rows)
        noise = torch.randn_like(showers)
        time = torch.rand((len(rows), 1), device=self.device)
        mixture, v = mixed(showers, noise, time)
        context = family.network.of(family.given(self.sample, rows))
        found = family.network.correction(mixture, time, context)
        weight = family.variables.weight * importance(time, family.settings.objective)
        return weighted(found, v, weight)


class Distillation(Stage):
    """The steps that lead as far as several steps of the teacher."""

    family: Diffusion
    trained: Velocity

    def loss(self, rows: Tensor) -> Tensor:
        family, s = self.family, self.family.settings
        given = family.given(self.sample, rows)
        noise = torch.randn((len(rows), family.dimension), device=self.device)
        teacher, bounded = guesses(family.network, given), family.variables.bounded
        states = trajectory(teacher, noise, s.sampling_steps, s.substeps, bounded)
        before, after = torch.cat(states[:-1]).float(), torch.cat(states[1:]).float()
        left = torch.arange(s.sampling_steps, 0, -1, device=self.device) / s.sampling_steps
        time = left.repeat_interleave(len(rows))[:, None]
        context = self.trained.of(given.repeat(s.sampling_steps, 1))
        found = self.trained.correction(before, time, context)
        wanted = led(before, after, QUARTER / s.sampling_steps)
        return weighted(found, wanted, family.variables.weight)


def mixed(showers: Tensor, noise: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Mix showers and noise by the cosine schedule.

    Parameters
    ----------
    showers, noise
        (N, dimension) of unit width.
    time
        (N, 1); 0 is all shower, 1 all noise.

    Returns
    -------
    mixture, v
        Showers times the angle's cosine and noise times its sine; and the mixture's derivative by
        the angle. From both, showers and noise follow.
    """
    cosine, sine = (QUARTER * time).cos(), (QUARTER * time).sin()
    return cosine * showers + sine * noise, cosine * noise - sine * showers


def importance(time: Tensor, objective: Objective) -> Tensor:
    """Weights (N, 1) of the squared error of v that make it that of an objective.

    At angle a, the error of the noise is cos(a) times that of v, the error of the shower sin(a)
    times that of v, and the signal to noise ratio is cot(a)**2.
    """
    signal, noise = (QUARTER * time).cos() ** 2, (QUARTER * time).sin() ** 2
    if objective == "noise":
        return signal
    if objective == "min_snr":
        return torch.minimum(signal, _MOST_SNR * noise)
    return torch.ones_like(time)


def guesses(network: Velocity, given: Tensor) -> Guess:
    """Return the network's guess for showers of these features (N, features)."""
    context = network.of(given)
    return lambda x, time: network.correction(x, time, context)


def sampled(
    guess: Guess, x: Tensor, fresh: list[Tensor], steps: int, eta: float, bounded: Bounded
) -> Tensor:
    """Carry noise x (N, dimension) to showers' numbers, arXiv:2010.02502, equation 12.

    Parameters
    ----------
    fresh
        Noise for between the steps, steps - 1 of (N, dimension), if eta is not 0.
    """
    for number in range(steps):
        left = (steps - number) / steps
        v = guess(x, x.new_full((1, 1), left))
        before, after = QUARTER * left, QUARTER * (steps - number - 1) / steps
        shower = math.cos(before) * x - math.sin(before) * v
        noise = math.sin(before) * x + math.cos(before) * v
        added = eta * spread(before, after)
        x = math.cos(after) * shower + math.sqrt(math.sin(after) ** 2 - added**2) * noise
        if added > 0:
            x = x + added * fresh[number]
        x = bounded(x)
    return x


def spread(before: float, after: float) -> float:
    """Width of the noise that DDPM adds between two angles: `sampled`'s equation 16."""
    kept = (math.cos(before) / math.cos(after)) ** 2
    return math.sin(after) / math.sin(before) * math.sqrt(max(0.0, 1 - kept))


@torch.no_grad()
def trajectory(
    guess: Guess, x: Tensor, intervals: int, substeps: int, bounded: Bounded
) -> list[Tensor]:
    """Where noise is led, after each of equal intervals of the angle.

    Substeps are of second order: with v guessed in the middle, x moves along the chord of the
    rotation.

    Returns
    -------
    list of Tensor
        Intervals + 1 of the shape of x; x is the first.
    """
    states = [x]
    count = intervals * substeps
    step = QUARTER / count
    for number in range(count):
        time = x.new_full((1, 1), 1 - number / count)
        middle = bounded(rotated(x, guess(x, time), step / 2))
        x = bounded(x - 2 * math.sin(step / 2) * guess(middle, time - 0.5 / count))
        if (number + 1) % substeps == 0:
            states.append(x)
    return states


def rotated(x: Tensor, v: Tensor, step: float) -> Tensor:
    """Carry x (N, dimension) by an angle towards the shower: DDIM's step."""
    return math.cos(step) * x - math.sin(step) * v


def led(before: Tensor, after: Tensor, step: float) -> Tensor:
    """Return v (N, dimension) with which `rotated` leads from one to the other."""
    return (math.cos(step) * before - after) / math.sin(step)

"""Flow matching, distilled to a few steps: the family of this package's best generators.

A network learns the velocities of straight lines from noise to showers (Y. Lipman et al., Flow
Matching for Generative Modeling, arXiv:2210.02747). A student then learns, for each of a few equal
intervals of time, the mean velocity of the teacher's trajectory over the interval; with n
intervals it costs n evaluations of a network. A small student can learn the first one's jumps in
the same way, with fewer jumps of a smaller network (T. Salimans, J. Ho, Progressive Distillation,
arXiv:2202.00512): that is the fast generator of this package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.spectra import MatchedSettings, Spectra, Standardised
from k4calofast.training.crystals.variables import ShowerVariables
from k4calofast.training.crystals.velocity import Bounded, Context, Velocity, weighted
from k4calofast.training.family import Shape, Stage
from k4calofast.training.seeds import seed_of


class FlowMatchingSettings(MatchedSettings):
    """Settings of flow matching.

    Attributes
    ----------
    width, blocks
        Size of the network.
    steps, learning_rate, batch
        Of the flow; 0 steps leave it as it is, which makes sense where another is started from.
    jumps, midpoints
        Evaluations of the student per shower, and midpoint steps of the flow per jump.
    distillation_steps, distillation_rate, distillation_batch
        Of the distillation; 0 steps leave the student as it is.
    small_jumps
        Evaluations of a small student, a divisor of `jumps`; 0 is no small student.
    small_width, small_blocks, small_steps, small_rate, small_batch
        Its size and training.
    trajectories
        Trajectories that the small student learns from.
    """

    title: ClassVar[str] = "flow matching, distilled"
    source: ClassVar[str] = "Lipman et al., arXiv:2210.02747"

    width: int = Field(default=384, ge=8)
    blocks: int = Field(default=5, ge=1)
    steps: int = Field(default=55_000, ge=0)
    learning_rate: float = Field(default=4e-3, gt=0)
    batch: int = Field(default=1024, ge=1)
    jumps: int = Field(default=4, ge=1)
    midpoints: int = Field(default=2, ge=1)
    distillation_steps: int = Field(default=6_000, ge=0)
    distillation_rate: float = Field(default=1e-3, gt=0)
    distillation_batch: int = Field(default=512, ge=1)
    small_jumps: int = Field(default=0, ge=0)
    small_width: int = Field(default=320, ge=8)
    small_blocks: int = Field(default=4, ge=1)
    small_steps: int = Field(default=20_000, ge=1)
    small_rate: float = Field(default=3e-3, gt=0)
    small_batch: int = Field(default=1024, ge=1)
    trajectories: int = Field(default=1_000_000, ge=1)

    @model_validator(mode="after")
    def _whole_jumps(self) -> FlowMatchingSettings:
        if self.small_jumps and self.jumps % self.small_jumps:
            raise ValueError("small_jumps must be a divisor of jumps")
        return self


class FlowMatching(Standardised):
    """A velocity for every point between noise and showers, and a student that jumps."""

    Settings = FlowMatchingSettings
    settings: FlowMatchingSettings

    def __init__(self, settings: FlowMatchingSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.variables = ShowerVariables(shape.cells, settings.threshold)
        self.spectra = Spectra(shape.window)
        self.noise = self.variables.dimension
        sizes = (self.noise, self.features.size)
        self.velocity = Velocity(*sizes, settings.width, settings.blocks)
        self.student = Velocity(*sizes, settings.width, settings.blocks)
        if settings.small_jumps:
            self.small = Velocity(*sizes, settings.small_width, settings.small_blocks)

    def stages(self, sample: Sample) -> Iterator[Stage]:
        s = self.settings
        if s.steps:
            course = s.steps, s.batch, s.learning_rate
            yield Matching("flow", self, self.velocity, sample, *course)
        if s.distillation_steps:
            self.student.load_state_dict(self.velocity.state_dict())
            course = s.distillation_steps, s.distillation_batch, s.distillation_rate
            yield Distillation("distillation", self, self.student, sample, *course)
        if s.small_jumps:
            course = s.small_steps, s.small_batch, s.small_rate
            yield Shrinking("shrinking", self, self.small, sample, *course)

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        self._take_parameters(self.velocity, state, "velocity.")
        self._take_parameters(self.student, state, "student.")
        # A small student is made anew.

    def standardised(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        s = self.settings
        network, jumps = (self.small, s.small_jumps) if s.small_jumps else (self.student, s.jumps)
        context = network.of(self.features(pdg, conditions))
        return jumped(network, noise, context, jumps, self.variables.bounded)[-1]

    def method(self) -> str:
        s = self.settings
        parts = [
            f"flow matching, {s.steps} steps of {s.batch} showers" if s.steps else "",
            f"trajectories distilled to {s.jumps} steps of a network of {s.blocks} x {s.width}, "
            f"{s.distillation_steps} steps of {s.distillation_batch}"
            if s.distillation_steps
            else "",
            f"{s.jumps} steps distilled to {s.small_jumps} of a network of {s.small_blocks} x "
            f"{s.small_width}, {s.small_steps} steps of {s.small_batch}"
            if s.small_jumps
            else "",
            "spectra of rings of cells and of the missing energy matched",
        ]
        return "; ".join(filter(None, parts))


FAMILY = FlowMatching

_BLOCK = 4096


class Matching(Stage):
    """Velocities of straight lines from noise to showers."""

    family: FlowMatching

    def loss(self, rows: Tensor) -> Tensor:
        family = self.family
        showers, given = family.encoded(rows), family.given(self.sample, rows)
        noise = torch.randn_like(showers)
        time = torch.rand((len(rows), 1), device=self.device)
        velocity = family.velocity
        found = velocity((1 - time) * noise + time * showers, time, velocity.of(given))
        return weighted(found, showers - noise, family.variables.weight)


class Distillation(Stage):
    """The mean velocities of the teacher's trajectories over equal intervals of time."""

    family: FlowMatching

    def loss(self, rows: Tensor) -> Tensor:
        family, s = self.family, self.family.settings
        given = family.given(self.sample, rows)
        noise = torch.randn((len(rows), family.noise), device=self.device)
        teacher, bounded = family.velocity, family.variables.bounded
        states = trajectory(teacher, noise, teacher.of(given), s.jumps, s.midpoints, bounded)
        return regression(family.student, states, given, family.variables.weight)


class Shrinking(Stage):
    """A small network learns the student's jumps, several at once."""

    family: FlowMatching
    known: Tensor | None = None

    @property
    def count(self) -> int:
        """Trajectories."""
        return self.family.settings.trajectories

    @torch.no_grad()
    def _trajectories(self, count: int) -> Tensor:
        """Return states (small jumps + 1, count, dimension) for the sample's conditions in turn.

        They take longer to compute than to learn from, so each is used more than once.
        """
        family, s = self.family, self.family.settings
        generator = torch.Generator().manual_seed(seed_of(s.seed, "trajectories"))
        states = torch.empty(s.small_jumps + 1, count, family.noise)
        with torch.autocast(self.device.type, enabled=False):
            for start in range(0, count, _BLOCK):
                place = torch.arange(start, min(start + _BLOCK, count))
                noise = torch.randn((len(place), family.noise), generator=generator)
                context = family.student.of(self._given(place.to(self.device)))
                noise, bounded = noise.to(self.device), family.variables.bounded
                found = jumped(family.student, noise, context, s.jumps, bounded)
                states[:, place] = torch.stack(found[:: s.jumps // s.small_jumps]).cpu()
        return states

    def _given(self, place: Tensor) -> Tensor:
        return self.family.given(self.sample, place % len(self.sample))

    def loss(self, rows: Tensor) -> Tensor:
        family = self.family
        if self.known is None:
            self.known = self._trajectories(self.count)
        states = list(self.known[:, rows.cpu()].to(self.device))
        return regression(family.small, states, self._given(rows), family.variables.weight)


def regression(network: Velocity, states: list[Tensor], given: Tensor, weight: Tensor) -> Tensor:
    """Loss of a network that is to jump from each state to the next.

    Parameters
    ----------
    states
        (N, dimension) each, at equal intervals of time from 0 to 1.
    given
        (N, features).
    weight
        (dimension,) of each number's error.
    """
    jumps = len(states) - 1
    before, after = torch.cat(states[:-1]).float(), torch.cat(states[1:]).float()
    starts = torch.arange(jumps, device=given.device).repeat_interleave(len(given)) / jumps
    found = network(before, starts[:, None], network.of(given.repeat(jumps, 1)))
    return weighted(found, (after - before) * jumps, weight)


def jumped(
    velocity: Velocity, x: Tensor, context: Context, jumps: int, bounded: Bounded
) -> list[Tensor]:
    """Carry noise x (N, dimension) to showers' numbers in equal steps of time.

    Returns
    -------
    list of Tensor
        Jumps + 1 of the shape of x: x, and where it is after each jump.
    """
    states = [x]
    for number in range(jumps):
        time = x.new_full((1, 1), number / jumps)
        x = bounded(x + velocity(x, time, context) / jumps)
        states.append(x)
    return states


@torch.no_grad()
def trajectory(
    velocity: Velocity,
    x: Tensor,
    context: Context,
    intervals: int,
    midpoints: int,
    bounded: Bounded,
) -> list[Tensor]:
    """Where the flow takes x after each interval, by the midpoint rule.

    Returns
    -------
    list of Tensor
        Intervals + 1 of the shape of x; x is the first.
    """
    states = [x]
    h = 1 / (intervals * midpoints)
    for number in range(intervals * midpoints):
        time = x.new_full((1, 1), number * h)
        middle = bounded(x + h / 2 * velocity(x, time, context))
        x = bounded(x + h * velocity(middle, time + h / 2, context))
        if (number + 1) % midpoints == 0:
            states.append(x)
    return states

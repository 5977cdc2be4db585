"""Distillation: a copy of the flow that takes a few long steps where the flow takes many.

The student starts as the teacher and learns, for each of a few equal intervals of time, the mean
velocity of the teacher's trajectory over the interval. A student with n intervals costs n
evaluations of the network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from k4calofast.training.flow import Descent, Report, weighted
from k4calofast.training.network import Context, Features, Velocity
from k4calofast.training.sample import Sample, batches
from k4calofast.training.variables import LEAST_MISSING, ShowerVariables

Bounded = Callable[[Tensor], Tensor]
"""Keeps numbers where the network knows them: `ShowerVariables.bounded`."""


def jump(velocity: Velocity, x: Tensor, context: Context, jumps: int, bounded: Bounded) -> Tensor:
    """Carry noise x (N, dimension) to showers' numbers in equal steps of time."""
    for number in range(jumps):
        time = torch.full((1, 1), number / jumps)
        x = bounded(x + velocity(x, time, context) / jumps)
    return x


@torch.no_grad()
def match_spectra(
    student: Velocity,
    sample: Sample,
    features: Features,
    variables: ShowerVariables,
    jumps: int,
    count: int,
    seed: int,
) -> None:
    """Give the student's cells, and its missing energies, the sample's spectra.

    All showers are taken together, the first `count` of them. What the student puts between empty
    and lit, or at the seam of rank and power, would otherwise show in the spectra.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, min(count, len(sample)), 4096):
        rows = slice(start, min(start + 4096, count, len(sample)))
        given = features(sample.pdg[rows], sample.conditions[rows])
        noise = torch.randn((len(given), variables.dimension), generator=generator)
        standardised = jump(student, noise, student.of(given), jumps, variables.bounded)
        parts.append(variables.numbers(standardised))
    numbers = torch.cat(parts).double().numpy()
    energies = sample.energies[: len(numbers)].double().numpy()
    missing = sample.available[: len(numbers)].double().numpy() - energies.sum(1)
    variables.cell.match(numbers[:, :-1], energies[energies > 0])
    variables.missing.match(numbers[:, -1], missing[missing > LEAST_MISSING])


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
        time = torch.full((1, 1), number * h)
        middle = bounded(x + h / 2 * velocity(x, time, context))
        x = bounded(x + h * velocity(middle, time + h / 2, context))
        if (number + 1) % midpoints == 0:
            states.append(x)
    return states


def distil(
    teacher: Velocity,
    sample: Sample,
    features: Features,
    variables: ShowerVariables,
    jumps: int,
    midpoints: int,
    steps: int,
    learning_rate: float,
    batch: int,
    seed: int,
    report: Report,
) -> Velocity:
    """Teach a student the teacher's trajectories for the conditions of a sample.

    Returns
    -------
    Velocity
        The moving average of the student, for `jump` with as many jumps.
    """
    generator = torch.Generator().manual_seed(seed)
    indices = batches(len(sample), batch, generator)
    student = copy.deepcopy(teacher)
    descent = Descent(student, steps, learning_rate, report)
    starts = torch.arange(jumps).repeat_interleave(batch)[:, None] / jumps
    for step in descent:
        rows = next(indices)
        given = features(sample.pdg[rows], sample.conditions[rows])
        noise = torch.randn((batch, variables.dimension), generator=generator)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            states = trajectory(
                teacher, noise, teacher.of(given), jumps, midpoints, variables.bounded
            )
        before, after = torch.cat(states[:-1]).float(), torch.cat(states[1:]).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = student(before, starts, student.of(given.repeat(jumps, 1)))
        descent.down(step, weighted(found, (after - before) * jumps, variables.weight))
    return descent.average

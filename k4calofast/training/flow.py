"""Flow matching: learn the velocities of straight lines from noise to showers.

Y. Lipman et al., Flow Matching for Generative Modeling, arXiv:2210.02747.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from k4calofast.training.network import Features, Velocity
from k4calofast.training.sample import Sample, batches
from k4calofast.training.variables import ShowerVariables

Report = Callable[[int, float], None]
"""Called with the number of steps done and the smoothed loss."""

_WARM_UP = 300
_LARGEST_GRADIENT = 1.0


class Descent:
    """Steps of AdamW along half a cosine, and the moving average of the network.

    Parameters
    ----------
    network
        What learns.
    steps
        All of them.
    learning_rate
        The largest.
    report
        See `Report`.
    """

    def __init__(self, network: Velocity, steps: int, learning_rate: float, report: Report) -> None:
        self.network = network
        self.average = copy.deepcopy(network)
        self._steps, self._rate, self._report = steps, learning_rate, report
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
        )
        self._smoothed = math.nan

    def __iter__(self) -> Iterator[int]:
        for step in range(self._steps):
            warm = min(1.0, (step + 1) / _WARM_UP)
            cosine = 0.5 * (1 + math.cos(math.pi * step / self._steps))
            for group in self._optimizer.param_groups:
                group["lr"] = self._rate * warm * cosine + 1e-6
            yield step

    def down(self, step: int, loss: Tensor) -> None:
        """Follow the gradient of a loss."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        decay = min(0.999, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        value = loss.item()
        self._smoothed = value if step == 0 else 0.99 * self._smoothed + 0.01 * value
        self._report(step + 1, self._smoothed)


def weighted(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error, with a weight per number."""
    return ((found.float() - wanted) ** 2 * weight).mean()


def train(
    sample: Sample,
    variables: ShowerVariables,
    features: Features,
    velocity: Velocity,
    steps: int,
    learning_rate: float,
    batch: int,
    seed: int,
    report: Report,
) -> Velocity:
    """Train on a sample; `variables` are fitted to it.

    Returns
    -------
    Velocity
        The moving average of the network.

    Raises
    ------
    TrainingError
        If the sample is smaller than one batch.
    """
    generator = torch.Generator().manual_seed(seed)
    numbers = variables.fit(sample, seed)
    indices = batches(len(sample), batch, generator)
    descent = Descent(velocity, steps, learning_rate, report)
    for step in descent:
        rows = next(indices)
        given = features(sample.pdg[rows], sample.conditions[rows])
        showers = variables.encode(numbers[rows], generator)
        noise = torch.randn(showers.shape, generator=generator)
        time = torch.rand((batch, 1), generator=generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = velocity((1 - time) * noise + time * showers, time, velocity.of(given))
        descent.down(step, weighted(found, showers - noise, variables.weight))
    return descent.average

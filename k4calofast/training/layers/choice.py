"""How good an epoch is: the likelihood of showers that are not trained on.

Both parts of a generator of layers are trained by likelihood, and so is each epoch judged, part by
part: where it begins to learn its sample by heart, other showers become less likely.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from k4calofast.training.family import Stage
from k4calofast.training.layers.sample import LayeredSample

_MOST = 2000
_BLOCK = 64


class ByLikelihood(Stage):
    """A training by likelihood, which other samples have, too."""

    chooses = True
    sample: LayeredSample

    @abstractmethod
    def unlikelihood(self, sample: LayeredSample, rows: Tensor) -> Tensor:
        """Minus the logarithm of the likelihood of showers (n,) of any sample.

        Torch's global generator says where their cells lie.
        """


class LikelihoodJudge:
    """Says how unlikely other showers are.

    Parameters
    ----------
    sample
        With another seed; 2 000 showers at most are used.
    seed
        Of where their cells lie, the same for every epoch.
    """

    figure = "unlikelihood"

    def __init__(self, sample: LayeredSample, seed: int) -> None:
        # Spread evenly: samples come kind by kind.
        self.rows = torch.arange(0, len(sample), -(-len(sample) // _MOST))
        self.sample, self.seed = sample, seed

    @torch.no_grad()
    def __call__(self, stage: Stage) -> float:
        """Return the mean of minus the logarithm of the likelihood."""
        of: Any = stage
        total = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for rows in torch.split(self.rows, _BLOCK):
                total += len(rows) * float(of.unlikelihood(self.sample, rows))
        return total / len(self.rows)

"""How good an epoch is: the total energy of showers with another seed than that of training."""

from __future__ import annotations

from typing import Any

import torch

from k4calofast.training.crystals.sample import Sample
from k4calofast.training.family import Stage
from k4calofast.training.response import chi2_ndf

_MOST = 20_000
_BLOCK = 2048


class ResponseJudge:
    """Compares what a generator makes with a sample that it was not trained on.

    Parameters
    ----------
    sample
        With another seed; 20 000 showers at most are used.
    seed
        Of the noise, the same for every epoch.
    """

    figure = "chi2_ndf"

    def __init__(self, sample: Sample, seed: int) -> None:
        # Spread evenly: samples come kind by kind.
        self.sample = sample.take(slice(None, None, -(-len(sample) // _MOST)))
        self.seed = seed

    @torch.no_grad()
    def __call__(self, stage: Stage) -> float:
        """Return chi2 over the number of degrees of freedom."""
        family: Any = stage.family
        sample = self.sample
        device = family.features.kinds.device
        generator = torch.Generator().manual_seed(self.seed)
        totals = []
        for part in sample.blocks(_BLOCK):
            noise = torch.randn((len(part), family.noise), generator=generator)
            arguments = (noise.to(device), part.pdg.to(device), part.conditions.to(device))
            totals.append(family.generate(*arguments).sum(1).cpu())
        reference = sample.energies.sum(1)
        return chi2_ndf(sample.pdg, sample.conditions[:, 0], reference, torch.cat(totals))

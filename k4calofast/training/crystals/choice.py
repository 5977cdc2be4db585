"""How good an epoch is: chi2 of the total energy over points of momentum.

The figure by which FastCaloGAN chooses its epochs: ATL-SOFT-PUB-2020-006, section 4. Here the
points are bins of momentum, for each kind of particle, of a sample with another seed than that of
training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from k4calofast.training.crystals.sample import Sample
from k4calofast.training.family import Family

_POINTS = 8
"""Bins of momentum per kind."""

_BINS = 30
_MOST = 20_000
_BLOCK = 2048
_LEAST = 60


class Judge:
    """Compares what a generator makes with a sample it was not trained on.

    Parameters
    ----------
    sample
        With another seed; 20 000 showers at most are used.
    seed
        Of the noise, the same for every epoch.
    """

    def __init__(self, sample: Sample, seed: int) -> None:
        # Spread evenly: samples come kind by kind.
        self.sample = sample.take(slice(None, None, -(-len(sample) // _MOST)))
        self.seed = seed

    @torch.no_grad()
    def __call__(self, family: Family) -> float:
        """Return chi2 over the number of degrees of freedom."""
        device = family.features.kinds.device
        generator = torch.Generator().manual_seed(self.seed)
        totals = []
        for start in range(0, len(self.sample), _BLOCK):
            part = self.sample.take(slice(start, start + _BLOCK))
            noise = torch.randn((len(part), family.noise), generator=generator)
            arguments = (noise.to(device), part.pdg.to(device), part.conditions.to(device))
            totals.append(family.generate(*arguments).sum(1).cpu())
        return chi2_ndf(self.sample, torch.cat(totals))


def chi2_ndf(sample: Sample, totals: Tensor) -> float:
    """Chi2/NDF of the spectra of energy over momentum, all kinds and points together.

    Parameters
    ----------
    sample
        The reference.
    totals
        (N,) GeV, of generated showers with the sample's conditions.
    """
    momentum = sample.conditions[:, 0]
    there, here = sample.energies.sum(1) / momentum, totals / momentum
    chi2, ndf = 0.0, 0
    for kind in sorted(set(sample.pdg.tolist())):
        rows = torch.nonzero(sample.pdg == kind)[:, 0]
        ordered = rows[momentum[rows].argsort()]
        for point in ordered.tensor_split(max(1, min(_POINTS, len(ordered) // _LEAST))):
            edges = torch.quantile(there[point].double(), torch.linspace(0, 1, _BINS + 1).double())
            edges = torch.tensor(sorted(set(edges.tolist()))[1:-1], dtype=torch.float64)
            if len(edges) == 0:
                continue
            one, other = (
                torch.bucketize(values[point].double(), edges).bincount(minlength=len(edges) + 1)
                for values in (there, here)
            )
            both = one + other
            filled = both > 0
            chi2 += float(((one - other)[filled] ** 2 / both[filled]).sum())
            ndf += int(filled.sum()) - 1
    return chi2 / max(ndf, 1)

"""How well the total energy comes out: chi2 of its spectra over points of momentum.

The figure by which FastCaloGAN chooses its epochs: ATL-SOFT-PUB-2020-006, section 4. Here the
points are bins of momentum, for each kind of particle.
"""

from __future__ import annotations

import torch
from torch import Tensor

_POINTS = 8
"""Bins of momentum per kind."""

_BINS = 30
_LEAST = 60
"""Showers in a bin of momentum, at least."""


def chi2_ndf(pdg: Tensor, momentum: Tensor, reference: Tensor, generated: Tensor) -> float:
    """Chi2/NDF of the spectra of energy over momentum, all kinds and points together.

    Parameters
    ----------
    pdg, momentum
        (N,) kinds, and GeV, of the particles.
    reference, generated
        (N,) GeV, of their showers in total.
    """
    responses = reference / momentum, generated / momentum
    chi2, ndf = 0.0, 0
    for kind in sorted(set(pdg.tolist())):
        rows = torch.nonzero(pdg == kind)[:, 0]
        ordered = rows[momentum[rows].argsort()]
        for point in ordered.tensor_split(max(1, min(_POINTS, len(ordered) // _LEAST))):
            quantiles = torch.linspace(0, 1, _BINS + 1).double()
            found = torch.quantile(responses[0][point].double(), quantiles)
            edges = torch.tensor(sorted(set(found.tolist()))[1:-1], dtype=torch.float64)
            if len(edges) == 0:
                continue
            counts = [
                torch.bucketize(values[point].double(), edges).bincount(minlength=len(edges) + 1)
                for values in responses
            ]
            both = counts[0] + counts[1]
            filled = both > 0
            chi2 += float(((counts[0] - counts[1])[filled] ** 2 / both[filled]).sum())
            ndf += int(filled.sum()) - 1
    return chi2 / max(ndf, 1)

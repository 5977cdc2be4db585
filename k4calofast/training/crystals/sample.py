"""A shower sample as tensors, mirrored to one half of the detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import TrainingError
from k4calofast.showers.crystals import CrystalShowers

ELECTRON_MASS = 0.51099895e-3
"""GeV."""

REST_ENERGY = {22: (0.0, 0.0), 11: (ELECTRON_MASS, -ELECTRON_MASS), -11: (ELECTRON_MASS,) * 2}
"""For each kind, its mass and what its rest mass adds to the energy it can deposit (GeV):
an electron stays in the crystal, a positron takes an electron with it."""

_ODD = torch.tensor(
    [name in ("delta_theta_mom", "delta_z_pos", "z") for name in (c.name for c in CONDITIONS)]
)
_Z = [condition.name for condition in CONDITIONS].index("z")


def available_energy(pdg: Tensor, momentum: Tensor) -> Tensor:
    """Energy (GeV) that particles of these kinds and momenta (N,) can deposit at most."""
    available = torch.zeros_like(momentum)
    for kind, (mass, extra) in REST_ENERGY.items():
        energy = torch.sqrt(momentum**2 + mass**2) + extra
        available = torch.where(pdg == kind, energy, available)
    return available


def mirrored(conditions: Tensor) -> tuple[Tensor, Tensor]:
    """Conditions (N, 6) seen from the half with z >= 0, and which ones (N,) were not there."""
    other = conditions[:, _Z] < 0
    return torch.where(other[:, None] & _ODD.to(other.device), -conditions, conditions), other


def flipped(energies: Tensor, other: Tensor) -> Tensor:
    """Windows (N, rows, columns) with the rows of `other` in reverse order."""
    return torch.where(other[:, None, None], energies.flip(1), energies)


@dataclass(frozen=True)
class Sample:
    """N showers, mirrored to z >= 0.

    Attributes
    ----------
    pdg
        (N,) kinds.
    conditions
        (N, 6) as `k4calofast.detector.crystals.CONDITIONS`.
    energies
        (N, cells) GeV; 0 below the threshold.
    available
        (N,) largest energy the shower can have (GeV).
    """

    pdg: Tensor
    conditions: Tensor
    energies: Tensor
    available: Tensor

    def __len__(self) -> int:
        return len(self.pdg)

    def take(self, rows: Tensor | slice) -> Sample:
        """Return some of the showers."""
        return Sample(
            self.pdg[rows], self.conditions[rows], self.energies[rows], self.available[rows]
        )

    def blocks(self, size: int) -> Iterator[Sample]:
        """Yield the showers in order, so many at a time."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))

    def to(self, device: torch.device) -> Sample:
        """Return the showers on a device."""
        columns = (self.pdg, self.conditions, self.energies, self.available)
        return Sample(*(column.to(device) for column in columns))

    @staticmethod
    def of(showers: CrystalShowers, threshold: float) -> Sample:
        """Mirror showers and drop energies below a threshold (GeV).

        Raises
        ------
        TrainingError
            If there is a kind of particle whose rest energy is not known here.
        """
        unknown = set(np.unique(showers.pdg).tolist()) - set(REST_ENERGY)
        if unknown:
            raise TrainingError(f"no rest energy for the kinds {sorted(unknown)}")
        pdg = torch.from_numpy(showers.pdg.astype(np.int64))
        conditions, other = mirrored(torch.from_numpy(showers.conditions.astype(np.float32)))
        energies = flipped(torch.from_numpy(showers.energies), other).flatten(1)
        energies = torch.where(energies > threshold, energies, torch.zeros(()))
        return Sample(pdg, conditions, energies, available_energy(pdg, conditions[:, 0]))

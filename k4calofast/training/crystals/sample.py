"""A shower sample as tensors, mirrored to one half of the detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from k4calofast.exceptions import TrainingError
from k4calofast.incidence.kinds import nominal
from k4calofast.showers.crystals import CrystalShowers

ELECTRON_MASS = 0.51099895e-3
"""GeV."""

_CAPTURE = 0.02
"""GeV: more than what nuclei give that take up a hadron, and what it knocks out."""

_OF_NEUTRON = 6.9e-3
"""GeV: binding energy of the neutron that caesium takes up, of which there is no more in iodine."""

_MICHEL = 53.4e-3
"""GeV: of a muon at rest, what its positron has at most, with the electron that it meets."""


def _rest_energy() -> dict[int, tuple[float, float]]:
    """Mass of each kind, and by how much what it can deposit exceeds its total energy (GeV).

    An electron stays in the crystal, a positron takes an electron with it. Mesons and negative
    muons decay, or are taken up by nuclei; positive muons decay. Protons stay, neutrons are taken
    up; antinucleons take a nucleon with them.
    """
    result = {22: (0.0, 0.0), 11: (ELECTRON_MASS, -ELECTRON_MASS), -11: (ELECTRON_MASS,) * 2}
    kinds = (13, -13, 211, -211, 321, -321, 130, 2212, 2112, -2212, -2112)
    masses = dict(zip(kinds, nominal(np.array(kinds))[1].tolist(), strict=True))
    beyond = dict.fromkeys(kinds, _CAPTURE) | {
        13: 0.0,
        -13: _MICHEL - masses[-13],
        2212: -masses[2212],
        2112: _OF_NEUTRON - masses[2112],
        -2212: _CAPTURE + masses[-2212],
        -2112: _CAPTURE + masses[-2112],
    }
    return result | {kind: (mass, beyond[kind]) for kind, mass in masses.items()}


REST_ENERGY = _rest_energy()
"""For each kind, its mass and by how much the energy that it can deposit exceeds its total energy
(GeV)."""

_ODD = ("delta_theta_mom", "delta_z_pos", "z")
"""Conditions that change their sign in a mirror across z = 0."""


def available_energy(pdg: Tensor, momentum: Tensor) -> Tensor:
    """Energy (GeV) that particles of these kinds and momenta (N,) can deposit at most."""
    numbers, device = torch.arange(len(REST_ENERGY), device=pdg.device), pdg.device
    kinds = torch.tensor(list(REST_ENERGY), device=device)
    values = [(mass**2, extra) for mass, extra in REST_ENERGY.values()]
    rest = torch.tensor(values, dtype=momentum.dtype, device=device)
    number = torch.where(pdg[:, None] == kinds, numbers, 0).amax(1)
    squared, extra = rest[:, 0][number], rest[:, 1][number]
    return torch.sqrt(momentum**2 + squared) + extra


def mirrored(conditions: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor | None]:
    """Conditions seen from the half with z >= 0, and which ones (N,) were not there.

    Where z is none of the conditions, both ends look alike already, and there is no mirror.

    Parameters
    ----------
    conditions
        (N, conditions).
    names
        Of the conditions.
    """
    if "z" not in names:
        return conditions, None
    other = conditions[:, names.index("z")] < 0
    odd = torch.tensor([name in _ODD for name in names], device=other.device)
    return torch.where(other[:, None] & odd, -conditions, conditions), other


def flipped(energies: Tensor, other: Tensor | None) -> Tensor:
    """Windows (N, rows, columns) with the rows of `other` in reverse order."""
    if other is None:
        return energies
    return torch.where(other[:, None, None], energies.flip(1), energies)


@dataclass(frozen=True)
class Sample:
    """N showers, mirrored to z >= 0 where there is a mirror.

    Attributes
    ----------
    pdg
        (N,) kinds.
    conditions
        (N, conditions), mirrored, in the order of the calorimeter's.
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
    def of(showers: CrystalShowers, threshold: float, names: Sequence[str] | None = None) -> Sample:
        """Mirror showers and drop energies below a threshold (GeV).

        Parameters
        ----------
        names
            Of the conditions to be told, in their order; all that the sample knows, if not given.

        Raises
        ------
        TrainingError
            If there is a kind of particle whose rest energy is not known here.
        """
        unknown = set(np.unique(showers.pdg).tolist()) - set(REST_ENERGY)
        if unknown:
            raise TrainingError(f"no rest energy for the kinds {sorted(unknown)}")
        pdg = torch.from_numpy(showers.pdg.astype(np.int64))
        names = showers.conditions_known if names is None else names
        columns = np.stack([showers.condition(name) for name in names], 1)
        conditions, other = mirrored(torch.from_numpy(columns.astype(np.float32)), names)
        energies = flipped(torch.from_numpy(showers.energies), other).flatten(1)
        energies = torch.where(energies > threshold, energies, torch.zeros(()))
        return Sample(pdg, conditions, energies, available_energy(pdg, conditions[:, 0]))

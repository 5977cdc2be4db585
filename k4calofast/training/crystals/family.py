"""What generators of windows of crystals have in common: symmetries and units, dealt with once.

A family sees conditions mirrored to z >= 0 where the calorimeter has two halves that are alike, and
returns energies in GeV.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from k4calofast import detector
from k4calofast.training.crystals.features import Features
from k4calofast.training.crystals.sample import Sample, available_energy, flipped, mirrored
from k4calofast.training.family import Family, Shape, Signature


def conditions_of(shape: Shape) -> tuple[str, ...]:
    """Names of those of the calorimeter's conditions that a sample has, in their order."""
    known = detector.load(shape.detector).conditions
    return tuple(condition.name for condition in known if condition.name in shape.ranges)


class CrystalFamily(Family):
    """A generator of windows of crystals; its parts are exported as one graph."""

    interface = "windows"
    shape: Shape
    features: Features

    def _features(self) -> Features:
        return Features(self.shape.kinds, self.shape.ranges, conditions_of(self.shape))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that it is told."""
        return self.features.names

    @abstractmethod
    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Generate showers at z >= 0.

        Parameters
        ----------
        noise
            (N, noise) standard normal numbers.
        pdg
            (N,) kinds.
        conditions
            (N, conditions) mirrored, in the order of the calorimeter's.

        Returns
        -------
        Tensor
            (N, cells) GeV; 0 or above the threshold. Row i depends on row i of the inputs alone,
            in the exported graph bit by bit: sum cells with `k4calofast.training.sums.sums`.
        """

    def forward(self, noise: Tensor, conditions: Tensor, pdg: Tensor | None = None) -> Tensor:
        """Generate showers: what the ONNX file does.

        Parameters
        ----------
        noise
            (N, noise) standard normal numbers.
        conditions
            (N, conditions) in the order of the calorimeter's.
        pdg
            (N,) kinds; left out where the generator has one kind alone.

        Returns
        -------
        Tensor
            (N, rows, columns) GeV.
        """
        if pdg is None:
            pdg = self.features.kinds[:1].expand(len(conditions))
        conditions, other = mirrored(conditions, self.conditions)
        energies = self.generate(noise, pdg, conditions)
        return flipped(energies.reshape(-1, *self.shape.window), other)

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape.window

    def signature(self, count: int) -> Signature:
        """See `Family.signature`."""
        inputs = {
            "noise": torch.zeros(count, self.noise),
            "conditions": torch.ones(count, len(self.conditions)),
        }
        if len(self.shape.kinds) > 1:
            inputs["pdg"] = self.features.kinds[:1].repeat(count)
        return Signature(inputs, {"energies": ("N", self.shape.window)})

    def given(self, sample: Sample, rows: Tensor | slice = slice(None)) -> Tensor:
        """Features (N, F) of the particles in these rows of a sample."""
        given: Tensor = self.features(sample.pdg[rows], sample.conditions[rows])
        return given

    def available(self, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Largest energies (N,) in GeV that showers can have."""
        return available_energy(pdg, conditions[:, 0])


def uniform_of(normal: Tensor) -> Tensor:
    """Return numbers between 0 and 1 of standard normal ones."""
    return 0.5 + 0.5 * torch.erf(normal / math.sqrt(2))

"""Spectra of generated cells, matched to the sample's by distance from the hit cell and energy.

A small network puts a little too much, or too little, between empty and lit, and its far cells are
a little too wide. Both are seen in the spectra of rings of cells at one energy of the particle, and
a table per ring and energy puts them right: where a cell begins to be lit, and the energy for each
number above. Tables are not mixed: lines like that at 511 keV stay lines.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from copy import deepcopy

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from k4calofast.arrays import Floats
from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.family import CrystalFamily
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.tables import read
from k4calofast.training.crystals.variables import (
    CUT,
    LEAST_MISSING,
    TOP,
    Scale,
    ShowerVariables,
    power_energy,
)

_POINTS = 8
"""Points of energy, at equal distances in its logarithm."""

_TABLE, _UPPER = 1024, 128
"""Entries from the cut to `TOP`, and from there to `_END`."""

_END = 20.0
_UNIT = 1e-3
"""GeV: the tables' unit, of which half precision keeps what is lit to a few ten-thousandths."""

_MOST = 6e4
"""MeV: more than any crystal has, and than half precision ends with."""

_ENTRIES = _TABLE + _UPPER + 1
_LEAST = 500
"""Lit cells from which a table is worth more than that of all cells together."""

_TOGETHER = 4096
"""Showers that are generated at once."""


class Spectra(nn.Module):
    """Energies of cells' numbers, by ring of cells and energy of the particle.

    Parameters
    ----------
    window
        Rows and columns.

    Attributes
    ----------
    ring
        (cells,) distance of each cell from the hit cell, in cells.
    cuts
        (points * rings,) numbers above which cells are lit.
    energies
        (points * rings * entries,) MeV, in half precision, of numbers from there to `_END`.
    first, step
        Logarithm of the first point's energy (GeV), and between points.
    """

    ring: Tensor
    cuts: Tensor
    energies: Tensor
    first: Tensor
    step: Tensor

    def __init__(self, window: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = window
        row = (torch.arange(rows) - rows // 2).abs().repeat_interleave(columns)
        column = (torch.arange(columns) - columns // 2).abs().repeat(rows)
        ring = torch.maximum(row, column)
        self.points, self.rings = _POINTS, int(ring.max()) + 1
        self.register_buffer("ring", ring)
        self.register_buffer("cuts", torch.full((_POINTS * self.rings,), CUT))
        start = _stored(power_energy(_places(CUT).abs())).repeat(_POINTS * self.rings)
        self.register_buffer("energies", start)
        self.register_buffer("first", torch.zeros(()))
        self.register_buffer("step", torch.ones(()))

    def forward(self, numbers: Tensor, available: Tensor) -> Tensor:
        """Energies (N, cells) in GeV of numbers (N, cells), for available energies (N,) in GeV."""
        kind = self.point(available)[:, None] * self.rings + self.ring
        cut = self.cuts[kind]
        lower = (numbers.clamp(max=TOP) - cut) / (TOP - cut) * _TABLE
        upper = (numbers.clamp(min=TOP) - TOP) * (_UPPER / (_END - TOP))
        energies = read(self.energies.reshape(-1, _ENTRIES), lower + upper, kind) * _UNIT
        return torch.where(numbers > cut, energies, torch.zeros_like(energies))

    def begin(self, scale: Scale) -> None:
        """Take the scale of all cells everywhere, until there is something to match."""
        self.cuts.fill_(CUT)
        self.energies.copy_(_stored(scale.decode(_places(CUT))).repeat(len(self.cuts)))

    def fit(self, scale: Scale, numbers: Tensor, energies: Tensor, available: Tensor) -> None:
        """Match numbers (N, cells) that were generated to energies (N, cells) of the sample.

        Parameters
        ----------
        scale
            Of all cells together, for where there are too few.
        available
            (N,) GeV, of both.
        """
        self.match(scale, (numbers, available), (energies, available))

    def match(
        self,
        scale: Scale,
        generated: tuple[Tensor, Tensor],
        sample: tuple[Tensor, Tensor],
        least: float = 0.0,
    ) -> None:
        """Match numbers that were generated to energies of a sample, by energies of showers.

        Parameters
        ----------
        scale
            Of all cells together, for where there are too few.
        generated, sample
            (N, cells) numbers, or GeV, and (N,) GeV: what showers are told apart by.
        least
            GeV: smaller energies of showers are not told apart.
        """
        (numbers, of_numbers), (energies, of_energies) = generated, sample
        logarithm = of_energies.clamp(min=least).log()
        self.first.copy_(logarithm.min())
        self.step.copy_((logarithm.max() - logarithm.min()) / (_POINTS - 1))
        point, point_of_energies = self.point(of_numbers), self.point(of_energies)
        common = _stored(scale.decode(_places(CUT)))
        for k in range(_POINTS):
            rows, of_sample = point == k, point_of_energies == k
            for ring in range(self.rings):
                columns = self.ring == ring
                made = numbers[rows][:, columns].double().numpy().ravel()
                reference = energies[of_sample][:, columns].double().numpy().ravel()
                kind = k * self.rings + ring
                table = self.energies[kind * _ENTRIES : (kind + 1) * _ENTRIES]
                table.copy_(common)
                lit = int((reference > 0).sum())
                if lit < _LEAST or lit == len(reference) or not len(made):
                    continue
                cut = float(np.quantile(made, 1 - lit / len(reference)))
                self.cuts[kind] = cut
                both = made[made > cut], reference[reference > 0]
                if len(both[0]):
                    matched = _matched(*both, _places(cut))
                    table.copy_(_stored(torch.from_numpy(matched)))

    def point(self, available: Tensor) -> Tensor:
        """Points (N,) of energy that showers of energies (N,) in GeV belong to."""
        place = (available.clamp(min=math.exp(-20)).log() - self.first) / self.step
        return place.round().clamp(0, _POINTS - 1).long()


class MatchedSettings(Settings):
    """What families have in common whose spectra are matched in the end.

    Attributes
    ----------
    matched
        Showers whose spectra are matched.
    """

    matched: int = Field(default=200_000, ge=1)


class Standardised(CrystalFamily):
    """A generator of standardised numbers of showers, whose spectra are matched in the end.

    Attributes
    ----------
    variables, spectra
        Between numbers and energies.
    numbers
        (N, size) of the training sample; see `ShowerVariables.fit`.
    """

    settings: MatchedSettings
    variables: ShowerVariables
    spectra: Spectra
    numbers: Tensor

    def prepare(self, sample: Sample) -> None:
        """See `Family.prepare`."""
        self.numbers = self.variables.fit(sample, self.settings.seed)
        self.spectra.begin(self.variables.cell)

    def encoded(self, rows: Tensor) -> Tensor:
        """Return the standardised numbers (n, size) of the training sample's rows (n,)."""
        self.numbers = self.numbers.to(rows.device)
        return self.variables.encode(self.numbers[rows])

    @abstractmethod
    def standardised(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return the standardised numbers (N, size) of showers; see `generate`."""

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """See `CrystalFamily.generate`."""
        standardised = self.standardised(noise, pdg, conditions)
        return self.variables.decode(standardised, self.available(pdg, conditions), self.spectra)

    @torch.no_grad()
    def finish(self, sample: Sample) -> None:
        """Give generated cells and missing energies the spectra of the sample's first showers.

        What a network puts between empty and lit, or at the seam of rank and power, would otherwise
        show in the spectra.
        """
        variables = self.variables
        generator = torch.Generator().manual_seed(self.settings.seed + 2)
        few = sample.take(slice(0, self.settings.matched))
        parts = []
        for part in few.blocks(_TOGETHER):
            noise = torch.randn((len(part), self.noise), generator=generator)
            standardised = self.standardised(noise, part.pdg, part.conditions)
            parts.append(variables.numbers(standardised))
        generated = torch.cat(parts)
        numbers = generated.double().numpy()
        energies = few.energies.double().numpy()
        missing = few.available.double().numpy() - energies.sum(1)
        # What is drawn is told of energies by the scale of the training: that stays as it is.
        common = deepcopy(variables.cell)
        common.match(numbers[:, :-1], energies[energies > 0])
        variables.missing.match(numbers[:, -1], missing[missing > LEAST_MISSING])
        variables.missing.match_gap(numbers[:, -1], missing[missing <= LEAST_MISSING].clip(0.0))
        self.spectra.fit(common, generated[:, :-1], few.energies, few.available)


def _stored(energies: Tensor) -> Tensor:
    """Energies in GeV as tables have them."""
    return (energies / _UNIT).clamp(max=_MOST).half()


def _places(cut: float) -> Tensor:
    """Numbers of a table's entries."""
    lower, upper = torch.linspace(cut, TOP, _TABLE + 1), torch.linspace(TOP, _END, _UPPER + 1)
    return torch.cat([lower, upper[1:]])


def _matched(numbers: Floats, energies: Floats, places: Tensor) -> Floats:
    """Energies at places that give generated numbers the spectrum of the sample's energies."""
    at = places.double().numpy()
    ordered = np.sort(numbers)
    ranks = np.searchsorted(ordered, at) / len(ordered)
    table = np.quantile(energies, ranks)
    # Beyond what was generated, energies grow as those of numbers do.
    last = int(np.searchsorted(at, ordered[-1], side="right")) - 1
    grows = power_energy(places).double().numpy()
    table[last:] = np.maximum(table[last] * grows[last:] / grows[last], table[last])
    return np.maximum.accumulate(table)

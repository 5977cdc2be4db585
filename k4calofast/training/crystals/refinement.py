"""Refinement of windows: what a classifier sees of one, and how one is drawn."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from k4calofast.training.crystals.family import CrystalFamily, uniform_of
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.tables import read
from k4calofast.training.crystals.variables import EDGE, LEAST_MISSING, Scale, above_edge
from k4calofast.training.family import Family
from k4calofast.training.refinement import Classifier, Refined, RefinementSettings, pick

_GRID = 2048
_UNLIT = -1.5
_BLOCK = 4096


class WindowClassifier(Classifier):
    """Log odds that a window is of the sample and not of the generator.

    It sees kinds and conditions, each cell on the scale on which spectra are flat, the missing
    energy likewise, and sums over cells from which the usual observables are made.
    """

    sums: Tensor
    cell: Tensor
    missing: Tensor

    def __init__(self, family: CrystalFamily, settings: RefinementSettings) -> None:
        shape = family.shape
        observed = 2 * shape.cells + 2 + _OBSERVABLES + 2 * sum(shape.window)
        super().__init__(family.features.size + observed, settings)
        self.lowest = max(family.threshold, 1e-6)
        self.register_buffer("sums", _sums_over_cells(shape.window))
        self.register_buffer("cell", torch.zeros(_GRID + 1))
        self.register_buffer("missing", torch.zeros(_GRID + 1))

    def fit(self, given: Tensor, sample: Sample) -> None:
        """Take scales from a sample and the features of its conditions."""
        energies = sample.energies.double().numpy()
        missing = sample.available.double().numpy() - energies.sum(1)
        for table, values, least in (
            (self.cell, energies, self.lowest),
            (self.missing, missing, LEAST_MISSING),
        ):
            scale = Scale()
            scale.fit(values[values > least])
            grid = np.exp(np.linspace(math.log(least), math.log(EDGE), _GRID + 1))
            table.copy_(torch.from_numpy(scale.encode(grid)))
        self.take_scales(sample.energies, given, sample.available, sample.conditions[:, 0])

    def inputs(self, seen: Tensor, *told: Tensor) -> Tensor:
        """See `Classifier.inputs`: of energies (N, cells) in GeV."""
        energies, (given, available, momentum) = seen, told
        zero, least = energies.new_zeros(()), energies.new_full((), 1e-9)
        lit = (energies > 0).to(energies.dtype)
        sums = energies @ self.sums
        counts = lit @ self.sums[:, :1] / 20
        large = (energies > _LIT).to(energies.dtype) @ self.sums[:, :1] / 20
        total, e1, e9, e25, row, column, row2, column2 = (sums[:, i : i + 1] for i in range(8))
        whole = torch.maximum(total, least)
        centre = torch.cat([row, column], 1) / whole
        variance = torch.maximum(torch.cat([row2, column2], 1) / whole - centre**2, least)
        outside = 1 - e25 / whole
        missing = available[:, None] - total
        response = total / momentum[:, None]
        observed = [
            counts,
            large,
            response,
            _log((1 - response).abs(), 1e-4),
            e1 / whole,
            e9 / whole,
            e9 / torch.maximum(e25, least),
            outside,
            _log(outside, 1e-5),
            centre,
            variance.sqrt(),
            _log(variance, 1e-4),
        ]
        bands = sums[:, 8:] / whole
        number = self._encoded(self.missing, LEAST_MISSING, missing)
        number = torch.where(missing > LEAST_MISSING, number, zero + _UNLIT)
        cells = self._encoded(self.cell, self.lowest, energies)
        cells = torch.where(energies > 0, cells, zero + _UNLIT)
        tiny = _log(missing.clamp(max=1e-5), 1e-9)
        logs = _log(bands, 1e-5)
        return torch.cat([given, cells, lit, number, tiny, *observed, bands, logs], 1)

    @staticmethod
    def _encoded(table: Tensor, least: float, energies: Tensor) -> Tensor:
        """The scale of `variables`, read from a table over the logarithm."""
        place = (energies.clamp(min=least) / least).log() * (_GRID / math.log(EDGE / least))
        return torch.where(energies < EDGE, read(table, place), above_edge(energies))


_OBSERVABLES = 15
_LIT = 1e-3
"""GeV from which cells are counted apart."""


def _log(values: Tensor, least: float) -> Tensor:
    return values.clamp(min=least).log()


def _sums_over_cells(window: tuple[int, int]) -> Tensor:
    """Matrix (cells, sums): total, 1, 3 x 3, 5 x 5, moments, rows, columns."""
    rows, columns = window
    row = torch.arange(rows).repeat_interleave(columns) - rows // 2
    column = torch.arange(columns).repeat(rows) - columns // 2
    near = torch.maximum(row.abs(), column.abs())
    masks = [torch.ones_like(row), near == 0, near <= 1, near <= 2]
    moments = [row, column, row**2, column**2]
    bands = [row == r - rows // 2 for r in range(rows)]
    bands += [column == c - columns // 2 for c in range(columns)]
    return torch.stack([part.float() for part in (*masks, *moments, *bands)], 1)


class RefinedCrystals(Refined, CrystalFamily):
    """A generator of windows and the classifier that picks among its candidates."""

    generator: CrystalFamily
    classifier: WindowClassifier

    def __init__(self, settings: RefinementSettings, generator: Family) -> None:
        super().__init__(settings, generator)
        self.features.load_state_dict(generator.features.state_dict())
        self.noise = settings.candidates * generator.noise + 1
        self.classifier = WindowClassifier(self, settings)

    def prepare(self, sample: Sample) -> None:
        few = sample.take(slice(0, 50_000))
        self.classifier.fit(self.features(few.pdg, few.conditions), few)

    def told(self, sample: Sample, rows: Tensor) -> tuple[Tensor, ...]:
        part = sample.take(rows)
        given = self.features(part.pdg, part.conditions)
        return given, part.available, part.conditions[:, 0]

    def pool(self, sample: Sample, random: torch.Generator) -> tuple[Tensor, Tensor]:
        parts = []
        for part in sample.blocks(_BLOCK):
            noise = torch.randn((len(part), self.generator.noise), generator=random)
            noise = noise.to(part.energies.device)
            parts.append(self.generator.generate(noise, part.pdg, part.conditions))
        return sample.energies, torch.cat(parts)

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        count, size = self.settings.candidates, self.generator.noise
        # All candidates of a block in one go: larger matrix products.
        noises = torch.cat([noise[:, k * size : (k + 1) * size] for k in range(count)])
        kinds, given = pdg.repeat(count), conditions.repeat(count, 1)
        energies = self.generator.generate(noises, kinds, given)
        told = (self.features(kinds, given), self.available(kinds, given), given[:, 0])
        odds = self.odds(energies, *told)
        uniform = uniform_of(noise[:, -1])
        # Not len(noise): the exported graph would keep the number of the example.
        candidates = energies.reshape(count, -1, energies.shape[1])
        return pick(candidates, odds.reshape(count, -1), uniform)

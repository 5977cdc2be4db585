"""A library of frozen showers: the method of ATLAS and CMS, without any network.

Showers of the training sample are stored in bins of kind and conditions; a particle gets one of
the showers of its bin by chance, with the energies scaled to its own (E. Barberio et al., Fast
simulation of electromagnetic showers in the ATLAS calorimeter: Frozen showers, J. Phys. Conf. Ser.
160 (2009) 012082).

What is different here: bins are trees that halve the sample along what changes showers most,
because a grid in six conditions has too many bins. The share of the energy that a shower leaves
outside the window stays as it was. Only energies above 3 MeV are scaled: those below have lines
(511 keV) and edges that do not move with the momentum, and scaling all of them lets boosted trees
on the cells tell the showers apart (area under the ROC curve 0.55 instead of 0.51).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from k4calofast.exceptions import TrainingError
from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.bins import Bins
from k4calofast.training.crystals.family import CrystalFamily, uniform_of
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.tables import OfSample
from k4calofast.training.crystals.variables import rescaled
from k4calofast.training.family import Shape, Stage

_LEVELS = 512
"""Energies that a stored cell can have; times the cells of a window, they fill 16 bits."""

_LOWEST = -(1 << 15)
"""Of 16 bits with a sign: ONNX Runtime gathers those on all devices."""

_LIT_WEIGHT, _RESPONSE_WEIGHT = 0.25, 2.0
"""In the choice of bins: of a cell's being lit and of the response, beside a root of a share.
Without the first, bins are too wide in momentum, and bright showers have too few lit cells."""


class LibrarySettings(Settings):
    """Settings of the library.

    Attributes
    ----------
    showers
        Most showers in the library, of all kinds together.
    bin
        Showers in a bin, to choose from.
    """

    title: ClassVar[str] = "a library of frozen showers"
    source: ClassVar[str] = "Barberio et al., J. Phys. Conf. Ser. 160 (2009) 012082"

    showers: int = Field(default=400_000, ge=1)
    bin: int = Field(default=16, ge=1)


class Library(OfSample, CrystalFamily):
    """Stored showers, in bins of kind and conditions.

    Attributes
    ----------
    levels
        (levels,) energies (GeV) of the codes of cells.
    codes
        (lit cells of all showers,) cell times levels plus level, less 2^15.
    starts
        (showers + 1,) where the codes of a shower start.
    missing
        (showers,) missing energy over the available one.
    places
        (most lit cells of a shower,) 0, 1, 2, ...
    """

    Settings = LibrarySettings
    settings: LibrarySettings
    noise = 1

    levels: Tensor
    codes: Tensor
    starts: Tensor
    missing: Tensor
    places: Tensor

    def __init__(self, settings: LibrarySettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        if shape.cells * _LEVELS > 1 << 16:
            raise TrainingError(f"a library has windows of at most {(1 << 16) // _LEVELS} cells")
        self.register_buffer("levels", torch.zeros(_LEVELS))
        self.register_buffer("codes", torch.zeros(0, dtype=torch.int16))
        self.register_buffer("starts", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("missing", torch.zeros(0, dtype=torch.float16))
        self.register_buffer("places", torch.zeros(0, dtype=torch.int64))
        self.bins = Bins(self.features.kinds, 0)

    def prepare(self, sample: Sample) -> None:
        kinds = self.features.kinds.tolist()
        of_kinds = [torch.nonzero(sample.pdg == kind)[:, 0] for kind in kinds]
        most = min(self.settings.showers // len(kinds), *(len(rows) for rows in of_kinds))
        depth = int(math.log2(max(most // self.settings.bin, 1)))
        count = self.settings.bin << depth
        if count > most:
            raise TrainingError(
                f"{most} showers of each kind are fewer than one bin of {self.settings.bin}; "
                "give more, or a smaller --set bin=N"
            )
        generator = torch.Generator().manual_seed(self.settings.seed)
        chosen = [rows[torch.randperm(len(rows), generator=generator)[:count]] for rows in of_kinds]
        sample = sample.take(torch.cat(chosen))
        self.bins = Bins(self.features.kinds, depth)
        order = self.bins.fit(sample.pdg, sample.conditions, _targets(sample)).flatten()
        self._store(sample.take(order))

    def _store(self, sample: Sample) -> None:
        energies = sample.energies.double().numpy()
        shower, cell = np.nonzero(energies)
        lit = energies[shower, cell]
        # Half of the levels follow the spectrum, lines and all, half the logarithm.
        ranks = np.linspace(0, 1, _LEVELS // 2)
        ends = lit.min(initial=1.0), lit.max(initial=1.0)
        levels = np.sort(np.concatenate([np.quantile(lit, ranks), np.geomspace(*ends, len(ranks))]))
        level = np.searchsorted((levels[1:] + levels[:-1]) / 2, lit)
        counts = np.bincount(shower, minlength=len(sample))
        self.levels = torch.from_numpy(levels).float()
        self.codes = torch.from_numpy((cell * _LEVELS + level + _LOWEST).astype(np.int16))
        self.starts = torch.from_numpy(np.append(0, counts.cumsum()).astype(np.int32))
        missing = 1 - energies.sum(1) / sample.available.double().numpy()
        self.missing = torch.from_numpy(missing.clip(0, 1).astype(np.float16))
        self.places = torch.arange(int(counts.max()))

    def stages(self, sample: Sample) -> Iterator[Stage]:  # noqa: ARG002 - nothing is trained
        yield from ()

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        shower = self.shower(noise, pdg, conditions)
        total = self.available(pdg, conditions) * (1 - self.missing[shower].float())
        energies = rescaled(self.stored(shower), total)
        return torch.where(energies > self.settings.threshold, energies, torch.zeros(()))

    def shower(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return the showers (N,) that chance takes from particles' bins."""
        size = self.settings.bin
        number = (uniform_of(noise[:, 0]) * size).floor().clamp(0, size - 1).to(torch.int64)
        found: Tensor = self.bins(pdg, conditions) * size + number
        return found

    def stored(self, shower: Tensor) -> Tensor:
        """Return the energies (N, cells) in GeV of showers (N,) of the library."""
        start, end = self.starts[shower].to(torch.int64), self.starts[shower + 1].to(torch.int64)
        place = start[:, None] + self.places
        there = place < end[:, None]
        code = self.codes[place.clamp(max=len(self.codes) - 1)].to(torch.float32) - _LOWEST
        cell = (code / _LEVELS).floor()
        energies = self.levels[(code - cell * _LEVELS).to(torch.int64)]
        # What belongs to the next shower goes into a cell that does not exist.
        cell = torch.where(there, cell, self.shape.cells).to(torch.int64)
        # The exporter takes len() for a constant, shape[0] not.
        window = energies.new_zeros((shower.shape[0], self.shape.cells + 1))
        return window.scatter(1, cell, energies)[:, : self.shape.cells]

    def method(self) -> str:
        s = self.settings
        return (
            f"no more than {s.showers} showers of the sample, in bins of {s.bin} by kind and "
            "conditions; no network"
        )


FAMILY = Library


def _targets(sample: Sample) -> Tensor:
    """What showers of one bin shall have in common: energies, which cells are lit, the response.

    Roots of shares spread as widely in cells of much energy as in those of little.
    """
    shares = sample.energies / sample.available[:, None]
    lit = (sample.energies > 0).to(shares.dtype)
    response = shares.sum(1, keepdim=True)
    return torch.cat([shares.sqrt(), _LIT_WEIGHT * lit, _RESPONSE_WEIGHT * response], 1)

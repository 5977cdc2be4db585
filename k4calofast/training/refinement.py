"""Refinement of any generator: among several candidates, a classifier picks the one to keep.

A classifier is trained to tell the generator's showers from the sample's. Its odds are the ratio w
of the two densities (K. Cranmer, J. Pavez, G. Louppe, arXiv:1506.02169), which would be weights of
generated events (S. Diefenbacher et al., DCTRGAN, arXiv:2009.03796). Production wants showers of
weight one: so K candidates are generated, and one is drawn with probabilities in proportion to w,
which is sampling with importance resampling (D. Rubin, 1988). Where w is near 1, K candidates take
away (K - 1) / K of what the classifier sees. All of it is in the exported graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.variables import EDGE, LEAST_MISSING, Scale, above_edge
from k4calofast.training.family import Family, Shape, Stage
from k4calofast.training.seeds import seed_of

_GRID = 2048
_UNLIT = -1.5
_BLOCK = 4096
_LARGEST_LOGIT = 3.0
"""Odds beyond e^3 are not believed: one candidate would always win."""


class RefinementSettings(Settings):
    """Settings of a refinement.

    Attributes
    ----------
    candidates
        Showers generated for each that is kept.
    width, layers, dropout
        Of the classifier.
    steps, learning_rate, batch
        Of its training; a batch has as many showers of each side.
    pools
        Generated samples, each as large as the training sample.
    """

    title: ClassVar[str] = "refined"
    source: ClassVar[str] = "importance resampling"

    candidates: int = Field(default=2, ge=2, le=16)
    width: int = Field(default=384, ge=8)
    layers: int = Field(default=3, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    steps: int = Field(default=10_000, ge=1)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    batch: int = Field(default=1024, ge=1)
    pools: int = Field(default=3, ge=1)


class Classifier(nn.Module):
    """Log odds that a shower is of the sample and not of the generator.

    It sees kinds and conditions, each cell on the scale on which spectra are flat, the missing
    energy likewise, and sums over cells from which the usual observables are made.
    """

    mean: Tensor
    spread: Tensor
    sums: Tensor
    cell: Tensor
    missing: Tensor

    def __init__(
        self,
        shape: Shape,
        features: int,
        threshold: float,
        width: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.lowest = max(threshold, 1e-6)
        self.register_buffer("sums", _sums_over_cells(shape.window))
        self.register_buffer("cell", torch.zeros(_GRID + 1))
        self.register_buffer("missing", torch.zeros(_GRID + 1))
        size = features + 2 * shape.cells + 2 + _OBSERVABLES + 2 * sum(shape.window)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        sizes = [size] + [width] * layers
        parts: list[nn.Module] = []
        for one, other in pairwise(sizes):
            parts += [nn.Linear(one, other), nn.SiLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*parts, nn.Linear(width, 1))

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
        inputs = self.inputs(given, sample.energies, sample.available, sample.conditions[:, 0])
        self.mean.copy_(inputs.mean(0))
        self.spread.copy_(inputs.std(0).clamp(min=0.05))

    def inputs(
        self, given: Tensor, energies: Tensor, available: Tensor, momentum: Tensor
    ) -> Tensor:
        """Return what the network sees (N, size)."""
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
        seen = [
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
        return torch.cat([given, cells, lit, number, tiny, *seen, bands, logs], 1)

    def forward(
        self, given: Tensor, energies: Tensor, available: Tensor, momentum: Tensor
    ) -> Tensor:
        """Log odds (N,) of showers (N, cells) in GeV."""
        with torch.autocast(energies.device.type, enabled=False):
            inputs = self.inputs(given.float(), energies, available, momentum)
            inputs = ((inputs - self.mean) / self.spread).clamp(-8.0, 8.0)
        logits: Tensor = self.layers(inputs)
        return logits[:, 0]

    @staticmethod
    def _encoded(table: Tensor, least: float, energies: Tensor) -> Tensor:
        """The scale of `variables`, read from a table over the logarithm."""
        place = (energies.clamp(min=least) / least).log() * (_GRID / math.log(EDGE / least))
        place = place.clamp(0.0, _GRID - 1e-3)
        below = place.floor()
        index = below.long()
        ranked = table[index] + (place - below) * (table[1:] - table[:-1])[index]
        return torch.where(energies < EDGE, ranked, above_edge(energies))


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


class Refined(Family):
    """A generator and the classifier that picks among its candidates.

    Parameters
    ----------
    settings
        Of the refinement.
    generator
        Any trained family; it stays as it is.
    """

    Settings = RefinementSettings
    settings: RefinementSettings

    def __init__(self, settings: RefinementSettings, generator: Family) -> None:
        super().__init__(settings, generator.shape)
        self.features.load_state_dict(generator.features.state_dict())
        self.generator = generator.requires_grad_(False)
        self.noise = settings.candidates * generator.noise + 1
        self.classifier = Classifier(
            generator.shape,
            self.features.size,
            generator.settings.threshold,
            settings.width,
            settings.layers,
            settings.dropout,
        )

    def prepare(self, sample: Sample) -> None:
        few = sample.take(slice(0, 50_000))
        given = self.features(few.pdg, few.conditions)
        self.classifier.fit(given, few)

    def stages(self, sample: Sample) -> Iterator[Stage]:
        yield Telling(self, sample)

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        count, size = self.settings.candidates, self.generator.noise
        # All candidates of a block in one go: larger matrix products.
        noises = torch.cat([noise[:, k * size : (k + 1) * size] for k in range(count)])
        kinds, given = pdg.repeat(count), conditions.repeat(count, 1)
        energies = self.generator.generate(noises, kinds, given)
        odds = self._odds(energies, kinds, given)
        uniform = 0.5 * (1 + torch.erf(noise[:, -1] / math.sqrt(2)))
        # Not len(noise): the exported graph would keep the number of the example.
        candidates = energies.reshape(count, -1, energies.shape[1])
        return pick(candidates, odds.reshape(count, -1), uniform)

    def _odds(self, energies: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        given = self.features(pdg, conditions)
        available = self.available(pdg, conditions)
        logits = self.classifier(given, energies, available, conditions[:, 0])
        odds: Tensor = logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).exp()
        return odds

    @property
    def title(self) -> str:
        """The generator's, and that it is refined."""
        return f"{self.generator.title}, refined"

    def method(self) -> str:
        s = self.settings
        return (
            f"refined: of {s.candidates} candidates, one is drawn by "
            f"the odds of a classifier, {s.steps} steps of 2 x {s.batch} showers"
        )


def pick(candidates: Tensor, odds: Tensor, uniform: Tensor) -> Tensor:
    """Draw one of K candidates for each of N showers, with probabilities in proportion to odds.

    Parameters
    ----------
    candidates
        (K, N, cells).
    odds
        (K, N) > 0.
    uniform
        (N,) random numbers between 0 and 1.

    Returns
    -------
    Tensor
        (N, cells).
    """
    kept, summed = candidates[0], odds[0]
    for number in range(1, len(candidates)):
        summed = summed + odds[number]
        share = odds[number] / summed
        takes = uniform < share
        kept = torch.where(takes[:, None], candidates[number], kept)
        # What is left of the number is uniform again.
        uniform = torch.where(takes, uniform / share, (uniform - share) / (1 - share))
    return kept


class Telling(Stage):
    """A classifier learns to tell the sample's showers from the generator's."""

    family: Refined

    def __init__(self, family: Refined, sample: Sample) -> None:
        s = family.settings
        super().__init__(
            "refinement",
            family,
            family.classifier,
            sample,
            s.steps,
            min(s.batch, len(sample)),
            s.learning_rate,
        )
        self.weight_decay = 1e-2
        self.pools: list[Tensor] = []

    def loss(self, rows: Tensor) -> Tensor:
        family, sample = self.family, self.sample
        if not self.pools:
            # Not before it is needed: a finished training that is taken up again needs none.
            self.pools = [self._pool(number) for number in range(family.settings.pools)]
        pool = self.pools[int(torch.randint(len(self.pools), ()))]
        there = sample.take(rows)
        energies = torch.cat([there.energies, pool[rows]])
        given = family.features(there.pdg, there.conditions).repeat(2, 1)
        available, momentum = there.available.repeat(2), there.conditions[:, 0].repeat(2)
        found = family.classifier(given, energies, available, momentum)
        wanted = (torch.arange(len(found), device=self.device) < len(rows)).float()
        loss: Tensor = F.binary_cross_entropy_with_logits(found.float(), wanted)
        return loss

    @torch.no_grad()
    def _pool(self, number: int) -> Tensor:
        """Generate showers (N, cells) with the sample's conditions."""
        family, sample = self.family, self.sample
        random = torch.Generator().manual_seed(seed_of(family.settings.seed, "pool", number))
        parts = []
        family.generator.eval()
        with torch.autocast(self.device.type, enabled=False):
            for start in range(0, len(sample), _BLOCK):
                part = sample.take(slice(start, start + _BLOCK))
                noise = torch.randn((len(part), family.generator.noise), generator=random)
                noise = noise.to(self.device)
                parts.append(family.generator.generate(noise, part.pdg, part.conditions))
        return torch.cat(parts)

"""Refinement of showers in layers: what a classifier sees of one, and how hits are kept.

A classifier sees sums over the hits of each layer, and of the whole shower. In the exported graph
they are sums in the order of hits, and products of matrices: what a shower is does not depend on
its row.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from k4calofast.training.family import Family
from k4calofast.training.layers.family import (
    Hits,
    Incident,
    Layered,
    LayersFamily,
    counted_out,
)
from k4calofast.training.layers.sample import LayeredSample, Particles
from k4calofast.training.refinement import Classifier, Refined, RefinementSettings, pick

_EDGES = (0.7, 1.5, 3.0, 10.0, 30.0)
"""MIPs between which hits are counted: below, around and above one, and the shower's core."""

_IN_LAYER = 6
_OF_SHOWER = 2 + len(_EDGES) + 1

_OFFSET = 0.05
"""MIPs, added to energies whose logarithm is taken."""

_AT_ONCE = 64
_SCALED = 20_000
"""Showers from which scales are taken, at most."""


class LayersClassifier(Classifier):
    """Log odds that a shower is of the sample and not of the generator.

    Parameters
    ----------
    layers, features
        How many there are.
    settings
        Of the refinement.
    """

    def __init__(self, layers: int, features: int, settings: RefinementSettings) -> None:
        super().__init__(features + layers * (_IN_LAYER + 1) + _OF_SHOWER + 8, settings)
        self.count = layers

    def inputs(self, seen: Tensor, *told: Tensor) -> Tensor:
        """See `Classifier.inputs`: of what `summed_up` returns, features, and momenta in GeV."""
        given, momentum = told
        split = self.count * _IN_LAYER
        in_layers = seen[:, :split].reshape(-1, self.count, _IN_LAYER)
        hits, energy, x, y, radius, of_hits = in_layers.unbind(2)
        number = torch.arange(self.count, dtype=seen.dtype, device=seen.device)[:, None]
        columns = seen.new_ones(self.count, 1)
        # Products with columns: sums whose order is fixed.
        totals = torch.cat([part @ columns for part in in_layers.unbind(2)], 1)
        total, moment, square = totals[:, 1:2], energy @ number, energy @ number**2
        whole = total.clamp(min=_OFFSET)
        depth = moment / whole
        width = (square / whole - depth**2).clamp(min=0.0).sqrt()
        count = totals[:, :1].clamp(min=1.0)
        of_whole = [
            whole.log(),
            total / (momentum[:, None] * 100),
            count.log(),
            depth,
            width,
            totals[:, 2:4] / whole,
            totals[:, 4:5] / whole,
            seen[:, split : split + 1] / whole**2,
            seen[:, split + 1 :] / count,
        ]
        layer, least = energy.clamp(min=_OFFSET), hits.clamp(min=1.0)
        of_layers = [
            (energy + _OFFSET).log(),
            (hits + 1).log(),
            energy / whole,
            x / layer,
            y / layer,
            radius / layer,
            of_hits / least,
        ]
        return torch.cat([given, *of_layers, *of_whole], 1)


class RefinedLayers(Refined, LayersFamily):
    """A generator of layers and the classifier that picks among its candidates."""

    generator: Layered
    classifier: LayersClassifier

    def __init__(self, settings: RefinementSettings, generator: Family) -> None:
        super().__init__(settings, generator)
        self.noise = settings.candidates * generator.noise
        # Of all candidates, and one to pick by.
        self.uniform = settings.candidates * generator.uniform + 1
        self.classifier = LayersClassifier(len(self.layers), self.features.size, settings)

    def prepare(self, sample: LayeredSample) -> None:
        random = torch.Generator().manual_seed(self.settings.seed)
        rows = torch.arange(0, len(sample), -(-len(sample) // _SCALED))
        seen = [self._of_sample(sample, part, random)[0] for part in torch.split(rows, _AT_ONCE)]
        self.classifier.take_scales(torch.cat(seen), *self.told(sample, rows))

    def told(self, sample: LayeredSample, rows: Tensor) -> tuple[Tensor, ...]:
        return self._told(sample.particles(rows))

    def pool(self, sample: LayeredSample, random: torch.Generator) -> tuple[Tensor, Tensor]:
        parts = []
        for rows in torch.split(torch.arange(len(sample)), _AT_ONCE):
            seen, incident = self._of_sample(sample, rows, random)
            noise = torch.randn((len(rows), self.generator.noise), generator=random)
            uniform = torch.rand((len(rows), self.generator.uniform), generator=random)
            hits = self.generator.generate(noise, uniform, incident)
            parts.append((seen, self._summed_up(hits, incident)))
        reference, generated = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return reference, generated

    def generate(self, noise: Tensor, uniform: Tensor, incident: Incident) -> Hits:
        generator, count = self.generator, self.settings.candidates
        told = self._told(incident.particles)
        candidates, odds = [], []
        for number in range(count):
            of_noise, of_uniform = (
                drawn[:, number * size : (number + 1) * size]
                for drawn, size in ((noise, generator.noise), (uniform, generator.uniform))
            )
            hits = generator.generate(of_noise, of_uniform, incident)
            candidates.append(hits)
            odds.append(self.odds(self._summed_up(hits, incident), *told))
        numbers = [torch.full_like(odds[0], number)[:, None] for number in range(count)]
        kept = pick(torch.stack(numbers), torch.stack(odds), uniform[:, -1])
        return of_candidates(candidates, kept[:, 0].long())

    @property
    def block(self) -> int:
        """The generator's, whose hits are drawn block by block."""
        return self.generator.block

    def _told(self, particles: Particles) -> tuple[Tensor, Tensor]:
        return self.features(particles), particles.momentum

    def _of_sample(
        self, sample: LayeredSample, rows: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Incident]:
        """What a classifier sees of showers whose cells lie at random places, and these."""
        generator = self.generator
        cells = generator.cells_anywhere(sample, rows, random)
        incident = generator.incident(sample, rows, cells)
        return self._summed_up(generator.as_hits(cells), incident), incident

    def _summed_up(self, hits: Hits, incident: Incident) -> Tensor:
        return summed_up(hits, incident, self.threshold / self.layers.mip)


def summed_up(hits: Hits, incident: Incident, threshold: float) -> Tensor:
    """Sums over the hits of N showers above a threshold (MIPs): what a classifier sees.

    Returns
    -------
    Tensor
        (N, 6 L + 8): for each layer, hits, energy, energy times x, y and radius, and radius; of the
        shower, energy squared, delay, and numbers of hits between `_EDGES`.
    """
    shower, place, energy, delay = hits
    t, z = incident.t, incident.z
    layers, size = t.shape[1], t.shape[2]
    column = place.div(size, rounding_mode="floor")
    row = place - column * size
    layer = column.div(size, rounding_mode="floor")
    of = shower * layers + layer
    x = t.flatten().gather(0, of * size + column - layer * size)
    y = z.flatten().gather(0, of * size + row)
    radius = (x**2 + y**2).sqrt()
    lit = (energy > threshold).to(energy.dtype)
    energy = energy * lit
    nothing = torch.zeros_like(t[:, :, 0])

    def summed(where: Tensor, columns: list[Tensor], into: Tensor) -> Tensor:
        count = len(columns)
        place = torch.stack([where * count + number for number in range(count)], 1)
        empty = into.flatten()[:, None].expand(-1, count).flatten()
        return empty.scatter_add(0, place.flatten(), torch.stack(columns, 1).flatten())

    in_layers = summed(
        of, [lit, energy, energy * x, energy * y, energy * radius, lit * radius], nothing
    )
    bounds = (-1.0, *_EDGES, 1e9)
    ranges = [
        lit * ((energy > low) & (energy <= high)).to(lit.dtype) for low, high in pairwise(bounds)
    ]
    of_showers = summed(shower, [energy**2, lit * delay, *ranges], nothing[:, 0])
    parts = in_layers.reshape(-1, layers * _IN_LAYER), of_showers.reshape(-1, _OF_SHOWER)
    return torch.cat(parts, 1)


def of_candidates(candidates: list[Hits], chosen: Tensor) -> Hits:
    """Return the hits of the candidates (N,) that were chosen, showers in ascending order."""
    nothing = torch.zeros_like(chosen)
    counts = [nothing.scatter_add(0, shower, torch.ones_like(shower)) for shower, *_ in candidates]
    of_all = torch.cat(counts)
    first = (of_all.cumsum(0) - of_all).reshape(len(candidates), -1)
    count = torch.stack(counts).gather(0, chosen[None])[0]
    of, _, in_shower = counted_out(count)
    where = first.gather(0, chosen[None])[0].gather(0, of) + in_shower
    place, energy, delay = (
        torch.cat([hits[number] for hits in candidates]).gather(0, where) for number in (1, 2, 3)
    )
    return of, place, energy, delay

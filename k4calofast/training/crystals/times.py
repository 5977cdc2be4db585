"""Times of crystals in the window: quantiles of delays, by particle, distance and energy.

A table of quantiles for each kind, momentum, distance from the crystal that is entered, and energy
of the crystal; for hadrons and muons, also for each outcome, since what ionises is prompt. Crystals
of a shower are late, or early, together: the numbers that choose among the quantiles have a common
part, whose weight is that of the sample, by distance.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from k4calofast.arrays import Floats, Indices
from k4calofast.showers.crystals.outcomes import IONISED_WITHIN
from k4calofast.training.crystals.deposits import Deposits, place_in_whole
from k4calofast.training.crystals.family import uniform_of
from k4calofast.training.crystals.ionisation import Ionisation, number_of
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.tables import OfSample

_MOMENTA = 11
"""Points of momentum, at equal distances in its logarithm."""

_ENERGIES = (2e-4, 1e-3, 5e-3, 2e-2, 6e-2, 2e-1)
"""GeV: borders of classes of energy."""

_QUANTILES, _FARTHEST = 13, 3.0
"""Quantiles are those at normal numbers from -3 to 3 in equal steps: tails are long."""

_LEAST = 40
"""Deposits from which a table is worth more than one of fewer conditions."""

_NEAR, _HALF = 3, 6
"""Points of momentum that are taken together where one has too few: some, and slow or fast."""

_EARLIEST, _LATEST = 1e-3, 1e9
"""ns: quantiles are of logarithms of delays between."""


class Times(OfSample):
    """Delays of the crystals of a window.

    Parameters
    ----------
    kinds
        (kinds,) PDG numbers.
    window
        Rows and columns.
    ionisation
        What tells outcomes apart, where that is wanted.

    Attributes
    ----------
    noise
        Standard normal numbers per shower.
    table
        (kinds * outcomes * momenta * rings * energies, quantiles) logarithms of delays in ns, to a
        few per mille; outcomes are ionised or not.
    common
        (rings,) weight of what the numbers of a shower's crystals have in common.
    """

    kinds: Tensor
    ring: Tensor
    table: Tensor
    common: Tensor
    first: Tensor
    step: Tensor
    borders: Tensor

    def __init__(
        self, kinds: Tensor, window: tuple[int, int], ionisation: Ionisation | None = None
    ) -> None:
        super().__init__()
        self.ionisation = ionisation
        self.outcomes = 1 if ionisation is None else 2
        rows, columns = window
        row = (torch.arange(rows) - rows // 2).abs().repeat_interleave(columns)
        column = (torch.arange(columns) - columns // 2).abs().repeat(rows)
        ring = torch.maximum(row, column)
        self.window, self.rings = window, int(ring.max()) + 1
        self.energies = len(_ENERGIES) + 1
        self.noise = 2 + rows * columns
        self.register_buffer("kinds", kinds.clone())
        self.register_buffer("ring", ring)
        count = len(kinds) * self.outcomes * _MOMENTA * self.rings * self.energies
        start = torch.full((count, _QUANTILES), math.log(_EARLIEST), dtype=torch.float16)
        self.register_buffer("table", start)
        self.register_buffer("common", torch.zeros(self.rings))
        self.register_buffer("first", torch.zeros(()))
        self.register_buffer("step", torch.ones(()))
        self.register_buffer("borders", torch.tensor(_ENERGIES))

    def forward(
        self,
        noise: Tensor,
        pdg: Tensor,
        conditions: Tensor,
        total: Tensor,
        of: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """Delays (D,) in ns of crystals.

        Parameters
        ----------
        noise
            (N, noise) standard normal numbers of showers.
        pdg, conditions
            (N,) kinds and (N, conditions) of showers, mirrored.
        total
            (N,) GeV, of all of the window's crystals.
        of
            (D,) shower, cell and energy (GeV) of each crystal.
        """
        shower, cell, energy = of
        point = (conditions[:, 0].log() - self.first) / self.step
        # Chance takes one of the two points around: what changes with the momentum has no steps.
        point = (point + uniform_of(noise[:, 0])).floor().clamp(0, _MOMENTA - 1).long()
        table = (self._kind(pdg, conditions, total) * _MOMENTA + point)[shower]
        ring = self.ring[cell]
        level = (energy[:, None] >= self.borders).to(torch.int64).sum(1)
        first = ((table * self.rings + ring) * self.energies + level) * _QUANTILES
        common = self.common[ring]
        own = noise.flatten()[shower * self.noise + 2 + cell]
        normal = common * noise[:, 1][shower] + (1 - common**2).sqrt() * own
        place = (normal + _FARTHEST) * ((_QUANTILES - 1) / (2 * _FARTHEST))
        place = place.clamp(0.0, _QUANTILES - 1 - 1e-3)
        below = place.floor()
        values, index = self.table.flatten(), first + below.long()
        low, high = (values[at].to(torch.float32) for at in (index, index + 1))
        return (low + (place - below) * (high - low)).exp()

    def _kind(self, pdg: Tensor, conditions: Tensor, total: Tensor) -> Tensor:
        """Number (N,) of kind and outcome."""
        kind: Tensor = number_of(pdg, self.kinds)
        if self.ionisation is None:
            return kind
        ratio = total / self.ionisation(pdg, conditions)[1].clamp(min=1e-6)
        ionised = (ratio > IONISED_WITHIN[0]) & (ratio < IONISED_WITHIN[1])
        both: Tensor = 2 * kind + ionised.to(kind.dtype)
        return both

    def fit(self, sample: Sample, inside: Deposits) -> None:
        """Take the delays of a sample.

        Parameters
        ----------
        sample
            N showers.
        inside
            Their deposits in the window; those of which no time is known are left out.
        """
        logarithm = sample.conditions[:, 0].double().log().numpy()
        first = float(logarithm.min())
        step = max(float(logarithm.max() - first) / (_MOMENTA - 1), 1e-6)
        self.first.fill_(first)
        self.step.fill_(step)
        inside = inside.where(np.isfinite(inside.delay))
        if not len(inside.delay):
            return
        shower = inside.shower
        total = sample.energies.sum(1)
        kind = self._kind(sample.pdg, sample.conditions, total).numpy()[shower]
        point = np.rint((logarithm - first) / step).clip(0, _MOMENTA - 1).astype(np.int64)[shower]
        places = place_in_whole(self.window)
        of_place = np.full(int(places.max()) + 1, -1)
        of_place[places] = np.arange(len(places))
        ring = self.ring.numpy()[of_place[inside.place]]
        energy = np.searchsorted(np.array(_ENERGIES), inside.energy, side="right")
        delay = np.log(np.clip(inside.delay.astype(np.float64), _EARLIEST, _LATEST))
        sizes = (len(self.kinds) * self.outcomes, _MOMENTA, self.rings, self.energies)
        tables = _quantiles(delay, (kind, point, ring, energy), sizes)
        row = np.ravel_multi_index((kind, point, ring, energy), sizes)
        tables = tables.reshape(-1, _QUANTILES)
        self.table = torch.from_numpy(tables.astype(np.float16))
        common = _common(tables, row, delay, shower, ring, self.rings)
        self.common = torch.from_numpy(common.astype(np.float32))


def _levels() -> Floats:
    """Probabilities (quantiles,) of the quantiles."""
    normal = torch.linspace(-_FARTHEST, _FARTHEST, _QUANTILES, dtype=torch.float64)
    levels: Floats = uniform_of(normal).numpy()
    return levels


def _quantiles(values: Floats, classes: tuple[Indices, ...], sizes: tuple[int, ...]) -> Floats:
    """Quantiles (*sizes, quantiles) of values (D,) in classes.

    Where there are too few, of momenta around, then of slow or fast ones, then of all energies, of
    the same kind, outcome and distance: what fast muons knock out is prompt, whatever hadrons leave
    there, or slow muons.
    """
    levels = _levels()
    found = np.full((*sizes, _QUANTILES), np.nan)
    # From all that is so far away to one class.
    for kept, width in (
        ((2,), 1),
        ((2, 3), 1),
        ((0, 2), 1),
        ((0, 2, 3), 1),
        ((0, 1, 2), _HALF),
        ((0, 1, 2, 3), _HALF),
        ((0, 1, 2, 3), _NEAR),
        ((0, 1, 2, 3), 1),
    ):
        along = (classes[0], classes[1] // width, *classes[2:])
        some = tuple(sizes[axis] for axis in kept)
        of = np.ravel_multi_index(tuple(along[axis] for axis in kept), some)
        order = np.argsort(of, kind="stable")
        counts = np.bincount(of, minlength=int(np.prod(some)))
        ends = np.cumsum(counts)
        for one in np.flatnonzero(counts >= (_LEAST if len(kept) > 1 else 1)):
            part = values[order[ends[one] - counts[one] : ends[one]]]
            where: list[slice | int] = [slice(None)] * len(sizes)
            for axis, number in zip(kept, np.unravel_index(one, some), strict=True):
                first = int(number) * width
                where[axis] = slice(first, first + width) if axis == 1 else int(number)
            found[tuple(where)] = np.quantile(part, levels)
    # No shower has anything so far away.
    anywhere: Floats = np.quantile(values, levels)
    return np.where(np.isnan(found), anywhere, found)


def _common(
    tables: Floats, row: Indices, values: Floats, shower: Indices, ring: Indices, rings: int
) -> Floats:
    """Weights (rings,) of what deposits of one shower have in common."""
    levels = _levels()
    # Places in the tables, row by row: rows are apart by more than any of them spans.
    low, span = tables.min(), tables.max() - tables.min() + 1.0
    whole = (tables - low + span * np.arange(len(tables))[:, None]).ravel()
    at = np.interp(values - low + span * row, whole, np.tile(levels, len(tables)))
    normal = math.sqrt(2) * torch.erfinv(torch.from_numpy(2 * at.clip(5e-3, 0.995) - 1)).numpy()
    result = np.zeros(rings)
    for one in range(rings):
        rows = np.flatnonzero(ring == one)
        count = np.bincount(shower[rows])
        total = np.bincount(shower[rows], normal[rows])
        square = np.bincount(shower[rows], normal[rows] ** 2)
        pairs = float((count * (count - 1.0)).sum())
        if pairs >= _LEAST:
            covariance = float((total**2 - square).sum()) / pairs
            result[one] = covariance / max(float(square.sum()) / float(count.sum()), 1e-9)
    # The crystal that is entered is alone at its distance: it goes with those beside it.
    if rings > 1:
        result[0] = result[1]
    weights: Floats = np.sqrt(result.clip(0.0, 0.9))
    return weights

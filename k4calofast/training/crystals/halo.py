"""Halo: what showers leave in crystals outside of the window, from showers of the sample.

Photons that come back from the front of a crystal, neutrons and what decays go anywhere, one
crystal here and one there: few numbers with little structure, where a network would have thousands
of places to learn. So patterns of the sample's showers are kept, in bins of kind and conditions
(`k4calofast.training.crystals.bins`): hard deposits one by one, and how many soft ones there are,
near and far. Soft ones are drawn from a pool, of all showers of a few bins together, in short runs
of what lay beside each other. Photons and electrons have few deposits, in clusters: all of theirs
count as hard.

A photon or electron gets the pattern of a shower of its bin which misses as much energy in the
window: what is missing there, and what of it is found outside, belong together, whatever the
momentum is. Of a hadron or muon, most of what is missing is never seen, so that it is a shower of
which as much is seen: what ionises alone has no halo, whatever the momentum is. Hard energies are
scaled by what is missing, over what was missing with the pattern. No more is found outside than is
missing; if need be, all energies are scaled down. Showers of which the window has nothing are like
each other, though they miss all they have.

Patterns are fewer than showers that get one, and whoever compares would find the same halo again
and again. Most of a halo is soft, and not the same twice. Hard deposits that are far away are moved
a bit, as one crystal there is like the next, and all energies differ a bit from those kept.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from k4calofast.arrays import Floats, Floats32, Indices
from k4calofast.showers.crystals.outcomes import SHOWERING
from k4calofast.training.crystals import patterns
from k4calofast.training.crystals.bins import Bins
from k4calofast.training.crystals.chance import PRIME, again, chances
from k4calofast.training.crystals.deposits import WHOLE, Deposits, around, place_at
from k4calofast.training.crystals.patterns import CLASSES, NEAR, RUN, Size
from k4calofast.training.crystals.sample import ELECTRON_MASS, Sample
from k4calofast.training.crystals.tables import OfSample
from k4calofast.training.sums import sums

_AROUND = 2
"""Patterns on either side of a shower's rank, among which chance decides."""

_MOST = 255
"""Deposits of a class in a pattern; of more hard ones, those of most energy are kept."""

_POOLED, _POOL = 2, 512
"""Halvings of the showers of a kind, and soft deposits of a class that each of the parts keeps."""

_MANY = 6
"""Soft deposits of a class, from which their number varies."""

_MOVED = (2, 4)
"""Rows and columns that hard deposits which are far away are moved by, at most."""

_ALL = 6e4
"""GeV: more than any shower misses, in half precision, too."""

_FIRST_ENERGY, _ENERGIES = math.log(1e-5), 10.0
_FIRST_DELAY, _DELAYS = math.log(1e-3), 10.0
"""Of codes of 8 bits: logarithm of the first value (GeV, ns), and codes in a factor e. Between two
are 10 %, which is less than energies vary."""

_SPREAD = 0.2
"""By which energies and large numbers differ from those that are kept, at most: these are used
often, and the same sums of energy again and again would tell them from other showers."""

_LINE = 255
"""Code of the line of annihilation. A tenth of all deposits are on it, and stay there: all of the
energy of a photon, from an electron and a positron at rest."""

_ON_LINE = 2e-4
"""How far from the energy of the line, relatively, those on it are, at most."""


class Found(NamedTuple):
    """Deposits of N showers, (N, M) each, as many as a pattern may have.

    Attributes
    ----------
    number
        Of the deposit, among all that are kept; see `Halo.places_of` and `Halo.delays_of`.
    energy
        GeV; 0 where there is none.
    """

    number: Tensor
    energy: Tensor


class Halo(OfSample):
    """Patterns of deposits outside the window, in bins of kind and conditions.

    Parameters
    ----------
    kinds
        (kinds,) PDG numbers.
    threshold
        GeV; less is not kept.

    Attributes
    ----------
    missing
        (bins, patterns) GeV that are missing in the window, or that are seen there, ascending;
        `_ALL` where all are missing.
    lost
        (bins * patterns,) GeV that are missing in the window, of all patterns.
    starts
        (bins * patterns,) where the hard deposits of a pattern start.
    counts
        (bins * patterns, classes) deposits of each class.
    places, energies, delays
        (D,) of deposits, in codes: those of the pools, class by class, then hard ones. The row of
        those in pools that are far around is that of the calorimeter, not from the one entered.
    of, number
        (M,) class of each deposit that a pattern may have, and its number there.
    line
        GeV of the line of annihilation, as in the sample to the last bit.
    """

    missing: Tensor
    lost: Tensor
    starts: Tensor
    counts: Tensor
    places: Tensor
    energies: Tensor
    delays: Tensor
    of: Tensor
    number: Tensor
    soft: Tensor
    line: Tensor

    noise = 6

    def __init__(self, kinds: Tensor, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.bins = Bins(kinds, 0)
        for name, dtype in (
            ("missing", torch.float16),
            ("lost", torch.float16),
            ("starts", torch.int32),
            ("counts", torch.uint8),
            ("places", torch.int16),
            ("energies", torch.uint8),
            ("delays", torch.uint8),
            ("of", torch.int64),
            ("number", torch.int64),
        ):
            self.register_buffer(name, torch.zeros(0, dtype=dtype))
        self.register_buffer("soft", (torch.arange(CLASSES) > 0).float(), persistent=False)
        self.register_buffer("line", torch.tensor(ELECTRON_MASS))

    def fit(
        self, sample: Sample, outside: Deposits, entered: Tensor, size: Size, seed: int
    ) -> None:
        """Keep patterns of a sample.

        Parameters
        ----------
        sample
            What the window has of the showers.
        outside
            Their deposits outside the window.
        entered
            (N,) rows of the crystals that they entered.
        size
            What is kept.
        seed
            Of the choice of showers.
        """
        random = np.random.default_rng(seed)
        pdg, kinds = sample.pdg.numpy(), self.bins.kinds.tolist()
        of_kinds = [random.permutation(np.flatnonzero(pdg == kind)) for kind in kinds]
        fewest = min(len(rows) for rows in of_kinds)
        outside = patterns.with_delays(outside, pdg, sample.conditions[:, 0].numpy(), random)
        hard = patterns.counted(outside, patterns.classes(outside, pdg))[:, 0].clip(max=_MOST)
        # As many of each kind, and as many as there is room for.
        mean = sum(float(hard[rows].mean()) for rows in of_kinds)
        room = min(fewest, size.patterns // len(kinds), int(size.hard / max(mean, 1e-9)))
        depth = int(math.log2(max(room / size.bin, 1)))
        chosen = np.concatenate([rows[: (fewest >> depth) << depth] for rows in of_kinds])
        few, kept = sample.take(torch.from_numpy(chosen)), outside.take(chosen)
        missing, lost = self.missed(few.pdg, few.energies, few.available)
        seen = np.bincount(kept.shower, kept.energy, len(few)) / few.available.double().numpy()
        number = np.diff(kept.offsets)
        targets = torch.from_numpy(np.stack([np.sqrt(seen) * 3, np.sqrt(number) / 3], 1))
        share = (lost / few.available).double().clamp(min=0.0)
        targets = torch.cat([targets, share[:, None].sqrt()], 1)
        self.bins = Bins(self.bins.kinds, depth)
        order = self.bins.fit(few.pdg, few.conditions, targets)
        pool = np.empty(order.numel(), np.int64)
        pool[order.numpy()] = self._pool(torch.arange(len(order))).numpy()[:, None]
        order = order.gather(1, missing[order].argsort(dim=1, stable=True))
        of_seed = torch.Generator().manual_seed(seed)
        told = patterns.richness(kept, len(few))
        order = patterns.typical(order, told, max(room >> depth, 1), of_seed)
        order = order.gather(1, missing[order].argsort(dim=1, stable=True))
        self.missing = missing[order].half()
        self.lost = lost[order].flatten().clamp(min=0.0).half()
        of = patterns.classes(kept, few.pdg.numpy())
        hard = self._patterns(kept, of, order.flatten().numpy())
        pools = patterns.pools(kept, of, pool, _POOL, random)
        self._store(kept, pools, hard, entered.numpy()[chosen])

    def _pool(self, of: Tensor) -> Tensor:
        """Pools (N,) of bins (N,)."""
        return of.div(1 << max(self.bins.depth - _POOLED, 0), rounding_mode="floor")

    def _patterns(self, kept: Deposits, of: Indices, showers: Indices) -> Indices:
        """Keep counts of showers (P,), and return their hard deposits, one after the other."""
        counts = patterns.counted(kept, of)
        # Those of most energy first, shower by shower.
        hard = np.flatnonzero(of == 0)
        hard = hard[np.lexsort((-kept.energy[hard], kept.shower[hard]))]
        first = (counts[:, 0].cumsum() - counts[:, 0])[showers]
        counts = counts[showers].clip(max=_MOST)
        starts = counts[:, 0].cumsum() - counts[:, 0]
        self.starts = torch.from_numpy(starts.astype(np.int32))
        self.counts = torch.from_numpy(counts.astype(np.uint8))
        most = counts.max(0, initial=1)
        most[1:] = (most[1:] * (1 + _SPREAD)).astype(np.int64) + 1
        self.of = torch.from_numpy(np.repeat(np.arange(CLASSES), most))
        self.number = torch.cat([torch.arange(int(n)) for n in most])
        within = np.arange(counts[:, 0].sum()) - np.repeat(starts, counts[:, 0])
        result: Indices = hard[np.repeat(first, counts[:, 0]) + within]
        return result

    def _store(self, kept: Deposits, pools: Indices, hard: Indices, entered: Indices) -> None:
        """Keep deposits of pools (pools, classes - 1, `_POOL`), -1 where there are none; others."""
        number = np.append(pools, hard)
        soft = np.arange(len(number)) < pools.size
        # What there is not is never asked for.
        there = number >= 0
        place, shower = kept.place[number[there]], kept.shower[number[there]]
        row, column = np.divmod(place, WHOLE[1])
        around_far = soft[there] & (np.abs(column - WHOLE[1] // 2) > NEAR)
        row += np.where(around_far, entered[shower], 0)
        energy, delay = (np.ones(len(number), np.float32) for _ in range(2))
        places = np.zeros(len(number), np.int64)
        places[there] = row * WHOLE[1] + column
        energy[there], delay[there] = kept.energy[number[there]], kept.delay[number[there]]
        on_line = np.abs(energy / ELECTRON_MASS - 1) < _ON_LINE
        values, of_each = np.unique(energy[on_line], return_counts=True)
        if len(values):
            self.line.fill_(float(values[of_each.argmax()]))
        codes = _coded(energy, _FIRST_ENERGY, _ENERGIES, _LINE - 1)
        self.energies = torch.where(torch.from_numpy(on_line), _LINE, codes)
        self.places = _of_16_bits(places)
        self.delays = _coded(delay, _FIRST_DELAY, _DELAYS, 255)

    @staticmethod
    def missed(pdg: Tensor, energies: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """GeV (N,) by which patterns are found, see `missing`, and that are missing."""
        seen = sums(energies)
        lost = available - seen
        showering = (pdg[:, None] == pdg.new_tensor(SHOWERING)).any(1)
        return torch.where(
            seen > 0, torch.where(showering, lost, seen), torch.full_like(lost, _ALL)
        ), lost

    def forward(
        self, uniform: Tensor, pdg: Tensor, conditions: Tensor, energies: Tensor, available: Tensor
    ) -> Found:
        """Deposits outside of windows.

        Parameters
        ----------
        uniform
            (N, `noise`) random numbers.
        pdg, conditions
            (N,) and (N, conditions), mirrored.
        energies, available
            (N, cells) of the windows, and (N,), GeV.
        """
        missing, lost = self.missed(pdg, energies, available)
        of = self.bins.near(pdg, conditions, uniform[:, 1])
        pattern = self._ranked(uniform[:, :1], of, missing)
        counts = self._varied(self.counts[pattern].to(torch.float32), uniform[:, 2:4])
        there = self.number < counts[:, self.of]
        shower, column = there.nonzero().unbind(1)
        kind, within, seeds = self.of[column], self.number[column], uniform[shower, 2:4]
        # Soft ones in runs: the chance of the first is that of all of its run.
        run, chance = chances(seeds, column - within % RUN), chances(seeds, column)
        drawn = (self._pool(of)[shower] * (CLASSES - 1) + kind - 1) * _POOL
        drawn = drawn + run % (_POOL // RUN) * RUN + within % RUN
        own = self.pooled + self.starts[pattern].to(torch.int64)[shower] + within
        hard = kind == 0
        number = torch.where(hard, own, drawn)
        code = self.energies[number].to(torch.float32)
        spread = 1 + _SPREAD * (2 * again(chance).to(torch.float32) / PRIME - 1)
        left = lost.clamp(min=0.0)
        ratio = (left / self.lost[pattern].to(torch.float32).clamp(min=1e-6)).clamp(0.5, 2.0)
        energy = (code / _ENERGIES + _FIRST_ENERGY).exp() * spread
        energy = torch.where(hard, energy * ratio[shower], energy)
        # What varies to below the threshold comes back above it.
        below = (energy > self.threshold * (1 - _SPREAD)) & (energy < self.threshold)
        energy = torch.where(below, self.threshold**2 / energy.clamp(min=1e-9), energy)
        columns = len(self.of)
        place = shower * columns + column

        def placed(values: Tensor) -> Tensor:
            """Return values (D,) where they belong (N, M)."""
            empty = torch.zeros_like(there, dtype=values.dtype).flatten()
            return empty.scatter(0, place, values).reshape(-1, columns)

        on_line, zero = code == _LINE, torch.zeros_like(energy)
        line = placed(torch.where(on_line, zero + self.line, zero))
        energy = placed(torch.where(on_line, zero, energy))
        line = torch.where(sums(line)[:, None] > left[:, None], torch.zeros_like(line), line)
        scale = ((left - sums(line)) / sums(energy).clamp(min=1e-9)).clamp(max=1.0)
        energy = energy * scale[:, None]
        energy = torch.where(energy > self.threshold, energy, torch.zeros_like(energy)) + line
        return Found(placed(number), energy)

    @property
    def pooled(self) -> int:
        """Deposits in pools."""
        return (self.bins.count >> max(self.bins.depth - _POOLED, 0)) * (CLASSES - 1) * _POOL

    def _varied(self, counts: Tensor, uniform: Tensor) -> Tensor:
        """Counts (N, classes) that differ a bit from those of patterns, where they are many."""
        # Beyond all deposits, which have chances of their own.
        place = len(self.of) + torch.arange(CLASSES, device=counts.device)
        each = uniform[:, None].expand(-1, CLASSES, -1).flatten(0, 1)
        chance = chances(each, place.expand(counts.shape).flatten())
        by = [
            part.to(torch.float32).reshape(-1, CLASSES) / PRIME for part in (chance, again(chance))
        ]
        varied = (counts * (1 + _SPREAD * (2 * by[0] - 1)) + by[1]).floor()
        many = counts * self.soft >= _MANY
        return torch.where(many, varied, counts).to(torch.int64)

    def _ranked(self, uniform: Tensor, of: Tensor, missing: Tensor) -> Tensor:
        """Patterns (N,) of bins (N,) about where these energies (N,) come among theirs."""
        stored, size = self.missing[of].to(torch.float32), self.missing.shape[1]
        ones = stored.new_ones(size, 1)
        # Whole numbers, whose sums are exact in any order.
        below = (stored < missing[:, None]).to(stored.dtype) @ ones
        equal = (stored == missing[:, None]).to(stored.dtype) @ ones
        # Among showers that miss exactly as much each is as good.
        around = torch.where(equal > 0, torch.zeros_like(below), _AROUND + torch.zeros_like(below))
        rank = below - around + uniform * (equal + 2 * around)
        rank = rank.floor().clamp(0, size - 1).to(torch.int64)
        return of * size + rank[:, 0]

    def places_of(self, number: Tensor, uniform: Tensor, entered: Tensor) -> Tensor:
        """Places (D,) in `WHOLE`, mirrored, of deposits (D,).

        Parameters
        ----------
        number
            Of the deposits.
        uniform
            (D, `noise`) random numbers of their showers.
        entered
            (D,) rows of the crystals that those entered.
        """
        down, across = around(self.places[number].to(torch.int64))
        hard = number >= self.pooled
        absolute = ~hard & (across.abs() > NEAR)
        down = down - torch.where(absolute, entered, torch.zeros_like(entered))
        far = hard & ((down.abs() > NEAR) | (across.abs() > NEAR))
        by = [
            ((2 * most + 1) * uniform[:, 4 + which]).floor() - most
            for which, most in enumerate(_MOVED)
        ]
        down, across = (
            at + torch.where(far, move, torch.zeros_like(move)).to(torch.int64)
            for at, move in zip((down, across), by, strict=True)
        )
        # Once around is back again.
        half = WHOLE[1] // 2
        across = across - torch.where(across.abs() > half, 2 * half * across.sign(), 0)
        down = down.clamp(-(WHOLE[0] // 2), WHOLE[0] // 2)
        return place_at(down, across)

    def delays_of(self, number: Tensor, uniform: Tensor) -> Tensor:
        """Delays (D,) in ns of deposits (D,); see `places_of`."""
        chance = chances(uniform[:, 2:4], number).to(torch.float32) / PRIME
        code = self.delays[number].to(torch.float32) + chance - 0.5
        return (code / _DELAYS + _FIRST_DELAY).exp()


def _of_16_bits(values: Indices | Floats) -> Tensor:
    return torch.from_numpy(values.clip(-(1 << 15), (1 << 15) - 1).astype(np.int16))


def _coded(values: Floats32, first: float, scale: float, last: int) -> Tensor:
    """Codes of the logarithms of values, from 0 to the last."""
    logarithm = np.log(np.maximum(values.astype(np.float64), math.exp(first)))
    codes = np.rint((logarithm - first) * scale).clip(0, last)
    return torch.from_numpy(codes.astype(np.uint8))

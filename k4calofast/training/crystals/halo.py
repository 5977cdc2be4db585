"""Halo: what showers leave in crystals outside of the window, from showers of the sample.

Photons that come back from the front of a crystal, neutrons and what decays go anywhere, one
crystal here and one there: few numbers with little structure, where a network would have thousands
of places to learn. So patterns of the sample's showers are kept, place by place, in bins of kind
and conditions (`k4calofast.training.crystals.bins`).

A photon or electron gets the pattern of a shower of its bin which misses as much energy in the
window: what is missing there, and what of it is found outside, belong together, whatever the
momentum is. Of a hadron or muon, most of what is missing is never seen, so that it is a shower of
which as much is seen: what ionises alone has no halo, whatever the momentum is. Large
energies are scaled by what is missing, over what was missing with the pattern. No more is found
outside than is missing; if need be, all of the pattern's energies are scaled down. Showers of which
the window has nothing are like each other, though they miss all they have.

Patterns are fewer than showers that get one, and whoever compares would find the same halo again
and again. So a pattern has parts, which come from showers of their own: large energies, which make
up what is missing, and small ones by where they are, which know little of each other. What is far
away is moved a bit, as one crystal there is like the next.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from k4calofast.arrays import Floats, Floats32, Indices
from k4calofast.showers.crystals.outcomes import SHOWERING
from k4calofast.training.crystals.bins import Bins
from k4calofast.training.crystals.deposits import WHOLE, Deposits, around, place_at
from k4calofast.training.crystals.sample import ELECTRON_MASS, Sample
from k4calofast.training.crystals.tables import OfSample
from k4calofast.training.crystals.variables import EDGE
from k4calofast.training.sums import sums

_AROUND = 2
"""Patterns on either side of a shower's rank, among which chance decides."""

_TOGETHER = 4
"""Patterns that are chosen together from showers that miss about as much."""

_MOST_PER_SHOWER = 255
"""Deposits of a pattern; of more, those of most energy are kept."""

_LARGE = 1e-3
"""GeV: larger energies are one part of a pattern."""

_NEAR = 15
"""Rows and columns from the crystal entered, within which deposits are not moved."""

_PARTS = 4
"""Of a pattern: large energies, and small ones near, on the one side, and on the other."""

_ALIKE = 5.0
"""Ranks by the number of small deposits, from which patterns for their parts are."""

_FEW = 12
"""Small deposits, of fewer of which patterns keep all their own."""

_MOVED = (2, 4)
"""Rows and columns that deposits are moved by, at most."""

_ALL = 6e4
"""GeV: more than any shower misses, in half precision, too."""

_FIRST_ENERGY, _ENERGIES = math.log(1e-5), 10.0
_FIRST_DELAY, _DELAYS = math.log(1e-3), 10.0
"""Of codes of 8 bits: logarithm of the first value (GeV, ns), and codes in a factor e. Between two
are 10 %, which is less than energies of a pattern vary."""

_SPREAD = 0.2
"""By which energies differ from those of the pattern, at most: patterns are used often, and the
same sums of energy again and again would tell them from other showers."""

_LINE = 255
"""Code of the line of annihilation. A tenth of all deposits are on it, and stay there: all of the
energy of a photon, from an electron and a positron at rest."""

_ON_LINE = 2e-4
"""How far from the energy of the line, relatively, those on it are, at most."""

_GOLDEN = (math.sqrt(5) - 1) / 2


class Found(NamedTuple):
    """Deposits of N showers, (N, M) each, as many as the richest pattern has.

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
        (bins * patterns + 1,) where the deposits of a pattern start.
    ends
        (bins * patterns, parts) where those of its parts end, from there.
    places, energies, delays
        (D,) of deposits, in codes.
    few
        (bins,) patterns that keep all their own small deposits.
    line
        GeV of the line of annihilation, as in the sample to the last bit.
    rank, ranked
        (bins * patterns,) of a pattern by its number of small deposits, among those of its bin, and
        the pattern of each rank.
    """

    missing: Tensor
    lost: Tensor
    starts: Tensor
    ends: Tensor
    places: Tensor
    energies: Tensor
    delays: Tensor
    numbers: Tensor
    part: Tensor
    rank: Tensor
    ranked: Tensor
    few: Tensor
    line: Tensor

    noise = _PARTS + 4

    def __init__(self, kinds: Tensor, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.bins = Bins(kinds, 0)
        for name, dtype in (
            ("missing", torch.float16),
            ("lost", torch.float16),
            ("starts", torch.int32),
            ("ends", torch.uint8),
            ("places", torch.int16),
            ("energies", torch.uint8),
            ("delays", torch.uint8),
            ("numbers", torch.int64),
            ("part", torch.int64),
            ("rank", torch.int16),
            ("ranked", torch.int16),
            ("few", torch.int16),
        ):
            self.register_buffer(name, torch.zeros(0, dtype=dtype))
        self.register_buffer("line", torch.tensor(ELECTRON_MASS))

    def fit(self, sample: Sample, outside: Deposits, bin_size: int, most: int, seed: int) -> None:
        """Keep patterns of a sample.

        Parameters
        ----------
        sample
            What the window has of the showers.
        outside
            Their deposits outside the window.
        bin_size
            Patterns in a bin, at least.
        most
            Deposits that are kept, at most.
        seed
            Of the choice of showers.
        """
        random = np.random.default_rng(seed)
        pdg = sample.pdg.numpy()
        counts = np.minimum(np.diff(outside.offsets), _MOST_PER_SHOWER)
        kinds = self.bins.kinds.tolist()
        of_kinds = [random.permutation(np.flatnonzero(pdg == kind)) for kind in kinds]
        fewest = min(len(rows) for rows in of_kinds)
        # As many of each kind, and as many as there is room for.
        mean = sum(float(counts[rows].mean()) for rows in of_kinds)
        room = min(fewest, max(int(most / max(mean, 1e-9)), 1))
        depth = int(math.log2(max(room / bin_size, 1)))
        chosen = np.concatenate([rows[: (fewest >> depth) << depth] for rows in of_kinds])
        outside = replace(outside, delay=_with_delays(outside, pdg, random))
        few, kept = sample.take(torch.from_numpy(chosen)), outside.take(chosen)
        missing, lost = self.missed(few.pdg, few.energies, few.available)
        seen = np.bincount(kept.shower, kept.energy, len(few)) / few.available.double().numpy()
        number = np.diff(kept.offsets)
        targets = torch.from_numpy(np.stack([np.sqrt(seen) * 3, np.sqrt(number) / 3], 1))
        share = (lost / few.available).double().clamp(min=0.0)
        targets = torch.cat([targets, share[:, None].sqrt()], 1)
        self.bins = Bins(self.bins.kinds, depth)
        order = self.bins.fit(few.pdg, few.conditions, targets)
        order = order.gather(1, missing[order].argsort(dim=1, stable=True))
        of_seed = torch.Generator().manual_seed(seed)
        order = _typical(order, torch.from_numpy(number), max(room >> depth, 1), of_seed)
        order = order.gather(1, missing[order].argsort(dim=1, stable=True))
        self.missing = missing[order].half()
        self.lost = lost[order].flatten().clamp(min=0.0).half()
        self._store(kept.take(order.flatten().numpy()))

    def _store(self, kept: Deposits) -> None:
        # Those of most energy first, shower by shower.
        order = np.lexsort((-kept.energy, kept.shower))
        number = np.arange(len(order)) - kept.offsets[kept.shower]
        order = order[number < _MOST_PER_SHOWER]
        part = kept.shower * _PARTS + _parts(kept)
        order = order[part[order].argsort(kind="stable")]
        counts = np.bincount(part[order], minlength=(len(kept.offsets) - 1) * _PARTS)
        counts = counts.reshape(-1, _PARTS)
        self.starts = torch.from_numpy(np.append(0, counts.sum(1).cumsum()).astype(np.int32))
        self.ends = torch.from_numpy(counts.cumsum(1).astype(np.uint8))
        energy = kept.energy[order]
        on_line = np.abs(energy / ELECTRON_MASS - 1) < _ON_LINE
        values, of_each = np.unique(energy[on_line], return_counts=True)
        if len(values):
            self.line.fill_(float(values[of_each.argmax()]))
        energies = _coded(energy, _FIRST_ENERGY, _ENERGIES, _LINE - 1)
        self.energies = torch.where(torch.from_numpy(on_line), _LINE, energies)
        self.places = _of_16_bits(kept.place[order])
        self.delays = _coded(kept.delay[order], _FIRST_DELAY, _DELAYS, 255)
        if not len(order):
            self.places = torch.zeros(1, dtype=torch.int16)
            self.energies, self.delays = (torch.zeros(1, dtype=torch.uint8),) * 2
        small = counts[:, 1:].sum(1).reshape(self.missing.shape)
        ranked = small.argsort(1, kind="stable")
        self.ranked = _of_16_bits(ranked.ravel())
        self.rank = _of_16_bits(ranked.argsort(1, kind="stable").ravel())
        self.few = _of_16_bits((small < _FEW).sum(1))
        most = counts.max(0, initial=0).tolist()
        self.part = torch.from_numpy(np.repeat(np.arange(_PARTS), [max(n, 1) for n in most]))
        self.numbers = torch.cat([torch.arange(max(n, 1)) for n in most])

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
        of = self.bins.near(pdg, conditions, uniform[:, _PARTS + 3])
        stored, size = self.missing[of].to(torch.float32), self.missing.shape[1]
        ones = stored.new_ones(size, 1)
        # Whole numbers, whose sums are exact in any order.
        below = (stored < missing[:, None]).to(stored.dtype) @ ones
        equal = (stored == missing[:, None]).to(stored.dtype) @ ones
        # Among showers that miss exactly as much each is as good.
        around = torch.where(equal > 0, torch.zeros_like(below), _AROUND + torch.zeros_like(below))
        rank = below - around + uniform[:, :1] * (equal + 2 * around)
        first = of[:, None] * size + rank.floor().clamp(0, size - 1).to(torch.int64)
        # Small ones of patterns with about as many.
        own = self.rank[first].to(rank.dtype)
        away = torch.where(own < self.few[of][:, None], torch.zeros_like(own), _ALIKE + 0 * own)
        alike = own + away * (2 * uniform[:, 1:_PARTS] - 1)
        alike = of[:, None] * size + (alike + 0.5).floor().clamp(0, size - 1).to(torch.int64)
        others = of[:, None] * size + self.ranked[alike].to(torch.int64)
        pattern = torch.cat([first, others], 1)
        start = self.starts[pattern].to(torch.int64)
        parts = torch.arange(_PARTS, device=pattern.device)
        place, ends = pattern * _PARTS + parts, self.ends.flatten()
        # Looked up first and widened then: the exported graph would keep the wide table.
        end = ends[place].to(torch.int64)
        before = ends[(place - 1).clamp(min=0)].to(torch.int64) * (parts > 0)
        within = before[:, self.part] + self.numbers
        there = within < end[:, self.part]
        number = start[:, self.part] + within
        number = number.clamp(max=len(self.places) - 1)
        spread = 1 + _SPREAD * (2 * _each(uniform[:, _PARTS : _PARTS + 1], number) - 1)
        code = self.energies[number].to(torch.float32)
        energy = (code / _ENERGIES + _FIRST_ENERGY).exp()
        zero = torch.zeros_like(energy)
        on_line = there & (code == _LINE)
        left = lost.clamp(min=0.0)
        ratio = (left[:, None] / self.lost[pattern].to(torch.float32).clamp(min=1e-6)).clamp(
            0.5, 2.0
        )
        energy = torch.where(energy > EDGE, energy * ratio[:, self.part], energy) * spread
        # What varies to below the threshold comes back above it.
        below = (energy > self.threshold * (1 - _SPREAD)) & (energy < self.threshold)
        energy = torch.where(below, self.threshold**2 / energy.clamp(min=1e-9), energy)
        energy = torch.where(there & ~on_line, energy, zero)
        line = torch.where(on_line, zero + self.line, zero)
        line = torch.where(sums(line)[:, None] > left[:, None], zero, line)
        scale = ((left - sums(line)) / sums(energy).clamp(min=1e-9)).clamp(max=1.0)
        energy = energy * scale[:, None]
        energy = torch.where(energy > self.threshold, energy, zero) + line
        return Found(number, energy)

    def places_of(self, number: Tensor, uniform: Tensor) -> Tensor:
        """Places (D,) in `WHOLE`, mirrored, of deposits (D,).

        Parameters
        ----------
        number
            Of the deposits.
        uniform
            (D, `noise`) random numbers of their showers.
        """
        place = self.places[number].to(torch.int64)
        down, across = around(place)
        far = (down.abs() > _NEAR) | (across.abs() > _NEAR)
        by = [
            ((2 * most + 1) * uniform[:, _PARTS + 1 + which]).floor() - most
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
        code = self.delays[number].to(torch.float32) + _each(uniform[:, _PARTS], number) - 0.5
        return (code / _DELAYS + _FIRST_DELAY).exp()


def _typical(order: Tensor, number: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Choose so many showers of each bin that they are like all of the bin.

    Parameters
    ----------
    order
        (bins, showers) rows of the sample, by the energy that is missing.
    number
        (N,) of each shower's deposits.
    count
        Of showers to choose.
    random
        Chooses among those that are alike.

    Returns
    -------
    Tensor
        (bins, count) rows: of showers that miss about as much, few, medium and rich ones.
    """
    size = order.shape[1]
    count, chosen = min(count, size), []
    for first in range(0, count, _TOGETHER):
        some = min(_TOGETHER, count - first)
        part = order[:, first * size // count : (first + some) * size // count]
        part = part.gather(1, number[part].argsort(dim=1, stable=True))
        # Any of a quarter, not its middle: tails are long.
        place = torch.rand((len(part), some), generator=random) + torch.arange(some)
        chosen.append(part.gather(1, (place * part.shape[1] / some).long()))
    return torch.cat(chosen, 1)


def _with_delays(deposits: Deposits, pdg: Indices, random: np.random.Generator) -> Floats32:
    """Delays (D,) where those that are not known are those of others, of like kind and energy."""
    delay = deposits.delay.copy()
    kind, shower = np.unique(pdg, return_inverse=True)[1], deposits.shower
    level = np.floor(2 * np.log(deposits.energy)).astype(np.int64)
    of = kind[shower] * 1000 + level
    known = np.isfinite(delay)
    for one in np.unique(of[~known]).tolist():
        wanted = np.flatnonzero((of == one) & ~known)
        there = np.flatnonzero((of == one) & known)
        if not len(there):
            there = np.flatnonzero(known)
        delay[wanted] = delay[random.choice(there, len(wanted))] if len(there) else 0.0
    return delay


def _each(uniform: Tensor, number: Tensor) -> Tensor:
    """Numbers of their own for deposits of one shower, evenly spread between 0 and 1."""
    # Small whole numbers, so that products have digits behind the point.
    spread = uniform + number.remainder(1024).to(torch.float32) * _GOLDEN
    return spread - spread.floor()


def _parts(deposits: Deposits) -> Indices:
    """Parts (D,) of patterns that deposits belong to."""
    down, across = (at.numpy() for at in around(torch.from_numpy(deposits.place)))
    near = (np.abs(down) <= _NEAR) & (np.abs(across) <= _NEAR)
    small = np.where(near, 1, np.where(across < 0, 2, 3))
    return np.where(deposits.energy >= _LARGE, 0, small)


def _of_16_bits(values: Indices | Floats) -> Tensor:
    return torch.from_numpy(values.clip(-(1 << 15), (1 << 15) - 1).astype(np.int16))


def _coded(values: Floats32, first: float, scale: float, last: int) -> Tensor:
    """Codes of the logarithms of values, from 0 to the last."""
    logarithm = np.log(np.maximum(values.astype(np.float64), math.exp(first)))
    codes = np.rint((logarithm - first) * scale).clip(0, last)
    return torch.from_numpy(codes.astype(np.uint8))

"""What a halo keeps of a sample: showers whose patterns are used, and pools of soft deposits."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from k4calofast.arrays import Floats32, Indices
from k4calofast.showers.crystals.outcomes import SHOWERING
from k4calofast.training.crystals.deposits import WHOLE, Deposits, around

LEVELS = (1e-3, 5e-3)
"""GeV: between levels of energy. What is above the last is hard."""

NEAR = 15
"""Rows and columns from the crystal entered, within which deposits are near."""

CLASSES = 1 + 2 * len(LEVELS)
"""Of deposits: hard ones; soft ones that are near, by level; those that are far."""

RUN = 4
"""Soft deposits that are drawn together."""

_BESIDE = 5
"""Columns that are taken together where deposits are put in the order of places."""

_MOMENTA = 3
"""Ranges of momentum in a factor e, within which delays are alike."""

_TOGETHER = 4
"""Patterns that are chosen together from showers that miss about as much."""

_DRAWINGS = 64
"""Choices of patterns of a bin, of which one is taken."""

_RICH = (0.01, 0.025)
"""GeV: where deposits far away are looked at, and what makes a cluster."""


class Size(NamedTuple):
    """What is kept.

    Attributes
    ----------
    patterns, hard
        Patterns and hard deposits, at most.
    bin
        Patterns in a bin, at least.
    """

    patterns: int
    hard: int
    bin: int


def classes(deposits: Deposits, pdg: Indices) -> Indices:
    """Classes (D,) of deposits of showers of kinds (N,), from 0 to `CLASSES`; hard ones are first.

    All of photons, electrons and positrons count as hard: their soft deposits are few, and come in
    clusters that pools would lose.
    """
    down, across = (at.numpy() for at in around(torch.from_numpy(deposits.place)))
    far = (np.abs(down) > NEAR) | (np.abs(across) > NEAR)
    level = np.searchsorted(LEVELS, deposits.energy, side="right")
    level = np.where(np.isin(pdg, SHOWERING)[deposits.shower], len(LEVELS), level)
    soft = 1 + level + far * len(LEVELS)
    result: Indices = np.where(level == len(LEVELS), 0, soft)
    return result


def counted(deposits: Deposits, of: Indices) -> Indices:
    """Deposits (N, classes) of showers in each class, for deposits of classes (D,)."""
    showers = len(deposits.offsets) - 1
    counts = np.bincount(deposits.shower * CLASSES + of, minlength=showers * CLASSES)
    return counts.reshape(showers, CLASSES)


def typical(order: Tensor, told: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Choose so many showers of each bin that they are like all of the bin.

    Parameters
    ----------
    order
        (bins, showers) rows of the sample, by the energy that is missing.
    told
        (N, numbers) of each shower, whose sums shall be as large as those of all; by the first,
        few, medium and rich ones are told apart.
    count
        Of showers to choose.
    random
        Chooses among those that are alike.

    Returns
    -------
    Tensor
        (bins, count) rows: of showers that miss about as much, few, medium and rich ones. What is
        too much of one bin is too little of the next, so that it is right in bins that are near.
    """
    count = min(count, order.shape[1])
    drawn = torch.stack([_drawn(order, told[:, 0], count, random) for _ in range(_DRAWINGS)])
    error = told[drawn].mean(2) - told[order].mean(1)
    error = error / error.flatten(0, 1).std(0).clamp(min=1e-9)
    left, chosen = torch.zeros_like(error[0, 0]), []
    for one, errors in zip(drawn.unbind(1), error.unbind(1), strict=True):
        best = (left + errors).square().sum(1).argmin()
        left = left + errors[best]
        chosen.append(one[best])
    return torch.stack(chosen)


def _drawn(order: Tensor, number: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Rows (bins, count) of showers, by the energy that is missing, and by a number (N,)."""
    size, chosen = order.shape[1], []
    for first in range(0, count, _TOGETHER):
        some = min(_TOGETHER, count - first)
        part = order[:, first * size // count : (first + some) * size // count]
        part = part.gather(1, number[part].argsort(dim=1, stable=True))
        # Any of a quarter, not its middle: tails are long.
        place = torch.rand((len(part), some), generator=random) + torch.arange(some)
        chosen.append(part.gather(1, (place * part.shape[1] / some).long()))
    return torch.cat(chosen, 1)


def richness(deposits: Deposits, showers: int) -> Tensor:
    """Numbers (N, 5) of showers that say how much of a halo they have.

    Deposits, above two energies, too, and energy, of all and of hard ones.
    """
    shower, energy = deposits.shower, deposits.energy.astype(np.float64)
    weights = [np.ones(len(energy)), energy, energy * (energy > LEVELS[-1])]
    weights += [(energy > low).astype(np.float64) for low in _RICH]
    counts = [np.bincount(shower, weight, showers) for weight in weights]
    return torch.from_numpy(np.stack(counts, 1))


def with_delays(
    deposits: Deposits, pdg: Indices, momentum: Floats32, random: np.random.Generator
) -> Deposits:
    """Deposits whose delays, where not known, are those of others that are alike.

    What is late is decided by the kind and by whether it stops: of others of the same kind, of like
    momentum, and of like energy if there are any.

    Parameters
    ----------
    pdg, momentum
        (N,) of the showers; GeV.
    random
        Chooses.
    """
    delay, shower = deposits.delay.copy(), deposits.shower
    kind = np.unique(pdg, return_inverse=True)[1][shower]
    level = np.floor(2 * np.log(deposits.energy)).astype(np.int64)
    rank = np.floor(_MOMENTA * np.log(momentum)).astype(np.int64)[shower]
    left = ~np.isfinite(delay)
    known = np.flatnonzero(~left)
    slow = kind * 1000 + rank
    for alike in (slow * 1000 + level, slow, kind, np.zeros_like(kind)):
        there = known[alike[known].argsort(kind="stable")]
        values, first, count = np.unique(alike[there], return_index=True, return_counts=True)
        wanted = np.flatnonzero(left)
        at = np.searchsorted(values, alike[wanted]).clip(max=max(len(values) - 1, 0))
        found = values[at] == alike[wanted] if len(values) else np.zeros(len(wanted), np.bool_)
        wanted, at = wanted[found], at[found]
        chosen = first[at] + np.floor(random.random(len(wanted)) * count[at]).astype(np.int64)
        delay[wanted] = deposits.delay[there[chosen]]
        left[wanted] = False
    delay[left] = 0.0
    return replace(deposits, delay=delay)


def pools(
    deposits: Deposits, of: Indices, pool: Indices, count: int, random: np.random.Generator
) -> Indices:
    """Choose deposits for pools, of all classes but hard ones, in runs of `RUN`.

    A run is of one shower and of places beside each other, if there are so many: what makes one
    deposit makes more beside it. From the place of one run to the next, each is as far: there are
    as many in every part of the calorimeter as in the sample, which chance has to a tenth.

    Parameters
    ----------
    deposits
        Of N showers.
    of
        (D,) their classes.
    pool
        (N,) that showers belong to.
    count
        Deposits in a pool, a multiple of `RUN`.
    random
        Decides which.

    Returns
    -------
    Indices
        (pools, classes - 1, count) deposits, again and again if there are not so many; -1 where
        there are none.
    """
    number = (int(pool.max(initial=0)) + 1) * CLASSES
    mine = pool[deposits.shower] * CLASSES + of
    down, across = (at.numpy() for at in around(torch.from_numpy(deposits.place)))
    sector = across // _BESIDE
    # Around from anywhere: else, there would be more of where that begins.
    turned = across + random.integers(WHOLE[1], size=len(pool))[deposits.shower]
    order = np.lexsort((down, turned % WHOLE[1] // _BESIDE, deposits.shower, mine))
    ends = np.bincount(mine, minlength=number).cumsum()
    owner = deposits.shower[order] * CLASSES + of[order]
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    within = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
    heads = np.flatnonzero(within % RUN == 0)
    result = np.full((number, count), -1)
    for at, (start, end) in enumerate(zip(np.append(0, ends[:-1]), ends, strict=True)):
        first = heads[np.searchsorted(heads, start) : np.searchsorted(heads, end - RUN + 1)]
        if len(first):
            chance = random.random(len(first))
            first = first[np.lexsort((chance, down[order[first]], sector[order[first]]))]
            place = (np.arange(count // RUN) + random.random()) * (len(first) * RUN / count)
            runs = first[place.astype(np.int64)][:, None] + np.arange(RUN)
            result[at] = order[runs].ravel()
        elif end > start:
            result[at] = np.resize(order[start:end], count)
    return result.reshape(-1, CLASSES, count)[:, 1:]

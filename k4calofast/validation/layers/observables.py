"""Observables of showers in layers, from the hits that are seen.

All are defined for showers without hits, too, as 0 if not said otherwise. Distances are in the
layers' planes, from where the particle's line crosses them; layers are counted from 0.

Sources: [CaloClouds] E. Buhmann et al., "CaloClouds: fast geometry-independent highly-granular
calorimeter simulation", JINST 18 (2023) P11025, arXiv:2305.04847; [High] the same, "Getting high:
high fidelity simulation of high granularity calorimeters with high speed", Comput. Softw. Big Sci.
5 (2021) 13, arXiv:2005.05334.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from k4calofast.arrays import Floats
from k4calofast.validation.layers.hits import SeenShowers, summed
from k4calofast.validation.observables import Observable, ratio

_START = 3.0
"""MIPs in a layer, with which a shower has begun."""

RANGES = (0.0, 0.7, 1.5, 3.0, 10.0, 30.0, np.inf)
"""MIPs between which hits are counted: below, around and above one, and the shower's core."""

_SHARES = {
    f"hits_{low:g}_{high:g}": Observable(
        f"share of hits, {low:g} to {high:g} MIP"
        if np.isfinite(high)
        else f"share of hits above {low:g} MIP",
        "number of them over that of all hits",
    )
    for low, high in pairwise(RANGES)
}

OBSERVABLES = {
    "response": Observable(
        "visible energy / momentum", "sum of E, with what is outside, over momentum", "High"
    ),
    "hits": Observable("hits", "number of cells above the threshold", "High"),
    "depth": Observable("centre of gravity [layers]", "sum of E layer / sum of E", "CaloClouds"),
    "length": Observable("length [layers]", "E-weighted standard deviation of the layers"),
    "radius_energy": Observable("mean radius of energy [mm]", "sum of E r / sum of E"),
    "radius_hits": Observable("mean radius of hits [mm]", "sum of r over number of hits"),
    "spread_energy": Observable(
        "r.m.s. radius of energy [mm]", "root of sum of E r^2 / sum of E", "CaloClouds"
    ),
    "centre_t": Observable("centre of gravity across [mm]", "sum of E x / sum of E", "CaloClouds"),
    "centre_z": Observable("centre of gravity along the beam [mm]", "sum of E y / sum of E"),
    "start": Observable(
        "start [layers]",
        f"first layer with more than {_START:g} MIP; one beyond the last if there is none",
    ),
    "maximum": Observable("maximum [layers]", "layer with most energy"),
    "hottest": Observable("share of the hottest cell", "largest E over sum of E"),
    **_SHARES,
    "delay": Observable("mean delay of hits [ns]", "after light straight from where it entered"),
}
"""Numbers of a shower, in this order."""


COMPARED = (
    "response",
    "hits",
    "depth",
    "length",
    "radius_energy",
    "spread_energy",
    "centre_t",
    "centre_z",
)
"""Observables whose means are compared in bins of the conditions."""


def observables(
    seen: SeenShowers, layers: int, mip: float
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Observables of N showers: numbers (N,), and energies (GeV) and hits in layers (N, L).

    Parameters
    ----------
    layers
        How many there are.
    mip
        GeV.
    """
    count, shower, energy = len(seen), seen.shower, seen.energy
    in_layer = shower * layers + seen.layer
    energies = summed(in_layer, energy, count * layers).reshape(count, layers)
    hits = np.bincount(in_layer, minlength=count * layers).reshape(count, layers).astype(np.float64)
    total, number = energies.sum(1), hits.sum(1)
    layer = np.arange(layers, dtype=np.float64)
    depth = ratio(energies @ layer, total)
    length = ratio(energies @ layer**2, total) - depth**2
    radius = np.hypot(seen.x, seen.y)
    hottest = np.zeros(count)
    np.maximum.at(hottest, shower, energy)
    started = energies > _START * mip
    mips = np.searchsorted(RANGES, energy / mip, side="right") - 1
    shares = np.bincount(shower * len(_SHARES) + mips, minlength=count * len(_SHARES))
    shares = shares.reshape(count, len(_SHARES))
    numbers = {
        # A generator puts into its window what would be outside.
        "response": (total + seen.outside) / seen.momentum,
        "hits": number,
        "depth": depth,
        "length": np.sqrt(np.maximum(length, 0.0)),
        "radius_energy": ratio(summed(shower, energy * radius, count), total),
        "radius_hits": ratio(summed(shower, radius, count), number),
        "spread_energy": np.sqrt(ratio(summed(shower, energy * radius**2, count), total)),
        "centre_t": ratio(summed(shower, energy * seen.x, count), total),
        "centre_z": ratio(summed(shower, energy * seen.y, count), total),
        "start": np.where(started.any(1), started.argmax(1), layers).astype(np.float64),
        "maximum": energies.argmax(1).astype(np.float64),
        "hottest": ratio(hottest, total),
        **{
            name: ratio(share.astype(np.float64), number)
            for name, share in zip(_SHARES, shares.T, strict=True)
        },
        "delay": ratio(summed(shower, seen.delay, count), number),
    }
    return numbers, {"energies": energies, "hits": hits}

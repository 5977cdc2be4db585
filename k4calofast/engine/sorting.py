"""What the showers of all regions left, calorimeter by calorimeter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from k4calofast.arrays import Floats32
from k4calofast.detector import Calorimeter
from k4calofast.hits import Deposits, EnergyBalance
from k4calofast.incidence import Arrivals


@dataclass(frozen=True)
class Sorted:
    """The showers of all regions, and what they left in each calorimeter.

    Attributes
    ----------
    arrivals
        Of all regions, in the order of their particles; of their conditions, the first alone.
    deposits
        Of these showers in each calorimeter, in its own cells and in the order of the showers.
    energy
        Where the energy of each calorimeter's showers went, before hits are made.
    """

    arrivals: Arrivals
    deposits: tuple[Deposits, ...]
    energy: tuple[EnergyBalance, ...]


def with_beyond(calorimeters: Sequence[Calorimeter]) -> tuple[Calorimeter, ...]:
    """Return calorimeters, and after them those that showers of these go on into, each once."""
    everyone = [*calorimeters, *(one for own in calorimeters for one in own.beyond)]
    return tuple({calorimeter.name: calorimeter for calorimeter in everyone}.values())


def sort(
    calorimeters: Sequence[Calorimeter],
    arrivals: Sequence[Arrivals],
    deposits: Sequence[Deposits],
) -> Sorted:
    """Sort the deposits of regions into the calorimeters that they lie in.

    Parameters
    ----------
    calorimeters
        Those of the regions, and after them others that showers go on into.
    arrivals, deposits
        Of the showers of each region. Cells are the region's own, and after them those beyond it.
    """
    everyone = Arrivals.concatenate(
        [replace(part, conditions=part.conditions[:, :1]) for part in arrivals]
    )
    order = np.argsort(everyone.particle, kind="stable")
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    ends = np.cumsum([len(part) for part in arrivals])
    numbers = {calorimeter.name: number for number, calorimeter in enumerate(calorimeters)}
    parts: list[list[Deposits]] = [[] for _ in calorimeters]
    energy = [EnergyBalance() for _ in calorimeters]
    for home, (part, left) in enumerate(zip(arrivals, deposits, strict=True)):
        own = calorimeters[home]
        first, passed = 0, 0.0
        for there in (own, *own.beyond):
            number = numbers[there.name]
            inside = left.among(first, there.n_cells)
            first += there.n_cells
            parts[number].append(inside.renamed(places[ends[home] - len(part) : ends[home]]))
            if number != home:
                crossed = _sum(inside.energy)
                energy[number] += EnergyBalance(received=crossed)
                passed += crossed
        energy[home] += EnergyBalance(
            incident=float(part.conditions[:, 0].sum()),
            generated=_sum(left.energy),
            passed=passed,
            beyond=_sum(left.energy[left.cell < 0]),
        )
    return Sorted(
        everyone.take(order),
        tuple(
            (some[0] if len(some) == 1 else Deposits.concatenate(some)).by_shower()
            for some in parts
        ),
        tuple(energy),
    )


def _sum(energy: Floats32) -> float:
    return float(energy.sum(dtype=np.float64))

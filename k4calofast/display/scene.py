"""What is shown of events: cells with their deposits, particles and their ways.

Units are EDM4hep's: GeV, mm, ns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Columns, Floats, IDs, Indices
from k4calofast.detector import Calorimeter, CellIDEncoding

NOBODY = -1
"""Stands for the particle of deposits of which the file does not say whose they are."""


@dataclass(frozen=True)
class Collection:
    """A collection of hits.

    Attributes
    ----------
    name
        Its name in the file.
    encoding
        Of its cell IDs; None if nothing says it.
    calorimeter
        Which its cells are of; None if it is none that is known here.
    """

    name: str
    encoding: CellIDEncoding | None
    calorimeter: Calorimeter | None


@dataclass(frozen=True)
class Cells(Columns):
    """C cells with hits, of all collections.

    Attributes
    ----------
    collection
        (C,) number of the collection.
    cell_id
        (C,) as in the file.
    position
        (C, 3) mm, of the hit.
    energy
        (C,) GeV, of the hit.
    solids
        (C, 2 k, 3) mm, corners as `Calorimeter.solids` has them; not numbers for cells that are not
        known.
    """

    collection: Indices
    cell_id: IDs
    position: Floats
    energy: Floats
    solids: Floats


@dataclass(frozen=True)
class Deposits(Columns):
    """D deposits: what a particle left in a cell within a nanosecond.

    Attributes
    ----------
    cell
        (D,) index into the cells.
    particle
        (D,) index into the event's particles, `NOBODY` where the file names none.
    energy
        (D,) GeV.
    time
        (D,) ns, when it began; not a number where the file does not say it.
    """

    cell: Indices
    particle: Indices
    energy: Floats
    time: Floats


@dataclass(frozen=True)
class Particle:
    """A particle that deposits energy, or sets out for the calorimeter, or was handed on.

    Attributes
    ----------
    pdg, charge
        What it is; e.
    energy, momentum, theta, phi
        GeV and rad, where it was born.
    handed_on
        Whether the fast simulation has left it to another simulation.
    way
        (P, 3) mm, points on its way from the vertex to the calorimeter; none if it is not known.
    """

    pdg: int
    charge: float
    energy: float
    momentum: float
    theta: float
    phi: float
    handed_on: bool
    way: Floats


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes
    ----------
    entry
        Its number in the file, from 0 on.
    run, number
        Of its header; None if it has none.
    particles
        Those that are shown, the most energetic first.
    fates
        What became of all particles, if the file says so: meaning, number, and energy (GeV).
    notes
        Sentences on what is not shown.
    """

    entry: int
    run: int | None
    number: int | None
    cells: Cells
    deposits: Deposits
    particles: tuple[Particle, ...]
    fates: tuple[tuple[str, int, float], ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """What it is called: its number in the file, and those of its header."""
        numbers = "" if self.run is None else f" (run {self.run}, event {self.number})"
        return f"event {self.entry} of the file{numbers}"

    def deposited(self) -> Floats:
        """(particles + 1,) GeV that each particle deposits; the last is of nobody that is known."""
        whose = np.where(self.deposits.particle < 0, len(self.particles), self.deposits.particle)
        sums = np.bincount(whose, self.deposits.energy, len(self.particles) + 1)
        return sums.astype(np.float64)


@dataclass(frozen=True)
class Scene:
    """Events of a file.

    Attributes
    ----------
    file
        Its name.
    collections
        Of hits, those that are shown.
    events
        In the order in which they were asked for.
    """

    file: str
    collections: tuple[Collection, ...]
    events: tuple[Event, ...]

    @property
    def calorimeters(self) -> tuple[Calorimeter, ...]:
        """Those that are known here, each once."""
        return known_of(self.collections)


def known_of(collections: Sequence[Collection]) -> tuple[Calorimeter, ...]:
    """Return the calorimeters of collections that are known here, each once."""
    found = {one.calorimeter.name: one.calorimeter for one in collections if one.calorimeter}
    return tuple(found.values())

"""The columns that travel between the stages: many events at once, one array per quantity.

Units are EDM4hep's: GeV, mm, ns, elementary charge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Columns, Floats, Floats32, IDs, Indices, Ints, Mask, Words, owners

OWN_COLLECTION = 0
"""Stands for the collection of particles that is worked on; the ID of no collection."""


@dataclass(frozen=True)
class EventKeys:
    """What identifies each of E events, and seeds its random numbers.

    Attributes
    ----------
    run, event
        (E,) run and event numbers of the EventHeader.
    seed
        (E,) seeds of the events; without them, a component's own seed is that of all.
    place
        (E,) number of the event in the job, from 0 on; by default, in these columns.
    """

    run: Words
    event: IDs
    seed: IDs | None = None
    place: IDs = field(default_factory=lambda: np.zeros(0, np.uint64))

    def __post_init__(self) -> None:
        if len(self.place) != len(self.run):
            object.__setattr__(self, "place", np.arange(len(self.run), dtype=np.uint64))

    def __len__(self) -> int:
        return len(self.run)

    def seeds(self, own: int) -> IDs:
        """(E,) seeds of the events, `own` where they have none."""
        return np.full(len(self), own, np.uint64) if self.seed is None else self.seed


@dataclass(frozen=True)
class Particles:
    """MCParticles of E events, one after the other; N in all.

    Attributes
    ----------
    offsets
        (E + 1,) the particles of event i are ``offsets[i]:offsets[i + 1]``.
    pdg, generator_status, simulator_status
        (N,) as in EDM4hep.
    charge, time, mass
        (N,) in e, ns (at the vertex) and GeV.
    vertex, endpoint
        (N, 3) mm.
    momentum, momentum_at_endpoint
        (N, 3) GeV, at the vertex and at the endpoint.
    parent, child
        (R,) relations: who stems from whom, numbered over all events like the particles.
    listed
        (N,) whether each is meant; all are by default. Where a subset of a collection is worked on,
        the others are its record, and nothing else.
    """

    offsets: Indices
    pdg: Ints
    generator_status: Ints
    simulator_status: Ints
    charge: Floats
    time: Floats
    mass: Floats
    vertex: Floats
    endpoint: Floats
    momentum: Floats
    momentum_at_endpoint: Floats
    parent: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    child: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    listed: Mask = field(default_factory=lambda: np.ones(0, np.bool_))

    def __post_init__(self) -> None:
        if len(self.listed) != len(self.pdg):
            object.__setattr__(self, "listed", np.ones(len(self.pdg), np.bool_))

    def __len__(self) -> int:
        return len(self.pdg)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.offsets) - 1

    @classmethod
    def of_members(cls, offsets: Indices, read: Callable[[str], npt.NDArray[Any]]) -> Particles:
        """Particles from their members in EDM4hep, whatever the precision of these.

        Parameters
        ----------
        offsets
            As above.
        read
            Returns a member of all of them by its name.
        """
        columns = {name: read(member).astype(dtype) for name, (member, dtype) in _MEMBERS.items()}
        return cls(offsets, **columns)

    @property
    def members(self) -> dict[str, npt.NDArray[Any]]:
        """What EDM4hep's MCParticles hold beside the helicity, by their names for it."""
        return {member: getattr(self, name) for name, (member, _) in _MEMBERS.items()}

    def has(self, bit: int) -> Mask:
        """(N,) whether a bit of simulatorStatus is set."""
        is_set: Mask = (self.simulator_status >> bit) & 1 == 1
        return is_set

    def event_of(self, particles: Indices) -> Indices:
        """Event (0 to E - 1) of each of these particles."""
        return np.searchsorted(self.offsets, particles, side="right") - 1

    def copied_in(self, others: Particles, place: Indices) -> Mask:
        """Tell which particles have a copy, flagged by a simulation say: it sets out as they do.

        Parameters
        ----------
        others
            Where the copies are.
        place
            (N,) where to look for the copy of each, counted over all events; -1 for nowhere.
        """
        found = (place >= 0) & (place < len(others))
        place = place[found]
        same = self.pdg[found] == others.pdg[place]
        same &= self.generator_status[found] == others.generator_status[place]
        same &= self.time[found] == others.time[place]
        same &= (self.vertex[found] == others.vertex[place]).all(1)
        same &= (self.momentum[found] == others.momentum[place]).all(1)
        found[found] = same
        return found


_MEMBERS: dict[str, tuple[str, Any]] = {
    "pdg": ("PDG", np.int32),
    "generator_status": ("generatorStatus", np.int32),
    "simulator_status": ("simulatorStatus", np.int32),
    "charge": ("charge", np.float64),
    "time": ("time", np.float64),
    "mass": ("mass", np.float64),
    "vertex": ("vertex", np.float64),
    "endpoint": ("endpoint", np.float64),
    "momentum": ("momentum", np.float64),
    "momentum_at_endpoint": ("momentumAtEndpoint", np.float64),
}
"""Columns of particles: their names in EDM4hep, and their types here."""


def one_of_each(parent: Indices, child: Indices) -> tuple[Indices, Indices]:
    """Parents and children without repetitions, ordered; nobody is his own parent."""
    if not parent.size:
        return parent, child
    size = int(max(parent.max(), child.max())) + 1
    pairs = np.unique((parent * size + child)[parent != child])
    return pairs // size, pairs % size


@dataclass(frozen=True)
class Hits:
    """Hits of E events; H in all, ordered by event and cell.

    Attributes
    ----------
    offsets
        (E + 1,) the hits of event i are ``offsets[i]:offsets[i + 1]``.
    cell_id
        (H,) cell IDs.
    energy
        (H,) GeV. Our own are the sum of the contributions'; a full simulation's may be more.
    position
        (H, 3) mm, cell centres.
    contributions
        (H + 1,) the contributions of hit j are ``contributions[j]:contributions[j + 1]``.
    """

    offsets: Indices
    cell_id: IDs
    energy: Floats32
    position: Floats32
    contributions: Indices

    @property
    def members(self) -> dict[str, npt.NDArray[Any]]:
        """What EDM4hep's SimCalorimeterHits hold, by their names for it."""
        return {"cellID": self.cell_id, "energy": self.energy, "position": self.position}

    @property
    def event(self) -> Indices:
        """(H,) the event of each hit."""
        return owners(self.offsets)

    def times(self, contributions: Contributions) -> Floats32:
        """(H,) ns of each hit's earliest contribution; 0 for a hit that has none."""
        time = np.zeros(len(self.energy), np.float32)
        some = np.flatnonzero(np.diff(self.contributions))
        if some.size:
            time[some] = np.minimum.reduceat(contributions.time, self.contributions[some])
        return time

    @property
    def event_of_contributions(self) -> Indices:
        """(C,) the event of each contribution."""
        return owners(self.contributions[self.offsets])


@dataclass(frozen=True)
class Contributions(Columns):
    """Contributions to hits, C in all, ordered by hit and particle.

    Attributes
    ----------
    particle
        (C,) index of the particle in its event's collection; negative if none is known.
    collection
        (C,) ID of that collection, `OWN_COLLECTION` for the one that is worked on.
    pdg
        (C,) its PDG number.
    energy
        (C,) GeV.
    time
        (C,) ns.
    position
        (C, 3) mm, the centre of the cell.
    step_length
        (C,) mm; 0 for a whole shower's deposit in a cell.
    """

    particle: Ints
    collection: Words
    pdg: Ints
    energy: Floats32
    time: Floats32
    position: Floats32
    step_length: Floats32

    @property
    def members(self) -> dict[str, npt.NDArray[Any]]:
        """What EDM4hep's CaloHitContributions hold beside the particle, by their names for it."""
        return {
            "PDG": self.pdg,
            "energy": self.energy,
            "time": self.time,
            "stepPosition": self.position,
            "stepLength": self.step_length,
        }

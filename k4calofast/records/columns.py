"""One event of a generator, and the columns of many. Units are EDM4hep's: GeV, mm, ns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Floats, Indices, Ints
from k4calofast.events.columns import EventKeys, Particles, one_of_each
from k4calofast.events.edm4hep import HELICITY_UNSET
from k4calofast.events.fields import header_fields, particle_fields
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import parameters
from k4calofast.exceptions import InvalidEventError
from k4calofast.incidence.kinds import facts

_MOST = (1 << 63) - 1
"""Largest number of an event."""


@dataclass(frozen=True)
class GeneratorEvent:
    """An event of N particles, as its generator says.

    Attributes
    ----------
    number
        Of the event; None where the format has none.
    pdg, status, helicity
        (N,) PDG numbers, the generator's codes, and helicities (9 for unknown).
    momentum, mass
        (N, 3) and (N,) GeV.
    vertex, time
        (N, 3) mm and (N,) ns, where and when each begins.
    endpoint
        (N, 3) mm, where each ends; 0 for those that do not, or nobody knows where.
    parent, child
        (R,) relations: who stems from whom.
    weights
        (W,) of the event; the first is the one.
    """

    number: int | None
    pdg: Ints
    status: Ints
    helicity: Ints
    momentum: Floats
    mass: Floats
    vertex: Floats
    time: Floats
    endpoint: Floats
    parent: Indices
    child: Indices
    weights: Floats


@dataclass(frozen=True)
class Records:
    """E events of generators.

    Attributes
    ----------
    keys, particles
        As all stages have them.
    helicity
        (N,) of the particles.
    weights
        Offsets (E + 1,) and values of the weights of each event.
    """

    keys: EventKeys
    particles: Particles
    helicity: Ints
    weights: tuple[Indices, Floats]

    @classmethod
    def of(
        cls, events: Sequence[GeneratorEvent], run: int, first: int, *, numbered: bool = False
    ) -> Records:
        """Put events together.

        Parameters
        ----------
        run
            Their run number.
        first
            Number of the first, for events without, or for all if they are to be `numbered`.

        Raises
        ------
        InvalidEventError
            If an event's number is none.
        """
        counts = [len(event.pdg) for event in events]
        offsets = np.cumsum([0, *counts])
        numbers = []
        for place, event in enumerate(events):
            number = first + place if numbered or event.number is None else event.number
            if not 0 <= number <= _MOST:
                raise InvalidEventError(f"{number} is no number of an event: 0, 1, 2, ...")
            numbers.append(number)

        def flat(name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
            none = np.zeros((0, *shape), dtype)
            return np.concatenate([none, *(getattr(event, name) for event in events)]).astype(dtype)

        pdg = flat("pdg", (), np.int32)
        charge = np.nan_to_num(facts(pdg)[0])
        parent, child = (
            np.concatenate(
                [
                    np.zeros(0, np.int64),
                    *(
                        getattr(event, name) + begin
                        for event, begin in zip(events, offsets, strict=False)
                    ),
                ]
            )
            for name in ("parent", "child")
        )
        parent, child = one_of_each(parent, child)
        particles = Particles(
            offsets,
            pdg,
            flat("status", (), np.int32),
            np.zeros(len(pdg), np.int32),
            charge,
            flat("time", (), np.float64),
            flat("mass", (), np.float64),
            flat("vertex", (3,), np.float64),
            flat("endpoint", (3,), np.float64),
            flat("momentum", (3,), np.float64),
            np.zeros((len(pdg), 3)),
            parent,
            child,
        )
        weights = np.cumsum([0, *(len(event.weights) for event in events)])
        return cls(
            EventKeys(np.full(len(events), run, np.uint32), np.array(numbers, np.uint64)),
            particles,
            flat("helicity", (), np.int32),
            (weights, flat("weights", (), np.float64)),
        )

    def frames(self, header: CollectionInfo, particles: CollectionInfo) -> Frames:
        """Frames with EventHeaders and MCParticles of these names."""
        count = len(self.keys)
        fields = header_fields(header.name, self.keys, self.weights)
        fields |= particle_fields(particles, self.particles, self.helicity)
        return Frames(fields | parameters({}, count), count)


def unknown_helicities(count: int) -> Ints:
    """Helicities (N,) of which nothing is known."""
    return np.full(count, HELICITY_UNSET, np.int32)

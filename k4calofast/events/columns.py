"""The columns that travel between the stages: many events at once, one array per quantity.

Units are EDM4hep's: GeV, mm, ns, elementary charge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EventKeys:
    """What identifies each of E events, and seeds its random numbers.

    Attributes
    ----------
    run, event
        (E,) run and event numbers of the EventHeader.
    """

    run: npt.NDArray[np.uint32]
    event: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.run)


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

    def __len__(self) -> int:
        return len(self.pdg)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.offsets) - 1

    def event_of(self, particles: Indices) -> Indices:
        """Event (0 to E - 1) of each of these particles."""
        return np.searchsorted(self.offsets, particles, side="right") - 1

    def first_not_finite(self, among: Indices) -> int | None:
        """Return the first of these particles with a NaN or infinity where none may be."""
        finite = np.isfinite(self.momentum[among]).all(1)
        finite &= np.isfinite(self.vertex[among]).all(1)
        for column in (self.time, self.charge, self.mass):
            finite &= np.isfinite(column[among])
        bad = among[~finite]
        return int(bad[0]) if bad.size else None

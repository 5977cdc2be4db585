"""Overlapping showers become hits: one per cell and event, one contribution per particle.

These are the rules that digitisers, overlay and particle flow rely on: a cell appears once
per event; its contributions sum to its energy; a contribution's time is absolute and not
before light could arrive; positions are cell centres; energies are raw deposits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.detector import Calorimeter
from k4calofast.events.columns import Contributions, Floats, Hits, Indices
from k4calofast.incidence import Arrivals
from k4calofast.incidence.transport import LIGHT_SPEED


@dataclass(frozen=True)
class EnergyBalance:
    """Where the energy went (GeV, sums).

    Attributes
    ----------
    incident
        Momenta of the particles that showered.
    generated
        Energies that the generator put into windows.
    beyond
        The part of it in places of a window where the detector has no cell.
    written
        Energies of the hits.
    """

    incident: float = 0.0
    generated: float = 0.0
    beyond: float = 0.0
    written: float = 0.0

    def __add__(self, other: EnergyBalance) -> EnergyBalance:
        return EnergyBalance(
            self.incident + other.incident,
            self.generated + other.generated,
            self.beyond + other.beyond,
            self.written + other.written,
        )

    @property
    def closure(self) -> float:
        """Generated energy that is neither in hits nor beyond the detector, relative."""
        if self.generated == 0:
            return 0.0
        return (self.generated - self.beyond - self.written) / self.generated


def assemble(
    detector: Calorimeter,
    arrivals: Arrivals,
    pdg: npt.NDArray[np.int32],
    event: Indices,
    index_in_event: Indices,
    n_events: int,
    energies: npt.NDArray[np.float32],
) -> tuple[Hits, Contributions, EnergyBalance]:
    """Turn the windows of N showers into hits.

    Parameters
    ----------
    arrivals
        The showers, ordered by event and particle.
    pdg, event, index_in_event
        (N,) PDG number, event (0 to n_events - 1) and index in it of their particles.
    energies
        (N, rows, columns) GeV.
    """
    rows, columns = energies.shape[1:]
    window = detector.window(arrivals.cell, (rows, columns)).reshape(-1, rows * columns)
    flat = energies.reshape(-1, rows * columns)
    lit = flat > 0
    shower, place = np.nonzero(lit & (window >= 0))
    cell = window[shower, place]
    # Showers come ordered by event and particle, so a stable sort by event and cell leaves
    # the contributions of each cell in the order of their particles.
    key = event[shower] * detector.n_cells + cell
    order = np.argsort(key, kind="stable")
    shower, place, cell, key = shower[order], place[order], cell[order], key[order]
    energy = flat[shower, place]

    first = np.flatnonzero(np.diff(key, prepend=-1))
    hit_cell, hit_event = cell[first], event[shower[first]]
    total = np.add.reduceat(energy.astype(np.float64), first) if first.size else np.zeros(0)
    centre = detector.centre(hit_cell)
    hits = Hits(
        np.searchsorted(hit_event, np.arange(n_events + 1)),
        detector.cell_id(hit_cell),
        total.astype(np.float32),
        centre.astype(np.float32),
        np.append(first, len(key)),
    )
    position = detector.centre(cell)
    way: Floats = np.sqrt(((position - arrivals.position[shower]) ** 2).sum(1))
    contributions = Contributions(
        index_in_event[shower].astype(np.int32),
        pdg[shower],
        energy,
        (arrivals.time[shower] + way / LIGHT_SPEED).astype(np.float32),
        position.astype(np.float32),
        np.zeros(len(shower), np.float32),
    )
    balance = EnergyBalance(
        float(arrivals.conditions[:, 0].sum()),
        float(flat.sum(dtype=np.float64)),
        float(flat[window < 0].sum(dtype=np.float64)),
        float(hits.energy.sum(dtype=np.float64)),
    )
    return hits, contributions, balance

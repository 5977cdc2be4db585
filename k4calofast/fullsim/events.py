"""Calorimeter hits of whole events by Geant4: what the fast simulation stands in for.

Every particle that arrives at the calorimeter is simulated by itself, so that each deposit is
known to be its. Material in front of the calorimeter is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.events.columns import Contributions, Hits, Particles
from k4calofast.fullsim.crystals import besiii
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.simulation import EnergyPerCell, Simulation
from k4calofast.generator.generated import Generated
from k4calofast.hits import Deposits, EnergyBalance, assemble
from k4calofast.incidence import Fate, arrive


@dataclass(frozen=True)
class FullySimulated:
    """Hits of E events by Geant4.

    Attributes
    ----------
    hits, contributions
        As those of the fast simulation.
    fate
        (particles,) `Fate` of each particle.
    energy
        Where the energy went.
    beside
        GeV in crystals outside the particles' windows, which are in no hit.
    """

    hits: Hits
    contributions: Contributions
    fate: npt.NDArray[np.int8]
    energy: EnergyBalance
    beside: float


def simulate_events(particles: Particles, data: PhysicsData, seed: int) -> FullySimulated:
    """Simulate photons, electrons and positrons of events in BESIII's barrel.

    Parameters
    ----------
    particles
        Of E events.
    data
        Tables for `k4calofast.fullsim.crystals.besiii.sector`.
    seed
        Same seed, same particles: same hits.
    """
    sector = besiii.sector()
    arrivals, fate = arrive(particles, sector.barrel)
    known = np.isin(particles.pdg[arrivals.particle], list(besiii.CHARGE))
    fate[arrivals.particle[~known]] = Fate.OTHER_KIND
    arrivals = arrivals.take(known)
    pdg = particles.pdg[arrivals.particle]
    direction = arrivals.momentum / arrivals.conditions[:, :1]
    deposits = Simulation(sector, data, seed, EnergyPerCell()).run(
        pdg,
        sector.to_sector(arrivals.cell, arrivals.position - besiii.START_GAP * direction),
        sector.to_sector(arrivals.cell, arrivals.momentum),
    )
    energies, beside = sector.in_window(deposits, arrivals.cell, besiii.WINDOW)
    event = particles.event_of(arrivals.particle)
    windows = sector.barrel.surroundings(
        arrivals.cell, arrivals.position, arrivals.momentum, besiii.WINDOW
    )
    hits, contributions, energy = assemble(
        sector.barrel,
        arrivals,
        pdg,
        event,
        arrivals.particle - particles.offsets[event],
        particles.n_events,
        Deposits.of(Generated.of_windows(energies), windows),
    )
    return FullySimulated(hits, contributions, fate, energy, float(beside.sum()))

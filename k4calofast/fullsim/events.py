"""Calorimeter hits of whole events by Geant4: what the fast simulation stands in for.

Every particle that enters a crystal is simulated in the whole EMC by itself, so that each deposit
is known to be its; showers do not know each other, and hits are their sum. Material in front of the
calorimeter is not there, and nothing happens before it: particles fly there as in the fast
simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from k4calofast.arrays import Ints
from k4calofast.detector import besiii as known
from k4calofast.detector.crystals import CrystalCalorimeter
from k4calofast.events.columns import Contributions, Hits, Particles
from k4calofast.fullsim.crystals import besiii
from k4calofast.fullsim.crystals.emc import WholeEMC, in_front, numbers_of
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.simulation import HADRONIC, CellEnergies, EnergyPerCell, Simulation
from k4calofast.hits import Deposits, EnergyBalance, assemble
from k4calofast.incidence import Arrivals, Fate, Fates, Record, follow


@dataclass(frozen=True)
class FullySimulated:
    """Hits of E events by Geant4.

    Attributes
    ----------
    regions
        Hits and contributions in barrel and endcaps, by the calorimeter's name, as those of the
        fast simulation. A contribution's time is the energy-weighted mean of its particle's
        deposits.
    fate
        (particles,) `Fate` of each particle.
    energy
        Where the energy went; all that was deposited is written.
    """

    regions: dict[str, tuple[Hits, Contributions]]
    fate: Fates
    energy: EnergyBalance

    @property
    def hits(self) -> Hits:
        """Those in the barrel."""
        return self.regions[known.BARREL][0]

    @property
    def contributions(self) -> Contributions:
        """Those in the barrel."""
        return self.regions[known.BARREL][1]


def simulate_events(
    particles: Particles, data: PhysicsData, seed: int, emc: WholeEMC | None = None
) -> FullySimulated:
    """Simulate photons, leptons and hadrons of events in BESIII's EMC.

    Parameters
    ----------
    particles
        Of E events.
    data
        Tables for the EMC's elements, those of hadronic physics included.
    seed
        Same seed, same particles: same hits.
    emc
        What is built, by default all of it.
    """
    emc = WholeEMC() if emc is None else emc
    calorimeters = emc.calorimeters
    entering, census = follow(Record(particles, *calorimeters))
    arrivals = []
    for part in entering:
        simulated = np.isin(particles.pdg[part.particle], besiii.KINDS)
        census.fate[part.particle[~simulated]] = Fate.OTHER_KIND
        arrivals.append(part.take(simulated))
    simulation = Simulation(emc, data, seed, EnergyPerCell(timed=True), HADRONIC)
    showers = [
        _simulated(simulation, calorimeter, part, particles.pdg[part.particle])
        for calorimeter, part in zip(calorimeters, arrivals, strict=True)
    ]
    regions, energy = {}, EnergyBalance()
    for calorimeter in calorimeters:
        whose, deposits = _in(calorimeter, arrivals, showers)
        event = particles.event_of(whose.particle)
        hits, contributions, balance = assemble(
            calorimeter,
            whose,
            particles.pdg[whose.particle],
            event,
            whose.particle - particles.offsets[event],
            particles.n_events,
            deposits,
        )
        regions[calorimeter.name] = hits, contributions
        energy += replace(balance, incident=0.0)
    incident = sum(float(part.conditions[:, 0].sum()) for part in arrivals)
    energy = replace(energy, incident=incident)
    return FullySimulated(regions, census.fate, energy)


def _simulated(
    simulation: Simulation[CellEnergies],
    calorimeter: CrystalCalorimeter,
    arrivals: Arrivals,
    pdg: Ints,
) -> CellEnergies:
    """Simulate what enters one calorimeter; times are those after the entry."""
    start, way = in_front(calorimeter, arrivals.cell, arrivals.position, arrivals.momentum)
    found = simulation.run(pdg, start, arrivals.momentum)
    before = way / simulation.speed(pdg, arrivals.momentum)
    time = np.maximum(found.time - before[found.event], 0.0)
    return CellEnergies(found.event, found.cell, found.energy, time)


def _in(
    calorimeter: CrystalCalorimeter, arrivals: list[Arrivals], showers: list[CellEnergies]
) -> tuple[Arrivals, Deposits]:
    """All arrivals, wherever they enter, and their deposits in one calorimeter."""
    # Both calorimeters' first condition is the momentum, all that is asked for.
    whose = Arrivals.concatenate(
        [replace(part, conditions=part.conditions[:, :1]) for part in arrivals]
    )
    rank = np.empty(len(whose), np.int64)
    order = np.argsort(whose.particle, kind="stable")
    rank[order] = np.arange(len(whose))
    first = np.cumsum([0, *(len(part) for part in arrivals)])
    event, number, energy, time = (
        np.concatenate(parts)
        for parts in (
            [shower.event + start for shower, start in zip(showers, first[:-1], strict=True)],
            *([getattr(s, name) for s in showers] for name in ("cell", "energy", "time")),
        )
    )
    cell = numbers_of(calorimeter)[number]
    own = cell < calorimeter.n_cells
    event, cell, energy, time = event[own], cell[own], energy[own], time[own]
    after_light = np.zeros(len(cell), np.bool_)
    deposits = Deposits(
        rank[event], cell, energy.astype(np.float32), time.astype(np.float32), after_light
    )
    return whose.take(order), deposits.by_shower()

"""Real Geant4 in a tracker without a calorimeter: MCParticles as a tracker-only job writes them."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from k4calofast.events.columns import Particles
from k4calofast.fullsim import tracker
from k4calofast.fullsim.crystals.emc import WholeEMC
from k4calofast.fullsim.events import FullySimulated, simulate_events
from k4calofast.fullsim.physics_data import find_or_make
from k4calofast.incidence import Fate, arrive

Family = tuple[Particles, tuple[np.ndarray, np.ndarray]]


def track(particles: Particles) -> Family:
    simulation = tracker.TrackerSimulation(find_or_make(tracker.ELEMENTS), 1)
    return tracker.columns(list(simulation.simulate(particles)))


def shower(particles: Particles) -> FullySimulated:
    return simulate_events(particles, find_or_make(WholeEMC().elements, hadronic=True), 1)


def in_a_process(work, particles):
    """There can be one Geant4 in a process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, particles).result()


@pytest.fixture(scope="module")
def tracked(shot) -> Family:
    in_the_barrel = {"ThetaMin": 45, "ThetaMax": 135, "MomentumMin": 0.5}
    return in_a_process(track, shot(60, ParticlesPerEvent=3, **in_the_barrel))


def test_daughters_begin_where_their_parents_are(tracked):
    particles, (child, parent) = tracked
    first = particles.offsets[particles.event_of(np.arange(len(particles)))]
    has = parent >= 0
    assert has.sum() > 100
    assert np.array_equal(has, particles.generator_status == 0)
    born, mothers = np.flatnonzero(has), (parent + first)[has]
    assert (child == np.arange(len(particles)) - first).all()
    assert (parent[has] < child[has]).all()
    # Either at the end of the parent, or on its way and then status bit 28 says so.
    apart = np.linalg.norm(particles.vertex[born] - particles.endpoint[mothers], axis=1)
    not_endpoint = particles.simulator_status[born] >> 28 & 1 == 1
    kept_parent = apart[~not_endpoint]
    assert (kept_parent < 1e-3).all()
    assert (particles.time[born] > particles.time[mothers]).all()


def test_about_a_third_of_the_photons_convert_in_the_material(tracked):
    """0.4 radiation lengths convert 1 - exp(-7/9 * 0.4) of photons, most of them in the TOF."""
    particles, _ = tracked
    photons = np.flatnonzero((particles.pdg == 22) & (particles.generator_status == 1))
    ended = particles.simulator_status[photons] >> 27 & 1 == 1
    assert ended.mean() == pytest.approx(0.27, abs=0.2)
    inside = np.hypot(*particles.endpoint[photons[ended], :2].T)
    # One or the other converts in the air behind.
    assert (inside > 920.1).sum() <= 2


def test_energy_is_conserved_into_the_calorimeter(tracked, barrel):
    particles, _ = tracked
    arrivals, fate = arrive(particles, barrel)
    shot = np.linalg.norm(particles.momentum[particles.generator_status == 1], axis=1).sum()
    arrived = arrivals.conditions[:, 0].sum()
    # What is missing was left in the material or came in soft pieces; nothing is there twice.
    assert 0.9 * shot < arrived < shot
    assert (fate == Fate.ENDED_BEFORE).any()


def test_whole_events_have_hits_of_geant4(shot, barrel):
    particles = shot(6, ParticlesPerEvent=2, ThetaMin=50, ThetaMax=130)
    result = in_a_process(shower, particles)
    arrivals, _ = arrive(particles, barrel)
    assert (result.fate[arrivals.particle] == Fate.SHOWERED).all()
    energy = result.energy
    assert abs(energy.closure) < 1e-6
    assert 0.8 < energy.generated / energy.incident < 1.0
    assert energy.beyond == 0
    # In the crystals that the particles hit.
    hit = barrel.cell_of(result.hits.cell_id)
    assert np.isin(arrivals.cell, hit).all()

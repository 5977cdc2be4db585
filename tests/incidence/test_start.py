"""Which particles set out, and from where, in files of a generator and of simulations."""

import numpy as np
import pytest

from k4calofast.detector.helix import advance
from k4calofast.events.columns import Particles
from k4calofast.incidence import Fate, Record, arrive
from k4calofast.incidence.start import set_out
from k4calofast.incidence.transport import curvature_of

CREATED_IN_SIMULATION = 1 << 30
DECAYED_IN_TRACKER = 1 << 27
DECAYED_IN_CALORIMETER = 1 << 26
LEFT_DETECTOR = 1 << 25
STOPPED = 1 << 24
FAST_SIMULATED = 1 << 22


def particles(**columns):
    """Photons of 1 GeV along x from the centre, unless said otherwise."""
    n = max(len(values) for name, values in columns.items() if name != "family")
    defaults = {
        "pdg": [22] * n,
        "generator_status": [1] * n,
        "simulator_status": [0] * n,
        "charge": [0.0] * n,
        "time": [0.0] * n,
        "mass": [0.0] * n,
        "vertex": [[0.0, 0.0, 0.0]] * n,
        "endpoint": [[0.0, 0.0, 0.0]] * n,
        "momentum": [[1.0, 0.0, 0.1]] * n,
        "momentum_at_endpoint": [[0.0, 0.0, 0.0]] * n,
    }
    integers = ("pdg", "generator_status", "simulator_status")
    family = np.array(columns.get("family", np.zeros((0, 2))), np.int64)
    return Particles(
        offsets=np.array([0, n]),
        **{
            name: np.array(columns.get(name, value), np.int32 if name in integers else float)
            for name, value in defaults.items()
        },
        parent=family[:, 0],
        child=family[:, 1],
    )


def starts_of(barrel, **columns):
    return set_out(Record(particles(**columns), barrel))[0]


def fate_of(barrel, **columns):
    return [Fate(value) for value in arrive(particles(**columns), barrel)[1]]


def test_only_final_particles_of_a_generator_set_out(barrel):
    """Those of unknown status are documented by their daughters; the last is one."""
    family = [(i, 5) for i in range(1, 5)]
    assert fate_of(barrel, generator_status=[1, 2, 4, 21, 0, 1], family=family) == [
        Fate.SHOWERED, Fate.NOT_FINAL, Fate.NOT_FINAL, Fate.NOT_FINAL, Fate.NOT_FINAL,
        Fate.SHOWERED,
    ]  # fmt: skip


def test_the_endpoint_of_an_unsimulated_particle_means_nothing(barrel):
    """BOSS writes endpoints without status bits; old generators leave them at the origin."""
    starts = starts_of(barrel, endpoint=[[500.0, 0, 0], [950.0, 0, 0]])
    assert (starts.position == 0).all()


def test_a_tracker_simulation_hands_over_at_the_endpoint(barrel):
    columns = {
        "simulator_status": [STOPPED],
        "endpoint": [[900.0, 30.0, 90.0]],
        "momentum_at_endpoint": [[0.7, 0.1, 0.05]],
        "time": [2.0],
    }
    starts = starts_of(barrel, **columns)
    assert starts.position.tolist() == [[900.0, 30.0, 90.0]]
    assert starts.momentum.tolist() == [[0.7, 0.1, 0.05]]
    # It flew almost straight there.
    assert starts.time == pytest.approx(2.0 + np.hypot(900, 95) / 299.79, rel=2e-3)


def test_what_left_a_world_without_calorimeter_comes_back_to_the_face(barrel):
    """A tracker-only job follows particles to the end of its world: what they lost in the
    tracker is gone, and their way through the calorimeter's place cost nothing."""
    kinds = {"pdg": [22, 11, -11], "charge": [0.0, -1.0, 1.0]}
    vertex, momentum = np.array([[3.0, -2.0, 15.0]] * 3), np.array([[0.8, 0.3, 0.2]] * 3)
    curvature = curvature_of(momentum, np.array(kinds["charge"]), barrel.magnetic_field)
    end, at_end = advance(vertex, momentum, curvature, np.array([1700.0, 1750.0, 1800.0]))
    flew = particles(
        **kinds,
        simulator_status=[LEFT_DETECTOR] * 3,
        vertex=vertex,
        endpoint=end,
        momentum=momentum * 1.25,  # a fifth was radiated right away
        momentum_at_endpoint=at_end,
    )
    arrivals, fate = arrive(flew, barrel)
    direct, _ = arrive(particles(**kinds, vertex=vertex, momentum=momentum), barrel)
    assert fate.tolist() == [Fate.SHOWERED] * 3
    assert arrivals.cell.tolist() == direct.cell.tolist()
    assert arrivals.position == pytest.approx(direct.position, abs=1e-3)
    assert arrivals.conditions == pytest.approx(direct.conditions, abs=1e-3)
    assert arrivals.time == pytest.approx(direct.time, rel=2e-3)


def test_what_left_through_an_end_of_the_detector_starts_at_its_vertex(barrel):
    starts = starts_of(
        barrel,
        simulator_status=[LEFT_DETECTOR],
        endpoint=[[100.0, 0.0, 5000.0]],
        momentum_at_endpoint=[[0.02, 0.0, 1.0]],
        momentum=[[0.02, 0.0, 1.0]],
    )
    assert starts.position.tolist() == [[0, 0, 0]]


def test_endpoints_on_a_face_count_as_in_front_of_it(barrel):
    cell = 500
    front = barrel.front_centre(np.array([cell]))
    momentum = (barrel.centre(np.array([cell])) - front) / 500
    found = particles(simulator_status=[STOPPED], endpoint=front, momentum_at_endpoint=momentum)
    arrivals, fate = arrive(found, barrel)
    assert fate.tolist() == [Fate.SHOWERED]
    assert arrivals.cell.tolist() == [cell]
    assert arrivals.position[0] == pytest.approx(front[0], abs=0.05)


def test_what_ended_in_the_tracker_without_daughters_is_lost_unless_it_was_slow(barrel):
    """A photon converts, and the record has no electrons; a slow proton really stops."""
    assert fate_of(
        barrel,
        pdg=[22, 22, 2212],
        charge=[0, 0, 1],
        mass=[0, 0, 0.938272],
        simulator_status=[DECAYED_IN_TRACKER, STOPPED, STOPPED],
        endpoint=[[300.0, 0, 0]] * 3,
        momentum=[[1.0, 0, 0.1], [1.0, 0, 0.1], [0.3, 0, 0]],
        momentum_at_endpoint=[[0.5, 0, 0], [0, 0, 0], [0, 0, 0]],
    ) == [Fate.LOST, Fate.LOST, Fate.ENDED_BEFORE]


def test_a_conversion_in_the_tracker_is_simulated_by_its_electrons(barrel):
    """The photon ended at 300 mm; both electrons were created there by the simulation."""
    fates = fate_of(
        barrel,
        pdg=[22, 11, -11],
        charge=[0, -1, 1],
        generator_status=[1, 0, 0],
        simulator_status=[DECAYED_IN_TRACKER, CREATED_IN_SIMULATION, CREATED_IN_SIMULATION],
        vertex=[[0, 0, 0], [300, 0, 0], [300, 0, 0]],
        endpoint=[[300, 0, 0], [960, 0, 60], [960, 0, 60]],
        momentum=[[1, 0, 0.1], [0.5, 0, 0.05], [0.5, 0, 0.05]],
        family=[(0, 1), (0, 2)],
    )
    assert fates == [Fate.ENDED_BEFORE, Fate.SHOWERED, Fate.SHOWERED]


def test_a_full_simulation_is_repeated_from_the_vertex(barrel):
    """Absorbed inside a crystal: what there was before its face is the vertex."""
    starts = starts_of(
        barrel, simulator_status=[DECAYED_IN_CALORIMETER], endpoint=[[1000.0, 0, 100.0]]
    )
    assert starts.position.tolist() == [[0, 0, 0]]


def test_particles_born_in_a_shower_are_part_of_it(barrel):
    """The second is made by the first, behind its face; nothing says where the third is from."""
    assert fate_of(
        barrel,
        generator_status=[1, 0, 0],
        simulator_status=[DECAYED_IN_CALORIMETER, CREATED_IN_SIMULATION, CREATED_IN_SIMULATION],
        vertex=[[0, 0, 0], [1000.0, 0, 100.0], [1000.0, 0, 100.0]],
        endpoint=[[1000.0, 0, 100.0], [1001.0, 0, 100.0], [1001.0, 0, 100.0]],
        family=[(0, 1)],
    ) == [Fate.SHOWERED, Fate.BORN_BEHIND, Fate.BORN_OUTSIDE]


def test_neutrinos_and_what_was_simulated_already_need_nothing(barrel):
    assert fate_of(barrel, pdg=[12, -16, 22], simulator_status=[0, 0, FAST_SIMULATED]) == [
        Fate.INVISIBLE, Fate.INVISIBLE, Fate.ALREADY_HANDLED,
    ]  # fmt: skip


def test_a_particle_at_rest_goes_nowhere(barrel):
    assert fate_of(barrel, momentum=[[0.0, 0.0, 0.0]]) == [Fate.BESIDE]


def test_endcap_photons_pass_beside_the_barrel_and_some_through_the_central_gap(barrel):
    assert fate_of(barrel, momentum=[[0.1, 0, 1.0], [1.0, 0, 0.0]]) == [Fate.BESIDE, Fate.GAP]


def test_the_photons_of_ten_real_events_reach_the_barrel_or_the_endcaps(barrel, edm4hep_file):
    """BESIII's own simulation says where each photon of J/psi -> rho pi ended."""
    from k4calofast.events.reading import EventSource
    from k4calofast.events.typed import particles as read

    source = EventSource([edm4hep_file("jpsi_rhopi.edm4hep.root")])
    (frames,) = source.chunks(0, 10, 10)
    (info,) = [info for info in source.infos if info.name == "MCParticles"]
    real = read(frames, info)
    arrivals, fate = arrive(real, barrel)
    photons = np.flatnonzero((real.pdg == 22) & (real.generator_status == 1))
    assert len(photons) == 21  # one is final-state radiation
    end_z = np.abs(real.endpoint[photons, 2])
    in_barrel = np.isin(fate[photons], [Fate.SHOWERED])
    assert (end_z[in_barrel] < 1400).all()
    assert (fate[photons[~in_barrel]] == Fate.BESIDE).all()
    # Photons that BESIII's Geant4 stopped on the face of the EMC: our entry is nearby.
    row = {particle: i for i, particle in enumerate(arrivals.particle)}
    for photon in photons[in_barrel]:
        end = real.endpoint[photon]
        if 940 < np.hypot(end[0], end[1]) < 985:
            entry = arrivals.position[row[photon]]
            along = real.momentum[photon] / np.linalg.norm(real.momentum[photon])
            apart = end - entry
            # On one line; BESIII's photons go on into the crystal before they interact.
            assert np.linalg.norm(apart - (apart @ along) * along) < 0.1
            assert -5 < apart @ along < 100

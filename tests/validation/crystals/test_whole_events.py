"""Whole events: what is the same is found to be the same, and what is not is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from k4calofast import detector, reactions
from k4calofast.events.columns import Hits
from k4calofast.properties import CaloFastSimProperties
from k4calofast.steering.algorithms import Job, create
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.loop import EventLoop
from k4calofast.validation.crystals import whole_events
from k4calofast.validation.crystals.clusters import AllCrystals, EventClusters
from k4calofast.validation.crystals.whole_events import (
    Truth,
    WholeEvents,
    clusters_of_photons,
    compare,
    draw,
    is_extra,
    joined,
)

CRYSTALS = AllCrystals.of(detector.load_crystals("BESIII_EMC_barrel"))
EVENTS = 400


@pytest.fixture(scope="module")
def particles():
    return reactions.jpsi_to_rho_pi(EVENTS, 7)


@pytest.fixture(scope="module")
def truth(particles):
    return Truth.of(particles, CRYSTALS)


def deposits(truth: Truth, scale: float = 1.0, seed: int = 1) -> dict[str, Hits]:
    """Particles leave what they have in and around the crystal they enter, with fluctuations."""
    rng = np.random.default_rng(seed)
    fronts = CRYSTALS.fronts / np.linalg.norm(CRYSTALS.fronts, axis=1, keepdims=True)
    entered = (truth.direction @ fronts.T).argmax(1)
    around = CRYSTALS.neighbours[entered]
    share = 0.03 * (around >= 0)
    crystal = np.concatenate([entered, around.reshape(-1)])
    energy = truth.momentum * scale * rng.normal(1, 0.02, len(entered))
    energy = np.concatenate([energy * (1 - share.sum(1)), (energy[:, None] * share).reshape(-1)])
    event = np.concatenate([truth.event, np.repeat(truth.event, around.shape[1])])
    found = {}
    for calorimeter in CRYSTALS.calorimeters:
        here = (crystal >= 0) & np.isin(crystal, calorimeter.own)
        key, which = np.unique(event[here] * 6240 + crystal[here], return_inverse=True)
        cell = np.searchsorted(calorimeter.own, key % 6240)
        found[calorimeter.name] = Hits(
            np.searchsorted(key // 6240, np.arange(EVENTS + 1)),
            calorimeter.cell_id(cell),
            np.bincount(which, energy[here]).astype(np.float32),
            calorimeter.centre(cell).astype(np.float32),
            np.arange(len(key) + 1),
        )
    return found


@pytest.fixture(scope="module")
def seen(truth):
    return WholeEvents.of(CRYSTALS, deposits(truth))


def figure(found, name):
    (one,) = [one for one in found.figures if one.name == name]
    return one


def test_what_enters_is_known_with_its_parent(particles, truth):
    assert (np.diff(truth.event) >= 0).all()
    assert set(np.unique(truth.pdg).tolist()) == {-211, 22, 211}
    photons = truth.pdg == 22
    assert (particles.pdg[truth.parent[photons]] == 111).all()
    # Photons go straight from the origin.
    way = particles.momentum[truth.particle[photons]]
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    assert truth.direction[photons] == pytest.approx(way, abs=1e-9)


def test_energy_and_clusters_are_those_of_the_particles(truth, seen):
    total = np.sum(list(seen.energies.values()), axis=0)
    expected = np.bincount(truth.event, truth.momentum, EVENTS)
    assert total.sum() == pytest.approx(expected.sum(), rel=0.005)
    photons = np.flatnonzero(truth.pdg == 22)
    cluster = clusters_of_photons(seen.clusters, truth, photons)
    # All but the softest, and those that fall into another's cluster.
    assert (cluster >= 0).mean() > 0.9
    assert (seen.clusters.event[cluster[cluster >= 0]] == truth.event[photons[cluster >= 0]]).all()
    ratio = seen.clusters.energy[cluster[cluster >= 0]] / truth.momentum[photons[cluster >= 0]]
    assert np.median(ratio) == pytest.approx(1, abs=0.01)


def test_the_same_events_have_no_differences_and_the_pi0_its_mass(truth, seen):
    found = compare(truth, seen, seen)
    assert all(one.difference.value == 0 for one in found.figures)
    mass = figure(found, "pi0 mass")
    assert mass.reference.value == pytest.approx(135, abs=3)
    assert 2 < figure(found, "pi0 width").reference.value < 15


def test_other_fluctuations_agree_and_a_shifted_energy_is_found(truth, seen):
    """Pairs of the same events see a shift that two samples would not."""
    again = compare(truth, seen, WholeEvents.of(CRYSTALS, deposits(truth, seed=2)))
    assert all(abs(one.sigmas) < 4 for one in again.figures)
    shifted = WholeEvents.of(CRYSTALS, deposits(truth, scale=1.01, seed=2))
    found = compare(truth, seen, shifted)
    energy = figure(found, "energy")
    assert energy.difference.value / energy.reference.value == pytest.approx(0.01, abs=0.003)
    assert energy.sigmas > 5
    assert energy.difference.error < 0.3 * energy.reference.error
    mass = figure(found, "pi0 mass")
    assert mass.difference.value / mass.reference.value == pytest.approx(0.01, abs=0.006)


def test_clusters_far_from_all_particles_are_extra(truth, seen):
    way = np.array([[1.0, 0.0, 0.0]])
    one = np.zeros(1, np.int64)
    alone = EventClusters(one, np.ones(1), np.ones(1), one, one, 940 * way)
    near = replace(truth, event=np.zeros(len(truth.event), np.int64))
    angle = np.arccos(np.clip(near.direction @ way[0], -1, 1))
    assert is_extra(alone, near.__class__(*(v[angle > 0.2] for v in vars(near).values())))[0]
    assert not is_extra(alone, near)[0]
    assert is_extra(alone, near.__class__(*(v[:0] for v in vars(near).values())))[0]
    # Every cluster here is of a particle.
    assert not is_extra(seen.clusters, truth).any()


def test_a_simulation_without_endcaps_is_said_to_lack_their_energy(truth, seen):
    barrel = {"BESIII_EMC_barrel": deposits(truth)["BESIII_EMC_barrel"]}
    found = compare(truth, seen, WholeEvents.of(CRYSTALS, barrel))
    endcaps = figure(found, "energy in BESIII_EMC_endcaps")
    assert endcaps.found.value == 0
    assert endcaps.sigmas < -5
    assert figure(found, "energy in BESIII_EMC_barrel").difference.value == 0


@pytest.mark.parametrize("at_once", [7, 500])
def test_hits_of_a_job_are_read_with_what_it_handed_on(tmp_path, monkeypatch, at_once):
    """In one go or in parts; the set's models of the day decide who is handed on."""
    monkeypatch.setattr(whole_events, "_AT_ONCE", at_once)
    given = reactions.jpsi_to_rho_pi(20, 3)
    # Kinds that no calorimeter's model simulates are always handed on.
    given.pdg[given.pdg == 211] = 3112
    reactions.write(tmp_path / "in.root", given)
    properties = CaloFastSimProperties(Model="besiii_emc/fast", ChargeAndMass="mend")
    io = IOSvcProperties(Input=[str(tmp_path / "in.root")], Output=str(tmp_path / "out.root"))
    loop = EventLoop(io, {"F": create("F", properties, Job())}, -1, {}, [])
    loop.run()
    found, seen, handed_on = whole_events.read(
        [tmp_path / "out.root"], CRYSTALS, "MCParticlesNotHandled"
    )
    assert (found.momentum == given.momentum).all()
    assert (found.child == given.child).all()
    assert seen.count == 20
    total = sum(energies.sum() for energies in seen.energies.values())
    assert total == pytest.approx(
        loop._algorithms["F"]._simulation.summary.energy.written, rel=1e-5
    )
    kinds = whole_events.handed_on_by_kind(handed_on, found, Truth.of(found, CRYSTALS))
    final = (given.pdg == 3112) & (given.generator_status == 1)
    assert kinds[3112][0] == final.sum()
    assert 0 < kinds[3112][2] <= kinds[3112][0]
    assert sum(number for number, *_ in kinds.values()) == len(handed_on)


def test_a_table_and_a_picture_show_all_figures(truth, seen):
    found = compare(truth, seen, seen)
    text = found.markdown()
    assert all(f"| {one.name}" in text for one in found.figures)
    assert len(found.data()) == len(found.figures)
    assert draw(found, "J/psi").startswith(b"\x89PNG")


def test_parts_of_a_sample_are_joined_as_they_were(particles):
    half = int(particles.offsets[EVENTS // 2])

    def part(rows, events, relations):
        columns = {
            name: column[rows]
            for name, column in vars(particles).items()
            if name not in ("offsets", "parent", "child")
        }
        first = rows.start
        offsets = particles.offsets[events] - first
        parent, child = (
            getattr(particles, name)[relations] - first for name in ("parent", "child")
        )
        return particles.__class__(offsets=offsets, parent=parent, child=child, **columns)

    early = particles.child < half
    both = [
        part(slice(0, half), slice(0, EVENTS // 2 + 1), early),
        part(slice(half, len(particles)), slice(EVENTS // 2, EVENTS + 1), ~early),
    ]
    again = joined(both)
    for name, column in vars(particles).items():
        assert (getattr(again, name) == column).all(), name

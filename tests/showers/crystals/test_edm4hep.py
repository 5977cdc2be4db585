"""Showers out of a full simulation's EDM4hep files: every deposit belongs to whom it stems from."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import fields, replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.detector import besiii
from k4calofast.events import typed
from k4calofast.events.columns import OWN_COLLECTION, Particles
from k4calofast.events.edm4hep import MC_PARTICLE
from k4calofast.events.fields import hit_fields
from k4calofast.events.frames import CollectionInfo
from k4calofast.events.reading import EventSource
from k4calofast.exceptions import FileFormatError, InvalidEventError, MissingCollectionError
from k4calofast.incidence import arrive
from k4calofast.showers.crystals import CrystalShowers, edm4hep
from k4calofast.showers.crystals.besiii_raw import nearest_arrival
from k4calofast.showers.crystals.windows import in_windows
from k4calofast.showers.hints import Hints

INPUT = Path(__file__).resolve().parents[3] / "options" / "input"
FULLSIM = INPUT / "fullsim.edm4hep.root"
HITS = "EMCBarrelCollectionFull"


@pytest.fixture(scope="module")
def make():
    """The script that writes the samples of the options files."""
    spec = importlib.util.spec_from_file_location("make", INPUT / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def simulated():
    """Source, frames, particles, hits and contributions of 40 events by Geant4."""
    source = EventSource([FULLSIM])
    frames = next(source.chunks(0, 40, 40))
    hits, contributions = typed.sim_hits(frames, HITS, source.infos)
    info = typed.find_collection(source.infos, "MCParticles", MC_PARTICLE.collection)
    return source, frames, typed.particles(frames, info), hits, contributions


@pytest.fixture(scope="module")
def showers():
    return edm4hep.read([FULLSIM], Hints(HITS))


@pytest.fixture
def changed(make, simulated, tmp_path, monkeypatch):
    """Write the events with other particles, hits or contributions."""
    source, frames, particles, hits, contributions = simulated
    monkeypatch.setattr(make, "HERE", tmp_path)

    def write(particles=particles, parent=None, hits=hits, contributions=contributions, target=""):
        infos = {info.name: info for info in source.infos}
        target = CollectionInfo.new(target or "MCParticles", MC_PARTICLE)
        parent = np.full(len(particles), -1) if parent is None else parent
        # What hits point to is the target, not what the sample has.
        own = np.full_like(contributions.collection, OWN_COLLECTION)
        contributions = replace(contributions, collection=own)
        own = np.full(len(contributions.energy), OWN_COLLECTION, np.uint32)
        members = hit_fields(
            infos[HITS],
            infos[f"{HITS}Contributions"],
            hits,
            replace(contributions, collection=own),
            target.collection_id,
        )
        make.write("changed", source, frames, make.mc_particles(particles, parent) | members, {})
        return tmp_path / "changed.edm4hep.root"

    return write


def total(showers: CrystalShowers) -> np.ndarray:
    return showers.energies.sum((1, 2), dtype=np.float64) + showers.beside


def test_windows_and_what_is_beside_them_hold_all_energy_of_the_hits(showers, simulated):
    hits = simulated[3]
    # Single precision of a few hundred cells.
    assert total(showers).sum() == pytest.approx(hits.energy.sum(dtype=np.float64), rel=1e-6)


def test_a_shower_is_the_sum_of_its_particles_contributions(showers, simulated, barrel):
    _, frames, particles, _, _ = simulated
    named = ak.to_numpy(ak.flatten(frames.array(f"_{HITS}Contributions_particle").index))
    parts = frames.array(f"{HITS}Contributions")
    event = np.repeat(np.arange(len(parts)), ak.to_numpy(ak.num(parts)))
    energy = ak.to_numpy(ak.flatten(parts.energy))
    deposit = np.bincount(particles.offsets[event] + named, energy, len(particles))
    arrivals, _ = arrive(particles, barrel)
    np.testing.assert_allclose(total(showers), deposit[arrivals.particle], rtol=1e-6)
    np.testing.assert_array_equal(showers.conditions, arrivals.conditions[:, :6])
    np.testing.assert_array_equal(showers.cell, arrivals.cell)
    np.testing.assert_array_equal(showers.pdg, particles.pdg[arrivals.particle])


def test_crystals_take_most_of_the_energy_and_never_more_than_there_is(showers):
    response = total(showers) / showers.momentum
    # A positron brings two electron masses more than its momentum.
    assert response.max() < 1.05
    # One photon in a hundred or so starts its shower late and leaves through the back.
    assert (response > 0.8).mean() > 0.98
    assert 0.93 < np.median(response) < 0.99


def test_the_cell_that_was_entered_is_in_the_middle_of_the_window(showers):
    central = showers.energies[:, 4:7, 4:7].sum((1, 2))
    assert np.median(central / total(showers)) > 0.85


def test_smaller_windows_leave_more_beside_them(showers):
    small = edm4hep.read([FULLSIM], Hints(HITS, window=(3, 5)))
    np.testing.assert_array_equal(small.energies, showers.energies[:, 4:7, 3:8])
    np.testing.assert_allclose(total(small), total(showers), rtol=1e-6)


def test_events_are_independent_of_chunks_and_files(showers, monkeypatch):
    monkeypatch.setattr(edm4hep, "_EVENTS_AT_ONCE", 7)
    twice = edm4hep.read([FULLSIM, FULLSIM], Hints(HITS))
    for name in CrystalShowers.columns:
        once = getattr(showers, name)
        np.testing.assert_array_equal(getattr(twice, name), np.concatenate([once, once]))


def test_other_kinds_are_counted_with_their_energy(showers, caplog):
    with caplog.at_level(logging.INFO):
        photons = edm4hep.read([FULLSIM], Hints(HITS, kinds=(22,)))
    assert set(photons.pdg) == {22}
    np.testing.assert_array_equal(photons.energies, showers.energies[showers.pdg == 22])
    missing = total(showers).sum() - total(photons).sum()
    assert f"with {missing:.4g} GeV of particles of other kinds" in caplog.text


def test_deposits_of_descendants_belong_to_the_nearest_ancestor_that_arrives(
    changed, simulated, showers
):
    _, _, particles, _, contributions = simulated
    # Each gun particle gets a daughter, and that one another, born in the crystals.
    count = len(particles)
    old = np.repeat(np.arange(count), 3)
    born = np.tile([0, 1, 2], count)
    columns = {
        field.name: getattr(particles, field.name)[old]
        for field in fields(Particles)
        if field.name not in ("offsets", "parent", "child")
    }
    family = Particles(offsets=particles.offsets * 3, **columns)
    family.vertex[born > 0] = [1000.0, 0.0, 0.0]
    family.endpoint[:] = [1000.0, 1.0, 0.0]
    family.simulator_status[:] = 1 << 30
    family.generator_status[born > 0] = 0
    own = np.arange(3 * count) - family.offsets[family.event_of(np.arange(3 * count))]
    parent = np.where(born > 0, own - 1, -1)
    # Deposits are by the three generations in turn.
    index = contributions.particle * 3 + np.arange(len(contributions.particle)) % 3
    file = changed(family, parent, contributions=replace(contributions, particle=index))
    again = edm4hep.read([file], Hints(HITS))
    for name in CrystalShowers.columns:
        np.testing.assert_array_equal(getattr(again, name), getattr(showers, name))


def test_an_electron_that_radiated_in_front_has_what_it_had_left_at_the_face(changed, simulated):
    """Each electron of a full simulation gives .4 of its momentum to a photon on its way."""
    _, _, particles, _, contributions = simulated
    count, electron = len(particles), np.abs(particles.pdg) == 11
    columns = {
        field.name: np.repeat(getattr(particles, field.name), 2, axis=0)
        for field in fields(Particles)
        if field.name not in ("offsets", "parent", "child")
    }
    family = Particles(offsets=particles.offsets * 2, **columns)
    # Behind the face, and that the simulation followed them there.
    family.endpoint[:] = [1000.0, 1.0, 0.0]
    family.simulator_status[:] = 1 << 26
    family.pdg[1::2] = np.where(electron, 22, 12)
    family.charge[1::2] = family.mass[1::2] = 0
    family.generator_status[1::2] = np.where(electron, 0, 1)
    family.momentum[1::2] *= 0.4
    direction = particles.momentum / np.linalg.norm(particles.momentum, axis=1)[:, None]
    family.vertex[1::2] += 200 * direction
    own = np.arange(2 * count) - family.offsets[family.event_of(np.arange(2 * count))]
    parent = np.where(np.tile([False, True], count) & np.repeat(electron, 2), own - 1, -1)
    file = changed(
        family, parent, contributions=replace(contributions, particle=contributions.particle * 2)
    )
    showers = edm4hep.read([file], Hints(HITS, kinds=(11, -11)))
    before = np.linalg.norm(particles.momentum[electron], axis=1)
    # Some of them curl up now.
    assert len(showers) > electron.sum() / 2
    nearest = np.abs(showers.momentum[:, None] / (0.6 * before) - 1).min(1)
    assert nearest.max() < 1e-3


def test_what_belongs_to_nobody_is_counted(changed, simulated, caplog):
    contributions = simulated[-1]
    index = contributions.particle.copy()
    index[::10] = -1
    lost = contributions.energy[::10].sum(dtype=np.float64)
    file = changed(contributions=replace(contributions, particle=index))
    showers = edm4hep.read([file], Hints(HITS))
    kept = contributions.energy.sum(dtype=np.float64) - lost
    assert total(showers).sum() == pytest.approx(kept, rel=1e-6)
    said = f"{len(index[::10])} contributions to '{HITS}' with {lost:.4g} GeV that stem from no"
    assert said in caplog.text


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_the_nearest_arrival_is_oneself_or_ones_mothers(family, random):
    # The mother of each particle is one of those before it.
    mother = np.array(
        [chosen % number if number else -1 for number, (_, chosen) in enumerate(family)]
    )
    arrival = np.array([number if arrives else -1 for number, (arrives, _) in enumerate(family)])
    child = np.flatnonzero(mother >= 0)
    order = np.array(random.sample(range(len(child)), len(child)), np.int64)
    found = nearest_arrival(arrival, child[order], mother[child[order]])
    for number, (arrives, _) in enumerate(family):
        expected = number if arrives else -1 if mother[number] < 0 else found[mother[number]]
        assert found[number] == expected


@given(
    st.lists(st.integers(0, 5279), min_size=1, max_size=5),
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(-1, 5279), st.floats(0, 10)),
        min_size=1,
        max_size=60,
    ),
)
def test_no_deposit_is_lost_between_windows_and_what_is_beside(entered, deposits):
    barrel = besiii.barrel()
    shower, cell, energy = (np.array(column) for column in zip(*deposits, strict=True))
    shower = shower % len(entered)
    # Some deposits right where the particle entered.
    shower, energy = (
        np.append(shower, np.arange(len(entered))),
        np.append(energy, [1.0] * len(entered)),
    )
    cell = np.append(cell, entered)
    energies, beside = in_windows(barrel, np.array(entered), (11, 11), shower, cell, energy)
    deposit = np.bincount(shower, energy)
    np.testing.assert_allclose(energies.sum((1, 2)) + beside, deposit, rtol=1e-5)
    window = barrel.window(np.array(entered), (11, 11))
    assert not energies[window < 0].any()
    for number, place in enumerate(window):
        there = (shower == number) & (cell == place[5, 5])
        assert energies[number, 5, 5] == pytest.approx(energy[there].sum(), rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, -0.1])
@pytest.mark.parametrize("what", ["hits", "contributions"])
def test_impossible_energies_are_refused(changed, simulated, what, value):
    columns = dict(zip(("hits", "contributions"), simulated[3:], strict=True))[what]
    energy = columns.energy.copy()
    energy[3] = value
    file = changed(**{what: replace(columns, energy=energy)})
    with pytest.raises(InvalidEventError, match=rf"changed.*1 {what}.*'{HITS}' .* NaN or negative"):
        edm4hep.read([file], Hints(HITS))


def test_particles_that_are_not_numbers_are_refused(changed, simulated):
    particles = simulated[2]
    momentum = particles.momentum.copy()
    momentum[5] = np.nan
    file = changed(replace(particles, momentum=momentum))
    with pytest.raises(InvalidEventError, match=r"changed.*'MCParticles'.* not a number"):
        edm4hep.read([file], Hints(HITS))


def test_contributions_beyond_the_particles_are_refused(changed, simulated):
    index = simulated[-1].particle.copy()
    index[7] = 1000
    file = changed(contributions=replace(simulated[-1], particle=index))
    with pytest.raises(InvalidEventError, match="beyond the particles"):
        edm4hep.read([file], Hints(HITS))


def test_contributions_that_name_other_particles_are_refused(changed):
    with pytest.raises(MissingCollectionError, match=r"name particles of 'ID [0-9]+', not of"):
        edm4hep.read([changed(target="MCParticlesFlagged")], Hints(HITS))


def test_hits_without_contributions_are_of_nobody(changed, simulated):
    hits, contributions = simulated[3:]
    nothing = type(contributions)(
        *(getattr(contributions, field.name)[:0] for field in fields(contributions))
    )
    bare = replace(hits, contributions=np.zeros_like(hits.contributions))
    with pytest.raises(InvalidEventError, match="no contributions"):
        edm4hep.read([changed(hits=bare, contributions=nothing)], Hints(HITS))


def test_a_file_without_the_collections_says_which_there_are():
    with pytest.raises(MissingCollectionError, match=rf"fullsim.*'Other'.* there is {HITS}"):
        edm4hep.read([FULLSIM], Hints("Other"))
    with pytest.raises(MissingCollectionError, match=r"fullsim.*'Other'.* there is MCParticles"):
        edm4hep.read([FULLSIM], Hints(HITS, particles="Other"))
    with pytest.raises(MissingCollectionError, match=r"particles.*EMCBarrelCollection"):
        edm4hep.read([INPUT / "particles.edm4hep.root"])


def test_no_showers_are_no_sample():
    with pytest.raises(FileFormatError, match=r"fullsim.*no showers: .* kinds 13, -13 arrives"):
        edm4hep.read([FULLSIM], Hints(HITS, kinds=(13, -13)))
    with pytest.raises(FileFormatError, match="no files"):
        edm4hep.read([], Hints(HITS))


@pytest.mark.parametrize(
    ("name", "hits"),
    [
        ("ild_photon43GeV_single_event_example.edm4hep.root", "ECalBarrelSiHitsEven"),
        ("odd_piplus10GeV_10ev_pyedm4hep_sample_event.root", "ECalBarrelCollection"),
    ],
)
def test_hits_of_other_detectors_are_refused(edm4hep_file, name, hits):
    with pytest.raises(FileFormatError, match=rf"'{hits}' have cell IDs that belong to no cell"):
        edm4hep.read([edm4hep_file(name)], Hints(hits))

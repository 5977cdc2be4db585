"""What is shown of an event is what the file says: cells, whose deposits they hold, who is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from k4calofast.display.reading import read
from k4calofast.events import typed
from k4calofast.events.reading import EventSource
from k4calofast.exceptions import (
    FileFormatError,
    InvalidEventError,
    MissingCollectionError,
    SteeringError,
)

OPTIONS = Path(__file__).resolve().parents[2] / "options"
FULL = OPTIONS / "input" / "fullsim.edm4hep.root"
BOTH = ("EMCBarrelCollection", "EMCEndcapCollection")


def hits_of(file, name, entry):
    source = EventSource([file])
    return typed.sim_hits(next(source.chunks(entry, entry + 1, 1)), name, source.infos)


def test_all_energy_of_an_event_is_shown_with_the_particle_that_left_it(besiii_file):
    (event,) = read(besiii_file, [2]).events
    found = [hits_of(besiii_file, name, 2) for name in BOTH]
    cells, energy = (
        np.concatenate([getattr(hits, name) for hits, _ in found]) for name in ("cell_id", "energy")
    )
    whose, left = (
        np.concatenate([getattr(parts, name) for _, parts in found])
        for name in ("particle", "energy")
    )
    assert (event.entry, event.run, event.number) == (2, 1, 2)
    assert set(event.cells.cell_id) == set(cells)
    assert event.deposits.energy.sum() == pytest.approx(energy.sum(), rel=1e-6)
    assert event.deposited()[-1] == 0
    by_particle = np.bincount(whose, left)
    assert sorted(event.deposited()[event.deposited() > 0]) == pytest.approx(
        sorted(by_particle[by_particle > 0])
    )
    energies = [particle.energy for particle in event.particles]
    assert energies == sorted(energies, reverse=True)


def test_cells_are_the_solids_that_hits_are_in(besiii_file, cld_file):
    for file, size in ((besiii_file, 280.0), (cld_file, 5.1)):
        scene = read(file, [0])
        cells = scene.events[0].cells
        # Where some crystals have five sides, corners of the others are there twice.
        middles = np.stack([np.unique(solid, axis=0).mean(0) for solid in cells.solids])
        assert np.abs(middles - cells.position).max() < 1e-2
        longest = np.ptp(cells.solids, axis=1).max()
        assert size < longest < 1.5 * size
    (collection,) = scene.collections
    assert collection.calorimeter.name == "CLD_ECAL_barrel"


def test_what_was_handed_on_is_listed_and_counted(besiii_file):
    scene = read(besiii_file, range(10))
    assert [event.entry for event in scene.events] == list(range(10))
    for event in scene.events:
        handed_on = [one for one in event.particles if one.handed_on]
        counted = sum(n for meaning, n, _ in event.fates if meaning.startswith("handed on"))
        assert len(handed_on) == counted
        showered = sum(e for meaning, _, e in event.fates if meaning.startswith("showered"))
        seen = sum(one.energy for one in event.particles if not one.handed_on)
        assert seen == pytest.approx(showered, rel=1e-5)
    assert any(one.handed_on for event in scene.events for one in event.particles)


def test_a_full_simulation_under_another_name_is_in_the_same_crystals():
    scene = read(FULL, [0, 3])
    (collection,) = scene.collections
    assert collection.name == "EMCBarrelCollectionFull"
    assert collection.calorimeter.name == "BESIII_EMC_barrel"
    assert all(np.isfinite(event.cells.solids).all() for event in scene.events)
    assert all(event.fates == () for event in scene.events)


def test_of_a_real_ild_file_the_silicon_has_cells_and_the_rest_has_places(edm4hep_file):
    scene = read(edm4hep_file("ild_photon43GeV_single_event_example.edm4hep.root"), [0])
    known = {
        one.name: one.calorimeter and one.calorimeter.name
        for one in scene.collections
        if one.name.startswith("ECalBarrel")
    }
    assert known == {
        "ECalBarrelScHitsEven": None,
        "ECalBarrelScHitsOdd": None,
        "ECalBarrelSiHitsEven": "ILD_ECAL_barrel",
        "ECalBarrelSiHitsOdd": "ILD_ECAL_barrel",
    }
    # Electrons of the shower are shown with the photon that made it.
    (event,) = scene.events
    assert event.particles[0].pdg == 22
    assert event.deposited()[0] == pytest.approx(event.deposits.energy.sum(), rel=1e-6)


def test_hits_of_a_detector_that_is_not_known_are_shown_where_they_are(edm4hep_file):
    file = edm4hep_file("odd_piplus10GeV_10ev_pyedm4hep_sample_event.root")
    scene = read(file, [4], ["ECalBarrelCollection"])
    assert scene.calorimeters == ()
    (event,) = scene.events
    assert np.isnan(event.cells.solids).all()
    assert np.isfinite(event.cells.position).all()
    pion = event.particles[0]
    assert pion.pdg == 211
    assert len(pion.way) == 2


def test_hits_without_contributions_are_shown_and_the_page_says_what_is_unknown(
    besiii_file, job, tmp_path
):
    options = tmp_path / "drop.py"
    options.write_text(
        "from Configurables import EventDataSvc\n"
        "from k4FWCore import ApplicationMgr, IOSvc\n"
        "io = IOSvc('IOSvc')\n"
        f"io.Input = [{str(besiii_file)!r}]\n"
        "io.Output = 'bare.root'\n"
        "io.outputCommands = ['keep *', 'drop EMC*Contributions']\n"
        "services = [EventDataSvc('EventDataSvc')]\n"
        "ApplicationMgr(TopAlg=[], EvtSel='NONE', EvtMax=1, ExtSvc=services)\n"
    )
    job(tmp_path / "bare.root", str(options))
    (event,) = read(tmp_path / "bare.root", [0]).events
    (whole,) = read(besiii_file, [0]).events
    assert event.deposits.energy.sum() == pytest.approx(whole.deposits.energy.sum())
    assert np.isnan(event.deposits.time).all()
    assert (event.deposits.particle == -1).all()
    assert event.notes == tuple(
        f"{name} has no contributions: whose its hits are, and when, is unknown." for name in BOTH
    )


def test_what_cannot_be_shown_is_one_sentence(besiii_file, tmp_path):
    with pytest.raises(SteeringError, match="no event 10; they are numbered 0 to 9"):
        read(besiii_file, [0, 10])
    with pytest.raises(SteeringError, match="no events are asked for"):
        read(besiii_file, [])
    with pytest.raises(MissingCollectionError, match="no SimCalorimeterHits 'Hits'; there are EMC"):
        read(besiii_file, [0], ["Hits"])
    with pytest.raises(MissingCollectionError, match="no SimCalorimeterHits: nothing to show"):
        read(OPTIONS / "input" / "particles.edm4hep.root", [0])
    with pytest.raises(FileFormatError, match="not a ROOT file"):
        read(OPTIONS / "fastsim.py", [0])
    with pytest.raises(FileFormatError, match="no such file"):
        read(tmp_path / "nothing.root", [0])


def test_an_event_without_hits_is_refused_alone_and_shown_among_others(job, tmp_path):
    # Where photons alone are simulated, events of electrons stay empty.
    file = job(tmp_path / "hits.root", "fastsim.py", "-n6", "--CaloFastSim.PDG", "22")
    filled = [len(hits_of(file, "EMCBarrelCollection", entry)[0].energy) > 0 for entry in range(6)]
    assert True in filled
    empty = filled.index(False)
    with pytest.raises(
        InvalidEventError,
        match=f"no hits in event {empty}: EMCBarrelCollection, EMCEndcapCollection are",
    ):
        read(file, [empty])
    scene = read(file, range(6))
    assert [len(event.cells.energy) > 0 for event in scene.events] == filled

"""EDM4hep files of others become arrays with the same numbers as in the files."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

import k4calofast
from k4calofast.exceptions import FileFormatError, MissingCollectionError, SteeringError

INPUT = Path(__file__).resolve().parents[2] / "options" / "input"


@pytest.mark.parametrize(
    "name",
    [
        "ild_photon43GeV_single_event_example.edm4hep.root",
        "odd_piplus10GeV_10ev_pyedm4hep_sample_event.root",
        "coffea_edm4hep_all_types.root",
        "jl_EDM4hep_TTree_podio1.0.1.root",
        "ee_Zee_91GeV.edm4hep.root",
    ],
)
def test_trees_of_others_are_read_as_uproot_reads_them(edm4hep_file, name):
    file = edm4hep_file(name)
    events = k4calofast.open(file)
    tree = uproot.open(file)["events"]
    assert len(events) == tree.num_entries
    for collection in events.collections:
        there = tree[f"{collection}.energy"].array()
        assert ak.array_equal(events[collection].energy, there, check_parameters=False)
        x, y = (tree[f"{collection}.position.{axis}"].array() for axis in "xy")
        assert ak.all(abs(events[collection].rho - np.hypot(x, y)) < 1e-3)
    number = sum(ak.count(events[collection].energy) for collection in events.content.hits)
    assert ak.count(events.hits.energy) == number
    momentum = tree[f"{events.content.particles}.momentum.z"].array()
    assert ak.array_equal(events.particles.pz, ak.values_astype(momentum, float))


def test_a_tree_and_an_rntuple_of_the_same_events_are_the_same(edm4hep_file):
    for name in ("ee_Zee_91GeV", "jpsi_rhopi"):
        tree, ntuple = (
            k4calofast.open(edm4hep_file(f"{name}{kind}.edm4hep.root")) for kind in ("", ".rntuple")
        )
        assert ak.to_list(tree) == ak.to_list(ntuple)
    assert ak.num(ntuple.particles).tolist()[:2] == ak.num(tree.particles).tolist()[:2]


def test_relations_are_indices_in_the_event(edm4hep_file):
    events = k4calofast.open(edm4hep_file("ee_Zee_91GeV.edm4hep.root"))
    for event in events:
        for number, particle in enumerate(event.particles):
            for daughter in particle.daughters:
                assert number in event.particles[daughter].parents.tolist()


def test_contributions_of_a_full_simulation_point_to_its_particles():
    events = k4calofast.open(INPUT / "fullsim.edm4hep.root")
    parts = events.hits.contributions
    assert ak.all(parts.particle >= 0)
    assert ak.all(parts.particle < ak.num(events.particles)[:, np.newaxis, np.newaxis])
    assert ak.all(abs(ak.sum(parts.energy, axis=2) - events.hits.energy) < 1e-5)
    assert ak.all(events.hits.time == ak.min(parts.time, axis=2))


def test_what_others_wrote_is_written_again(edm4hep_file, tmp_path):
    events = k4calofast.open(edm4hep_file("ild_photon43GeV_single_event_example.edm4hep.root"))
    events.to_edm4hep(tmp_path / "again.root")
    again = k4calofast.open(tmp_path / "again.root")
    assert again.collections == events.collections
    for field in ("particles", "hits"):
        assert ak.array_equal(again[field], events[field])
    assert {*events.hits.layer.tolist()[0]} != {-1}


def test_a_part_of_the_events_and_collections_is_read():
    file = INPUT / "fullsim.edm4hep.root"
    whole = k4calofast.open(file)
    part = k4calofast.open(file, start=3, stop=5)
    assert ak.to_list(part) == ak.to_list(whole[3:5])
    assert len(k4calofast.open(file, start=1000)) == 0
    assert len(k4calofast.open([file, file], start=39, stop=41)) == 2
    none = k4calofast.open(file, collections=[])
    assert none.collections == ()
    assert ak.count(none.hits.energy) == 0
    assert ak.array_equal(none.particles.px, whole.particles.px)


def test_digits_are_beside_hits(tmp_path):
    from k4calofast.properties import CaloDigitiserProperties
    from k4calofast.steering.algorithms import Job, create
    from k4calofast.steering.configurables import IOSvcProperties
    from k4calofast.steering.loop import EventLoop

    output = tmp_path / "digits.root"
    io = IOSvcProperties(Input=[str(INPUT / "fullsim.edm4hep.root")], Output=str(output))
    digitiser = CaloDigitiserProperties(InputHits=["EMCBarrelCollectionFull"], EmptyCells=False)
    EventLoop(io, {"D": create("D", digitiser, Job())}, 5, {}, []).run()
    events = k4calofast.open(output)
    assert events.collections == ("EMCBarrelCollectionFull", "EMCBarrelDigis")
    assert ak.count(events.hits.energy) > ak.count(events.digits.energy) > 0
    assert ak.all(events.EMCBarrelDigis.energy_error > 0)
    events.to_edm4hep(tmp_path / "again.root")
    assert ak.array_equal(k4calofast.open(tmp_path / "again.root").digits, events.digits)


def test_hits_whose_contributions_were_dropped_are_still_hits(tmp_path):
    from k4calofast.steering.configurables import IOSvcProperties
    from k4calofast.steering.loop import EventLoop

    output = tmp_path / "dropped.root"
    drop = ["keep *", "drop *Contributions"]
    given = INPUT / "fullsim.edm4hep.root"
    io = IOSvcProperties(Input=[str(given)], Output=str(output), outputCommands=drop)
    EventLoop(io, {}, 3, {}, []).run()
    events, whole = k4calofast.open(output), k4calofast.open(given, stop=3)
    assert ak.array_equal(events.hits.energy, whole.hits.energy)
    assert ak.count(events.hits.contributions.energy) == 0


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"path": "no/such.root"}, FileFormatError, "no such file"),
        ({"path": []}, SteeringError, "no file"),
        ({"path": __file__}, FileFormatError, "not a ROOT file"),
        ({"collections": ["Ecal"]}, MissingCollectionError, "there are EMCBarrelCollectionFull"),
        ({"particles": "Tracks"}, MissingCollectionError, "there are MCParticles"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(arguments, kind, said):
    with pytest.raises(kind, match=said) as error:
        k4calofast.open(**{"path": INPUT / "fullsim.edm4hep.root"} | arguments)
    assert "\n" not in str(error.value)

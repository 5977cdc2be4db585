"""The door as C++ uses it: buffers of one event in, arrays out, the same hits as from files."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from k4calofast.engine import FastSimulation
from k4calofast.events.columns import EventKeys
from k4calofast.events.edm4hep import FAST_SIMULATED_BIT
from k4calofast.exceptions import InvalidEventError, ModelError, OutOfDomainError, SteeringError
from k4calofast.gaudi import create
from k4calofast.gaudi.columns import hit_arrays
from k4calofast.properties import CaloFastSimProperties

MEMBERS = {
    "PDG": ("pdg", np.int32),
    "generatorStatus": ("generator_status", np.int32),
    "simulatorStatus": ("simulator_status", np.int32),
    "charge": ("charge", np.float32),
    "time": ("time", np.float32),
    "mass": ("mass", np.float64),
    "vertex": ("vertex", np.float64),
    "endpoint": ("endpoint", np.float64),
    "momentum": ("momentum", np.float64),
    "momentumAtEndpoint": ("momentum_at_endpoint", np.float64),
}


def buffers_of(particles, event: int, run: int = 1, **more):
    """What C++ passes for one event: read-only memory, in EDM4hep's types."""
    rows = slice(*particles.offsets[event : event + 2])
    arrays = {
        "header.run": np.array([run], np.uint32),
        "header.event": np.array([event], np.uint64),
        "number": np.array([event], np.uint64),
        "parents.child": np.zeros(0, np.int64),
        "parents.parent": np.zeros(0, np.int64),
    }
    for member, (column, dtype) in MEMBERS.items():
        arrays[f"particles.{member}"] = np.ascontiguousarray(
            getattr(particles, column)[rows], dtype
        )
    return {name: memoryview(array).toreadonly() for name, array in (arrays | more).items()}


@pytest.fixture(scope="module")
def particles(shot):
    return shot(8, ParticlesPerEvent=3)


def bits(arrays):
    return {name: array.tobytes() for name, array in arrays.items()}


def test_hits_are_those_of_the_engine(particles):
    keys = EventKeys(np.ones(8, np.uint32), np.arange(8, dtype=np.uint64))
    expected = FastSimulation(CaloFastSimProperties(Seed=3)).simulate(keys, particles)
    component = create("CaloFastSim", {"Seed": 3})
    for event in range(8):
        arrays = component.execute(buffers_of(particles, event))
        for number, made in enumerate(expected.regions):
            hits = hit_arrays(f"region{number}", *made, event)
            assert bits({name: arrays[name] for name in hits}) == bits(hits)
        start, stop = expected.not_handled_offsets[event : event + 2]
        assert arrays["notHandled"].tolist() == expected.not_handled[start:stop].tolist()
        assert all(array.flags.c_contiguous for array in arrays.values())


def test_types_and_shapes_are_those_that_cpp_reads(particles):
    arrays = create("CaloFastSim", {}).execute(buffers_of(particles, 0))
    # Those of the barrel, and of the endcaps.
    expected = {
        f"region{number}.{name}": (hits.dtype, hits.ndim)
        for number in (0, 1)
        for name, hits in NO_HITS.items()
    } | {
        "notHandled": (np.int32, 1),
        "simulatorStatus": (np.int32, 1),
        "fateNumbers": (np.int32, 1),
        "fateEnergies": (np.float64, 1),
    }
    assert {name: (array.dtype, array.ndim) for name, array in arrays.items()} == expected


def test_only_those_that_are_listed_are_simulated_and_counted(particles):
    """With the showers that they have in the company of all."""
    component = create("CaloFastSim", {})
    for event in range(8):
        whole = component.execute(buffers_of(particles, event))
        part = component.execute(buffers_of(particles, event, listed=np.array([2, 2, 0])))
        for region in ("region0", "region1"):
            of = whole[f"{region}.contributions.particle"]
            for name in ("particle", "energy", "time"):
                all_of_it = whole[f"{region}.contributions.{name}"]
                expected = all_of_it[(of == 0) | (of == 2)]
                assert part[f"{region}.contributions.{name}"].tolist() == expected.tolist()
        assert part["fateNumbers"].sum() == 2
        left = [index for index in whole["notHandled"].tolist() if index in (0, 2)]
        assert part["notHandled"].tolist() == left
        nobody = component.execute(buffers_of(particles, event, listed=np.zeros(0, np.int64)))
        assert len(nobody["region0.hits.cellID"]) == len(nobody["region1.hits.cellID"]) == 0
        assert len(nobody["notHandled"]) == 0
        assert not nobody["fateEnergies"].any()


def test_outputs_that_the_options_do_not_name_have_the_detectors_names():
    component = create("CaloFastSim", {"Model": "cld_ecal_barrel/layered"})
    hits = "ECalBarrelCollection"
    expected = {"OutputHits": [hits], "OutputContributions": [f"{hits}Contributions"]}
    assert component.outputs() == expected
    said = component.metadata()
    assert said[f"{hits}__ModelName"] == "cld_ecal_barrel/layered"
    assert {key.partition("__")[0] for key in said} == {hits}


def test_an_event_without_particles_has_no_hits(shot):
    empty = buffers_of(shot(1), 0)
    for name in MEMBERS:
        column = np.asarray(empty[f"particles.{name}"])
        empty[f"particles.{name}"] = memoryview(column[:0])
    arrays = create("CaloFastSim", {}).execute(empty)
    assert len(arrays["region0.hits.cellID"]) == 0
    assert arrays["region0.hits.contributions"].tolist() == [0]


NO_HITS = {
    "hits.cellID": np.zeros(0, np.uint64),
    "hits.energy": np.zeros(0, np.float32),
    "hits.position": np.zeros((0, 3), np.float32),
    "hits.contributions": np.zeros(1, np.int64),
    "contributions.particle": np.zeros(0, np.int32),
    "contributions.PDG": np.zeros(0, np.int32),
    "contributions.energy": np.zeros(0, np.float32),
    "contributions.time": np.zeros(0, np.float32),
    "contributions.stepPosition": np.zeros((0, 3), np.float32),
    "contributions.stepLength": np.zeros(0, np.float32),
}


def test_an_event_without_hits_has_digits_of_noise_alone_or_none():
    header = {
        "header.run": np.ones(1, np.uint32),
        "header.event": np.ones(1, np.uint64),
        "number": np.zeros(1, np.uint64),
    }
    event = header | {f"sim0.{name}": column for name, column in NO_HITS.items()}
    arrays = create("CaloDigitiser", {"EmptyCells": False}).execute(event)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: (0, 3) if name == "digits0.position" else (0,) for name in arrays
    }
    noise = create("CaloDigitiser", {}).execute(event)
    assert noise.keys() == arrays.keys()
    assert len(noise["digits0.energy"]) > 50
    assert (noise["digits0.hit"] == -1).all()
    assert all(array.flags.c_contiguous for array in noise.values())


NO_PARTICLES = {
    member: np.zeros((0, 3) if dtype == np.float64 and member != "mass" else 0, dtype)
    for member, (_, dtype) in MEMBERS.items()
}


def merger_buffers(particles):
    """Particles without hits, for the merger."""
    return {
        "number": np.array([7], np.uint64),
        **{f"particles.{member}": column for member, column in particles.items()},
        "parents.child": np.zeros(0, np.int64),
        "parents.parent": np.zeros(0, np.int64),
        "notHandled": np.zeros(0, np.int32),
        **{f"others.{member}": column for member, column in NO_PARTICLES.items()},
        "others.index": np.zeros(0, np.int64),
        **{f"{of}.{name}": column for of in ("fast", "full") for name, column in NO_HITS.items()},
    }


def one_hit_each(of: str, particles: list[int], energy: float = 1.0):
    """Hits of one contribution each."""
    count = len(particles)
    columns = {name: np.zeros((count, *c.shape[1:]), c.dtype) for name, c in NO_HITS.items()}
    columns |= {
        "hits.cellID": np.arange(count, dtype=np.uint64),
        "hits.energy": np.full(count, energy, np.float32),
        "hits.contributions": np.arange(count + 1),
        "contributions.particle": np.array(particles, np.int32),
        "contributions.energy": np.full(count, energy, np.float32),
    }
    return {f"{of}.{name}": column for name, column in columns.items()}


@pytest.fixture
def two_collections(shot):
    """A flagged photon and another; as others, its original, a background particle, a third."""
    signal, background = shot(1, ParticlesPerEvent=2), shot(1, ParticlesPerEvent=2, Seed=2)
    ours, theirs = (
        {member: np.array(getattr(these, column)) for member, (column, _) in MEMBERS.items()}
        for these in (signal, background)
    )
    ours["simulatorStatus"][0] = 1 << FAST_SIMULATED_BIT
    others = {
        f"others.{member}": np.concatenate([ours[member][:1], theirs[member]]) for member in ours
    }
    others["others.simulatorStatus"][:] = 0
    return merger_buffers(ours) | others | {"others.index": np.array([0, 0, 1])}


def test_a_merger_tells_copies_of_its_particles_from_those_of_other_collections(two_collections):
    """Rows: 0 and 1 are the particles, 2 the copy of 0, 3 and 4 of another collection."""
    merger = create("CaloHitMerger", {})
    given = {"notHandled": np.array([1], np.int32)} | one_hit_each("full", [0, 1, 2, 3, 4, -1])
    arrays = merger.execute(two_collections | given)
    assert arrays["merged.contributions.particle"].tolist() == [1, 3, 4, -1]
    assert arrays["merged.hits.cellID"].tolist() == [1, 3, 4, 5]
    assert any(line.startswith("2 contributions with 2 GeV") for line in merger.finish())
    given["notHandled"] = np.array([3], np.int32)
    with pytest.raises(InvalidEventError, match=r"^event entry 7: .* not in 'MCParticles'"):
        merger.execute(two_collections | given)


@pytest.mark.parametrize("energy", [np.nan, np.inf, -1.0])
def test_energies_that_cannot_be_are_refused_with_event_and_collection(two_collections, energy):
    header = {
        "header.run": np.ones(1, np.uint32),
        "header.event": np.ones(1, np.uint64),
        "number": np.zeros(1, np.uint64),
    }
    sentence = rf"^run 1, event 1: a hit of 'EMCBarrelCollection' has an energy of {energy}"
    with pytest.raises(InvalidEventError, match=sentence):
        create("CaloDigitiser", {}).execute(header | one_hit_each("sim0", [-1], energy))
    sentence = rf"^event entry 7: a hit of 'EMCBarrelCollectionFast' has an energy of {energy}"
    with pytest.raises(InvalidEventError, match=sentence):
        create("CaloHitMerger", {}).execute(two_collections | one_hit_each("fast", [0], energy))


def test_an_event_without_hits_stays_without_when_merged():
    arrays = create("CaloHitMerger", {}).execute(merger_buffers(NO_PARTICLES))
    nothing = {f"merged.{name}": column for name, column in NO_HITS.items()}
    assert bits(arrays) == bits(nothing)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: column.shape for name, column in nothing.items()
    }


def test_a_seed_of_the_event_takes_the_place_of_the_property(particles):
    def energies(properties, **more):
        arrays = create("CaloFastSim", properties).execute(buffers_of(particles, 0, **more))
        return arrays["region0.hits.energy"].tobytes()

    own, given = energies({"Seed": 5}), energies({"Seed": 1}, seed=np.array([5], np.uint64))
    assert own == given
    assert own != energies({"Seed": 1})


def test_flags_are_set_for_those_who_showered(particles):
    component = create("CaloFastSim", {"PDG": [22], "OutputMCParticles": ["Flagged"]})
    arrays = component.execute(buffers_of(particles, 0))
    flagged = arrays["simulatorStatus"] >> FAST_SIMULATED_BIT & 1 == 1
    both = [arrays[f"region{number}.contributions.particle"] for number in (0, 1)]
    assert set(np.flatnonzero(flagged)) == set(np.concatenate(both))
    assert set(np.flatnonzero(~flagged)) == set(arrays["notHandled"])


@pytest.mark.parametrize(
    ("properties", "error", "sentence"),
    [
        ({"OutOfRange": "perhaps"}, SteeringError, "^OutOfRange: "),
        ({"InputMCParticles": []}, SteeringError, "^InputMCParticles: .*at least 1 item"),
        (
            {"OutputHits": ["A", "B", "C"], "Model": "besiii_emc_barrel/fast"},
            SteeringError,
            r"^OutputHits names 3 and OutputContributions names 0 collections; give one for each "
            r"region \(BESIII_EMC_barrel\), one more for each that showers go on into "
            r"\(BESIII_EMC_endcaps\), or none",
        ),
        (
            {"OutputNotHandled": ["EMCBarrelCollection"]},
            SteeringError,
            "^OutputNotHandled and Outp",
        ),
        ({"Threads": 0}, SteeringError, "^Threads: "),
        ({"Model": "nowhere"}, ModelError, "^Model: no model 'nowhere'; there are besiii"),
        ({"PDG": [15]}, SteeringError, "^PDG chooses 15, but model .* simulates"),
    ],
)
def test_a_wrong_property_is_named(properties, error, sentence):
    with pytest.raises(error, match=sentence):
        create("CaloFastSim", properties)


def test_errors_in_an_event_say_where(shot):
    hard = shot(1, MomentumMin=50, MomentumMax=60, PDG=[22], ThetaMin=60, ThetaMax=80)
    component = create("CaloFastSim", {"OutOfRange": "fail"})
    with pytest.raises(OutOfDomainError, match=r"run 1, event 0: MCParticle 0 .*OutOfRange"):
        component.execute(buffers_of(hard, 0))
    two = buffers_of(hard, 0) | {"header.run": memoryview(np.ones(2, np.uint32))}
    with pytest.raises(InvalidEventError, match="2 EventHeaders in 'EventHeader'"):
        component.execute(two)


def test_the_gun_counts_from_its_first_event():
    gun = create("CaloParticleGun", {"FirstEvent": 10, "Run": 7})
    arrays = gun.execute({"number": np.array([5], np.uint64)})
    assert arrays["header.event"].tolist() == [15]
    assert arrays["header.run"].tolist() == [7]
    other = create("CaloParticleGun", {"FirstEvent": 15, "Run": 7})
    assert bits(arrays) == bits(other.execute({"number": np.array([0], np.uint64)}))


def test_neither_file_formats_nor_root_are_imported():
    """k4run's process has podio and ROOT of its own, and need not have uproot."""
    code = (
        "import sys, json\n"
        "from k4calofast.gaudi import create\n"
        "kinds = ('CaloFastSim', 'CaloParticleGun', 'CaloHitMerger', 'CaloDigitiser')\n"
        "components = [create(kind, {}) for kind in kinds]\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    assert "k4calofast.gaudi.components" in modules
    assert not {"ROOT", "podio", "edm4hep", "torch", "k4calofast.steering"} & modules

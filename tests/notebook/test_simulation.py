"""What is simulated from Python is what a job makes of the same particles."""

from __future__ import annotations

import shutil
import warnings
from functools import cache
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

import k4calofast
from k4calofast.events.frames import CONFIGURATION
from k4calofast.events.layout import read_parameters
from k4calofast.events.reading import EventSource
from k4calofast.exceptions import (
    InvalidEventError,
    K4CaloFastError,
    NotSimulatedWarning,
    OutOfDomainError,
    SteeringError,
)
from k4calofast.notebook import simulation
from k4calofast.properties import CaloFastSimProperties
from k4calofast.steering.algorithms import Job, create
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.loop import EventLoop

INPUT = Path(__file__).resolve().parents[2] / "options" / "input"
FAST, LAYERED = "besiii_emc_barrel/fast", "cld_ecal_barrel/layered"
HITS = "EMCBarrelCollection"


@cache
def simulated(sample: str, model: str, events: int):
    """Events of a sample of the options files."""
    given = k4calofast.open(INPUT / f"{sample}.edm4hep.root", stop=events)
    return k4calofast.simulate(given, model=model, seed=7)


def frames_of(file: Path):
    source = EventSource([file])
    (frames,) = source.chunks(0, source.num_events, source.num_events)
    return source, frames


@pytest.mark.parametrize(
    ("sample", "model", "events"),
    [
        ("particles", FAST, 100),
        ("tracker_only", FAST, 40),
        ("photons", LAYERED, 1),
    ],
)
@pytest.mark.filterwarnings("ignore::k4calofast.exceptions.NotSimulatedWarning")
def test_the_file_of_a_notebook_is_that_of_a_job(tmp_path, sample, model, events):
    job, ours = tmp_path / "job.root", tmp_path / "ours.root"
    given = INPUT / f"{sample}.edm4hep.root"
    properties = CaloFastSimProperties(Model=model, Seed=7)
    io = IOSvcProperties(Input=[str(given)], Output=str(job))
    EventLoop(io, {"CaloFastSim": create("CaloFastSim", properties, Job())}, events, {}, []).run()

    simulated(sample, model, events).to_edm4hep(ours)

    (expected_source, expected), (source, found) = frames_of(job), frames_of(ours)
    assert {(info.name, info.data_type, info.is_subset) for info in source.infos} == {
        (info.name, info.data_type, info.is_subset) for info in expected_source.infos
    }
    assert found.fields.keys() == expected.fields.keys()
    for field in expected.fields:
        leaves = expected.array(field)
        assert found.array(field).type == leaves.type, field
        assert ak.array_equal(found.array(field), leaves), field
    facts, wanted = (
        read_parameters(one.metadata.fields, 0)["String"] for one in (source, expected_source)
    )
    assert wanted.items() <= facts.items()
    (options,) = (frames for name, _, frames in source.other_categories() if name == CONFIGURATION)
    lines = read_parameters(next(options).fields, 0)["String"]["gaudiConfigOptions"]
    assert f'CaloFastSim.Model = "{model}"\n' in lines


def test_what_was_written_is_read_again(tmp_path):
    events = k4calofast.simulate(pdg=[22, 11, -11], momentum=0.5, theta=1.1, model=FAST)
    events.to_edm4hep(tmp_path / "some.root")
    again = k4calofast.open(tmp_path / "some.root")
    assert repr(again) == repr(events)
    assert again.summary() == events.summary()
    # Files have no fate of each particle.
    events["particles"] = events.particles[[n for n in events.particles.fields if n != "fate"]]
    for field in events.fields:
        assert ak.to_list(again[field]) == ak.to_list(events[field])


def test_a_part_of_the_events_and_of_the_hits_is_written(tmp_path):
    events = k4calofast.simulate(pdg=22, momentum=0.5, theta=1.1, n=6, model=FAST)
    some = events[events.event % 2 == 1]
    some["hits"] = some.hits[some.hits.energy > 0.01]
    some.to_edm4hep(tmp_path / "some.root")
    again = k4calofast.open(tmp_path / "some.root")
    assert again.event.tolist() == [1, 3, 5]
    assert ak.to_list(again.hits) == ak.to_list(some.hits)
    assert ak.all(again.hits.energy > 0.01)
    assert "3 showered" in again.summary()


def test_forms_of_the_same_particles_give_the_same_hits():
    momentum, theta, phi = np.array([0.2, 0.5, 1.0]), np.array([0.8, 1.2, 1.9]), 0.4
    by_values = k4calofast.simulate(momentum=momentum, theta=theta, phi=phi, model=FAST)
    sine = momentum * np.sin(theta)
    cartesian = {
        "px": sine * np.cos(phi),
        "py": sine * np.sin(phi),
        "pz": momentum * np.cos(theta),
    }
    lists = {name: column[:, np.newaxis] for name, column in cartesian.items()}
    others = [
        {"pdg": 22} | lists,
        ak.zip({"pdg": [[22]] * 3} | {name: ak.Array(column) for name, column in lists.items()}),
        {
            "PDG": [[22]] * 3,
            "momentum": np.stack([*lists.values()], axis=-1),
            "mass": 0.0,
            "charge": 0,
            "vertex": (0.0, 0.0, 0.0),
        },
        {"pdg": [[22]] * 3, "p": momentum[:, None], "theta": theta[:, None], "phi": phi},
        by_values,
        by_values.particles,
    ]
    expected = by_values.hits.energy.tolist()
    for given in others:
        found = k4calofast.simulate(given, model=FAST)
        # The last digits of momenta depend on the form.
        assert ak.all(abs(found.particles.p - momentum) < 1e-12)
        assert ak.num(found.hits).tolist() == ak.num(by_values.hits).tolist()
        assert np.allclose(ak.flatten(found.hits.energy), np.concatenate(expected), rtol=1e-4)


def test_one_list_of_particles_is_one_event():
    with pytest.warns(NotSimulatedWarning, match="1 of 3 particles.*does not simulate"):
        events = k4calofast.simulate(
            {"pdg": [22, 22, 13], "pt": [0.4, 0.6, 1.0], "eta": [0.1, -0.2, 0.3], "phi": [0, 1, 2]},
            model=FAST,
        )
    assert len(events) == 1
    assert events.particles.fate.tolist() == [["SHOWERED", "SHOWERED", "OTHER_KIND"]]
    assert events.particles.not_handled.tolist() == [[False, False, True]]
    assert {*ak.flatten(events.hits.contributions.particle, axis=None).tolist()} == {0, 1}
    # A muon's mass is that of the tables.
    assert events.particles.mass[0].tolist() == pytest.approx([0, 0, 0.10566], rel=1e-4)


def test_contributions_make_up_hits_and_the_energy_that_came_in():
    events = k4calofast.simulate(pdg=22, momentum=1.0, theta=1.2, phi=0.3, n=20, model=FAST)
    parts = ak.sum(events.hits.contributions.energy, axis=2)
    assert ak.all(abs(parts - events.hits.energy) < 1e-6)
    measured = ak.sum(events.hits.energy, axis=1)
    assert 0.9 < ak.mean(measured) < 1.0
    # The shower is where the photon goes: BESIII's crystals begin 94 cm from the axis.
    heavy = events.hits[ak.argmax(events.hits.energy, axis=1, keepdims=True)]
    assert np.allclose(ak.flatten(heavy.phi), 0.3, atol=0.06)
    assert np.allclose(ak.flatten(heavy.theta), 1.2, atol=0.06)
    assert ak.all(events[HITS].rho > 900)
    assert ak.all(events.hits.time > 900 / 299.792458)
    assert ak.all(events.hits.layer == -1)


@pytest.mark.parametrize("at_once", [1, 7])
def test_chunks_change_nothing(monkeypatch, at_once):
    def run():
        return k4calofast.simulate(momentum=np.linspace(0.1, 1, 10), theta=1.0, model=FAST)

    expected = run()
    monkeypatch.setattr(simulation, "_AT_ONCE", at_once)
    assert ak.to_list(run()) == ak.to_list(expected)


def test_layers_are_told_and_lie_one_behind_the_other():
    events = simulated("photons", LAYERED, 1)
    hits = ak.flatten(events.ECalBarrelCollection)
    assert {"ECalBarrelCollection"} == {*hits.collection.tolist()}
    depth = [ak.mean(hits.rho[hits.layer == layer]) for layer in range(1, 20)]
    assert np.all(np.diff(depth) > 0)


def test_numbers_of_runs_and_events_decide_the_showers():
    def energies(**numbers):
        events = k4calofast.simulate(momentum=0.5, theta=1.0, n=3, model=FAST, **numbers)
        return events.run.tolist(), events.event.tolist(), ak.sum(events.hits.energy, 1).tolist()

    run, event, energy = energies()
    assert (run, event) == ([1, 1, 1], [0, 1, 2])
    assert energies(event=[2, 0, 1])[2] == [energy[2], energy[0], energy[1]]
    assert energies(event=1)[2][:2] == energy[1:]
    assert energies(run=[1, 1, 2])[2][:2] == energy[:2]
    assert energies(run=[1, 1, 2])[2][2] != energy[2]
    assert energies(seed=2)[2] != energy


def test_energies_of_fates_add_up_to_what_came_in():
    momentum = [0.5, 0.5, 5.0, 0.5]
    with pytest.warns(NotSimulatedWarning) as said:
        events = k4calofast.simulate(
            pdg=[22, 22, 22, 12], momentum=momentum, theta=[1.2, np.pi / 2, 1.2, 1.2], model=FAST
        )
    (one,) = said
    assert str(one.message) == (
        "2 of 4 particles, with 5.5 of 6.5 GeV, are not simulated but handed on: 1 outside the "
        "model's range, 5 GeV; 1 passes through a gap between the cells, 0.5 GeV"
    )
    assert Path(one.filename) == Path(__file__)
    fates = events.fates[HITS]
    assert np.sum(fates.energies) == pytest.approx(6.5)
    assert np.sum(fates.numbers) == 4
    summary = events.summary()
    assert "4 events, 4 particles: 1 showered, 2 handed on, 0 lost" in summary
    assert "a neutrino" in summary
    assert "1 events, 1 particles: 1 showered, 0 handed on" in events[:1].summary()


def test_no_events_are_events(tmp_path):
    events = k4calofast.simulate(momentum=1.0, theta=1.0, n=0, model=FAST)
    assert len(events) == 0
    assert "0 hits" in repr(events)
    events.to_edm4hep(tmp_path / "none.root")
    assert len(k4calofast.open(tmp_path / "none.root")) == 0


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({}, SteeringError, r"simulate needs particles, or their momentum \(GeV\)"),
        ({"momentum": 1.0}, SteeringError, r"theta \(rad\)"),
        ({"momentum": "high", "theta": 1}, SteeringError, "momentum is neither a number nor"),
        ({"momentum": [1, 2], "theta": [1, 1, 1]}, SteeringError, "momentum 2, theta 3"),
        ({"momentum": [1, 2], "theta": 1, "n": 3}, SteeringError, "n is 3, but momentum has 2"),
        ({"momentum": 1, "theta": 1, "n": 1.5}, SteeringError, "n is a number of events"),
        ({"momentum": 1, "theta": 1, "n": -1}, SteeringError, "n is a number of events"),
        ({"momentum": 1, "theta": 1, "vertex": (1, 2)}, SteeringError, "vertex has x, y and z"),
        ({"momentum": 1, "theta": 1, "run": -1}, SteeringError, "run: -1"),
        ({"momentum": 1, "theta": 1, "event": 0.5}, SteeringError, "event: 0.5"),
        ({"momentum": 1, "theta": 1, "seed": -1}, SteeringError, "seed: .*greater than or equal"),
        ({"momentum": 1, "theta": 1, "modle": "x"}, SteeringError, "'modle'"),
        ({"momentum": -1, "theta": 1}, InvalidEventError, r"'momentum' .* \(GeV\), not -1"),
        ({"momentum": 1, "theta": 69}, InvalidEventError, r"between 0 and pi \(rad\), not 69"),
        ({"momentum": 1, "theta": 1, "pdg": 1e12}, InvalidEventError, "'pdg' .* 32 bits"),
        ({"momentum": 1, "theta": 1, "pdg": 11.5}, InvalidEventError, "'pdg' .* whole number"),
        (
            {"particles": {"pdg": [[22], [11, 22]], "p": [[1.0], [1.0]], "theta": 1, "phi": 0}},
            InvalidEventError,
            "do not fit together",
        ),
        ({"momentum": 1, "theta": 1, "Seed": 2}, SteeringError, "simulate has seed for Seed"),
        ({"momentum": 1, "theta": 1, "model": "no/such"}, K4CaloFastError, "no/such"),
        ({"momentum": 1, "theta": 1, "pdg": 99999}, InvalidEventError, "PDG 99999 is not known"),
        ({"momentum": np.nan, "theta": 1}, InvalidEventError, "not a number"),
        ({"momentum": 5, "theta": 1, "out_of_range": "fail"}, OutOfDomainError, "OutOfRange"),
        ({"particles": {"px": [1.0]}}, InvalidEventError, "no 'pdg'"),
        ({"particles": {"pdg": [22]}}, InvalidEventError, "px, py, pz"),
        (
            {"particles": {"pdg": [22, 22], "px": [1.0] * 3, "py": 0, "pz": 0}},
            InvalidEventError,
            "fit",
        ),
        (
            {"particles": {"pdg": [22], "px": [2.0], "py": 0, "pz": 0, "energy": 1}},
            InvalidEventError,
            "'energy' .* at least",
        ),
        ({"particles": ak.Array([1, 2])}, InvalidEventError, "particles need names"),
        ({"particles": 22}, SteeringError, "of type int are not known"),
        ({"particles": {"pdg": [22]}, "n": 3}, SteeringError, "particles are given, and n"),
        (
            {"particles": {"pdg": [[22]], "px": 1, "py": 0, "pz": 0, "parents": [[[3]]]}},
            InvalidEventError,
            "indices in their event",
        ),
    ],
)
def test_nonsense_is_refused_in_a_sentence(arguments, kind, said):
    with pytest.raises(kind, match=said) as error:
        k4calofast.simulate(**{"model": FAST} | arguments)
    assert "\n" not in str(error.value)


def test_tables_have_a_row_for_each_hit_part_and_particle():
    pytest.importorskip("pandas")
    # Two photons next to each other share crystals.
    given = {"pdg": [[22, 22]] * 2, "p": [[1.0, 0.4]] * 2, "theta": 1.2, "phi": [[0.3, 0.33]] * 2}
    events = k4calofast.simulate(given, model=FAST)
    hits, parts, particles = (
        events.to_pandas(what) for what in ("hits", "contributions", "particles")
    )
    assert len(hits) == ak.count(events.hits.energy)
    assert len(parts) > len(hits)
    assert len(particles) == 4
    assert hits.index.names == ["entry", "hit"]
    assert hits.groupby("entry").energy.sum().tolist() == pytest.approx(
        ak.sum(events.hits.energy, axis=1).tolist(), rel=1e-5
    )
    largest = parts.reset_index().sort_values("energy").groupby(["entry", "hit"]).last()
    assert (largest.particle == hits.particle).all()
    assert (parts.groupby(["entry", "hit"]).size() == hits.contributions).all()
    # Some of the halo is in the endcaps.
    assert {HITS} <= {*hits.collection} <= {HITS, "EMCEndcapCollection"}
    assert {*particles.fate} == {"SHOWERED"}
    with pytest.raises(SteeringError, match="not of 'cells'"):
        events.to_pandas("cells")


def test_no_extra_is_said_by_name(monkeypatch):
    from k4calofast import exceptions

    events = k4calofast.simulate(momentum=1.0, theta=1.0, n=1, model=FAST)
    monkeypatch.setattr(exceptions, "find_spec", lambda _name: None)
    with pytest.raises(K4CaloFastError, match=r"pip install 'k4calofast\[notebook\]'"):
        events.to_pandas()


def test_arrays_of_events_can_be_pickled():
    import pickle

    events = k4calofast.simulate(momentum=1.0, theta=1.0, n=2, model=FAST)
    again = pickle.loads(pickle.dumps(events))  # noqa: S301
    assert repr(again) == repr(events)
    assert again[HITS].rho.tolist() == events[HITS].rho.tolist()


def test_a_silent_run_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        k4calofast.simulate(pdg=[12, 22], momentum=1.0, theta=1.2, model=FAST)


def test_a_model_stays_loaded_until_its_files_change(tmp_path):
    def spread():
        events = k4calofast.simulate(momentum=1.0, theta=1.2, n=3, model=tmp_path / "model")
        return ak.sum(events.hits.energy, axis=1).tolist()

    models = Path(__file__).resolve().parents[2] / "models" / "besiii_emc_barrel"
    shutil.copytree(models / "fast", tmp_path / "model")
    simulation._loaded.cache_clear()
    first = spread()
    assert spread() == first
    assert simulation._loaded.cache_info().hits == 1
    shutil.rmtree(tmp_path / "model")
    shutil.copytree(models / "gan", tmp_path / "model")
    assert spread() != first


def test_values_can_be_lists_of_particles_and_one_event_can_be_taken_out():
    events = k4calofast.simulate(
        pdg=[[22, 11], [22]], momentum=[[1.0, 0.5], [0.4]], theta=[1.2, 1.4], model=FAST
    )
    assert ak.num(events.particles).tolist() == [2, 1]
    assert events.particles.theta.tolist() == [pytest.approx([1.2, 1.2]), pytest.approx([1.4])]
    one = k4calofast.simulate(events[1], model=FAST)
    assert one.event.tolist() == [1]
    assert one.hits.energy.tolist() == events[1:].hits.energy.tolist()
    of_one = k4calofast.simulate(events.particles[1, 0], event=1, model=FAST)
    assert of_one.hits.energy.tolist() == one.hits.energy.tolist()


def test_hits_of_particles_that_were_left_out_are_not_written(tmp_path):
    events = k4calofast.simulate(pdg=[[22, 11]], momentum=0.5, theta=1.2, model=FAST)
    events["particles"] = events.particles[events.particles.pdg == 22]
    with pytest.raises(InvalidEventError, match="keep all particles of an event"):
        events.to_edm4hep(tmp_path / "some.root")
    assert not [*tmp_path.iterdir()]

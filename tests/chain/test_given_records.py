"""Small files laid out as producers do; each was handled wrongly once. They skip where absent."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from k4calofast.engine import FastSimulation
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import event_keys, find_collection, particles
from k4calofast.incidence import Fate
from k4calofast.properties import CaloFastSimProperties

REPOSITORY = Path(__file__).resolve().parents[2]
FAST = "besiii_emc_barrel/fast"


@pytest.fixture
def record(edm4hep_records):
    def path(name: str) -> Path:
        return edm4hep_records(f"{name}.edm4hep.root")

    return path


def simulate(file: Path, **properties):
    """Fates, and energies by fate, of all particles of a file."""
    with closing(EventSource([file])) as source:
        info = find_collection(source.infos, "MCParticles", "edm4hep::MCParticleCollection")
        frames = next(source.chunks(0, source.num_events, 1000))
    simulation = FastSimulation(CaloFastSimProperties(Model=FAST, **properties))
    result = simulation.simulate(event_keys(frames, "EventHeader", 0), particles(frames, info))
    summary = simulation.summary
    assert summary.energies.sum() == pytest.approx(summary.incoming, rel=1e-9, abs=1e-9)
    return [Fate(fate) for fate in result.fate], simulation, result


def k4run(folder: Path, *arguments: str | Path, options=()):
    return subprocess.run(
        [sys.executable, "-m", "k4calofast.steering.k4run", REPOSITORY / "options/fastsim.py",
         *options, "--CaloFastSim.Model", FAST, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_overlaid_particles_shower_as_others(record):
    fates, _, _ = simulate(record("c02_overlay_flag"))
    assert set(fates) == {Fate.SHOWERED}


def test_events_that_are_all_numbered_0_are_told_from_each_other_by_place(record, caplog):
    file = record("c03_event_number_zero")
    hits = {}
    for policy in ("warn", "position"):
        result = simulate(file, RepeatedKeys=policy)[2]
        hits[policy] = np.split(result.hits.energy, result.hits.offsets[1:-1])
    assert "events 0 and 1 of the job are both run 0, event 0" in caplog.text
    assert len({each.tobytes() for each in hits["position"]}) == len(hits["position"]) == 40


def test_two_files_that_both_begin_with_0_are_said_to(record, tmp_path):
    files = [record("c03_file_a"), record("c03_file_b")]
    job = ["--IOSvc.Input", *files, "--IOSvc.Output", "o.root"]
    done = k4run(tmp_path, *job)
    assert done.returncode == 0
    assert "of the job are both run" in done.stdout
    assert k4run(tmp_path, *job, "--CaloFastSim.RepeatedKeys", "fail").returncode == 1


def test_what_flies_in_from_outside_is_handed_on(record):
    fates, _, result = simulate(record("c05_outside"))
    assert set(fates) == {Fate.BORN_OUTSIDE}
    assert len(result.not_handled) == len(fates)


def test_other_codes_of_status_are_lost_with_their_energy_unless_they_are_named(record):
    _, simulation, _ = simulate(record("c06_status_offset"))
    lost = {code: energy for code, (_, energy) in simulation.summary.unknown.items()}
    assert lost == pytest.approx({201: 3.0, 2001: 5.5801}, abs=1e-4)
    fates, simulation, _ = simulate(
        record("c06_status_offset"), AlternativeStableStatuses=[201, 2001]
    )
    assert set(fates) == {Fate.SHOWERED, Fate.OTHER_KIND}
    assert simulation.summary.unexplained == 0


def test_what_stable_particles_gave_to_stable_daughters_is_there_once(record):
    _, simulation, _ = simulate(record("c07_stable_with_daughters"))
    assert simulation.summary.energy.incident == pytest.approx(7.5, rel=1e-6)
    assert simulation.summary.incoming == pytest.approx(7.5, rel=1e-6)


def test_endpoints_that_are_not_numbers_are_none(record, recwarn):
    fates, _, _ = simulate(record("c11_nan_endpoint"))
    assert fates == [Fate.SHOWERED, Fate.SHOWERED, Fate.LOST, Fate.LOST, Fate.SHOWERED]
    assert not recwarn.list


def test_exotic_particles_have_fates_that_somebody_meant(record, recwarn):
    fates, simulation, _ = simulate(record("c12_exotic"))
    assert fates == [
        *[Fate.OUT_OF_RANGE, Fate.BESIDE, Fate.BESIDE, Fate.OUT_OF_RANGE, Fate.BESIDE],
        *[Fate.OTHER_KIND] * 3, *[Fate.SHOWERED] * 4,
    ]  # fmt: skip
    # An electron and a photon of wrong charge, one of no mass.
    assert simulation.summary.wrong == 3
    assert not recwarn.list


def test_a_file_without_headers_gets_them_from_a_component(record, tmp_path):
    job = ["--IOSvc.Input", record("c13_no_header"), "--IOSvc.Output", "o.root"]
    done = k4run(tmp_path, *job)
    assert done.returncode == 1
    assert "EventHeaderCreator" in done.stderr
    (tmp_path / "headers.py").write_text(
        "from Configurables import EventHeaderCreator\n"
        "from k4FWCore import ApplicationMgr\n"
        "creator = EventHeaderCreator('EventHeaderCreator', runNumber=3)\n"
        "ApplicationMgr().TopAlg = [creator, *ApplicationMgr().TopAlg]\n"
    )
    done = k4run(tmp_path, *job, options=["headers.py"])
    assert done.returncode == 0, done.stderr
    with closing(EventSource([tmp_path / "o.root"], [])) as source:
        frames = next(source.chunks(0, 1, 1))
    assert ak.to_list(frames.array("EventHeader").runNumber) == [[3]]


@pytest.mark.parametrize("name", ["c16_empty_events", "c17_zero_events"])
def test_nothing_comes_to_nothing(record, tmp_path, name):
    done = k4run(tmp_path, "--IOSvc.Input", record(name), "--IOSvc.Output", "o.root")
    assert done.returncode == 0, done.stderr


def test_electrons_without_charge_bend_like_others(record):
    _, simulation, unset = simulate(record("c22_charge_unset"))
    _, _, control = simulate(record("c22_charge_set"))
    assert simulation.summary.wrong == 6
    assert unset.hits.energy.tobytes() == control.hits.energy.tobytes()
    assert unset.hits.cell_id.tobytes() == control.hits.cell_id.tobytes()


def test_a_conversion_without_daughters_is_energy_that_is_lost(record):
    fates, simulation, _ = simulate(record("c31_converted_no_daughters"))
    assert set(fates) == {Fate.LOST}
    assert simulation.summary.unexplained == pytest.approx(1)
    (line,) = [line for line in simulation.summary.lines() if Fate.LOST.meaning in line]
    assert line.split()[:3] == ["6", "6", "GeV"]

"""What producers of MCParticles write, from file to fate: the table in docs/running.md."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from k4calofast.engine import FastSimulation
from k4calofast.events.layout import read_parameters
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import event_keys, find_collection, particles
from k4calofast.exceptions import InvalidEventError
from k4calofast.incidence import FATES, Fate
from k4calofast.properties import CaloFastSimProperties

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDS = yaml.safe_load((REPOSITORY / "tests/data/records.yaml").read_text(encoding="utf-8"))
FAST = "besiii_emc/fast"


@pytest.fixture(scope="module")
def file(tmp_path_factory, write_records):
    """All records in one file, an event each."""
    path = tmp_path_factory.mktemp("records") / "records.edm4hep.root"
    write_records(path, RECORDS)
    return path


def simulate(file, **properties):
    source = EventSource([file])
    info = find_collection(source.infos, "MCParticles", "edm4hep::MCParticleCollection")
    frames = next(source.chunks(0, source.num_events, 1000))
    source.close()
    these = particles(frames, info)
    simulation = FastSimulation(CaloFastSimProperties(Model=FAST, **properties))
    return these, simulation, simulation.simulate(event_keys(frames, "EventHeader", 0), these)


@pytest.fixture(scope="module")
def simulated(file):
    return simulate(file, AlternativeStableStatuses=[5])


@pytest.mark.parametrize(
    "number", range(len(RECORDS)), ids=[f"{r['producer']}: {r['situation']}" for r in RECORDS]
)
def test_what_a_record_can_only_mean_decides(simulated, number):
    these, _, result = simulated
    rows = slice(*these.offsets[number : number + 2])
    found = [Fate(fate).name for fate in result.fate[rows]]
    assert found == [particle[-1] for particle in RECORDS[number]["particles"]]


def test_the_documentation_has_the_same_table():
    text = (REPOSITORY / "docs/running.md").read_text(encoding="utf-8")
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in text.splitlines()
        if line.startswith("|")
    ]
    for record in RECORDS:
        fate = Fate[record["particles"][0][-1]].meaning
        assert (record["producer"], record["situation"], fate) in rows


def test_energy_that_comes_in_is_that_of_all_fates(simulated):
    _, simulation, result = simulated
    summary = simulation.summary
    assert summary.energies.sum() == pytest.approx(summary.incoming, rel=1e-12)
    assert result.energies.sum(0) == pytest.approx(summary.energies)
    lost = [r for r in RECORDS if r["particles"][0][-1] in ("LOST", "UNKNOWN_STATUS")]
    # Each of them a photon of one GeV or so.
    energy = len(lost) * np.linalg.norm([1, 0.02, 0.2])
    assert summary.unexplained == pytest.approx(energy / summary.incoming, rel=1e-6)
    assert any(f"{len(lost)} lost by the record" in line for line in summary.lines())
    assert summary.unknown == {2001: (1, pytest.approx(np.linalg.norm([1, 0.02, 0.2])))}


def test_a_job_fails_that_loses_more_than_it_may(file):
    _, simulation, _ = simulate(file, AlternativeStableStatuses=[5], MaxUnexplained=0.01)
    with pytest.raises(InvalidEventError, match=r"generatorStatus 2001: 1 particles, 1\.02 GeV"):
        simulation.finish()
    _, simulation, _ = simulate(file, AlternativeStableStatuses=[5], MaxUnexplained=0.99)
    assert simulation.finish() == simulation.summary.lines()


def k4run(folder: Path, *arguments: str | Path):
    return subprocess.run(
        [sys.executable, "-m", "k4calofast.steering.k4run", REPOSITORY / "options/fastsim.py",
         "--CaloFastSim.Model", FAST, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_an_output_of_a_job_that_loses_too_much_has_no_name(file, tmp_path):
    lossy = ["--IOSvc.Input", file, "--IOSvc.Output", "o.root"]
    done = k4run(tmp_path, *lossy, "--CaloFastSim.MaxUnexplained", "0.001")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("k4run: CaloFastSim: the record does")
    assert not list(tmp_path.glob("o.root*"))


def test_frames_say_number_and_energy_of_each_fate(file, tmp_path, simulated):
    done = k4run(
        tmp_path, "--IOSvc.Input", file, "--IOSvc.Output", "o.root",
        "--CaloFastSim.AlternativeStableStatuses", "5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "RuntimeWarning" not in done.stderr
    for fate in FATES:
        numbers = simulated[1].summary.particles[fate]
        assert (fate.meaning in done.stdout) == (numbers > 0 or fate == Fate.ENDED_BEFORE)
    source = EventSource([tmp_path / "o.root"], [])
    frames = next(source.chunks(0, source.num_events, 1000))
    names = read_parameters(source.metadata.fields, 0)["String"]["EMCBarrelCollection__FateNames"]
    source.close()
    assert names[0].split(",") == [fate.name for fate in FATES]
    result = simulated[2]
    for event in range(frames.count):
        found = read_parameters(frames.fields, event)
        numbers = found["Int"]["EMCBarrelCollection__FateNumbers"]
        energies = found["Double"]["EMCBarrelCollection__FateEnergies"]
        assert numbers == result.numbers[event].tolist()
        assert energies == result.energies[event].tolist()


def test_charges_that_are_not_those_of_the_kind_are_mended_or_refused(
    tmp_path, write_records, caplog
):
    electron = RECORDS[0]["particles"][0][:]
    electron[0] = 11
    file = tmp_path / "electron.edm4hep.root"
    record = {"particles": [electron]}
    write_records(file, [record, record], charge=[0, 0])
    _, simulation, wrong = simulate(file)
    assert caplog.text.count("has not the charge and mass of its PDG number") == 1
    assert simulation.summary.wrong == 2
    write_records(file, [record, record])
    _, simulation, right = simulate(file)
    assert simulation.summary.wrong == 0
    assert wrong.hits.energy.tobytes() == right.hits.energy.tobytes()
    write_records(file, [record, record], charge=[0, 0])
    with pytest.raises(InvalidEventError, match=r"MCParticle 0 .*ChargeAndMass is 'fail'"):
        simulate(file, ChargeAndMass="fail")


@pytest.mark.parametrize("momentum", [1e30, 2e6])
def test_momenta_that_are_damage_are_refused_with_their_event(tmp_path, write_records, momentum):
    photon = RECORDS[0]["particles"][0][:]
    photon[4] = [momentum, 0, 0]
    file = tmp_path / "photon.edm4hep.root"
    write_records(file, [RECORDS[0], {"particles": [photon]}])
    with pytest.raises(InvalidEventError, match=r"event 1: .* too large \(MaxEnergy\)"):
        simulate(file)


def test_events_with_the_same_numbers_are_copies_and_said_to_be(tmp_path, write_records, caplog):
    file = tmp_path / "same.edm4hep.root"
    write_records(file, [RECORDS[0]] * 3, numbers=[7, 8, 7])
    energies = {}
    for policy in ("warn", "position"):
        _, _, result = simulate(file, RepeatedKeys=policy)
        hits = np.split(result.hits.energy, result.hits.offsets[1:-1])
        energies[policy] = [one.tobytes() for one in hits]
    assert caplog.text.count("events 0 and 2 of the job are both run 1, event 7") == 1
    assert energies["warn"][0] == energies["warn"][2] != energies["warn"][1]
    assert len(set(energies["position"])) == 3
    with pytest.raises(InvalidEventError, match=r"both run 1, event 7.*RepeatedKeys"):
        simulate(file, RepeatedKeys="fail")

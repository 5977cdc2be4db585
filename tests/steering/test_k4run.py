"""`k4run` as users call it: a process, its exit code, its messages, its files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import awkward as ak
import pytest

from k4calofast.events.reading import EventFile, EventSource

K4RUN = Path(sys.executable).with_name("k4run")
OPTIONS = Path(__file__).resolve().parents[2] / "options"


def k4run(*arguments: object, folder: Path, **keywords) -> subprocess.CompletedProcess[str]:
    command = [str(K4RUN), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, **keywords)


def fails(sentence: str, *arguments: object, folder: Path, **keywords) -> None:
    """The job fails with this sentence, without a traceback, and leaves no output."""
    done = k4run(*arguments, folder=folder, **keywords)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("*.root"))


def at_work(job: subprocess.Popen[str], folder: Path) -> Path:
    """Wait until the job writes events, and return its unfinished file."""
    while not any(part.stat().st_size > 1 << 16 for part in folder.glob("*.part")):
        assert job.poll() is None
        time.sleep(0.05)
    (part,) = folder.glob("*.part")
    return part


def numbers(file: Path) -> list[int]:
    """Event numbers in a file."""
    events = EventSource([file])
    (chunk,) = events.chunks(0, events.num_events, 10**6)
    return ak.to_list(ak.ravel(chunk.array("EventHeader").eventNumber))


def names(file: Path) -> list[str]:
    """Collections in a file."""
    return [info.name for info in EventFile(file).categories["events"].infos]


@pytest.fixture(scope="module")
def particles(tmp_path_factory) -> Path:
    """Forty events from the particle gun."""
    folder = tmp_path_factory.mktemp("gun")
    done = k4run(OPTIONS / "particle_gun.py", "-n", 40, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "particles.edm4hep.root"


def test_the_particle_gun_writes_as_many_events_as_asked(particles):
    assert numbers(particles) == list(range(40))
    assert names(particles) == ["EventHeader", "MCParticles"]


def test_the_options_in_the_repository_run(tmp_path):
    done = k4run(OPTIONS / "fastsim.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "closure" in done.stderr + done.stdout
    output = tmp_path / "fastsim.edm4hep.root"
    assert len(numbers(output)) == 100
    assert {"EMCBarrelCollection", "MCParticlesNotHandled"} < set(names(output))


def test_entries_are_chosen_from_the_command_line(particles, tmp_path):
    done = k4run(
        OPTIONS / "fastsim.py",
        *("--IOSvc.Input", particles, particles),
        *("--IOSvc.Output", "out.root", "--IOSvc.FirstEventEntry", 35, "-n", 10),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert numbers(tmp_path / "out.root") == [35, 36, 37, 38, 39, 0, 1, 2, 3, 4]


def test_no_events_make_a_file_without_events(particles, tmp_path):
    for arguments in (("--IOSvc.Input", particles, "-n", 0), ()):
        options = "fastsim.py" if arguments else "particle_gun.py"
        done = k4run(
            OPTIONS / options, *arguments, "-n", 0, "--IOSvc.Output", "none.root", folder=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert EventSource([tmp_path / "none.root"]).num_events == 0


def test_collections_are_kept_and_dropped(particles, tmp_path):
    for commands, expected in (
        (["drop *", "keep EMC*"], ["EMCBarrelCollection", "EMCBarrelCollectionContributions"]),
        (
            ["keep *", "drop type edm4hep::CaloHitContributionCollection", "drop *NotHandled"],
            ["EventHeader", "MCParticles", "EMCBarrelCollection"],
        ),
    ):
        steering = tmp_path / "more.py"
        steering.write_text(
            f"from k4FWCore import IOSvc\nIOSvc('IOSvc').outputCommands = {commands}\n"
        )
        done = k4run(
            OPTIONS / "fastsim.py",
            steering,
            *("--IOSvc.Input", particles, "--IOSvc.Output", "out.root"),
            folder=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert names(tmp_path / "out.root") == expected


def test_a_dry_run_shows_the_job_and_does_nothing(tmp_path):
    done = k4run(OPTIONS / "fastsim.py", "--dry-run", "--CaloFastSim.Seed", 7, folder=tmp_path)
    assert done.returncode == 0
    assert not list(tmp_path.iterdir())


def test_the_list_names_components_and_properties(tmp_path):
    done = k4run("--list", folder=tmp_path)
    assert done.returncode == 0
    assert "CaloFastSim" in done.stdout
    assert "OutOfRange" in k4run(OPTIONS / "fastsim.py", "--help", folder=tmp_path).stdout


@pytest.mark.parametrize(
    ("sentence", "arguments"),
    [
        ("no such file", ["--IOSvc.Input", "nowhere.root"]),
        ("not a ROOT file", ["--IOSvc.Input", OPTIONS / "fastsim.py"]),
        (
            "no model 'other'; there are besiii_emc_barrel/accurate",
            ["--CaloFastSim.Model", "other"],
        ),
        ("OutOfRange", ["--CaloFastSim.OutOfRanges", "skip"]),
        ("OutOfRange", ["--CaloFastSim.OutOfRange", "maybe"]),
        ("no collection 'Particles'", ["--CaloFastSim.InputMCParticles", "Particles"]),
        ("no collection 'Header'", ["--CaloFastSim.InputEventHeader", "Header"]),
        ("collection 'MCParticles' exists already", ["--CaloFastSim.OutputHits", "MCParticles"]),
        ("there are 100 events", ["--IOSvc.FirstEventEntry", 100]),
    ],
)
def test_mistakes_are_one_sentence(sentence, arguments, tmp_path):
    fails(sentence, OPTIONS / "fastsim.py", *arguments, folder=tmp_path)


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("did you mean Seed", "from Configurables import CaloFastSim\nCaloFastSim('x').Sead = 1"),
        ("CaloFastSim", "from Configurables import CaloFastSimulation"),
        ("division by zero", "1 / 0"),
        ("invalid syntax", "1 +* 2"),
    ],
)
def test_mistakes_in_a_steering_file_are_one_sentence(sentence, text, tmp_path):
    steering = tmp_path / "mine.py"
    steering.write_text(text)
    fails(sentence, steering, folder=tmp_path)


def test_a_killed_job_leaves_no_file_that_looks_complete(tmp_path):
    command = [str(K4RUN), str(OPTIONS / "particle_gun.py"), "-n", "10000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1) as job:
        part = at_work(job, tmp_path)
        job.send_signal(signal.SIGKILL)
    assert [path.name for path in tmp_path.iterdir()] == [part.name]


def test_an_interrupted_job_says_so_and_cleans_up(tmp_path):
    command = [str(K4RUN), str(OPTIONS / "particle_gun.py"), "-n", "10000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as job:
        at_work(job, tmp_path)
        job.send_signal(signal.SIGINT)
        _, errors = job.communicate()
    assert job.returncode != 0
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path):
    def little_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    fails(
        "cannot be written: File too large",
        OPTIONS / "particle_gun.py",
        *("-n", 20_000),
        folder=tmp_path,
        preexec_fn=little_space,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert list(tmp_path.iterdir()) == []

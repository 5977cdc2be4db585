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

from k4calofast.events.layout import read_parameters
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


def test_hits_of_another_detector_have_its_name(particles, tmp_path):
    given = (OPTIONS / "fastsim.py", "-n", 2, "--IOSvc.Input", particles)
    done = k4run(*given, "--CaloFastSim.Model", "cld_ecal_barrel/layered", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    output = tmp_path / "fastsim.edm4hep.root"
    hits = ["ECalBarrelCollection", "ECalBarrelCollectionContributions", "MCParticlesNotHandled"]
    assert names(output)[-3:] == hits
    said = metadata(output)
    assert said["ECalBarrelCollection__ModelName"] == ["cld_ecal_barrel/layered"]
    assert said["MCParticlesNotHandled__SubsetOf"] == ["MCParticles"]


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
        (
            ["drop *", "keep EMC*"],
            [
                f"EMC{part}Collection{what}"
                for what in ("", "Contributions")
                for part in ("Barrel", "Endcap")
            ],
        ),
        (
            ["keep *", "drop type edm4hep::CaloHitContributionCollection", "drop *NotHandled"],
            ["EventHeader", "MCParticles", "EMCBarrelCollection", "EMCEndcapCollection"],
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
        (
            "OutputHits and InputMCParticles are both 'MCParticles'",
            ["--CaloFastSim.OutputHits", "MCParticles", "B"],
        ),
        (
            "OutputContributions and OutputHits are both 'Hits'",
            [
                *("--CaloFastSim.OutputHits", "Hits", "B"),
                *("--CaloFastSim.OutputContributions", "Hits", "C"),
            ],
        ),
        (r"CaloFastSim: OutputHits 'A\n': a name", ["--CaloFastSim.OutputHits", "A\n", "B"]),
        ("HitThreshold: Input should be a finite number", ["--CaloFastSim.HitThreshold", "nan"]),
        ("IOSvc.Output: . cannot be written: it is a folder", ["--IOSvc.Output", "."]),
        ("IOSvc.Output is empty", ["--IOSvc.Output", ""]),
        ("there are 100 events", ["--IOSvc.FirstEventEntry", 100]),
    ],
)
def test_mistakes_are_one_sentence(sentence, arguments, tmp_path):
    fails(sentence, OPTIONS / "fastsim.py", *arguments, folder=tmp_path)


def test_no_input_is_an_output_under_whatever_name(particles, tmp_path):
    files = [tmp_path / "mine.py", tmp_path / "particles", tmp_path / "hard", tmp_path / "soft"]
    files[0].write_text("")
    files[1].write_bytes(particles.read_bytes())
    files[2].hardlink_to(files[1])
    files[3].symlink_to(files[1])
    before = [file.read_bytes() for file in files]
    for output in files:
        arguments = ("--IOSvc.Input", files[1], "--IOSvc.Output", output)
        kind = "a symbolic link" if output == files[3] else "also an input"
        fails(f"it is {kind}", OPTIONS / "fastsim.py", files[0], *arguments, folder=tmp_path)
    assert [file.read_bytes() for file in files] == before


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


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@SIGNALS
def test_an_interrupted_job_says_so_and_cleans_up(tmp_path, number):
    command = [str(K4RUN), str(OPTIONS / "particle_gun.py"), "-n", "10000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as job:
        at_work(job, tmp_path)
        job.send_signal(number)
        _, errors = job.communicate()
    assert job.returncode == 128 + number
    assert errors == f"k4run: stopped by {number.name}, no output is kept\n"
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


def interrupting(steering: Path, number: int, when: str) -> Path:
    """An options file that makes a signal arrive before the loop or after it."""
    steering.write_text(
        "import logging, os\n"
        f"def stop(record): os.kill(os.getpid(), {number}); return True\n"
        + {
            "before": "stop(None)\n",
            "after": "logging.getLogger('CaloFastSim').addFilter(stop)\n",
        }[when]
    )
    return steering


@SIGNALS
def test_a_signal_before_the_loop_is_one_sentence(tmp_path, number):
    steering = interrupting(tmp_path / "stop.py", number, "before")
    done = k4run(OPTIONS / "fastsim.py", steering, folder=tmp_path)
    assert done.returncode == 128 + number
    assert done.stderr == f"k4run: stopped by {number.name}, no output is kept\n"
    assert list(tmp_path.iterdir()) == [steering]


@SIGNALS
def test_a_signal_after_the_loop_comes_too_late(tmp_path, number):
    steering = interrupting(tmp_path / "stop.py", number, "after")
    done = k4run(OPTIONS / "fastsim.py", steering, "-n", 5, folder=tmp_path)
    assert done.returncode == 0
    assert done.stderr == f"k4run: stopped by {number.name} when the output was complete\n"
    assert len(numbers(tmp_path / "fastsim.edm4hep.root")) == 5


def test_a_second_job_with_the_same_output_is_refused(tmp_path):
    command = [str(K4RUN), str(OPTIONS / "particle_gun.py"), "-n", "10000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as job:
        part = at_work(job, tmp_path)
        done = k4run(OPTIONS / "particle_gun.py", "-n", 5, folder=tmp_path)
        job.kill()
    assert done.returncode == 1
    assert "another job is writing it" in done.stderr
    assert list(tmp_path.iterdir()) == [part]


@pytest.mark.parametrize("redirection", ["> /dev/full", "| true", ">&-", "> /dev/full 2>&1"])
def test_a_job_does_not_end_because_nobody_listens(tmp_path, redirection):
    arguments = f"{K4RUN} {OPTIONS / 'fastsim.py'} -n 5"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{arguments} {redirection}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert len(numbers(tmp_path / "fastsim.edm4hep.root")) == 5


def test_an_answer_that_nobody_can_hear_is_an_error():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([K4RUN, "--list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "k4run: No space left on device\n"


def test_an_ascii_locale_and_names_with_other_letters_are_no_obstacle(particles, tmp_path):
    folder = tmp_path / "Zürich"
    folder.mkdir()
    steering = folder / "mine.py"
    steering.write_text(
        "from k4FWCore import IOSvc\n"
        f"IOSvc('IOSvc', Output={str(folder / 'ü.root')!r})\n"
        "import logging; logging.getLogger('x').warning('ü \\ud800')\n",
        encoding="utf-8",
    )
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = k4run(
        OPTIONS / "fastsim.py",
        steering,
        *("--IOSvc.Input", particles, "-n", 5, "--IOSvc.Output", folder / "ü.root"),
        folder=folder,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(numbers(folder / "ü.root")) == 5


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("integers have 32 bits", "2**31"),
        ("integers have 32 bits", "-2**31 - 1"),
        ("cannot be written as text", "'\\ud800'"),
    ],
)
def test_metadata_that_cannot_be_written_is_refused_before_the_events(tmp_path, sentence, value):
    steering = tmp_path / "mine.py"
    steering.write_text(f"from k4FWCore import putMetadata\nputMetadata({{'x': {value}}})\n")
    fails(sentence, OPTIONS / "particle_gun.py", steering, "-n", 10**9, folder=tmp_path)


def test_what_a_kept_subset_is_of_cannot_be_dropped(particles, tmp_path):
    steering = tmp_path / "mine.py"
    steering.write_text(
        "from k4FWCore import IOSvc\nIOSvc('IOSvc').outputCommands = ['drop MCParticles']\n"
    )
    arguments = (OPTIONS / "fastsim.py", steering, "--IOSvc.Input", particles)
    dangling = "drop MCParticles, but keep MCParticlesNotHandled"
    fails(dangling, *arguments, folder=tmp_path)
    # Two collections of the type: the subset is one of the copy, so that the other can go.
    copied = ("--CaloFastSim.OutputMCParticles", "Flagged", "--CaloFastSim.PDG", "11")
    done = k4run(*arguments, *copied, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    output = tmp_path / "fastsim.edm4hep.root"
    assert {"Flagged", "MCParticlesNotHandled"} < set(names(output))
    output.unlink()
    steering.write_text(steering.read_text().replace("MCParticles", "Flagged"))
    fails("drop Flagged, but keep MCParticlesNotHandled", *arguments, *copied, folder=tmp_path)


def test_events_without_header_get_one_as_in_key4hep(edm4hep_records, tmp_path):
    record = edm4hep_records("c13_no_header.edm4hep.root")
    arguments = (OPTIONS / "fastsim.py", "--IOSvc.Input", record)
    fails("EventHeaderCreator in front makes one", *arguments, folder=tmp_path)
    steering = tmp_path / "header.py"
    steering.write_text(
        "from Configurables import EventHeaderCreator\n"
        "from k4FWCore import ApplicationMgr\n"
        "header = EventHeaderCreator('EventHeaderCreator', runNumber=7, eventNumberOffset=40)\n"
        "job = ApplicationMgr()\n"
        "job.TopAlg = [header, *job.TopAlg]\n"
    )
    arguments = (OPTIONS / "fastsim.py", steering, "--IOSvc.Input", record)
    done = k4run(*arguments, "--events-per-chunk", 1, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = numbers(tmp_path / "fastsim.edm4hep.root")
    assert found == list(range(40, 40 + len(found)))


def metadata(file: Path) -> dict[str, list[str]]:
    """Texts in a file's metadata."""
    opened = EventFile(file)
    fields = opened.categories["metadata"].field_names
    (frames,) = opened.frames("metadata", 0, 1, 1, fields)
    return read_parameters(frames.fields, 0)["String"]


def test_the_models_of_all_passes_over_a_file_are_named(particles, tmp_path):
    given = ("-n", 5, "--IOSvc.Input", particles, "--IOSvc.Output", "one.root")
    first = k4run(OPTIONS / "fastsim.py", *given, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    second = k4run(
        OPTIONS / "fastsim.py",
        *("--IOSvc.Input", "one.root", "--IOSvc.Output", "two.root"),
        *("--CaloFastSim.Model", "besiii_emc_barrel/fast", "--CaloFastSim.OutputHits", "Second"),
        *("--CaloFastSim.OutputContributions", "SecondContributions"),
        *("--CaloFastSim.OutputNotHandled", "SecondNotHandled"),
        folder=tmp_path,
    )
    assert second.returncode == 0, second.stderr
    said = metadata(tmp_path / "two.root")
    models = {
        part: [f"besiii_emc_{part}/{name}" for name in ("accurate", "hadrons")]
        for part in ("barrel", "endcaps")
    }
    # Those of the calorimeter itself first: what goes on into it from the other is of its models.
    for name, both in (("Barrel", ("barrel", "endcaps")), ("Endcap", ("endcaps", "barrel"))):
        expected = ",".join(model for part in both for model in models[part])
        assert said[f"EMC{name}Collection__ModelName"] == [expected]
    assert said["Second__ModelName"] == ["besiii_emc_barrel/fast"]
    assert said["Second_EMCEndcapCollection__ModelName"] == ["besiii_emc_barrel/fast"]
    assert said["Second__CellIDEncoding"] == said["EMCBarrelCollection__CellIDEncoding"]


def test_metadata_that_is_there_is_no_conflict_unless_cells_are_counted_otherwise(tmp_path, barrel):
    steering = tmp_path / "mine.py"
    other = "system:8,layer:8"
    for encoding in (barrel.encoding.text, other):
        said = {"EMCBarrelCollection__CellIDEncoding": encoding}
        steering.write_text(f"from k4FWCore import putMetadata\nputMetadata({said})\n")
        gun = k4run(
            OPTIONS / "particle_gun.py",
            *(steering, "-n", 5, "--IOSvc.Output", "particles.edm4hep"),
            folder=tmp_path,
        )
        assert gun.returncode == 0, gun.stderr
        given = (OPTIONS / "fastsim.py", "--IOSvc.Input", "particles.edm4hep")
        if encoding == other:
            sentence = f"gives hits of this name the cell-ID encoding '{other}'"
            fails(sentence, *given, folder=tmp_path)
            given = (*given, "--CaloFastSim.OutputHits", "Other", "OtherEndcap")
        done = k4run(*given, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        output = tmp_path / "fastsim.edm4hep.root"
        assert metadata(output)["EMCBarrelCollection__CellIDEncoding"] == [encoding]
        output.unlink()

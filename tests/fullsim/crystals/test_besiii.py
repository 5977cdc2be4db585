"""Real Geant4 in the real crystals, a few showers of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from k4calofast.exceptions import FullSimulationError
from k4calofast.fullsim import production
from k4calofast.fullsim.crystals.setup import CrystalSetup
from k4calofast.showers import crystals

K4CALOFAST = Path(sys.executable).with_name("k4calofast")


def fullsim(folder: Path, output: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [K4CALOFAST, "fullsim", output, *arguments]
    return subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)


FEW = ("-n", 3, "-p", "gamma", "--momentum", 0.1, "--momentum", 0.05)
"""Two chunks, each of which Geant4 takes seconds to start for."""


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fullsim")
    done = fullsim(folder, "a.h5", *FEW)
    assert done.returncode == 0, done.stderr
    return folder / "a.h5"


def test_the_same_seed_gives_the_same_showers_whatever_the_processes(few):
    again = few.with_name("b.h5")
    assert fullsim(few.parent, again.name, *FEW, "-j", 1).returncode == 0
    one, other = crystals.read(few)[0], crystals.read(again)[0]
    np.testing.assert_allclose(one.momentum, np.repeat([0.1, 0.05], 3))
    np.testing.assert_array_equal(one.energies, other.energies)
    np.testing.assert_array_equal(one.conditions, other.conditions)


def test_a_repetition_has_the_same_particles_and_other_showers(few):
    again = few.with_name("c.h5")
    first = ("-n", 3, "-p", "gamma", "--momentum", 0.1)
    assert fullsim(few.parent, again.name, *first, "--repetition", 1).returncode == 0
    one, other = crystals.read(few)[0].take(slice(0, 3)), crystals.read(again)[0]
    np.testing.assert_array_equal(one.conditions, other.conditions)
    assert (one.energies != other.energies).any((1, 2)).all()


def test_times_cost_nothing_but_time(few):
    again = few.with_name("d.h5")
    assert fullsim(few.parent, again.name, *FEW, "--timed", 1).returncode == 0
    one, other = crystals.read(few)[0].hits(), crystals.read(again)[0].hits()
    np.testing.assert_array_equal(one.crystal, other.crystal)
    np.testing.assert_array_equal(one.energy, other.energy)
    assert not np.isnan(other.time).any()
    known = ~np.isnan(one.time)
    # The first of three showers of a chunk.
    assert (known == np.isin(one.shower, [0, 3])).all()
    np.testing.assert_array_equal(one.time[known], other.time[known])


def test_a_sample_that_lacks_a_chunk_does_not_look_finished(few, tmp_path, monkeypatch):
    showers, provenance = crystals.read(few)
    hits = showers.hits()
    chunks = production.plan((22, 11), ((0.1, 0.1),), 3, 3)

    def one_of_two(*arguments):
        yield 0, (hits.take(slice(0, 3)), provenance.simulation)
        arguments[-1].append("chunk 1 (3 showers of PDG 11) failed with code 139")
        yield 1, None

    monkeypatch.setattr(production, "_simulated", one_of_two)
    file = tmp_path / "sample.h5"
    missing = "1 of 2 chunks are missing: .* 139; .*"
    with pytest.raises(FullSimulationError, match=missing) as error:
        production.produce(file, CrystalSetup(), chunks, 1, 1)
    (unfinished,) = tmp_path.iterdir()
    assert unfinished.match("sample.h5.*.part")
    assert str(unfinished) in str(error.value)
    assert len(crystals.read(unfinished)[0]) == 3


def test_a_killed_worker_is_an_error_and_a_second_run_into_its_file_another(tmp_path):
    command = [K4CALOFAST, "fullsim", tmp_path / "a.h5", "-n", "100000", "-j", "1", "-p", "gamma"]
    command += ["--chunk", "100000"]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while first.poll() is None and not (workers := workers_of(first.pid)):
        time.sleep(0.05)
    (unfinished,) = tmp_path.glob("a.h5.*.part")
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 1
    assert f"another job is writing it, as {unfinished}" in second.stderr
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    _, said = first.communicate()
    assert first.returncode == 1
    assert "k4calofast: chunk 0 (100000 showers of PDG 22) was killed by SIGKILL" in said
    assert "Traceback" not in said
    assert not (tmp_path / "a.h5").exists()


def workers_of(process):
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    commands = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in children}
    return [one for one, command in commands.items() if b"spawn_main" in command]


def test_momenta_that_are_not_covered_are_refused(tmp_path):
    done = fullsim(tmp_path, "x.h5", "-n", 1, "--momentum", 5)
    assert done.returncode == 1
    assert "must lie between 0.02 and 3.0 GeV" in done.stderr
    done = fullsim(tmp_path, "x.h5", "-n", 1, "--momentum", 0.03, "-p", "pi+")
    assert done.returncode == 1
    assert "momenta of pi+ must lie between 0.05 and 3.0 GeV" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--pitch", 1), "--pitch makes no sense for BESIII_EMC_barrel: it has no layers"),
        (("--detector", "CLD_ECAL_barrel", "--bare"), "--bare makes no sense for CLD_ECAL_barrel"),
        (("--detector", "CLD_ECAL_barrel", "-p", "pi-"), "pi-: not simulated in CLD_ECAL_barrel"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, sentence, tmp_path):
    done = fullsim(tmp_path, "x.h5", "-n", 1, *options)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())

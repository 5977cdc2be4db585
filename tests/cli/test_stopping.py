"""A signal, or an output that cannot be printed, ends a command with one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from k4calofast.stopping import Stopped, stopped_by_signals

K4CALOFAST = Path(sys.executable).with_name("k4calofast")
GEANT4 = Path(__file__).resolve().parents[1] / "data" / "geant4_showers.h5"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_an_exception_until_the_work_is_over(number, code):
    with pytest.raises(Stopped, match=number.name) as stopped, stopped_by_signals():
        signal.raise_signal(number)
    assert stopped.value.code == code
    signal.raise_signal(number)


def turned_into_another() -> None:
    """Do what modules in C do when a signal arrives while they are loaded."""
    try:
        signal.raise_signal(signal.SIGINT)
    except Stopped:
        raise ImportError("initialization failed") from None


def test_an_error_that_somebody_made_of_a_signal_is_still_the_signal():
    with pytest.raises(Stopped, match="SIGINT"), stopped_by_signals():
        turned_into_another()
    with pytest.raises(ImportError), stopped_by_signals():
        raise ImportError


def test_a_signal_that_a_process_was_told_to_ignore_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stopped_by_signals():
        signal.raise_signal(signal.SIGINT)


def test_a_training_that_is_stopped_says_that_it_goes_on_and_has_no_product(tmp_path):
    command = [K4CALOFAST, "train", GEANT4, tmp_path / "model", "--family", "gan"]
    settings = {"steps": 100_000, "epoch": 5, "latent": 8, "channels": 4, "hidden": 32, "batch": 16}
    for name, value in {**settings, "precision": "32-true"}.items():
        command += ["--set", f"{name}={value}"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    training = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=one_thread)
    while training.poll() is None and not list(tmp_path.glob("model.work/*/last.ckpt")):
        time.sleep(0.05)
    training.terminate()
    _, said = training.communicate()
    assert training.returncode == 143
    last = said.splitlines()[-1]
    assert last == "k4calofast: stopped by SIGTERM, the same command again goes on from there"
    assert "Traceback" not in said
    assert not (tmp_path / "model").exists()


def test_what_cannot_be_printed_is_an_error_without_a_traceback():
    command = [K4CALOFAST, "convert", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "k4calofast: cannot read or write: No space left on device\n"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""

"""Files to look at, made by the options files that are shipped, on their samples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OPTIONS = Path(__file__).resolve().parents[2] / "options"


def k4run(file: Path, options: str, *arguments: str) -> Path:
    command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded", OPTIONS / options]
    done = subprocess.run(
        [*command, "--IOSvc.Output", file, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture(scope="session")
def job():
    """Run an options file of the package, or any other, embedded; returns the output."""
    return k4run


@pytest.fixture(scope="session")
def besiii_file(tmp_path_factory) -> Path:
    """Ten events of photons and electrons in BESIII's crystals."""
    return k4run(tmp_path_factory.mktemp("besiii") / "fastsim.edm4hep.root", "fastsim.py", "-n10")


@pytest.fixture(scope="session")
def cld_file(tmp_path_factory) -> Path:
    """An event of ten photons of 50 GeV in CLD's layers."""
    return k4run(tmp_path_factory.mktemp("cld") / "cld.edm4hep.root", "fastsim_cld.py", "-n1")

"""The site as everybody builds it, once for all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Folder of the site, built from nothing; a warning is an error, notebooks are executed."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going"]
    command += ["-D", "nb_execution_mode=force", "-d", str(folder / "read"), "docs"]
    done = subprocess.run(
        [*command, str(folder / "site")], cwd=REPOSITORY, capture_output=True, text=True
    )
    # Kernels of notebooks have things of their own to say.
    assert done.returncode == 0, done.stderr
    return folder / "site"

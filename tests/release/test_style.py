"""C++ is written in one style, which .clang-format says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted(str(file) for file in (REPOSITORY / "algorithms" / "src").glob("*.[ch]*"))


def test_the_cxx_is_formatted():
    tool = shutil.which("clang-format")
    if tool is None:
        pytest.skip("there is no clang-format")
    done = subprocess.run(
        [tool, "--dry-run", "-Werror", *SOURCES], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

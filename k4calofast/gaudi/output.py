"""What happens to the output of a job that fails."""

from __future__ import annotations

import atexit
from pathlib import Path


def abandon(file: str) -> None:
    """At the end of the process, rename a file that is not complete to ``<file>.part``.

    k4FWCore closes its output properly whatever happens, so that a job which fails after some
    events leaves a file like any other.
    """
    atexit.register(_rename, Path(file).absolute())


def _rename(file: Path) -> None:
    if file.exists():
        file.replace(file.with_name(file.name + ".part"))

"""Locks between processes: one of them has a file until it lets go or ends, even by a kill."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from k4calofast import output


@contextmanager
def locked(file: Path, wait: bool = False) -> Iterator[bool]:
    """Have a lock, or say that another process has it.

    Parameters
    ----------
    file
        Made if missing, in a folder that is there.
    wait
        Until the other process lets go.

    Raises
    ------
    OutputError
        If the file cannot be made, or its file system has no locks.
    """
    with output.explained(file):
        held = file.open("a")
    with held:
        ours = True
        with output.explained(file):
            try:
                fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                ours = False
        yield ours

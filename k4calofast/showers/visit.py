"""A first visit to an HDF5 file, by a process that may fail: files come from others.

HDF5's library trusts what it reads. In a damaged file it can go round in circles for ever, ask for
more memory than there is, or crash, and nothing in the same process can stop it. So a fork of this
one visits whatever a reader will, the values apart, within limits of time and memory. That takes
some 20 ms once per file; starting a new Python for it would take ten times that.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import select
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from k4calofast.exceptions import FileFormatError

_SECONDS = 30
_MEMORY = 1 << 30
"""Bytes beyond what this process has already."""

_MOST_NAMES = 1000
_LARGEST_ATTRIBUTE = 1 << 20
_LONGEST_REASON = 500


def refuse_unsound(file: Path, attributes: tuple[str, ...]) -> None:
    """Refuse an HDF5 file that the library does not get through.

    Parameters
    ----------
    attributes
        Those of the file that its reader wants.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is damaged.
    """
    if not file.is_file():
        raise FileFormatError(f"{file}: no such file")
    found = file.stat()
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    reason = _reason(file.absolute(), attributes, identity)
    if reason:
        raise FileFormatError(f"{file}: cannot be read, is it damaged? ({reason})")


@lru_cache(maxsize=64)
def _reason(file: Path, attributes: tuple[str, ...], _: tuple[int, ...]) -> str:
    """Why HDF5 does not get through a file; nothing if it does."""
    return _apart(lambda: _visit(file, attributes))


def _apart(work: Callable[[], None]) -> str:
    """Do something in a fork, and return why it fails; nothing if it does not."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Forks of processes with threads may wait for locks for ever; not beyond the limit here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _be_the_fork(work, writing)
    os.close(writing)
    status = None
    try:
        ready, _, _ = select.select([reading], [], [], _SECONDS)
        said = os.read(reading, 4 * _LONGEST_REASON) if ready else b""
        if ready:
            _, status = os.waitpid(child, 0)
    finally:
        os.close(reading)
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if status is None or os.WTERMSIG(status) == signal.SIGXCPU:
        return f"HDF5 comes to no end in {_SECONDS} s"
    if os.WIFSIGNALED(status):
        return "HDF5 crashes"
    return said.decode(errors="replace") if status else ""


def _be_the_fork(work: Callable[[], None], writing: int) -> None:
    """Do the work, say what went wrong, and end without any of what Python does at its end."""
    code = 1
    try:
        faulthandler.disable()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        with suppress(OSError):  # Only Linux says how much memory there is already.
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            most = pages * resource.getpagesize() + _MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        work()
        code = 0
    except BaseException as error:
        said = " ".join(str(error).split()) or type(error).__name__
        os.write(writing, said[:_LONGEST_REASON].encode(errors="replace"))
    finally:
        os._exit(code)


def _visit(file: Path, attributes: tuple[str, ...]) -> None:
    """Do to a file what readers do, but for the values."""
    import h5py

    with h5py.File(file, locking=False) as found:
        for name in attributes:
            if name in found.attrs:
                size = found.attrs.get_id(name).get_storage_size()
                if size > _LARGEST_ATTRIBUTE:
                    raise ValueError(f"attribute '{name}' has {size} bytes")
                found.attrs.get(name)
        if len(found) > _MOST_NAMES:
            raise ValueError(f"it has {len(found)} datasets, {_MOST_NAMES} are the most")
        for name in found:
            if isinstance(found.get(name, getlink=True), h5py.HardLink):
                _visit_dataset(h5py, found[name])


def _visit_dataset(h5py: Any, found: Any) -> None:
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu":
        return
    _ = found.shape, found.external, found.is_virtual, found.attrs.get("description")
    found.id.get_storage_size()
    if found.chunks is not None:
        # Goes through the whole tree of chunks.
        found.id.get_num_chunks()

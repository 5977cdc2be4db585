"""Outputs that are complete, or not there at all: how everything in this package is written.

Until all is written, a file is ``<name>.<8 hex digits>.part`` in the folder where it will be: made
anew for this one writer, never a link, and locked as long as the writer lives. Then it is forced to
the disk and renamed.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import signal
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from k4calofast.exceptions import K4CaloFastError, OutputError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
"""What addresses begin with; `Path` makes one slash of two."""

_TRIES, _PAUSE = 50, 0.1
"""To be alone in a folder: how often, and for how many seconds in between."""


def check(file: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output that could not be written, or must not be, before the work begins.

    Parameters
    ----------
    file
        What would be written, or replaced.
    inputs
        What the work reads; those that do not exist are no concern of this.

    Raises
    ------
    OutputError
        If it is one of the inputs, under whatever name, if it exists and is not a plain file that
        may be written, or if its folder cannot be made or written to.
    """
    with explained(file):
        _refuse_address(file)
        found = _status(file)
        if file.name in ("", ".."):
            raise OutputError(f"{file} cannot be written: it is a folder")
        if found is not None and not stat.S_ISREG(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no plain file")
            raise OutputError(f"{file} cannot be written: it is {kind}")
        if found is not None and not os.access(file, os.W_OK):
            raise OutputError(f"{file} cannot be written: it is write-protected")
        for one in inputs:
            if found is not None and one.exists() and file.samefile(one):
                raise OutputError(f"{file} cannot be written: it is also an input, {one}")
        _status(_unfinished(file))  # can be too long a name
        _check_writable(file.parent)


def check_folder(folder: Path) -> None:
    """Refuse a folder that files could not be written to, before the work begins.

    Raises
    ------
    OutputError
        If it exists and is no folder, or cannot be made or written to.
    """
    with explained(folder):
        _refuse_address(folder)
        _check_writable(folder)


def write(file: Path, content: str | bytes) -> None:
    """Write a file that is complete when it has its name; texts are UTF-8.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with explained(file), NewFile(file) as unfinished:
        unfinished.write_bytes(data)


class NewFile:
    """A file that gets its name only at the end of a ``with`` statement that went well.

    The statement's target is the path to write to until then. It exists and is empty; write it by
    its name, with no more locks.

    Parameters
    ----------
    file
        The file, replaced if it exists; its folder is made.
    keep
        Exceptions after which what there is, is left under the name of an unfinished file. After
        any other, nothing is.

    Attributes
    ----------
    complete : bool
        Whether the file has its name. Signals wait while it gets it, so that who is interrupted
        can tell.

    Raises
    ------
    OutputError
        If the file cannot be written (see `check`), if another writer is at work on it, or if
        another has finished it since this one began.
    """

    def __init__(self, file: Path, keep: tuple[type[BaseException], ...] = ()) -> None:
        self._file, self._keep = file, keep
        self.complete = False

    def __enter__(self) -> Path:
        self._descriptor = -1
        try:
            with explained(self._file):
                check(self._file)
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with _alone_in(self._file.parent):
                    _refuse_second_writer(self._file)
                    self._before = _identity(self._file)
                    self._create()
        except BaseException:
            self._leave(keep=False)
            raise
        return self._unfinished

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        keep = isinstance(error, self._keep)
        try:
            if keep and isinstance(error, K4CaloFastError):
                raise type(error)(f"{error}; what there is, is in {self._unfinished}") from error
            if error is None:
                with explained(self._file):
                    os.fsync(self._descriptor)
                    with uninterrupted(), _alone_in(self._file.parent) as folder:
                        keep = _identity(self._file) not in (None, self._before)
                        if keep:
                            raise OutputError(
                                f"{self._file} was written by another job in the meantime; what "
                                f"this one wrote is in {self._unfinished}"
                            )
                        self._unfinished.replace(self._file)
                        self.complete = True
                        with suppress(OSError):  # Not all file systems can.
                            os.fsync(folder)
        finally:
            self._leave(keep)

    def _create(self) -> None:
        self._unfinished = _unfinished(self._file)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._unfinished, flags, 0o666)
        with suppress(OSError):  # There are file systems without locks.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _leave(self, keep: bool) -> None:
        if self._descriptor < 0:
            return
        with uninterrupted():
            if not keep and not self.complete:
                self._unfinished.unlink(missing_ok=True)
            os.close(self._descriptor)


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn what the operating system says about an output into one sentence.

    Raises
    ------
    OutputError
        For any `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror or error}") from error


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the end of the ``with`` statement."""
    if threading.current_thread() is not threading.main_thread():
        # Signals are handled in the main thread alone.
        yield
        return
    waiting: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        for one in (signal.SIGINT, signal.SIGTERM):
            before[one] = signal.signal(one, lambda number, _frame: waiting.append(number))
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
        for number in waiting:
            signal.raise_signal(number)


def _refuse_address(path: Path) -> None:
    address = _ADDRESS.match(str(path))
    if address is not None:
        url = f"{address[1]}://{str(path)[address.end() :]}"
        raise OutputError(
            f"{url}: only files on this machine are written; give a path, and copy the file then"
        )


def _status(file: Path) -> os.stat_result | None:
    """What there is of this name; links are not followed."""
    try:
        return file.lstat()
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OutputError(f"{str(file)!r} cannot be written: {error}") from error


def _identity(file: Path) -> tuple[int, ...] | None:
    found = _status(file)
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)


def _check_writable(folder: Path) -> None:
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise OutputError(f"{folder} cannot be written to: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written to: no permission to write in {there}")


def _unfinished(file: Path) -> Path:
    return file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")


def _refuse_second_writer(file: Path) -> None:
    """Refuse a file that another writer, who is alive, has under an unfinished name."""
    name = re.compile(re.escape(file.name) + r"\.[0-9a-f]{8}\.part")
    with os.scandir(file.parent) as entries:
        others = [entry.path for entry in entries if name.fullmatch(entry.name)]
    for other in others:
        with suppress(OSError):  # Gone, someone else's, or on a file system without locks.
            descriptor = os.open(other, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{file} cannot be written: another job is writing it, as {other}"
                ) from None
            finally:
                os.close(descriptor)


@contextmanager
def _alone_in(folder: Path) -> Iterator[int]:
    """Keep others who write with this module from making and naming files in a folder.

    That takes them milliseconds. Whoever locks it for longer does so for other reasons.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE)
            except OSError:
                break  # There are file systems without locks.
            else:
                break
        yield descriptor
    finally:
        os.close(descriptor)

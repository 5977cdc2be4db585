"""What a command does about its standard streams, whatever they are connected to."""

from __future__ import annotations

import io
import os
import sys


def prepare() -> None:
    """Make the standard streams safe to write to; call it first.

    A stream that the process was started without is opened to nowhere, lest an output gets its
    number, and then what somebody prints. Letters that a stream's encoding lacks are escaped.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Print what waits to be printed; call it last.

    Raises
    ------
    OSError
        If standard output does not take it. What standard error does not take is no error: nobody
        listens.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    finally:
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
        except OSError:
            _leave(2)


def leave_stdout() -> None:
    """Let Python throw away what it could not print: it would try again at its end."""
    _leave(1)


def _leave(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)

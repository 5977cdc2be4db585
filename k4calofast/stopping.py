"""Signals end a command as errors do: with one sentence, and an exit code that is not 0."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal asked the process to end.

    No `KeyboardInterrupt`, and no `SystemExit`: Lightning and typer take those for their own, and
    end with other exit codes.

    Attributes
    ----------
    signal
        Its name.
    code
        Exit code, as shells have it for processes that a signal ended.
    """

    def __init__(self, number: int) -> None:
        self.signal, self.code = signal.Signals(number).name, 128 + number
        super().__init__(f"stopped by {self.signal}")


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` where SIGINT or SIGTERM arrive; afterwards they come too late to matter.

    A signal that the process was started to ignore, as in the background of a script, is ignored.
    """
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    arrived: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        arrived.append(number)
        raise Stopped(number)

    for number in heard:
        signal.signal(number, stop)
    try:
        yield
    except Exception as error:
        if arrived:
            # Modules in C make errors of their own of what is raised while they are loaded.
            raise Stopped(arrived[0]) from error
        raise
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)

"""How far a command is, on standard error: bars on a terminal, a few lines where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PAUSE = 60.0
"""Seconds between two lines, at least."""

_PARTS = 10
"""Lines of one stage, at most."""


class Report(Protocol):
    """Says how far the work is; the first report of a stage begins it."""

    def __call__(self, stage: str, done: int = 0, total: int | None = None, note: str = "") -> None:
        """Report.

        Parameters
        ----------
        stage
            What is done.
        done, total
            How much of it, and of how much; None where nobody knows.
        note
            What else there is to say.
        """


@contextmanager
def shown() -> Iterator[Report]:
    """Show what is reported, until the end of the ``with`` statement.

    Nothing is shown before the first report: an error before the work stands alone.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield _Lines()
        return
    bars = _Bars()
    try:
        yield bars
    finally:
        bars.stop()


class _Lines:
    """A line at the beginning of stages without a known length; for others, one now and then."""

    def __init__(self) -> None:
        self._stage, self._part, self._said = "", 0, monotonic()

    def __call__(self, stage: str, done: int = 0, total: int | None = None, note: str = "") -> None:
        new = stage != self._stage
        part = _PARTS * done // total if total else 0
        if new:
            self._stage, self._part = stage, 0
        late = monotonic() - self._said >= _PAUSE
        if (new and total is None) or (late and part > self._part):
            self._part, self._said = part, monotonic()
            counted = "" if total is None else f": {done} of {total}"
            with suppress(OSError):  # The work goes on if nobody listens.
                print(", ".join(filter(None, (stage + counted, note))), file=sys.stderr, flush=True)


class _Bars:
    """A bar for each stage; those without a known length are there until the next one begins."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._stages: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int = 0, total: int | None = None, note: str = "") -> None:
        if self._bars is None:
            self._bars = _started()
        count = "" if total is None else f"{done}/{total}"
        if stage not in self._stages:
            for task in self._bars.tasks:
                if task.total is None:
                    self._bars.update(task.id, visible=False)
            self._stages[stage] = self._bars.add_task(stage, total=total, count=count, note=note)
        self._bars.update(
            self._stages[stage], completed=done, total=total, count=count, note=note, visible=True
        )

    def stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()


def _started() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        transient=True,
        # What is printed to a file or a pipe stays out of the terminal.
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
    )
    bars.start()
    return bars

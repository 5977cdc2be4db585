"""Requests of concurrent events, collected and run as one.

A generator costs as much for one shower as for sixteen, so events that are in flight in
different slots share a call. Whoever comes first leads: it waits for the others, at most for a
set time, and runs all that have come. How many to wait for is learnt from the job: as many as
were there at once the last time. Where events come one by one, nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition
from time import monotonic
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


class _Entry(Generic[Request, Result]):
    """A request on its way."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.done = False


class Collector(Generic[Request, Result]):
    """Collects requests of several threads.

    Parameters
    ----------
    run
        Works on some requests; returns a result each.
    most
        How many requests are run together, at most.
    wait
        How long the first waits for others, at most (s).
    """

    def __init__(
        self, run: Callable[[Sequence[Request]], Sequence[Result]], most: int, wait: float
    ) -> None:
        self._run, self._most, self._wait = run, most, wait
        self._changed = Condition()
        self._waiting: list[_Entry[Request, Result]] = []
        self._running = False
        self._inside = 0
        self._expected = 1

    def submit(self, request: Request) -> Result:
        """Return the result of a request, run alone or with those of other threads.

        An error is that of the request alone: if requests fail together, each is run again by
        itself.
        """
        entry: _Entry[Request, Result] = _Entry(request)
        deadline = monotonic() + self._wait
        with self._changed:
            self._waiting.append(entry)
            self._inside += 1
            self._expected = max(self._expected, self._inside)
            self._changed.notify_all()
            while not entry.done:
                if self._running or self._waiting[0] is not entry:
                    self._changed.wait()
                    continue
                left = deadline - monotonic()
                if len(self._waiting) < min(self._expected, self._most) and left > 0:
                    self._changed.wait(left)
                    continue
                if left <= 0:
                    self._expected = self._inside
                self._lead()
            self._inside -= 1
        if entry.error is not None:
            raise entry.error
        return entry.result  # type: ignore[return-value]

    def _lead(self) -> None:
        """Run what is waiting; the lock is held before and after, and open meanwhile."""
        batch = self._waiting[: self._most]
        del self._waiting[: self._most]
        self._running = True
        self._changed.release()
        try:
            self._work(batch)
        finally:
            self._changed.acquire()
            self._running = False
            for entry in batch:
                entry.done = True
            self._changed.notify_all()

    def _work(self, batch: list[_Entry[Request, Result]]) -> None:
        try:
            results = self._run([entry.request for entry in batch])
        except Exception as error:
            if len(batch) > 1:
                for entry in batch:
                    self._work([entry])
            else:
                batch[0].error = error
        except BaseException as error:
            for entry in batch:
                entry.error = error
        else:
            for entry, result in zip(batch, results, strict=True):
                entry.result = result

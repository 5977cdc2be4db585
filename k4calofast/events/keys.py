"""Events of a job that share run and event number: their random numbers are the same."""

from __future__ import annotations

import logging
from bisect import bisect_right
from dataclasses import dataclass, field, replace

import numpy as np

from k4calofast.arrays import Indices
from k4calofast.events.columns import EventKeys
from k4calofast.exceptions import InvalidEventError
from k4calofast.properties import Repeated

logger = logging.getLogger(__name__)


@dataclass
class _Span:
    """Events whose numbers follow each other, as their places in the job do."""

    first: int
    last: int
    place: int


@dataclass
class SeenKeys:
    """Run and event numbers that a job has had.

    Memory is that of the gaps: events in their usual order are one span per run.

    Attributes
    ----------
    repeated
        How many events had the numbers of an earlier one.
    first_pair
        The first two: run, event, and the places of both in the job.
    """

    repeated: int = 0
    first_pair: tuple[int, int, int, int] | None = None
    _spans: dict[int, list[_Span]] = field(default_factory=dict)

    def add(self, keys: EventKeys, events: Indices) -> bool:
        """Take note of some of the events; returns whether they are the first to repeat others."""
        before = self.repeated
        rows = zip(keys.run[events], keys.event[events], keys.place[events], strict=True)
        for run, event, place in rows:
            earlier = self._add(int(run), int(event), int(place))
            if earlier is None:
                continue
            self.repeated += 1
            if self.first_pair is None:
                self.first_pair = (int(run), int(event), earlier, int(place))
        return before == 0 and self.repeated > 0

    def _add(self, run: int, event: int, place: int) -> int | None:
        """Place of the earlier event with these numbers, if there is one."""
        spans = self._spans.setdefault(run, [])
        at = bisect_right(spans, event, key=lambda span: span.first) - 1
        if at >= 0:
            span = spans[at]
            if event <= span.last:
                return span.place + event - span.first
            if event == span.last + 1 and place == span.place + event - span.first:
                span.last = event
                return None
        spans.insert(at + 1, _Span(event, event, place))
        return None

    def lines(self) -> list[str]:
        """Lines for the end of the run."""
        if not self.repeated:
            return []
        return [f"{self.repeated} events with the numbers of others: {self.said()}"]

    def said(self) -> str:
        """Say what the first pair was."""
        if self.first_pair is None:
            return "all events have numbers of their own"
        run, event, earlier, later = self.first_pair
        return f"events {earlier} and {later} of the job are both run {run}, event {event}"


def unique(keys: EventKeys, policy: Repeated, seen: SeenKeys, events: Indices) -> EventKeys:
    """Return keys that do what the steering wants of numbers that repeat; warns of the first.

    Parameters
    ----------
    policy
        ``position`` takes an event's place in the job for its number; ``fail`` and ``warn`` take
        note of `events`.
    seen
        What came before.
    events
        Those whose random numbers are used: of an event without, it does not matter.

    Raises
    ------
    InvalidEventError
        If events repeat others, and the policy is ``fail``.
    """
    if policy == "position":
        return replace(keys, event=keys.place.astype(np.uint64))
    if seen.add(keys, events):
        if policy == "fail":
            raise InvalidEventError(
                f"{seen.said()}, so what is random in them would be the same, and RepeatedKeys is "
                "'fail'; 'position' takes places in the job for numbers"
            )
        logger.warning(
            "%s, so what is random in them is the same; RepeatedKeys 'position' takes places in "
            "the job for numbers",
            seen.said(),
        )
    return keys

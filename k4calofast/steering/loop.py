"""The event loop: chunks of events through the algorithms, into the output file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from k4calofast.events.frames import (
    CONFIGURATION,
    EVENTS,
    METADATA,
    OPTIONS,
    CollectionInfo,
    FileInfo,
    Frames,
    owner,
)
from k4calofast.events.layout import parameters, read_parameters, refuse_parameter
from k4calofast.events.reading import EventSource, place
from k4calofast.events.writing import EventFileWriter
from k4calofast.exceptions import K4CaloFastError, SteeringError
from k4calofast.output import check
from k4calofast.steering.algorithms import Algorithm, refuse_other_encodings
from k4calofast.steering.command_line import EVENTS_PER_CHUNK
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.keepdrop import kept, refuse_dangling

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass
class Timing:
    """Seconds spent in the parts of a job."""

    reading: float = 0.0
    algorithms: float = 0.0
    writing: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)


class NoInput:
    """Events without content, for algorithms that make their own."""

    def __init__(self, count: int) -> None:
        self.num_events = count
        self.infos: tuple[CollectionInfo, ...] = ()
        self.metadata = Frames(parameters({}), 1)
        self.metadata_infos: tuple[CollectionInfo, ...] = ()
        self.info = FileInfo.own()

    def chunks(self, start: int, stop: int, size: int) -> Iterator[Frames]:
        """Yield empty frames; at least once, if with no events."""
        for at in range(start, max(stop, start + 1), size):
            count = min(size, stop - at)
            yield Frames(parameters({}, count), count)

    def other_categories(self) -> Iterator[tuple[str, tuple[CollectionInfo, ...], Any]]:
        """Yield nothing."""
        return iter(())


class EventLoop:
    """A job: where events come from, what is done to them, where they go.

    Parameters
    ----------
    io
        Input and output.
    algorithms
        By name, in their order.
    max_events
        How many events, -1 for all there are.
    metadata
        What to put into the metadata of the output, besides what the algorithms want.
    options
        The job's options as lines, kept in the output.

    Raises
    ------
    K4CaloFastError
        If input, output and algorithms do not fit together.
    """

    def __init__(
        self,
        io: IOSvcProperties,
        algorithms: dict[str, Algorithm],
        max_events: int,
        metadata: dict[str, int | float | str],
        options: list[str],
        events_per_chunk: int = EVENTS_PER_CHUNK,
    ) -> None:
        self._io, self._algorithms, self._size = io, algorithms, events_per_chunk
        self._options = options
        self.timing = Timing()
        if io.OutputType not in ("default", "rntuple", "RNTuple"):
            raise SteeringError(
                f"IOSvc.OutputType '{io.OutputType}': without podio, only RNTuples are written"
            )
        inputs = [place(file) for file in io.Input]
        if io.Output:
            check(Path(io.Output), [file for file in inputs if isinstance(file, Path)])
        self._source: EventSource | NoInput
        if inputs:
            self._source = EventSource(inputs, io.CollectionNames)
        elif max_events < 0:
            raise SteeringError("without IOSvc.Input, give a number of events: -n or EvtMax")
        else:
            self._source = NoInput(max_events)
        self._start = io.FirstEventEntry if inputs else 0
        if inputs and self._start and self._start >= self._source.num_events:
            raise SteeringError(
                f"IOSvc.FirstEventEntry {self._start}: there are {self._source.num_events} events"
            )
        self._stop = self._source.num_events
        if max_events >= 0:
            self._stop = min(self._stop, self._start + max_events)
        self._added: dict[str, Any] = dict(metadata)
        self.infos = self._started()
        for key, value in self._added.items():
            refuse_parameter(key, value)
        self._kept = kept(io.outputCommands, self.infos)
        self._writer: EventFileWriter | None = None
        self._finished: dict[str, Sequence[str]] = {}

    def _started(self) -> tuple[CollectionInfo, ...]:
        infos = self._source.infos
        known = {
            key: values[0]
            for kind in read_parameters(self._source.metadata.fields, 0).values()
            for key, values in kind.items()
            if values
        }
        for name, algorithm in self._algorithms.items():
            with named(name):
                for info in algorithm.start(infos):
                    if any(info.name == known.name for known in infos):
                        raise SteeringError(
                            f"collection '{info.name}' exists already; an Output property must "
                            "give it another name"
                        )
                    if any(info.collection_id == known.collection_id for known in infos):
                        raise SteeringError(f"collection '{info.name}': its ID is taken")
                    infos = (*infos, info)
                added = algorithm.metadata(known | self._added)
                refuse_other_encodings(known | self._added, added)
                self._added |= added
        return infos

    @property
    def complete(self) -> bool:
        """Whether there is an output, and all of it."""
        return self._writer is not None and self._writer.complete

    @property
    def num_events(self) -> int:
        """Number of events that `run` goes through."""
        return self._stop - self._start

    def run(self, progress: Progress = lambda _done, _total: None) -> None:
        """Go through the events; the output has its name only if all went well."""
        if self._io.Output:
            self._writer = EventFileWriter(Path(self._io.Output), self._source.info)
            with self._writer as writer:
                self._events(progress, writer)
                self._rest(writer)
                self._finish()
                began = perf_counter()
            self.timing.writing += perf_counter() - began
        else:
            self._events(progress, None)
            self._finish()
        for algorithm in self._algorithms.values():
            self.timing.stages |= algorithm.seconds()

    def _events(self, progress: Progress, writer: EventFileWriter | None) -> None:
        names = [info.name for info in self.infos]
        kept_names = {info.name for info in self._kept}
        done = 0
        chunks = self._source.chunks(self._start, self._stop, self._size)
        # What is to be done next is last: frames, and how many algorithms they went through.
        waiting: list[tuple[Frames, int]] = []
        while True:
            began = perf_counter()
            if not waiting:
                chunk = next(chunks, None)
                if chunk is None:
                    break
                waiting.append((chunk, 0))
            read = perf_counter()
            self.timing.reading += read - began
            frames, through = waiting.pop()
            for name, algorithm in list(self._algorithms.items())[through:]:
                with named(name):
                    most = max(algorithm.at_once(frames), 1)
                    if most < frames.count:
                        waiting.append((frames.slice(most, frames.count), through))
                        frames = frames.slice(0, most)
                    frames = frames.with_fields(algorithm.execute(frames, self._start + done))
                through += 1
            worked = perf_counter()
            self.timing.algorithms += worked - read
            if writer is not None:
                fields = {
                    field: layout
                    for field, layout in frames.fields.items()
                    if (name := owner(field, names) or "") == "" or name in kept_names
                }
                refuse_dangling(fields, self.infos, self._kept)
                writer.write(EVENTS, Frames(fields, frames.count), self._kept)
            self.timing.writing += perf_counter() - worked
            done += frames.count
            progress(done, self.num_events)

    def _rest(self, writer: EventFileWriter) -> None:
        """Write the other categories: the input's, the metadata, the job's options."""
        for category, infos, chunks in self._source.other_categories():
            for frames in chunks:
                writer.write(category, frames, infos)
        metadata = read_parameters(self._source.metadata.fields, 0)
        kinds = {int: "Int", float: "Double", str: "String"}
        for key, value in self._added.items():
            for values in metadata.values():
                values.pop(key, None)
            metadata.setdefault(kinds[type(value)], {})[key] = [value]
        frame = self._source.metadata.with_fields(parameters(metadata))
        writer.write(METADATA, frame, self._source.metadata_infos)
        options = parameters({"String": {OPTIONS: self._options}})
        writer.write(CONFIGURATION, Frames(options, 1), ())

    def summary(self) -> dict[str, Sequence[str]]:
        """Lines for the end of the run, by algorithm."""
        return self._finished

    def _finish(self) -> None:
        """Ask the algorithms for the end of the run, while it can still fail."""
        for name, algorithm in self._algorithms.items():
            with named(name):
                self._finished[name] = algorithm.finish()


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put the name of an algorithm in front of its errors."""
    try:
        yield
    except K4CaloFastError as error:
        raise type(error)(f"{name}: {error}") from error

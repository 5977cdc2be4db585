"""Generators' files to EDM4hep files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from k4calofast.events.edm4hep import EVENT_HEADER, MC_PARTICLE
from k4calofast.events.frames import EVENTS, METADATA, CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import parameters
from k4calofast.events.writing import EventFileWriter
from k4calofast.exceptions import FileFormatError
from k4calofast.output import check
from k4calofast.records.columns import GeneratorEvent, Records
from k4calofast.records.reading import Progress, read

HEADER = CollectionInfo.new("EventHeader", EVENT_HEADER)
PARTICLES = CollectionInfo.new("MCParticles", MC_PARTICLE)

_AT_ONCE = 500
"""Events that are in memory together."""


def convert(
    source: Path,
    output: Path,
    run: int = 1,
    first: int | None = None,
    progress: Progress = lambda _events, _percent: None,
) -> int:
    """Write the events of a HepMC3, HepMC2 or LHE file to an EDM4hep file.

    Parameters
    ----------
    source
        The file to read.
    output
        The file to write: EventHeaders and MCParticles. It has its name only when it is complete.
    run
        Run number of all events.
    first
        Number of the first event, from which all are counted; None for the generator's own
        numbers, and 0, 1, ... where the format has none.
    progress
        Takes how far it is.

    Returns
    -------
    int
        Number of events.

    Raises
    ------
    K4CaloFastError
        If the input cannot be read to its end, or the output cannot be written.
    """
    check(output, [source])
    done = 0
    events = read(source, progress)
    parts = iter(lambda: [*islice(events, _AT_ONCE)], [])
    # Nothing is written of what is not even begun.
    begun = next(parts, None)
    if begun is None:
        raise FileFormatError(f"{source}: no events")
    with EventFileWriter(output, FileInfo.own()) as writer:
        for part in _all(begun, parts):
            records = Records.of(part, run, (first or 0) + done, numbered=first is not None)
            writer.write(EVENTS, records.frames(HEADER, PARTICLES), (HEADER, PARTICLES))
            done += len(part)
        writer.write(METADATA, Frames(parameters({}), 1), ())
    return done


def _all(
    first: list[GeneratorEvent], others: Iterator[list[GeneratorEvent]]
) -> Iterator[list[GeneratorEvent]]:
    yield first
    yield from others

"""Generators' files: what they are, and their events one by one."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from k4calofast.events.formats import GZIP, LOOKED_AT, ROOT, generators_format
from k4calofast.exceptions import FileFormatError, K4CaloFastError
from k4calofast.records import hepmc, lhe
from k4calofast.records.columns import GeneratorEvent

_PERCENT = 100

Progress = Callable[[int, int], None]
"""Takes the number of events so far, and how much of the file was read, in percent."""


def read(
    file: Path, progress: Progress = lambda _events, _percent: None
) -> Iterator[GeneratorEvent]:
    """Read the events of a HepMC3, HepMC2 or LHE file, compressed by gzip or not.

    Raises
    ------
    MissingExtraError
        If the package that reads the format is not installed.
    FileFormatError
        If the file is missing, is none of these, is damaged, or its end is missing.
    """
    try:
        if not file.is_file():
            kind = (
                "no file of events, but a folder or a device" if file.exists() else "no such file"
            )
            raise FileFormatError(kind)
        size = max(file.stat().st_size, 1)
        with file.open("rb") as raw, _plain(raw) as stream:
            start = raw.read(LOOKED_AT)
            raw.seek(0)
            for number, event in enumerate(_events(stream, start), 1):
                progress(number, _PERCENT * raw.tell() // size)
                yield event
    except K4CaloFastError as error:
        raise type(error)(f"{file}: {error}") from error
    except (OSError, EOFError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
        raise FileFormatError(f"{file}: cannot be read, is it damaged? ({reason})") from error


def _plain(raw: Any) -> Any:
    """Return the file as it is, or decompressed."""
    start = raw.read(len(GZIP))
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if start == GZIP else raw


def _events(stream: Any, start: bytes) -> Iterator[GeneratorEvent]:
    match generators_format(start):
        case "HepMC3" | "HepMC2" as version:
            return hepmc.read(stream, version)
        case "LHE":
            return lhe.read(stream)
    if start.startswith(ROOT):
        raise FileFormatError("a ROOT file; k4run reads EDM4hep files as they are")
    raise FileFormatError("neither HepMC3, HepMC2 nor LHE")

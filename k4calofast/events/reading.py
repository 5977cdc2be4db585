"""Opening EDM4hep files and reading their frames in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uproot

from k4calofast.events import rntuple, ttree
from k4calofast.events.frames import EVENTS, CollectionInfo, FileInfo, Frames, owner
from k4calofast.events.uproot_rntuple import CLASSES
from k4calofast.exceptions import FileFormatError, K4CaloFastError, MissingCollectionError

Category = ttree.TreeCategory | rntuple.NTupleCategory


@contextmanager
def readable(file: Path, sentence: str) -> Iterator[None]:
    """Turn whatever damaged data make uproot raise into one sentence, and name the file."""
    try:
        yield
    except K4CaloFastError as error:
        raise type(error)(f"{file}: {error}") from error
    except Exception as error:
        # Damage shows as nearly any exception: struct, zlib, index, attribute errors, ...
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise FileFormatError(f"{file}: {sentence}, is it damaged? ({reason})") from error


class EventFile:
    """One EDM4hep file, TTree or RNTuple.

    Raises
    ------
    FileFormatError
        If it is missing, is no ROOT file, is not podio's, or is damaged.
    """

    def __init__(self, file: Path) -> None:
        self.path = file
        if not file.is_file():
            raise FileFormatError(f"{file}: no such file")
        with file.open("rb") as start:
            if start.read(4) != b"root":
                raise FileFormatError(f"{file}: not a ROOT file")
        with readable(file, "the file cannot be read"):
            self._directory = uproot.open(
                file, object_cache=None, array_cache=None, custom_classes=CLASSES
            )
            classes = {
                key.split(";")[0]: name for key, name in self._directory.classnames().items()
            }
            if "podio_metadata" not in classes:
                raise FileFormatError("not written by podio (no podio_metadata)")
            kind = classes["podio_metadata"]
            if "Experimental" in kind:
                raise FileFormatError(
                    "written as an RNTuple before the format's version 1.0, which only the ROOT "
                    "that wrote it can read; convert it there, to a TTree for example"
                )
            backend = rntuple if kind == "ROOT::RNTuple" else ttree
            streamers = self._directory.file.streamers.values()
            self.info: FileInfo = replace(
                backend.file_info(self._directory),
                streamers=tuple(one for versions in streamers for one in versions.values()),
            )
            collections = backend.collection_infos(self._directory)
            self.categories: dict[str, Category] = {}
            for name in classes:
                if name == "podio_metadata":
                    continue
                infos = collections.get(name, ())
                self.categories[name] = (
                    rntuple.NTupleCategory(self._directory, name, infos)
                    if backend is rntuple
                    else ttree.TreeCategory(self._directory, name, infos, self.info)
                )

    def close(self) -> None:
        """Close the file."""
        self._directory.close()

    def frames(
        self, category: str, start: int, stop: int, size: int, fields: tuple[str, ...]
    ) -> Iterator[Frames]:
        """Yield entries `start` to `stop` of a category in chunks of at most `size`."""
        chunks = self.categories[category].frames(start, stop, size, fields)
        at = start
        while True:
            with readable(self.path, f"frames of '{category}' from number {at} on cannot be read"):
                chunk = next(chunks, None)
            if chunk is None:
                return
            at += chunk.count
            yield chunk


class EventSource:
    """The events of one or more EDM4hep files, one after the other.

    Parameters
    ----------
    files
        At least one; all must hold the same collections.
    collections
        Names of the collections to read, all by default.

    Raises
    ------
    FileFormatError
        If a file cannot be read, or differs from the first.
    MissingCollectionError
        If a collection that is asked for does not exist.
    """

    def __init__(self, files: Sequence[Path], collections: Sequence[str] | None = None) -> None:
        self._files = [EventFile(file) for file in files]
        first = self._files[0]
        self.info = first.info
        for file in self._files:
            if EVENTS not in file.categories:
                raise FileFormatError(f"{file.path}: no category '{EVENTS}'")
        self.categories: dict[str, Any] = first.categories
        self.infos = first.categories[EVENTS].infos
        if collections:
            known = [info.name for info in self.infos]
            for name in collections:
                if name not in known:
                    raise MissingCollectionError(
                        f"{first.path}: no collection '{name}'; there are {', '.join(known)}"
                    )
            self.infos = tuple(info for info in self.infos if info.name in collections)
        fields = first.categories[EVENTS].field_names
        every = [info.name for info in first.categories[EVENTS].infos]
        chosen = [info.name for info in self.infos]
        # Frame parameters belong to no collection.
        self.fields = tuple(field for field in fields if owner(field, every) in (None, *chosen))
        for file in self._files[1:]:
            self._check_same(first, file)
        self.num_events = sum(file.categories[EVENTS].num_entries for file in self._files)

    def _check_same(self, first: EventFile, other: EventFile) -> None:
        known = {info.name: info for info in other.categories[EVENTS].infos}
        for info in self.infos:
            if known.get(info.name) != info:
                raise FileFormatError(
                    f"{other.path}: collection '{info.name}' is missing or stored otherwise than "
                    f"in {first.path}; files of one job must be alike"
                )
        there = other.categories[EVENTS].field_names
        for field in self.fields:
            if field not in there:
                raise FileFormatError(f"{other.path}: no '{field}', unlike {first.path}")

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def chunks(self, start: int, stop: int, size: int) -> Iterator[Frames]:
        """Yield events `start` to `stop` in chunks of at most `size`.

        Where there are none, one chunk without events says what they would hold.
        """
        if start >= stop:
            yield from self._files[0].frames(EVENTS, 0, 0, 1, self.fields)
            return
        before = 0
        for file in self._files:
            count = file.categories[EVENTS].num_entries
            first, last = max(start - before, 0), min(stop - before, count)
            if first < last:
                yield from file.frames(EVENTS, first, last, size, self.fields)
            before += count

    def other_categories(
        self,
    ) -> Iterator[tuple[str, tuple[CollectionInfo, ...], Iterator[Frames]]]:
        """Yield the first file's other categories of frames: name, collections, frames."""
        file = self._files[0]
        for name, category in file.categories.items():
            if name != EVENTS:
                frames = file.frames(name, 0, category.num_entries, 1000, category.field_names)
                yield name, category.infos, frames

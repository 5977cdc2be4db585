"""Opening EDM4hep files and reading their frames in chunks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from weakref import finalize

import uproot
from fsspec.core import url_to_fs

from k4calofast.events import rntuple, ttree
from k4calofast.events.formats import LOOKED_AT, ROOT, generators_format
from k4calofast.events.frames import EVENTS, METADATA, CollectionInfo, FileInfo, Frames, owner
from k4calofast.events.layout import parameters, read_parameters
from k4calofast.events.metadata import MergedMetadata
from k4calofast.events.uproot_rntuple import CLASSES
from k4calofast.exceptions import (
    FileFormatError,
    K4CaloFastError,
    MissingCollectionError,
    MissingExtraError,
    install,
)

Category = ttree.TreeCategory | rntuple.NTupleCategory

Place = Path | str
"""A file, or the URL of one."""

_OTHERS_PER_CHUNK = 1000
"""Frames of other categories than events that are in memory together."""

_LOCAL = {"handler": uproot.MultithreadedFileSource, "use_threads": False}
"""The file stays open, where uproot would open it for each page."""

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

_EXTRA = ("http", "https", "root")
"""Protocols that the extra `remote` is for."""

_PATIENCE = {"XRD_CONNECTIONRETRY": "2", "XRD_CONNECTIONWINDOW": "30"}
"""XRootD's own is many minutes for a server that does not answer; a user's setting stays."""


def is_remote(name: str) -> bool:
    """Whether this is a URL."""
    return _REMOTE.match(name) is not None


def place(name: str) -> Place:
    """Where an input is: a URL stays what it is."""
    return name if is_remote(name) else Path(name)


@contextmanager
def readable(file: Place, sentence: str) -> Iterator[None]:
    """Turn whatever damaged data make uproot raise into one sentence, and name the file."""
    try:
        yield
    except K4CaloFastError as error:
        raise type(error)(f"{file}: {error}") from error
    except Exception as error:
        # Damage shows as nearly any exception: struct, zlib, index, attribute errors, ...
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        damaged = "" if isinstance(error, OSError) else ", is it damaged?"
        raise FileFormatError(f"{file}: {sentence}{damaged} ({reason})") from error


def _look_at(file: Path) -> None:
    """Refuse what is no ROOT file; anything else than a regular file can be without end."""
    try:
        if not file.exists():
            raise FileFormatError(f"{file}: no such file")
        if not file.is_file():
            kind = "a folder" if file.is_dir() else "a device or a pipe"
            raise FileFormatError(f"{file}: {kind}, not a file")
        with file.open("rb") as opened:
            start = opened.read(LOOKED_AT)
        if start.startswith(ROOT):
            return
        generators = generators_format(start)
        if generators is not None:
            raise FileFormatError(
                f"{file}: {generators}, not EDM4hep; "
                f"'k4calofast particles {file} OUT.edm4hep.root' makes that of it"
            )
        raise FileFormatError(f"{file}: not a ROOT file")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileFormatError(f"{str(file)[:200]}: cannot be read ({reason})") from error


def _look_at_url(url: str) -> None:
    """Refuse what is no ROOT file, and servers that send whole files alone."""
    for variable, value in _PATIENCE.items():
        os.environ.setdefault(variable, value)
    filesystem, path = _filesystem(url)
    try:
        with filesystem.open(path, block_size=1 << 16, cache_type="none") as content:
            start = content.read(4)
            content.seek(1)
            part = content.read(3)
    except FileNotFoundError as error:
        # fsspec says so of servers that cannot be reached, too.
        reason = error.__cause__
        if reason is None or getattr(reason, "status", None) == HTTPStatus.NOT_FOUND:
            raise FileFormatError("no such file") from None
        raise FileFormatError(f"the file cannot be read ({str(reason).splitlines()[0]})") from error
    except ValueError:
        part = b""
    if start != b"root":
        raise FileFormatError("not a ROOT file")
    if part != start[1:]:
        raise FileFormatError("its server sends whole files and no parts of them; copy it here")


def _filesystem(url: str) -> tuple[Any, str]:
    """What reads a URL, and what it calls the file."""
    try:
        filesystem, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        if isinstance(error, ValueError) and "rotocol not known" not in str(error):
            raise
        protocol = url.partition("://")[0].lower()
        remedy = install("remote") if protocol in _EXTRA else "copy the file here"
        if protocol == "s3":
            remedy = "pip install s3fs"
        raise MissingExtraError(f"nothing here reads {protocol}://; {remedy}") from error
    return filesystem, str(path)


def _opened(file: Place) -> Any:
    return uproot.open(
        {file: None} if isinstance(file, str) else file,
        object_cache=None,
        array_cache=None,
        custom_classes=CLASSES,
        **({} if isinstance(file, str) else _LOCAL),
    )


class EventFile:
    """One EDM4hep file, TTree or RNTuple.

    Raises
    ------
    FileFormatError
        If it is missing, is no ROOT file, is not podio's, or is damaged.
    """

    def __init__(self, file: Place) -> None:
        self.path = file
        if isinstance(file, Path):
            _look_at(file)
        with readable(file, "the file cannot be read"):
            if isinstance(file, str):
                _look_at_url(file)
            self._directory = _opened(file)
            # Whoever forgets to close it leaves no warning of Python's behind.
            self._close = finalize(self, self._directory.close)
            there, whole = self._directory.file.source.num_bytes, self._directory.file.fEND
            if there < whole:
                raise FileFormatError(f"cut off, {there} of {whole} bytes are there")
            classes = {
                key.split(";")[0]: name for key, name in self._directory.classnames().items()
            }
            if "podio_metadata" not in classes:
                raise FileFormatError("not written by podio (no podio_metadata)")
            kind = classes.pop("podio_metadata")
            if "Experimental" in kind:
                raise FileFormatError(
                    "written as an RNTuple before the format's version 1.0, which only the ROOT "
                    "that wrote it can read; convert it there, to a TTree for example"
                )
            self._metadata = self._directory["podio_metadata"]
            self._backend = rntuple if kind == "ROOT::RNTuple" else ttree
            self.categories: dict[str, Category] = {
                name: rntuple.NTupleCategory(self._directory, name, partial(self._infos, name))
                if self._backend is rntuple
                else ttree.TreeCategory(self._directory, name, self._infos(name), self._software)
                for name in classes
            }

    @cached_property
    def _software(self) -> FileInfo:
        info: FileInfo = self._backend.file_info(self._metadata)
        return info

    @cached_property
    def _collections(self) -> Mapping[str, tuple[CollectionInfo, ...]]:
        with readable(self.path, "the list of collections cannot be read"):
            infos: dict[str, tuple[CollectionInfo, ...]] = self._backend.collection_infos(
                self._metadata
            )
            return infos

    def _infos(self, category: str) -> tuple[CollectionInfo, ...]:
        return self._collections.get(category, ())

    @property
    def info(self) -> FileInfo:
        """What the file says about the software behind it."""
        with readable(self.path, "the file cannot be read"):
            streamers = self._directory.file.streamers.values()
            return replace(
                self._software,
                streamers=tuple(one for versions in streamers for one in versions.values()),
            )

    def close(self) -> None:
        """Close the file."""
        self._close()

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

    def structure(self, category: str, fields: tuple[str, ...]) -> Structure:
        """Say how some fields of a category are stored."""
        kind = self.categories[category]
        (nothing,) = self.frames(category, 0, 0, 1, fields)
        return Structure(
            kind.infos,
            {name: layout.form for name, layout in nothing.fields.items()},
            kind.header,
        )


@dataclass(frozen=True)
class Structure:
    """How the collections of a category are stored.

    Attributes
    ----------
    infos
        What podio says of the collections.
    forms
        Awkward form of each field.
    header
        An RNTuple's header: where it is the same, so are the forms.
    """

    infos: tuple[CollectionInfo, ...]
    forms: Mapping[str, Any]
    header: bytes | None


@dataclass(frozen=True)
class _Input:
    """A file, and how many frames it has by category."""

    path: Place
    entries: Mapping[str, int]


class EventSource:
    """The events of one or more EDM4hep files, one after the other.

    All files are looked at in the beginning; then one at a time is open.

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

    Attributes
    ----------
    info
        What the first file says about the software behind it.
    infos, fields
        The collections and fields of events that are read.
    num_events
        Number of events in all files.
    metadata, metadata_infos
        One frame of metadata: that of the first file, with the frame parameters of all, and
        its collections.
    """

    def __init__(self, files: Sequence[Place], collections: Sequence[str] | None = None) -> None:
        self._wanted = collections
        self._inputs: list[_Input] = []
        self._structures: dict[str, tuple[Place, Structure]] = {}
        self.metadata = Frames(parameters({}), 1)
        self.metadata_infos: tuple[CollectionInfo, ...] = ()
        merged = MergedMetadata()
        for path in files:
            with closing(EventFile(path)) as file:
                self._look_at(file, merged)
        merged.report()
        self.metadata = self.metadata.with_fields(parameters(merged.values))
        structure = self._structures[EVENTS][1]
        self.infos, self.fields = structure.infos, tuple(structure.forms)
        self.num_events = sum(one.entries[EVENTS] for one in self._inputs)

    def _look_at(self, file: EventFile, merged: MergedMetadata) -> None:
        if EVENTS not in file.categories:
            raise FileFormatError(f"{file.path}: no category '{EVENTS}'")
        if not self._inputs:
            self.info = file.info
            self._choose(file)
        for name, category in file.categories.items():
            if name in self._structures:
                self._check_same(name, file)
            else:
                structure = file.structure(name, category.field_names)
                self._structures[name] = file.path, structure
        if METADATA in file.categories:
            fields = file.categories[METADATA].field_names
            for frames in self._all(file, METADATA, fields):
                if not merged.values:
                    self.metadata = frames.slice(0, 1)
                    self.metadata_infos = file.categories[METADATA].infos
                for number in range(frames.count):
                    with readable(file.path, "the metadata cannot be read"):
                        values = read_parameters(frames.fields, number)
                    merged.add(values, file.path)
        entries = {name: category.num_entries for name, category in file.categories.items()}
        self._inputs.append(_Input(file.path, entries))

    def _choose(self, first: EventFile) -> None:
        """Choose the collections that are read, and their fields."""
        events = first.categories[EVENTS]
        known = [info.name for info in events.infos]
        for name in self._wanted or ():
            if name not in known:
                raise MissingCollectionError(
                    f"{first.path}: no collection '{name}'; there are {', '.join(known)}"
                )
        chosen = self._wanted or known
        for info in events.infos:
            field = f"{info.name}_objIdx" if info.is_subset else info.name
            if info.name in chosen and field not in events.field_names:
                raise FileFormatError(
                    f"{first.path}: collection '{info.name}' is declared, but not there"
                )
        # Frame parameters belong to no collection.
        fields = tuple(
            field for field in events.field_names if owner(field, known) in (None, *chosen)
        )
        structure = first.structure(EVENTS, fields)
        infos = tuple(info for info in events.infos if info.name in chosen)
        self._structures[EVENTS] = first.path, replace(structure, infos=infos)

    def _check_same(self, category: str, file: EventFile) -> None:
        first, expected = self._structures[category]
        here = file.categories[category]
        known = {info.name: info for info in here.infos}
        for info in expected.infos:
            if known.get(info.name) != info:
                raise FileFormatError(
                    f"{file.path}: collection '{info.name}' is missing or stored otherwise than "
                    f"in {first}; files of one job must be alike"
                )
        if expected.header is not None and expected.header == here.header:
            return
        for field in expected.forms:
            if field not in here.field_names:
                raise FileFormatError(f"{file.path}: no '{field}', unlike {first}")
        found = file.structure(category, tuple(expected.forms)).forms
        for field, form in expected.forms.items():
            if found[field] != form:
                raise FileFormatError(
                    f"{file.path}: '{field}' is stored otherwise than in {first} (another version "
                    "or kind of file?); files of one job must be alike"
                )

    def close(self) -> None:
        """Do nothing: files are closed when they have been read."""

    def chunks(self, start: int, stop: int, size: int) -> Iterator[Frames]:
        """Yield events `start` to `stop` in chunks of at most `size`.

        Where there are none, one chunk without events says what they would hold.
        """
        return _gathered(self._pieces(start, stop, size), size)

    def _pieces(self, start: int, stop: int, size: int) -> Iterator[Frames]:
        if start >= stop:
            with closing(EventFile(self._inputs[0].path)) as file:
                yield from file.frames(EVENTS, 0, 0, 1, self.fields)
            return
        before = 0
        for one in self._inputs:
            count = one.entries[EVENTS]
            first, last = max(start - before, 0), min(stop - before, count)
            if first < last:
                with closing(self._again(one)) as file:
                    at = before + first
                    for frames in file.frames(EVENTS, first, last, size, self.fields):
                        yield replace(frames, first=at)
                        at += frames.count
            before += count

    def _again(self, one: _Input) -> EventFile:
        file = EventFile(one.path)
        there = {name: category.num_entries for name, category in file.categories.items()}
        if there != one.entries:
            raise FileFormatError(f"{one.path}: has changed since the job began")
        return file

    def other_categories(
        self,
    ) -> Iterator[tuple[str, tuple[CollectionInfo, ...], Iterator[Frames]]]:
        """Yield the other categories of frames but metadata: name, collections, frames."""
        for name, (_, structure) in self._structures.items():
            if name not in (EVENTS, METADATA):
                frames = self._of_all_inputs(name, tuple(structure.forms))
                yield name, structure.infos, _gathered(frames, _OTHERS_PER_CHUNK)

    def _of_all_inputs(self, category: str, fields: tuple[str, ...]) -> Iterator[Frames]:
        for one in self._inputs:
            if one.entries.get(category):
                with closing(self._again(one)) as file:
                    yield from self._all(file, category, fields)

    def _all(self, file: EventFile, category: str, fields: tuple[str, ...]) -> Iterator[Frames]:
        count = file.categories[category].num_entries
        return file.frames(category, 0, count, _OTHERS_PER_CHUNK, fields)


def _gathered(pieces: Iterator[Frames], size: int) -> Iterator[Frames]:
    """Put pieces together as long as they have at most `size` frames: files can be short."""
    waiting: list[Frames] = []
    for piece in pieces:
        if waiting and sum(one.count for one in waiting) + piece.count > size:
            yield Frames.joined(waiting)
            waiting = []
        waiting.append(piece)
    if waiting:
        yield Frames.joined(waiting)

"""Fetching: from a mirror into the folder of fetched models, complete or not at all.

A mirror is a folder or an address under which the archives of the index lie side by side.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from k4calofast import output
from k4calofast.archives.packing import archive, unpacked
from k4calofast.documents import one_line, read_bytes
from k4calofast.exceptions import FetchError, K4CaloFastError
from k4calofast.generator import index
from k4calofast.generator.card import digest
from k4calofast.generator.index import Entry
from k4calofast.generator.search import PACKAGED, cache_folder

MIRROR = "K4CALOFAST_MODEL_MIRROR"
"""Environment variable with the folder or address to fetch from."""

_PROJECT_URLS = ("Source", "Repository", "Home", "Homepage")
_RELEASE = "releases/download/models"
"""Where the project's home keeps archives of models: a release of their own."""

_PATIENCE = 30
"""Seconds without a byte after which a connection is given up."""

_CHUNK = 1 << 16

_ABANDONED = 86400
"""Seconds after which nobody works on an unfinished folder."""

Progress = Callable[[int], None]
"""Is told how many bytes have come so far."""


def mirror() -> str:
    """Folder or address to fetch from: the project's releases, if none is named.

    Raises
    ------
    FetchError
        If none is named, and this package is not installed: its address is not known then.
    """
    if named := os.environ.get(MIRROR, ""):
        return named
    try:
        said = importlib.metadata.metadata("k4calofast").get_all("Project-URL", [])
    except importlib.metadata.PackageNotFoundError:
        said = []
    urls = dict(line.split(", ", 1) for line in said)
    for what in _PROJECT_URLS:
        if what in urls:
            return f"{urls[what].rstrip('/')}/{_RELEASE}"
    raise FetchError(f"the address to fetch models from is not known; name one by {MIRROR}")


def entry(name: str) -> Entry:
    """Entry of a model in the index.

    Raises
    ------
    FetchError
        If there is none; the message says why, or lists those there are.
    """
    there = index.entries()
    if name in there:
        return there[name]
    if (PACKAGED / name).is_dir():
        raise FetchError(f"'{name}' comes with the package: there is nothing to fetch")
    raise FetchError(f"no model '{name}' to fetch; there are {', '.join(sorted(there)) or 'none'}")


def is_here(wanted: Entry) -> bool:
    """Whether a model is among the fetched ones, every byte of it."""
    with contextlib.suppress(K4CaloFastError):
        return digest(archive(folder_of(wanted))) == wanted.sha256
    return False


def folder_of(wanted: Entry) -> Path:
    """Folder of a model when it is fetched."""
    return cache_folder() / wanted.name


def fetch(wanted: Entry, progress: Progress = lambda _: None) -> Path:
    """Fetch a model, whatever is there of it already; return its folder.

    Parameters
    ----------
    wanted
        Of the index.
    progress
        Is told how many bytes have come.

    Raises
    ------
    FetchError
        If its archive cannot be had, or is not the index's. What was there before is left.
    OutputError
        If the folder of fetched models cannot be written to.
    """
    cache = cache_folder()
    folder = folder_of(wanted)
    output.check_folder(folder.parent)
    members = unpacked(_content(wanted, mirror(), progress), wanted)
    with output.explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(cache) as new:
            for name, content in members.items():
                output.write(new / name, content)
            with output.uninterrupted():
                if folder.exists():
                    # Folders do not replace each other: there is a moment without any.
                    folder.rename(new.with_suffix(".old"))
                new.rename(folder)
    return folder


@contextlib.contextmanager
def _unfinished(cache: Path) -> Iterator[Path]:
    """Make a folder beside the fetched models; what is left of it in the end is removed."""
    for rest in cache.glob(".*.part"):
        # Of a process that was killed.
        if time.time() - rest.stat().st_mtime > _ABANDONED:
            shutil.rmtree(rest, ignore_errors=True)
    new = cache / f".{secrets.token_hex(4)}.part"
    new.mkdir()
    try:
        yield new
    finally:
        for rest in (new, new.with_suffix(".old")):
            shutil.rmtree(rest, ignore_errors=True)


def _content(wanted: Entry, where: str, progress: Progress) -> bytes:
    scheme = urlsplit(where).scheme
    if scheme in ("http", "https"):
        return _downloaded(wanted, f"{where.rstrip('/')}/{wanted.archive}", progress)
    folder = Path(unquote(urlsplit(where).path) if scheme == "file" else where)
    if not folder.is_dir():
        raise FetchError(
            f"{wanted.name} cannot be fetched: {where} is neither a folder nor an address "
            f"that begins with http://, https:// or file:// ({MIRROR})"
        )
    content = read_bytes(folder / wanted.archive, index.LARGEST_ARCHIVE, FetchError)
    progress(len(content))
    return content


def _downloaded(wanted: Entry, url: str, progress: Progress) -> bytes:
    import pooch
    import requests

    def download(address: str, into: str, _pooch: object) -> None:
        come = 0
        with (
            requests.get(address, stream=True, timeout=_PATIENCE) as response,
            Path(into).open("wb") as file,
        ):
            response.raise_for_status()
            for part in response.iter_content(_CHUNK):
                come += len(part)
                if come > wanted.size:
                    raise FetchError(
                        f"{wanted.name} cannot be fetched: {url} is longer than the {wanted.size} "
                        "bytes that the index says"
                    )
                file.write(part)
                progress(come)

    # Errors say all that its messages do.
    pooch.get_logger().setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="k4calofast") as folder:
        try:
            file = pooch.retrieve(
                url, f"sha256:{wanted.sha256}", wanted.archive, folder, downloader=download
            )
        except requests.exceptions.RequestException as error:
            raise FetchError(
                f"{wanted.name} cannot be fetched: {url}: {_said(error)}; {MIRROR} can name a "
                f"folder or another address with {wanted.archive}"
            ) from None
        except ValueError:
            raise FetchError(
                f"{wanted.name} cannot be fetched: {url} is damaged, or another file: its SHA-256 "
                f"is not {wanted.sha256[:12]}…, as the index says"
            ) from None
        return read_bytes(Path(file), wanted.size, FetchError)


def _said(error: Exception) -> str:
    """What went wrong with a connection, without the names of the classes that say so."""
    response = getattr(error, "response", None)
    if response is not None:
        return one_line(f"HTTP status {response.status_code}")
    cause: BaseException = error
    while (inner := _inner(cause)) is not None:
        cause = inner
    return one_line(str(cause).rpartition(": ")[2] or type(cause).__name__)


def _inner(error: BaseException) -> BaseException | None:
    for one in (getattr(error, "reason", None), *error.args, error.__cause__):
        if isinstance(one, BaseException):
            return one
    return None

"""HDF5 files of columns: written whole or not at all, and read within limits.

One dataset per column, with the attributes ``unit`` and ``description``; the name of the layout and
the provenance are attributes of the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from k4calofast.exceptions import FileFormatError, K4CaloFastError, OutputError, require
from k4calofast.output import NewFile
from k4calofast.showers.base import Showers
from k4calofast.showers.provenance import Provenance
from k4calofast.showers.visit import refuse_unsound
from k4calofast.stopping import Stopped

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""What HDF5 files begin with."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""What URLs begin with; `Path` makes one slash of two."""

_MOST_VALUES = 2**31
"""Energies in a sample: 8 GiB in memory. The challenge's largest file has 2.0e9."""

_LARGEST_NUMBER = 8
"""Bytes: double precision."""

_LARGEST_CHUNK = 1 << 28
"""Bytes that are unpacked together."""

_MOST_PACKED = 1032
"""Bytes that one byte can stand for; deflate's own limit."""

_PACKERS = {1, 32000}
_FILTERS = {*_PACKERS, 2, 3}
"""What values may have gone through, by HDF5's numbers: deflate and lzf, shuffle, fletcher32."""

_ATTRIBUTES = ("layout", "provenance", "detector", "description")
"""Of files: those that any reader wants."""

_READING = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""What h5py raises for damaged files."""


SomeShowers = TypeVar("SomeShowers", bound=Showers)
SomeProvenance = TypeVar("SomeProvenance", bound=Provenance)


@dataclass(frozen=True)
class Layout(Generic[SomeShowers, SomeProvenance]):
    """How samples of one kind are stored.

    Attributes
    ----------
    name
        With its version; an attribute of the files.
    showers, provenance
        Their classes: the columns, and where they come from.
    chunk
        Rows that are compressed together.
    """

    name: str
    showers: type[SomeShowers]
    provenance: type[SomeProvenance]
    chunk: int

    def write(
        self,
        file: Path,
        parts: Iterable[SomeShowers],
        provenance: SomeProvenance | Callable[[], SomeProvenance],
    ) -> int:
        """Write showers, part by part, under a temporary name that is changed at the end.

        Parameters
        ----------
        provenance
            Where they come from; a function is called when the file is there, before the first
            part.

        Returns
        -------
        int
            Number of showers.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        h5py = load_h5py()
        new = NewFile(file, keep=(K4CaloFastError, Stopped))
        try:
            # Its own locks would contradict those of the unfinished file.
            with new as unfinished, h5py.File(unfinished, "w", locking=False) as out:
                out.attrs["layout"] = self.name
                said = provenance() if callable(provenance) else provenance
                out.attrs["provenance"] = said.model_dump_json()
                for rows in self.showers.rows_of(parts):
                    self._append(out, rows)
                return len(out["pdg"]) if "pdg" in out else 0
        except OSError as error:
            raise OutputError(f"cannot write {file}: {error}") from error

    def _append(self, out: Any, rows: Mapping[str, npt.NDArray[Any]]) -> None:
        for name, column in self.showers.columns.items():
            values = rows[name]
            if name not in out:
                made = out.create_dataset(
                    name,
                    shape=(0, *values.shape[1:]),
                    maxshape=(None, *values.shape[1:]),
                    chunks=(self.chunk, *values.shape[1:]),
                    dtype=values.dtype,
                    compression="gzip",
                    shuffle=True,
                )
                made.attrs["unit"], made.attrs["description"] = column.unit, column.meaning
            stored = out[name]
            before = len(stored)
            stored.resize(before + len(values), axis=0)
            stored[before:] = values

    def read(self, file: Path) -> tuple[SomeShowers, SomeProvenance]:
        """Read a sample.

        Raises
        ------
        FileFormatError
            If the file is missing, is not such a sample, is empty, or holds what cannot be: columns
            that do not fit each other, NaN, negative energies.
        """
        if start(file) != SIGNATURE:
            raise FileFormatError(
                f"{file}: not an HDF5 file, but only those of `k4calofast fullsim` with the layout "
                f"'{self.name}' are read here"
            )
        with opened(file) as sample:
            found = sample.attrs.get("layout")
            if not isinstance(found, str) or found != self.name:
                said = f", but '{found}'" if isinstance(found, str) else ""
                raise FileFormatError(f"{file}: not a shower sample ('{self.name}'){said}")
            provenance = self._provenance(file, sample.attrs.get("provenance", ""))
            datasets = self._datasets(file, sample, provenance)
            showers = self.showers(**{name: dataset[:] for name, dataset in datasets.items()})
        if fault := showers.fault():
            raise FileFormatError(f"{file}: {fault}")
        return showers, provenance

    def _provenance(self, file: Path, text: Any) -> SomeProvenance:
        try:
            return self.provenance.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, ("provenance", *first["loc"])))
            said = " ".join(first["msg"].split())
            raise FileFormatError(
                f"{file}: cannot be read as a shower sample: {where}: {said}"
            ) from None

    def _datasets(self, file: Path, sample: Any, provenance: SomeProvenance) -> dict[str, Any]:
        """Columns that fit each other and the provenance, before any of them is read."""
        columns = self.showers.columns
        if missing := [name for name in columns if name not in sample]:
            raise FileFormatError(f"{file}: no column {', '.join(missing)}")
        found = {
            name: own_dataset(file, sample, name, column.dimensions)
            for name, column in columns.items()
        }
        for name, column in columns.items():
            if found[name].dtype != column.type:
                raise FileFormatError(
                    f"{file}: column {name} is {found[name].dtype}, not {np.dtype(column.type)}"
                )
            shape, row = found[name].shape, provenance.row_of(name)
            if shape[1:] != row:
                raise FileFormatError(
                    f"{file}: column {name} has the shape {shape}, not {(shape[0], *row)}"
                )
        if misfit := self.showers.misfit({name: column.shape for name, column in found.items()}):
            raise FileFormatError(f"{file}: {misfit}")
        if not found["pdg"].size:
            raise FileFormatError(f"{file}: holds no showers")
        return found


def start(file: Path) -> bytes:
    """Return the first 8 bytes of a file, which tell formats apart.

    Raises
    ------
    FileFormatError
        If there is no such file, or it cannot be read.
    """
    try:
        if not file.is_file():
            what = "not a plain file" if file.exists() else "no such file"
            if _ADDRESS.match(str(file)):
                what = "only files on this machine are read here; copy it"
            raise FileFormatError(f"{file}: {what}")
        with file.open("rb") as content:
            return content.read(len(SIGNATURE))
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise FileFormatError(f"{file}: cannot be read: {said}") from error


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """Open an HDF5 file of others; see `k4calofast.showers.visit`.

    Raises
    ------
    FileFormatError
        If it is missing or damaged, also if that shows inside the ``with`` statement.
    """
    h5py = load_h5py()
    refuse_unsound(file, _ATTRIBUTES)
    try:
        with h5py.File(file, locking=False) as found:
            yield found
    except _READING as error:
        said = " ".join(str(error).split())
        raise FileFormatError(f"{file}: cannot be read, is it damaged? ({said})") from error


def contents(file: Path) -> tuple[str | None, frozenset[str]]:
    """Name of an HDF5 file's layout, None if it has none, and the names of its datasets.

    Raises
    ------
    FileFormatError
        If it cannot be read.
    """
    with opened(file) as found:
        layout = found.attrs.get("layout")
        return layout if isinstance(layout, str) else None, frozenset(found)


def require_packages() -> None:
    """Make sure that HDF5 files can be read and written.

    Raises
    ------
    MissingExtraError
        If h5py is not installed.
    """
    require("validation", "a sample of showers, which is an HDF5 file,", "h5py")


def load_h5py() -> Any:
    """Import h5py.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    require_packages()
    import h5py

    return h5py


def own_dataset(file: Path, sample: Any, name: str, *dimensions: int) -> Any:
    """Dataset of numbers that is in this very file: a file of others can point to any.

    Parameters
    ----------
    dimensions
        How many it may have.

    Raises
    ------
    FileFormatError
        If there is none of this name with so many dimensions, or if it is elsewhere, too large, or
        larger than what is in the file.
    """
    h5py = load_h5py()
    link = sample.get(name, getlink=True)
    if link is None:
        raise FileFormatError(f"{file}: no dataset '{name}'")
    if not isinstance(link, h5py.HardLink):
        raise FileFormatError(f"{file}: '{name}' is a link to elsewhere, which is not followed")
    found = sample[name]
    if (
        not isinstance(found, h5py.Dataset)
        or found.dtype.kind not in "fiu"
        or found.dtype.itemsize > _LARGEST_NUMBER
    ):
        raise FileFormatError(f"{file}: '{name}' is not a dataset of numbers")
    if fault := _fault(found, dimensions, file.stat().st_size):
        raise FileFormatError(f"{file}: dataset '{name}' {fault}")
    return found


def _fault(found: Any, dimensions: tuple[int, ...], file_size: int) -> str:
    """Say why a dataset of numbers is not read, if so."""
    if found.external or found.is_virtual:
        return "is stored in other files, which are not read"
    if found.ndim not in dimensions:
        return f"has the shape {found.shape}, {dimensions[-1]} dimensions are needed"
    if found.size > _MOST_VALUES:
        return f"has {found.size} values, more than {_MOST_VALUES}"
    made = found.id.get_create_plist()
    filters = {made.get_filter(place)[0] for place in range(made.get_nfilters())}
    if filters - _FILTERS:
        known = "deflate, lzf, shuffle and fletcher32 are read"
        return f"went through HDF5's filter {min(filters - _FILTERS)}; {known}"
    size = found.dtype.itemsize
    if found.chunks is not None and math.prod(found.chunks) * size > _LARGEST_CHUNK:
        return f"has chunks {found.chunks}, more than {_LARGEST_CHUNK} bytes"
    stored = found.id.get_storage_size()
    if found.size * size > min(stored, file_size) * (_MOST_PACKED if filters & _PACKERS else 1):
        return (
            f"has {found.size} values, and {stored} bytes in the file: some were never written, "
            "or it is damaged"
        )
    return ""

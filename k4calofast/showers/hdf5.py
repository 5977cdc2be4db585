"""Shower samples as HDF5 files: the columns, and where they come from.

Layout, version 1: one dataset per column of `k4calofast.showers.Showers`, with the
attributes ``unit`` and ``description``; the provenance as attributes of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from k4calofast.exceptions import FileFormatError, K4CaloFastError, MissingExtraError, OutputError
from k4calofast.incidence import CONDITIONS
from k4calofast.output import NewFile
from k4calofast.showers.columns import Showers
from k4calofast.showers.deposits import refuse_impossible
from k4calofast.stopping import Stopped

LAYOUT = "k4calofast showers 1"

_COLUMNS = {
    "pdg": ("", "PDG number of the particle"),
    "cell": ("", "cell that was hit"),
    "conditions": (
        ", ".join(condition.unit for condition in CONDITIONS),
        ", ".join(condition.name for condition in CONDITIONS),
    ),
    "energies": ("GeV", "energy deposited in each cell of the window around the hit cell"),
    "beside": ("GeV", "energy deposited in cells outside the window"),
}


_DIMENSIONS = {"pdg": 1, "cell": 1, "conditions": 2, "energies": 3, "beside": 1}

_MOST_VALUES = 2**31
"""Energies in a sample: 8 GiB in memory. The challenge's largest file has 2.0e9."""


class Origin(BaseModel):
    """Where a sample comes from: enough to make it again, if it is of `k4calofast fullsim`.

    Attributes
    ----------
    detector
        Name of the calorimeter.
    simulation
        Program and version.
    physics, physics_data
        Physics list, and what its tables are.
    range_cut
        Production cut (mm); None if it is unknown.
    magnetic_field
        Along z (T); None if it is unknown.
    geometry, sampling
        In words: what was built, and how the conditions were drawn.
    coverage
        For each kind of particle (PDG number), the range that each condition fills.
    seed, repetition
        Seed of the conditions and of the simulation, None if it is unknown; samples that differ
        in the repetition alone have the same conditions and other showers.
    software
        Version of this package.
    """

    model_config = ConfigDict(extra="forbid")

    detector: str
    simulation: str
    physics: str
    physics_data: str
    range_cut: float | None
    magnetic_field: float | None
    geometry: str
    sampling: str
    coverage: dict[int, dict[str, tuple[float, float]]]
    seed: int | None
    repetition: int = 0
    software: str


class Provenance(Origin):
    """Where a sample of showers in windows comes from.

    Samples of others say less: `k4calofast.showers.reading.read_with_provenance`.

    Attributes
    ----------
    window
        Its shape (rows, columns).
    """

    window: tuple[int, int]


SomeOrigin = TypeVar("SomeOrigin", bound=Origin)


def write(file: Path, parts: Iterable[Showers], provenance: Provenance) -> int:
    """Write showers, part by part, under a temporary name that is changed at the end.

    Returns
    -------
    int
        Number of showers.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rows = ({name: getattr(part, name) for name in _COLUMNS} for part in parts)
    return write_columns(file, LAYOUT, _COLUMNS, rows, provenance)


def write_columns(
    file: Path,
    layout: str,
    columns: Mapping[str, tuple[str, str]],
    parts: Iterable[Mapping[str, npt.NDArray[Any]]],
    provenance: Origin,
    chunk: int = 1024,
) -> int:
    """Write columns, part by part, under a temporary name that is changed at the end.

    Parameters
    ----------
    layout
        Its name and version.
    columns
        Unit and description of each.
    parts
        Rows to add to each column; not each needs as many.
    chunk
        Rows that are compressed together.

    Returns
    -------
    int
        Rows of the first column.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    h5py = load_h5py()
    count = 0
    new = NewFile(file, keep=(K4CaloFastError, Stopped))
    try:
        # Its own locks would contradict those of the unfinished file.
        with new as unfinished, h5py.File(unfinished, "w", locking=False) as out:
            out.attrs["layout"] = layout
            out.attrs["provenance"] = provenance.model_dump_json()
            for part in parts:
                for name, (unit, description) in columns.items():
                    values = part[name]
                    if name not in out:
                        column = out.create_dataset(
                            name,
                            shape=(0, *values.shape[1:]),
                            maxshape=(None, *values.shape[1:]),
                            chunks=(chunk, *values.shape[1:]),
                            dtype=values.dtype,
                            compression="gzip",
                            shuffle=True,
                        )
                        column.attrs["unit"], column.attrs["description"] = unit, description
                    column = out[name]
                    start = len(column)
                    column.resize(start + len(values), axis=0)
                    column[start:] = values
                count += len(part[next(iter(columns))])
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error}") from error
    return count


def read(file: Path) -> tuple[Showers, Provenance]:
    """Read a sample.

    Raises
    ------
    FileFormatError
        If the file is missing, is not such a sample, or holds NaN or negative energies.
    """
    columns, provenance = read_columns(file, LAYOUT, _DIMENSIONS, Provenance)
    showers = Showers(**columns)
    refuse_impossible(file, showers)
    return showers, provenance


def read_columns(
    file: Path,
    layout: str,
    dimensions: Mapping[str, int],
    origin: type[SomeOrigin],
    types: Mapping[str, npt.DTypeLike] | None = None,
) -> tuple[dict[str, npt.NDArray[Any]], SomeOrigin]:
    """Read columns of numbers.

    Parameters
    ----------
    layout
        The one that the file must have.
    dimensions, types
        Of each column; types are checked where they are given.
    origin
        What the provenance must be.

    Raises
    ------
    FileFormatError
        If the file is missing, is not such a sample, or its columns are not those.
    """
    h5py = load_h5py()
    if not file.is_file():
        raise FileFormatError(f"{file}: no such file")
    try:
        with h5py.File(file) as sample:
            if str(sample.attrs.get("layout")) != layout:
                raise FileFormatError(f"{file}: not a shower sample ('{layout}')")
            provenance = origin.model_validate_json(sample.attrs.get("provenance", ""))
            missing = [name for name in dimensions if name not in sample]
            if missing:
                raise FileFormatError(f"{file}: no column {', '.join(missing)}")
            datasets = {
                name: own_dataset(file, sample, name, needed) for name, needed in dimensions.items()
            }
            for name, type_ in (types or {}).items():
                if datasets[name].dtype != type_:
                    raise FileFormatError(
                        f"{file}: column {name} is {datasets[name].dtype}, not {np.dtype(type_)}"
                    )
            return {name: dataset[:] for name, dataset in datasets.items()}, provenance
    except (OSError, ValidationError) as error:
        raise FileFormatError(f"{file}: cannot be read as a shower sample: {error}") from error


def load_h5py() -> Any:
    """Import h5py.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise MissingExtraError(
            "shower samples are HDF5 files: pip install 'k4calofast[validation]'"
        ) from None
    return h5py


def own_dataset(file: Path, sample: Any, name: str, dimensions: int) -> Any:
    """Dataset of numbers that is in this very file: a file of others can point to any.

    Raises
    ------
    FileFormatError
        If there is none of this name and so many dimensions, or if it is elsewhere or too large.
    """
    h5py = load_h5py()
    link = sample.get(name, getlink=True)
    if link is None:
        raise FileFormatError(f"{file}: no dataset '{name}'")
    if not isinstance(link, h5py.HardLink):
        raise FileFormatError(f"{file}: '{name}' is a link to elsewhere, which is not followed")
    found = sample[name]
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu":
        raise FileFormatError(f"{file}: '{name}' is not a dataset of numbers")
    if found.external or found.is_virtual:
        raise FileFormatError(
            f"{file}: dataset '{name}' is stored in other files, which are not read"
        )
    if found.ndim != dimensions:
        raise FileFormatError(
            f"{file}: dataset '{name}' has the shape {found.shape}, {dimensions} dimensions are "
            "needed"
        )
    if found.size > _MOST_VALUES:
        raise FileFormatError(
            f"{file}: dataset '{name}' has {found.size} values, more than {_MOST_VALUES}"
        )
    return found

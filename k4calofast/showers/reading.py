"""One door for samples of showers, whatever the file and the calorimeter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import k4calofast
from k4calofast.detector import Calorimeter, load
from k4calofast.events.reading import Place, place
from k4calofast.exceptions import FileFormatError
from k4calofast.showers import hdf5, kinds
from k4calofast.showers.base import Showers
from k4calofast.showers.hints import Hints
from k4calofast.showers.provenance import Source

__all__ = ["Hints", "Place", "Source", "place", "read", "read_with_provenance"]

_USUAL = "BESIII_EMC_barrel"
"""The calorimeter of files that say nothing, and of which nothing is said."""


def read(file: Place, hints: Hints | None = None) -> tuple[Any, Source]:
    """Read showers from any file that holds some. What it is, its content says.

    Samples of `k4calofast fullsim` name their kind of calorimeter by their layout. How files of
    others are read, the calorimeter decides: `k4calofast.showers.kinds.Kind.read_others`.

    Returns
    -------
    showers, source
        `Showers` of the calorimeter's kind, and where they come from.

    Raises
    ------
    FileFormatError
        If the file is of no known format, or of another kind of calorimeter than that of the hints;
        if it is damaged, holds no showers, or energies that are NaN or negative.
    UnknownDetectorError
        If there is no such calorimeter.
    MissingCollectionError, InvalidEventError
        If an EDM4hep file lacks a collection, or makes no sense.
    """
    hints = Hints() if hints is None else hints
    wanted = None if hints.detector is None else load(hints.detector)
    if isinstance(file, Path) and file.is_dir():
        raise FileFormatError(f"{file}: a folder, not a file of showers")
    # URLs are read of EDM4hep files alone.
    if isinstance(file, Path) and (name := _kind_of_sample(file)) is not None:
        if wanted is not None and wanted.kind != name:
            raise FileFormatError(
                f"{file} holds showers in {name}, but {wanted.name} is made of {wanted.kind}"
            )
        showers, provenance = kinds.find(name).read(file)
        return showers, Source(
            provenance.detector, provenance.described, provenance.seed, provenance
        )
    calorimeter = load(_USUAL) if wanted is None else wanted
    showers, source = kinds.find(calorimeter.kind).read_others(file, calorimeter, hints)
    if fault := "holds no showers" if not len(showers) else showers.fault():
        raise FileFormatError(f"{file}: {fault}")
    return showers, source


def read_with_provenance(file: Path, hints: Hints | None = None) -> tuple[Any, Any]:
    """Read showers from any file that holds some, and what a training must know of them.

    Samples of `k4calofast fullsim` say it all. Of others, the coverage is measured: the generator
    that is trained on them is for what is in them. What a file does not say is "unknown".

    Returns
    -------
    showers, provenance
        `Showers` of the calorimeter's kind, and its `Provenance`.

    Raises
    ------
    FileFormatError
        If nobody says of which detector the showers are, or file and hints differ in it; and see
        `read`.
    UnknownDetectorError
        If there is no such detector.
    """
    hints = Hints() if hints is None else hints
    showers, source = read(file, hints)
    wanted = None if hints.detector is None else load(hints.detector)
    if wanted is not None and source.detector not in (None, wanted.name):
        raise FileFormatError(f"{file} is of detector {source.detector}, not of {wanted.name}")
    if wanted is None and source.detector is None:
        raise FileFormatError(f"{file} does not say of which detector it is: name it (--detector)")
    calorimeter = wanted or load(str(source.detector))
    if source.provenance is not None:
        return showers, source.provenance
    provenance = kinds.find(calorimeter.kind).LAYOUT.provenance(
        detector=calorimeter.name,
        simulation=source.description,
        physics="unknown",
        physics_data="unknown",
        range_cut=None,
        magnetic_field=None,
        geometry="geometry unknown",
        sampling=f"particles as they come in {file.name}",
        coverage=_coverage(showers, calorimeter),
        seed=source.seed,
        software=f"k4calofast {k4calofast.__version__}",
        **showers.shape,
    )
    return showers, provenance


_LEAST_WIDE = {"rad": 1e-3, "mm": 0.1}
"""Ranges are at least so wide: differences by rounding alone are none.  Momenta: a thousandth."""


def _coverage(
    showers: Showers, calorimeter: Calorimeter
) -> dict[int, dict[str, tuple[float, float]]]:
    """Range that each condition fills, for each kind."""
    units = {condition.name: condition.unit for condition in calorimeter.conditions}
    coverage: dict[int, dict[str, tuple[float, float]]] = {}
    for pdg in np.unique(showers.pdg).tolist():
        of_kind = showers.take(showers.pdg == pdg)
        coverage[pdg] = {}
        for name in showers.conditions_known:
            values = of_kind.condition(name)
            low, high = values.min(), values.max()
            middle = (low + high) / 2
            least = _LEAST_WIDE.get(units[name], 1e-3 * abs(middle))
            half = max(high - low, least) / 2
            coverage[pdg][name] = (float(middle - half), float(middle + half))
    return coverage


def _kind_of_sample(file: Path) -> str | None:
    """Name of the kind of a sample of `k4calofast fullsim`, None for files of others."""
    if hdf5.start(file) != hdf5.SIGNATURE:
        return None
    layout, _ = hdf5.contents(file)
    known = {one.name: name for name in kinds.NAMES for one in kinds.find(name).LAYOUTS}
    return None if layout is None else known.get(layout)

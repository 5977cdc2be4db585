"""Several samples as one: a first one, and further showers where a generator needed them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k4calofast import detector
from k4calofast.exceptions import TrainingError
from k4calofast.showers.hints import Hints
from k4calofast.showers.reading import read_with_provenance
from k4calofast.training.families import FAMILIES, kind_of
from k4calofast.training.kinds import Kind

_ALIKE = (
    "detector",
    "simulation",
    "physics",
    "physics_data",
    "range_cut",
    "magnetic_field",
    "geometry",
)
"""What samples must have in common, of whatever kind; see `kinds.Kind.alike`, too."""


@dataclass(frozen=True)
class Part:
    """One of the samples: its file, the number of its showers, and where they come from."""

    file: Path
    count: int
    provenance: Any


@dataclass(frozen=True)
class Joined:
    """The showers of all samples.

    Attributes
    ----------
    showers
        One sample after the other.
    provenance
        Of the first, with the coverage of all.
    parts
        The samples.
    """

    showers: Any
    provenance: Any
    parts: tuple[Part, ...]

    def identity(self) -> dict[str, object]:
        """What decides the result of a training, beside the first sample."""
        more = self.parts[1:]
        return {"more": [digest(part.file) for part in more]} if more else {}

    def described(self) -> str:
        """What the samples are, for the card."""
        first = self.parts[0].provenance
        text = f"{first.geometry}; {first.sampling}; seed {_seed(first)}"
        for part in self.parts[1:]:
            sampling = part.provenance.sampling.removeprefix(first.sampling).strip("; ")
            text += f"; and {part.count} showers, seed {_seed(part.provenance)}"
            text += f": {sampling}" if sampling else ""
        return text


def read(file: Path, more: Sequence[Path], kind: Kind, hints: Hints) -> Joined:
    """Read samples that are to be trained on together.

    Parameters
    ----------
    file, more
        The first sample, and others.
    kind
        Of calorimeters.
    hints
        What the samples do not say by themselves.

    Raises
    ------
    FileFormatError
        If a sample cannot be read.
    TrainingError
        If they are not of one detector, simulation and window, or two have the same seed.
    """
    read = [(sample, *read_sample(sample, kind, hints)) for sample in (file, *more)]
    parts = tuple(Part(sample, len(showers), said) for sample, showers, said in read)
    for number, part in enumerate(parts):
        for before in parts[:number]:
            _refuse_unlike(before, part, (*_ALIKE, *kind.alike))
    if len(read) == 1:
        return Joined(read[0][1], read[0][2], parts)
    coverage: dict[int, dict[str, tuple[float, float]]] = {}
    for part in parts:
        for pdg, ranges in part.provenance.coverage.items():
            joined = coverage.setdefault(pdg, dict(ranges))
            for name, (low, high) in ranges.items():
                joined[name] = (min(low, joined[name][0]), max(high, joined[name][1]))
    return Joined(
        type(read[0][1]).concatenate([showers for _, showers, _ in read]),
        parts[0].provenance.model_copy(update={"coverage": coverage}),
        parts,
    )


def read_sample(file: Path, kind: Kind, hints: Hints) -> tuple[Any, Any]:
    """Read showers of a kind of calorimeter, and where they come from.

    Raises
    ------
    FileFormatError
        If they cannot be read.
    TrainingError
        If they are of another kind.
    """
    showers, provenance = read_with_provenance(file, hints)
    found = detector.load(provenance.detector).kind
    if found != kind.name:
        fitting = ", ".join(name for name in FAMILIES if kind_of(name) == found)
        raise TrainingError(
            f"{file} holds showers in {found}, and this family is for {kind.name}; for {found} "
            f"there are {fitting}"
        )
    return showers, provenance


def digest(file: Path) -> str:
    """SHA-256 of a sample."""
    with file.open("rb") as sample:
        return hashlib.file_digest(sample, "sha256").hexdigest()


def _refuse_unlike(first: Part, second: Part, alike: tuple[str, ...]) -> None:
    for name in alike:
        a, b = (_without_seed(getattr(part.provenance, name)) for part in (first, second))
        if a != b:
            raise TrainingError(f"{first.file} and {second.file} differ in {name}: {a}, {b}")
    seed = first.provenance.seed
    if seed is not None and seed == second.provenance.seed:
        raise TrainingError(
            f"{second.file} has the seed of {first.file}, {seed}: further showers need another, "
            "or they are the same ones"
        )
    if first.file.samefile(second.file):
        raise TrainingError(f"{second.file} is there twice")


def _seed(provenance: Any) -> str:
    return "unknown" if provenance.seed is None else str(provenance.seed)


def _without_seed(value: object) -> object:
    """What a simulation is, whatever its seed; other values as they are."""
    return re.sub(r",? *\bseed \d+\b", "", value) if isinstance(value, str) else value

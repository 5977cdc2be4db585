"""Several samples as one: a first one, and further showers where a generator needed them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k4calofast.exceptions import TrainingError
from k4calofast.generator.card import ModelCard
from k4calofast.showers.reading import read_with_provenance

_ALIKE = (
    "detector",
    "window",
    "simulation",
    "physics",
    "physics_data",
    "range_cut",
    "magnetic_field",
    "geometry",
    "pitch",
)
"""What samples must have in common, those that say so."""

Reader = Callable[[Path], tuple[Any, Any]]
"""Reads a sample: showers, and where they come from."""


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
        return further([part.file for part in self.parts[1:]])

    def noted(self, card: ModelCard) -> ModelCard:
        """Return a card of a training on the first sample that says of the others, too."""
        training, first = card.training, self.parts[0].provenance
        text = training.sample
        for part in self.parts[1:]:
            seed = part.provenance.seed
            sampling = part.provenance.sampling.removeprefix(first.sampling).strip("; ")
            text += f"; and {part.count} showers, seed {'unknown' if seed is None else seed}"
            text += f": {sampling}" if sampling else ""
        noted = training.model_copy(update={"sample": text})
        return card.model_copy(update={"training": noted})


def read(file: Path, more: Sequence[Path], reader: Reader = read_with_provenance) -> Joined:
    """Read samples that are to be trained on together.

    Parameters
    ----------
    file, more
        The first sample, and others.
    reader
        For their kind: of showers in crystals, or in layers.

    Raises
    ------
    FileFormatError
        If a sample cannot be read.
    TrainingError
        If they are not of one detector, simulation and window, or two have the same seed.
    """
    read = [(one, *reader(one)) for one in (file, *more)]
    parts = tuple(Part(one, len(showers), said) for one, showers, said in read)
    for number, part in enumerate(parts):
        for before in parts[:number]:
            _refuse_unlike(before, part)
    if len(read) == 1:
        return Joined(read[0][1], read[0][2], parts)
    coverage: dict[int, dict[str, tuple[float, float]]] = {}
    for part in parts:
        for pdg, ranges in part.provenance.coverage.items():
            there = coverage.setdefault(pdg, dict(ranges))
            for name, (low, high) in ranges.items():
                there[name] = (min(low, there[name][0]), max(high, there[name][1]))
    return Joined(
        type(read[0][1]).concatenate([showers for _, showers, _ in read]),
        parts[0].provenance.model_copy(update={"coverage": coverage}),
        parts,
    )


def digest(file: Path) -> str:
    """SHA-256 of a sample."""
    with file.open("rb") as sample:
        return hashlib.file_digest(sample, "sha256").hexdigest()


def further(more: Sequence[Path]) -> dict[str, object]:
    """What further samples decide of the result of a training."""
    return {"more": [digest(file) for file in more]} if more else {}


def _refuse_unlike(one: Part, other: Part) -> None:
    here, there = one.provenance, other.provenance
    for name in _ALIKE:
        a, b = (_without_seed(getattr(said, name, None)) for said in (here, there))
        if a != b:
            raise TrainingError(f"{one.file} and {other.file} differ in {name}: {a}, {b}")
    if here.seed is not None and here.seed == there.seed:
        raise TrainingError(
            f"{other.file} has the seed of {one.file}, {here.seed}: further showers need another, "
            "or they are the same ones"
        )
    if one.file.samefile(other.file):
        raise TrainingError(f"{other.file} is there twice")


def _without_seed(value: object) -> object:
    """What a simulation is, whatever its seed; other values as they are."""
    return re.sub(r",? *\bseed \d+\b", "", value) if isinstance(value, str) else value

"""What samples of all kinds have in common: columns with a row for each shower, or each point.

Points are places in a shower with energy in them; those of shower i are rows ``offsets[i]`` to
``offsets[i + 1]`` of their columns. Kinds whose showers all have the same places have no points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, ClassVar, Self, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Ints

LARGEST, SMALLEST = 1e6, 1e-12
"""Energies and momenta (GeV) of particles that are no mistake of who wrote them."""

OFFSETS = "offsets"


class Rows(Enum):
    """What a row of a column belongs to."""

    SHOWERS = "showers"
    POINTS = "points"
    BORDERS = "borders"
    """Between the points of showers: one more than there are showers."""


@dataclass(frozen=True)
class Column:
    """A column of a sample.

    Attributes
    ----------
    type, dimensions
        Of its numbers.
    unit, meaning
        In words.
    rows
        What its rows belong to.
    negative
        Whether its numbers may be negative.
    unknown
        Whether they may be NaN, for what is not known.
    """

    type: npt.DTypeLike
    unit: str
    meaning: str
    dimensions: int = 1
    rows: Rows = Rows.SHOWERS
    negative: bool = False
    unknown: bool = False


@dataclass(frozen=True)
class Showers:
    """N showers of single particles, one of the kinds of samples.

    Each attribute is a column of N rows, or of one row per point, and annotated as a `Column`.
    """

    pdg: Annotated[Ints, Column(np.int32, "", "PDG number of the particle")]

    columns: ClassVar[dict[str, Column]]
    """By the names of the attributes."""

    conditions_known: ClassVar[tuple[str, ...]]
    """Names of the calorimeter's conditions that a sample knows."""

    def __init_subclass__(cls) -> None:
        hints = get_type_hints(cls, include_extras=True)
        cls.columns = {
            name: hint.__metadata__[0]
            for name, hint in hints.items()
            if get_origin(hint) is Annotated
        }

    def __len__(self) -> int:
        return len(self.pdg)

    def condition(self, name: str) -> Floats:
        """(N,) values of one of `conditions_known`."""
        raise NotImplementedError

    @property
    def shape(self) -> dict[str, Any]:
        """What the columns tell of the provenance."""
        return {}

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> Self:
        """Return the showers of these rows."""
        taken = {name: getattr(self, name)[rows] for name in self._of(Rows.SHOWERS)}
        if OFFSETS in self.columns:
            before = getattr(self, OFFSETS)
            kept = np.arange(len(self))[rows]
            counts = np.diff(before)[kept]
            offsets = np.append(0, np.cumsum(counts))
            points = np.arange(offsets[-1]) + np.repeat(before[kept] - offsets[:-1], counts)
            taken[OFFSETS] = offsets
            taken |= {name: getattr(self, name)[points] for name in self._of(Rows.POINTS)}
        return type(self)(**taken)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the showers of several samples, one after the other."""
        rows = list(cls.rows_of(parts))
        return cls(**{name: np.concatenate([part[name] for part in rows]) for name in cls.columns})

    @classmethod
    def rows_of(cls, parts: Iterable[Self]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Rows that each part adds to the columns of a sample."""
        points = 0
        for number, part in enumerate(parts):
            rows = {name: getattr(part, name) for name in cls.columns}
            if OFFSETS in rows:
                rows[OFFSETS] = points + rows[OFFSETS][1 if number else 0 :]
                points += len(rows[cls._of(Rows.POINTS)[0]])
            yield rows

    @classmethod
    def misfit(cls, sizes: dict[str, tuple[int, ...]]) -> str:
        """Say which column does not fit the others, if there is one.

        Parameters
        ----------
        sizes
            Shape of each column.
        """
        for of in (Rows.SHOWERS, Rows.POINTS):
            first, *others = cls._of(of) or [""]
            for name in others:
                if sizes[name][0] != sizes[first][0]:
                    return f"column {name} is not as long as column {first}"
        if OFFSETS in sizes and sizes[OFFSETS][0] != sizes["pdg"][0] + 1:
            return f"column {OFFSETS} does not fit the showers"
        return ""

    def fault(self) -> str:
        """Say which column holds what no training and no comparison survives, if one does."""
        if OFFSETS in self.columns:
            offsets, points = getattr(self, OFFSETS), len(getattr(self, self._of(Rows.POINTS)[0]))
            if offsets[0] != 0 or offsets[-1] != points or (np.diff(offsets) < 0).any():
                return f"column {OFFSETS} does not fit the showers and their points"
        for name, column in self.columns.items():
            values = getattr(self, name)
            if values.dtype.kind != "f":
                continue
            if column.unknown:
                values = values[~np.isnan(values)]
            if not column.negative and impossible(values):
                return f"column {name} holds NaN or negative values, or some above {LARGEST:g}"
            if not (np.abs(values) <= LARGEST).all():
                return f"column {name} holds NaN, or values above {LARGEST:g}"
        if not (self.condition("momentum") >= SMALLEST).all():
            return f"there are momenta below {SMALLEST:g} GeV"
        return ""

    @classmethod
    def _of(cls, rows: Rows) -> list[str]:
        return [name for name, column in cls.columns.items() if column.rows is rows]


def impossible(energy: npt.NDArray[np.floating]) -> int:
    """Count energies that are NaN, negative or absurdly large."""
    return int((~((energy >= 0) & (energy <= LARGEST))).sum())

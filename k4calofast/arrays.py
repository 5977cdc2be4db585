"""Names for arrays by the type of their elements, and a base of columns with the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]

Indices = npt.NDArray[np.int64]
"""Numbers of particles, showers, cells, ..."""

Ints = npt.NDArray[np.int32]
"""PDG numbers, words of bits, and other columns of EDM4hep."""

IDs = npt.NDArray[np.uint64]
"""Cell IDs, event numbers and seeds."""

Words = npt.NDArray[np.uint32]
"""Words of random bits, run numbers."""

Mask = npt.NDArray[np.bool_]


def owners(offsets: Indices) -> Indices:
    """Of lists that lie one after the other, begun at these offsets: whose each element is (N,)."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def ranks(offsets: Indices) -> Indices:
    """Likewise, which of its list's elements each one is: 0, 1, 2, ... in every list (N,)."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


@dataclass(frozen=True)
class Columns:
    """Base of dataclasses whose fields are arrays, all with the same rows."""

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by their names."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def take(self, rows: Indices | Mask | slice) -> Self:
        """Return some of the rows."""
        return type(self)(*(column[rows] for column in self.arrays().values()))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of several, one after the other."""
        return cls(*map(np.concatenate, zip(*(p.arrays().values() for p in parts), strict=True)))

    def equals(self, other: Self) -> bool:
        """Whether all is the same."""
        return all(map(np.array_equal, self.arrays().values(), other.arrays().values()))

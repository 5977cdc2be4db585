"""Showers in crystals: every crystal that was hit, and the window around the one that was entered.

Samples of `k4calofast fullsim` hold what each shower left in every crystal of the calorimeter and
of those beyond it, and when. The windows that most readers look at are derived from that. Files of
older versions and of other programs hold windows alone; of what is outside, they know the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Floats32, Indices, Ints
from k4calofast.detector import Calorimeter, load
from k4calofast.detector.crystals import CONDITIONS, CrystalCalorimeter
from k4calofast.exceptions import FileFormatError
from k4calofast.showers import hdf5
from k4calofast.showers.base import Column, Rows, Showers
from k4calofast.showers.hdf5 import Layout
from k4calofast.showers.provenance import Provenance

_PDG = Column(np.int32, "", "PDG number of the particle")
_CELL = Column(np.int32, "", "cell that was entered")
_CONDITIONS = Column(
    np.float64, "GeV, mm, rad", "as the provenance names them", dimensions=2, negative=True
)
_ENERGIES = Column(
    np.float32,
    "GeV",
    "energy deposited in each cell of the window around the cell that was entered",
    dimensions=3,
)
_BESIDE = Column(np.float32, "GeV", "energy deposited in cells outside the window")
_OFFSETS = Column(np.int64, "", "first hit of each shower", rows=Rows.BORDERS)
_CRYSTAL = Column(
    np.int32,
    "",
    "cell that was hit, in the calorimeter's numbers and, above them, in those of the ones beyond",
    rows=Rows.POINTS,
)
_ENERGY = Column(np.float32, "GeV", "energy deposited in the cell", rows=Rows.POINTS)
_TIME = Column(
    np.float32,
    "ns",
    "from the particle's entry to the energy-weighted mean time of the deposits; NaN: not recorded",
    rows=Rows.POINTS,
    unknown=True,
)

_FIRST_NAMES = tuple(condition.name for condition in CONDITIONS if condition.name != "depth")
"""Of the conditions of files that name none."""

_WINDOW = (11, 11)
"""Rows and columns of the windows that are derived from all crystals."""


@dataclass(frozen=True)
class CrystalShowers(Showers):
    """N showers, seen in a window of cells around the cell that was entered, and in all cells.

    `offsets`, `crystal`, `energy` and `time` are None where a sample knows windows alone.
    """

    cell: Annotated[Ints, _CELL]
    conditions: Annotated[Floats, _CONDITIONS]
    """(N, conditions), named by `names`."""
    energies: Annotated[Floats32, _ENERGIES]
    """(N, rows, columns); 0 where the window has no cell."""
    beside: Annotated[Floats32, _BESIDE]
    offsets: Indices | None = None
    """(N + 1,) hits of shower i are rows ``offsets[i]`` to ``offsets[i + 1]`` of what follows."""
    crystal: Ints | None = None
    """(H,) cell that was hit, in the calorimeter's numbers; n_cells and more are cells of the
    calorimeters beyond it, in their order."""
    energy: Floats32 | None = None
    """(H,) GeV, above 0."""
    time: Floats32 | None = None
    """(H,) ns from the particle's entry to the energy-weighted mean time of the deposits; NaN where
    it was not recorded."""
    names: tuple[str, ...] = _FIRST_NAMES
    """Of the conditions."""

    @property
    def conditions_known(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the conditions."""
        return self.names

    @property
    def momentum(self) -> Floats:
        """(N,) momentum at the face (GeV): the first of the conditions."""
        return self.conditions[:, 0]

    @property
    def shape(self) -> dict[str, Any]:
        """Rows and columns of the windows, and names of the conditions."""
        return {"window": self.energies.shape[1:], "conditions": self.names}

    @property
    def whole(self) -> bool:
        """Whether it is known what was left in every cell."""
        return self.offsets is not None

    def condition(self, name: str) -> Floats:
        """(N,) values of one of the conditions."""
        return self.conditions[:, self.names.index(name)]

    def hits(self) -> AllHits:
        """Return what was left in every cell.

        Raises
        ------
        FileFormatError
            If the sample knows windows alone.
        """
        if self.offsets is None or self.crystal is None or self.energy is None or self.time is None:
            raise FileFormatError(
                "the sample knows windows of crystals alone, and here all crystals are needed: "
                "make it anew with `k4calofast fullsim`"
            )
        known = (self.offsets, self.crystal, self.energy, self.time)
        return AllHits(self.pdg, self.cell, self.conditions, *known, self.names)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> Self:
        """Return the showers of these rows."""
        windows = {
            name: getattr(self, name)[rows]
            for name in ("pdg", "cell", "conditions", "energies", "beside")
        }
        points = self.hits().take(rows).points if self.whole else {}
        return type(self)(**windows, **points, names=self.names)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the showers of several samples, one after the other.

        All cells are known of the whole if they are of all parts. Conditions are those of the first
        part; the others must know them.
        """
        names = parts[0].names
        windows = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("pdg", "cell", "energies", "beside")
        }
        windows["conditions"] = np.concatenate(
            [part.conditions[:, [part.names.index(name) for name in names]] for part in parts]
        )
        if not all(part.whole for part in parts):
            return cls(**windows, names=names)
        return cls(**windows, **AllHits.concatenate([p.hits() for p in parts]).points, names=names)

    def fault(self) -> str:
        """See `Showers`."""
        return super().fault() or (self.hits().fault() if self.whole else "")


@dataclass(frozen=True)
class AllHits(Showers):
    """What N showers left in every cell; see `CrystalShowers`."""

    cell: Annotated[Ints, _CELL]
    conditions: Annotated[Floats, _CONDITIONS]
    offsets: Annotated[Indices, _OFFSETS]
    crystal: Annotated[Ints, _CRYSTAL]
    energy: Annotated[Floats32, _ENERGY]
    time: Annotated[Floats32, _TIME]
    names: tuple[str, ...] = _FIRST_NAMES

    @property
    def points(self) -> dict[str, npt.NDArray[Any]]:
        """The columns that windows do not have."""
        return {name: getattr(self, name) for name in ("offsets", "crystal", "energy", "time")}

    def condition(self, name: str) -> Floats:
        """(N,) values of one of the conditions."""
        return self.conditions[:, self.names.index(name)]

    @property
    def shower(self) -> Indices:
        """(H,) shower of each hit."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def in_windows(
        self, detector: CrystalCalorimeter, window: tuple[int, int] = _WINDOW
    ) -> CrystalShowers:
        """Return the same showers with windows around the cells that were entered."""
        cell = np.asarray(self.cell, np.int64)
        energies, beside = in_windows(
            detector, cell, window, self.shower, self.crystal.astype(np.int64), self.energy
        )
        of_showers = (self.pdg, self.cell, self.conditions, energies, beside)
        return CrystalShowers(*of_showers, **self.points, names=self.names)


class CrystalProvenance(Provenance):
    """Where a sample of showers in crystals comes from.

    Samples of others say less: `k4calofast.showers.reading.read_with_provenance`.

    Attributes
    ----------
    window
        Shape (rows, columns) of the windows.
    conditions
        Names of the conditions, in the order of the column's.
    """

    window: tuple[int, int]
    conditions: tuple[str, ...] = _FIRST_NAMES

    @property
    def covered(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the coverage has ranges of."""
        return self.conditions

    def row_of(self, column: str, /) -> tuple[int, ...]:
        """Shape of a row of a column."""
        return {"conditions": (len(self.conditions),), "energies": self.window}.get(column, ())


LAYOUT = Layout("k4calofast showers 2", AllHits, CrystalProvenance, 1024)
"""How samples are stored."""

WINDOWS_LAYOUT = Layout("k4calofast showers 1", CrystalShowers, CrystalProvenance, 1024)
"""How older samples are stored, and those of which windows alone are known."""

LAYOUTS: tuple[Layout[Any, Any], ...] = (LAYOUT, WINDOWS_LAYOUT)


def read(file: Path) -> tuple[CrystalShowers, CrystalProvenance]:
    """Read a sample in either of the layouts; see `Layout.read`."""
    layout, _ = hdf5.contents(file) if hdf5.start(file) == hdf5.SIGNATURE else (None, None)
    if layout != LAYOUT.name:
        showers, provenance = WINDOWS_LAYOUT.read(file)
        return showers, provenance
    hits, provenance = LAYOUT.read(file)
    detector: Any = load(provenance.detector)
    named = replace(hits, names=provenance.conditions)
    if (named.cell < 0).any() or (named.cell >= detector.n_cells).any():
        raise FileFormatError(f"{file}: column cell holds numbers of no cell of {detector.name}")
    if (named.crystal < 0).any() or (named.crystal >= n_cells_known(detector)).any():
        raise FileFormatError(f"{file}: column crystal holds numbers of no cell")
    return named.in_windows(detector, provenance.window), provenance


def write(
    file: Path,
    parts: Iterable[CrystalShowers],
    provenance: CrystalProvenance | Callable[[], CrystalProvenance],
) -> int:
    """Write showers, part by part; see `Layout.write`.

    What is known of the first part decides the layout: windows are stored if they are all there is.
    """
    remaining = iter(parts)
    first = next(remaining, None)
    every = remaining if first is None else chain([first], remaining)
    if first is not None and not first.whole:
        return WINDOWS_LAYOUT.write(file, every, provenance)
    return LAYOUT.write(file, (part.hits() for part in every), provenance)


def n_cells_known(detector: Calorimeter) -> int:
    """Return the number of cells of a calorimeter and of those beyond it."""
    return detector.n_cells + sum(one.n_cells for one in detector.beyond)


def in_windows(
    detector: CrystalCalorimeter,
    entered: Indices,
    window: tuple[int, int],
    shower: Indices,
    cell: Indices,
    energy: npt.NDArray[np.floating],
) -> tuple[Floats32, Floats32]:
    """Sort deposits into windows around the cells that were entered.

    Parameters
    ----------
    entered
        (N,) cell that each shower's particle entered.
    window
        Rows and columns.
    shower, cell, energy
        (D,) the deposits: whose, where (-1 in no cell that is known), how much.

    Returns
    -------
    energies
        (N, rows, columns), in the unit of the deposits.
    beside
        (N,) outside the windows.
    """
    count, size = len(entered), window[0] * window[1]
    place = detector.place_of(entered[shower], cell, window)
    inside = place >= 0
    at = shower[inside] * size + place[inside]
    energies = np.bincount(at, energy[inside], count * size)
    beside = np.bincount(shower[~inside], energy[~inside], count)
    return energies.reshape(count, *window).astype(np.float32), beside.astype(np.float32)

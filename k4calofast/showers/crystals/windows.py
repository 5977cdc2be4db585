"""Showers in crystals: windows of energies around the crystal that is hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Floats32, Indices, Ints
from k4calofast.detector.crystals import CONDITIONS, CrystalBarrel
from k4calofast.showers.base import Column, Showers
from k4calofast.showers.hdf5 import Layout
from k4calofast.showers.provenance import Provenance


@dataclass(frozen=True)
class CrystalShowers(Showers):
    """N showers, each seen in a window of cells around the cell that was hit."""

    cell: Annotated[Ints, Column(np.int32, "", "cell that was hit")]
    conditions: Annotated[
        Floats,
        Column(
            np.float64,
            ", ".join(condition.unit for condition in CONDITIONS),
            ", ".join(condition.name for condition in CONDITIONS),
            dimensions=2,
            negative=True,
        ),
    ]
    energies: Annotated[
        Floats32,
        Column(
            np.float32,
            "GeV",
            "energy deposited in each cell of the window around the hit cell",
            dimensions=3,
        ),
    ]
    """(N, rows, columns); 0 where the window has no cell."""
    beside: Annotated[
        Floats32, Column(np.float32, "GeV", "energy deposited in cells outside the window")
    ]

    conditions_known = tuple(condition.name for condition in CONDITIONS)

    @property
    def momentum(self) -> Floats:
        """(N,) momentum at the face (GeV): the first of the conditions."""
        return self.conditions[:, 0]

    @property
    def shape(self) -> dict[str, tuple[int, ...]]:
        """Rows and columns of the windows."""
        return {"window": self.energies.shape[1:]}

    def condition(self, name: str) -> Floats:
        """(N,) values of one of the conditions."""
        return self.conditions[:, self.conditions_known.index(name)]


class CrystalProvenance(Provenance):
    """Where a sample of showers in windows comes from.

    Samples of others say less: `k4calofast.showers.reading.read_with_provenance`.

    Attributes
    ----------
    window
        Its shape (rows, columns).
    """

    window: tuple[int, int]

    covered = CrystalShowers.conditions_known

    def row_of(self, column: str, /) -> tuple[int, ...]:
        """Shape of a row of a column."""
        return {"conditions": (len(CONDITIONS),), "energies": self.window}.get(column, ())


LAYOUT = Layout("k4calofast showers 1", CrystalShowers, CrystalProvenance, 1024)
"""How samples are stored."""

read, write = LAYOUT.read, LAYOUT.write


def in_windows(
    detector: CrystalBarrel,
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
        (D,) the deposits: whose, where (-1 in no cell of this detector), how much.

    Returns
    -------
    energies
        (N, rows, columns), in the unit of the deposits.
    beside
        (N,) outside the windows.
    """
    count = len(entered)
    cells = detector.window(entered, window).reshape(-1)
    places = np.flatnonzero(cells >= 0)
    # Deposits find their place by shower and cell; no cell is twice in a window.
    keys = places // (window[0] * window[1]) * detector.n_cells + cells[places]
    order = np.argsort(keys)
    keys, places = keys[order], places[order]
    wanted = np.where(cell >= 0, shower * detector.n_cells + cell, -1)
    at = np.searchsorted(keys, wanted)
    inside = np.zeros(len(wanted), np.bool_)
    possible = at < len(keys)
    inside[possible] = keys[at[possible]] == wanted[possible]
    energies = np.bincount(places[at[inside]], energy[inside], len(cells))
    beside = np.bincount(shower[~inside], energy[~inside], count)
    return energies.reshape(count, *window).astype(np.float32), beside.astype(np.float32)

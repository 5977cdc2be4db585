"""Deposits of whole events sorted into showers: whose, and where."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from k4calofast.detector import CrystalBarrel
from k4calofast.events.columns import Indices


def nearest_arrival(arrival: Indices, child: Indices, parent: Indices) -> Indices:
    """Pass the numbers of arrivals on to the particles that stem from them.

    Parameters
    ----------
    arrival
        (N,) number of each particle's arrival, -1 for those that do not arrive.
    child, parent
        (R,) relations between the particles.

    Returns
    -------
    npt.NDArray
        (N,) number of the arrival of the particle itself, or else of its nearest ancestor that
        arrives; -1 where there is none.
    """
    found = arrival.copy()
    while True:
        new = np.flatnonzero((found[child] < 0) & (found[parent] >= 0))
        if not new.size:
            return found
        found[child[new]] = found[parent[new]]


def in_windows(
    detector: CrystalBarrel,
    entered: Indices,
    window: tuple[int, int],
    shower: Indices,
    cell: Indices,
    energy: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
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


LARGEST, SMALLEST = 1e6, 1e-12
"""Energies and momenta (GeV) of particles that are no mistake of who wrote them."""


def impossible(energy: npt.NDArray[np.floating]) -> int:
    """Count energies that are NaN, negative or absurdly large."""
    return int((~((energy >= 0) & (energy <= LARGEST))).sum())

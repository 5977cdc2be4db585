"""Deposits of whole events: whose shower they are part of."""

from __future__ import annotations

import numpy as np

from k4calofast.arrays import Indices


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

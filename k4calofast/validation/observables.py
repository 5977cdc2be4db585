"""Observables of showers in a window of cells around the cell that was hit.

All are defined for empty showers, too, as 0. Distances are in cells: rows are theta, columns
phi.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from k4calofast.showers import Showers

Floats = npt.NDArray[np.float64]

OBSERVABLES = {
    "response": "energy in the window over momentum",
    "e1_e9": "energy of the hit cell over that of the 3 x 3 cells around it",
    "e9_e25": "energy of 3 x 3 over that of 5 x 5 cells",
    "e25_window": "energy of 5 x 5 cells over that of the window",
    "centre_theta": "energy-weighted mean row, from the hit cell",
    "centre_phi": "energy-weighted mean column, from the hit cell",
    "width_theta": "energy-weighted standard deviation of the rows",
    "width_phi": "energy-weighted standard deviation of the columns",
    "cells": "number of cells with energy",
    "cells_1mev": "number of cells above 1 MeV",
}
"""The observables that a classifier gets, in this order."""


def block(energies: Floats, size: int) -> Floats:
    """Energies (N, size, size) of the cells in the middle of windows."""
    rows, columns = energies.shape[1:]
    top, left = rows // 2 - size // 2, columns // 2 - size // 2
    return energies[:, top : top + size, left : left + size]


def observables(showers: Showers) -> dict[str, Floats]:
    """All of `OBSERVABLES`, (N,) each."""
    energies = showers.energies.astype(np.float64)
    rows, columns = energies.shape[1:]
    total = energies.sum((1, 2))
    e1, e9, e25 = (block(energies, size).sum((1, 2)) for size in (1, 3, 5))
    row, column = np.arange(rows) - rows // 2, np.arange(columns) - columns // 2
    by_row, by_column = energies.sum(2), energies.sum(1)
    centre_theta = _ratio(by_row @ row, total)
    centre_phi = _ratio(by_column @ column, total)
    spread_theta = _ratio(by_row @ row**2, total) - centre_theta**2
    spread_phi = _ratio(by_column @ column**2, total) - centre_phi**2
    return {
        "response": total / showers.momentum,
        "e1_e9": _ratio(e1, e9),
        "e9_e25": _ratio(e9, e25),
        "e25_window": _ratio(e25, total),
        "centre_theta": centre_theta,
        "centre_phi": centre_phi,
        "width_theta": np.sqrt(np.maximum(spread_theta, 0.0)),
        "width_phi": np.sqrt(np.maximum(spread_phi, 0.0)),
        "cells": (energies > 0).sum((1, 2)).astype(np.float64),
        "cells_1mev": (energies > 1e-3).sum((1, 2)).astype(np.float64),
    }


def lateral_width(values: dict[str, Floats]) -> Floats:
    """Root of the summed variances of rows and columns (cells)."""
    return np.asarray(np.hypot(values["width_theta"], values["width_phi"]))


def width68(values: Floats) -> float:
    """Half the distance between the quantiles at 16 % and 84 %."""
    low, high = np.quantile(values, [0.16, 0.84])
    return float(high - low) / 2


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)

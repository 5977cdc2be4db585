"""Hits of showers in layers, as a calorimeter sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Indices
from k4calofast.showers.base import Column, Rows, Showers
from k4calofast.showers.layers import LayerShowers

_hits = partial(Column, rows=Rows.POINTS, negative=True)


@dataclass(frozen=True)
class SeenShowers(Showers):
    """N showers with H hits; see `columns`, and of the particles `LayerShowers`."""

    momentum: Floats
    angle_t: Floats
    angle_z: Floats
    outside: Floats
    offsets: Indices
    layer: Indices
    column: Indices
    row: Indices
    x: Floats
    y: Floats
    energy: Floats
    delay: Floats

    columns = {  # noqa: RUF012 - a constant of the class
        **{name: LayerShowers.columns[name] for name in ("pdg", "momentum", "angle_t", "angle_z")},
        "outside": Column(np.float64, "GeV", "outside the windows, if known: 0 of generators"),
        "offsets": LayerShowers.columns["offsets"],
        "layer": _hits(np.int64, "", "counted from the front"),
        "column": _hits(np.int64, "", "place in the window of the layer"),
        "row": _hits(np.int64, "", "place in the window of the layer"),
        "x": _hits(np.float64, "mm", "across: the cell's centre less where the particle's line is"),
        "y": _hits(np.float64, "mm", "along the beam: the same"),
        "energy": _hits(np.float64, "GeV", "of the cell"),
        "delay": _hits(np.float64, "ns", "after light straight from where the particle entered"),
    }

    conditions_known = LayerShowers.conditions_known
    condition = LayerShowers.condition

    @property
    def shower(self) -> Indices:
        """(H,) whose hits they are."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def summed(where: Indices, values: npt.NDArray[np.floating], count: int) -> Floats:
    """Sums (count,) of values (D,) that belong to numbers (D,) below `count`."""
    return np.asarray(np.bincount(where, values.astype(np.float64), count), np.float64)

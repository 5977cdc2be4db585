"""Hits of showers in layers, as a calorimeter sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Indices
from k4calofast.showers.base import Column, Rows, Showers
from k4calofast.showers.layers import LayerShowers

_angle = partial(Column, np.float64, "rad", negative=True)
_number = partial(Column, np.int64, "", rows=Rows.POINTS)
_of_hits = partial(Column, np.float64, rows=Rows.POINTS, negative=True)


@dataclass(frozen=True)
class SeenShowers(Showers):
    """N showers with H hits; the particles are as in `LayerShowers`."""

    momentum: Annotated[Floats, Column(np.float64, "GeV", "of the particle at the front face")]
    angle_t: Annotated[Floats, _angle("of the particle, across the module")]
    angle_z: Annotated[Floats, _angle("of the particle, along the beam")]
    outside: Annotated[Floats, Column(np.float64, "GeV", "outside the windows; 0 of generators")]
    offsets: Annotated[Indices, Column(np.int64, "", "of the hits", rows=Rows.BORDERS)]
    layer: Annotated[Indices, _number("counted from the front")]
    column: Annotated[Indices, _number("place in the layer's window")]
    row: Annotated[Indices, _number("place in the layer's window")]
    x: Annotated[Floats, _of_hits("mm", "across: the cell's centre less where the line crosses")]
    y: Annotated[Floats, _of_hits("mm", "the same along the beam")]
    energy: Annotated[Floats, _of_hits("GeV", "of the cell")]
    delay: Annotated[Floats, _of_hits("ns", "after light straight from where the particle entered")]

    conditions_known = LayerShowers.conditions_known
    condition = LayerShowers.condition

    @property
    def shower(self) -> Indices:
        """(H,) whose hits they are."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def summed(where: Indices, values: npt.NDArray[np.floating], count: int) -> Floats:
    """Sums (count,) of values (D,) that belong to numbers (D,) below `count`."""
    return np.asarray(np.bincount(where, values.astype(np.float64), count), np.float64)

"""The BESIII electromagnetic calorimeter, from the crystal table of `pybes3`.

CsI(Tl) crystals, 28 cm long; see M. Ablikim et al., Nucl. Instrum. Meth. A 614 (2010) 345.
The barrel has 44 rings of 120 crystals; ring 0 is at the largest z. Each endcap has six rings of
64, 64, 80, 80, 96 and 96 crystals; ring 0 is nearest to the beam. Rows of crystals in the order of
theta, and the crystals of a row in that of phi, have pybes3's global IDs.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pybes3

from k4calofast.arrays import Floats, IDs, Indices
from k4calofast.detector.blocks import Blocks
from k4calofast.detector.crystals import CrystalBarrel, CrystalEndcaps
from k4calofast.detector.encoding import CellIDEncoding
from k4calofast.detector.rows import Rows

MAGNETIC_FIELD = -1.0
"""Field along z (T). BESIII's solenoid points to -z: positive tracks turn to larger phi."""

ENCODING = CellIDEncoding("system:5,part:2,theta:6,phi:7")
"""``part`` is BESIII's (0 and 2 endcaps, 1 barrel), ``theta`` the ring, ``phi`` the crystal."""

BARREL, ENDCAPS = "BESIII_EMC_barrel", "BESIII_EMC_endcaps"
"""Names of the calorimeters."""

SYSTEM = 20
BARREL_PART = 1
_MM_PER_CM = 10.0
_IN_TABLE = 8
"""Corners of a crystal in the table."""
_SIDES, _MOST_SIDES = 4, 5
_SAME_POINT = 1e-3
"""mm"""


@cache
def barrel() -> CrystalBarrel:
    """Return the barrel: 44 rings of 120 crystals, pybes3's global IDs 480 to 5759."""
    own = np.flatnonzero(_column("part") == BARREL_PART)
    corners = _corners()[own][:, [0, 1, 2, 3, 5, 6, 7, 8]]
    return CrystalBarrel(
        name=BARREL,
        collection="EMCBarrelCollection",
        encoding=ENCODING,
        cell_ids=_cell_ids(own),
        magnetic_field=MAGNETIC_FIELD,
        rows=rows(),
        own=own,
        blocks=Blocks(corners, np.full(len(own), _SIDES)),
        others=lambda: (endcaps(),),
    )


@cache
def endcaps() -> CrystalEndcaps:
    """Return both endcaps: that at positive z first, crystals in the order of their global IDs."""
    own = np.flatnonzero(_column("part") != BARREL_PART)
    # The barrel's corners go around the other way.
    backwards = np.array([4, 3, 2, 1, 0, 9, 8, 7, 6, 5])
    sides = _sides()[own]
    corners = _corners()[own][:, backwards]
    four = sides == _SIDES
    corners[four] = corners[four][:, [1, 2, 3, 4, 4, 6, 7, 8, 9, 9]]
    return CrystalEndcaps(
        name=ENDCAPS,
        collection="EMCEndcapCollection",
        encoding=ENCODING,
        cell_ids=_cell_ids(own),
        magnetic_field=MAGNETIC_FIELD,
        rows=rows(),
        own=own,
        blocks=Blocks(corners, sides),
        others=lambda: (barrel(),),
    )


@cache
def rows() -> Rows:
    """Return the 56 rows of all 6240 crystals, numbered by pybes3's global IDs."""
    front = _vectors("front_center")
    starts = np.flatnonzero(np.diff(_column("theta"), prepend=-1))
    sizes = np.diff(np.append(starts, len(front)))
    return Rows(sizes, np.arctan2(front[:, 1], front[:, 0]) % (2 * np.pi))


def _column(name: str) -> Indices:
    table = pybes3.get_emc_geom_table()
    if not np.array_equal(table["gid"], np.arange(len(table["gid"]))):
        raise ValueError("crystals of pybes3's table are not in the order of their global IDs")
    return np.asarray(table[name], np.int64)


def _vectors(name: str, end: str = "") -> Floats:
    """(crystals, 3) mm of a quantity of the table."""
    table = pybes3.get_emc_geom_table()
    return np.stack([table[f"{name}_{axis}{end}"] for axis in "xyz"], axis=1) * _MM_PER_CM


@cache
def _sides() -> Indices:
    """(crystals,) number of sides: the front centre is the mean of as many of the corners."""
    corners = np.stack([_vectors("points", f"_{corner}") for corner in range(_SIDES)], axis=1)
    away = np.abs(corners.mean(1) - _vectors("front_center")).max(1)
    return np.where(away < _SAME_POINT, _SIDES, _MOST_SIDES)


@cache
def _corners() -> Floats:
    """(crystals, 10, 3) corners in mm, those of four sides with their last ones again.

    160 crystals in the endcaps' rings 1 and 3, at the border to rings of more crystals, have five
    sides, and ten corners. The table has five of the front and the first three behind; the other
    two follow from it: edges in front and behind are parallel, and the crystal's centre is the
    mean of its corners.
    """
    table = np.stack([_vectors("points", f"_{corner}") for corner in range(_IN_TABLE)], axis=1)
    corners = np.ascontiguousarray(table[:, [0, 1, 2, 3, 3, 4, 5, 6, 7, 7]])
    five = np.flatnonzero(_sides() == _MOST_SIDES)
    corners[five, :_IN_TABLE] = table[five]
    front = table[five, :_MOST_SIDES]
    edges = np.stack([front[:, 3] - front[:, 2], front[:, 4] - front[:, 0]], axis=2)
    first, last = table[five, 5], table[five, 7]
    rest = 2 * _MOST_SIDES * _vectors("center")[five] - table[five].sum(1) - first - last
    length = np.linalg.pinv(edges) @ rest[..., None]
    corners[five, 8] = last + edges[:, :, 0] * length[:, 0]
    corners[five, 9] = first + edges[:, :, 1] * length[:, 1]
    return corners


def _cell_ids(own: Indices) -> IDs:
    theta, phi = _column("theta")[own], _column("phi")[own]
    return ENCODING.encode(system=SYSTEM, part=_column("part")[own], theta=theta, phi=phi)

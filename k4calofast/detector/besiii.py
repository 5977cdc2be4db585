"""The BESIII electromagnetic calorimeter, from the crystal table of `pybes3`.

CsI(Tl) crystals, 28 cm long; see M. Ablikim et al., Nucl. Instrum. Meth. A 614 (2010) 345.
The barrel has 44 rings of 120 crystals; ring 0 is at the largest z.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pybes3

from k4calofast.detector.crystals import CrystalBarrel
from k4calofast.detector.encoding import CellIDEncoding

MAGNETIC_FIELD = -1.0
"""Field along z (T). BESIII's solenoid points to -z: positive tracks turn to larger phi."""

ENCODING = CellIDEncoding("system:5,part:2,theta:6,phi:7")
"""``part`` is BESIII's (0 and 2 endcaps, 1 barrel), ``theta`` the ring, ``phi`` the crystal."""

SYSTEM = 20
BARREL_PART = 1
_MM_PER_CM = 10.0


@cache
def barrel() -> CrystalBarrel:
    """Return the barrel: 44 rings of 120 crystals, pybes3's global IDs 480 to 5759."""
    table = pybes3.get_emc_geom_table()
    rows = np.flatnonzero(table["part"] == BARREL_PART)
    rings, columns = int(table["theta"][rows].max()) + 1, int(table["phi"][rows].max()) + 1
    rows = rows[np.lexsort((table["phi"][rows], table["theta"][rows]))]
    corners = np.stack(
        [[table[f"points_{axis}_{corner}"][rows] for axis in "xyz"] for corner in range(8)]
    )
    corners = np.moveaxis(corners, -1, 0).reshape(rings, columns, 8, 3) * _MM_PER_CM
    return CrystalBarrel(
        name="BESIII_EMC_barrel",
        collection="EMCBarrelCollection",
        encoding=ENCODING,
        cell_id_constants={"system": SYSTEM, "part": BARREL_PART},
        magnetic_field=MAGNETIC_FIELD,
        corners=corners,
    )

"""Names for arrays by the type of their elements."""

from __future__ import annotations

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

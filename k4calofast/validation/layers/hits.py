"""Hits of showers in layers, as a calorimeter sees them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Indices


@dataclass(frozen=True)
class SeenShowers:
    """N showers with H hits.

    Attributes
    ----------
    pdg, momentum, angle_t, angle_z
        (N,) the particles: PDG number, GeV and rad, as in `LayerShowers`.
    outside
        (N,) GeV outside the windows, where that is known: 0 of generators.
    offsets
        (N + 1,) the hits of shower i are ``offsets[i]:offsets[i + 1]``.
    layer, column, row
        (H,) layer, and place in its window.
    x, y
        (H,) mm across and along the beam: the cell's centre less where the particle's line crosses
        the layer.
    energy
        (H,) GeV.
    delay
        (H,) ns after light could have come straight from where the particle entered.
    """

    pdg: npt.NDArray[np.int32]
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

    def __len__(self) -> int:
        return len(self.pdg)

    def condition(self, name: str) -> Floats:
        """(N,) momentum, angle_t or angle_z."""
        values: Floats = getattr(self, name)
        return values

    @property
    def shower(self) -> Indices:
        """(H,) whose hits they are."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, rows: npt.NDArray[np.bool_] | Indices) -> SeenShowers:
        """Return the showers of these rows."""
        kept = np.arange(len(self))[rows]
        counts = np.diff(self.offsets)[kept]
        offsets = np.append(0, np.cumsum(counts))
        hits = np.arange(offsets[-1]) + np.repeat(self.offsets[kept] - offsets[:-1], counts)
        return SeenShowers(
            **{name: getattr(self, name)[kept] for name in _OF_SHOWERS},
            offsets=offsets,
            **{name: getattr(self, name)[hits] for name in _OF_HITS},
        )

    @staticmethod
    def concatenate(parts: list[SeenShowers]) -> SeenShowers:
        """Return the showers of several, one after the other."""
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        return SeenShowers(
            offsets=np.append(0, np.cumsum(counts)),
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in (*_OF_SHOWERS, *_OF_HITS)
            },
        )


_OF_SHOWERS = ("pdg", "momentum", "angle_t", "angle_z", "outside")
_OF_HITS = tuple(
    field.name for field in fields(SeenShowers) if field.name not in (*_OF_SHOWERS, "offsets")
)


def summed(where: Indices, values: npt.NDArray[np.floating], count: int) -> Floats:
    """Sums (count,) of values (D,) that belong to numbers (D,) below `count`."""
    return np.asarray(np.bincount(where, values.astype(np.float64), count), np.float64)

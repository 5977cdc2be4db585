"""Seeds as k4FWCore's UniqueIDGenSvc computes them."""

from __future__ import annotations

import numpy as np
import pytest

from k4calofast.events.columns import EventKeys
from k4calofast.events.unique_id import unique_ids


@pytest.mark.parametrize(
    ("seed", "event", "run", "name", "expected"),
    [
        (123456789, 0, 1, "CaloFastSim", 15578027997786150581),
        (5, (1 << 40) + 3, 4_000_000_000, "a", 16884177531131042578),
        ((1 << 64) - 1, 7, 7, "CaloFastSim.Barrel", 3737141542409771647),
        (0, 0, 0, "12345678", 8365314982370218875),
    ],
)
def test_ids_are_those_of_gccs_library(seed, event, run, name, expected):
    """Expected: a C++ program with std::bitset and std::hash, compiled with GCC 12."""
    keys = EventKeys(np.array([run], np.uint32), np.array([event], np.uint64))
    assert unique_ids(seed, keys, name).tolist() == [expected]


def test_events_are_independent_of_their_neighbours():
    keys = EventKeys(np.arange(5, dtype=np.uint32), np.arange(5, dtype=np.uint64) * 7)
    together = unique_ids(1, keys, "x")
    alone = [
        unique_ids(1, EventKeys(keys.run[i : i + 1], keys.event[i : i + 1]), "x") for i in range(5)
    ]
    assert together.tolist() == np.concatenate(alone).tolist()
    assert len(set(together.tolist())) == 5

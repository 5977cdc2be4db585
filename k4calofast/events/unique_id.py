"""The seeds of k4FWCore's UniqueIDGenSvc, so that all algorithms of a job follow one convention.

The service hashes its own seed, event number, run number and the algorithm's name with C++'s
``std::hash``, which in GCC's library is MurmurHash64A. Sources: k4FWCore 1.7,
``UniqueIDGenSvc``; A. Appleby, MurmurHash2 (public domain).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import IDs
from k4calofast.events.columns import EventKeys

DEFAULT_SEED = 123456789
"""The service's own."""

_MULTIPLIER = np.uint64(0xC6A4A7935BD1E995)
_SHIFT = np.uint64(47)
_HASH_SEED = 0xC70F6907


def unique_ids(seed: int, keys: EventKeys, name: str) -> IDs:
    """Return what the service gives an algorithm in each of E events.

    Parameters
    ----------
    seed
        The service's property ``Seed``.
    keys
        Run and event numbers.
    name
        The algorithm's name.
    """
    fields = np.zeros(
        len(keys),
        np.dtype([("name", "<u8"), ("run", "<u4"), ("event", "<u8"), ("seed", "<u8")]),
    )
    fields["name"] = _murmur(np.frombuffer(name.encode(), np.uint8)[None])[0]
    fields["run"], fields["event"], fields["seed"] = keys.run, keys.event, seed
    # std::bitset keeps its bits in words of 64, and hashes the bytes that are in use.
    return _murmur(fields.view(np.uint8).reshape(len(keys), fields.itemsize))


def _murmur(data: npt.NDArray[np.uint8]) -> IDs:
    """MurmurHash64A of each row of bytes."""
    rows, size = data.shape
    first = (_HASH_SEED ^ (size * int(_MULTIPLIER))) & 0xFFFFFFFFFFFFFFFF
    value = np.full(rows, first, np.uint64)
    whole = size // 8 * 8
    padded = np.zeros((rows, -(-size // 8) * 8), np.uint8)
    padded[:, :size] = data
    words = padded.view("<u8")
    for word in words[:, : whole // 8].T:
        mixed = word * _MULTIPLIER
        mixed = (mixed ^ (mixed >> _SHIFT)) * _MULTIPLIER
        value = (value ^ mixed) * _MULTIPLIER
    if size > whole:
        value = (value ^ words[:, -1]) * _MULTIPLIER
    value = (value ^ (value >> _SHIFT)) * _MULTIPLIER
    result: IDs = value ^ (value >> _SHIFT)
    return result

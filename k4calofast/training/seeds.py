"""Seeds of everything random in a training."""

from __future__ import annotations

import hashlib


def seed_of(*parts: object) -> int:
    """Return a seed (63 bits) that depends on all parts."""
    text = " ".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1

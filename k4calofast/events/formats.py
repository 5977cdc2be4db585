"""What files of events are, by how they begin: those of generators are no EDM4hep."""

from __future__ import annotations

import zlib
from typing import Literal

LOOKED_AT = 4096
"""Bytes that are enough to know."""

ROOT = b"root"
GZIP = b"\x1f\x8b"

_GENERATORS: dict[bytes, Literal["HepMC3", "HepMC2", "LHE"]] = {
    b"HepMC::Asciiv3": "HepMC3",
    b"HepMC::IO_GenEvent": "HepMC2",
    b"<LesHouchesEvents": "LHE",
}


def generators_format(start: bytes) -> Literal["HepMC3", "HepMC2", "LHE"] | None:
    """Format of a generator's file, compressed by gzip or not; None for all others.

    Parameters
    ----------
    start
        Its first `LOOKED_AT` bytes, or all.
    """
    if start.startswith(GZIP):
        try:
            start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, LOOKED_AT)
        except zlib.error:
            return None
    return next((name for mark, name in _GENERATORS.items() if mark in start), None)

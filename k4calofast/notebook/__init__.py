"""The door for Python: particles in, awkward arrays of events with hits out.

Events are frames in between, those of the files that `k4run` reads and writes: what is simulated
here is what a job makes of the same particles, bit for bit.
"""

from __future__ import annotations

from k4calofast.notebook.events import Events
from k4calofast.notebook.opening import open  # noqa: A004 - as uproot.open
from k4calofast.notebook.simulation import simulate

__all__ = ["Events", "open", "simulate"]

"""The array door: what the C++ components of `algorithms/` call in k4run's own interpreter.

Columns of one event come in as a dictionary of buffers and go out as a dictionary of arrays, so
neither podio nor ROOT is imported here. Names are ``<collection>.<member>``.
"""

from __future__ import annotations

from k4calofast.gaudi.components import Component, create

__all__ = ["Component", "create"]

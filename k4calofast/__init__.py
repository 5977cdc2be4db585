"""Calorimeter fast simulation for Key4hep: MCParticles in, calorimeter hits out.

Data flow one way, a folder per stage::

    events (particles) -> incidence -> generator -> hits -> events (file)

`k4calofast.engine` is the one place that wires them.
"""

try:
    from k4calofast._version import __version__ as __version__
except ModuleNotFoundError:  # a tree that nothing was built from
    __version__ = "0+unknown"

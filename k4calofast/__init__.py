"""Calorimeter fast simulation for Key4hep: MCParticles in, calorimeter hits out.

Data flow one way, a folder per stage::

    events (particles) -> incidence -> generator -> hits -> events (file)

`k4calofast.engine` is the one place that wires them.
"""

__version__ = "0.1.0"

"""The fast simulation: particles in, hits out. The one place that wires the stages.

    particles -> incidence -> generator -> hits

Nothing here knows of files or of frameworks: the embedded runtime and the Gaudi components
hand over columns and take columns back.
"""

from k4calofast.engine.region import Region
from k4calofast.engine.simulation import FastSimulation, Simulated
from k4calofast.engine.summary import RunSummary

__all__ = ["FastSimulation", "Region", "RunSummary", "Simulated"]

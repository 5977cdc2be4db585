"""Events of generators, from HepMC3, HepMC2 and LHE files, as columns of MCParticles."""

from k4calofast.records.columns import GeneratorEvent, Records
from k4calofast.records.conversion import convert
from k4calofast.records.reading import read

__all__ = ["GeneratorEvent", "Records", "convert", "read"]

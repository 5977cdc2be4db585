"""Full simulation of layers: a stack of slabs, deposits in small cells of their silicon."""

from k4calofast.fullsim.layers.setup import setup

__all__ = ["setup"]

"""Generators: model cards, and ONNX sessions that turn noise and conditions into energies."""

from k4calofast.generator.card import ModelCard
from k4calofast.generator.generated import Generated
from k4calofast.generator.model import Model
from k4calofast.generator.search import find_model
from k4calofast.generator.showers import ROUNDING, Generator, ShowerKeys, generate, in_range

__all__ = [
    "ROUNDING",
    "Generated",
    "Generator",
    "Model",
    "ModelCard",
    "ShowerKeys",
    "find_model",
    "generate",
    "in_range",
]

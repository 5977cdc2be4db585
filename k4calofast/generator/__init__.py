"""Generators: model cards, noise, and ONNX sessions that turn conditions into energies."""

from k4calofast.generator.card import ModelCard
from k4calofast.generator.generated import Generated
from k4calofast.generator.model import Model, find_model

__all__ = ["Generated", "Model", "ModelCard", "find_model"]

"""Precisions that a model can be reduced to."""

from __future__ import annotations

from enum import StrEnum


class Reduced(StrEnum):
    """Names of the variants; see `k4calofast.training.reduction`."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"

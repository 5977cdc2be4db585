"""Inputs of generators of layers, for particles of a sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from k4calofast.generator import ModelCard
from k4calofast.showers.layers import LayerProvenance, LayerShowers
from k4calofast.training.layers.sample import barrel_of
from k4calofast.validation.layers.readout import Readout, conditions

_BLOCK = 64
_SEED = 0
"""Of the noise, and of where cells lie."""


def inputs(
    card: ModelCard, showers: LayerShowers, provenance: LayerProvenance
) -> Iterator[dict[str, Any]]:
    """Yield inputs of a model, block by block, for the particles of showers."""
    readout = Readout.of(barrel_of(card.detector), provenance.pitch, card.window[1], 0.0)
    phases = readout.phases(len(showers), _SEED)
    random = np.random.default_rng(_SEED)
    for start in range(0, len(showers), _BLOCK):
        rows = slice(start, start + _BLOCK)
        part = showers.take(rows)
        windows = readout.windows(part, phases[rows])
        block = {
            "noise": random.standard_normal((len(part), card.noise)).astype(np.float32),
            "uniform": random.random((len(part), card.uniform), np.float32),
            "conditions": conditions(part, windows).astype(np.float32),
            **windows.inputs,
        }
        if len(card.kinds) > 1:
            block["pdg"] = part.pdg.astype(np.int64)
        yield block

"""Where samples of showers in layers come from, and what that decides about a generator."""

from __future__ import annotations

from typing import Any

from k4calofast.detector.description import describe
from k4calofast.showers.layers import LayerProvenance, LayerShowers
from k4calofast.training.family import Shape
from k4calofast.training.layers.sample import (
    ELECTRON,
    PHASES,
    POSITRON,
    LayeredSample,
    Layers,
)


def shape_of(provenance: LayerProvenance, settings: Any) -> Shape:
    """Return what a sample, and the size of the window, decide about a generator."""
    kinds = provenance.coverage
    ranges = {
        name: (
            min(one[name][0] for one in kinds.values()),
            max(one[name][1] for one in kinds.values()),
        )
        for name in ("momentum", "angle_t", "angle_z")
    }
    layers = Layers.of(describe(provenance.detector), PHASES * provenance.pitch)
    window = (settings.window, settings.window)
    # Positrons are mirrored electrons.
    both = {ELECTRON, POSITRON} if {ELECTRON, POSITRON} & set(kinds) else set()
    return Shape(sorted({*kinds, *both}), ranges, window, provenance.detector, layers)


def sample_of(showers: LayerShowers, shape: Shape) -> LayeredSample:
    """Return showers as tensors.

    Raises
    ------
    TrainingError
        If there are kinds of particles that are not known.
    """
    assert shape.layers is not None  # noqa: S101 - for the type checker
    return LayeredSample.of(showers, shape.layers)

"""Where samples of showers in layers come from, and what that decides about a generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from k4calofast.detector.description import describe
from k4calofast.exceptions import TrainingError
from k4calofast.showers.layered import LayeredProvenance, LayeredShowers
from k4calofast.training.families.family import Shape
from k4calofast.training.layered.sample import (
    ELECTRON,
    PHASES,
    POSITRON,
    LayeredSample,
    Layers,
)

_ALIKE = ("detector", "pitch", "simulation", "physics", "physics_data", "range_cut", "geometry")
"""What samples must have in common."""


def joined(files: Sequence[Path], said: Sequence[LayeredProvenance]) -> LayeredProvenance:
    """Return where samples that are trained on together come from.

    Raises
    ------
    TrainingError
        If they are not of one detector and simulation, or two have the same seed.
    """
    first = said[0]
    coverage: dict[int, dict[str, tuple[float, float]]] = {}
    for number, (file, one) in enumerate(zip(files, said, strict=True)):
        for name in _ALIKE:
            here, there = getattr(first, name), getattr(one, name)
            if here != there:
                raise TrainingError(f"{files[0]} and {file} differ in {name}: {here}, {there}")
        if one.seed is not None and one.seed in [before.seed for before in said[:number]]:
            raise TrainingError(f"{file} has a seed that is there already, {one.seed}")
        for pdg, ranges in one.coverage.items():
            known = coverage.setdefault(pdg, dict(ranges))
            for name, (low, high) in ranges.items():
                known[name] = (min(low, known[name][0]), max(high, known[name][1]))
    return first.model_copy(update={"coverage": coverage})


def shape_of(provenance: LayeredProvenance, settings: Any) -> Shape:
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


def sample_of(showers: LayeredShowers, shape: Shape) -> LayeredSample:
    """Return showers as tensors.

    Raises
    ------
    TrainingError
        If there are kinds of particles that are not known.
    """
    assert shape.layers is not None  # noqa: S101 - for the type checker
    return LayeredSample.of(showers, shape.layers)

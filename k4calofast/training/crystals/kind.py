"""What crystals bring to training: see `k4calofast.training.kinds`."""

from __future__ import annotations

from typing import Any

import numpy as np

from k4calofast import detector
from k4calofast.generator import ModelCard
from k4calofast.showers.crystals import CrystalProvenance, CrystalShowers
from k4calofast.training.crystals.choice import ResponseJudge
from k4calofast.training.crystals.family import conditions_of
from k4calofast.training.crystals.refinement import RefinedCrystals
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.whole import whole
from k4calofast.training.family import Shape, covering
from k4calofast.training.kinds import Kind


def _shape(provenance: CrystalProvenance, _settings: object) -> Shape:
    """The sample has the window."""
    return Shape(
        sorted(provenance.coverage),
        covering(provenance),
        provenance.window,
        provenance.detector,
    )


def _inputs(
    card: ModelCard, showers: CrystalShowers, _provenance: CrystalProvenance, _seed: int
) -> dict[str, Any]:
    """Those of the conditions that the model is told, in the order of the calorimeter's."""
    known = detector.load(card.detector).conditions
    told = [condition.name for condition in known if condition.name in card.conditions]
    return {"conditions": np.stack([showers.condition(name) for name in told], 1)}


KIND = Kind(
    name="crystals",
    alike=("window",),
    without={},
    shape=_shape,
    sample=lambda showers, shape, settings: Sample.of(
        showers, settings.threshold, conditions_of(shape)
    ),
    judge=ResponseJudge,
    refined=RefinedCrystals,
    exported=whole,
    inputs=_inputs,
)

"""What crystals bring to training: see `k4calofast.training.kinds`."""

from __future__ import annotations

from k4calofast.showers.crystals import CrystalProvenance
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
    inputs=lambda _card, showers, _provenance, _seed: {"conditions": showers.conditions},
)

"""What crystals bring to training: see `k4calofast.training.kinds`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from k4calofast.generator import ModelCard
from k4calofast.showers.crystals import CrystalProvenance, CrystalShowers
from k4calofast.training import kinds
from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.choice import ResponseJudge
from k4calofast.training.crystals.refinement import RefinedCrystals
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.family import Family, Shape, covering
from k4calofast.training.refinement import RefinementSettings


class Crystals:
    """Windows of crystals."""

    name: ClassVar[str] = "crystals"
    alike: ClassVar[tuple[str, ...]] = ("window",)
    without: ClassVar[Mapping[str, str]] = {}

    def shape(self, provenance: CrystalProvenance, settings: Settings) -> Shape:  # noqa: ARG002
        """See `kinds.Kind`: the sample has the window."""
        return Shape(
            sorted(provenance.coverage),
            covering(provenance),
            provenance.window,
            provenance.detector,
        )

    def sample(self, showers: CrystalShowers, shape: Shape, settings: Settings) -> Sample:  # noqa: ARG002
        """See `kinds.Kind`."""
        return Sample.of(showers, settings.threshold)

    def judge(self, sample: Sample, seed: int) -> ResponseJudge:
        """See `kinds.Kind`: by the total energy."""
        return ResponseJudge(sample, seed)

    def refined(self, settings: RefinementSettings, generator: Family) -> RefinedCrystals:
        """See `kinds.Kind`."""
        return RefinedCrystals(settings, generator)

    def inputs(
        self,
        card: ModelCard,  # noqa: ARG002
        showers: CrystalShowers,
        provenance: CrystalProvenance,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> dict[str, Any]:
        """See `kinds.Kind`."""
        return {"conditions": showers.conditions}


KIND: kinds.Kind = Crystals()

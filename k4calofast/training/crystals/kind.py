"""What crystals bring to training: see `k4calofast.training.kinds`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from k4calofast.generator import ModelCard
from k4calofast.showers.crystals import CrystalProvenance, CrystalShowers
from k4calofast.training import kinds
from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.choice import ResponseJudge
from k4calofast.training.crystals.refinement import RefinedCrystals
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.family import Family, Shape, covering
from k4calofast.training.refinement import RefinementSettings

_BLOCK = 64


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
        card: ModelCard,
        showers: CrystalShowers,
        provenance: CrystalProvenance,  # noqa: ARG002
    ) -> Iterator[dict[str, Any]]:
        """See `kinds.Kind`."""
        random = np.random.default_rng(0)
        for start in range(0, len(showers), _BLOCK):
            part = showers.take(slice(start, start + _BLOCK))
            block = {
                "noise": random.standard_normal((len(part), card.noise)).astype(np.float32),
                "conditions": part.conditions.astype(np.float32),
            }
            if len(card.kinds) > 1:
                block["pdg"] = part.pdg.astype(np.int64)
            yield block


KIND: kinds.Kind = Crystals()

"""What layers bring to training: see `k4calofast.training.kinds`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from k4calofast.generator import ModelCard
from k4calofast.showers.layers import LayerProvenance, LayerShowers
from k4calofast.training import kinds
from k4calofast.training.configuration import Settings
from k4calofast.training.family import Family, covering
from k4calofast.training.layers.choice import LikelihoodJudge
from k4calofast.training.layers.family import LayeredSettings
from k4calofast.training.layers.refinement import RefinedLayers
from k4calofast.training.layers.sample import (
    ELECTRON,
    PHASES,
    POSITRON,
    LayeredSample,
    Layers,
    Shape,
    barrel_of,
)
from k4calofast.training.refinement import RefinementSettings
from k4calofast.validation.layers.readout import Readout, conditions


class OfLayers:
    """Hits in layers."""

    name: ClassVar[str] = "layers"
    alike: ClassVar[tuple[str, ...]] = ("pitch",)
    without: ClassVar[Mapping[str, str]] = {
        "auc_cells": "layers have too many cells for a classifier of cells"
    }

    def shape(self, provenance: LayerProvenance, settings: LayeredSettings) -> Shape:
        """See `kinds.Kind`: the settings have the window."""
        barrel = barrel_of(provenance.detector)
        layers = Layers.of(barrel.description, PHASES * provenance.pitch)
        # Positrons are mirrored electrons.
        both = {ELECTRON, POSITRON}
        pdg = set(provenance.coverage)
        return Shape(
            sorted(pdg | both if pdg & both else pdg),
            covering(provenance),
            (settings.window, settings.window),
            provenance.detector,
            layers,
        )

    def sample(self, showers: LayerShowers, shape: Shape, settings: Settings) -> LayeredSample:  # noqa: ARG002
        """See `kinds.Kind`."""
        return LayeredSample.of(showers, shape.layers)

    def judge(self, sample: LayeredSample, seed: int) -> LikelihoodJudge:
        """See `kinds.Kind`: by the likelihood."""
        return LikelihoodJudge(sample, seed)

    def refined(self, settings: RefinementSettings, generator: Family) -> RefinedLayers:
        """See `kinds.Kind`."""
        return RefinedLayers(settings, generator)

    def inputs(
        self, card: ModelCard, showers: LayerShowers, provenance: LayerProvenance, seed: int
    ) -> dict[str, Any]:
        """See `kinds.Kind`: the seed says where cells lie."""
        readout = Readout.of(barrel_of(card.detector), provenance.pitch, card.window[1], 0.0)
        windows = readout.windows(showers, readout.phases(len(showers), seed))
        return {"conditions": conditions(showers, windows), **windows.inputs}


KIND: kinds.Kind = OfLayers()

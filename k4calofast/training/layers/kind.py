"""What layers bring to training: see `k4calofast.training.kinds`."""

from __future__ import annotations

from typing import Any, cast

import torch

from k4calofast import detector
from k4calofast.detector import LayeredCalorimeter
from k4calofast.generator import ModelCard
from k4calofast.showers.layers import LayerProvenance, LayerShowers
from k4calofast.training.family import covering
from k4calofast.training.kinds import Kind
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
)
from k4calofast.validation.layers.readout import Readout, conditions


def _calorimeter(name: str) -> LayeredCalorimeter:
    # This kind is found by what the calorimeter says that it is.
    return cast(LayeredCalorimeter, detector.load(name))


def _shape(provenance: LayerProvenance, settings: LayeredSettings) -> Shape:
    """The settings have the window."""
    description = _calorimeter(provenance.detector).description
    # Positrons are mirrored electrons.
    both = {ELECTRON, POSITRON}
    pdg = set(provenance.coverage)
    return Shape(
        sorted(pdg | both if pdg & both else pdg),
        covering(provenance),
        (settings.window, settings.window),
        provenance.detector,
        Layers(torch.tensor(description.depths), PHASES * provenance.pitch, description.mip),
    )


def _inputs(
    card: ModelCard, showers: LayerShowers, provenance: LayerProvenance, seed: int
) -> dict[str, Any]:
    """The seed says where cells lie."""
    readout = Readout.of(_calorimeter(card.detector), provenance.pitch, card.window[1], 0.0)
    windows = readout.windows(showers, readout.phases(len(showers), seed))
    return {"conditions": conditions(showers, windows), **windows.inputs}


KIND = Kind(
    name="layers",
    alike=("pitch",),
    without={"auc_cells": "layers have too many cells for a classifier of cells"},
    shape=_shape,
    sample=lambda showers, shape, _: LayeredSample.of(showers, shape.layers),
    judge=LikelihoodJudge,
    refined=RefinedLayers,
    exported=lambda family, *_: family,
    inputs=_inputs,
)

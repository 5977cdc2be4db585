"""How far a trained generator is from full simulation, as validation measures it."""

from __future__ import annotations

from typing import Any

from k4calofast.exceptions import ModelError, TrainingError
from k4calofast.generator import Model
from k4calofast.showers.provenance import Source
from k4calofast.validation import kinds
from k4calofast.validation.objectives import distance
from k4calofast.validation.reading import THRESHOLD
from k4calofast.validation.reference import Reference


def measured(objective: str, model: Model, showers: Any, provenance: Any) -> float:
    """Return how far a generator is from showers of full simulation.

    Parameters
    ----------
    objective
        One of `k4calofast.validation.objectives.OBJECTIVES`.
    showers, provenance
        Of the generator's kind, and where they come from.

    Raises
    ------
    TrainingError
        If they cannot be compared, or the distance is no number.
    """
    p = provenance
    source = Source(p.detector, p.described, p.seed, p)
    try:
        readout = kinds.of(model.card).readout(model.card, source, THRESHOLD)
        return distance(objective, model, Reference(showers, source.description, readout))
    except ModelError as error:
        raise TrainingError(str(error)) from None

"""What a kind of calorimeters brings to training; crystals and layers are two.

A kind is a folder beside this file, named as `k4calofast.detector.Calorimeter.kind`, with a module
`kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from k4calofast.training.family import Family, Shape, Stage
from k4calofast.training.refinement import Refined, RefinementSettings


class Judge(Protocol):
    """Says how good an epoch is, by showers that are not trained on.

    Attributes
    ----------
    figure
        What it says, in logs.
    """

    figure: str

    def __call__(self, stage: Stage) -> float:
        """Return the figure of a stage's family as it is now; the smallest is the best."""


@dataclass(frozen=True)
class Kind:
    """What is a kind's own.

    Showers, provenances, shapes and samples are of its own types.

    Attributes
    ----------
    name
        That of `k4calofast.detector.Calorimeter.kind`.
    alike
        Of provenances: what samples must have in common to be trained on together, beside what
        all kinds must.
    without
        What a search cannot make small, of `k4calofast.validation.objectives.OBJECTIVES`, and why.
    shape
        What a provenance, and the family's settings, decide about a generator.
    sample
        Showers as tensors, given the shape and the settings, too; a `TrainingError` if there are
        kinds of particles that are not known.
    judge
        By what epochs are judged, given a sample and a seed.
    refined
        A generator with an untrained classifier of its candidates.
    exported
        A trained generator as it is exported, of it, showers, and the same as tensors.
    inputs
        Conditions, and what else a model is told: of a card, showers, their provenance, and a seed.
    """

    name: str
    alike: tuple[str, ...]
    without: Mapping[str, str]
    shape: Callable[[Any, Any], Shape]
    sample: Callable[[Any, Any, Any], Any]
    judge: Callable[[Any, int], Judge]
    refined: Callable[[RefinementSettings, Family], Refined]
    exported: Callable[[Any, Any, Any], Family]
    inputs: Callable[[Any, Any, Any, int], dict[str, Any]]


def of(name: str) -> Kind:
    """Return the kind of this name."""
    kind: Kind = import_module(f"k4calofast.training.{name}.kind").KIND
    return kind

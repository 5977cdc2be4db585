"""What a kind of calorimeters brings to training; crystals and layers are two.

A kind is a folder beside this file, named as `k4calofast.detector.Calorimeter.kind`. Its module
`kind` has all that training asks of it: how samples become tensors, how epochs and trials are
measured, and how candidates are refined.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Protocol

from k4calofast.generator import ModelCard
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


class Kind(Protocol):
    """A kind of calorimeters, as training sees it.

    Showers, provenances, shapes and samples are of the kind's own types; what is passed to one
    method comes from another.

    Attributes
    ----------
    name
        That of `k4calofast.detector.Calorimeter.kind`.
    alike
        Of provenances: what samples must have in common to be trained on together, beside what
        all kinds must.
    without
        What a search cannot make small, of `k4calofast.validation.objectives.OBJECTIVES`, and why.
    """

    name: ClassVar[str]
    alike: ClassVar[tuple[str, ...]]
    without: ClassVar[Mapping[str, str]]

    def shape(self, provenance: Any, settings: Any) -> Shape:
        """Return what a sample, and the family's settings, decide about a generator."""

    def sample(self, showers: Any, shape: Any, settings: Any) -> Any:
        """Return showers as tensors.

        Raises
        ------
        TrainingError
            If there are kinds of particles that are not known.
        """

    def judge(self, sample: Any, seed: int) -> Judge:
        """Return what epochs are judged by."""

    def refined(self, settings: RefinementSettings, generator: Family) -> Refined:
        """Return a generator with an untrained classifier of its candidates."""

    def inputs(self, card: ModelCard, showers: Any, provenance: Any, seed: int) -> dict[str, Any]:
        """Return conditions, and what else a model is told of the particles of showers."""


def of(name: str) -> Kind:
    """Return the kind of this name."""
    kind: Kind = import_module(f"k4calofast.training.{name}.kind").KIND
    return kind

"""What a validation asks of a kind of calorimeter. Kinds are found here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast import detector
from k4calofast.arrays import Floats
from k4calofast.detector.calorimeter import Condition
from k4calofast.generator.card import ModelCard
from k4calofast.showers.reading import Source
from k4calofast.validation.drawing import Picture
from k4calofast.validation.fidelity import Check
from k4calofast.validation.observables import Observable
from k4calofast.validation.reference import Readout, Reference
from k4calofast.validation.results import Comparison, Distances, Group, Row, Sample
from k4calofast.validation.tables import Column, Table

Halves = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[Group]]


@dataclass(frozen=True)
class Classifier:
    """What tries to tell two samples apart.

    Attributes
    ----------
    what
        In words.
    features
        What it gets of a sample: (N, features).
    method
        As for `k4calofast.validation.metrics.separation`.
    kinds
        Whether there is one of its own for a kind of particles (PDG number), or none at all; if
        nothing is said, all kinds are told apart together.
    """

    what: str
    features: Callable[[Sample], Floats]
    method: str = "trees"
    kinds: Callable[[int], bool] | None = None


@dataclass(frozen=True)
class Across:
    """What is compared across the models of a region.

    Attributes
    ----------
    table, checks, data
        For people, beside gates, and for JSON.
    """

    table: Table
    checks: list[Check]
    data: dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What is a kind's own.

    Attributes
    ----------
    readout
        How showers are seen: given a model's card, where the reference comes from, and the MIPs
        from which hits in layers are seen.
    conditions, compared
        In whose bins closure is looked at, and of which observables: its names.
    observables
        Numbers of each shower.
    spectra
        Values of all spectra of a sample; their names in `titles`.
    groups, halves
        Parts of a sample that are compared one by one; and rows of two halves of it that belong
        together, with their groups.
    row
        Figures of a group, given the reference and another sample.
    checks
        Figures beside their gates, given the same, what was found of them, and the limits.
    gates, meanings
        Largest allowed values; of differences, the size counts. A model's card can set its own.
    classifiers
        By name; the gate of each is ``auc_`` and its name.
    columns, notes
        Columns of the table of groups, and what a reader must know of them.
    energy, resolution
        The figures that are the mean energy and its resolution: whichever of them a group has.
    numbers
        The kind's own numbers for JSON, given the reference's showers as they were read.
    pictures
        To be drawn.
    batches, average
        Showers per call whose time is measured, and how calls are averaged.
    facts
        What a reader should know of the kind's own numbers, in sentences.
    tables
        More tables, in the report's order.
    own
        What else is compared, given the reference, another sample and the groups.
    across
        What else is compared of several models of one region, given the samples of each: the
        reference and what it generates; None if there is nothing.
    for_showers
        What of this depends on what a reference knows: given its showers, the kind itself.
    """

    readout: Callable[[ModelCard, Source, float], Readout]
    conditions: tuple[Condition, ...]
    compared: tuple[str, ...]
    observables: dict[str, Observable]
    spectra: Callable[[Sample], dict[str, Floats]]
    titles: dict[str, Observable]
    groups: Callable[[Sample], list[Group]]
    halves: Callable[[Sample, list[Group]], Halves]
    row: Callable[[Sample, Sample, Group], Row]
    checks: Callable[[Sample, Sample, Distances, Mapping[str, float]], list[Check]]
    gates: Mapping[str, float]
    meanings: Mapping[str, str]
    classifiers: Mapping[str, Classifier]
    columns: Mapping[str, Column]
    notes: str
    energy: tuple[str, ...]
    resolution: tuple[str, ...]
    numbers: Callable[[Reference, Comparison], dict[str, Any]]
    pictures: Sequence[Picture]
    batches: tuple[int, ...]
    average: Callable[[Sequence[float]], Any]
    facts: Callable[[Mapping[str, Any]], list[str]] = lambda _: []
    tables: Callable[[Comparison], list[Table]] = lambda _: []
    own: Callable[[Sample, Sample, list[Group]], Any] = lambda *_: None
    across: Callable[[Sequence[tuple[Sample, Sample]]], Across | None] = lambda _: None
    for_showers: Callable[[Any], Kind] | None = None


def of(card: ModelCard, showers: Any = None) -> Kind:
    """Return what is the own of the kind of calorimeter that a model is of.

    Parameters
    ----------
    showers
        Of a reference; some kinds compare what these know.

    Raises
    ------
    UnknownDetectorError
        If there is no such calorimeter.
    """
    name = detector.load(card.detector).kind
    kind: Kind = import_module(f"k4calofast.validation.{name}.kind").KIND
    return kind if kind.for_showers is None or showers is None else kind.for_showers(showers)

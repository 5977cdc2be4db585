"""What a validation asks of crystals: of samples of windows alone, and of those of all crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from k4calofast.detector.crystals import BARREL_CONDITIONS, CONDITIONS, ENDCAP_CONDITIONS
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals import comparison, electrons, emc, figures, readout
from k4calofast.validation.crystals.observables import (
    COMPARED,
    COMPARED_EMC,
    EMC,
    IMPACT,
    OBSERVABLES,
)
from k4calofast.validation.kinds import Across, Kind
from k4calofast.validation.observables import Observable
from k4calofast.validation.reference import Reference
from k4calofast.validation.results import Comparison, Sample
from k4calofast.validation.tables import Column

_CONDITIONS = {condition.name: condition for condition in (*BARREL_CONDITIONS, *ENDCAP_CONDITIONS)}


def _numbers(reference: Reference, compared: Comparison) -> dict[str, Any]:
    expected, generated = compared.distances.own
    return {
        "whole": reference.showers.whole,
        "reconstruction": {"reference": expected.data(), "generator": generated.data()},
    }


def _facts(numbers: Mapping[str, Any]) -> list[str]:
    if numbers["whole"]:
        return ["The reference is all of the calorimeter, and of those beyond it."]
    return [
        "The reference ends at the window: what lies outside, and times, are not compared. A model "
        "that loses all of it passes here."
    ]


def _for_showers(showers: CrystalShowers) -> Kind:
    """Compare what showers know."""
    conditions = tuple(_CONDITIONS[name] for name in showers.conditions_known)
    return replace(_OF_ALL if showers.whole else KIND, conditions=conditions)


def _across(samples: Sequence[tuple[Sample, Sample]]) -> Across | None:
    points = electrons.misidentified(samples)
    if not points:
        return None
    checks = electrons.checks(points)
    data = {"misidentification": [point.data() for point in points]}
    return Across(electrons.table(points, checks), checks, data)


_COLUMNS = {
    "mean": Column("mean"),
    "width": Column("68 % width"),
    "e1_e9": Column("E1/E3x3"),
    "e9_e25": Column("E3x3/E5x5"),
    "lateral": Column("lateral"),
    "cells": Column("worst central cell", percent=False),
}

KIND = Kind(
    readout=readout.readout,
    conditions=CONDITIONS,
    compared=COMPARED,
    observables=OBSERVABLES | IMPACT,
    spectra=comparison.spectra,
    titles=OBSERVABLES | IMPACT | {"cell_energy": Observable("log10 of cell energies [GeV]", "")},
    groups=comparison.groups_of,
    halves=comparison.halves,
    row=comparison.row_of,
    own=comparison.reconstructed,
    checks=comparison.checks_of,
    gates=comparison.GATES,
    meanings=comparison.MEANINGS,
    classifiers=comparison.CLASSIFIERS,
    columns=_COLUMNS,
    energy=("mean",),
    resolution=("width",),
    notes="The worst central cell is that of 25 with the largest difference over the larger of 5 % "
    "and 0.5 MeV.",
    numbers=_numbers,
    facts=_facts,
    pictures=figures.PICTURES,
    # An event with one particle, an event with many, and as many as there are.
    batches=(1, 256, 4096),
    average=np.median,
    across=_across,
    for_showers=_for_showers,
)
"""Of windows alone."""

_OF_ALL = replace(
    KIND,
    compared=COMPARED_EMC,
    observables=KIND.observables | EMC,
    spectra=emc.spectra,
    titles=KIND.titles | EMC,
    row=emc.row_of,
    checks=emc.checks_of,
    gates=emc.GATES,
    meanings=emc.MEANINGS,
    classifiers=emc.CLASSIFIERS,
    columns={
        "energy": Column("whole EMC"),
        "emc": Column("whole EMC"),
        "mean": Column("inside the window"),
        "outside": Column("outside"),
        "other": Column("other calorimeter"),
        "far": Column("far crystals"),
        "crystals": Column("crystals"),
        **{name: column for name, column in _COLUMNS.items() if name != "mean"},
        "energy_width": Column("68 % width"),
        "nothing": Column("nothing"),
        "ionised": Column("ionised"),
        "interacted": Column("interacted"),
        "peak": Column("peak"),
        "quantile_90": Column("quantile .9"),
        "quantile_99": Column("quantile .99"),
        "share_entered": Column("E1/E3x3"),
        "second_moment": Column("second moment"),
    },
    energy=("emc", "energy"),
    resolution=("width", "energy_width"),
    notes=f"{KIND.notes} Of nothing, ionised and interacted, the differences are those of shares.",
    tables=emc.tables,
    pictures=figures.OF_ALL,
)

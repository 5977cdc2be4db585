"""What a validation asks of windows of crystals."""

from __future__ import annotations

from typing import Any

import numpy as np

from k4calofast.detector.crystals import CONDITIONS
from k4calofast.validation.crystals import comparison, figures, readout
from k4calofast.validation.crystals.observables import COMPARED, IMPACT, OBSERVABLES
from k4calofast.validation.kinds import Kind
from k4calofast.validation.observables import Observable
from k4calofast.validation.reference import Reference
from k4calofast.validation.results import Comparison
from k4calofast.validation.tables import Column


def _numbers(_: Reference, compared: Comparison) -> dict[str, Any]:
    reference, generated = compared.distances.own
    return {"reconstruction": {"reference": reference.data(), "generator": generated.data()}}


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
    columns={
        "mean": Column("mean"),
        "width": Column("68 % width"),
        "e1_e9": Column("E1/E3x3"),
        "e9_e25": Column("E3x3/E5x5"),
        "lateral": Column("lateral"),
        "cells": Column("worst central cell", percent=False),
    },
    resolution="width",
    notes="The worst central cell is that of 25 with the largest difference over the larger of 5 % "
    "and 0.5 MeV.",
    numbers=_numbers,
    pictures=figures.PICTURES,
    # An event with one particle, an event with many, and as many as there are.
    batches=(1, 256, 4096),
    average=np.median,
)

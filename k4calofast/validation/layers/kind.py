"""What a validation asks of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from k4calofast.detector.layers import CONDITIONS
from k4calofast.validation.kinds import Kind
from k4calofast.validation.layers import comparison, figures, readout
from k4calofast.validation.layers.observables import COMPARED, OBSERVABLES
from k4calofast.validation.reference import Reference
from k4calofast.validation.results import Comparison, Sample
from k4calofast.validation.tables import Column, Table


def _spectra(sample: Sample) -> dict[str, Any]:
    return {name: sample.observables[name] for name in OBSERVABLES}


def _tables(compared: Comparison) -> list[Table]:
    rows = []
    for row in compared.distances.rows:
        values = [
            getattr(side, name).scaled(scale)
            for name, scale in (("response", 1e3), ("resolution", 1e2))
            for side in row.resolved  # type: ignore[attr-defined]
        ]
        rows.append([row.group.where, *(f"{value:.3f}" for value in values)])
    titles = ["E/p [MeV/GeV], reference", "generator", "resolution [%], reference", "generator"]
    return [Table("Linearity and resolution of the visible energy", ["group", *titles], rows)]


def _numbers(reference: Reference, compared: Comparison) -> dict[str, Any]:
    seen, read = compared.reference.showers, reference.showers
    cells: Any = reference.readout
    deposited = max(read.energy.sum(dtype=np.float64), 1e-12)
    return {
        "energy_outside_windows": float(seen.outside.sum() / deposited),
        "threshold_mip": round(cells.threshold / cells.calorimeter.mip, 9),
        "mip": cells.calorimeter.mip,
    }


def _facts(numbers: Mapping[str, Any]) -> list[str]:
    threshold, outside = numbers["threshold_mip"], numbers["energy_outside_windows"]
    return [
        f"Hits are seen from {threshold:g} MIP ({1e6 * threshold * numbers['mip']:.3g} keV).",
        f"{100 * outside:.2f} % of the reference's energy lie outside the windows and are compared "
        "in the sum alone.",
    ]


KIND = Kind(
    readout=readout.readout,
    # Where a cell's borders lie is drawn for both alike.
    conditions=CONDITIONS[:3],
    compared=COMPARED,
    observables=OBSERVABLES,
    spectra=_spectra,
    titles=OBSERVABLES,
    groups=comparison.groups_of,
    halves=comparison.halves,
    row=comparison.row_of,
    checks=comparison.checks_of,
    gates=comparison.GATES,
    meanings=comparison.MEANINGS,
    classifiers=comparison.CLASSIFIERS,
    columns={
        "mean": Column("mean"),
        "resolution": Column("resolution"),
        "profile": Column("worst layer"),
        "hits": Column("hits"),
        "radius_energy": Column("radius, energy"),
        "spread_energy": Column("r.m.s. radius"),
        "radius_hits": Column("radius, hits"),
        "mip_spectrum_chi2_ndf": Column("MIP spectrum"),
    },
    notes="Of the layer that is worst, the difference is over the profile's maximum. The last "
    "column is chi2 / NDF of the hits' energies.",
    energy=("mean",),
    resolution=("resolution",),
    tables=_tables,
    numbers=_numbers,
    facts=_facts,
    pictures=figures.PICTURES,
    # An event with one particle, and an event with many.
    batches=(1, 64),
    # Showers differ in energy, and so in time: the mean says what many of them cost.
    average=np.mean,
)

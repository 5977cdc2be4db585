"""What is compared of showers in all crystals: of photons and electrons, and of all other kinds.

What is in the window, outside, and in the other calorimeter is compared part by part, so that no
part is hidden by the others. Photons, electrons and positrons have all that is compared in windows,
too. What others do is nothing, to ionise, or to interact; see
`k4calofast.showers.crystals.outcomes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.showers.crystals.outcomes import (
    INTERACTED,
    IONISED,
    NOTHING,
    SHOWERING,
    expected_ionisation,
    outcomes,
    way,
)
from k4calofast.validation.comparison import averages
from k4calofast.validation.crystals import comparison
from k4calofast.validation.crystals.hits import OUTSIDE, PLACES, Hits, all_fronts
from k4calofast.validation.crystals.observables import (
    EMC,
    IMPACT,
    OBSERVABLES,
    lateral_width,
)
from k4calofast.validation.fidelity import Check, checked, relative_width
from k4calofast.validation.kinds import Classifier
from k4calofast.validation.metrics import (
    Value,
    mean_in_showers,
    mean_of,
    relative,
    width_in_showers,
)
from k4calofast.validation.observables import quantile_error
from k4calofast.validation.results import Comparison, Distances, Group, Row, Sample
from k4calofast.validation.tables import Table

_LATE = 100.0
"""ns: later hits are counted, and left out of mean times, which they would make."""

_GATES = {
    "emc": (0.002, "mean energy of all crystals in a bin of momentum, relative difference"),
    "outside": (0.10, "mean energy outside the window, relative difference"),
    "other": (0.10, "mean energy in the other calorimeter, relative difference"),
    "far": (0.10, "number of crystals above 10 MeV outside the window, relative difference"),
    "crystals": (0.03, "mean number of crystals with energy, relative difference"),
    "energy": (0.01, "mean energy of all crystals, of hadrons and muons, relative difference"),
    "energy_width": (
        0.10,
        "68 % width of the energy of hadrons and muons that leave some, relative difference",
    ),
    "nothing": (0.01, "share of hadrons and muons that leave nothing, difference"),
    "ionised": (0.01, "share of hadrons and muons that leave what ionisation does, difference"),
    "interacted": (0.01, "share of hadrons and muons that do neither, difference"),
    "peak": (
        0.005,
        "peak of the energy of those that only ionise, over what is expected: the median, relative "
        "difference",
    ),
    "quantile_90": (0.03, "quantile .9 of the energy of hadrons and muons, relative difference"),
    "quantile_99": (0.03, "quantile .99 of the energy of hadrons and muons, relative difference"),
    "share_entered": (
        0.03,
        "mean E1/E3x3 of hadrons and muons that leave energy, relative difference",
    ),
    "second_moment": (
        0.03,
        "mean squared lateral width of hadrons and muons that leave energy, relative difference",
    ),
    "time_mean": (
        0.10,
        f"mean time of crystals by place and energy, up to {_LATE:g} ns, relative difference",
    ),
    "time_spread": (0.10, "68 % half width of the same times, relative difference"),
    "time_late": (0.01, f"share of crystals' times that are above {_LATE:g} ns, difference"),
    "auc_observables": (
        0.55,
        "area under the ROC curve of boosted trees on the observables of photons and electrons, "
        "far crystals included",
    ),
    "auc_cells": (
        0.60,
        "area under the ROC curve of boosted trees on the crystals of photons and electrons, "
        "those outside the window in coarse cells",
    ),
    "auc_hadrons": (
        0.60,
        "area under the ROC curve of boosted trees on the observables of hadrons and muons, far "
        "crystals included",
    ),
}
"""As `k4calofast.validation.crystals.comparison.GATES`, of samples that know all crystals."""

GATES = comparison.GATES | {name: limit for name, (limit, _) in _GATES.items()}
MEANINGS = comparison.MEANINGS | {name: meaning for name, (_, meaning) in _GATES.items()}

PARTS = ("outside", "other", "far", "crystals")
"""Figures of groups of all kinds."""

OF_OTHERS = (
    "energy",
    *PARTS,
    "energy_width",
    "nothing",
    "ionised",
    "interacted",
    "peak",
    "quantile_90",
    "quantile_99",
    "share_entered",
    "second_moment",
)
"""Figures of groups of hadrons and muons."""

OF_WINDOWS = ("mean", "width", "e1_e9", "e9_e25", "lateral", "cells")
OF_SHOWERS = ("mean", "emc", *PARTS, *OF_WINDOWS[1:])
"""Figures of groups of photons, electrons and positrons."""

SEEN = 1e-3
"""GeV, below which times are not compared: crystals are not read out."""

_ENERGIES = (SEEN, 1e-2, 0.1)
"""GeV: edges of the energies that times are compared in."""

_LEAST, _LEAST_TIMES = 20, 50
"""Showers, and crystals' times, of which a mean is taken."""

_UNKNOWN = Value(0.0, 1.0)
"""Relative difference of what one of the samples has too little of."""


def electromagnetic(pdg: int) -> bool:
    """Whether a kind of particles (PDG number) makes electromagnetic showers."""
    return pdg in SHOWERING


@dataclass(frozen=True)
class Times:
    """Times of the crystals at a place, with energies in a bin, of one sample.

    Attributes
    ----------
    hits
        How many.
    mean, spread, late
        ns of those up to `_LATE`, and the share of those above; None of too few.
    """

    hits: int
    mean: Value | None
    spread: Value | None
    late: Value | None


@dataclass(frozen=True)
class RowOfCrystals(Row):
    """Figures of a group in all crystals.

    Attributes
    ----------
    times
        By where they are, in words: of the reference, and of the other sample.
    """

    times: Mapping[str, tuple[Times, Times]] = field(default_factory=dict)

    def data(self) -> dict[str, object]:
        """Return all of it, for JSON."""
        sides = ("reference", "generator")
        times = {
            where: {
                side: {
                    "hits": found.hits,
                    **{
                        name: None if value is None else vars(value)
                        for name in _OF_TIMES.values()
                        for value in (getattr(found, name),)
                    },
                }
                for side, found in zip(sides, both, strict=True)
            }
            for where, both in self.times.items()
        }
        return super().data() | {"times": times}


def row_of(reference: Sample, generated: Sample, group: Group) -> RowOfCrystals:
    """Figures of a group; see `MEANINGS`."""
    expected, found = (sample.take(group.rows) for sample in (reference, generated))

    def mean(name: str) -> Value:
        return _relative_mean(expected.observables[name], found.observables[name])

    figures = {name: mean(name) for name in PARTS}
    if electromagnetic(group.pdg):
        figures |= {"emc": mean("emc")} | comparison.row_of(reference, generated, group).figures
    else:
        figures |= _of_others(expected, found) | {"energy": mean("emc")}
    return RowOfCrystals(group, figures, times=_times(expected, found))


def _relative_mean(reference: Floats, generated: Floats) -> Value:
    """Relative difference of means of rows that belong together; see `relative_mean`.

    Of what is seldom there: without any in the reference, relative to the other; without any in
    both, it is unknown.
    """
    scale = float(reference.mean()) or float(generated.mean())
    return mean_of((generated - reference) / scale) if scale else _UNKNOWN


def energies_of(sample: Sample) -> Floats:
    """(N,) GeV in all crystals."""
    energies: Floats = sample.observables["emc"] * sample.momentum
    return energies


def outcomes_of(sample: Sample) -> Indices:
    """Outcomes (N,) of showers; see `k4calofast.showers.crystals.outcomes`."""
    return outcomes(energies_of(sample), expected_of(sample))


def expected_of(sample: Sample) -> Floats:
    """(N,) GeV that the particles would leave by ionisation alone; 0 of neutral ones."""
    showers: CrystalShowers = sample.showers
    length = way(showers.condition, showers.conditions_known)
    return expected_ionisation(showers.pdg, showers.momentum, length)


def _of_others(expected: Sample, found: Sample) -> dict[str, Value]:
    """Figures of a group of hadrons or muons."""
    energies = [energies_of(side) for side in (expected, found)]
    done = [outcomes_of(side) for side in (expected, found)]
    lit = [outcome != NOTHING for outcome in done]
    figures = {
        name: _difference_of_shares(*(of == outcome for of in done))
        for name, outcome in (
            ("nothing", NOTHING),
            ("ionised", IONISED),
            ("interacted", INTERACTED),
        )
    }
    for name, share in (("quantile_90", 0.9), ("quantile_99", 0.99)):
        figures[name] = _relative(*(_quantile(values, share) for values in energies))
    if min(of.sum() for of in lit) >= _LEAST:
        figures["energy_width"] = relative_width(
            *(values[of] for values, of in zip(energies, lit, strict=True))
        )
    shapes = {
        "share_entered": [side.observables["e1_e9"] for side in (expected, found)],
        "second_moment": [lateral_width(side.observables) ** 2 for side in (expected, found)],
    }
    for name, sides in shapes.items():
        first, second = (_mean(values[of]) for values, of in zip(sides, lit, strict=True))
        figures[name] = _known(first, second)
    ionised = [
        energies_of(side)[of == IONISED] / expected_of(side)[of == IONISED]
        for side, of in zip((expected, found), done, strict=True)
    ]
    # Neutral kinds have none. Energies over what is expected for the way are more alike.
    if max(map(len, ionised)) >= _LEAST:
        figures["peak"] = _known(*map(peak, ionised))
    return {"energy_width": _UNKNOWN} | figures


def _difference_of_shares(reference: Mask, generated: Mask) -> Value:
    """Of rows that belong together; with an error that is not smaller than that of counting one."""
    found = mean_of(generated.astype(np.float64) - reference)
    return Value(found.value, max(found.error, 1 / len(reference)))


def _known(reference: Value | None, generated: Value | None) -> Value:
    """As `relative`, of what both samples have enough of."""
    if reference is None or generated is None:
        return _UNKNOWN
    return relative(reference, generated)


def _relative(reference: Value, generated: Value) -> Value:
    """As `relative`; the same if both are 0."""
    if reference.value == 0:
        return Value(1.0, 1.0) if generated.value else Value(0.0, 0.0)
    return relative(reference, generated)


def _quantile(values: Floats, share: float) -> Value:
    return Value(float(np.quantile(values, share)), quantile_error(values, share))


def _mean(values: Floats) -> Value | None:
    """Mean of values (N,); None of too few."""
    return mean_of(values) if len(values) >= _LEAST else None


def peak(energies: Floats) -> Value | None:
    """Position of the peak of energies (N,) of particles that only ionise; None of too few.

    They are in a narrow range around what is expected; their median is as sure as can be, and does
    not jump from one bump to another, as modes do.
    """
    return _quantile(energies, 0.5) if len(energies) >= _LEAST else None


def _times(expected: Sample, found: Sample) -> dict[str, tuple[Times, Times]]:
    """Times of crystals by place and energy, where there are any."""
    sides = [
        (Hits.of(side.showers, side.readout.detector), len(side)) for side in (expected, found)
    ]
    times = {}
    for place, named in enumerate(PLACES):
        for low, high in zip(_ENERGIES, (*_ENERGIES[1:], np.inf), strict=True):
            chosen = [
                hits.take((hits.where == place) & (hits.energy >= low) & (hits.energy < high))
                for hits, _ in sides
            ]
            if not any(len(hits.time) for hits in chosen):
                continue
            more = (
                f"above {1e3 * low:g} MeV"
                if high == np.inf
                else f"{1e3 * low:g} to {1e3 * high:g} MeV"
            )
            first, second = (
                times_of(hits, count) for hits, (_, count) in zip(chosen, sides, strict=True)
            )
            times[f"{named}, {more}"] = first, second
    return times


def times_of(hits: Hits, showers: int) -> Times:
    """Times of hits of so many showers, where they are known."""
    hits = hits.take(np.isfinite(hits.time))
    count = len(hits.time)
    if count < _LEAST_TIMES:
        return Times(count, None, None, None)
    late = hits.time > _LATE
    share = mean_in_showers(late.astype(np.float64), hits.shower, showers)
    prompt = hits.take(~late)
    if len(prompt.time) < _LEAST_TIMES:
        return Times(count, None, None, share)
    mean, spread = (
        of(prompt.time, prompt.shower, showers) for of in (mean_in_showers, width_in_showers)
    )
    return Times(count, mean, spread, share)


def checks_of(
    reference: Sample, generated: Sample, found: Distances, gates: Mapping[str, float]
) -> list[Check]:
    """All figures beside their gates, averages of the groups of a kind among them."""
    rows: list[RowOfCrystals] = list(found.rows)  # type: ignore[arg-type]
    checks = []
    for gate in dict.fromkeys((*OF_SHOWERS, *OF_OTHERS)):
        of_gate = [row for row in rows if gate in row.figures]
        if not of_gate:
            continue
        values = {row.group.where: row.figures[gate] for row in of_gate}
        known = [row for row in of_gate if row.figures[gate] != _UNKNOWN]
        showers = {row.group.where: row.showers for row in known}
        if gate not in OF_WINDOWS:
            together = averages(known, [[row.figures[gate]] for row in known])
            for where, ((value,), count) in together.items():
                values[where], showers[where] = value, count
        tests = 25 * len(values) if gate == "cells" else len(values)
        checks += checked(gate, gates[gate], values, tests, showers)
    some = [electromagnetic(row.group.pdg) for row in rows]
    if any(some):
        checks += comparison.checks_of_kinds(reference, generated, found, gates, electromagnetic)
    checks += comparison.checks_of_conditions(found, gates, OBSERVABLES | EMC)
    checks += _of_classifiers(found, gates)
    return checks + _of_times(rows, gates)


def _of_classifiers(found: Distances, gates: Mapping[str, float]) -> list[Check]:
    checks = []
    for name, area in found.separations.items():
        for gate, parts in (
            (f"auc_{name}", [part for part in area.parts if electromagnetic(part.pdg)]),
            ("auc_hadrons", [part for part in area.parts if not electromagnetic(part.pdg)]),
        ):
            values = {f"{part.where}, {CLASSIFIERS[name].what}": part.area for part in parts}
            showers = {f"{part.where}, {CLASSIFIERS[name].what}": part.showers for part in parts}
            checks += checked(gate, gates[gate], values, showers=showers, nothing=0.5)
    return checks


def _of_times(rows: Sequence[RowOfCrystals], gates: Mapping[str, float]) -> list[Check]:
    figures: dict[str, dict[str, Value]] = {gate: {} for gate in _OF_TIMES}
    showers: dict[str, dict[str, int]] = {gate: {} for gate in _OF_TIMES}
    for row in rows:
        for where, (expected, other) in row.times.items():
            at = f"{row.group.where}, {where}"
            for gate, name in _OF_TIMES.items():
                first, second = (getattr(side, name) for side in (expected, other))
                known = first is not None and second is not None
                # Nobody knows what more showers would tell of what is hardly ever there.
                showers[gate][at] = row.showers if known else 0
                figures[gate][at] = _known(first, second)
                if name == "late" and known:
                    error = float(np.hypot(first.error, second.error))
                    figures[gate][at] = Value(second.value - first.value, error)
    return [
        check
        for gate, values in figures.items()
        for check in checked(gate, gates[gate], values, showers=showers[gate])
    ]


def tables(comparison: Comparison) -> list[Table]:
    """Energies by where they are, outcomes, and times, of the reference and of the generator."""
    parts, done, times = [], [], []
    for row in comparison.distances.rows:
        sides = [sample.take(row.group.rows) for sample in comparison.samples]
        where = row.group.where
        parts.append([where, *_parts(sides)])
        if not electromagnetic(row.group.pdg):
            shares = [np.bincount(outcomes_of(side), minlength=3) / len(side) for side in sides]
            texts = (f"{100 * share[number]:.1f} %" for number in range(3) for share in shares)
            done.append([where, *texts])
        if isinstance(row, RowOfCrystals):
            times += [[where, at, *_numbers_of(both)] for at, both in row.times.items()]
    names = [f"{title}, {side}" for title in _PARTS_SHOWN.values() for side in SIDES]
    found = [Table("Per shower: reference and generator", ["group", *names], parts)]
    if done:
        outcome = ("nothing", "ionised", "interacted")
        names = [f"{what}, {side}" for what in outcome for side in SIDES]
        found.append(Table("What became of hadrons and muons", ["group", *names], done))
    titles = ["group", "crystals"]
    titles += [f"{what}, {side}" for side in SIDES for what in ("hits", "mean [ns]", "spread [ns]")]
    return [*found, Table("Times of crystals", titles, times)]


_OF_TIMES = {"time_mean": "mean", "time_spread": "spread", "time_late": "late"}
"""Gates of times, and the figures that they are of."""

SIDES = ("reference", "generator")

_PARTS_SHOWN = {
    "response": "inside / p [%]",
    "outside": "outside / p [%]",
    "emc": "whole EMC / p [%]",
    "other": "other calorimeter / p [%]",
    "far": "far crystals per 100",
    "crystals": "crystals",
}


def _parts(sides: Sequence[Sample]) -> list[str]:
    return [
        f"{mean_of(side.observables[name]).scaled(1 if name == 'crystals' else 100):.3f}"
        for name in _PARTS_SHOWN
        for side in sides
    ]


def _numbers_of(both: Sequence[Times]) -> list[str]:
    return [
        text for side in both for text in (str(side.hits), _text(side.mean), _text(side.spread))
    ]


def _text(value: Value | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def spectra(sample: Sample) -> dict[str, Floats]:
    """Values of the observables, and of the cells of windows."""
    return comparison.spectra(sample) | {name: sample.observables[name] for name in EMC}


def numbers(sample: Sample) -> Floats:
    """All observables (N, O), and the momentum."""
    names = (*OBSERVABLES, *IMPACT, *EMC)
    columns = [sample.observables[name] for name in names]
    return np.stack([*columns, np.log(sample.momentum)], axis=1)


_ROWS, _SECTORS = (-16, -5, 6, 17), 8
"""Coarse cells: borders of rows from that of the crystal entered, and sectors in phi."""

_HIGHEST = 5
"""Crystals outside the window that are looked at one by one."""


def cells(sample: Sample) -> Floats:
    """What classifiers get of crystals: those of the window, and coarse cells outside (N, cells).

    Outside, the highest energies follow, and the momentum.
    """
    showers: CrystalShowers = sample.showers
    detector, count = sample.readout.detector, len(showers)
    hits = Hits.of(showers, detector)
    hits = hits.take(hits.where == OUTSIDE)
    entered, shape = showers.cell.astype(np.int64)[hits.shower], detector.whole_window
    down = detector.place_of(entered, hits.crystal, shape) // shape[1] - shape[0] // 2
    fronts = all_fronts(detector)
    phi = np.arctan2(fronts[:, 1], fronts[:, 0])
    turned = (phi[hits.crystal] - phi[entered]) / (2 * np.pi) * _SECTORS
    coarse = (len(_ROWS) + 1) * _SECTORS
    place = (
        np.searchsorted(_ROWS, down, side="right") * _SECTORS
        + np.rint(turned).astype(int) % _SECTORS
    )
    outside = np.bincount(hits.shower * coarse + place, hits.energy, count * coarse)
    order = np.lexsort((-hits.energy, hits.shower))
    shower = hits.shower[order]
    rank = np.arange(len(order)) - np.searchsorted(shower, np.arange(count))[shower]
    highest = np.zeros((count, _HIGHEST))
    some = rank < _HIGHEST
    highest[shower[some], rank[some]] = hits.energy[order][some]
    momentum = np.log(sample.momentum)[:, None]
    return np.concatenate(
        [comparison.cells(sample), outside.reshape(count, coarse), highest, momentum], axis=1
    )


CLASSIFIERS = {
    "observables": Classifier("boosted trees on the observables", numbers, kinds=lambda _: True),
    "cells": Classifier("boosted trees on the crystals", cells, kinds=electromagnetic),
    "network": Classifier(
        "a small network on the window's crystals",
        comparison.logarithms,
        "network",
        electromagnetic,
    ),
}

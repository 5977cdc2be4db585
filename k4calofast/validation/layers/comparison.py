"""What is compared of showers in layers: groups, figures, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from k4calofast.arrays import Floats, Indices
from k4calofast.exceptions import FileFormatError
from k4calofast.validation.comparison import averages, by_momentum, pairs
from k4calofast.validation.fidelity import Check, checked, relative_mean
from k4calofast.validation.kinds import Classifier
from k4calofast.validation.layers.hits import SeenShowers
from k4calofast.validation.layers.observables import OBSERVABLES
from k4calofast.validation.metrics import Value, common_edges, mean_of, relative
from k4calofast.validation.observables import width68, width68_error
from k4calofast.validation.results import Distances, Group, Row, Sample

_GATES = {
    "mean": (0.01, "mean visible energy, relative difference"),
    "resolution": (0.10, "68 % width of the visible energy over its mean, relative difference"),
    "profile": (0.03, "mean energy of the worst layer, difference over the profile's maximum"),
    "hits": (0.03, "mean number of hits, relative difference"),
    "radius_energy": (0.03, "mean of the showers' mean radius of energy, relative difference"),
    "spread_energy": (0.03, "mean of the showers' r.m.s. radius of energy, relative difference"),
    "radius_hits": (0.03, "mean of the showers' mean radius of hits, relative difference"),
    "auc_observables": (
        0.65,
        "area under the ROC curve of boosted trees on the observables, layers included, "
        "given the particle",
    ),
}
"""Largest allowed value of each figure, and what it is; of differences, the size counts."""

GATES = {name: limit for name, (limit, _) in _GATES.items()}
MEANINGS = {name: meaning for name, (_, meaning) in _GATES.items()}

_MEANS = {
    "mean": "response",
    "hits": "hits",
    "radius_energy": "radius_energy",
    "spread_energy": "spread_energy",
    "radius_hits": "radius_hits",
}
"""Gates of relative differences of means, and the observables they are of."""

_ANGLE = 0.01
"""rad to which angles are rounded."""

_MOST_ANGLES = 12
"""With more, all angles are in one group."""

_LEAST = 10
"""Showers in a group; errors are estimated from them."""


@dataclass(frozen=True)
class Resolved:
    """Visible energy of a group: mean over momentum, and 68 % width over the mean."""

    response: Value
    resolution: Value


@dataclass(frozen=True)
class RowOfLayers(Row):
    """Figures of a group in layers.

    Attributes
    ----------
    layers
        Differences of the layers' mean energies over the profile's maximum.
    resolved
        Visible energy, of the reference and of the generated sample.
    """

    layers: Sequence[Value] = ()
    resolved: tuple[Resolved, ...] = ()

    def data(self) -> dict[str, object]:
        """Return all but the layers, for JSON."""
        sides = zip(("reference", "generator"), self.resolved, strict=True)
        resolved = {side: asdict(found) for side, found in sides}
        return super().data() | {"angles": self.group.angles} | resolved


def groups_of(sample: Sample) -> list[Group]:
    """Groups of showers: by kind, momentum and angles where these are fixed.

    Samples of many momenta have bins of equal width in the logarithm; of many angles, they have
    groups of all. Groups of very few showers are left out.

    Raises
    ------
    FileFormatError
        If none has enough showers.
    """

    def edges(momentum: Floats, bins: int) -> Floats:
        return np.geomspace(momentum.min(), momentum.max(), bins + 1)

    rounded = np.rint(sample.conditions[:, 1:] / _ANGLE).astype(np.int64)
    directions: list[tuple[int, int] | None] = list(map(tuple, np.unique(rounded, axis=0).tolist()))
    if len(directions) > _MOST_ANGLES:
        directions = [None]
    found = []
    for pdg, of_kind in sample.kinds.items():
        for number, at in enumerate(by_momentum(sample.momentum, of_kind, edges)):
            for pair in directions:
                rows = at if pair is None else at & (rounded == pair).all(1)
                angles = None if pair is None else (pair[0] * _ANGLE, pair[1] * _ANGLE)
                if rows.sum() >= _LEAST:
                    mean = float(sample.momentum[rows].mean())
                    found.append(Group(int(pdg), mean, rows, number, angles))
    if not found:
        raise FileFormatError(
            f"a validation needs {_LEAST} showers of one kind, momentum and direction"
        )
    return found


def halves(_: Sample, groups: list[Group]) -> tuple[Indices, Indices, list[Group]]:
    """Rows of two halves, those of a group beside each other, and the groups in them."""
    paired = pairs(groups, np.random.default_rng(0))
    number = np.repeat(np.arange(len(groups)), [len(rows) for rows in paired])
    own = [replace(group, rows=number == index) for index, group in enumerate(groups)]
    first, second = np.concatenate(paired).T
    return first, second, own


def row_of(reference: Sample, generated: Sample, group: Group) -> RowOfLayers:
    """Figures of a group; see `MEANINGS`."""
    expected, found = (sample.take(group.rows) for sample in (reference, generated))
    figures = {
        gate: relative_mean(expected.observables[name], found.observables[name])
        for gate, name in _MEANS.items()
    }
    resolved = tuple(_resolved(side.observables["response"]) for side in (expected, found))
    figures["resolution"] = relative(*(side.resolution for side in resolved))
    energies = [side.profiles["energies"] for side in (expected, found)]
    scale = float(energies[0].mean(0).max()) or 1.0
    layers = [mean_of(difference) for difference in ((energies[1] - energies[0]) / scale).T]
    figures["profile"] = _largest(layers)
    mip = reference.readout.calorimeter.mip
    spectrum = mip_spectrum(expected.showers, found.showers, mip)
    return RowOfLayers(group, figures, {"mip_spectrum_chi2_ndf": spectrum}, layers, resolved)


def checks_of(
    _reference: Sample, _generated: Sample, found: Distances, gates: Mapping[str, float]
) -> list[Check]:
    """All figures beside their gates, those of all groups of a kind together among them."""
    rows: list[RowOfLayers] = list(found.rows)  # type: ignore[arg-type]
    checks = []
    for gate in (*_MEANS, "resolution"):
        values = {row.group.where: row.figures[gate] for row in rows}
        together = averages(rows, [[row.figures[gate]] for row in rows])
        values |= {where: value for where, ((value,), _) in together.items()}
        checks += checked(gate, gates[gate], values)
    values = {row.group.where: row.figures["profile"] for row in rows}
    together = averages(rows, [row.layers for row in rows])
    values |= {where: _largest(layers) for where, (layers, _) in together.items()}
    checks += checked("profile", gates["profile"], values, len(values) * len(rows[0].layers))
    for name, area in found.separations.items():
        checks += checked(f"auc_{name}", gates[f"auc_{name}"], {"all groups": area.area})
    return checks


def _resolved(response: Floats) -> Resolved:
    mean = mean_of(response)
    middle = mean.value or 1.0
    width, of_width = width68(response) / middle, width68_error(response) / middle
    error = float(np.hypot(of_width, width * mean.error / middle))
    return Resolved(mean, Value(width, error))


def _largest(values: Sequence[Value]) -> Value:
    return max(values, key=lambda value: abs(value.value))


def mip_spectrum(reference: SeenShowers, generated: SeenShowers, mip: float) -> float | None:
    """chi2 / NDF of the spectra of hits' energies, normalised.

    Hits of a shower belong together: errors of bins are those of the sum over showers. Those of
    different bins are taken as independent, so that the value for the same is about 1, no more.
    None without hits.
    """
    sides = [
        (seen, np.log10(np.maximum(seen.energy, 1e-12) / mip)) for seen in (reference, generated)
    ]
    if not all(len(energy) for _, energy in sides):
        return None
    edges = common_edges(sides[0][1], sides[1][1])
    shares, variances = [], []
    for seen, energy in sides:
        place = np.clip(np.searchsorted(edges, energy, side="right") - 1, 0, len(edges) - 2)
        count = np.bincount(
            seen.shower * (len(edges) - 1) + place, minlength=len(seen) * (len(edges) - 1)
        ).reshape(len(seen), -1)
        share = count.sum(0) / len(energy)
        scatter = count - share * count.sum(1, keepdims=True)
        shares.append(share)
        variances.append((scatter**2).sum(0) / len(energy) ** 2)
    variance = variances[0] + variances[1]
    filled = variance > 0
    chi2 = ((shares[0] - shares[1])[filled] ** 2 / variance[filled]).sum()
    return float(chi2 / max(filled.sum() - 1, 1))


def features(sample: Sample) -> Floats:
    """What classifiers get (N, features): layers over momentum, so that one cut fits all.

    Kinds, momenta and directions are the same in both samples: trees learn what depends on them.
    """
    momentum = sample.momentum[:, None]
    numbers = np.stack([sample.observables[name] for name in OBSERVABLES], axis=1)
    number = list(OBSERVABLES).index("hits")
    numbers[:, number] /= sample.momentum
    layers = [sample.profiles[name] / momentum for name in ("energies", "hits")]
    return np.concatenate([numbers, *layers, sample.pdg[:, None], sample.conditions], axis=1)


CLASSIFIERS = {"observables": Classifier("boosted trees on the observables", features)}

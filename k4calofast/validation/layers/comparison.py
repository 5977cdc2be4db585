"""A generator of showers in layers beside full simulation: groups of showers, figures, gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from k4calofast.exceptions import FileFormatError
from k4calofast.validation.fidelity import NAMES, Check, checked, relative_mean
from k4calofast.validation.layers.observables import OBSERVABLES, Observed, observables
from k4calofast.validation.layers.readout import SeenShowers
from k4calofast.validation.metrics import (
    Separation,
    SpectrumDistance,
    Value,
    common_edges,
    separation,
    spectrum_distance,
)
from k4calofast.validation.observables import width68, width68_error

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_]
Progress = Callable[[str], None]

GATES = {
    "mean": 0.01,
    "resolution": 0.10,
    "profile": 0.03,
    "hits": 0.03,
    "radius_energy": 0.03,
    "spread_energy": 0.03,
    "radius_hits": 0.03,
    "auc_observables": 0.65,
}
"""Largest allowed value of each figure; of differences, the size counts. A model's card can set its
own."""

MEANINGS = {
    "mean": "mean visible energy, relative difference",
    "resolution": "68 % width of the visible energy over its mean, relative difference",
    "profile": "mean energy of the worst layer, difference over the profile's maximum",
    "hits": "mean number of hits, relative difference",
    "radius_energy": "mean of the showers' mean radius of energy, relative difference",
    "spread_energy": "mean of the showers' r.m.s. radius of energy, relative difference",
    "radius_hits": "mean of the showers' mean radius of hits, relative difference",
    "auc_observables": "area under the ROC curve of boosted trees on the observables, layers "
    "included, given the particle",
}

_MEANS = {
    "mean": "response",
    "hits": "hits",
    "radius_energy": "radius_energy",
    "spread_energy": "spread_energy",
    "radius_hits": "radius_hits",
}
"""Gates of relative differences of means, and the observables they are of."""

_NEAR = 1e-3
"""Momenta that differ by less than this, relatively, are one."""

_ANGLE = 0.01
"""rad to which angles are rounded."""

_MOST_MOMENTA, _MOST_ANGLES = 12, 12
"""With more, showers are put into bins of momentum, and all angles into one group."""

_BINS = 5
_LEAST = 10
"""Showers in a group; errors are estimated from them."""

_LEAST_IN_A_BIN = 60


@dataclass(frozen=True)
class Group:
    """Showers of one kind, momentum and direction.

    Attributes
    ----------
    pdg, momentum
        Kind, and mean momentum (GeV).
    number
        Of the momentum, in ascending order: the same for all angles of a kind.
    angles
        angle_t and angle_z (rad); None for all.
    rows
        (N,) which showers.
    """

    pdg: int
    momentum: float
    number: int
    angles: tuple[float, float] | None
    rows: Rows

    @property
    def where(self) -> str:
        """In words."""
        kind = f"{NAMES.get(self.pdg, self.pdg)} at {self.momentum:.3g} GeV"
        if self.angles is None:
            return kind
        return f"{kind}, angles {self.angles[0]:.2f} and {self.angles[1]:.2f}"


@dataclass(frozen=True)
class Resolved:
    """Visible energy of a group: mean over momentum, and 68 % width over the mean."""

    response: Value
    resolution: Value


@dataclass(frozen=True)
class Row:
    """Figures of a group.

    Attributes
    ----------
    group
        Of which.
    showers
        How many.
    figures
        By gates; see `MEANINGS`.
    layers
        Differences of the layers' mean energies over the profile's maximum.
    spectrum
        chi2 / NDF of the hits' energies; see `mip_spectrum`.
    reference, generated
        Visible energy.
    """

    group: Group
    showers: int
    figures: dict[str, Value]
    layers: list[Value]
    spectrum: float | None
    reference: Resolved
    generated: Resolved

    def data(self) -> dict[str, object]:
        """Return all but the layers, for JSON."""
        group = self.group
        return {
            "pdg": group.pdg,
            "momentum": group.momentum,
            "angles": None if group.angles is None else list(group.angles),
            "showers": self.showers,
            **{name: vars(figure) for name, figure in self.figures.items()},
            "mip_spectrum_chi2_ndf": self.spectrum,
            "reference": {name: vars(value) for name, value in vars(self.reference).items()},
            "generator": {name: vars(value) for name, value in vars(self.generated).items()},
        }


@dataclass(frozen=True)
class Sample:
    """Hits, and what is observed of them."""

    seen: SeenShowers
    observed: Observed

    def take(self, rows: Indices) -> Sample:
        """Return the showers of these rows."""
        return Sample(self.seen.take(rows), self.observed.take(rows))


@dataclass(frozen=True)
class Distances:
    """How far one sample is from another."""

    rows: list[Row]
    spectra: dict[str, SpectrumDistance]
    separation: Separation
    checks: list[Check]


@dataclass(frozen=True)
class Comparison:
    """A generated sample beside its reference.

    Attributes
    ----------
    reference, generated
        The samples.
    groups
        Groups of their showers.
    distances, itself
        Of the generated sample from the reference, and of the reference from itself.
    itself_is
        A repetition of the reference, or halves.
    layers, mip, threshold
        Number of layers; GeV; and MIPs from which hits are seen.
    """

    reference: Sample
    generated: Sample
    groups: list[Group]
    distances: Distances
    itself: Distances
    itself_is: str
    layers: int
    mip: float
    threshold: float

    @property
    def checks(self) -> list[Check]:
        """All figures beside their gates."""
        return self.distances.checks

    @property
    def failures(self) -> list[Check]:
        """Figures that fail, the worst first."""
        failed = [check for check in self.checks if check.fails]
        return sorted(failed, key=lambda check: check.excess / check.limit, reverse=True)

    @property
    def beyond(self) -> list[Check]:
        """Figures beyond their gates by no more than chance explains."""
        return [check for check in self.checks if check.beyond and not check.fails]


def groups_of(seen: SeenShowers) -> list[Group]:
    """Groups of showers: by kind, momentum and angles where these are fixed.

    Samples of many momenta have bins of equal width in the logarithm; of many angles, they have
    groups of all. Groups of very few showers are left out.

    Raises
    ------
    FileFormatError
        If none has enough showers.
    """
    rounded = np.rint(np.stack([seen.angle_t, seen.angle_z], axis=1) / _ANGLE).astype(np.int64)
    pairs: list[tuple[int, int] | None] = list(map(tuple, np.unique(rounded, axis=0).tolist()))
    if len(pairs) > _MOST_ANGLES:
        pairs = [None]
    found = []
    for pdg in dict.fromkeys(seen.pdg.tolist()):
        for number, at in enumerate(_by_momentum(seen.momentum, seen.pdg == pdg)):
            for pair in pairs:
                rows = at if pair is None else at & (rounded == pair).all(1)
                angles = None if pair is None else (pair[0] * _ANGLE, pair[1] * _ANGLE)
                if rows.sum() >= _LEAST:
                    mean = float(seen.momentum[rows].mean())
                    found.append(Group(int(pdg), mean, number, angles, rows))
    if not found:
        raise FileFormatError(
            f"a validation needs {_LEAST} showers of one kind, momentum and direction"
        )
    return found


def _by_momentum(momentum: Floats, rows: Rows) -> Iterator[Rows]:
    """Rows, momentum by momentum, or in bins of equal width in the logarithm."""
    ordered = np.sort(momentum[rows])
    values = ordered[np.append(True, np.diff(ordered) > _NEAR * ordered[1:])]
    if len(values) <= _MOST_MOMENTA:
        yield from (rows & (np.abs(momentum - value) < _NEAR * value) for value in values)
        return
    count = int(np.clip(rows.sum() // _LEAST_IN_A_BIN, 1, _BINS))
    edges = np.geomspace(ordered[0], ordered[-1], count + 1)[1:-1]
    number = np.searchsorted(edges, momentum, side="right")
    yield from (rows & (number == one) for one in range(count))


def compare(
    reference: SeenShowers,
    generated: SeenShowers,
    again: SeenShowers | None,
    layers: int,
    mip: float,
    threshold: float,
    gates: Mapping[str, float],
    progress: Progress = lambda _: None,
) -> Comparison:
    """Compare samples of the same particles in the same cells, row by row.

    Parameters
    ----------
    reference, generated
        N showers each.
    again
        A repetition of the reference; without one, its halves are compared.
    layers, mip, threshold
        Number of layers; GeV; and MIPs from which hits are seen.
    gates
        Limits; see `GATES`.
    progress
        Called with what comes next.

    Raises
    ------
    FileFormatError
        If there are too few showers.
    """
    progress("observables")
    there, here = (Sample(seen, observables(seen, layers, mip)) for seen in (reference, generated))
    groups = groups_of(reference)
    progress("generator against reference")
    distances = _distances(there, here, groups, mip, gates)
    progress("reference against itself")
    if again is not None:
        one, other, own = there, Sample(again, observables(again, layers, mip)), groups
    else:
        (first, second), own = _halves(groups)
        one, other = there.take(first), there.take(second)
    itself = _distances(one, other, own, mip, gates)
    said = "two halves of the reference" if again is None else "a repetition of the reference"
    return Comparison(there, here, groups, distances, itself, said, layers, mip, threshold)


def _halves(groups: list[Group]) -> tuple[tuple[Indices, Indices], list[Group]]:
    """Rows of two halves, those of a group beside each other, and the groups in them.

    Which shower of a group is in which half, and beside which, is random.
    """
    rng = np.random.default_rng(0)
    pairs = [
        rng.permutation(np.flatnonzero(one.rows))[: one.rows.sum() // 2 * 2].reshape(-1, 2)
        for one in groups
    ]
    number = np.repeat(np.arange(len(groups)), [len(one) for one in pairs])
    own = [replace(one, rows=number == i) for i, one in enumerate(groups)]
    first, second = np.concatenate(pairs).T
    return (first, second), own


def _distances(
    there: Sample, here: Sample, groups: list[Group], mip: float, gates: Mapping[str, float]
) -> Distances:
    rows = [_row(there, here, group, mip) for group in groups]
    spectra = {
        name: spectrum_distance(there.observed.numbers[name], here.observed.numbers[name])
        for name in OBSERVABLES
    }
    # Kinds, momenta and directions are the same in both: the trees learn what depends on them.
    area = separation(_features(there), _features(here), "trees")
    checks = []
    for gate in (*_MEANS, "resolution"):
        values = {row.group.where: row.figures[gate] for row in rows}
        averages = _averages(rows, [[row.figures[gate]] for row in rows])
        values |= {where: value for where, (value,) in averages.items()}
        checks += checked(gate, gates[gate], values)
    values = {row.group.where: row.figures["profile"] for row in rows}
    averages = _averages(rows, [row.layers for row in rows])
    values |= {where: _largest(layers) for where, layers in averages.items()}
    checks += checked("profile", gates["profile"], values, len(values) * len(rows[0].layers))
    auc = {"all groups": Value(area.mean, area.error)}
    checks += checked("auc_observables", gates["auc_observables"], auc)
    return Distances(rows, spectra, area, checks)


def _row(there: Sample, here: Sample, group: Group, mip: float) -> Row:
    one, other = (sample.observed.take(group.rows) for sample in (there, here))
    figures = {
        gate: relative_mean(one.numbers[name], other.numbers[name]) for gate, name in _MEANS.items()
    }
    resolved = [_resolved(side.numbers["response"]) for side in (one, other)]
    figures["resolution"] = _relative(*(side.resolution for side in resolved))
    scale = float(one.energies.mean(0).max()) or 1.0
    difference = (other.energies - one.energies) / scale
    error = difference.std(0) / np.sqrt(len(difference))
    layers = [Value(float(v), float(e)) for v, e in zip(difference.mean(0), error, strict=True)]
    figures["profile"] = _largest(layers)
    spectrum = mip_spectrum(there.seen.take(group.rows), here.seen.take(group.rows), mip)
    return Row(group, len(difference), figures, layers, spectrum, *resolved)


def _resolved(response: Floats) -> Resolved:
    mean, count = float(response.mean()), len(response)
    error = float(response.std()) / np.sqrt(count)
    middle = mean or 1.0
    width, of_width = width68(response) / middle, width68_error(response) / middle
    return Resolved(
        Value(mean, error), Value(width, float(np.hypot(of_width, width * error / middle)))
    )


def _relative(there: Value, here: Value) -> Value:
    """Relative difference of two independent values."""
    if there.value == 0:
        return Value(0.0, 0.0)
    ratio = here.value / there.value
    return Value(ratio - 1, float(np.hypot(ratio * there.error, here.error)) / there.value)


def _largest(values: Sequence[Value]) -> Value:
    return max(values, key=lambda one: abs(one.value))


def _averages(rows: list[Row], values: list[list[Value]]) -> dict[str, list[Value]]:
    """Averages of values (rows, K) over the groups of a kind, if there are several.

    Small groups see little one by one; together, they see what is wrong everywhere.
    """
    averages = {}
    for pdg in dict.fromkeys(row.group.pdg for row in rows):
        mine = [i for i, row in enumerate(rows) if row.group.pdg == pdg]
        if len(mine) == 1:
            continue
        weight = np.array([rows[i].showers for i in mine], np.float64)
        weight /= weight.sum()
        value = weight @ np.array([[one.value for one in values[i]] for i in mine])
        error = np.sqrt(weight**2 @ np.array([[one.error**2 for one in values[i]] for i in mine]))
        found = [Value(float(v), float(e)) for v, e in zip(value, error, strict=True)]
        averages[f"{NAMES.get(pdg, pdg)}, average of {len(mine)} groups"] = found
    return averages


def mip_spectrum(there: SeenShowers, here: SeenShowers, mip: float) -> float | None:
    """chi2 / NDF of the spectra of hits' energies, normalised.

    Hits of a shower belong together: errors of bins are those of the sum over showers. Those of
    different bins are taken as independent, so that the value for the same is about 1, no more.
    None without hits.
    """
    one, other = (np.log10(np.maximum(seen.energy, 1e-12) / mip) for seen in (there, here))
    if not len(one) or not len(other):
        return None
    edges = common_edges(one, other)
    shares, variances = [], []
    for seen, energy in ((there, one), (here, other)):
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


def _features(sample: Sample) -> Floats:
    """What classifiers get (N, features): layers over momentum, so that one cut fits all."""
    seen, observed = sample.seen, sample.observed
    momentum = seen.momentum[:, None]
    numbers = np.stack([observed.numbers[name] for name in OBSERVABLES], axis=1)
    number = list(OBSERVABLES).index("hits")
    numbers[:, number] /= seen.momentum
    particle = np.stack([seen.pdg, seen.momentum, seen.angle_t, seen.angle_z], axis=1)
    layers = [observed.energies / momentum, observed.hits / momentum]
    return np.concatenate([numbers, *layers, particle], axis=1)

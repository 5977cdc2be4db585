"""What is compared, and what comes of it: samples, their groups, figures and distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.validation.fidelity import NAMES, Check
from k4calofast.validation.metrics import Separation, SpectrumDistance, Value


@dataclass(frozen=True)
class Sample:
    """N showers as a calorimeter sees them, and what is observed of them.

    Attributes
    ----------
    showers
        Columns of the kind's own; `k4calofast.showers.crystals.CrystalShowers`, say.
    conditions
        (N, C) those in whose bins samples are compared; see `k4calofast.validation.kinds.Kind`.
    observables
        (N,) each.
    readout
        What has seen them; see `k4calofast.validation.reference.Readout`.
    profiles
        (N, L) each: what is observed layer by layer.
    """

    showers: Any
    conditions: Floats
    observables: dict[str, Floats]
    readout: Any = None
    profiles: dict[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.conditions)

    @property
    def pdg(self) -> npt.NDArray[np.int32]:
        """(N,) PDG numbers."""
        pdg: npt.NDArray[np.int32] = self.showers.pdg
        return pdg

    @property
    def momentum(self) -> Floats:
        """(N,) GeV."""
        momentum: Floats = self.showers.momentum
        return momentum

    @property
    def kinds(self) -> dict[int, Mask]:
        """Rows (N,) of each kind of particle, in the sample's order."""
        return {pdg: self.pdg == pdg for pdg in dict.fromkeys(self.pdg.tolist())}

    def take(self, rows: Mask | Indices) -> Sample:
        """Return the showers of these rows."""
        return Sample(
            self.showers.take(rows),
            self.conditions[rows],
            {name: values[rows] for name, values in self.observables.items()},
            self.readout,
            {name: values[rows] for name, values in self.profiles.items()},
        )


@dataclass(frozen=True)
class Group:
    """Showers of one kind, momentum and direction.

    Attributes
    ----------
    pdg, momentum
        Kind, and momentum, or its mean in a bin (GeV).
    rows
        (N,) which showers.
    number
        Of the momentum, in ascending order: the same for all angles of a kind.
    angles
        angle_t and angle_z (rad); None for all.
    """

    pdg: int
    momentum: float
    rows: Mask
    number: int = 0
    angles: tuple[float, float] | None = None

    @property
    def where(self) -> str:
        """In words."""
        kind = f"{NAMES.get(self.pdg, self.pdg)} at {self.momentum:.3g} GeV"
        if self.angles is None:
            return kind
        return f"{kind}, angles {self.angles[0]:.2f} and {self.angles[1]:.2f}"


@dataclass(frozen=True)
class Row:
    """Figures of a group, by gates, and numbers without a gate."""

    group: Group
    figures: dict[str, Value]
    others: dict[str, float | None] = field(default_factory=dict)

    @property
    def showers(self) -> int:
        """How many."""
        return int(self.group.rows.sum())

    def data(self) -> dict[str, object]:
        """Return all of it, for JSON."""
        group = self.group
        which = {"pdg": group.pdg, "momentum": group.momentum, "showers": self.showers}
        figures = {name: vars(value) for name, value in self.figures.items()}
        return {**which, **figures, **self.others}


@dataclass(frozen=True)
class Bin:
    """A bin of a condition, for one kind of particle and one observable.

    Attributes
    ----------
    pdg, condition, low, high, showers
        Which bin.
    observable
        Of what.
    shift, error
        Difference of the means, in units of the reference's standard deviation in the bin.
    """

    pdg: int
    condition: str
    low: float
    high: float
    showers: int
    observable: str
    shift: float
    error: float

    @property
    def figure(self) -> Value:
        """The shift and its error."""
        return Value(self.shift, self.error)

    def where(self, title: str) -> str:
        """Which bin, in words, with what the observable is called."""
        return (
            f"{NAMES.get(self.pdg, self.pdg)}, {title} for {self.condition} {self.low:.3g} to "
            f"{self.high:.3g}"
        )


@dataclass(frozen=True)
class Distances:
    """How far one sample is from another, in all metrics.

    Attributes
    ----------
    rows
        Figures of groups.
    closure
        Bins of the conditions.
    spectra, clouds, separations
        Of spectra, of all observables together, and by classifiers.
    own
        What the kind of calorimeter has beside.
    checks
        All figures beside their gates.
    """

    rows: Sequence[Row]
    closure: list[Bin]
    spectra: dict[str, SpectrumDistance]
    clouds: dict[str, Value]
    separations: dict[str, Separation]
    own: Any
    checks: list[Check] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """Return the metrics, for JSON."""
        return {
            "spectra": {
                name: {
                    "chi2_ndf": spectrum.chi2_ndf,
                    "p_value": spectrum.p_value,
                    "separation": vars(spectrum.separation),
                    "wasserstein": vars(spectrum.wasserstein),
                }
                for name, spectrum in self.spectra.items()
            },
            "classifiers": {
                name: {
                    "auc": area.mean,
                    "spread": area.spread,
                    "error": area.error,
                    "p_value": area.p_value,
                    "parts": [
                        {"where": part.where, "showers": part.showers, **vars(part.area)}
                        for part in area.parts
                    ],
                }
                for name, area in self.separations.items()
            },
            **{name: vars(value) for name, value in self.clouds.items()},
        }


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
    """

    reference: Sample
    generated: Sample
    groups: list[Group]
    distances: Distances
    itself: Distances
    itself_is: str

    @property
    def samples(self) -> tuple[Sample, Sample]:
        """Reference and generated sample."""
        return self.reference, self.generated

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

    @property
    def unresolved(self) -> list[Check]:
        """Figures that neither pass nor fail: the sample is too small for their gates."""
        return [check for check in self.checks if check.blind and not check.fails]

    def worst_bins(self, count: int = 8) -> list[Bin]:
        """Bins of the conditions with the largest shifts, less two errors."""
        ranked = sorted(self.distances.closure, key=lambda bin_: 2 * bin_.error - abs(bin_.shift))
        return ranked[:count]

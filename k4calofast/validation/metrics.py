"""How far apart two samples are: distances of spectra, and of clouds of observables.

All functions take arrays and return numbers with their uncertainties; 0 (or 0.5 for the area under
a ROC curve, 1 for precision, recall, density and coverage) means the same.

Sources: separation power: F. James, "Statistical Methods in Experimental Physics"; FPD, KPD:
R. Kansal et al., Phys. Rev. D 107 (2023) 076017, arXiv:2211.10295; precision, recall, density and
coverage: M. Naeem et al., ICML 2020, arXiv:2002.09797; error of the area under a ROC curve:
J. Hanley and B. McNeil, Radiology 143 (1982) 29. The package jetnet has FPD and KPD, too, but
brings half of a data analysis stack.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.exceptions import require

_BINS = 30
_LEAST_IN_A_BIN = 25


@dataclass(frozen=True)
class Value:
    """A number and its standard error; a format is that of both, a sign the number's alone."""

    value: float
    error: float

    def __format__(self, form: str) -> str:
        return f"{self.value:{form}} ± {self.error:{form.lstrip('+')}}"

    def scaled(self, factor: float) -> Value:
        """Return the same in another unit."""
        return Value(factor * self.value, factor * self.error)


def mean_of(values: Floats) -> Value:
    """Mean of values (N,), and its standard error."""
    return Value(float(values.mean()), float(values.std() / np.sqrt(len(values))))


def relative(reference: Value, generated: Value) -> Value:
    """Relative difference of two independent values; 0 ± 1 without a reference.

    Where the generated value is the smaller one, the error is not smaller than if both were alike:
    of what is dominated by few showers, errors are as wrong as the values.
    """
    if reference.value == 0:
        return Value(0.0, 1.0)
    ratio = generated.value / reference.value
    error = float(np.hypot(max(ratio, 1.0) * reference.error, generated.error))
    return Value(ratio - 1, error / abs(reference.value))


_PARTS = 40
"""Of a sample, of which one at a time is left out for errors: they are known to 11 %."""


def jackknife(count: int, statistic: Callable[[Mask], float], seed: int = 0) -> Value:
    """A statistic of showers, and its standard error from leaving out parts of them.

    Parameters
    ----------
    count
        Showers.
    statistic
        Given which showers (count,) to use.
    seed
        Of how showers are parted, evenly and at random.

    References
    ----------
    J. Shao and D. Tu, "The Jackknife and Bootstrap" (1995), section 2.3: leaving out many at once
    gives the errors of medians and other quantiles, too.
    """
    whole = statistic(np.ones(count, np.bool_))
    parts = min(_PARTS, count)
    if parts < 2:
        return Value(whole, abs(whole) or 1.0)
    part = np.random.default_rng(seed).permutation(count) % parts
    without = np.array([statistic(part != left_out) for left_out in range(parts)])
    return Value(whole, float(np.sqrt((parts - 1) * without.var())))


def mean_in_showers(values: Floats, shower: Indices, count: int) -> Value:
    """Mean of values (H,) of hits, and its error from shower to shower.

    Parameters
    ----------
    shower, count
        (H,) whose hits they are, and how many showers there are: hits of one belong together.
    """
    mean = float(values.mean())
    return Value(mean, _from_shower_to_shower(values - mean, shower, count))


def width_in_showers(values: Floats, shower: Indices, count: int) -> Value:
    """Half the distance of the quantiles at 16 % and 84 % of hits; see `mean_in_showers`.

    The error is that of the linearised quantiles, as of `width68_error`.
    """
    ends = np.array([0.16, 0.84])
    low, high = np.quantile(values, ends)
    step = float(np.clip(1.5 / np.sqrt(len(values)), 0.02, 0.14))
    density = (
        2
        * step
        / np.maximum(np.quantile(values, ends + step) - np.quantile(values, ends - step), 1e-12)
    )
    pull = (ends[1] - (values <= high)) / density[1] - (ends[0] - (values <= low)) / density[0]
    return Value(float(high - low) / 2, _from_shower_to_shower(pull / 2, shower, count))


def _from_shower_to_shower(pulls: Floats, shower: Indices, count: int) -> float:
    """Standard error of a mean of hits, of which these (H,) are the distances from it."""
    of_shower = np.bincount(shower, pulls, count)
    return float(np.sqrt((of_shower**2).sum())) / len(pulls)


@dataclass(frozen=True)
class SpectrumDistance:
    """How far apart two spectra are.

    Attributes
    ----------
    chi2_ndf, p_value
        Of the hypothesis that both are of one distribution.
    separation
        Half the sum of (a - b)^2 / (a + b) over bins of the two normalised spectra: 0 to 1. What
        chance alone gives is subtracted.
    wasserstein
        Earth mover's distance in units of the first spectrum's standard deviation.
    """

    chi2_ndf: float
    p_value: float
    separation: Value
    wasserstein: Value


def require_packages() -> None:
    """Make sure that the packages of metrics are there.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    require("validation", "a comparison of showers", "scipy", "sklearn")


def _scipy_stats() -> Any:
    require_packages()
    from scipy import stats

    return stats


def z_score(probability: float) -> float:
    """Standard errors beyond which a normal value is found, on either side, with a probability."""
    return float(_scipy_stats().norm.isf(probability / 2))


def t_score(probability: float, freedom: int) -> float:
    """The same with an error that was estimated with so many degrees of freedom: Student's t."""
    return float(_scipy_stats().t.isf(probability / 2, freedom))


def spectrum_distance(reference: Floats, generated: Floats) -> SpectrumDistance:
    """Compare two samples of one observable, (N,) and (M,).

    A sample with no values at all is as far as can be from one with some.
    """
    stats = _scipy_stats()
    if not (len(reference) and len(generated)):
        apart = float(len(reference) != len(generated))
        return SpectrumDistance(apart, 1 - apart, Value(apart, 0.0), Value(apart, 0.0))
    edges = common_edges(reference, generated)
    expected, found = (
        np.histogram(values, edges)[0].astype(np.float64) for values in (reference, generated)
    )
    n, m = expected.sum(), found.sum()
    both = expected + found
    filled = both > 0
    # Of two counted spectra with different totals (e.g. PDG Review, Statistics).
    scaled = (np.sqrt(m / n) * expected - np.sqrt(n / m) * found)[filled] ** 2 / both[filled]
    ndf = max(int(filled.sum()) - 1, 1)
    a, b = expected / n, found / m
    summed = np.where(filled, a + b, 1.0)
    raw = 0.5 * float((((a - b) ** 2) / summed).sum())
    # Each bin adds 1 / n + 1 / m by chance, half of it to the separation power.
    chance = 0.25 * ndf * (1 / n + 1 / m)
    spread = float(reference.std()) or 1.0
    distance = stats.wasserstein_distance(reference, generated) / spread
    return SpectrumDistance(
        float(scaled.sum()) / ndf,
        float(stats.chi2.sf(scaled.sum(), ndf)),
        Value(raw - chance, chance * np.sqrt(2 / ndf) + 2 * np.sqrt(max(raw, 0) * chance / ndf)),
        Value(float(distance), float(np.sqrt(1 / n + 1 / m))),
    )


def distinct(values: Floats, near: float) -> Floats:
    """Values in ascending order; those that are above one by less, relatively, are that one."""
    ordered, found, place = np.sort(values), [], 0
    while place < len(ordered):
        found.append(ordered[place])
        place = int(np.searchsorted(ordered, found[-1] * (1 + near), side="right"))
    return np.array(found)


def common_edges(reference: Floats, generated: Floats, bins: int = _BINS) -> Floats:
    """Edges between quantiles of both samples, so that no bin is nearly empty.

    Values that many showers share, such as numbers of cells, stay together.
    """
    both = np.concatenate([reference, generated])
    count = int(np.clip(len(both) // (2 * _LEAST_IN_A_BIN), 2, bins))
    edges = np.unique(np.quantile(both, np.linspace(0, 1, count + 1)))
    if len(edges) < 2:
        edges = np.array([edges[0] - 0.5, edges[0] + 0.5])
    edges[-1] = np.nextafter(edges[-1], np.inf)
    return np.asarray(edges)


@dataclass(frozen=True)
class Part:
    """How well a part of two samples is told apart.

    Attributes
    ----------
    pdg, where, showers
        Kind of particles, which part, in words, and how many showers of each sample.
    area
        Under the ROC curve.
    """

    pdg: int
    where: str
    showers: int
    area: Value


@dataclass(frozen=True)
class Separation:
    """How well a classifier tells two samples apart.

    Attributes
    ----------
    mean, spread
        Area under the ROC curve: mean and standard deviation over folds.
    error
        Standard error of the mean if nothing tells the two apart.
    p_value
        That the area is 0.5.
    roc
        (2, points) rates of false and of true positives, all folds together.
    scores
        (N, 2) what each shower of both samples got by a classifier that did not know it; empty if
        they are not of one classifier.
    parts
        Areas of parts of the samples.
    """

    mean: float
    spread: float
    error: float
    p_value: float
    roc: Floats
    scores: Floats = field(default_factory=lambda: np.zeros((0, 2)), repr=False)
    parts: tuple[Part, ...] = ()

    @property
    def area(self) -> Value:
        """The mean and its error."""
        return Value(self.mean, self.error)


def separation(
    reference: Floats, generated: Floats, *, method: str = "trees", folds: int = 5
) -> Separation:
    """Train classifiers to tell two samples apart, each tested on what it has not seen.

    Parameters
    ----------
    reference, generated
        (N, features) and (M, features).
    method
        ``trees``: gradient boosting; ``network``: two small layers on scaled features.
    folds
        Parts of the samples; each is the test sample once.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    stats = _scipy_stats()
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import roc_auc_score, roc_curve

    features = np.concatenate([reference, generated]).astype(np.float32)
    n, m = len(reference), len(generated)
    label = np.repeat([0, 1], [n, m])
    scores, areas = np.zeros(len(label)), []
    # Showers of the same row have the same conditions: apart, one would teach the classifier
    # that the other is of the other sample.
    fold = np.random.default_rng(0).permutation(max(n, m)) % folds
    fold = np.concatenate([fold[:n], fold[:m]])
    for seed in range(folds):
        train, test = np.flatnonzero(fold != seed), np.flatnonzero(fold == seed)
        learner = classifier(method, seed, len(train))
        with warnings.catch_warnings():
            # A network that still learns slowly after its epochs is good enough.
            warnings.simplefilter("ignore", ConvergenceWarning)
            learner.fit(features[train], label[train])
        scores[test] = learner.predict_proba(features[test])[:, 1]
        areas.append(roc_auc_score(label[test], scores[test]))
    mean = float(np.mean(areas))
    error = _error_of_area(n, m)
    false, true, _ = roc_curve(label, scores)
    points = np.linspace(0, 1, 101)
    return Separation(
        mean,
        float(np.std(areas)),
        error,
        float(2 * stats.norm.sf(abs(mean - 0.5) / error)),
        np.stack([points, np.interp(points, false, true)]),
        np.stack([scores[:n], scores[n:]], axis=1) if n == m else np.zeros((0, 2)),
    )


def area_of(scores: Floats) -> Value:
    """Area under the ROC curve of scores (N, 2) of a reference and of a generated sample."""
    require_packages()
    from sklearn.metrics import roc_auc_score

    count = len(scores)
    area = roc_auc_score(np.repeat([0, 1], count), scores.T.ravel())
    return Value(float(area), _error_of_area(count, count))


def together(separations: Sequence[Separation], parts: Sequence[Part]) -> Separation:
    """Join what classifiers of different kinds of particles found: the mean of their areas."""
    stats = _scipy_stats()
    count = len(separations)
    mean = float(np.mean([one.mean for one in separations]))
    error = float(np.sqrt(sum(one.error**2 for one in separations))) / count
    return Separation(
        mean,
        float(np.mean([one.spread for one in separations])),
        error,
        float(2 * stats.norm.sf(abs(mean - 0.5) / error)),
        np.mean([one.roc for one in separations], axis=0),
        parts=tuple(parts),
    )


def _error_of_area(n: int, m: int) -> float:
    """Standard error of an area if nothing tells n showers from m others."""
    return float(np.sqrt((n + m + 1) / (12 * n * m)))


def classifier(method: str, seed: int, rows: int) -> Any:
    """Return what learns to tell two samples of so many rows in all apart; see `separation`."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if method == "trees":
        return HistGradientBoostingClassifier(
            max_iter=200,
            learning_rate=0.08,
            early_stopping=True,
            validation_fraction=0.15,
            random_state=seed,
        )
    network = MLPClassifier(
        (64, 64),
        batch_size=int(np.clip(rows // 8, 8, 512)),
        learning_rate_init=2e-3,
        alpha=1e-4,
        early_stopping=True,
        n_iter_no_change=3,
        max_iter=15,
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), network)


def standardised(reference: Floats, generated: Floats) -> tuple[Floats, Floats]:
    """Both samples in units of the first one's mean and standard deviation."""
    mean, spread = reference.mean(0), reference.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    return (reference - mean) / spread, (generated - mean) / spread


def frechet_distance(reference: Floats, generated: Floats, seed: int = 0) -> Value:
    """FPD: squared Frechet distance of Gaussians, extrapolated to samples of infinite size.

    Parameters
    ----------
    reference, generated
        (N, features) and (M, features), standardised.
    """
    rng = np.random.default_rng(seed)
    most = min(len(reference), len(generated))
    sizes = np.unique(np.geomspace(max(most // 8, 200), most, 8).astype(int))
    sizes = sizes[sizes <= most]
    rows = []
    for size in sizes:
        repeats = max(most // size, 1) * 2
        found = [
            _frechet(
                reference[rng.choice(len(reference), size, replace=False)],
                generated[rng.choice(len(generated), size, replace=False)],
            )
            for _ in range(repeats)
        ]
        rows.append((np.mean(found), np.std(found) / np.sqrt(repeats) + 1e-9))
    if len(rows) < 3:
        return Value(float(rows[-1][0]), float(rows[-1][0]))
    values, errors = np.array(rows).T
    weights = 1 / np.maximum(errors, errors.max() * 0.2)
    (_, value), covariance = np.polyfit(1 / sizes, values, 1, w=weights, cov=True)
    return Value(float(value), float(np.sqrt(covariance[1, 1])))


def _frechet(reference: Floats, generated: Floats) -> float:
    difference = reference.mean(0) - generated.mean(0)
    a, b = np.cov(reference.T), np.cov(generated.T)
    # The trace of the root of a b is that of the root of a symmetric matrix.
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    middle = np.linalg.eigvalsh(root @ b @ root)
    trace = np.trace(a) + np.trace(b) - 2 * np.sqrt(np.maximum(middle, 0)).sum()
    return float(difference @ difference + trace)


def kernel_distance(
    reference: Floats, generated: Floats, batches: int = 10, size: int = 2000, seed: int = 0
) -> Value:
    """KPD: squared maximum mean discrepancy with the kernel (x.y / features + 1)^4, unbiased.

    Parameters
    ----------
    reference, generated
        (N, features) and (M, features), standardised.
    batches, size
        The mean over so many batches of so many showers; its error is their spread.
    """
    rng = np.random.default_rng(seed)
    size = min(size, len(reference), len(generated))
    found = []
    for _ in range(batches):
        x = reference[rng.choice(len(reference), size, replace=False)]
        y = generated[rng.choice(len(generated), size, replace=False)]
        # Squared twice: numpy's power of 4 takes twenty times as long.
        xx, yy, xy = (
            np.square(np.square(a @ b.T / x.shape[1] + 1)) for a, b in ((x, x), (y, y), (x, y))
        )
        within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (size * (size - 1))
        found.append(within - 2 * xy.mean())
    return mean_of(np.array(found))


def coverage(
    reference: Floats, generated: Floats, neighbours: int = 5, size: int = 4000, seed: int = 0
) -> dict[str, Value]:
    """Precision, recall, density and coverage of the second sample.

    Parameters
    ----------
    reference, generated
        (N, features) and (M, features), standardised.
    neighbours
        A shower's neighbourhood reaches to this neighbour of its own sample.
    size
        Showers of each sample that are used; the errors are those of counting.
    """
    require_packages()
    from sklearn.metrics import pairwise_distances
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(seed)
    size = min(size, len(reference), len(generated))
    real = reference[rng.choice(len(reference), size, replace=False)]
    fake = generated[rng.choice(len(generated), size, replace=False)]

    def reach(sample: Floats) -> Floats:
        nearest = NearestNeighbors(n_neighbors=min(neighbours + 1, len(sample))).fit(sample)
        return np.asarray(nearest.kneighbors(sample)[0][:, -1])

    apart = pairwise_distances(real, fake)
    in_real, in_fake = apart < reach(real)[:, None], apart < reach(fake)[None]
    fractions: dict[str, Any] = {
        "precision": in_real.any(0),
        "recall": in_fake.any(1),
        "coverage": in_real.any(1),
    }
    fractions["density"] = in_real.sum(0) / neighbours
    return {name: mean_of(values.astype(np.float64)) for name, values in fractions.items()}

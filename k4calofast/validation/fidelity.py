"""How near generated showers are to full simulation: the table that a model must pass.

Means and widths are compared for each kind of particle in bins of momentum; two classifiers
are trained to tell generated from simulated showers, on observables and on cells, and so is
one on two halves of the simulated showers, for which 0.5 is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.exceptions import MissingExtraError
from k4calofast.showers import Showers
from k4calofast.validation.observables import block, lateral_width, observables, width68

Floats = npt.NDArray[np.float64]

NAMES = {22: "photon", 11: "electron", -11: "positron"}
"""What people call the kinds of particles."""

GATES = {
    "mean": 0.005,
    "width": 0.10,
    "e1_e9": 0.02,
    "e9_e25": 0.02,
    "lateral": 0.02,
    "cells": 1.0,
    "auc_observables": 0.60,
    "auc_cells": 0.70,
}
"""Largest allowed value of each figure; of relative differences, the size counts."""

MEANINGS = {
    "mean": "mean window energy, relative difference",
    "mean_error": "its statistical error",
    "width": "68 % width of the window energy, relative difference",
    "e1_e9": "mean E1/E3x3, relative difference",
    "e9_e25": "mean E3x3/E5x5, relative difference",
    "lateral": "mean lateral width, relative difference",
    "cells": "worst of the 25 central cells: difference over the larger of 5 % and 0.5 MeV",
}

_CELL_RELATIVE, _CELL_ABSOLUTE = 0.05, 0.5e-3
_NEAR = 1e-3
"""Momenta that differ by less than this, relatively, are one bin."""


@dataclass(frozen=True)
class Row:
    """Figures of one kind of particle at one momentum; see `MEANINGS`."""

    pdg: int
    momentum: float
    showers: int
    figures: dict[str, float]

    def data(self) -> dict[str, float]:
        """Return all of it, for JSON."""
        own = {"pdg": self.pdg, "momentum": self.momentum, "showers": self.showers}
        return own | self.figures

    @property
    def failed(self) -> list[str]:
        """Names of the figures beyond their gates."""
        return [
            name
            for name, value in self.figures.items()
            if name in GATES and abs(value) > GATES[name]
        ]


@dataclass(frozen=True)
class Separation:
    """Areas under the ROC curve of a classifier, for several seeds."""

    mean: float
    spread: float


def compare(reference: Showers, generated: Showers) -> list[Row]:
    """Compare showers with the same conditions, kind by kind and momentum by momentum.

    Parameters
    ----------
    reference, generated
        N showers each; the same kinds and conditions in the same rows. Momenta must come
        in few values.
    """
    there, here = observables(reference), observables(generated)
    return [
        Row(
            pdg,
            momentum,
            int(chosen.sum()),
            _figures(
                {name: values[chosen] for name, values in there.items()},
                {name: values[chosen] for name, values in here.items()},
                reference.energies[chosen],
                generated.energies[chosen],
            ),
        )
        for pdg, momentum, chosen in bins(reference)
    ]


def bins(showers: Showers) -> Iterator[tuple[int, float, npt.NDArray[np.bool_]]]:
    """Yield kind, momentum (GeV), and which showers (N,) have them, kind by kind."""
    for pdg in dict.fromkeys(showers.pdg.tolist()):
        kind = showers.pdg == pdg
        for momentum in _values(showers.momentum[kind]):
            near = np.abs(showers.momentum - momentum) < _NEAR * momentum
            yield int(pdg), float(momentum), kind & near


def _values(momenta: Floats) -> Floats:
    ordered = np.sort(momenta)
    first = np.append(True, np.diff(ordered) > _NEAR * ordered[1:])
    return np.asarray(ordered[first])


def _figures(
    there: dict[str, Floats],
    here: dict[str, Floats],
    cells_there: npt.NDArray[np.float32],
    cells_here: npt.NDArray[np.float32],
) -> dict[str, float]:
    def relative(a: float, b: float) -> float:
        return b / a - 1

    response = there["response"]
    means = [block(cells.astype(np.float64), 5).mean(0) for cells in (cells_there, cells_here)]
    allowed = np.maximum(_CELL_RELATIVE * means[0], _CELL_ABSOLUTE)
    return {
        "mean": relative(response.mean(), here["response"].mean()),
        "mean_error": float(response.std() / response.mean() * np.sqrt(2 / len(response))),
        "width": relative(width68(response), width68(here["response"])),
        "e1_e9": relative(there["e1_e9"].mean(), here["e1_e9"].mean()),
        "e9_e25": relative(there["e9_e25"].mean(), here["e9_e25"].mean()),
        "lateral": relative(lateral_width(there).mean(), lateral_width(here).mean()),
        "cells": float((np.abs(means[1] - means[0]) / allowed).max()),
    }


def separation(one: Floats, other: Floats, seeds: int = 5) -> Separation:
    """Train gradient-boosted trees to tell two samples apart, and test them on the rest.

    Parameters
    ----------
    one, other
        (N, features) and (M, features).
    seeds
        How many times, with other halves for training and testing.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.metrics import roc_auc_score
    except ImportError:
        raise MissingExtraError(
            "classifiers need scikit-learn: pip install 'k4calofast[validation]'"
        ) from None
    features = np.concatenate([one, other])
    label = np.repeat([0, 1], [len(one), len(other)])
    areas = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(label))
        train, test = np.array_split(order, 2)
        classifier = HistGradientBoostingClassifier(
            max_iter=200,
            learning_rate=0.08,
            early_stopping=True,
            validation_fraction=0.15,
            random_state=seed,
        )
        classifier.fit(features[train], label[train])
        probability = classifier.predict_proba(features[test])[:, 1]
        areas.append(roc_auc_score(label[test], probability))
    return Separation(float(np.mean(areas)), float(np.std(areas)))


def separations(reference: Showers, generated: Showers, seeds: int = 5) -> dict[str, Separation]:
    """Separation on observables and on cells, beside that of two halves of the reference."""
    features = {
        "observables": (_observable_columns(reference), _observable_columns(generated)),
        "cells": (_cell_columns(reference), _cell_columns(generated)),
    }
    half = np.random.default_rng(0).permutation(len(reference)) % 2 == 0
    result = {}
    for name, (there, here) in features.items():
        result[name] = separation(there, here, seeds)
        result[f"{name}, reference halves"] = separation(there[half], there[~half], seeds)
    return result


def _observable_columns(showers: Showers) -> Floats:
    return np.stack(list(observables(showers).values()), axis=1)


def _cell_columns(showers: Showers) -> Floats:
    return showers.energies.reshape(len(showers), -1).astype(np.float64)

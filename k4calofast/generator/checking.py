"""What is wrong with a model, before it is released or used."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from k4calofast import detector
from k4calofast.exceptions import K4CaloFastError, ModelError
from k4calofast.generator.card import CARD_FILE, ModelCard, read_card, read_checked
from k4calofast.generator.graph import refusal
from k4calofast.generator.model import Model

_SHOWERS = 256
"""To try each kind of particle with, at least."""

_MOST_ENERGY = 2.0
"""Energy of a shower over that of its particle, at most: fluctuations of generators included."""

_ELECTROMAGNETIC = (22, 11, -11)
_MASSES, _HADRONS = 2 * 0.000511, 2 * 0.9396
"""GeV that a positron has beside its momentum, and what an antineutron has at most."""


def faults(folder: Path) -> list[str]:
    """Say all that is wrong with a model, a sentence each; nothing if it can be used.

    Card, digest and graph are looked at as when it is loaded. Then it is loaded and tried: in other
    rows and calls, and with conditions inside and on the edges of the ranges that its card has.
    """
    try:
        card = read_card(folder)
    except K4CaloFastError as error:
        return [str(error)]
    found = []
    try:
        detector.load(card.detector)
    except K4CaloFastError as error:
        found.append(f"{folder / CARD_FILE}: {error}")
    for pdg, ranges in card.kinds.items():
        if ranges.get("momentum", (1.0, 2.0))[0] <= 0:
            found.append(f"{folder / CARD_FILE}: kind {pdg}: momentum begins at 0 or below")
    try:
        content = read_checked(folder, card)
    except ModelError as error:
        return [*found, str(error)]
    if reason := refusal(content):
        found.append(f"{folder / card.file}: cannot be run: {reason}")
    if found:
        return found
    try:
        model = Model(folder, "cpu")
    except K4CaloFastError as error:
        return [str(error)]
    for pdg in model.card.kinds:
        found += _faults_of(model, pdg)
    return found


def _faults_of(model: Model, pdg: int) -> list[str]:
    """What is wrong with showers of a kind, inside its ranges and at their edges."""
    card, random = model.card, np.random.default_rng(0)
    low, high = card.limits(pdg)
    inside = random.uniform(low, high, (_SHOWERS, len(low)))
    edges = np.where(random.random(inside.shape) < 0.5, low, high)
    found = []
    for where, conditions in (("inside", inside), ("at the edges of", edges)):
        noise = random.standard_normal((_SHOWERS, card.noise)).astype(np.float32)
        more = {"uniform": random.random((_SHOWERS, card.uniform), np.float32)}
        more |= model.surroundings(_SHOWERS)
        try:
            showers = model.generate(np.full(_SHOWERS, pdg, np.int32), conditions, noise, more)
        except ModelError as error:
            found.append(f"kind {pdg}, {where} its ranges: {error}")
            continue
        total = np.bincount(showers.shower, showers.energy, _SHOWERS)
        masses = _MASSES if pdg in _ELECTROMAGNETIC else _HADRONS
        most = _MOST_ENERGY * (conditions[:, _momentum(card)] + masses)
        if (total > most).any():
            worst = int(np.argmax(total / most))
            found.append(
                f"kind {pdg}, {where} its ranges: a shower of {total[worst]:.3g} GeV from a "
                f"particle of {conditions[worst, _momentum(card)]:.3g} GeV"
            )
        if not total.any():
            found.append(f"kind {pdg}, {where} its ranges: no shower has any energy")
    return found


def _momentum(card: ModelCard) -> int:
    return card.conditions.index("momentum")

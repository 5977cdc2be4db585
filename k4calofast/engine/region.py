"""A region: a calorimeter, and the models that simulate it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from k4calofast.arrays import Columns, Floats, Floats32, Indices, Ints, Mask
from k4calofast.detector import Calorimeter
from k4calofast.events.columns import EventKeys
from k4calofast.generator import Model, ShowerKeys, generate
from k4calofast.hits import Deposits
from k4calofast.incidence import Arrivals

NO_MODEL = -1

_ELECTROMAGNETIC = (22, 11, -11)
"""Kinds whose showers have all of their energy."""


@dataclass(frozen=True)
class Placed(Columns):
    """Which model of a region simulates each of N arrivals, and for what.

    Attributes
    ----------
    model
        (N,) number of the model, `NO_MODEL` where none is for the kind.
    inside
        (N,) whether the model holds the conditions.
    conditions
        (N, conditions) of the arrivals, moved to the edges of the model's range where it has one.
    scale
        (N,) what energies of the shower are multiplied with: showers of electrons and photons have
        the energy of their particle, also where its momentum was moved to an edge.
    """

    model: Indices
    inside: Mask
    conditions: Floats
    scale: Floats32


@dataclass(frozen=True)
class Simulator:
    """A model, and the kinds of particles (PDG numbers) that it is for in its region."""

    model: Model
    kinds: tuple[int, ...]


class Region:
    """A calorimeter with the models that simulate it.

    Parameters
    ----------
    calorimeter
        Of all models.
    simulators
        In the order in which they are asked: a particle goes to the first that is for its kind and
        holds its conditions.
    chosen
        Kinds of particles to simulate; all that the models know if there are none.
    at_once
        Showers that are generated in one go, at most.
    """

    def __init__(
        self,
        calorimeter: Calorimeter,
        simulators: Sequence[Simulator],
        chosen: Collection[int] = (),
        at_once: int = 4096,
    ) -> None:
        self.calorimeter, self.simulators = calorimeter, tuple(simulators)
        self.known = {kind for simulator in simulators for kind in simulator.kinds}
        self.chosen = self.known & set(chosen) if chosen else self.known
        self._at_once = min(at_once, calorimeter.showers_at_once or at_once)

    @property
    def models(self) -> tuple[Model, ...]:
        """The models, in the order in which they are asked."""
        return tuple(simulator.model for simulator in self.simulators)

    @cached_property
    def _largest_momentum(self) -> float:
        return max(
            simulator.model.card.kinds[kind]["momentum"][1]
            for simulator in self.simulators
            for kind in simulator.kinds
        )

    def expected_deposits(self, pdg: Ints, momentum: Floats) -> Floats:
        """(N,) about how many deposits showers of particles will have, at most.

        Parameters
        ----------
        pdg, momentum
            (N,) kinds, and (N, 3) GeV where the particles come from; broken ones are no error.
        """
        most = self._largest_momentum
        components = np.clip(np.nan_to_num(momentum), -most, most)
        size = np.minimum(np.linalg.norm(components, axis=1), most)
        return np.where(
            np.isin(pdg, list(self.chosen)), self.calorimeter.expected_deposits(size), 0
        )

    def place(self, pdg: Ints, conditions: Floats) -> Placed:
        """Find the model of each of N arrivals.

        Where none holds the conditions, it is the one for the kind whose range is nearest; the
        first of those that are as near.

        Parameters
        ----------
        pdg, conditions
            (N,) kinds, and (N, conditions) in the order of the calorimeter's.
        """
        model = np.full(len(pdg), NO_MODEL)
        away = np.full(len(pdg), np.inf)
        moved = conditions.copy()
        for number, simulator in enumerate(self.simulators):
            for kind in sorted(self.chosen.intersection(simulator.kinds)):
                rows = np.flatnonzero((pdg == kind) & (away > 0))
                card, told = simulator.model.card, simulator.model.columns
                here = card.away(kind, conditions[rows][:, told])
                nearer = here < away[rows]
                rows = rows[nearer]
                model[rows], away[rows] = number, here[nearer]
                clipped = np.clip(conditions[rows][:, told], *card.limits(kind))
                moved[rows] = conditions[rows]
                moved[rows[:, None], told] = clipped
        momentum, known = conditions[:, 0], moved[:, 0]
        scaled = np.isin(pdg, _ELECTROMAGNETIC) & (momentum != known)
        scale = np.divide(momentum, known, out=np.ones_like(known), where=scaled)
        return Placed(model, away == 0, moved, scale.astype(np.float32))

    def generate(
        self,
        arrivals: Arrivals,
        placed: Placed,
        pdg: Ints,
        keys: ShowerKeys,
    ) -> Deposits:
        """Generate the showers of N arrivals.

        Parameters
        ----------
        placed, pdg, keys
            Of the arrivals; each has a model.
        """
        parts = [Deposits.none()]
        for number, model in enumerate(self.models):
            whose = np.flatnonzero(placed.model == number)
            for start in range(0, len(whose), self._at_once):
                rows = whose[start : start + self._at_once]
                surroundings = self.calorimeter.surroundings(
                    arrivals.cell[rows],
                    arrivals.position[rows],
                    arrivals.momentum[rows],
                    model.card.window,
                )
                conditions = placed.conditions[rows][:, model.columns]
                generated = generate(model, pdg[rows], conditions, keys.take(rows), surroundings)
                found = Deposits.of(generated, surroundings, after_light=model.after_light)
                found = found.renamed(rows)
                parts.append(replace(found, energy=found.energy * placed.scale[found.shower]))
        return Deposits.concatenate(parts).by_shower()


def shower_keys(
    calorimeter: Calorimeter, keys: EventKeys, seed: int, event: Indices, index: Indices
) -> ShowerKeys:
    """Return what seeds the noise of showers.

    Parameters
    ----------
    keys, seed
        Of all events, and of those that have no seed of their own.
    event, index
        (N,) event of each shower, and index of its particle in the event's collection.
    """
    return ShowerKeys(
        keys.seeds(seed)[event],
        keys.run[event],
        keys.event[event],
        index.astype(np.uint64),
        calorimeter.noise_key,
    )

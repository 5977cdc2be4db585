"""What became of each particle, and of its energy: the one list from which all counts are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Indices, Mask, owners


class Fate(IntEnum):
    """What the fast simulation did with a particle; every particle has exactly one.

    The first group has showered here, the second waits for another simulation and is
    written to the collection of particles not handled, the third needs none, and the last is
    what a record lost: nobody will simulate it, and it should have been.
    """

    SHOWERED = 0
    CLAMPED = 1

    OTHER_KIND = 10
    OUT_OF_RANGE = 11
    BESIDE = 12
    GAP = 13
    NOT_CHOSEN = 14
    BORN_OUTSIDE = 15
    UNCLEAR = 16

    NOT_FINAL = 20
    ENDED_BEFORE = 21
    BORN_BEHIND = 22
    INVISIBLE = 23
    ALREADY_HANDLED = 24

    LOST = 30
    UNKNOWN_STATUS = 31

    @property
    def handled_here(self) -> bool:
        """Whether the particle's shower was generated."""
        return self < Fate.OTHER_KIND

    @property
    def handed_on(self) -> bool:
        """Whether the particle still waits for a calorimeter simulation."""
        return Fate.OTHER_KIND <= self < Fate.NOT_FINAL

    @property
    def unexplained(self) -> bool:
        """Whether the record does not say where the particle's energy went."""
        return self >= Fate.LOST

    @property
    def meaning(self) -> str:
        """One line for the summary at the end of a run."""
        return _MEANINGS[self]


_MEANINGS = {
    Fate.SHOWERED: "showered",
    Fate.CLAMPED: "showered at the edge of the model's range",
    Fate.OTHER_KIND: "handed on: a kind the model does not simulate",
    Fate.OUT_OF_RANGE: "handed on: outside the model's range",
    Fate.BESIDE: "handed on: does not reach this calorimeter (curls up, or passes beside it)",
    Fate.GAP: "handed on: passes through a gap between the cells",
    Fate.NOT_CHOSEN: "handed on: of a kind that PDG does not choose",
    Fate.BORN_OUTSIDE: "handed on: starts inside the calorimeter or outside of it, not in front",
    Fate.UNCLEAR: "handed on: the record does not say what of it reaches the calorimeter",
    Fate.NOT_FINAL: "not a final-state particle; its energy is its daughters'",
    Fate.ENDED_BEFORE: "decayed or stopped in front, less what its daughters took; and what others "
    "left in the material there",
    Fate.BORN_BEHIND: "part of the shower of a parent; its energy is the parent's",
    Fate.INVISIBLE: "a neutrino",
    Fate.ALREADY_HANDLED: "already handled by another fast simulation",
    Fate.LOST: "LOST: ended in front, and the record lacks the daughters that took its energy",
    Fate.UNKNOWN_STATUS: "LOST: a generatorStatus that is not known here, and no daughters",
}


FATES = tuple(Fate)
"""All fates, in the order in which arrays of counts have them."""

Fates = npt.NDArray[np.int8]
"""`Fate` of each of some particles."""

_POSITION = np.full(max(FATES) + 1, -1)
_POSITION[list(FATES)] = np.arange(len(FATES))


@dataclass(frozen=True)
class Census:
    """Fates of N particles, and the energy that is counted with each.

    Energies are total energies, rest mass included, so that they add up to those of a
    generator. Each is counted once: what a particle gave to daughters is counted with these.

    Attributes
    ----------
    fate
        (N,) `Fate` of each.
    energy
        (N,) GeV that share this fate.
    left
        (N,) GeV that particles that went on left in front of the calorimeter on their way. Small
        ones are what matter takes; a large one means that the record lacks daughters.
    incoming
        (N,) GeV with which each came in; 0 for those whose energy is that of others. The sums of
        energy and left are those of incoming.
    account
        (N,) the particle with which the energy of each is counted: itself, or the ancestor whose
        shower it is part of; -1 for what has none.
    """

    fate: Fates
    energy: Floats
    left: Floats
    incoming: Floats
    account: Indices

    def of(self, listed: Mask) -> Census:
        """Return the census of particles (N,) that another simulation has handed on.

        It has counted what these left in front, and all that the others brought in. Those have a
        fate all the same, that of what another simulation has taken care of.
        """
        fate = np.where(listed, self.fate, Fate.ALREADY_HANDLED).astype(np.int8)
        energy = np.where(listed, self.energy, 0.0)
        return Census(fate, energy, np.zeros_like(energy), energy, self.account)

    def per_event(self, offsets: Indices, much: Mask, listed: Mask) -> tuple[Indices, Floats]:
        """Numbers and energies (GeV), (events, fates) each, of particles with these offsets.

        Parameters
        ----------
        offsets
            (events + 1,) where each event's particles start.
        much
            (N,) whether what a particle left in front is more than matter takes.
        listed
            (N,) which particles are counted.
        """
        n_events, n_fates = len(offsets) - 1, len(FATES)
        event = owners(offsets) * n_fates
        size = n_events * n_fates
        own = event + _POSITION[self.fate]
        rest = event + np.where(much, *(_POSITION[fate] for fate in (Fate.LOST, Fate.ENDED_BEFORE)))
        shape = (n_events, n_fates)
        numbers: Indices = np.bincount(own[listed], minlength=size).reshape(shape)
        energies: Floats = np.bincount(
            np.concatenate([own, rest]), np.concatenate([self.energy, self.left]), size
        ).astype(np.float64)
        return numbers, energies.reshape(shape)

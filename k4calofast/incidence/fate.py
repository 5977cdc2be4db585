"""What became of each particle: the one list from which all counts are made."""

from __future__ import annotations

from enum import IntEnum


class Fate(IntEnum):
    """What the fast simulation did with a particle; every particle has exactly one.

    The first group has showered here, the second waits for another simulation and is
    written to the collection of particles not handled, the third needs none.
    """

    SHOWERED = 0
    CLAMPED = 1

    OTHER_KIND = 10
    OUT_OF_RANGE = 11
    BESIDE = 12
    GAP = 13
    NOT_CHOSEN = 14

    NOT_FINAL = 20
    ENDED_BEFORE = 21
    BORN_BEHIND = 22
    INVISIBLE = 23
    ALREADY_HANDLED = 24

    @property
    def handled_here(self) -> bool:
        """Whether the particle's shower was generated."""
        return self < Fate.OTHER_KIND

    @property
    def handed_on(self) -> bool:
        """Whether the particle still waits for a calorimeter simulation."""
        return Fate.OTHER_KIND <= self < Fate.NOT_FINAL

    @property
    def meaning(self) -> str:
        """One line for the summary at the end of a run."""
        return _MEANINGS[self]


_MEANINGS = {
    Fate.SHOWERED: "showered",
    Fate.CLAMPED: "showered at the edge of the model's range",
    Fate.OTHER_KIND: "a kind the model does not simulate",
    Fate.OUT_OF_RANGE: "outside the model's range",
    Fate.BESIDE: "does not reach this calorimeter (curls up, or passes beside it)",
    Fate.GAP: "passes through a gap between the cells",
    Fate.NOT_CHOSEN: "of a kind that PDG does not choose",
    Fate.NOT_FINAL: "not a final-state particle",
    Fate.ENDED_BEFORE: "decayed or stopped in front of the calorimeter",
    Fate.BORN_BEHIND: "born inside or behind the calorimeter",
    Fate.INVISIBLE: "a neutrino",
    Fate.ALREADY_HANDLED: "already handled by another fast simulation",
}

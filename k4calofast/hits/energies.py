"""Energies of hits that others made: what cannot be is refused before it is worked on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from k4calofast.events.columns import Contributions, Hits
from k4calofast.exceptions import InvalidEventError

EventName = Callable[[int], str]
"""Says which event of those that are worked on has this number, for a person."""


def check_energies(
    collection: str, hits: Hits, contributions: Contributions, name_of: EventName
) -> None:
    """Check the energies of hits and of their contributions.

    Parameters
    ----------
    collection
        Name of the hits' collection, for the message.

    Raises
    ------
    InvalidEventError
        If an energy is NaN, infinite or negative.
    """
    for what, energy, event in (
        ("hit", hits.energy, hits.event),
        ("contribution to a hit", contributions.energy, hits.event_of_contributions),
    ):
        bad = np.flatnonzero(~(np.isfinite(energy) & (energy >= 0)))
        if bad.size:
            raise InvalidEventError(
                f"{name_of(int(event[bad[0]]))}: a {what} of '{collection}' has an energy of "
                f"{energy[bad[0]]} GeV; energies are finite and not negative"
            )

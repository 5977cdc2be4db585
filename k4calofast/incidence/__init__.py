"""From particles to the conditions under which each of them meets the calorimeter."""

from k4calofast.incidence.arrival import Arrivals, arrive, follow
from k4calofast.incidence.conditions import (
    CONDITIONS,
    LAYER_CONDITIONS,
    Condition,
    conditions_for,
    conditions_of,
)
from k4calofast.incidence.fate import FATES, Census, Fate
from k4calofast.incidence.kinds import identified
from k4calofast.incidence.record import SMALLEST_MOMENTUM, Record
from k4calofast.incidence.start import much_is_left

__all__ = [
    "CONDITIONS",
    "FATES",
    "LAYER_CONDITIONS",
    "SMALLEST_MOMENTUM",
    "Arrivals",
    "Census",
    "Condition",
    "Fate",
    "Record",
    "arrive",
    "conditions_for",
    "conditions_of",
    "follow",
    "identified",
    "much_is_left",
]

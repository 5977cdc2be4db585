"""From particles to the conditions under which each of them meets the calorimeter."""

from k4calofast.incidence.arrival import Arrivals, arrive
from k4calofast.incidence.conditions import (
    CONDITIONS,
    LAYER_CONDITIONS,
    Condition,
    conditions_for,
    conditions_of,
)
from k4calofast.incidence.fate import Fate

__all__ = [
    "CONDITIONS",
    "LAYER_CONDITIONS",
    "Arrivals",
    "Condition",
    "Fate",
    "arrive",
    "conditions_for",
    "conditions_of",
]

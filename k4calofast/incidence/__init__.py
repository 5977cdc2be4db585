"""From particles to the conditions under which each of them meets the calorimeter."""

from k4calofast.incidence.arrival import Arrivals, arrive
from k4calofast.incidence.conditions import CONDITIONS, conditions_of
from k4calofast.incidence.fate import Fate

__all__ = ["CONDITIONS", "Arrivals", "Fate", "arrive", "conditions_of"]

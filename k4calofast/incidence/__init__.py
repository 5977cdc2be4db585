"""From particles to the conditions under which each of them meets the calorimeter."""

from k4calofast.incidence.arrival import Arrivals, arrive, follow
from k4calofast.incidence.fate import FATES, Census, Fate, Fates
from k4calofast.incidence.kinds import identified
from k4calofast.incidence.record import SMALLEST_MOMENTUM, Record
from k4calofast.incidence.start import much_is_left

__all__ = [
    "FATES",
    "SMALLEST_MOMENTUM",
    "Arrivals",
    "Census",
    "Fate",
    "Fates",
    "Record",
    "arrive",
    "follow",
    "identified",
    "much_is_left",
]

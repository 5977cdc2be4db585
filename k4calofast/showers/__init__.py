"""Single showers as columns: what full simulation makes, training and validation take."""

from k4calofast.showers.columns import Showers

__all__ = ["Showers"]

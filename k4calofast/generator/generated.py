"""What generators make: deposits in the places of windows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from k4calofast.arrays import Columns, Floats32, Indices
from k4calofast.exceptions import ModelError

_LARGEST = 1e12
"""No shower has as much energy (GeV) or takes as long (ns): below, no sum can overflow."""


@dataclass(frozen=True)
class Generated(Columns):
    """D deposits of some showers.

    Attributes
    ----------
    shower
        (D,) whose, in ascending order.
    place
        (D,) where in the window, counted with its last dimension the fastest.
    energy
        (D,) GeV, above 0.
    delay
        (D,) ns after light could have come straight from where the particle entered, or after the
        particle entered: see `k4calofast.generator.Model.after_light`.
    """

    shower: Indices
    place: Indices
    energy: Floats32
    delay: Floats32

    def __len__(self) -> int:
        return len(self.shower)

    def check(self, model: str, showers: int, places: int) -> None:
        """Make sure that these can be deposits of so many showers with so many places each.

        Raises
        ------
        ModelError
            If they cannot; the message names the model and what is wrong.
        """
        columns = self.arrays()
        lengths = {name: column.shape for name, column in columns.items()}
        if len(set(lengths.values())) > 1 or self.shower.ndim != 1:
            said = ", ".join(f"{name} of shape {list(shape)}" for name, shape in lengths.items())
            raise ModelError(f"model '{model}' gave deposits that do not fit together: {said}")
        for name, wanted in _TYPES.items():
            if columns[name].dtype != wanted:
                raise ModelError(f"model '{model}' gave '{name}' as {columns[name].dtype}")
        if not len(self):
            return
        if (self.shower[1:] < self.shower[:-1]).any():
            raise ModelError(f"model '{model}' gave showers that are not in ascending order")
        for name, values, number in (
            ("showers", self.shower, showers),
            ("places", self.place, places),
        ):
            # Negative numbers are the largest without a sign.
            if values.view(np.uint64).max() >= number:
                wrong = values[values.view(np.uint64) >= number][0]
                raise ModelError(
                    f"model '{model}' gave {name} that do not exist: {wrong} of {number}"
                )
        _check_range(model, "energies", "GeV", self.energy)
        _check_range(model, "delays", "ns", self.delay)

    @staticmethod
    def of_windows(energies: Floats32) -> Generated:
        """Deposits of energies (N, ...) in windows; without delay."""
        flat = energies.reshape(len(energies), int(np.prod(energies.shape[1:])))
        shower, place = np.nonzero(flat != 0)
        energy = flat[shower, place]
        return Generated(shower, place, energy, np.zeros(len(energy), np.float32))

    @staticmethod
    def none() -> Generated:
        """No deposits."""
        nowhere, nothing = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return Generated(nowhere, nowhere, nothing, nothing)

    def in_windows(self, showers: int, window: tuple[int, ...]) -> Floats32:
        """Energies (showers, *window) in GeV of so many showers, 0 where there is no deposit."""
        energies = np.zeros((showers, math.prod(window)), np.float32)
        np.add.at(energies, (self.shower, self.place), self.energy)
        return energies.reshape(showers, *window)

    def first(self, showers: int) -> Generated:
        """Return the deposits of the first showers."""
        return self.take(slice(0, int(np.searchsorted(self.shower, showers))))

    def moved(self, by: int) -> Generated:
        """Return the same for showers with so much larger numbers."""
        return replace(self, shower=self.shower + by)


_TYPES = {"shower": np.int64, "place": np.int64, "energy": np.float32, "delay": np.float32}


def check_windows(model: str, energies: Floats32, shape: tuple[int, ...]) -> Floats32:
    """Return energies in windows, after making sure that they can be that.

    Raises
    ------
    ModelError
        If their shape is not this one, or they are no energies; the message names the model.
    """
    if energies.shape != shape or energies.dtype != np.float32:
        raise ModelError(
            f"model '{model}' gave {energies.dtype} of shape {list(energies.shape)}, not float32 "
            f"of shape {list(shape)}"
        )
    _check_range(model, "energies", "GeV", energies)
    return energies


def _check_range(model: str, what: str, unit: str, values: Floats32) -> None:
    # Both are NaN if any value is.
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= _LARGEST):
        wrong = values[~((values >= 0) & (values <= _LARGEST))].flat[0]
        raise ModelError(
            f"model '{model}' gave {what} that are NaN, negative or above {_LARGEST:g} {unit}: "
            f"{wrong:g}"
        )

"""From energy deposits to what the electronics would have measured.

A cell's signal is its deposit E, calibrated, with three independent Gaussian errors:

- light: sqrt(E / light yield), the statistics of photoelectrons;
- noise: a constant, from the electronics;
- uniformity: a fraction of E.

What is below the threshold is not read out. Cells without a deposit have no signal: noise alone
makes no hits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Floats32, IDs, Indices, Ints, ranks
from k4calofast.events.columns import Contributions, EventKeys, Hits
from k4calofast.events.keys import SeenKeys, unique
from k4calofast.hits.energies import check_energies
from k4calofast.noise import normal_noise
from k4calofast.properties import CaloDigitiserProperties

_MEV = 1e-3


@dataclass(frozen=True)
class Digits:
    """Measured hits of E events; D in all.

    Attributes
    ----------
    offsets
        (E + 1,) the hits of event i are ``offsets[i]:offsets[i + 1]``.
    hit
        (D,) index, in its event's collection, of the simulated hit behind each.
    cell_id
        (D,) cell IDs.
    energy, energy_error
        (D,) GeV, calibrated.
    time
        (D,) ns, of the earliest contribution.
    position
        (D, 3) mm, cell centres.
    """

    offsets: Indices
    hit: Ints
    cell_id: IDs
    energy: Floats32
    energy_error: Floats32
    time: Floats32
    position: Floats32

    @property
    def members(self) -> dict[str, npt.NDArray[Any]]:
        """What EDM4hep's CalorimeterHits hold beside their type, by their names for it."""
        return {
            "cellID": self.cell_id,
            "energy": self.energy,
            "energyError": self.energy_error,
            "time": self.time,
            "position": self.position,
        }


@dataclass
class ReadOut:
    """What the electronics did in a run: simulated and measured hits, and their energy (GeV)."""

    simulated: int = 0
    measured: int = 0
    deposited: float = 0.0
    below_threshold: float = 0.0
    energy: float = 0.0

    def lines(self) -> list[str]:
        """Lines for a person."""
        return [
            f"{self.simulated} simulated hits, {self.measured} measured; energy (GeV): "
            f"{self.deposited:.6g} deposited, {self.below_threshold:.6g} of it in hits below the "
            f"threshold, {self.energy:.6g} measured"
        ]


class Digitiser:
    """Electronics; the errors of a cell depend on seed, run, event and cell alone."""

    def __init__(self, properties: CaloDigitiserProperties) -> None:
        self.properties = properties
        self.read_out = ReadOut()
        self.keys = SeenKeys()

    def digitise(self, keys: EventKeys, hits: Hits, contributions: Contributions) -> Digits:
        """Digitise the hits of E events.

        Raises
        ------
        InvalidEventError
            If an energy is NaN, infinite or negative, or if the steering says to fail at numbers
            that repeat.
        """
        p = self.properties
        check_energies(
            p.InputHits[0],
            hits,
            contributions,
            lambda i: f"run {keys.run[i]}, event {keys.event[i]}",
        )
        with_hits = np.flatnonzero(np.diff(hits.offsets))
        keys = unique(keys, p.RepeatedKeys, self.keys, with_hits)
        event = hits.event
        deposit = hits.energy.astype(np.float64)
        errors = self._errors(deposit)
        draws = normal_noise(
            keys.seeds(p.Seed)[event], keys.run[event], keys.event[event], hits.cell_id, len(errors)
        ).astype(np.float64)
        signal = deposit + (draws * np.stack(errors, axis=1)).sum(1)
        seen = signal >= p.Threshold * _MEV
        energy = signal[seen] * p.Calibration
        uncertainty = np.sqrt(np.square(self._errors(np.maximum(signal[seen], 0))).sum(0))
        time = hits.times(contributions)
        self.read_out.simulated += len(seen)
        self.read_out.measured += int(seen.sum())
        self.read_out.deposited += float(deposit.sum())
        self.read_out.below_threshold += float(deposit[~seen].sum())
        self.read_out.energy += float(energy.sum())
        return Digits(
            np.concatenate([[0], np.cumsum(seen)])[hits.offsets],
            ranks(hits.offsets)[seen].astype(np.int32),
            hits.cell_id[seen],
            energy.astype(np.float32),
            (uncertainty * p.Calibration).astype(np.float32),
            time[seen],
            hits.position[seen],
        )

    def lines(self) -> list[str]:
        """Lines for the end of the run."""
        return [*self.read_out.lines(), *self.keys.lines()]

    def _errors(self, energy: Floats) -> tuple[Floats, Floats, Floats]:
        p = self.properties
        light = np.sqrt(energy / p.LightYield * _MEV) if p.LightYield else np.zeros_like(energy)
        return light, np.full_like(energy, p.Noise * _MEV), p.Uniformity * energy

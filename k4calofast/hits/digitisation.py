"""From energy deposits to what the electronics would have measured.

A cell's signal is its deposit E times the cell's response, with three independent Gaussian errors:

- light: sqrt(E / light yield), the statistics of photoelectrons;
- noise: that of the electronics, in every cell; where there is no deposit, it has a mean;
- uniformity: a fraction of E, by which the light varies with the depth of a deposit in the cell.

What is below the threshold is not read out. Cells without a deposit are read out where their noise
is above it. Calibration makes energies of signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast import detector
from k4calofast.arrays import Columns, Floats, Floats32, IDs, Indices, Ints, ranks
from k4calofast.detector import Calorimeter
from k4calofast.events.columns import Contributions, EventKeys, Hits
from k4calofast.events.keys import SeenKeys, unique
from k4calofast.exceptions import InvalidEventError, SteeringError
from k4calofast.hits.calibration import CellCalibration, calibrations
from k4calofast.hits.energies import check_energies
from k4calofast.noise import cell_words, normal_noise
from k4calofast.properties import CaloDigitiserProperties

_MEV = 1e-3
_MOST_CELLS = 100_000
"""In a calorimeter whose empty cells have noise: all of them draw it in every event."""

_EVENTS_AT_ONCE = 64
_WORD = 32
"""Bits for the noise of a cell, and as many for its time."""

NO_HIT = -1
"""In place of the simulated hit behind a digit of noise alone."""

_quantile = np.frompyfunc(NormalDist().inv_cdf, 1, 1)


@dataclass(frozen=True)
class Digits:
    """Measured hits of E events; D in all.

    In each event, those with a deposit come first, in the order of the simulated hits, then those
    of noise alone, in the order of the cells.

    Attributes
    ----------
    offsets
        (E + 1,) the hits of event i are ``offsets[i]:offsets[i + 1]``.
    hit
        (D,) index, in its event's collection, of the simulated hit behind each, or `NO_HIT`.
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
    """What the electronics did with a collection in a run: numbers, and energies in GeV.

    Attributes
    ----------
    simulated, measured
        Simulated hits, and those of them that were measured.
    deposited, below_threshold, dead, energy
        In simulated hits; in those of them below the threshold, and in dead cells; and what was
        measured of them.
    empty, noise, noise_energy
        Cells without a deposit that could be read out; those that were, and their energy.
    """

    simulated: int = 0
    measured: int = 0
    deposited: float = 0.0
    below_threshold: float = 0.0
    dead: float = 0.0
    energy: float = 0.0
    empty: int = 0
    noise: int = 0
    noise_energy: float = 0.0

    def lines(self, collection: str) -> list[str]:
        """Lines for a person."""
        lines = [
            f"{collection}: {self.simulated} simulated hits, {self.measured} measured; energy "
            f"(GeV): {self.deposited:.6g} deposited, {self.below_threshold:.6g} of it in hits "
            f"below the threshold, {self.dead:.6g} in dead cells, {self.energy:.6g} measured"
        ]
        if self.empty:
            share = 100 * self.noise / self.empty
            lines.append(
                f"{collection}: {self.noise} hits of noise alone, {share:.3g} % of the cells "
                f"without a deposit, with {self.noise_energy:.6g} GeV"
            )
        return lines


@dataclass(frozen=True)
class _Cells:
    """The cells of a collection of hits, where these are known."""

    calorimeter: Calorimeter
    calibration: CellCalibration

    def of_hits(self, collection: str, hits: Hits, keys: EventKeys) -> Indices:
        """(H,) cell of each hit.

        Raises
        ------
        InvalidEventError
            If there is none of a hit's ID.
        """
        cells = self.calorimeter.cell_of(hits.cell_id)
        strange = np.flatnonzero(cells < 0)
        if strange.size:
            event = hits.event[strange[0]]
            raise InvalidEventError(
                f"run {keys.run[event]}, event {keys.event[event]}: a hit of '{collection}' has "
                f"the cell ID {hits.cell_id[strange[0]]}, which is no cell of "
                f"{self.calorimeter.name}; set Detectors to the calorimeter of these hits, or to "
                "none"
            )
        return cells


@dataclass(frozen=True)
class _Seen(Columns):
    """Signals above the threshold, N in all, not yet in their order; see `Digits`.

    Attributes
    ----------
    event
        (N,) of each.
    signal, constant
        (N,) GeV, and what makes energies of them.
    """

    event: Indices
    hit: Indices
    cell_id: IDs
    signal: Floats
    constant: Floats
    time: Floats
    position: npt.NDArray[np.floating[Any]]


@dataclass
class Digitiser:
    """Electronics; what is random in a cell depends on seed, run, event and cell alone.

    Raises
    ------
    SteeringError
        If there are not as many outputs, or detectors, as inputs, or if properties need detectors
        and there are none.
    K4CaloFastError
        If there is no such detector, or if a file of calibration is none.
    """

    properties: CaloDigitiserProperties
    read_out: list[ReadOut] = field(init=False)
    keys: SeenKeys = field(default_factory=SeenKeys)

    def __post_init__(self) -> None:
        p = self.properties
        self.read_out = [ReadOut() for _ in p.InputHits]
        inputs = f"InputHits {len(p.InputHits)} collections"
        for name in ("OutputHits", "OutputLinks"):
            number = len(getattr(p, name))
            if number != len(p.InputHits):
                raise SteeringError(f"{name} names {number}, {inputs}; give one for each")
        if len(p.Detectors) not in (0, len(p.InputHits)):
            raise SteeringError(
                f"Detectors names {len(p.Detectors)} calorimeters, {inputs}; give one for each, or "
                "none"
            )
        for name in ("CalibrationFile", "DeadCells"):
            if getattr(p, name) and not p.Detectors:
                raise SteeringError(
                    f"{name} is of single cells: name their calorimeters in Detectors"
                )
        if p.NoiseTimes[0] > p.NoiseTimes[1]:
            raise SteeringError(f"NoiseTimes {p.NoiseTimes}: the earliest is after the latest")
        calorimeters = [detector.load(name) for name in p.Detectors]
        if len({one.name for one in calorimeters}) < len(calorimeters):
            raise SteeringError(
                f"Detectors names {', '.join(p.Detectors)}: each calorimeter has one collection"
            )
        self._noisy = bool(p.EmptyCells and calorimeters and (p.Noise or p.NoiseMean))
        for calorimeter in calorimeters:
            if self._noisy and calorimeter.n_cells > _MOST_CELLS:
                raise SteeringError(
                    f"{calorimeter.name} has {calorimeter.n_cells} cells, and noise in those "
                    f"without a deposit is for {_MOST_CELLS} at most: set EmptyCells to False"
                )
        known = calibrations(p.CalibrationFile, p.DeadCells, calorimeters)
        cells = [_Cells(*both) for both in zip(calorimeters, known, strict=True)]
        self._cells: list[_Cells | None] = [*cells] or [None for _ in p.InputHits]

    def digitise(
        self, keys: EventKeys, collections: Sequence[tuple[Hits, Contributions]]
    ) -> list[Digits]:
        """Digitise the hits of E events, a collection for each of InputHits.

        Raises
        ------
        InvalidEventError
            If an energy is NaN, infinite or negative, if a cell ID is none of the detector's, or if
            the steering says to fail at numbers that repeat.
        """
        p = self.properties
        given = list(zip(p.InputHits, collections, strict=True))
        for name, (hits, contributions) in given:
            check_energies(
                name, hits, contributions, lambda i: f"run {keys.run[i]}, event {keys.event[i]}"
            )
        random = np.full(len(keys), self._noisy)
        for _, (hits, _) in given:
            random |= np.diff(hits.offsets) > 0
        named = unique(keys, p.RepeatedKeys, self.keys, np.flatnonzero(random))
        return [
            self._digitised(name, named, *both, cells, read_out)
            for (name, both), cells, read_out in zip(given, self._cells, self.read_out, strict=True)
        ]

    def lines(self) -> list[str]:
        """Lines for the end of the run."""
        named = zip(self.properties.InputHits, self.read_out, strict=True)
        lines = [line for name, read_out in named for line in read_out.lines(name)]
        return [*lines, *self.keys.lines()]

    def _digitised(
        self,
        name: str,
        keys: EventKeys,
        hits: Hits,
        contributions: Contributions,
        cells: _Cells | None,
        read_out: ReadOut,
    ) -> Digits:
        cell = np.zeros(0, np.int64)
        known = CellCalibration.ideal(len(hits.energy))
        if cells is not None:
            cell = cells.of_hits(name, hits, keys)
            known = cells.calibration.take(cell)
        parts = [self._of_deposits(keys, hits, contributions, known, read_out)]
        if cells is not None and self._noisy:
            for first in range(0, len(keys), _EVENTS_AT_ONCE):
                part = slice(first, first + _EVENTS_AT_ONCE)
                parts.append(self._of_noise(keys, part, hits, cells, cell, read_out))
        seen = _Seen.concatenate(parts)
        counts = np.bincount(seen.event, minlength=len(keys))
        seen = seen.take(np.argsort(seen.event, kind="stable"))
        factor = self.properties.Calibration * seen.constant
        uncertainty = np.sqrt(np.square(self._errors(np.maximum(seen.signal, 0))).sum(0))
        return Digits(
            np.concatenate([[0], np.cumsum(counts)]),
            seen.hit.astype(np.int32),
            seen.cell_id,
            (seen.signal * factor).astype(np.float32),
            (uncertainty * factor).astype(np.float32),
            seen.time.astype(np.float32),
            seen.position.astype(np.float32),
        )

    def _of_deposits(
        self,
        keys: EventKeys,
        hits: Hits,
        contributions: Contributions,
        known: CellCalibration,
        read_out: ReadOut,
    ) -> _Seen:
        """Signals of cells with a deposit, of whose cells this is known."""
        p = self.properties
        event = hits.event
        deposit = hits.energy.astype(np.float64)
        light = deposit * known.response
        errors = self._errors(light)
        draws = normal_noise(
            keys.seeds(p.Seed)[event],
            keys.run[event],
            keys.event[event],
            hits.cell_id,
            len(errors) + 1,
        ).astype(np.float64)
        signal = light + (draws[:, :-1] * np.stack(errors, axis=1)).sum(1)
        measured = ~known.dead & (signal >= p.Threshold * _MEV)
        read_out.simulated += len(deposit)
        read_out.measured += int(measured.sum())
        read_out.deposited += float(deposit.sum())
        read_out.dead += float(deposit[known.dead].sum())
        read_out.below_threshold += float(deposit[~known.dead & ~measured].sum())
        read_out.energy += float((signal * known.constant)[measured].sum() * p.Calibration)
        return _Seen(
            event,
            ranks(hits.offsets),
            hits.cell_id,
            signal,
            known.constant,
            hits.times(contributions) + p.TimeResolution * draws[:, -1],
            hits.position,
        ).take(measured)

    def _of_noise(
        self,
        keys: EventKeys,
        part: slice,
        hits: Hits,
        cells: _Cells,
        cell: Indices,
        read_out: ReadOut,
    ) -> _Seen:
        """Signals of cells without a deposit, of some of the events.

        Every cell has its random number. How large it must be for a signal above the threshold is
        known before, so that it is made a normal number for few of them.
        """
        p = self.properties
        calorimeter, number = cells.calorimeter, cells.calorimeter.n_cells
        run, event = keys.run[part], keys.event[part]
        words = cell_words(keys.seeds(p.Seed)[part], run, event, number, calorimeter.noise_key)
        free = np.tile(~cells.calibration.dead, (len(run), 1))
        rows = slice(hits.offsets[part.start], hits.offsets[part.start + len(run)])
        free[hits.event[rows] - part.start, cell[rows]] = False
        found = np.flatnonzero(free & (words >= self._least_word()))
        word = words.reshape(-1)[found]
        uniform = ((word >> np.uint64(_WORD)).astype(np.float64) + 0.5) * 2.0**-_WORD
        signal = (p.NoiseMean + p.Noise * np.asarray(_quantile(uniform), np.float64)) * _MEV
        above = signal >= p.Threshold * _MEV
        word, signal = word[above], signal[above]
        row, where = np.divmod(found[above], number)
        constant = cells.calibration.constant[where]
        first, last = p.NoiseTimes
        late = ((word & np.uint64((1 << _WORD) - 1)).astype(np.float64) + 0.5) * 2.0**-_WORD
        read_out.empty += int(free.sum())
        read_out.noise += len(signal)
        read_out.noise_energy += float((signal * constant).sum() * p.Calibration)
        return _Seen(
            row + part.start,
            np.full(len(row), NO_HIT),
            calorimeter.cell_id(where),
            signal,
            constant,
            first + late * (last - first),
            calorimeter.centre(where),
        )

    def _least_word(self) -> np.uint64:
        """Bits of a cell from which on its noise may be above the threshold."""
        p = self.properties
        over = p.Threshold - p.NoiseMean
        if not p.Noise:
            return np.uint64(0 if over <= 0 else (1 << 64) - 1)
        share = NormalDist().cdf(over / p.Noise)
        # A few steps less, as the exact signal decides.
        return np.uint64(min(max(int(share * 2.0**_WORD) - 4, 0), (1 << _WORD) - 1) << _WORD)

    def _errors(self, energy: Floats) -> tuple[Floats, Floats, Floats]:
        p = self.properties
        light = np.sqrt(energy / p.LightYield * _MEV) if p.LightYield else np.zeros_like(energy)
        return light, np.full_like(energy, p.Noise * _MEV), p.Uniformity * energy

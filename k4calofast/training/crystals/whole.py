"""From windows to all crystals: a generator of windows, with a halo and with times.

This is a layer on top of any family of windows, and the same for all. It takes tables from the
sample, and trains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from k4calofast import detector
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.showers.crystals.outcomes import SHOWERING
from k4calofast.training.crystals.deposits import (
    WHOLE,
    Deposits,
    around,
    opposite,
    place_at,
    place_in_whole,
)
from k4calofast.training.crystals.family import CrystalFamily, uniform_of
from k4calofast.training.crystals.halo import Halo
from k4calofast.training.crystals.patterns import Size
from k4calofast.training.crystals.sample import Sample, mirrored
from k4calofast.training.crystals.times import Times
from k4calofast.training.family import Family, Range, Signature, Stage
from k4calofast.training.sums import sums

HALO = Size(patterns=30_000, hard=75_000, bin=50)
HALO_OF_SHOWERS = Size(patterns=40_000, hard=300_000, bin=50)
"""What is kept of the halo, and of that of photons and electrons, all of whose deposits are kept as
they lay."""


class Existing(nn.Module):
    """Places where there is a crystal, for those of showers that entered elsewhere.

    A pattern of a shower that entered another row may have places beyond the last row, or further
    around than there are crystals in a row. They go to the last row, and on around.

    Parameters
    ----------
    generator
        Whose calorimeter it is, and which conditions there are.

    Attributes
    ----------
    middles
        (rows - 1,) of z, or of r, between the fronts of neighbouring rows of the calorimeter.
    sizes
        (rows,) crystals in each row, of all that windows go on to.
    """

    middles: Tensor
    sizes: Tensor

    def __init__(self, generator: CrystalFamily) -> None:
        super().__init__()
        calorimeter: Any = detector.load(generator.shape.detector)
        names = generator.conditions
        at, off = ("z", "delta_z_pos") if "z" in names else ("r", "delta_r_pos")
        self.at, self.off = names.index(at), names.index(off)
        sizes = calorimeter.rows.sizes
        rows, first = np.unique(calorimeter.rows.row[calorimeter.own], return_index=True)
        # Rows that lie one behind the other: of the endcaps, those of the first.
        count = int(np.append(np.flatnonzero(np.diff(rows) > 1) + 1, len(rows))[0])
        fronts = calorimeter.front_centre(first[:count])
        values = fronts[:, 2] if "z" in names else np.hypot(fronts[:, 0], fronts[:, 1])
        self.first, self.rising = int(rows[0]), bool(values[-1] > values[0])
        middles = torch.from_numpy((values[1:] + values[:-1]) / 2).float()
        self.register_buffer("middles", middles)
        self.register_buffer("sizes", torch.from_numpy(np.asarray(sizes)))

    def entered(self, conditions: Tensor) -> Tensor:
        """Rows (N,) of the crystals that are entered, for conditions (N, conditions)."""
        value = (conditions[:, self.at] - conditions[:, self.off])[:, None]
        beyond = value > self.middles if self.rising else value < self.middles
        return self.first + beyond.to(torch.int64).sum(1)

    def forward(self, place: Tensor, entered: Tensor) -> Tensor:
        """Return existing places (D,) in `WHOLE` for places (D,) from entered rows (D,)."""
        down, across = around(place)
        row = (entered + down).clamp(0, len(self.sizes) - 1)
        size = self.sizes[row]
        half = size.div(2, rounding_mode="floor")
        across = across - (across + half).div(size, rounding_mode="floor") * size
        return place_at(row - entered, across)


class Whole(Family):
    """A generator of windows, with a halo and with times.

    Parameters
    ----------
    generator
        Any trained family of windows; it stays as it is.
    """

    interface = "hits"
    place: Tensor

    def __init__(self, generator: CrystalFamily) -> None:
        super().__init__(generator.settings, generator.shape)
        self.generator = generator
        kinds = generator.features.kinds
        self.halo = Halo(kinds, generator.threshold)
        self.times = Times(kinds, generator.window, generator.features.ionisation)
        self.existing = Existing(generator)
        self.register_buffer("place", torch.from_numpy(place_in_whole(generator.window)))
        self.noise = generator.noise + self.times.noise + self.halo.noise

    def _features(self) -> None:
        """It has none of its own."""

    def prepare(self, sample: tuple[Sample, Deposits]) -> None:
        """Take the tables from a sample, and its deposits."""
        showers, deposits = sample
        inside = deposits.within(self.generator.window)
        self.times.fit(showers, deposits.where(inside))
        entered = self.existing.entered(showers.conditions)
        kinds = set(self.generator.features.kinds.tolist())
        size = HALO_OF_SHOWERS if kinds <= set(SHOWERING) else HALO
        self.halo.fit(showers, deposits.where(~inside), entered, size, self.settings.seed)

    def stages(self, sample: Any) -> Iterator[Stage]:  # noqa: ARG002 - nothing is trained
        """Yield nothing."""
        yield from ()

    def forward(
        self, noise: Tensor, conditions: Tensor, pdg: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Generate showers: what the ONNX file does.

        Parameters
        ----------
        noise, conditions, pdg
            As for `CrystalFamily.forward`.

        Returns
        -------
        tuple of Tensor
            Shower, place in `WHOLE`, energy (GeV) and delay (ns), (D,) each, of D deposits.
        """
        generator = self.generator
        if pdg is None:
            pdg = generator.features.kinds[:1].expand(len(conditions))
        conditions, other = mirrored(conditions, generator.conditions)
        first, last = generator.noise, generator.noise + self.times.noise
        window = generator.generate(noise[:, :first], pdg, conditions)
        available = generator.available(pdg, conditions)
        uniform = uniform_of(noise[:, last:])
        halo = self.halo(uniform, pdg, conditions, window, available)
        energies = torch.cat([window, halo.energy], 1)
        shower, number = (energies > 0).nonzero().unbind(1)
        energy = energies.flatten()[shower * energies.shape[1] + number]
        inside = number < window.shape[1]
        cell = number.clamp(max=window.shape[1] - 1)
        outside = (number - window.shape[1]).clamp(min=0)
        kept = halo.number.flatten()[shower * halo.number.shape[1] + outside]
        mine, entered = uniform[shower], self.existing.entered(conditions)[shower]
        away = self.existing(self.halo.places_of(kept, mine, entered), entered)
        place = torch.where(inside, self.place[cell], away)
        of = (shower, cell, energy)
        delays = self.times(noise[:, first:last], pdg, conditions, sums(window), of)
        delay = torch.where(inside, delays, self.halo.delays_of(kept, mine))
        if other is not None:
            place = torch.where(other[shower], opposite(place), place)
        return shower, place, energy, delay

    def signature(self, count: int) -> Signature:
        """See `Family.signature`."""
        inputs = dict(self.generator.signature(count).inputs)
        inputs["noise"] = torch.zeros(count, self.noise)
        return Signature(inputs, dict.fromkeys(_OUTPUTS, ("D", ())))

    @property
    def threshold(self) -> float:
        """The generator's."""
        return self.generator.threshold

    @property
    def block(self) -> int:
        """The generator's."""
        return self.generator.block

    @property
    def window(self) -> tuple[int, int]:
        """All crystals."""
        return WHOLE

    @property
    def title(self) -> str:
        """The generator's, and what this adds."""
        return f"{self.generator.title}; halo and times from tables"

    def coverage(
        self, sample: Mapping[int, Mapping[str, Range]]
    ) -> dict[int, dict[str, tuple[float, float]]]:
        """The generator's."""
        return self.generator.coverage(sample)

    def method(self) -> str:
        """The generator's."""
        return self.generator.method()


_OUTPUTS = ("shower", "place", "energy", "delay")


def whole(family: CrystalFamily, showers: CrystalShowers, sample: Sample) -> Family:
    """Return a trained generator as it is exported: with all crystals, if the sample has them."""
    deposits = deposits_of(showers, family)
    if deposits is None:
        return family
    result = Whole(family)
    with torch.no_grad():
        result.prepare((sample, deposits))
    return result.eval()


def deposits_of(showers: CrystalShowers, family: CrystalFamily) -> Deposits | None:
    """Deposits of showers in all crystals, mirrored; None where the sample has windows alone."""
    if not showers.whole:
        return None
    hits = showers.hits()
    calorimeter: Any = detector.load(family.shape.detector)
    lit = hits.energy > family.threshold
    shower = hits.shower[lit]
    entered = hits.cell[shower].astype(np.int64)
    place = calorimeter.place_of(entered, hits.crystal[lit].astype(np.int64), WHOLE)
    columns = [hits.condition(name) for name in family.conditions]
    conditions = torch.from_numpy(np.stack(columns, 1).astype(np.float32))
    _, other = mirrored(conditions, family.conditions)
    if other is not None:
        place = np.where(other.numpy()[shower], opposite(place), place)
    counts = np.bincount(shower, minlength=len(hits))
    return Deposits(np.append(0, np.cumsum(counts)), place, hits.energy[lit], hits.time[lit])

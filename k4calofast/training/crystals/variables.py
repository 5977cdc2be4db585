"""What the network sees of a shower: one number per cell, and one for the missing energy.

Energies of cells span five orders of magnitude, most cells are empty, and below a few MeV the
spectrum has a shape of its own: the line at 511 keV, the Compton edges, the threshold. The same
is true of the energy that is missing from the window. So each number is

- below `EDGE`: linear in the rank of the energy among all small energies of the sample, which
  makes any spectrum flat;
- above: a power of the energy, between the logarithm, whose errors grow with the energy, and the
  energy itself, which would hide small ones;
- for an empty cell (and for no missing energy): noise around `EMPTY`, well apart from the rest,
  so that whether a cell is lit is a cut in the middle of the gap.

"No missing energy" means less than 1 keV, where atomic effects and rounding leave a spectrum; the
noise decides where in it.

All numbers are then shifted and scaled to mean 0 and width 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from k4calofast.arrays import Floats
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.tables import read
from k4calofast.training.sums import sums

EDGE = 3e-3
"""GeV: below, energies are ranked."""

EMPTY, EMPTY_WIDTH, CUT = -2.5, 0.4, -1.0
"""Centre and width of the noise of empty cells, and where they end."""

POWER = 0.2
"""Of the energy above `EDGE`."""

SPAN = 4.5
"""Length of the ranked part."""

LEAST_MISSING = 1e-6
"""GeV: less than this is no missing energy, but binding energies of atoms and rounding."""

_WEIGHT_OF_MISSING = 5.0
_LEAST_BOUND = 5.5
_KNOTS = 512
_TABLE = 2048
_GAP, _LOWEST = 256, -4.5
"""Entries of the table for numbers between `_LOWEST` and `CUT`."""

TOP = 7.0
"""Below this number (22 MeV), energies are read from a table."""

_JITTER = 5e-4
"""Relative; spreads lines like that at 511 keV over an interval that ranks can resolve."""


class Scale(nn.Module):
    """A monotone map between energies (GeV) and numbers; see the module's text."""

    knots: Tensor
    table: Tensor
    gap: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gap", torch.zeros(_GAP + 1))
        self.register_buffer("knots", torch.linspace(0.0, EDGE, _KNOTS + 1))
        self.register_buffer("table", torch.zeros(_TABLE + 1))
        self._tabulate()

    def fit(self, energies: Floats) -> None:
        """Take the ranks from these energies (GeV)."""
        small = energies[energies < EDGE]
        if not len(small):
            return
        knots = np.quantile(small, np.linspace(0.0, 1.0, _KNOTS + 1))
        knots[-1] = EDGE
        self.knots.copy_(torch.from_numpy(knots))
        self._tabulate()

    def encode(self, energies: Floats) -> Floats:
        """Numbers of energies (GeV) > 0."""
        knots = self.knots.double().numpy()
        ranked = np.interp(energies, knots, np.linspace(0.0, SPAN, _KNOTS + 1))
        above = SPAN + ((np.maximum(energies, EDGE) / EDGE) ** POWER - 1) / POWER
        return np.where(energies < EDGE, ranked, above)

    def decode(self, numbers: Tensor) -> Tensor:
        """Energies (GeV) of numbers above `CUT`."""
        tabulated = read(self.table, (numbers - CUT) * (_TABLE / (TOP - CUT)))
        return torch.where(numbers < TOP, tabulated, power_energy(numbers))

    def decode_gap(self, numbers: Tensor) -> Tensor:
        """Energies (GeV) of numbers below `CUT`, where these are not nothing."""
        return read(self.gap, (numbers - _LOWEST) * (_GAP / (CUT - _LOWEST)))

    def match_gap(self, numbers: Floats, energies: Floats) -> None:
        """Change `decode_gap` so that these numbers have the spectrum of these energies (GeV)."""
        numbers = numbers[numbers <= CUT]
        if len(numbers) == 0 or len(energies) == 0:
            return
        ranks = np.linspace(0.0, 1.0, _GAP + 1)
        places = np.linspace(_LOWEST, CUT, _GAP + 1)
        of_places = np.interp(places, np.quantile(numbers, ranks), ranks)
        self.gap.copy_(torch.from_numpy(np.quantile(energies, of_places)))

    def _tabulate(self) -> None:
        """Invert `encode`; numbers in the gap are mirrored out of it."""
        numbers = np.abs(np.linspace(CUT, TOP, _TABLE + 1))
        ranked = np.interp(numbers, np.linspace(0.0, SPAN, _KNOTS + 1), self.knots.double().numpy())
        above = power_energy(torch.from_numpy(numbers)).numpy()
        self.table.copy_(torch.from_numpy(np.where(numbers < SPAN, ranked, above)))

    def match(self, numbers: Floats, energies: Floats) -> None:
        """Change `decode` so that these generated numbers have the spectrum of these energies.

        Parameters
        ----------
        numbers
            Generated numbers, those of nothing among them.
        energies
            Energies (GeV) of the sample, without nothing.
        """
        top = float(power_energy(torch.tensor(TOP)))
        numbers = numbers[(numbers > CUT) & (numbers < TOP)]
        energies = energies[energies < top]
        if len(numbers) == 0 or len(energies) == 0:
            return
        ranks = np.linspace(0.0, 1.0, _TABLE + 1)
        ends = [CUT, *np.quantile(numbers, ranks)[1:-1], TOP]
        spectrum = np.quantile(energies, ranks)
        spectrum[-1] = top
        self.table.copy_(
            torch.from_numpy(np.interp(np.linspace(CUT, TOP, _TABLE + 1), ends, spectrum))
        )


def above_edge(energies: Tensor) -> Tensor:
    """Numbers of energies (GeV) above `EDGE`."""
    return SPAN + ((energies.clamp(min=EDGE) / EDGE) ** POWER - 1) / POWER


def power_energy(numbers: Tensor) -> Tensor:
    """Energies (GeV) of numbers above `SPAN`."""
    return EDGE * (1 + POWER * (numbers - SPAN).clamp(min=0.0)) ** (1 / POWER)


class ShowerVariables(nn.Module):
    """Numbers (N, cells + 1) of showers, and showers of numbers.

    Parameters
    ----------
    cells
        Number of cells in a window.
    threshold
        GeV; cells below have no energy.

    Attributes
    ----------
    weight
        (cells + 1,) of each number's error in training.
    low, high
        (cells + 1,) smallest and largest standardised numbers of the sample.
    """

    mean: Tensor
    width: Tensor
    weight: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, cells: int, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.cell = Scale()
        self.missing = Scale()
        self.register_buffer("mean", torch.zeros(cells + 1))
        self.register_buffer("width", torch.ones(cells + 1))
        self.register_buffer("weight", torch.ones(cells + 1))
        self.register_buffer("low", torch.full((cells + 1,), -_LEAST_BOUND))
        self.register_buffer("high", torch.full((cells + 1,), _LEAST_BOUND))

    @property
    def dimension(self) -> int:
        """Numbers per shower."""
        return len(self.mean)

    def fit(self, sample: Sample, seed: int) -> Tensor:
        """Fit the scales to a sample.

        Returns
        -------
        Tensor
            (N, cells + 1) the sample's numbers before the shift and scale; NaN for empty.
        """
        random = np.random.default_rng(seed)

        def spread(energies: Floats) -> Floats:
            return energies * (1 + _JITTER * random.uniform(-1, 1, energies.shape))

        energies = sample.energies.double().numpy()
        missing = sample.available.double().numpy() - energies.sum(1)
        numbers = np.full((len(sample), self.dimension), np.nan, np.float32)
        for scale, columns, values, least in (
            (self.cell, slice(0, -1), energies, self.threshold),
            (self.missing, slice(-1, None), missing[:, None], LEAST_MISSING),
        ):
            lit = values > least
            spreaded = np.maximum(spread(values[lit]), least)
            scale.fit(spreaded)
            numbers[:, columns][lit] = scale.encode(spreaded)
        result = torch.from_numpy(numbers)
        filled = self._filled(result, torch.Generator().manual_seed(seed))
        none = missing <= LEAST_MISSING
        self.missing.match_gap(filled[:, -1].double().numpy()[none], missing[none].clip(0.0))
        self.mean.copy_(filled.mean(0))
        self.width.copy_(filled.std(0))
        standard = (filled - self.mean) / self.width
        self.low.copy_(standard.amin(0).clamp(max=-_LEAST_BOUND))
        self.high.copy_(standard.amax(0).clamp(min=_LEAST_BOUND))
        # What carries energy counts more, the missing energy most: it sets the response.
        share = torch.from_numpy(energies.mean(0) / energies.mean(0).sum())
        self.weight[:-1] = 1 + share.sqrt()
        self.weight[-1] = _WEIGHT_OF_MISSING
        self.weight /= self.weight.mean()
        return result

    def encode(self, numbers: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Standardised numbers, with fresh noise where `fit` left NaN."""
        return (self._filled(numbers, generator) - self.mean) / self.width

    def bounded(self, standardised: Tensor) -> Tensor:
        """Standardised numbers within what the sample and noise span.

        Beyond, a network extrapolates without limit: a few showers in 100 000 would run away.
        """
        return torch.minimum(torch.maximum(standardised, self.low), self.high)

    def decode(
        self,
        standardised: Tensor,
        available: Tensor,
        cells: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Energies of showers.

        Parameters
        ----------
        standardised
            (N, cells + 1).
        available
            (N,) GeV.
        cells
            What makes energies (N, cells) of numbers (N, cells) and available energies, if it is
            not the scale of all cells.

        Returns
        -------
        Tensor
            (N, cells) GeV.
        """
        numbers = self.numbers(standardised)
        numbers, last = numbers[:, :-1], numbers[:, -1]
        if cells is None:
            energies = torch.where(numbers > CUT, self.cell.decode(numbers), torch.zeros(()))
        else:
            energies = cells(numbers, available)
        missing = torch.where(last > CUT, self.missing.decode(last), self.missing.decode_gap(last))
        total = (available - missing).clamp(min=0.0)
        energies = rescaled(energies, total)
        return torch.where(energies > self.threshold, energies, torch.zeros(()))

    def numbers(self, standardised: Tensor) -> Tensor:
        """Numbers of standardised numbers."""
        return standardised * self.width + self.mean

    @staticmethod
    def _filled(numbers: Tensor, generator: torch.Generator | None) -> Tensor:
        """Numbers with noise where they are NaN."""
        normal = torch.randn(numbers.shape, generator=generator, device=numbers.device)
        noise = EMPTY + EMPTY_WIDTH * normal
        return torch.where(numbers.isnan(), noise, numbers)


def rescaled(energies: Tensor, total: Tensor) -> Tensor:
    """Energies (N, cells) with these sums (N,), GeV.

    What they have above `EDGE` takes the change, so that lines in the spectrum of small ones stay
    where they are, and large ones leave no gap behind, unless that would change it by more than a
    quarter.
    """
    above = (energies - EDGE).clamp(min=0.0)
    sum_above, sum_all = sums(above), sums(energies)
    least = torch.full((), 1e-9)
    of_above = (total - sum_all + sum_above) / torch.maximum(sum_above, least)
    of_all = total / torch.maximum(sum_all, least)
    use_above = (of_above > 0.75) & (of_above < 1.25)
    changed = energies + above * (of_above - 1)[:, None]
    return torch.where(use_above[:, None], changed, energies * of_all[:, None])

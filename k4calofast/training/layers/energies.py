"""Energies and delays of hits: tables of quantiles, by what is expected where a hit is.

Where hits are few, a layer's hottest comes first: which share of the layer's energy it has, and
which hit it is. The others share what it leaves. For hits that share an energy are not independent:
one of two has what the other has not, and drawn apart and then brought to their sum, both would be
alike too often.

A hit's energy depends on four things: how many chances there were to hit its cell (a cell with one
particle in it has the spectrum of one), how much energy is expected there, how many hits share the
layer's energy, and how steeply particles cross it. Its delay, that of the first particle, depends
on its energy and distance, on where in the shower the layer is, and on momentum and angle. Tables
are read where a number between 0 and 1 says; between two tables, another number decides.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from k4calofast.training.sums import sums

_CLASSES = (1.5, 2.5, 3.5, 5.5, 8.5, 12.5, 20.5, 36.5, 64.5, 128.5)
"""Borders of the number of hits in the layer."""

_WAYS, _WAY_STEP = 4, 0.12
"""Tables for ways through a layer, over that along its normal: for 1, and so far apart."""

_MOMENTA = 6
"""Tables for momenta, at equal distances of their logarithm."""

_CHANCES, _EXPECTED, _POINTS = 10, 12, 128
_DEPTHS, _BRIGHT, _DISTANCES, _TIMES = 10, 6, 8, 32
_DEPTH_STEP = 3.0
"""Layers, from one table to the next; in the middle is the shower's centre of gravity."""

_FEWEST = 30
_MIDDLE = 0.5
_STEPS = 256
"""Of a lattice on which bins are looked up."""

_THREE, _MANY = 2.5, 8.5
"""Hits of a layer: below, the hottest and another one share its energy; above, hits are many enough
to be drawn alike."""

_MEANS, _PEAKS, _PLACES = 8, 8, 16
_ROUNDS, _WIN, _HEAVIEST = 40, 1e-3, 1 << 20

_LEAST = 1e-6
_PROPORTIONAL = 0.8
"""Slope, of logarithms, from which hits' energies are taken to grow as what is expected."""


class Quantiles(nn.Module):
    """Tables of spectra: means of equal parts of the numbers that the tables are read at.

    Parts are smaller for large values, where spectra have their tails: places go as the root of the
    share above. With nothing but a root: what has to be approximated, ONNX Runtime computes in one
    way for the bulk of an array and in another for its end, and hits have no place of their own in
    it.

    Parameters
    ----------
    tables, points
        How many, and of how many entries.
    """

    table: Tensor

    def __init__(self, tables: int, points: int) -> None:
        super().__init__()
        self.points = points
        self.register_buffer("table", torch.zeros(tables * points))

    def spectrum(self, values: Tensor, otherwise: Tensor | None = None) -> Tensor:
        """Entries (points,) of the table of values; other ones, if these are too few."""
        if otherwise is not None and len(values) < _FEWEST:
            return otherwise
        ordered = values.double().sort(descending=True).values
        # Means of parts of a distribution that is a line between one value and the next.
        total = torch.cat([ordered.new_zeros(1), ordered.cumsum(0)])
        share = torch.linspace(0.0, 1.0, self.points + 1, dtype=torch.float64) ** 2 * len(ordered)
        below = share.floor().clamp(max=len(ordered) - 1).long()
        summed = total[below] + (share - below) * ordered[below]
        return (summed.diff() / share.diff()).float()

    def put(self, number: int, spectrum: Tensor) -> None:
        """Fill a table."""
        start = number * self.points
        self.table[start : start + self.points] = spectrum

    def forward(self, number: Tensor, uniform: Tensor) -> Tensor:
        """Values (C,) of tables (C,) at numbers (C,) between 0 and 1."""
        place = (uniform.sqrt() * self.points).clamp(max=self.points - 1.0).long()
        return self.table.gather(0, number * self.points + place)


class Bins(nn.Module):
    """Bins of numbers above 0, for several classes: found at once, whatever their number.

    A number's eighth root says where on a lattice to look: steps of a few per cent.

    Parameters
    ----------
    classes, bins
        How many.
    largest
        Numbers above belong to the last bin.
    """

    bin: Tensor

    def __init__(self, classes: int, bins: int, largest: float) -> None:
        super().__init__()
        self.bins, self.scale = bins, _STEPS / largest**0.125
        self.register_buffer("bin", torch.zeros(classes * _STEPS, dtype=torch.int64))

    def fit(self, number: int, values: Tensor) -> None:
        """Let the bins of a class hold equal shares of values, but smaller ones at both ends."""
        start = number * _STEPS
        if len(values) < self.bins:
            return
        place = torch.linspace(0.0, 1.0, self.bins + 1, dtype=torch.float64)[1:-1]
        inner = torch.where(place < _MIDDLE, 2 * place**2, 1 - 2 * (1 - place) ** 2)
        ordered = values.double().sort().values
        borders = ordered[(inner * (len(ordered) - 1)).long()]
        middle = ((torch.arange(_STEPS) + 0.5) / self.scale).double() ** 8
        self.bin[start : start + _STEPS] = (middle[:, None] > borders).sum(1)

    def forward(self, number: Tensor, values: Tensor) -> Tensor:
        """Bins (C,) of values (C,), which are of the classes (C,)."""
        # Roots are the same wherever a value is in an array, and a logarithm is not.
        place = values.sqrt().sqrt().sqrt() * self.scale
        place = place.clamp(max=_STEPS - 1.0).long()
        return self.bin.gather(0, number * _STEPS + place)


def _between(place: Tensor, uniform: Tensor, tables: int) -> Tensor:
    """Numbers (R,) of tables, one of the two next to places (R,): the nearer one more often."""
    return (place + uniform).floor().clamp(0, tables - 1).long()


class Spectrum(NamedTuple):
    """A table of energies over what is expected, or over the way."""

    proportional: bool
    table: Tensor


class HitEnergies(nn.Module):
    """Spectra of hits' energies."""

    classes: Tensor
    proportional: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("classes", torch.tensor(_CLASSES))
        self.count = (len(_CLASSES) + 1) * _WAYS
        self.chances = Bins(self.count, _CHANCES, 1e3)
        self.expected = Bins(self.count * _CHANCES, _EXPECTED, 2e4)
        tables = self.count * _CHANCES * _EXPECTED
        self.quantiles = Quantiles(tables, _POINTS)
        self.register_buffer("proportional", torch.zeros(tables, dtype=torch.bool))

    def of_layer(self, hits: Tensor, way: Tensor, uniform: Tensor) -> Tensor:
        """Classes (R,) of layers.

        Parameters
        ----------
        hits
            (R,) number of them.
        way
            (R,) through the layer, over that along its normal.
        uniform
            (R,) numbers between 0 and 1, which decide between two classes.
        """
        of_hits = (hits[:, None] > self.classes).long().sum(1)
        return of_hits * _WAYS + _between((way - 1) / _WAY_STEP, uniform, _WAYS)

    def fit(
        self, of_layer: Tensor, chances: Tensor, expected: Tensor, way: Tensor, energy: Tensor
    ) -> None:
        """Take the spectra of hits (C,): over what is expected, or over the way.

        Parameters
        ----------
        of_layer
            Class of the layer.
        chances
            Expected number of chances that hit the cell.
        expected
            MIPs, expected in the cell if it is hit.
        way
            Through the layer, over that along its normal.
        energy
            MIPs.
        """
        of_all = self._spectrum(expected, way, energy)
        for number in range(self.count):
            rows = torch.nonzero(of_layer == number)[:, 0]
            of_class = self._spectrum(expected[rows], way[rows], energy[rows], of_all)
            self.chances.fit(number, chances[rows])
            column = self.chances(of_layer[rows], chances[rows])
            for k in range(_CHANCES):
                alike = rows[column == k]
                of_chances = self._spectrum(expected[alike], way[alike], energy[alike], of_class)
                kind = number * _CHANCES + k
                self.expected.fit(kind, expected[alike])
                place = self.expected(torch.full_like(alike, kind), expected[alike])
                for j in range(_EXPECTED):
                    hits = alike[place == j]
                    spectrum = self._spectrum(expected[hits], way[hits], energy[hits], of_chances)
                    table = kind * _EXPECTED + j
                    self.proportional[table] = spectrum.proportional
                    self.quantiles.put(table, spectrum.table)

    def _spectrum(
        self, expected: Tensor, way: Tensor, energy: Tensor, otherwise: Spectrum | None = None
    ) -> Spectrum:
        """Spectrum of hits (C,); another one, if they are too few."""
        if len(energy) < _FEWEST and otherwise is not None:
            return otherwise
        x, y = expected.clamp(min=_LEAST).log(), energy.clamp(min=_LEAST).log()
        x = x - x.mean()
        proportional = bool((x * y).sum() > _PROPORTIONAL * (x * x).sum())
        unit = expected.clamp(min=_LEAST) if proportional else way
        return Spectrum(proportional, self.quantiles.spectrum(energy / unit))

    def kind(self, of_layer: Tensor, chances: Tensor, expected: Tensor) -> Tensor:
        """Tables (C,) of hits; arguments as of `fit`."""
        kind = of_layer * _CHANCES + self.chances(of_layer, chances)
        table: Tensor = kind * _EXPECTED + self.expected(kind, expected)
        return table

    def scale(self, kind: Tensor, expected: Tensor, way: Tensor) -> Tensor:
        """What the entries (C,) of tables (C,) are in units of (MIPs): see `fit`."""
        return torch.where(self.proportional.gather(0, kind), expected, way)

    def forward(self, kind: Tensor, uniform: Tensor) -> Tensor:
        """Energies (C,), in units of `scale`, at numbers (C,) between 0 and 1."""
        energies: Tensor = self.quantiles(kind, uniform)
        return energies


class Lead(NamedTuple):
    """What hottest hits have, in R layers; (R,) each.

    Attributes
    ----------
    most
        MIPs, that no other hit may have more of.
    left
        Share of the energy that is left for the others.
    wanted
        MIPs, to which hits are brought.
    along
        MIPs of the hottest among those: of two hits, one may stay what its table says. Elsewhere
        nothing, as the hottest stays what it is.
    """

    most: Tensor
    left: Tensor
    wanted: Tensor
    along: Tensor


class Hottest(nn.Module):
    """Which hit is a layer's hottest, and its share of the layer's energy.

    Parameters
    ----------
    classes
        How many classes of layers; see `HitEnergies.of_layer`.
    """

    weights: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.means = Bins(classes, _MEANS, 1e3)
        self.peaks = Bins(classes * _MEANS, _PEAKS, 1.0)
        self.shares = Quantiles(classes * _MEANS * _PEAKS, _POINTS)
        self.places = Bins(classes, _PLACES, 1e2)
        self.register_buffer("weights", torch.ones(classes * _PLACES, dtype=torch.int64))

    def fit(
        self,
        of_layer: Tensor,
        hits: Tensor,
        in_layer: Tensor,
        peak: Tensor,
        of: Tensor,
        relative: Tensor,
        energy: Tensor,
    ) -> None:
        """Take shares, and chances to be the hottest, from layers (R,) with hits (C,).

        Parameters
        ----------
        of_layer, hits, in_layer
            (R,) class, number of hits, and energy (MIPs).
        peak
            (R,) largest share of the energy that is expected in a cell: more in its middle than
            where four cells meet, in all layers.
        of
            (C,) the hits' layers.
        relative
            (C,) energy that is expected where the hit is, over the mean of the layer's hits.
        energy
            (C,) MIPs.
        """
        several = (hits > 1) & (hits < _MANY)
        share = _largest(of, energy, len(hits)) / in_layer.clamp(min=_LEAST)
        mean = in_layer / hits.clamp(min=1.0)
        of_all = self.shares.spectrum(share[several])
        for number in range(self.classes):
            rows = torch.nonzero(several & (of_layer == number))[:, 0]
            self.means.fit(number, mean[rows])
            place = self.means(of_layer[rows], mean[rows])
            for k in range(_MEANS):
                alike, kind = rows[place == k], number * _MEANS + k
                self.peaks.fit(kind, peak[alike])
                near = self.peaks(torch.full_like(alike, kind), peak[alike])
                of_mean = self.shares.spectrum(share[alike], of_all)
                for j in range(_PEAKS):
                    spectrum = self.shares.spectrum(share[alike[near == j]], of_mean)
                    self.shares.put(kind * _PEAKS + j, spectrum)
        kept = several[of]
        of, relative, energy = of[kept], relative[kept], energy[kept]
        of_hits = of_layer[of]
        for number in range(self.classes):
            self.places.fit(number, relative[of_hits == number])
        self._fit_weights(of, of_hits, relative, _hottest(of, energy, len(hits)))

    def _fit_weights(self, of: Tensor, of_hits: Tensor, relative: Tensor, first: Tensor) -> None:
        """Weights under which the hottest hits are the most probable.

        Each step of the iteration makes them more probable (D. R. Hunter, Annals of Statistics 32
        (2004) 384).
        """
        place = of_hits * _PLACES + self.places(of_hits, relative)
        size = len(self.weights)
        wins = torch.bincount(place[first], minlength=size).double()
        weights = torch.ones(size, dtype=torch.float64)
        layers = torch.zeros(int(of.max()) + 1 if len(of) else 1, dtype=torch.float64)
        for _ in range(_ROUNDS):
            total = layers.index_add(0, of, weights[place])
            chances = torch.bincount(place, 1 / total[of], minlength=size)
            weights = (wins + _WIN) / (chances + _WIN)
            of_class = weights.reshape(self.classes, _PLACES)
            weights = (of_class / of_class.max(1, keepdim=True).values).flatten()
        # Whole numbers, whose sums are exact.
        self.weights.copy_((weights * _HEAVIEST).round().clamp(min=1).long())

    def lead(
        self, of_layer: Tensor, hits: Tensor, in_layer: Tensor, peak: Tensor, uniform: Tensor
    ) -> Lead:
        """Draw what hottest hits have: arguments as of `fit`, and numbers (R,) from 0 to 1."""
        few = hits < _MANY
        mean = in_layer / hits.clamp(min=1.0)
        kind = of_layer * _MEANS + self.means(of_layer, mean)
        share = self.shares(kind * _PEAKS + self.peaks(kind, peak), uniform)
        share = torch.where(few, share, torch.zeros_like(share))
        first = in_layer * share
        along = torch.where(hits < _THREE, first, torch.zeros_like(first))
        return Lead(torch.where(few, first, in_layer), 1 - share, in_layer - first + along, along)

    def among(self, of: Tensor, of_layer: Tensor, relative: Tensor, uniform: Tensor) -> Tensor:
        """Whether hits (C,), in the order of their layers, are their layer's hottest.

        Parameters
        ----------
        of, of_layer, relative
            (C,) layers of the hits, those layers' classes; see `fit`.
        uniform
            (R,) numbers from 0 to 1.
        """
        weight = self.weights.gather(0, of_layer * _PLACES + self.places(of_layer, relative))
        total = torch.zeros_like(uniform, dtype=torch.int64).scatter_add(0, of, weight)
        before = total.cumsum(0) - total
        chosen = torch.minimum((uniform * total).long(), total - 1) + before
        chosen, passed = chosen.gather(0, of), weight.cumsum(0)
        return (passed > chosen) & (passed - weight <= chosen)


def without_hottest(
    of: Tensor, energy: Tensor, hits: Tensor, in_layer: Tensor
) -> tuple[Tensor, Tensor]:
    """Which hits (C,) share what the hottest leaves, and what that is.

    Parameters
    ----------
    of, energy
        (C,) layers of the hits, and MIPs.
    hits, in_layer
        (R,) how many a layer has, and MIPs.

    Returns
    -------
    tuple of Tensor
        (C,) all but the hottest, in layers of few hits; (R,) share of the energy that is theirs.
    """
    few = hits < _MANY
    share = _largest(of, energy, len(hits)) / in_layer.clamp(min=_LEAST)
    others = ~(_hottest(of, energy, len(hits)) & few[of])
    return others, torch.where(few, 1 - share, torch.ones_like(share))


def _largest(of: Tensor, energy: Tensor, count: int) -> Tensor:
    """Largest energy (count,) of the hits of each layer."""
    return torch.zeros(count).scatter_reduce(0, of, energy, "amax")


def _hottest(of: Tensor, energy: Tensor, count: int) -> Tensor:
    """Whether hits (C,) are their layer's hottest: the first, if there are two."""
    is_largest = energy >= _largest(of, energy, count)[of]
    number = torch.arange(len(of))
    first = torch.full((count,), len(of)).scatter_reduce(
        0, of[is_largest], number[is_largest], "amin"
    )
    return number == first[of]


class HitDelays(nn.Module):
    """Spectra of hits' delays.

    Parameters
    ----------
    layers
        How many.
    low, high
        Smallest and largest momentum (GeV).
    """

    def __init__(self, layers: int, low: float, high: float) -> None:
        super().__init__()
        self.layers, self.low = layers, math.log(low)
        self.step = (math.log(high) - self.low) / (_MOMENTA - 1)
        self.count = _MOMENTA * _WAYS * _DEPTHS
        self.energies = Bins(self.count, _BRIGHT, 2e4)
        self.distances = Bins(self.count * _BRIGHT, _DISTANCES, 1e6)
        self.quantiles = Quantiles(self.count * _BRIGHT * _DISTANCES, _TIMES)

    def of_layer(self, energies: Tensor, momentum: Tensor, way: Tensor, uniform: Tensor) -> Tensor:
        """Classes (R,) of all layers of N showers.

        Parameters
        ----------
        energies, momentum
            (N, L) in layers, (N,) GeV.
        way, uniform
            (R,) see `HitEnergies.of_layer`.
        """
        number = torch.arange(self.layers, dtype=energies.dtype, device=energies.device)
        mean = sums(energies * number) / sums(energies).clamp(min=_LEAST)
        depth = ((number - mean[:, None]) / _DEPTH_STEP + _DEPTHS / 2).flatten()
        place = ((momentum.log() - self.low) / self.step).repeat_interleave(self.layers)
        kind = _between(place, uniform, _MOMENTA) * _WAYS
        kind = kind + _between((way - 1) / _WAY_STEP, uniform, _WAYS)
        return kind * _DEPTHS + _between(depth, uniform, _DEPTHS)

    def fit(self, of_layer: Tensor, energy: Tensor, square: Tensor, delay: Tensor) -> None:
        """Take the spectra of hits (C,).

        Parameters
        ----------
        of_layer
            Class of the layer.
        energy
            MIPs.
        square
            mm^2: of the distance from the line.
        delay
            ns.
        """
        of_all = self.quantiles.spectrum(delay)
        for number in range(self.count):
            rows = torch.nonzero(of_layer == number)[:, 0]
            self.energies.fit(number, energy[rows])
            bright = self.energies(of_layer[rows], energy[rows])
            of_class = self.quantiles.spectrum(delay[rows], of_all)
            for k in range(_BRIGHT):
                alike, kind = rows[bright == k], number * _BRIGHT + k
                self.distances.fit(kind, square[alike])
                near = self.distances(torch.full_like(alike, kind), square[alike])
                for j in range(_DISTANCES):
                    spectrum = self.quantiles.spectrum(delay[alike[near == j]], of_class)
                    self.quantiles.put(kind * _DISTANCES + j, spectrum)

    def kind(self, of_layer: Tensor, energy: Tensor, square: Tensor) -> Tensor:
        """Tables (C,) of hits; arguments as of `fit`."""
        kind = of_layer * _BRIGHT + self.energies(of_layer, energy)
        table: Tensor = kind * _DISTANCES + self.distances(kind, square)
        return table

    def forward(self, kind: Tensor, uniform: Tensor) -> Tensor:
        """Delays (C,) in ns at numbers (C,) between 0 and 1."""
        delays: Tensor = self.quantiles(kind, uniform)
        return delays

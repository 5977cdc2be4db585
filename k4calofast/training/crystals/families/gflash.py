"""A parametrised shower: the method of GFlash, without any network.

Depths follow a gamma distribution whose parameters fluctuate from shower to shower; radii follow
two components, a core and a tail; energies come in spots (G. Grindhammer and S. Peters, The
parameterized simulation of electromagnetic showers in homogeneous and sampling calorimeters,
hep-ex/0001020). The parameters are polynomials in the logarithm of the momentum.

What is different here, because crystals are not divided in depth, and a generator takes a fixed
number of random numbers:

- energies in depth are never asked for by themselves. They decide how far an inclined shower is
  carried sideways and how wide it is, in a few layers;
- crystals take their shares from the integral of the radial distribution over their faces, not from
  spots one by one. Shares then fluctuate as the sum of a random number of spots does: nearly by a
  gamma distribution, with the energy of a spot as its scale;
- the axis is displaced at random, too: at low momenta, the first scattering turns it;
- small energies are moved at last so that their spectrum is that of the sample, in regions of
  momentum, as for this package's other families: lines and edges are no sums of spots;
- the energy in the window does not follow from what the profiles leave outside: it is drawn from
  tables of quantiles, in bins of the conditions.

GFlash's parameters were found by fits to means and widths of many profiles. Here all are found
at once, by the energy score: the one of T. Gneiting and A. Raftery, J. Am. Stat. Assoc. 102 (2007)
359, that is smallest if drawn and simulated showers have one distribution under all conditions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, reduce
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from k4calofast import detector
from k4calofast.arrays import Floats
from k4calofast.detector.crystals import CrystalBarrel
from k4calofast.exceptions import TrainingError
from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.bins import Bins
from k4calofast.training.crystals.family import CrystalFamily
from k4calofast.training.crystals.ionisation import number_of
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.tables import OfSample, read
from k4calofast.training.crystals.variables import rescaled
from k4calofast.training.family import Shape, Stage
from k4calofast.training.sums import sums

RADIATION_LENGTH, MOLIERE_RADIUS = 18.6, 35.7
"""Of CsI (mm): Particle Data Group, Atomic and nuclear properties of materials."""

_LAYERS = (0.0, 1.5, 3.5, 7.0, 13.0)
"""Borders of the layers (radiation lengths)."""

_WIDEST = 2
"""Layer in which distances from the axis are taken."""

_UNIT = 0.3
"""GeV: polynomials are in the decimal logarithm of the momentum over this."""

_START = {
    "peak": (1.0, 0.8),
    "peak_spread": (-1.0, -0.3),
    "shape": (0.3, 0.0),
    "shape_spread": (-0.4, -0.1),
    "core": (-2.4, -0.1),
    "core_growth": (0.0, 0.4),
    "tail": (0.0, -0.1),
    "tail_growth": (0.1, 0.0),
    "in_core": (1.7, 0.0),
    "in_core_growth": (-0.4, -0.2),
    "reach": (1.9, -0.3),
    "displacement": (-3.0, -0.1),
    "turn": (-3.0, -0.8),
    "spot": (-5.4, 0.1),
}
"""Parameters, with the first two coefficients from which the fit starts.

Logarithms, in Moliere radii, radiation lengths, or GeV, but for growths and in_core:

- peak, shape: medians of the depth of the maximum and of GFlash's alpha - 1; with their relative
  fluctuations;
- core, tail: radii, with their growth with the depth over that of the maximum;
- in_core: logit of the core's share, with its growth;
- reach: length of an exponential that cuts the tail, which GFlash's lets fall too slowly;
- displacement, turn: random displacements of the axis, at the front and per depth;
- spot: energy of a spot.
"""

_DEGREE = 2
_KNOTS = 33
"""Quantiles of the missing energy per bin."""

_LARGEST_QUANTILE = 3.0
"""Standard deviations at the last of them."""

_GAMMA_SHAPES, _GAMMA_NORMALS = (-11.0, 9.0, 128), (-5.0, 5.0, 161)
"""First, last, and number of values of the table of gamma quantiles: logarithms of the shape, and
normal numbers."""

_LEAST_SHARE = 1e-12

_ENERGIES, _ENERGY_STEPS = (math.log(1e-6), math.log(4.0)), 1024
"""First and last logarithm of energies (GeV) of the tables of spectra, and their length."""

_REGIONS, _LEAST_IN_A_REGION = 6, 100
"""Of momentum, with tables of their own; from fewer showers, none is made."""

_NOTHING = -14.0
"""Logarithm of what counts as no energy at all, in spots."""


class GFlashSettings(Settings):
    """Settings of the parametrisation.

    Attributes
    ----------
    steps, learning_rate, batch
        Of the fit.
    bin
        Fewest showers in a bin of the missing energy.
    matched
        Showers whose spectra are matched in the end.
    """

    title: ClassVar[str] = "a GFlash-like parametrisation"
    source: ClassVar[str] = "Grindhammer and Peters, hep-ex/0001020"

    steps: int = Field(default=250, ge=1)
    learning_rate: float = Field(default=0.04, gt=0)
    batch: int = Field(default=1024, ge=1)
    bin: int = Field(default=400, ge=2)
    matched: int = Field(default=60_000, ge=1)


class GFlash(OfSample, CrystalFamily):
    """Profiles in depth and radius, integrated over crystals, with fluctuations.

    Attributes
    ----------
    coefficients
        (kinds, parameters, degree + 1) of the polynomials.
    rows, columns
        (rings, rows + 1, 2) and (rings, columns + 1, 2) borders of the window's crystals; see
        `borders`.
    ring_z, ring_theta, ring_radius
        (rings,) |z| (mm) and radius (mm) of fronts, and theta (rad) of axes.
    gamma
        Logarithms of quantiles of gamma distributions; see `gamma_table`.
    quantiles
        (bins, knots) of the missing energy over the available one.
    spectra
        (regions of momentum, energies) what is added to logarithms of energies; see `matched`.
    """

    Settings = GFlashSettings
    settings: GFlashSettings

    rows: Tensor
    columns: Tensor
    ring_z: Tensor
    ring_theta: Tensor
    ring_radius: Tensor
    gamma: Tensor
    quantiles: Tensor
    spectra: Tensor

    def __init__(self, settings: GFlashSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        # Two for the profile in depth, four for the axis, one for the energy; then the cells'.
        self.noise = 7 + shape.cells
        start = torch.tensor([[*values, 0.0] for values in _START.values()])
        self.coefficients = nn.Parameter(start.repeat(len(shape.kinds), 1, 1))
        for name, values in borders(shape).items():
            self.register_buffer(name, torch.from_numpy(values).float())
        self.register_buffer("gamma", gamma_table().clone())
        self.register_buffer("quantiles", torch.zeros(0, _KNOTS))
        self.register_buffer("spectra", torch.zeros(_REGIONS, _ENERGY_STEPS))
        self.bins = Bins(self.features.kinds, 0)

    def prepare(self, sample: Sample) -> None:
        self._tabulate(sample)
        self._fit(sample)
        with torch.no_grad():
            self._match(sample)

    def stages(self, sample: Sample) -> Iterator[Stage]:  # noqa: ARG002 - the fit is done
        yield from ()

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        total = self.total(noise, pdg, conditions)
        logarithms = self.logarithms(noise, total, pdg, conditions)
        energies = self.matched(logarithms, conditions[:, 0]).exp()
        threshold = self.settings.threshold
        energies = torch.where(energies > threshold, energies, torch.zeros(()))
        # The total was of showers above the threshold: what was dropped goes to the others.
        energies = rescaled(energies, total)
        return torch.where(energies > threshold, energies, torch.zeros(()))

    def total(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return the energies (N,) in GeV in windows."""
        return self.available(pdg, conditions) * (1 - self.missing(noise[:, 6], pdg, conditions))

    def missing(self, normal: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return the missing energies (N,) over the available ones of normal numbers (N,)."""
        place = (normal / _LARGEST_QUANTILE + 1) * ((_KNOTS - 1) / 2)
        return read(self.quantiles, place, self.bins(pdg, conditions))

    def logarithms(self, noise: Tensor, total: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return logarithms (N, cells) of energies in GeV with these sums (N,), before a threshold.

        Those of no energy at all are finite, too, and far below any threshold.
        """
        parameters = self.parameters_of(pdg, conditions[:, 0])
        shares = self.shares(parameters, noise[:, :6], conditions)
        shares = shares / sums(shares).clamp(min=1e-9)[:, None]
        present = shares > _LEAST_SHARE
        log_total = total.clamp(min=1e-9).log()[:, None]
        log_count = log_total + shares.clamp(min=_LEAST_SHARE).log() - parameters["spot"][:, None]
        drawn = gamma_logarithm(self.gamma, log_count, noise[:, 7:])
        drawn = torch.where(present, drawn, 2 * _NOTHING * torch.ones(()))
        whole = sums(drawn.exp()).clamp(min=1e-20).log()
        return drawn + log_total - whole[:, None]

    def matched(self, logarithms: Tensor, momentum: Tensor) -> Tensor:
        """Move logarithms (N, cells) of energies so that their spectra are the sample's."""
        first, last = _ENERGIES
        place = (logarithms - first) * ((_ENERGY_STEPS - 1) / (last - first))
        low, high = (math.log(value) for value in self.shape.ranges["momentum"])
        region = ((momentum.log() - low) / (high - low) * _REGIONS - 0.5).clamp(0.0, _REGIONS - 1)
        nearest = region.floor().clamp(max=_REGIONS - 2)
        row = nearest.long()[:, None]
        below, above = (read(self.spectra, place, row + more) for more in (0, 1))
        return logarithms + (below + (region - nearest)[:, None] * (above - below))

    def parameters_of(self, pdg: Tensor, momentum: Tensor) -> dict[str, Tensor]:
        """Return the parameters, (N,) each, of kinds and momenta (N,) in GeV."""
        x = (momentum / _UNIT).log10()
        found = self.coefficients[number_of(pdg, self.features.kinds)]
        values = found[:, :, 0]
        for power in range(1, _DEGREE + 1):
            values = values + found[:, :, power] * x[:, None] ** power
        return {name: values[:, number] for number, name in enumerate(_START)}

    def shares(self, parameters: dict[str, Tensor], noise: Tensor, conditions: Tensor) -> Tensor:
        """Return the mean shares (N, cells) of showers of given depths and axes.

        Parameters
        ----------
        parameters
            See `parameters_of`.
        noise
            (N, 6) normal numbers, for the depth's maximum and shape and the axis.
        conditions
            (N, 6).
        """
        at, slope, entered, forward, ring = self.axis(conditions)
        peak = (parameters["peak"] + parameters["peak_spread"].exp() * noise[:, 0]).exp()
        shape = (parameters["shape"] + parameters["shape_spread"].exp() * noise[:, 1]).exp()
        displaced = MOLIERE_RADIUS * parameters["displacement"].exp()[:, None] * noise[:, 2:4]
        turned = parameters["turn"].exp()[:, None] * noise[:, 4:6]
        rows, columns = self.rows[ring], self.columns[ring]
        # Seen along the crystal's axis, an inclined disk is an ellipse.
        flat = (1 - slope**2).clamp(min=0.04).sqrt()
        weights = _depths(peak, shape)
        result = torch.zeros(())
        for layer, weight in enumerate(weights):
            path = RADIATION_LENGTH * _middle(layer)
            centre = at + displaced + path * (slope + turned)
            depth = (entered + path * forward)[:, None]
            x = (rows[:, :, 0] + rows[:, :, 1] * depth - centre[:, :1]) / flat[:, :1]
            y = (columns[:, :, 0] + columns[:, :, 1] * depth - centre[:, 1:]) / flat[:, 1:]
            if layer == _WIDEST:
                middles = (borders[:, 1:] + borders[:, :-1] for borders in (x, y))
                u, v = (values**2 / 4 for values in middles)
                far = (u[:, :, None] + v[:, None, :]).sqrt().flatten(1)
            age = (_middle(layer) / peak).clamp(max=4.0)
            in_core = torch.sigmoid(parameters["in_core"] + parameters["in_core_growth"] * age)
            for part, share in (("core", in_core), ("tail", 1 - in_core)):
                growth = parameters[f"{part}_growth"]
                radius = MOLIERE_RADIUS * (parameters[part] + growth * age).exp()
                inside = inside_rectangles(x, y, radius)
                result = result + (weight * share)[:, None, None] * inside
        reach = MOLIERE_RADIUS * parameters["reach"].exp()[:, None]
        return result.clamp(min=0.0).flatten(1) * (-far / reach).exp()

    def axis(self, conditions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return where a particle flies, in the frame of the crystal that it enters.

        Returns
        -------
        at
            (N, 2) mm along theta and phi from the front's centre to the hit point.
        slope
            (N, 2) mm along theta and phi per mm of path.
        entered
            (N,) mm along the crystal's axis from the front to the hit point.
        forward
            (N,) mm along the crystal's axis per mm of path.
        ring
            (N,) number of the crystal's ring.
        """
        _, d_theta, d_phi, d_z, d_phi_hit, z = conditions[:, :6].unbind(1)
        middles = (self.ring_z[1:] + self.ring_z[:-1]) / 2
        ring = ((z - d_z)[:, None] < middles).to(torch.int64).sum(1)
        theta, radius = self.ring_theta[ring], self.ring_radius[ring]
        # The hit point lies on the front, which is at a right angle to the axis; or, where the
        # neighbour at larger z stands back, on the side towards it.
        edge, widening = self.rows[ring, self.shape.window[0] // 2].unbind(1)
        behind = (d_z + edge * theta.sin()) / (theta.cos() - widening * theta.sin())
        entered = torch.where(d_z > -edge * theta.sin(), behind, torch.zeros(()))
        along = torch.maximum(-d_z / theta.sin(), edge + widening * entered)
        across = d_phi_hit * (radius + along * theta.cos())
        own = theta + d_theta
        sin_sin = own.sin() * theta.sin()
        forward = sin_sin * d_phi.cos() + own.cos() * theta.cos()
        to_theta = own.sin() * theta.cos() * d_phi.cos() - own.cos() * theta.sin()
        to_phi = own.sin() * d_phi.sin()
        at = torch.stack([along, across], 1)
        return at, torch.stack([to_theta, to_phi], 1), entered, forward, ring

    def method(self) -> str:
        s = self.settings
        return (
            f"{self.coefficients.numel()} coefficients of a parametrisation, found by the energy "
            f"score in {s.steps} steps of {s.batch} showers; missing energies from tables of "
            f"quantiles in bins of {s.bin} showers or more; spectra of cells matched; no network"
        )

    def _tabulate(self, sample: Sample) -> None:
        """Take the quantiles of the missing energy."""
        kinds = self.features.kinds
        of_kinds = [torch.nonzero(sample.pdg == kind)[:, 0] for kind in kinds]
        fewest = min(map(len, of_kinds))
        if fewest < self.settings.bin:
            raise TrainingError(
                f"{fewest} showers of a kind are fewer than one bin of {self.settings.bin}; "
                "give more, or a smaller --set bin=N"
            )
        depth = int(math.log2(fewest / self.settings.bin))
        count = fewest >> depth << depth
        chosen = sample.take(torch.cat([rows[:count] for rows in of_kinds]))
        missing = (1 - chosen.energies.double().sum(1) / chosen.available).clamp(0.0, 1.0)
        self.bins = Bins(kinds, depth)
        rows = self.bins.fit(chosen.pdg, chosen.conditions, missing.sqrt()[:, None])
        ranks = torch.linspace(-_LARGEST_QUANTILE, _LARGEST_QUANTILE, _KNOTS).double()
        quantiles = torch.quantile(missing[rows], torch.special.ndtr(ranks), 1)
        self.quantiles = quantiles.T.float().contiguous()

    def _fit(self, sample: Sample) -> None:
        """Find the coefficients."""
        s = self.settings
        generator = torch.Generator().manual_seed(s.seed)
        optimizer = torch.optim.Adam([self.coefficients], lr=s.learning_rate, betas=(0.9, 0.98))
        for step in range(s.steps):
            optimizer.param_groups[0]["lr"] = s.learning_rate * (
                0.5 * (1 + math.cos(math.pi * step / s.steps)) + 0.01
            )
            rows = torch.randint(len(sample), (s.batch,), generator=generator)
            part = sample.take(rows)
            total = part.energies.sum(1)
            drawn = []
            for _ in range(2):
                noise = torch.randn((s.batch, self.noise), generator=generator)
                logarithms = self.logarithms(noise, total, part.pdg, part.conditions)
                drawn.append(seen(logarithms.exp(), part.available, s.threshold))
            reference = seen(part.energies, part.available, s.threshold)
            optimizer.zero_grad()
            loss = energy_score(drawn[0], drawn[1], reference)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def _match(self, sample: Sample) -> None:
        """Find what `matched` adds.

        Cells without energy count, too: what is moved below the threshold, the sample has not.
        """
        generator = torch.Generator().manual_seed(self.settings.seed + 1)
        sample = sample.take(slice(0, self.settings.matched))
        parts = []
        for part in sample.blocks(4096):
            noise = torch.randn((len(part), self.noise), generator=generator)
            total = self.total(noise, part.pdg, part.conditions)
            parts.append(self.logarithms(noise, total, part.pdg, part.conditions))
        logarithms = torch.cat(parts).double().numpy()
        energies = sample.energies.double().numpy()
        low, high = (math.log(value) for value in self.shape.ranges["momentum"])
        place = (sample.conditions[:, 0].double().log() - low) / (high - low) * _REGIONS
        region = place.long().clamp(0, _REGIONS - 1).numpy()
        grid = np.linspace(*_ENERGIES, _ENERGY_STEPS)
        counts = np.bincount(region, minlength=_REGIONS)
        filled = np.flatnonzero(counts >= min(_LEAST_IN_A_REGION, counts.max()))
        for number in range(_REGIONS):
            # Of a sample at a few momenta, some regions have no showers: the nearest one's serve.
            rows = region == filled[np.abs(filled - number).argmin()]
            reference = np.sort(energies[rows][energies[rows] > 0])
            if len(reference) == 0:
                continue
            generated = np.sort(logarithms[rows], axis=None)[-len(reference) :]
            # Some thousand quantiles: more would only be chance.
            ranks = np.unique(np.linspace(0, len(reference) - 1, 2000).astype(np.int64))
            shift = np.log(reference[ranks]) - generated[ranks]
            self.spectra[number] = torch.from_numpy(np.interp(grid, generated[ranks], shift))


FAMILY = GFlash


def _middle(layer: int) -> float:
    return (_LAYERS[layer] + _LAYERS[layer + 1]) / 2


def _depths(peak: Tensor, shape: Tensor) -> list[Tensor]:
    """Energies (N,) in each layer over the sum, for maxima (radiation lengths) and alpha - 1."""
    heights = []
    for layer in range(len(_LAYERS) - 1):
        depth = _middle(layer) / peak
        heights.append(
            shape * (depth.log() - depth) + math.log(_LAYERS[layer + 1] - _LAYERS[layer])
        )
    highest = reduce(torch.maximum, heights)
    weights = [(height - highest).exp() for height in heights]
    whole = reduce(torch.add, weights)
    return [weight / whole for weight in weights]


def inside_rectangles(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Integrate GFlash's radial distribution over the rectangles of a grid.

    The density R^2 / (pi (r^2 + R^2)^2), with 2 r R^2 / (r^2 + R^2)^2 in the radius, has a closed
    integral over a rectangle with a corner in the middle.

    Parameters
    ----------
    x, y
        (N, rows + 1) and (N, columns + 1) borders (mm), from the axis.
    radius
        (N,) R (mm).

    Returns
    -------
    Tensor
        (N, rows, columns) shares of the whole.
    """
    along, across = (1 / (borders**2 + radius[:, None] ** 2).sqrt() for borders in (x, y))
    corner = (x * along)[:, :, None] * torch.atan(along[:, :, None] * y[:, None, :])
    corner = corner + (y * across)[:, None, :] * torch.atan(across[:, None, :] * x[:, :, None])
    strip = corner[:, 1:] - corner[:, :-1]
    return (strip[:, :, 1:] - strip[:, :, :-1]) / (2 * math.pi)


@cache
def gamma_table() -> Tensor:
    """Logarithms (shapes, normals) of the quantiles of gamma distributions of unit scale."""
    shape = torch.linspace(*_GAMMA_SHAPES[:2], _GAMMA_SHAPES[2]).double().exp()[:, None]
    normal = torch.linspace(*_GAMMA_NORMALS[:2], _GAMMA_NORMALS[2]).double()
    low = torch.full((len(shape), len(normal)), 2.0 * _NOTHING).double()
    high = torch.full_like(low, 12.0)
    for _ in range(50):
        middle = (low + high) / 2
        value = middle.exp()
        # On the side where the probability is small, it is exact.
        too_low = torch.where(
            normal < 0,
            torch.special.gammainc(shape, value) < torch.special.ndtr(normal),
            torch.special.gammaincc(shape, value) > torch.special.ndtr(-normal),
        )
        low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
    return low.float()


def gamma_logarithm(table: Tensor, count: Tensor, normal: Tensor) -> Tensor:
    """Turn normal numbers into logarithms of gamma-distributed ones of unit scale.

    Parameters
    ----------
    table
        See `gamma_table`.
    count
        (N, cells) logarithms of the distributions' shapes.
    normal
        (N, cells) normal numbers.
    """
    row, column = (
        (values - first) * ((number - 1) / (last - first))
        for values, (first, last, number) in ((count, _GAMMA_SHAPES), (normal, _GAMMA_NORMALS))
    )
    row = row.clamp(0.0, len(table) - 1 - 1e-3)
    upper = row.detach().floor()
    above, below = (read(table, column, upper.long() + more) for more in (0, 1))
    return above + (row - upper) * (below - above)


def seen(energies: Tensor, available: Tensor, threshold: float) -> Tensor:
    """What the energy score compares of showers (N, cells): root shares, and which are lit."""
    shares = (energies / available[:, None]).clamp(min=1e-12).sqrt()
    # Soft, so that it has a slope; so soft that it has one wherever a cell may become lit.
    lit = torch.sigmoid(((energies.clamp(min=1e-9) / threshold).log()) * 4)
    return torch.cat([shares, 0.1 * lit], 1)


def energy_score(first: Tensor, second: Tensor, reference: Tensor) -> Tensor:
    """Mean energy score of two draws (N, numbers) each, for showers of full simulation."""

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b) ** 2).sum(1).clamp(min=1e-12).sqrt()

    near = (distance(first, reference) + distance(second, reference)) / 2
    return (near - distance(first, second) / 2).mean()


def borders(shape: Shape) -> dict[str, Floats]:
    """Borders of a window's crystals, for each ring at z >= 0, from the largest z on.

    Returns
    -------
    dict
        ``rows`` (rings, rows + 1, 2) and ``columns`` (rings, columns + 1, 2): a and b (mm, 1) of
        a + b d, the place of a border along theta or phi at a depth d (mm), both from the centre
        of the front of the crystal in the window's middle, and along its axis; beyond the barrel's
        end, all are at the end. ``ring_z``, ``ring_radius`` and ``ring_theta`` (rings,): z and
        radius (mm) of the fronts' centres, and theta (rad) of the axes.

    Raises
    ------
    TrainingError
        If the detector is no barrel of crystals.
    """
    barrel = detector.load_crystals(shape.detector)
    if not isinstance(barrel, CrystalBarrel):
        raise TrainingError(f"{shape.detector} is no barrel of crystals: no parametrisation for it")
    first = np.arange(barrel.n_rings) * barrel.n_columns
    first = first[barrel.front_centre(first)[:, 2] >= 0]
    first = first[np.argsort(-barrel.front_centre(first)[:, 2])]
    fronts = barrel.front_centre(first)
    theta, phi = barrel.axis_angles(first)
    zero = np.zeros_like(phi)
    frame = np.stack(
        [
            np.stack([np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), -np.sin(theta)], 1),
            np.stack([-np.sin(phi), np.cos(phi), zero], 1),
            np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1),
        ],
        1,
    )
    windows = barrel.window(first, shape.window)
    windows = np.where(windows < barrel.n_cells, windows, -1)
    corners = barrel.corners.reshape(-1, 8, 3)
    rows: list[Floats] = []
    columns: list[Floats] = []
    for front, axes, window in zip(fronts, frame, windows, strict=True):
        for result, cells, axis in (
            (rows, window[:, shape.window[1] // 2], 0),
            (columns, window[shape.window[0] // 2], 1),
        ):
            local = (corners[cells] - front) @ axes.T
            result.append(_lines(local[..., [axis, 2]], cells >= 0))
    return {
        "rows": np.stack(rows),
        "columns": np.stack(columns),
        "ring_z": fronts[:, 2],
        "ring_radius": np.hypot(fronts[:, 0], fronts[:, 1]),
        "ring_theta": theta,
    }


def _lines(corners: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    """Lines (cells + 1, 2) between the cells of a row, a and b of a + b d; see `borders`.

    Parameters
    ----------
    corners
        (cells, 8, 2) along the row and in depth, four of the front and four of the back.
    present
        (cells,) whether there is a crystal.
    """
    order = corners[:, :4, 0].argsort(1)
    sides = []
    for pair in (order[:, :2], order[:, 2:]):
        front, back = (
            np.take_along_axis(corners[:, part], pair[:, :, None], 1).mean(1)
            for part in (slice(0, 4), slice(4, 8))
        )
        slope = (back[:, 0] - front[:, 0]) / (back[:, 1] - front[:, 1])
        sides.append(np.stack([front[:, 0] - slope * front[:, 1], slope], 1))
    low, high = sides
    first, last = np.flatnonzero(present)[[0, -1]]
    lines = np.empty((len(corners) + 1, 2))
    lines[1:-1] = (high[:-1] + low[1:]) / 2
    lines[: first + 1], lines[last + 1 :] = low[first], high[last]
    return lines

"""Showers in layers: a flow of layers' energies, then hits where mixtures expect them.

The line of thought of L2LFlows (S. Diefenbacher et al., arXiv:2302.11594) and CaloClouds
(E. Buhmann et al., arXiv:2305.04847): first the energy of each layer, then what is in it, given
those.
Both parts are made so that two cores train them in minutes and a shower takes a fraction of a
millisecond:

- A **profile** says for each layer where hits and energy are expected, as mixtures of normal
  densities around the particle's line (`k4calofast.training.layered.profile`). It is fitted by
  likelihood to single hits, seen by cells at random places.
- A **flow**, distilled to a few steps as that of `flow_matching`, makes the energy of the shower
  and of each layer, the number of chances for hits in each, and four numbers of the whole: centre
  of gravity and mean radii.
- **Hits** are drawn by systematic sampling: with a probability for each cell, one random number per
  layer picks as many cells as expected, no more and no fewer. Their energies come from tables
  (`k4calofast.training.layered.energies`); of several draws, that is taken whose sum is nearest to
  the layer's energy, and brought to it.

What differs from those publications: there is no network per hit, and hits are drawn in cells, not
as points; so no two hits share a cell, and cells may lie as they like, layer by layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Precision, Settings
from k4calofast.training.families.family import Family, Range, Shape, Signature, Stage
from k4calofast.training.families.flow_matching import (
    jumped,
    regression,
    trajectory,
    weighted,
)
from k4calofast.training.layered.energies import HitDelays, HitEnergies
from k4calofast.training.layered.profile import (
    LATENTS,
    Mixtures,
    Profile,
    chances,
    context_of,
    least,
    scaled,
    unlikelihood,
)
from k4calofast.training.layered.sample import (
    ELECTRON,
    PHASES,
    PHOTON,
    POSITRON,
    Cells,
    LayeredSample,
    Layers,
    mirrors,
)
from k4calofast.training.seeds import seed_of
from k4calofast.training.variables import sums
from k4calofast.training.velocity import Velocity

_AT_ONCE = 64
"""Showers whose cells are looked at together."""

_EMPTY, _EMPTY_WIDTH, _CUT, _LOWEST = -6.0, 0.4, -4.75, -3.5
"""Numbers of empty layers: noise, well apart from those with energy, which end at the last."""

_SHIFT = 0.3
"""MIPs: logarithms of energies are taken above this."""

_TRENDS = 8
"""Columns of `trends`."""

_FAINTEST, _BRIGHTEST = 0.06, 12.0
"""Of a layer: its energy over `_SHIFT` and one, as a logarithm."""

_LEAST_CHANCES, _MOST_CHANCES = -4.0, 13.0
_WEIGHT_OF_TOTAL = 4.0
_NEWTON = 6
_BETWEEN = 5.0
"""Most that is dead on either side of a cell (mm): guard rings, and borders of modules."""

_FRONT = 0.5
"""Behind the front (mm) where particles may still enter."""

_SMALL = 1e-3
_PRIME = 509
"""Uniform numbers of one draw lie so far from those of the next."""


class LayeredSettings(Settings):
    """Settings of a generator of showers in layers.

    Attributes
    ----------
    window
        Columns, and rows, of cells in each layer; odd.
    cell
        Size of the cells (mm).
    components, profile_width
        Of the mixtures, and of the network that makes them.
    profile_steps, profile_rate, profile_batch
        Of the training of the profile.
    width, blocks
        Size of the flow's network.
    steps, learning_rate, batch
        Of the flow.
    jumps, midpoints
        Evaluations of the distilled flow per shower, and midpoint steps of the flow per jump.
    distillation_steps, distillation_rate, distillation_batch
        Of the distillation.
    candidates
        Draws of a layer's energies, of which one is taken.
    numbers
        Uniform numbers for hits; with more hits, they come again.
    """

    title: ClassVar[str] = "layers from a flow, hits from mixtures"
    source: ClassVar[str] = (
        "L2LFlows: Diefenbacher et al., arXiv:2302.11594; CaloClouds: Buhmann et al., "
        "arXiv:2305.04847"
    )

    threshold: float = Field(default=3e-6, ge=0)
    precision: Precision = "32-true"
    block: int = Field(default=8, ge=1, le=1 << 16)
    window: int = Field(default=33, ge=3, le=301)
    components: int = Field(default=7, ge=2)
    profile_width: int = Field(default=96, ge=8)
    profile_steps: int = Field(default=6_000, ge=1)
    profile_rate: float = Field(default=3e-3, gt=0)
    profile_batch: int = Field(default=32, ge=1)
    width: int = Field(default=256, ge=8)
    blocks: int = Field(default=4, ge=1)
    steps: int = Field(default=15_000, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    batch: int = Field(default=512, ge=1)
    jumps: int = Field(default=4, ge=1)
    midpoints: int = Field(default=2, ge=1)
    distillation_steps: int = Field(default=4_000, ge=1)
    distillation_rate: float = Field(default=1e-3, gt=0)
    distillation_batch: int = Field(default=256, ge=1)
    candidates: int = Field(default=4, ge=1, le=16)
    numbers: int = Field(default=2048, ge=64, le=1 << 15)


class Seen(NamedTuple):
    """What a generator is told of the cells, mirrored.

    Attributes
    ----------
    t, z
        (N, L, S) mm: centres of columns and rows, less where the line crosses the layer.
    across, along
        (N,) which showers are mirrored.
    """

    t: Tensor
    z: Tensor
    across: Tensor
    along: Tensor


class Inside(nn.Module):
    """Features of kinds, momenta and angles."""

    kinds: Tensor

    def __init__(self, kinds: list[int], low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = math.log(low), math.log(high)
        self.register_buffer("kinds", torch.tensor(kinds))
        self.size = 8

    def forward(self, electron: Tensor, momentum: Tensor, slope: Tensor) -> Tensor:
        """Features (N, size) of kinds (N,), GeV (N,), and tangents (N, 2)."""
        scale = 2 * (momentum.log() - self.low) / (self.high - self.low) - 1
        columns = [electron, scale, scale**2, scale**3, *slope.unbind(1), *(slope**2).unbind(1)]
        return torch.stack(columns, 1)


class Layered(Family):
    """Layers from a flow, hits from mixtures."""

    Settings = LayeredSettings
    settings: LayeredSettings
    features: Inside
    mean: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor
    trend: Tensor
    broad: Tensor
    line: Tensor
    remains: Tensor
    columns: Tensor
    rows: Tensor
    usual: Tensor

    def __init__(self, settings: LayeredSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        s = settings
        assert shape.layers is not None  # noqa: S101 - for the type checker
        self.layers: Layers = shape.layers
        count = len(self.layers)
        # Energy of the shower; energies and chances of layers; numbers of the whole.
        self.dimension = 1 + 2 * count + LATENTS
        self.noise, self.uniform = self.dimension, count + s.numbers
        self.profile = Profile(count, s.profile_width, s.components)
        self.velocity = Velocity(self.dimension, self.features.size, s.width, s.blocks)
        self.student = Velocity(self.dimension, self.features.size, s.width, s.blocks)
        self.energies, self.delays = HitEnergies(), HitDelays(count)
        generator = torch.Generator().manual_seed(seed_of(s.seed, "order"))
        columns, rows = (torch.randperm(s.window, generator=generator) for _ in range(2))
        for name, start in {
            "mean": torch.zeros(self.dimension),
            "spread": torch.ones(self.dimension),
            "low": torch.full((self.dimension,), -10.0),
            "high": torch.full((self.dimension,), 10.0),
            # Means of energies over the conditions, and logarithms of their widths.
            "trend": torch.zeros(1 + count, _TRENDS),
            "broad": torch.zeros(1 + count, _TRENDS),
            # Logarithm of chances as a line over that of the energy, and what it leaves.
            "line": torch.ones(count, 3),
            # What of the latent numbers is not the chance of which cells are hit.
            "remains": torch.ones(LATENTS),
            "usual": torch.zeros(6, LATENTS),
            # In which cells are looked at when hits are drawn.
            "columns": columns,
            "rows": rows,
        }.items():
            self.register_buffer(name, start)

    def _features(self, shape: Shape) -> nn.Module:
        return Inside(shape.kinds, *shape.ranges["momentum"])

    # --- training ---------------------------------------------------------------------------

    def prepare(self, sample: LayeredSample) -> None:  # type: ignore[override]
        """Nothing: all scales come from the trained profile."""

    def stages(self, sample: LayeredSample) -> Iterator[Stage]:  # type: ignore[override]
        yield Profiling(self, sample)
        self._take_numbers(sample)
        yield Matching(self, sample, self._numbers)
        yield Distilling(self, sample)

    @torch.no_grad()
    def _take_numbers(self, sample: LayeredSample) -> None:
        """Compute the numbers of all showers, their scales, and the spectra of hits."""
        generator = torch.Generator().manual_seed(seed_of(self.settings.seed, "phases"))
        parts, hits = [], []
        for start in range(0, len(sample), _AT_ONCE):
            rows = torch.arange(start, min(start + _AT_ONCE, len(sample)))
            phase = torch.randint(0, PHASES, (len(rows), 2), generator=generator)
            cells = self.cells(sample, rows, phase)
            of_layers, of_hit = self._seen(sample, rows, cells)
            parts.append(of_layers)
            hits.append(of_hit)
        energies, nu, latents = (torch.cat(columns) for columns in zip(*parts, strict=True))
        of_hits = [torch.cat(columns) for columns in zip(*hits, strict=True)]
        self.energies.fit(*of_hits[:4])
        self.delays.fit(*of_hits[4:])
        self._fit_usual(sample, energies, latents)
        numbers = self._encode(sample, energies, nu, latents, generator)
        self.mean.copy_(numbers.mean(0))
        self.spread.copy_(numbers.std(0).clamp(min=1e-3))
        self._numbers = (numbers - self.mean) / self.spread
        self.low.copy_(self._numbers.amin(0))
        self.high.copy_(self._numbers.amax(0))

    def cells(self, sample: LayeredSample, rows: Tensor, phase: Tensor) -> Cells:
        """Cells with energy of showers, above the threshold."""
        threshold = self.settings.threshold / self.layers.mip
        return sample.cells(rows, phase, self.settings.window, threshold)

    def mixtures(
        self, energies: Tensor, latents: Tensor, sample: LayeredSample, rows: Tensor
    ) -> Mixtures:
        """Mixtures of all layers (n L) of showers (n,) of a sample."""
        slope, momentum = sample.slope[rows], sample.momentum[rows]
        electron = (sample.pdg[rows] == ELECTRON).float()
        return self._mixtures(energies, latents, momentum, slope, electron)

    def _mixtures(
        self, energies: Tensor, latents: Tensor, momentum: Tensor, slope: Tensor, electron: Tensor
    ) -> Mixtures:
        count = len(self.layers)
        context = context_of(energies, momentum, slope, electron)
        whole = scaled(latents)[:, None].expand(-1, count, -1)
        # Not from a size: an exported graph would keep that of the example.
        number = torch.arange(count, device=energies.device)
        layer = (torch.zeros_like(energies, dtype=torch.int64) + number).flatten()
        found: Mixtures = self.profile(
            torch.cat([context, whole], 2).flatten(0, 1), layer, slope.repeat_interleave(count, 0)
        )
        return found

    def _seen(
        self, sample: LayeredSample, rows: Tensor, cells: Cells
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Energies, chances and latent numbers of showers; and of their hits what tables need."""
        count, cell = len(self.layers), self.layers.cell
        of = cells.shower * count + cells.layer
        energies = energies_of(cells, len(rows), count)
        latents = latents_of(cells, len(rows), sample.slope[rows])
        mixtures = self.mixtures(energies, latents, sample, rows)
        share_of_energy, share = shares(mixtures, cells, of, cell)
        half = self.settings.window / 2 * cell
        middle = cells.middle.flatten(0, 1)
        inside = mixtures.within(middle - half, middle + half)
        window = (mixtures.hits * inside).sum(1)
        nu = chances(share, of, len(rows) * count, window)
        hits = torch.bincount(of, minlength=len(rows) * count)
        nu = torch.where(hits > 0, self._exact(mixtures, middle, nu, hits), torch.zeros(()))
        expected = nu[of] * share
        probability = -torch.expm1(-expected)
        in_window = (mixtures.energy * inside).sum(1)
        energy = energies.flatten()[of] * share_of_energy / in_window[of] / least(probability)
        distance = torch.hypot(cells.x, cells.y)
        per_hit = (expected, energy, hits[of].float(), cells.energy)
        return (
            (with_outside(energies, cells), nu.reshape(len(rows), count), latents),
            (*per_hit, distance, cells.layer, cells.delay),
        )

    def _exact(self, mixtures: Mixtures, middle: Tensor, nu: Tensor, hits: Tensor) -> Tensor:
        """Numbers of chances (R,) that expect exactly so many hits in the window."""
        place = (torch.arange(self.settings.window) - self.settings.window // 2) * self.layers.cell
        share = self._in_cells(mixtures, middle[:, :1] + place, middle[:, 1:] + place)
        logarithm = nu.clamp(min=1e-3).log()
        for _ in range(_NEWTON):
            expected = logarithm.exp()[:, None] * share
            not_hit = torch.exp(-expected)
            found, slope = (1 - not_hit).sum(1), (expected * not_hit).sum(1)
            step = ((hits - found) / slope.clamp(min=1e-6)).clamp(-1, 1)
            logarithm = (logarithm + step).clamp(_LEAST_CHANCES, _MOST_CHANCES)
        return logarithm.exp()

    def _in_cells(self, mixtures: Mixtures, t: Tensor, z: Tensor) -> Tensor:
        """Shares of hits (R, S * S) in the cells at columns and rows (R, S), in mm."""
        across, along = self._along_rulers(mixtures, t, z)
        return (across * mixtures.hits[:, :, None]).transpose(1, 2).matmul(along).flatten(1)

    def _along_rulers(self, mixtures: Mixtures, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Shares (R, K, S) of each component in columns, and in rows."""
        half = self.layers.cell / 2
        found = []
        for axis, centres in enumerate((t, z)):
            width, middle = mixtures.width[:, :, axis, None], mixtures.centre[:, :, axis, None]
            place = centres[:, None] - middle
            above = torch.erf((place + half) / (width * math.sqrt(2)))
            found.append((above - torch.erf((place - half) / (width * math.sqrt(2)))) / 2)
        return found[0], found[1]

    def _encode(
        self,
        sample: LayeredSample,
        energies: Tensor,
        nu: Tensor,
        latents: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Numbers (N, dimension) of showers; fits what they are relative to."""
        lit = energies > 0
        momentum, electron = sample.momentum, (sample.pdg == ELECTRON).float()
        given = trends(momentum, sample.slope, electron)
        total = (energies.sum(1).clamp(min=1e-3) / momentum).log()
        of_energy = (energies / _SHIFT + 1).log()
        for number in range(1 + len(self.layers)):
            rows = torch.ones_like(total, dtype=torch.bool) if number == 0 else lit[:, number - 1]
            values = total if number == 0 else of_energy[:, number - 1]
            self.trend[number], self.broad[number] = fitted(given[rows], values[rows])
        mean, width = given.matmul(self.trend.T), given.matmul(self.broad.T).exp()
        of_total = (total - mean[:, 0]) / width[:, 0]
        relative = ((of_energy - mean[:, 1:]) / width[:, 1:]).clamp(min=_LOWEST)
        noise = torch.randn(energies.shape, generator=generator)
        relative = torch.where(lit, relative, _EMPTY + _EMPTY_WIDTH * noise)
        logarithm = nu.clamp(min=math.exp(_LEAST_CHANCES)).log()
        for layer in range(len(self.layers)):
            rows = lit[:, layer]
            x, y = of_energy[rows, layer], logarithm[rows, layer]
            if len(x) > LATENTS:
                columns = torch.stack([torch.ones_like(x), x], 1)
                fit = torch.linalg.lstsq(columns, y[:, None]).solution[:, 0]
                left = (y - columns @ fit).std().clamp(min=1e-2)
                self.line[layer] = torch.cat([fit, left[None]])
        of_chances = (logarithm - self.line[:, 0] - self.line[:, 1] * of_energy) / self.line[:, 2]
        more = torch.randn(energies.shape, generator=generator)
        of_chances = torch.where(lit, of_chances, more)
        return torch.cat([of_total[:, None], relative, of_chances, latents], 1)

    def _decode(
        self, numbers: Tensor, momentum: Tensor, slope: Tensor, electron: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energies (N, L) in MIPs, chances (N, L), and latent numbers of standardised numbers."""
        count = len(self.layers)
        numbers = numbers * self.spread + self.mean
        relative, of_chances = numbers[:, 1 : 1 + count], numbers[:, 1 + count : 1 + 2 * count]
        given = trends(momentum, slope, electron)
        mean, width = given.matmul(self.trend.T), given.matmul(self.broad.T).exp()
        lit = relative > _CUT
        nothing = torch.zeros((), device=numbers.device)
        of_energy = mean[:, 1:] + width[:, 1:] * relative.clamp(min=_LOWEST)
        of_energy = of_energy.clamp(_FAINTEST, _BRIGHTEST)
        raw = torch.where(lit, (of_energy.exp() - 1) * _SHIFT, nothing)
        wanted = (mean[:, :1] + width[:, :1] * numbers[:, :1]).exp() * momentum[:, None]
        energies = raw * (wanted / sums(raw)[:, None].clamp(min=1e-6))
        logarithm = self.line[:, 0] + self.line[:, 1] * of_energy + self.line[:, 2] * of_chances
        nu = logarithm.clamp(_LEAST_CHANCES, _MOST_CHANCES).exp()
        return energies, torch.where(lit, nu, nothing), numbers[:, 1 + 2 * count :]

    def _fit_usual(self, sample: LayeredSample, energies: Tensor, latents: Tensor) -> None:
        """Fit the latent numbers that are usual for a shower of such layers."""
        columns = self._known(sample.momentum, sample.slope, energies)
        self.usual.copy_(torch.linalg.lstsq(columns, latents).solution)

    def _known(self, momentum: Tensor, slope: Tensor, energies: Tensor) -> Tensor:
        """Columns (N, 6) by which latent numbers are guessed."""
        count = len(self.layers)
        number = torch.arange(count, dtype=energies.dtype, device=energies.device)
        mean = (sums(energies * number) / sums(energies).clamp(min=1e-6))[:, None]
        one = torch.ones_like(mean)
        return torch.cat([one, momentum.log()[:, None], mean, mean**2, slope], 1)

    def finish(self, sample: LayeredSample) -> None:  # type: ignore[override]
        """Find how much of the latent numbers is more than which cells happen to be hit."""
        spreads = []
        few = torch.arange(0, len(sample), -(-len(sample) // _CALIBRATED))
        generator = torch.Generator().manual_seed(seed_of(self.settings.seed, "calibration"))
        phase = torch.randint(0, PHASES, (len(few), 2), generator=generator)
        for remains in (None, 0.0, 1.0):
            found = []
            if remains is not None:
                self.remains.fill_(remains)
            for start in range(0, len(few), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                cells = self.cells(sample, few[part], phase[part])
                if remains is not None:
                    cells = self._again(sample, few[part], cells, generator)
                count = len(few[part])
                energies = energies_of(cells, count, len(self.layers))
                known = self._known(sample.momentum[few[part]], sample.slope[few[part]], energies)
                latents = latents_of(cells, count, sample.slope[few[part]])
                found.append(latents - known.matmul(self.usual))
            deviations = torch.cat(found)
            # Robust: single hits far away make long tails.
            spreads.append(((deviations.quantile(0.84, 0) - deviations.quantile(0.16, 0)) / 2) ** 2)
        true, without, with_all = spreads
        share = ((true - without) / (with_all - without).clamp(min=1e-6)).clamp(0.0, 1.5)
        self.remains.copy_(share.sqrt())

    def _again(
        self, sample: LayeredSample, rows: Tensor, cells: Cells, generator: torch.Generator
    ) -> Cells:
        """Draw the hits of showers again, given their layers."""
        (energies, nu, latents), _ = self._seen(sample, rows, cells)
        size = self.settings.window
        place = (torch.arange(size) - size // 2) * self.layers.cell
        t, z = (cells.middle[:, :, axis, None] + place for axis in (0, 1))
        uniform = torch.rand((len(rows), self.uniform), generator=generator)
        electron = (sample.pdg[rows] == ELECTRON).float()
        given = (energies, nu, latents, sample.momentum[rows], sample.slope[rows], electron)
        shower, layer, column, row, energy, delay = self._hits(*given, t, z, uniform)
        x, y = t[shower, layer, column], z[shower, layer, row]
        return Cells(shower, layer, column, row, energy, x, y, delay, cells.middle, cells.outside)

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Take the networks of another training; see `Family.start_from`."""
        for name in ("profile", "velocity", "student"):
            self._take_parameters(getattr(self, name), state, f"{name}.")

    # --- generating -------------------------------------------------------------------------

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Not for showers in layers: see `forward`."""
        raise NotImplementedError

    def forward(  # type: ignore[override]
        self,
        noise: Tensor,
        uniform: Tensor,
        conditions: Tensor,
        t: Tensor,
        z: Tensor,
        pdg: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Generate showers: what the ONNX file does.

        Parameters
        ----------
        noise
            (N, noise) standard normal numbers.
        uniform
            (N, uniform) numbers in (0, 1).
        conditions
            (N, 6) as `k4calofast.incidence.LAYER_CONDITIONS`.
        t, z
            (N, layers, window) mm: centres of columns and rows, less where the line crosses.
        pdg
            (N,) kinds; left out where the generator has one kind alone.

        Returns
        -------
        tuple of Tensor
            Shower, place, energy (GeV) and delay (ns), (D,) each, of D hits.
        """
        if pdg is None:
            pdg = self.features.kinds[:1].expand(len(conditions))
        across, along = mirrors(pdg, conditions[:, 2])
        signs = torch.stack([1.0 - 2.0 * across.float(), 1.0 - 2.0 * along.float()], 1)
        slope = conditions[:, 1:3].tan() * signs
        t = torch.where(across[:, None, None], -t.flip(2), t)
        z = torch.where(along[:, None, None], -z.flip(2), z)
        momentum = conditions[:, 0]
        electron = (pdg != PHOTON).to(noise.dtype)
        context = self.student.of(self.features(electron, momentum, slope))
        numbers = jumped(self.student, noise, context, self.settings.jumps, self.bounded)[-1]
        energies, nu, latents = self._decode(numbers, momentum, slope, electron)
        given = (energies, nu, latents, momentum, slope, electron)
        shower, layer, column, row, energy, delay = self._hits(*given, t, z, uniform)
        size = self.settings.window
        column = torch.where(across[shower], size - 1 - column, column)
        row = torch.where(along[shower], size - 1 - row, row)
        place = (layer * size + column) * size + row
        return shower, place, energy * self.layers.mip, delay

    def bounded(self, numbers: Tensor) -> Tensor:
        """Keep numbers where the sample has some."""
        return torch.minimum(torch.maximum(numbers, self.low), self.high)

    def _hits(
        self,
        energies: Tensor,
        nu: Tensor,
        latents: Tensor,
        momentum: Tensor,
        slope: Tensor,
        electron: Tensor,
        t: Tensor,
        z: Tensor,
        uniform: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Draw hits: shower, layer, column, row, energy (MIPs) and delay (ns)."""
        s, count = self.settings, len(self.layers)
        usual = self._known(momentum, slope, energies).matmul(self.usual)
        latents = usual + self.remains * (latents - usual)
        mixtures = self._mixtures(energies, latents, momentum, slope, electron)
        t, z = t[:, :, self.columns], z[:, :, self.rows]
        across, along = self._along_rulers(mixtures, t.flatten(0, 1), z.flatten(0, 1))
        share = (across * mixtures.hits[:, :, None]).transpose(1, 2).matmul(along).flatten(1)
        probability = 1 - torch.exp(-nu.reshape(-1, 1) * share)
        # Systematic sampling: a cell is hit where the sum passes a whole number.
        passed = (torch.cumsum(probability, 1) + uniform[:, :count].reshape(-1, 1)).floor()
        before = torch.cat([torch.zeros_like(passed[:, :1]), passed[:, :-1]], 1)
        lit = (passed > before).nonzero()
        of, picked = lit[:, 0], lit[:, 1]
        shower, layer = of.div(count, rounding_mode="floor"), of % count
        column, row = picked.div(s.window, rounding_mode="floor"), picked % s.window

        one = torch.ones_like(of)
        in_layer = energies.flatten()
        hits = torch.zeros_like(in_layer, dtype=of.dtype).scatter_add(0, of, one)
        tried = nu.flatten()[of] * share[of, picked]
        # What is small would be lost in the difference.
        chance = torch.where(tried < _SMALL, tried, probability[of, picked])
        both = sums(across.flatten(0, 1)) * sums(along.flatten(0, 1))
        window = sums(mixtures.energy * both.reshape(mixtures.energy.shape))
        parts = mixtures.energy[of] * across[of, :, column] * along[of, :, row]
        expected = in_layer[of] * sums(parts) / least(window)[of] / least(chance)
        kind = self.energies.kind(tried, expected, hits[of].float())

        first = torch.zeros_like(momentum, dtype=of.dtype).scatter_add(0, shower, one).cumsum(0)
        rank = torch.cumsum(one, 0) - 1 - torch.where(shower > 0, first[shower - 1], 0)
        numbers = uniform[:, count:]
        drawn, gaps = [], []
        nothing = torch.zeros_like(in_layer)
        for candidate in range(s.candidates):
            here = numbers[shower, (rank + candidate * _PRIME) % s.numbers]
            energy = self.energies(kind, here)
            total = nothing.scatter_add(0, of, energy)
            drawn.append(energy)
            gaps.append((total.clamp(min=1e-6).log() - in_layer.clamp(min=1e-6).log()).abs())
        best = torch.stack(gaps).argmin(0)
        energy = torch.stack(drawn).gather(0, best[of][None])[0]
        total = nothing.scatter_add(0, of, energy)
        energy = energy * (in_layer / total.clamp(min=1e-6))[of]

        x, y = t[shower, layer, column], z[shower, layer, row]
        kind = self.delays.kind((x**2 + y**2).sqrt(), layer)
        here = numbers[shower, (rank + s.candidates * _PRIME) % s.numbers]
        delay = self.delays(kind, here)
        return shower, layer, self.columns[column], self.rows[row], energy, delay

    @property
    def window(self) -> tuple[int, int, int]:
        """Layers, columns and rows."""
        return (len(self.layers), *self.shape.window)

    def coverage(
        self, sample: Mapping[int, Mapping[str, Range]]
    ) -> dict[int, dict[str, tuple[float, float]]]:
        """See `Family.coverage`: positrons are mirrored electrons, and cells may lie anywhere."""
        anywhere = self.layers.cell / 2 + _BETWEEN
        more = {
            "offset_t": (-anywhere, anywhere),
            "offset_z": (-anywhere, anywhere),
            "depth": (-_FRONT, _FRONT),
        }
        covered = {pdg: {**ranges, **more} for pdg, ranges in sample.items()}
        for one, other in ((ELECTRON, POSITRON), (POSITRON, ELECTRON)):
            if one in covered and other not in covered:
                low, high = covered[one]["angle_t"]
                covered[other] = covered[one] | {"angle_t": (-high, -low)}
        return covered

    def signature(self, count: int) -> Signature:
        """Return example inputs for so many showers, and the names of all inputs and outputs."""
        size, layers = self.settings.window, len(self.layers)
        place = (torch.arange(size) - size // 2) * self.layers.cell
        view = place.expand(count, layers, size).float()
        conditions = torch.zeros(count, 6)
        conditions[:, 0] = 10.0
        inputs = {
            "noise": torch.zeros(count, self.noise),
            "uniform": torch.full((count, self.uniform), 0.5),
            "conditions": conditions,
            "t": view,
            "z": view,
        }
        if len(self.shape.kinds) > 1:
            inputs["pdg"] = self.features.kinds[:1].repeat(count)
        return Signature(inputs, dict.fromkeys(("shower", "place", "energy", "delay"), ("D", ())))

    def method(self) -> str:
        s = self.settings
        return (
            f"mixtures of {s.components} normal densities by likelihood, {s.profile_steps} steps "
            f"of {s.profile_batch} showers; flow matching of layers, {s.steps} steps of {s.batch}, "
            f"distilled to {s.jumps} steps of a network of {s.blocks} x {s.width}, "
            f"{s.distillation_steps} steps of {s.distillation_batch}; spectra of hits in tables"
        )


FAMILY = Layered

_FEWEST, _RIDGE, _MEAN_LOGARITHM = 50, 1e-4, 0.635

_CALIBRATED = 2000
"""Showers by which the latent numbers are calibrated."""


def trends(momentum: Tensor, slope: Tensor, electron: Tensor) -> Tensor:
    """Columns (N, 8) over which energies' means and widths are fitted."""
    scale = momentum.log() - 2.5
    steep = slope[:, 0] ** 2 + slope[:, 1] ** 2
    columns = [torch.ones_like(scale), scale, scale**2, scale**3, steep, steep * scale]
    return torch.stack([*columns, electron, electron * scale], 1)


def fitted(given: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Fit means, and logarithms of widths, of values (N,) over columns (N, 8).

    Returns
    -------
    tuple of Tensor
        (8,) coefficients of each.
    """
    if len(values) < _FEWEST:
        return torch.zeros(_TRENDS), torch.zeros(_TRENDS)
    # A ridge, for layers that are hardly ever lit.
    given = given.double()
    square = given.T @ given + _RIDGE * len(given) * torch.eye(_TRENDS, dtype=torch.float64)
    mean = torch.linalg.solve(square, given.T @ values.double())
    left = (values.double() - given @ mean).abs().clamp(min=1e-4).log()
    # The mean logarithm of a normal number's size is -0.635.
    width = torch.linalg.solve(square, given.T @ (left + _MEAN_LOGARITHM))
    return mean.float(), width.float()


def energies_of(cells: Cells, count: int, layers: int) -> Tensor:
    """Energies (count, layers) in MIPs."""
    total = torch.zeros(count * layers)
    total.index_add_(0, cells.shower * layers + cells.layer, cells.energy)
    return total.reshape(count, layers)


def with_outside(energies: Tensor, cells: Cells) -> Tensor:
    """Energies (n, layers) that have what is outside the windows, too, in proportion."""
    inside = energies.sum(1, keepdim=True).clamp(min=1e-6)
    return energies * (1 + cells.outside[:, None] / inside)


def latents_of(cells: Cells, count: int, slope: Tensor) -> Tensor:
    """Centre of gravity along t and z, and logarithms of mean radii of energy and of hits.

    Lengths in mm, as if the particle came along the normal.

    Returns
    -------
    Tensor
        (count, LATENTS).
    """

    def summed(values: Tensor) -> Tensor:
        return torch.zeros(count).index_add_(0, cells.shower, values)

    stretch = torch.sqrt(1 + slope**2)[cells.shower]
    x, y = cells.x / stretch[:, 0], cells.y / stretch[:, 1]
    radius = torch.hypot(x, y)
    energy = summed(cells.energy).clamp(min=1e-9)
    hits = summed(torch.ones_like(radius)).clamp(min=1.0)
    radii = torch.stack([summed(cells.energy * radius) / energy, summed(radius) / hits], 1)
    centre = torch.stack([summed(cells.energy * x) / energy, summed(cells.energy * y) / energy], 1)
    return torch.cat([centre, radii.clamp(min=0.5).log()], 1)


def shares(mixtures: Mixtures, cells: Cells, of: Tensor, cell: float) -> tuple[Tensor, Tensor]:
    """Shares of energy and of hits (C,) that are expected in cells.

    Parameters
    ----------
    of
        (C,) the cells' layers, among those of the mixtures.
    cell
        Size of a cell (mm).
    """
    there = mixtures.take(of)
    place = torch.stack([cells.x, cells.y], 1)
    inside = there.within(place - cell / 2, place + cell / 2)
    return least((there.energy * inside).sum(1)), least((there.hits * inside).sum(1))


class Profiling(Stage):
    """Mixtures by the likelihood of hits, and of energy."""

    family: Layered
    weight_decay = 0.0

    def __init__(self, family: Layered, sample: LayeredSample) -> None:
        s = family.settings
        super().__init__(
            "profile",
            family,
            family.profile,
            sample,  # type: ignore[arg-type]
            s.profile_steps,
            s.profile_batch,
            s.profile_rate,
        )

    def loss(self, rows: Tensor) -> Tensor:
        family = self.family
        sample: LayeredSample = self.sample  # type: ignore[assignment]
        count, cell = len(family.layers), family.layers.cell
        cells = family.cells(sample, rows, torch.randint(0, PHASES, (len(rows), 2)))
        of = cells.shower * count + cells.layer
        energies = energies_of(cells, len(rows), count)
        latents = latents_of(cells, len(rows), sample.slope[rows])
        mixtures = family.mixtures(energies, latents, sample, rows)
        of_energy, of_hits = shares(mixtures, cells, of, cell)
        half = family.settings.window / 2 * cell
        middle = cells.middle.flatten(0, 1)
        inside = mixtures.within(middle - half, middle + half)
        in_window = (mixtures.energy * inside).sum(1)
        weight = cells.energy / energies.flatten()[of]
        lit = (energies.flatten() > 0).float()
        energy = (lit * in_window.log()).sum() - (weight * of_energy.log()).sum()
        window = (mixtures.hits * inside).sum(1)
        with torch.no_grad():
            nu = chances(of_hits, of, len(window), window) * lit
        return (energy + unlikelihood(of_hits, nu, of, window)) / len(window)


class Matching(Stage):
    """Velocities of straight lines from noise to the numbers of layers."""

    family: Layered

    def __init__(self, family: Layered, sample: LayeredSample, numbers: Tensor) -> None:
        s = family.settings
        super().__init__(
            "flow",
            family,
            family.velocity,
            sample,  # type: ignore[arg-type]
            s.steps,
            s.batch,
            s.learning_rate,
        )
        self.numbers = numbers
        weight = torch.ones(family.dimension)
        weight[0] = _WEIGHT_OF_TOTAL
        self.weight = weight

    def loss(self, rows: Tensor) -> Tensor:
        family = self.family
        showers = self.numbers[rows]
        given = given_of(family, self.sample, rows)  # type: ignore[arg-type]
        noise = torch.randn_like(showers)
        time = torch.rand((len(rows), 1), device=self.device)
        velocity = family.velocity
        found = velocity((1 - time) * noise + time * showers, time, velocity.of(given))
        return weighted(found, showers - noise, self.weight)


class Distilling(Stage):
    """The mean velocities of the flow's trajectories over equal intervals of time."""

    family: Layered

    def __init__(self, family: Layered, sample: LayeredSample) -> None:
        s = family.settings
        super().__init__(
            "distillation",
            family,
            family.student,
            sample,  # type: ignore[arg-type]
            s.distillation_steps,
            s.distillation_batch,
            s.distillation_rate,
        )
        # The student starts as its teacher.
        for module in (family.student, self.average):
            module.load_state_dict(family.velocity.state_dict())
        weight = torch.ones(family.dimension)
        weight[0] = _WEIGHT_OF_TOTAL
        self.weight = weight

    def loss(self, rows: Tensor) -> Tensor:
        family, s = self.family, self.family.settings
        given = given_of(family, self.sample, rows)  # type: ignore[arg-type]
        noise = torch.randn((len(rows), family.noise), device=self.device)
        teacher = family.velocity
        states = trajectory(teacher, noise, teacher.of(given), s.jumps, s.midpoints, family.bounded)
        return regression(family.student, states, given, self.weight)


def given_of(family: Layered, sample: LayeredSample, rows: Tensor) -> Tensor:
    """Features of showers (n,) of a sample."""
    electron = (sample.pdg[rows] == ELECTRON).float()
    given: Tensor = family.features(electron, sample.momentum[rows], sample.slope[rows])
    return given

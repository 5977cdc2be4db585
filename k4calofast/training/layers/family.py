"""Showers in layers: layers one after the other, then hits where mixtures expect them.

The line of thought of L2LFlows (S. Diefenbacher et al., arXiv:2302.11594) and CaloClouds
(E. Buhmann et al., arXiv:2305.04847): first the energy of each layer, then what is in it, given
those.
Both parts are made so that two cores train them in minutes and a shower takes a fraction of a
millisecond:

- The **development** draws the energy of the shower, then energy and number of hits of one layer
  after the other, and four numbers of the whole: centre of gravity and mean radii
  (`k4calofast.training.layers.development`).
- A **profile** says for each layer where hits and energy are expected, as mixtures of normal
  densities around the particle's line (`k4calofast.training.layers.profile`). It is fitted by
  likelihood to single hits, seen by cells at random places.
- **Hits** are drawn by systematic sampling: with a probability for each cell, one random number per
  layer picks as many cells as there are hits, no more and no fewer. Their energies come from tables
  (`k4calofast.training.layers.energies`), in layers of few hits the hottest's first; of several
  draws, that is taken whose sum is nearest to the layer's energy, and brought to it by its large
  hits.

What differs from those publications: there is no network per hit, and hits are drawn in cells, not
as points; so no two hits share a cell, and cells may lie as they like, layer by layer.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Precision, Settings
from k4calofast.training.family import Family, Range, Signature, Stage
from k4calofast.training.layers.choice import ByLikelihood
from k4calofast.training.layers.development import TRENDS, Developed, Development, trends
from k4calofast.training.layers.energies import (
    HitDelays,
    HitEnergies,
    Hottest,
    without_hottest,
)
from k4calofast.training.layers.profile import (
    LATENTS,
    Mixtures,
    Profile,
    context_of,
    least,
    scaled,
    unlikelihood,
)
from k4calofast.training.layers.sample import (
    ELECTRON,
    PHASES,
    PHOTON,
    POSITRON,
    Cells,
    LayeredSample,
    Particles,
    Shape,
    mirrors,
)
from k4calofast.training.seeds import seed_of
from k4calofast.training.sums import sums

_AT_ONCE = 64
"""Showers whose cells are looked at together."""

_VIEWS = 2
"""Places of cells from which each shower is seen."""

_BETWEEN = 5.0
"""Most that is dead on either side of a cell (mm): guard rings, and borders of modules."""

_FRONT = 0.5
"""Behind the front (mm) where particles may still enter."""

_SMALL = 1e-3
"""Chances below which they are the probability itself."""

_LEAST_FACTOR, _LARGEST_FACTOR = 0.3, 3.0
"""By which hits' energies may change when their sum is brought to the layer's."""

_DRAWS = 4
"""Uniform numbers of a layer: which cells are hit, which tables are read, which hit is the hottest,
and its share."""

_PRIME = 101
"""Uniform numbers of one draw lie so far from those of the next."""


class Grids(NamedTuple):
    """What is expected in the cells of windows, (R, S, S) each of R layers.

    Attributes
    ----------
    none
        Minus the number of chances that hit the cell: the logarithm of no hit's probability.
    probability
        With which the cell is hit, if chances come by chance.
    energy
        Share of the energy in the window.
    """

    none: Tensor
    probability: Tensor
    energy: Tensor

    @property
    def chances(self) -> Tensor:
        """Number of chances that hit the cell."""
        return -self.none

    @property
    def peak(self) -> Tensor:
        """Largest share of energy (R,) in a cell."""
        return self.energy.flatten(1).amax(1)

    def at(self, place: Tensor) -> Grids:
        """Return the same of some cells (D,) of all."""
        return Grids(*(grid.flatten().gather(0, place) for grid in self))

    def if_hit(self, dense: Tensor) -> Tensor:
        """Energies (D,) that are expected in cells if they are hit.

        Parameters
        ----------
        dense
            (D,) energy of the cells' layers, over the factor by which probabilities are brought to
            as many hits as there are.
        """
        # What is small was lost in the difference.
        probability = torch.where(self.chances < _SMALL, self.chances, self.probability)
        return dense * self.energy / least(probability)


Hits = tuple[Tensor, Tensor, Tensor, Tensor]
"""Shower, place, energy and delay of hits, (D,) each; showers in ascending order."""


class Incident(NamedTuple):
    """N particles and their cells, mirrored.

    Attributes
    ----------
    t, z
        (N, layers, window) mm: centres of columns and rows, less where the line crosses.
    """

    particles: Particles
    t: Tensor
    z: Tensor

    def take(self, rows: slice) -> Incident:
        """Return some of them."""
        return Incident(self.particles.take(rows), self.t[rows], self.z[rows])


class Picked(NamedTuple):
    """D hits among the cells of R layers.

    Attributes
    ----------
    of
        (D,) which layer.
    number
        (D,) of the hit, among all; those that came again are left out.
    column, cell
        (D,) of all layers' columns, and cells.
    each
        (R,) what the probabilities of a layer sum up to, over its number of hits.
    """

    of: Tensor
    number: Tensor
    column: Tensor
    cell: Tensor
    each: Tensor


class LayeredSettings(Settings):
    """Settings of a generator of showers in layers.

    Attributes
    ----------
    window
        Columns, and rows, of cells in each layer; odd.
    components, profile_width
        Of the mixtures of the profile, and of the network that makes them.
    profile_steps, profile_rate, profile_batch
        Of the training of the profile.
    width, parts
        Of the network for layers, and how many densities its mixtures have.
    steps, learning_rate, batch
        Of the training of the development.
    candidates
        Draws of a layer's energies, of which one is taken.
    numbers
        Uniform numbers for hits; with more hits, they come again.
    """

    title: ClassVar[str] = "layers one after the other, hits from mixtures"
    source: ClassVar[str] = (
        "L2LFlows: Diefenbacher et al., arXiv:2302.11594; CaloClouds: Buhmann et al., "
        "arXiv:2305.04847"
    )

    threshold: float = Field(default=3e-6, ge=0)
    precision: Precision = "32-true"
    block: int = Field(default=32, ge=1, le=1 << 16)
    window: int = Field(default=33, ge=3, le=301)
    components: int = Field(default=7, ge=2)
    profile_width: int = Field(default=96, ge=8)
    profile_steps: int = Field(default=6_000, ge=1)
    profile_rate: float = Field(default=3e-3, gt=0)
    profile_batch: int = Field(default=32, ge=1)
    width: int = Field(default=96, ge=8)
    parts: int = Field(default=4, ge=1)
    steps: int = Field(default=10_000, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    batch: int = Field(default=256, ge=1)
    candidates: int = Field(default=2, ge=1, le=16)
    numbers: int = Field(default=1024, ge=64, le=1 << 15)


class Inside(nn.Module):
    """Features of kinds, momenta and angles."""

    kinds: Tensor

    def __init__(self, kinds: list[int], low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = math.log(low), math.log(high)
        self.register_buffer("kinds", torch.tensor(kinds))
        self.size = 8

    def forward(self, particles: Particles) -> Tensor:
        """Features (N, size) of particles."""
        momentum, slope, electron = particles
        scale = 2 * (momentum.log() - self.low) / (self.high - self.low) - 1
        columns = [electron, scale, scale**2, scale**3, *slope.unbind(1), *(slope**2).unbind(1)]
        return torch.stack(columns, 1)


class LayersFamily(Family):
    """A generator of hits in layers: symmetries and units are dealt with here, once."""

    interface = "hits"
    # Layers one after the other are many small operations: many showers share them.
    blocks_per_call = 8
    shape: Shape
    features: Inside

    def __init__(self, settings: Settings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.layers = shape.layers

    def _features(self) -> Inside:
        return Inside(self.shape.kinds, *self.shape.ranges["momentum"])

    @abstractmethod
    def generate(self, noise: Tensor, uniform: Tensor, incident: Incident) -> Hits:
        """Generate N mirrored showers: shower, place, energy (MIPs) and delay (ns) of D hits."""

    def forward(
        self,
        noise: Tensor,
        uniform: Tensor,
        conditions: Tensor,
        t: Tensor,
        z: Tensor,
        pdg: Tensor | None = None,
    ) -> Hits:
        """Generate N showers: what the ONNX file does.

        Parameters
        ----------
        noise, uniform
            (N, noise) standard normal numbers, (N, uniform) between 0 and 1.
        conditions
            (N, 6) as `k4calofast.detector.layers.CONDITIONS`.
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
        hits = self.generate(noise, uniform, self._mirrored(conditions, t, z, pdg))
        return hits[0], hits[1], hits[2] * self.layers.mip, hits[3]

    @staticmethod
    def _mirrored(conditions: Tensor, t: Tensor, z: Tensor, pdg: Tensor) -> Incident:
        """Return particles and their cells as `mirrors` says."""
        across, along = mirrors(pdg, conditions[:, 2])
        signs = torch.stack([1.0 - 2.0 * across.float(), 1.0 - 2.0 * along.float()], 1)
        slope = conditions[:, 1:3].tan() * signs
        t, z = t * signs[:, :1, None], z * signs[:, 1:, None]
        electron = (pdg != PHOTON).to(conditions.dtype)
        return Incident(Particles(conditions[:, 0], slope, electron), t, z)

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
        for pdg in {ELECTRON, POSITRON} & set(sample):
            if -pdg not in covered:
                low, high = covered[pdg]["angle_t"]
                covered[-pdg] = covered[pdg] | {"angle_t": (-high, -low)}
        return covered

    def signature(self, count: int) -> Signature:
        """See `Family.signature`."""
        view = self._ruler.expand(count, len(self.layers), self.shape.window[0]).float()
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

    @property
    def _ruler(self) -> Tensor:
        """Centres (S,) of a window's columns, or rows, less that of the middle one (mm)."""
        size = self.shape.window[0]
        return (torch.arange(size) - size // 2) * self.layers.cell


class Layered(LayersFamily):
    """Layers one after the other, hits from mixtures."""

    Settings = LayeredSettings
    settings: LayeredSettings
    remains: Tensor
    missing: Tensor
    columns: Tensor
    rows: Tensor

    def __init__(self, settings: LayeredSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        s = settings
        count = len(self.layers)
        self.development = Development(count, self.features.size, s.width, s.parts)
        self.profile = Profile(count, s.profile_width, s.components)
        self.energies, self.delays = HitEnergies(), HitDelays(count, *shape.ranges["momentum"])
        self.hottest = Hottest(self.energies.count)
        self.noise = self.development.noise
        # Of layers, and of hits.
        self.uniform = self.development.uniform + _DRAWS * count + s.numbers + s.candidates * _PRIME
        generator = torch.Generator().manual_seed(seed_of(s.seed, "order"))
        columns, rows = (torch.randperm(s.window, generator=generator) for _ in range(2))
        for name, start in {
            # What of the latent numbers is not the chance of which cells are hit.
            "remains": torch.ones(LATENTS),
            # What has to be asked for beyond what is wanted, by `_columns`.
            "missing": torch.zeros(TRENDS + 2, LATENTS),
            # In which cells are looked at when hits are drawn.
            "columns": columns,
            "rows": rows,
        }.items():
            self.register_buffer(name, start)

    # --- training ---------------------------------------------------------------------------

    def prepare(self, sample: LayeredSample) -> None:
        """Nothing: all scales come from showers as cells see them."""

    def stages(self, sample: LayeredSample) -> Iterator[Stage]:
        shown, rows = self._shown(sample)
        self.development.fit_scales(shown, sample.particles(rows))
        yield Developing(self, sample, shown)
        yield Profiling(self, sample)

    @torch.no_grad()
    def _shown(self, sample: LayeredSample) -> tuple[Developed, Tensor]:
        """What cells see of all showers, from several places; and which shower each is."""
        generator = torch.Generator().manual_seed(seed_of(self.settings.seed, "phases"))
        parts = [
            self.seen_anywhere(sample, rows, generator) for rows in _portions(len(sample), _VIEWS)
        ]
        shown = Developed(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
        return shown, torch.arange(len(sample)).repeat(_VIEWS)

    def seen_anywhere(
        self, sample: LayeredSample, rows: Tensor, generator: torch.Generator | None = None
    ) -> Developed:
        """Layers of showers (n,), as cells that lie at random places see them."""
        cells = self.cells_anywhere(sample, rows, generator)
        shown = self.shown(cells, len(rows), sample.slope[rows])
        # What is outside the windows belongs to the shower, in proportion.
        total = shown.energies.sum(1, keepdim=True).clamp(min=1e-6)
        return shown._replace(energies=shown.energies * (1 + cells.outside[:, None] / total))

    def cells_anywhere(
        self, sample: LayeredSample, rows: Tensor, generator: torch.Generator | None = None
    ) -> Cells:
        """Cells of showers (n,) with energies above the threshold; they lie at random places."""
        phase = torch.randint(0, PHASES, (len(rows), 2), generator=generator)
        threshold = self.settings.threshold / self.layers.mip
        return sample.cells(rows, phase, self.settings.window, threshold)

    def shown(self, cells: Cells, count: int, slope: Tensor) -> Developed:
        """Layers of so many showers, as cells see them."""
        of, layers = cells.shower * len(self.layers) + cells.layer, len(self.layers)
        energies = torch.zeros(count * layers).index_add_(0, of, cells.energy)
        hits = torch.bincount(of, minlength=count * layers).float()
        latents = latents_of(cells, count, slope)
        return Developed(energies.reshape(count, layers), hits.reshape(count, layers), latents)

    def mixtures(self, shown: Developed, particles: Particles) -> Mixtures:
        """Mixtures of all layers (n L) of showers (n,)."""
        count, energies = len(self.layers), shown.energies
        context = context_of(energies, shown.hits, particles)
        whole = scaled(shown.latents)[:, None].expand(-1, count, -1)
        # Not from a size: an exported graph would keep that of the example.
        number = torch.arange(count, device=energies.device)
        layer = (torch.zeros_like(energies, dtype=torch.int64) + number).flatten()
        found: Mixtures = self.profile(
            torch.cat([context, whole], 2).flatten(0, 1),
            layer,
            shown.hits.flatten(),
            particles.slope.repeat_interleave(count, 0),
        )
        return found

    def of_windows(self, mixtures: Mixtures, middle: Tensor) -> tuple[Tensor, Tensor]:
        """Shares (R,) of energy and of hits that are in windows with middles (R, 2) in mm."""
        half = self.settings.window / 2 * self.layers.cell
        inside = mixtures.within(middle - half, middle + half)
        return (mixtures.energy * inside).sum(1), (mixtures.hits * inside).sum(1)

    def _fit_tables(self, sample: LayeredSample) -> None:
        """Take the spectra of hits, and of their delays."""
        generator = torch.Generator().manual_seed(seed_of(self.settings.seed, "tables"))
        size, count = self.settings.window, len(self.layers)
        lead_of_layers: list[tuple[Tensor, ...]] = []
        lead_of_hits, energies, delays = [], [], []
        for rows in _portions(len(sample), _VIEWS):
            cells = self.cells_anywhere(sample, rows, generator)
            slope = sample.slope[rows]
            shown = self.shown(cells, len(rows), slope)
            of = cells.shower * count + cells.layer
            mixtures = self.mixtures(shown, sample.particles(rows))
            t, z = (cells.middle[:, :, axis, None] + self._ruler for axis in (0, 1))
            grids = self._grids(mixtures, t.flatten(0, 1), z.flatten(0, 1))
            in_layer, hits = shown.energies.flatten(), shown.hits.flatten()
            ways = _ways(slope, count)
            factor = least(hits / least(grids.probability.flatten(1).sum(1)))
            of_hits = grids.at((of * size + cells.column) * size + cells.row)
            expected = of_hits.if_hit((in_layer / factor)[of])
            uniform = torch.rand(len(hits), generator=generator)
            of_layer = self.energies.of_layer(hits, ways, uniform)
            relative = expected / (in_layer / least(hits))[of]
            # Layers of all portions are counted.
            before = sum(len(part[0]) for part in lead_of_layers)
            lead_of_layers.append((of_layer, hits, in_layer, grids.peak))
            lead_of_hits.append((of + before, relative, cells.energy))
            others, left = without_hottest(of, cells.energy, hits, in_layer)
            columns = (of_layer[of], of_hits.chances, expected * left[of], ways[of], cells.energy)
            energies.append([column[others] for column in columns])
            of_layer = self.delays.of_layer(shown.energies, sample.momentum[rows], ways, uniform)
            square = cells.x**2 + cells.y**2
            delays.append((of_layer[of], cells.energy, square, cells.delay))
        self.hottest.fit(*_joined(lead_of_layers), *_joined(lead_of_hits))
        self.energies.fit(*_joined(energies))
        self.delays.fit(*_joined(delays))

    def finish(self, sample: LayeredSample) -> None:
        """Take the spectra of hits, and learn what of the latent numbers is not chance."""
        self._fit_tables(sample)
        self._calibrate(sample)

    def _calibrate(self, sample: LayeredSample) -> None:
        """Learn which latent numbers to ask for, to find those that are wanted in what is drawn.

        Part of what they are comes by chance, from which cells happen to be hit; and what is asked
        for is not quite what comes, on average.
        """
        few = torch.arange(0, len(sample), -(-len(sample) // _CALIBRATED))
        wanted = self._deviations(sample, few, again=False)
        drawn = []
        for remains in (0.0, 1.0):
            self.remains.fill_(remains)
            drawn.append(self._deviations(sample, few, again=True))
        true, without, with_all = (_spread(deviations) ** 2 for deviations in (wanted, *drawn))
        share = ((true - without) / (with_all - without).clamp(min=1e-6)).clamp(0.0, 1.5)
        self.remains.copy_(share.sqrt())
        missing = wanted - self._deviations(sample, few, again=True)
        low, high = missing.quantile(0.01, 0), missing.quantile(0.99, 0)
        missing = torch.minimum(torch.maximum(missing, low), high).double()
        columns = _columns(sample.particles(few)).double()
        square = columns.T @ columns + 1e-3 * len(few) * torch.eye(columns.shape[1])
        self.missing.copy_(torch.linalg.solve(square, columns.T @ missing))

    def _deviations(self, sample: LayeredSample, few: Tensor, again: bool) -> Tensor:
        """Latent numbers of showers, or of hits drawn again, less what is usual."""
        generator = torch.Generator().manual_seed(seed_of(self.settings.seed, "calibration"))
        found = []
        for start in range(0, len(few), _AT_ONCE):
            rows = few[start : start + _AT_ONCE]
            cells = self.cells_anywhere(sample, rows, generator)
            shown = self.shown(cells, len(rows), sample.slope[rows])
            latents = shown.latents
            if again:
                chance = torch.Generator().manual_seed(start)
                drawn = self._again(sample, rows, cells, shown, chance)
                latents = latents_of(drawn, len(rows), sample.slope[rows])
            found.append(latents - self.development.usual_of(shown, sample.momentum[rows]))
        return torch.cat(found)

    def _again(
        self,
        sample: LayeredSample,
        rows: Tensor,
        cells: Cells,
        shown: Developed,
        generator: torch.Generator,
    ) -> Cells:
        """Draw the hits of showers again, given their layers."""
        size = self.settings.window
        incident = self.incident(sample, rows, cells)
        count = self.uniform - self.development.uniform
        uniform = torch.rand((len(rows), count), generator=generator)
        shower, place, energy, delay = self._hits(shown, incident, uniform)
        row, of_row = place % size, place // size
        column, layer = of_row % size, of_row // size
        x, y = incident.t[shower, layer, column], incident.z[shower, layer, row]
        return Cells(shower, layer, column, row, energy, x, y, delay, cells.middle, cells.outside)

    def incident(self, sample: LayeredSample, rows: Tensor, cells: Cells) -> Incident:
        """Return the particles of a sample in these rows, and where their cells lie."""
        t, z = (cells.middle[:, :, axis, None] + self._ruler for axis in (0, 1))
        return Incident(sample.particles(rows), t, z)

    def as_hits(self, cells: Cells) -> Hits:
        """Return cells with energy as hits are generated."""
        size = self.settings.window
        place = (cells.layer * size + cells.column) * size + cells.row
        return cells.shower, place, cells.energy, cells.delay

    # --- generating -------------------------------------------------------------------------

    def generate(self, noise: Tensor, uniform: Tensor, incident: Incident) -> Hits:
        first, particles = self.development.uniform, incident.particles
        features = self.features(particles)
        shown = self.development(noise, uniform[:, :first], features, particles)
        rest = uniform[:, first:]
        parts = []
        # Hits are drawn block by block: in a core's cache, what is expected in their cells leaves
        # room for the networks. Were there more showers, the last block would have them.
        block, blocks = self.settings.block, self.blocks_per_call
        for number in range(blocks):
            start = number * block
            rows = slice(start, start + block if number < blocks - 1 else None)
            of_part = Developed(*(column[rows] for column in shown))
            part = self._hits(of_part, incident.take(rows), rest[rows])
            parts.append((part[0] + start, *part[1:]))
        shower, place, energy, delay = (torch.cat(column) for column in zip(*parts, strict=True))
        return shower, place, energy, delay

    def _along_rulers(self, mixtures: Mixtures, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Twice the shares (R, K, S) of each component in columns, and in rows."""
        half, size = self.layers.cell / 2, self.settings.window
        scale = math.sqrt(0.5) / mixtures.width
        lines = torch.stack([scale, -mixtures.centre * scale], 3)
        found = []
        for centres, line in zip((t, z), lines.unbind(2), strict=True):
            edges = torch.cat([centres + half, centres - half], 1)
            edges = torch.stack([edges, torch.ones_like(edges)], 1)
            # Products with pairs are faster than sums that are spread over an array.
            above, below = torch.split(torch.erf(line.matmul(edges)), size, 2)
            found.append(above - below)
        return found[0], found[1]

    def _grids(self, mixtures: Mixtures, t: Tensor, z: Tensor) -> Grids:
        """What is expected in the cells at columns and rows (R, S), in mm."""
        across, along = self._along_rulers(mixtures, t, z)
        both = sums(across.flatten(0, 1)) * sums(along.flatten(0, 1))
        window = sums(mixtures.energy * both.reshape(mixtures.energy.shape))
        # Shares are twice what they are, along both: the sum over the window has that, too.
        weights = (
            mixtures.hits * (-0.25 * mixtures.chances)[:, None],
            mixtures.energy / least(window)[:, None],
        )
        none, energy = (
            (across * weight[:, :, None]).transpose(1, 2).matmul(along) for weight in weights
        )
        return Grids(none, 1 - torch.exp(none), energy)

    def _picked(self, probability: Tensor, hits: Tensor, start: Tensor) -> Picked:
        """Pick hits by systematic sampling: where a sum passes whole numbers.

        Parameters
        ----------
        probability
            (R, S, S) of cells.
        hits, start
            (R,) how many, and where the sum starts, between 0 and 1.
        """
        size = self.settings.window
        # A product with a triangle: a cumulative sum whose order is fixed.
        triangle = torch.ones(size, size, device=probability.device).triu()
        along_rows = probability.matmul(triangle)
        ends = along_rows[:, :, size - 1 :].flatten(1).matmul(triangle)
        each = least(ends[:, -1]) / least(hits)
        of, number, in_layer = counted_out(hits.long())
        in_layer = in_layer.to(start.dtype)
        passes = (in_layer + (1 - start).gather(0, of)) * each.gather(0, of)
        column = _searched(ends.flatten(), of * size, size, passes)
        before = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], 1)
        passes = passes - before.flatten().gather(0, column)
        cell = _searched(along_rows.flatten(), column * size, size, passes)
        # A cell that is passed twice is one hit.
        new = torch.cat([torch.ones_like(cell[:1]), (cell[1:] != cell[:-1]).long()])
        new = new.cumsum(0)
        # Not by an index: there may be no hits.
        last = torch.zeros_like(number).scatter(0, new - 1, number)[: new[-1:].sum()]
        of, number, column, cell = (one.gather(0, last) for one in (of, number, column, cell))
        return Picked(of, number, column, cell, each)

    def _hits(self, shown: Developed, incident: Incident, uniform: Tensor) -> Hits:
        """Draw hits: shower, place, energy (MIPs) and delay (ns)."""
        s, count = self.settings, len(self.layers)
        momentum, slope, _ = incident.particles
        usual = self.development.usual_of(shown, momentum)
        latents = usual + self.remains * (shown.latents - usual)
        latents = latents + _columns(incident.particles).matmul(self.missing)
        shown = shown._replace(latents=latents)
        mixtures = self.mixtures(shown, incident.particles)
        t = incident.t.flatten(0, 1).matmul(_orderly(self.columns))
        z = incident.z.flatten(0, 1).matmul(_orderly(self.rows))
        grids = self._grids(mixtures, t, z)
        in_layer, hits, ways = shown.energies.flatten(), shown.hits.flatten(), _ways(slope, count)
        start, between, which, how = (
            uniform[:, draw * count : (draw + 1) * count].flatten() for draw in range(_DRAWS)
        )
        of, number, column, cell, each = self._picked(grids.probability, hits, start)

        of_energy = self.energies.of_layer(hits, ways, between)
        lead = self.hottest.lead(of_energy, hits, in_layer, grids.peak, how)
        nothing = torch.zeros_like(shown.hits)
        showers = torch.ones_like(momentum).cumsum(0) - 1
        lines = torch.arange(count, device=of.device) * s.window
        of_layers = [
            (nothing + showers[:, None]).flatten(),
            (nothing + lines).flatten(),
            in_layer * each,
            hits / least(in_layer),
            lead.most,
            lead.along,
            lead.left,
            ways,
            of_energy,
            self.delays.of_layer(shown.energies, momentum, ways, between),
        ]
        # Several numbers of a layer are looked up together: that is faster.
        together = torch.stack([one.to(ways.dtype) for one in of_layers], 1)[of]
        shower, line, dense, over_mean, most, along, left, way, of_energy, of_delay = (
            together.unbind(1)
        )
        shower, line, of_energy = shower.long(), line.long(), of_energy.long()

        in_cells = grids.at(cell)
        expected = in_cells.if_hit(dense)
        leads = self.hottest.among(of, of_energy, expected * over_mean, which) & (left < 1)
        expected = expected * left
        kind = self.energies.kind(of_energy, in_cells.chances, expected)
        scale = self.energies.scale(kind, expected, way)
        draws = uniform[:, _DRAWS * count :].flatten()
        of_shower = shown.hits.long().sum(1)
        number = number - (of_shower.cumsum(0) - of_shower).gather(0, shower)
        # With more hits than numbers, these come again.
        first = shower * (s.numbers + s.candidates * _PRIME) + number % s.numbers
        energies, totals = [], []
        for candidate in range(s.candidates):
            energy = self.energies(kind, draws.gather(0, first + candidate * _PRIME)) * scale
            energy = torch.where(leads, along, torch.minimum(energy, most))
            energies.append(energy)
            totals.append(torch.zeros_like(in_layer).scatter_add(0, of, energy))
        energy, total = energies[0], totals[0]
        for other, its_total in zip(energies[1:], totals[1:], strict=True):
            nearer = _off(its_total, lead.wanted) < _off(total, lead.wanted)
            energy = torch.where(nearer.gather(0, of), other, energy)
            total = torch.where(nearer, its_total, total)
        energy = _brought(energy, total, of, lead.wanted)
        # Where there are no others, the hottest has all.
        more = in_layer - torch.where(total > 0, lead.wanted, torch.zeros_like(total))
        energy = torch.where(leads, energy + more.gather(0, of), energy)

        row = cell - column * s.window
        square = t.flatten().gather(0, column) ** 2
        square = square + z.flatten().gather(0, of * s.window + row) ** 2
        kind = self.delays.kind(of_delay.long(), energy, square)
        delay = self.delays(kind, draws.gather(0, first + s.candidates * _PRIME))
        line = line + self.columns.gather(0, column - of * s.window)
        return shower, line * s.window + self.rows.gather(0, row), energy, delay

    def method(self) -> str:
        s = self.settings
        return (
            f"layers one after the other by likelihood, a network of {s.width} and mixtures of "
            f"{s.parts}, {s.steps} steps of {s.batch} showers; hits' places by likelihood, "
            f"mixtures of {s.components} normal densities, {s.profile_steps} steps of "
            f"{s.profile_batch}; "
            "spectra of hits in tables"
        )


FAMILY = Layered

_CALIBRATED = 3000
"""Showers by which the latent numbers are calibrated."""


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
    of_cells = mixtures.take(of)
    place = torch.stack([cells.x, cells.y], 1)
    inside = of_cells.within(place - cell / 2, place + cell / 2)
    return least((of_cells.energy * inside).sum(1)), least((of_cells.hits * inside).sum(1))


class Developing(ByLikelihood):
    """Layers by the likelihood of their energies and numbers of hits."""

    family: Layered

    def __init__(self, family: Layered, sample: LayeredSample, shown: Developed) -> None:
        s = family.settings
        super().__init__(
            "development",
            family,
            family.development,
            sample,
            s.steps,
            s.batch,
            s.learning_rate,
        )
        self.shown = shown

    @property
    def count(self) -> int:
        """Showers, each seen from several places."""
        return len(self.shown.energies)

    def loss(self, rows: Tensor) -> Tensor:
        shown = Developed(*(part[rows] for part in self.shown))
        return self._of(self.sample, rows % len(self.sample), shown)

    def unlikelihood(self, sample: LayeredSample, rows: Tensor) -> Tensor:
        return self._of(sample, rows, self.family.seen_anywhere(sample, rows))

    def _of(self, sample: LayeredSample, rows: Tensor, shown: Developed) -> Tensor:
        family = self.family
        particles = sample.particles(rows)
        return family.development.unlikelihood(shown, family.features(particles), particles)


class Profiling(ByLikelihood):
    """Mixtures by the likelihood of hits, and of energy."""

    family: Layered
    weight_decay = 0.0

    def __init__(self, family: Layered, sample: LayeredSample) -> None:
        s = family.settings
        super().__init__(
            "profile",
            family,
            family.profile,
            sample,
            s.profile_steps,
            s.profile_batch,
            s.profile_rate,
        )

    def loss(self, rows: Tensor) -> Tensor:
        return self.unlikelihood(self.sample, rows)

    def unlikelihood(self, sample: LayeredSample, rows: Tensor) -> Tensor:
        family = self.family
        cells = family.cells_anywhere(sample, rows)
        shown = family.shown(cells, len(rows), sample.slope[rows])
        of = cells.shower * len(family.layers) + cells.layer
        mixtures = family.mixtures(shown, sample.particles(rows))
        of_energy, of_hits = shares(mixtures, cells, of, family.layers.cell)
        energy, hits = family.of_windows(mixtures, cells.middle.flatten(0, 1))
        in_layer = shown.energies.flatten()
        weight = cells.energy / in_layer[of]
        places = (in_layer > 0).float() @ energy.log() - weight @ of_energy.log()
        return (places + unlikelihood(of_hits, mixtures.chances, of, hits)) / len(in_layer)


def _portions(count: int, times: int) -> Iterator[Tensor]:
    """Yield rows, a few at once, and all of them several times."""
    for _ in range(times):
        yield from torch.split(torch.arange(count), _AT_ONCE)


def _joined(parts: Iterable[Iterable[Tensor]]) -> Iterator[Tensor]:
    """Yield columns of which each part has a piece."""
    return (torch.cat(column) for column in zip(*parts, strict=True))


def _spread(deviations: Tensor) -> Tensor:
    """Half of the middle 68 % of each column: single hits far away make long tails."""
    return (deviations.quantile(0.84, 0) - deviations.quantile(0.16, 0)) / 2


def _columns(particles: Particles) -> Tensor:
    """Columns (N, 10) over which `Layered.missing` is a line."""
    return torch.cat([trends(particles), particles.slope], 1)


def _ways(slope: Tensor, layers: int) -> Tensor:
    """Way (n L,) through layers, over that along the normal."""
    way: Tensor = torch.sqrt(1 + slope[:, 0] ** 2 + slope[:, 1] ** 2).repeat_interleave(layers)
    return way


def counted_out(count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whose each is, of as many (D,) as owners (R,) have; its number, among all and its owner's."""
    after = count.cumsum(0)
    number = torch.arange(count.sum() + 1, device=count.device)  # type: ignore[call-overload]
    of = torch.zeros_like(number).scatter_add(0, after, torch.ones_like(after)).cumsum(0)
    of, number = of[:-1], number[:-1]
    return of, number, number - (after - count).gather(0, of)


def _orderly(order: Tensor) -> Tensor:
    """Matrix by which columns are put into an order (S,): faster than to look them up."""
    number = torch.arange(len(order), device=order.device)
    return (number[:, None] == order).float()


def _searched(sums: Tensor, start: Tensor, size: int, value: Tensor) -> Tensor:
    """Where sums that rise reach values: the first of so many from starts (D,), or the last.

    By halves. What is looked up is gathered: ONNX Runtime does that three times faster than by an
    index.
    """
    step = 1 << (size.bit_length() - 1)
    below = sums.gather(0, start + (step - 1)) < value
    place = torch.where(below, start + (size - step), start)
    while step > 1:
        step //= 2
        below = sums.gather(0, place + (step - 1)) < value
        place = torch.where(below, place + step, place)
    return place


def _off(total: Tensor, wanted: Tensor) -> Tensor:
    """How far totals (R,) are from what is wanted."""
    return (least(total) / least(wanted)).log().abs()


def _brought(energy: Tensor, total: Tensor, of: Tensor, wanted: Tensor) -> Tensor:
    """Bring the sums of hits' energies (D,) in layers, totals (R,), to what is wanted (R,).

    The large ones change most, so that what one particle leaves stays what it is.
    """
    none = torch.zeros_like(wanted)
    pull = (wanted - total) / least(none.scatter_add(0, of, energy * energy * energy))
    factor = 1 + pull.gather(0, of) * energy * energy
    energy = energy * factor.clamp(_LEAST_FACTOR, _LARGEST_FACTOR)
    return energy * (wanted / least(none.scatter_add(0, of, energy))).gather(0, of)

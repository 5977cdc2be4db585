"""Conditional gated PixelCNN: cells one after the other, each from a spectrum given those before.

A. van den Oord et al., Conditional Image Generation with PixelCNN Decoders, arXiv:1606.05328: a
vertical stack of masked convolutions sees the rows above, a horizontal one the cells to the left;
units are gated, and every place gets what a small network makes of the conditions for it (their
section 2.3). A cell's number is one of a few classes: empty, or a step of the scale of
`k4calofast.training.crystals.variables`, so that the likelihood of a shower is explicit. Within a
step the energy follows the spectrum of the sample, because the scale does.

Three things differ from the publication, for the sake of energies:

- The missing energy comes first, from a spectrum given the conditions. It is a condition of all
  cells, and their sum is set by it: the response does not suffer from the errors of 121 cells.
- A cell is told how much of the total the cells before it have left. This is a function of those
  cells, so the likelihood stays what it is, but one that convolutions cannot see.
- Inputs are the numbers themselves, not their classes. In training, as in generation, they are
  anywhere within their step: what has been generated looks like what was trained on.

Generation goes through the cells once. What the vertical stack makes of a row is computed when the
row above is complete, and kept for the rows below; of the horizontal stack, only the current cell
is computed. So a shower costs little more than one pass of the network, not 121.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.crystals.family import uniform_of
from k4calofast.training.crystals.missing import (
    INPUTS,
    LEVELS,
    Classes,
    Missing,
    MissingEnergy,
    MissingSettings,
    Sight,
    bits_of,
    chosen,
    cumulating,
)
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.variables import ShowerVariables
from k4calofast.training.dense import dense
from k4calofast.training.family import Shape, Stage

_COUNTED, _TOGETHER = 5000, 500
"""Showers whose likelihood is reported, and how many at a time."""


class PixelCNNSettings(MissingSettings):
    """Settings of a PixelCNN.

    Attributes
    ----------
    classes
        Of a cell's number, as `missing_classes`.
    channels, layers
        Of each of the two stacks.
    kernel, first_kernel
        Odd widths of convolutions, and of those of the first layer.
    context
        Channels of the conditions at each cell.
    embedding
        Size of the embedding of the conditions.
    steps, learning_rate, batch
        Of the training of cells.
    """

    title: ClassVar[str] = "conditional gated PixelCNN"
    source: ClassVar[str] = "van den Oord et al., arXiv:1606.05328"

    classes: int = Field(default=128, ge=2, le=256)
    channels: int = Field(default=32, ge=8)
    layers: int = Field(default=5, ge=2)
    kernel: int = Field(default=3, ge=3)
    first_kernel: int = Field(default=7, ge=3)
    context: int = Field(default=16, ge=1)
    embedding: int = Field(default=64, ge=8)
    steps: int = Field(default=6_000, ge=1)
    learning_rate: float = Field(default=4e-3, gt=0)
    batch: int = Field(default=128, ge=1)
    epoch: int = Field(default=1000, ge=1)
    block: int = Field(default=128, ge=1, le=1 << 16)


class Layer(nn.Module):
    """A gated layer of both stacks, as figure 2 of the publication.

    Parameters
    ----------
    inputs
        Channels of what it sees.
    channels
        Of what it makes.
    context
        Channels of the conditions.
    kernel
        Odd width.
    first
        Whether this layer sees cells: then it must not see the current one.
    """

    def __init__(self, inputs: int, channels: int, context: int, kernel: int, first: bool) -> None:
        super().__init__()
        self.channels, self.kernel, self.first = channels, kernel, first
        # The vertical stack is that of the rows above already: only cells must be strictly there.
        taps = kernel // 2 + (not first)
        self.vertical = nn.Conv2d(inputs, 2 * channels, (taps, kernel))
        self.horizontal = nn.Conv2d(inputs, 2 * channels, (1, taps))
        self.across = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.given = nn.Conv2d(context, 4 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)
        self.left = nn.Conv2d(LEVELS, 2 * channels, 1, bias=False) if first else None

    def forward(
        self, v: Tensor, h: Tensor, levels: Tensor, context: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both stacks (N, channels, rows, columns) of whole windows.

        Parameters
        ----------
        v, h
            The stacks below, or twice the cells.
        levels
            (N, levels, rows, columns) of the energy that is left.
        context
            (N, context, rows, columns).
        """
        rows, columns = v.shape[2:]
        side = self.kernel // 2
        given_v, given_h = self.given(context).chunk(2, 1)
        above = self.vertical(F.pad(v, (side, side, side, 0)))[:, :, :rows] + given_v
        pixel = self.horizontal(F.pad(h, (side, 0, 0, 0)))[:, :, :, :columns]
        pixel = pixel + self.across(above) + given_h
        if self.left is not None:
            pixel = pixel + self.left(levels)
        made = self.out(gated(pixel, self.channels, 1))
        return gated(above, self.channels, 1), made if self.first else h + made


def gated(both: Tensor, channels: int, dim: int) -> Tensor:
    """Gated unit: one half of the channels opens the other [eq. 2].

    The gate is a sigmoid of twice its argument, so that one tanh does for both.
    """
    both = torch.tanh(both)
    value, gate = both.narrow(dim, 0, channels), both.narrow(dim, channels, channels)
    return value * (0.5 + 0.5 * gate)


class PixelNetwork(nn.Module):
    """Spectra of the missing energy, and of every cell given those before it.

    Parameters
    ----------
    settings
        Of the family.
    window
        Rows and columns.
    features
        Features of the conditions.
    """

    def __init__(self, settings: PixelCNNSettings, window: tuple[int, int], features: int) -> None:
        super().__init__()
        s = settings
        self.window = window
        self.context = nn.Sequential(
            *dense(features + MissingEnergy.size, 2 * s.embedding, s.embedding),
            nn.Linear(s.embedding, window[0] * window[1] * s.context),
        )
        sizes = [(INPUTS, s.first_kernel)] + [(s.channels, s.kernel)] * (s.layers - 1)
        self.layers = nn.ModuleList(
            Layer(inputs, s.channels, s.context, kernel, not number)
            for number, (inputs, kernel) in enumerate(sizes)
        )
        self.head = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(s.channels, 2 * s.channels, 1),
            nn.ReLU(),
            nn.Conv2d(2 * s.channels, s.classes, 1),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, cells: Tensor, levels: Tensor, context: Tensor) -> Tensor:
        """Logits (N, cells, classes) of all cells of known showers.

        Parameters
        ----------
        cells
            (N, rows, columns, inputs).
        levels
            (N, rows, columns, levels) of the energy that is left for each.
        context
            (N, rows, columns, context).
        """
        # Channels are last in memory, which is what convolutions on a CPU are fastest with.
        v = h = cells.permute(0, 3, 1, 2)
        levels, context = levels.permute(0, 3, 1, 2), context.permute(0, 3, 1, 2)
        for layer in self.layers:
            v, h = layer(v, h, levels, context)
        logits: Tensor = self.head(h).permute(0, 2, 3, 1).flatten(1, 2)
        return logits

    def draw(
        self, context: Tensor, total: Tensor, uniform: Tensor, places: Tensor, classes: Classes
    ) -> Tensor:
        """Generate classes of cells; see `Drawing`."""
        drawing = Drawing(self, classes).eval()
        arguments = (context, total, uniform, places)
        if torch.onnx.is_in_onnx_export():
            # Kept, as the exporter refers to it until it is done.
            self._exported = as_function(drawing)
            return self._exported(*arguments)
        drawn: Tensor = drawing(*arguments)
        return drawn


class Matrices(nn.Module):
    """A layer for one row, and for one cell, at a time: its weights as matrices.

    Parameters
    ----------
    layer
        Which.
    """

    if TYPE_CHECKING:
        down: Tensor
        down_bias: Tensor
        given: Tensor
        across: Tensor
        right: Tensor
        right_bias: Tensor
        out: Tensor
        out_bias: Tensor

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.kernel, self.side, self.channels = layer.kernel, layer.kernel // 2, layer.channels
        self.inputs = layer.vertical.in_channels
        # Numbers of cells to the left, and of cells above, to remember.
        self.kept = self.side * self.inputs
        right = layer.horizontal.weight[:, :, 0].permute(2, 1, 0).flatten(0, 1)
        if layer.left is not None:
            right = torch.cat([right, layer.left.weight[:, :, 0, 0].T])
        for name, weight in {
            "down": layer.vertical.weight.permute(3, 2, 1, 0).flatten(0, 2),
            "down_bias": layer.vertical.bias,
            "given": layer.given.weight[:, :, 0, 0].T,
            "across": layer.across.weight[:, :, 0, 0].T,
            "right": right,
            "right_bias": layer.horizontal.bias,
            "out": layer.out.weight[:, :, 0, 0].T,
            "out_bias": layer.out.bias,
        }.items():
            assert weight is not None  # noqa: S101 - for the type checker
            self.register_buffer(name, weight.detach().contiguous())

    @torch.jit.export
    def row(self, seen: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Vertical stack of one row, and what it contributes to the horizontal one.

        Parameters
        ----------
        seen
            (N, columns, rows x inputs) of the rows that are seen.
        context
            (N, columns, context).

        Returns
        -------
        tuple of Tensor
            (N, columns, channels) and (N, columns, 2 channels).
        """
        columns, both = seen.shape[1], 2 * self.channels
        given = context @ self.given
        padded = F.pad(seen, [0, 0, self.side, self.side])
        near = padded[:, :columns]
        for place in range(1, self.kernel):
            near = torch.cat([near, padded[:, place : place + columns]], 2)
        a = near @ self.down + self.down_bias + given[:, :, :both]
        b = a @ self.across + self.right_bias + given[:, :, both:]
        return gated(a, self.channels, 2), b

    @torch.jit.export
    def cell(self, seen: Tensor, contributed: Tensor) -> Tensor:
        """What a layer makes (N, channels) of one cell.

        Parameters
        ----------
        seen
            (N, inputs) of the cells to the left, and of the current one if it may be seen.
        contributed
            (N, 2 channels) by the vertical stack.
        """
        unit = gated(seen @ self.right + contributed, self.channels, 1)
        return unit @ self.out + self.out_bias


class Drawing(nn.Module):
    """Generation of cells, row by row and from left to right, each stack computed once.

    Written for TorchScript: its loops are loops in the exported graph, too. Unrolled, the graph
    would have 24 000 nodes, and ONNX Runtime would take minutes to load it.

    Parameters
    ----------
    network
        Whose spectra the cells have.
    classes
        Of the numbers.
    """

    if TYPE_CHECKING:
        inner: Tensor
        inner_bias: Tensor
        outer: Tensor
        outer_bias: Tensor
        steps: Tensor

    def __init__(self, network: PixelNetwork, classes: Classes) -> None:
        super().__init__()
        first, *later = (Matrices(layer) for layer in network.layers if isinstance(layer, Layer))
        self.first, self.later = first, cast("list[Matrices]", nn.ModuleList(later))
        self.kept, self.both = sum(layer.kept for layer in later), 2 * first.channels
        self.classes, self.sight = classes, Sight()
        for name, layer in {"inner": network.head[1], "outer": network.head[3]}.items():
            assert isinstance(layer, nn.Conv2d)  # noqa: S101 - for the type checker
            assert layer.bias is not None  # noqa: S101 - for the type checker
            self.register_buffer(name, layer.weight[:, :, 0, 0].T.detach().contiguous())
            self.register_buffer(f"{name}_bias", layer.bias.detach())
        self.register_buffer("steps", cumulating(classes.count))

    def forward(self, context: Tensor, total: Tensor, uniform: Tensor, places: Tensor) -> Tensor:
        """Generate cells.

        Parameters
        ----------
        context
            (N, rows, columns, context).
        total
            (N, 1) GeV, of all cells.
        uniform, places
            (N, cells) between 0 and 1, that choose classes and places in them.

        Returns
        -------
        Tensor
            Classes (N, cells).
        """
        # Not numbers that are known beforehand: such loops would be unrolled.
        rows, columns = context.shape[1], context.shape[2]
        inputs, seen = self.first.inputs, self.first.kept
        # Not zeros of a shape: the exporter would take the shape of its example.
        nothing = 0.0 * total
        left = total
        # What comes last pushes out what came first: exporters want shapes that stay.
        classes = nothing + nothing.new_zeros(rows * columns)
        # What the vertical stack remembers of cells, and of itself.
        cells_above = nothing[:, :, None] + nothing.new_zeros((columns, seen))
        above = nothing[:, :, None] + nothing.new_zeros((columns, self.kept))
        for row in range(rows):
            contributed, above = self.of_row(cells_above, above, context[:, row])
            # The same for the horizontal stack.
            line = nothing + nothing.new_zeros(columns * inputs)
            beside = nothing + nothing.new_zeros(self.kept)
            for column in range(columns):
                place = row * columns + column
                told = torch.cat([line[:, -seen:], self.sight.left(left, total)[:, 0]], 1)
                logits, beside = self.of_cell(told, beside, contributed[:, column])
                one = chosen(logits, uniform[:, place : place + 1], self.steps)
                where = places[:, place : place + 1]
                number, energy = self.classes.numbers(one, where), self.classes.energy(one, where)
                fresh = self.sight.cells(one, number, energy, total)[:, 0]
                line = torch.cat([line[:, inputs:], fresh], 1)
                classes = torch.cat([classes[:, 1:], one], 1)
                left = left - energy
            fresh = line.reshape(-1, columns, inputs)
            cells_above = torch.cat([cells_above[:, :, inputs:], fresh], 2)
        return classes

    @torch.jit.export
    def of_row(self, cells_above: Tensor, above: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """What vertical stacks contribute to a row, and what they remember, all layers together."""
        v, contributed = self.first.row(cells_above, context)
        kept, start = above[:, :, :0], 0
        for layer in self.later:
            seen = torch.cat([above[:, :, start : start + layer.kept], v], 2)
            v, more = layer.row(seen, context)
            contributed = torch.cat([contributed, more], 2)
            kept = torch.cat([kept, seen[:, :, layer.inputs :]], 2)
            start += layer.kept
        return contributed, kept

    @torch.jit.export
    def of_cell(self, told: Tensor, beside: Tensor, contributed: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of a cell, and what horizontal stacks remember, all layers together."""
        h = self.first.cell(told, contributed[:, : self.both])
        kept, start, place = beside[:, :0], 0, self.both
        for layer in self.later:
            seen = torch.cat([beside[:, start : start + layer.kept], h], 1)
            h = h + layer.cell(seen, contributed[:, place : place + self.both])
            kept = torch.cat([kept, seen[:, layer.inputs :]], 1)
            start += layer.kept
            place += self.both
        h = (h.relu() @ self.inner + self.inner_bias).relu()
        return h @ self.outer + self.outer_bias, kept


def as_function(drawing: Drawing) -> Callable[..., Tensor]:
    """Return generation as a TorchScript function, which keeps its loops where it is exported.

    Exports only trace modules; so the weights become constants, and the module's own argument goes.
    """
    graph = torch.jit.freeze(torch.jit.script(drawing)).graph.copy()
    graph.eraseInput(0)
    function: Callable[..., Tensor]
    function = torch._C._create_function_from_graph("drawing", graph)
    return function


class PixelCNN(Missing):
    """Spectra of cells in the order of reading."""

    Settings = PixelCNNSettings
    settings: PixelCNNSettings
    bits: Tensor

    def __init__(self, settings: PixelCNNSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.variables = ShowerVariables(shape.cells, settings.threshold)
        # A class and a place in it, for each cell and for the missing energy.
        self.noise = 2 * self.variables.dimension
        self.sight, self.cell = Sight(), Classes(settings.classes)
        self.missing = MissingEnergy(
            self.features.size, 2 * settings.embedding, settings.missing_classes
        )
        self.network = PixelNetwork(settings, shape.window, self.features.size)
        self.register_buffer("bits", torch.zeros(()))

    def prepare(self, sample: Sample) -> None:
        numbers = self.variables.fit(sample, self.settings.seed)
        self.classes = self.missing.fit(self.variables.missing, numbers[:, -1:])
        self.cell.fit(self.variables.cell, float(numbers[:, :-1].nan_to_num(0.0).max()))
        self.cells = self.cell.of(numbers[:, :-1])

    def stages(self, sample: Sample) -> Iterator[Stage]:
        s = self.settings
        yield CellsStage("cells", self, self.network, sample, s.steps, s.batch, s.learning_rate)
        yield self.missing_stage(sample)

    def finish(self, sample: Sample) -> None:
        generator = torch.Generator().manual_seed(self.settings.seed)
        bits = []
        for start in range(0, min(_COUNTED, len(sample)), _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            cells, missing = self.cells[rows], self.classes[rows]
            places = torch.rand((len(cells), self.variables.dimension), generator=generator)
            bits.append(self.bits_of(sample.take(rows), cells, missing, places))
        self.bits.copy_(torch.cat(bits).mean() / self.shape.cells)

    def generate(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        uniform, places = uniform_of(noise).chunk(2, 1)
        given, available = self.features(pdg, conditions), self.available(pdg, conditions)
        missing = self.missing.draw(given, uniform[:, -1:])
        context, total = self._context(given, missing, places[:, -1:], available)
        cells = self.network.draw(context, total, uniform[:, :-1], places[:, :-1], self.cell)
        normal = noise[:, self.noise // 2 :]
        numbers = [
            self.cell.filled(cells, places[:, :-1], normal[:, :-1]),
            self.missing.classes.filled(missing, places[:, -1:], normal[:, -1:]),
        ]
        v = self.variables
        return v.decode((torch.cat(numbers, 1) - v.mean) / v.width, available)

    def bits_of(self, sample: Sample, cells: Tensor, missing: Tensor, places: Tensor) -> Tensor:
        """Bits (N,) of showers: minus the logarithm of their likelihood.

        Parameters
        ----------
        sample
            N showers.
        cells, missing
            (N, cells) and (N, 1) classes.
        places
            (N, cells + 1) where in their classes, from 0 to 1.
        """
        given = self.given(sample)
        logits = self.logits(sample, cells, missing, places)
        lacking = bits_of(self.missing(given)[:, None], missing)
        return bits_of(logits, cells).sum(1) + lacking[:, 0]

    def logits(self, sample: Sample, cells: Tensor, missing: Tensor, places: Tensor) -> Tensor:
        """Logits (N, cells, classes) of cells; see `bits_of`."""
        given = self.given(sample)
        cells, where = cells.float(), places[:, :-1]
        context, total = self._context(given, missing, places[:, -1:], sample.available)
        energies = self.cell.energy(cells, where)
        seen = self.sight.cells(cells, self.cell.numbers(cells, where), energies, total)
        left = self.sight.left(total - (energies.cumsum(1) - energies), total)
        window = (-1, *self.shape.window)
        logits: Tensor = self.network(
            seen.reshape(*window, INPUTS), left.reshape(*window, LEVELS), context
        )
        return logits

    def _context(
        self, given: Tensor, missing: Tensor, places: Tensor, available: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Context (N, rows, columns, context) of all cells, and their total (N, 1) in GeV.

        Parameters
        ----------
        given
            (N, features) of the conditions.
        missing, places
            (N, 1) class of the missing energy and place in it.
        available
            (N,) GeV.
        """
        told, total = self.missing.told(missing, places, self.variables.missing, available)
        context = self.network.context(torch.cat([given, told], 1))
        return context.reshape(-1, *self.shape.window, self.settings.context), total

    def method(self) -> str:
        s = self.settings
        return (
            f"maximum likelihood, {s.steps} steps of {s.batch} showers for cells, "
            f"{s.missing_steps} of {s.missing_batch} for the missing energy: "
            f"{float(self.bits):.4f} bits per cell, of {s.classes} classes"
        )


FAMILY = PixelCNN


class CellsStage(Stage):
    """Bits per cell of showers, given their missing energies."""

    family: PixelCNN

    def loss(self, rows: Tensor) -> Tensor:
        family, rows = self.family, rows.cpu()
        cells, missing = (part[rows].to(self.device) for part in (family.cells, family.classes))
        places = torch.rand((len(cells), family.variables.dimension), device=self.device)
        logits = family.logits(self.sample.take(rows), cells, missing, places)
        return bits_of(logits, cells).mean()

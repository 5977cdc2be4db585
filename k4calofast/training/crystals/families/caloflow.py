"""Normalising flows in two steps: the energy of a shower, then its cells, as CaloFlow makes them.

C. Krause and D. Shih, CaloFlow, arXiv:2106.05285, and CaloFlow II, arXiv:2110.11377. A first flow
has the total energy given the conditions, a second one the cells given conditions and energy. Both
are autoregressive with rational quadratic splines (C. Durkan et al., arXiv:1906.04032), trained by
likelihood. As in CaloFlow II, a student can be distilled from the second flow, which makes all
cells at once.

As there: the two steps; spline and domain; blocks of masked networks in alternating orders; the
student has the teacher's blocks turned around, and learns the teacher's intermediate results and
parameters of splines, on showers of the sample and on its own.

Not as there:

- Cells are `k4calofast.training.crystals.variables.ShowerVariables`, not logits of shares of the
  energy: most cells here are empty, and noise in a place of its own, with a gap, tells them apart.
  The total energy is the missing energy of the same variables.
- A student learns the parameters of splines block by block, each at the points it meets itself.
  Nothing is differentiated through a chain of splines.
- Cells are generated in fewer passes than there are cells: cells far apart go together, neighbours
  do not. A hidden unit is computed in the pass in which all that it sees is known, once; so all
  passes together cost one evaluation of the network, and the teacher itself is exported. The
  reference's way is `passes: 0`, `transforms: 2` and `sample_with: student`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from zuko.nn import MaskedLinear
from zuko.transforms import MonotonicRQSTransform

from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.spectra import MatchedSettings, Spectra, Standardised
from k4calofast.training.crystals.variables import ShowerVariables
from k4calofast.training.dense import dense, zeroed
from k4calofast.training.family import Shape, Stage

BOUND, BOUND_OF_ENERGY = 10.0, 5.0
"""Splines reach from minus this to this; numbers are scaled to lie within. The energy's are more
exact where they are shorter: rounding errors of knots are relative to this."""

_BINS_OF_ENERGY = 24

SLOPE = 1e-2
"""Least slope of a spline at a knot. With 1e-3, the root of its inverse needs double precision."""

_LEAST_SQUARE = 1e-12
"""Far below what such slopes allow; rounding errors could lead there."""

_MOST_PASSES = 16
"""Of a teacher that is exported: each is some hundred nodes of the graph per block."""

_EMBEDDING = 64
_OF_CONTEXT = 4
"""One hidden unit in so many sees no cell, but the context alone."""

_WEIGHT_OF_SLOPES = 0.1


class CaloFlowSettings(MatchedSettings):
    """Settings of CaloFlow.

    Attributes
    ----------
    bins
        Of a spline.
    transforms, width, layers
        Blocks of the flow of cells, and size of the network of each.
    passes
        In which the teacher generates cells: 0 is one for each cell, 2 a coupling flow.
    sample_with
        What is exported: ``teacher``, or ``student``, which has one pass.
    energy_steps, energy_rate, energy_batch
        Of the flow of the energy.
    steps, learning_rate, batch
        Of the flow of cells.
    student_steps, student_rate, student_batch
        Of the distillation, if a student is exported.
    """

    title: ClassVar[str] = "normalising flows"
    source: ClassVar[str] = "CaloFlow: Krause and Shih, arXiv:2106.05285 and arXiv:2110.11377"

    bins: int = Field(default=6, ge=2)
    transforms: int = Field(default=3, ge=1)
    width: int = Field(default=256, ge=8)
    layers: int = Field(default=2, ge=0)
    passes: int = Field(default=9, ge=0)
    sample_with: Literal["student", "teacher"] = Field(default="teacher", validate_default=True)
    energy_steps: int = Field(default=2_000, ge=1)
    energy_rate: float = Field(default=2e-3, gt=0)
    energy_batch: int = Field(default=1024, ge=1)
    steps: int = Field(default=8_000, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    batch: int = Field(default=256, ge=1)
    student_steps: int = Field(default=4_000, ge=1)
    student_rate: float = Field(default=1e-3, gt=0)
    student_batch: int = Field(default=128, ge=1)

    @field_validator("sample_with")
    @classmethod
    def _passes_can_be_unrolled(cls, sample_with: str, info: ValidationInfo) -> str:
        passes = info.data.get("passes", 0)
        if sample_with == "teacher" and not 1 <= passes <= _MOST_PASSES:
            raise ValueError(f"a teacher is exported with 1 to {_MOST_PASSES} passes, not {passes}")
        return sample_with


class CaloFlow(Standardised):
    """A flow of the energy, and one of the cells."""

    Settings = CaloFlowSettings
    settings: CaloFlowSettings
    scale: Tensor

    def __init__(self, settings: CaloFlowSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        s = settings
        self.variables = ShowerVariables(shape.cells, s.threshold)
        self.spectra = Spectra(shape.window)
        self.noise = self.variables.dimension
        self.register_buffer("scale", torch.ones(self.noise))
        one = [torch.zeros(1, dtype=torch.int64)]
        given = self.features.size
        self.energy = SplineFlow(one, given, 128, 1, _BINS_OF_ENERGY, BOUND_OF_ENERGY)
        orders = [order(shape.window, s.passes, block) for block in range(s.transforms)]
        size = (given + 1, s.width, s.layers, s.bins, BOUND)
        self.teacher = SplineFlow(orders, *size)
        self.student = SplineFlow(orders, *size) if s.sample_with == "student" else None

    def prepare(self, sample: Sample) -> None:
        super().prepare(sample)
        reach = torch.maximum(self.variables.high, -self.variables.low)
        self.scale[:-1] = (BOUND / reach[:-1]).clamp(max=1.0)
        self.scale[-1] = BOUND_OF_ENERGY / reach[-1]

    def stages(self, sample: Sample) -> Iterator[Stage]:
        s = self.settings
        course = s.energy_steps, s.energy_batch, s.energy_rate
        yield Energy("energy", self, self.energy, sample, *course)
        yield Cells("cells", self, self.teacher, sample, s.steps, s.batch, s.learning_rate)
        if self.student is not None:
            self.student.load_state_dict(self.teacher.state_dict())
            self.teacher.requires_grad_(False)
            course = s.student_steps, s.student_batch, s.student_rate
            yield Imitation("student", self, self.student, sample, *course)

    def standardised(self, noise: Tensor, pdg: Tensor, conditions: Tensor) -> Tensor:
        given = self.features(pdg, conditions)
        missing = self.energy.drawn(noise[:, -1:], given)
        given = torch.cat([given, missing], 1)
        if self.student is None:
            cells = self.teacher.drawn(noise[:, :-1], given)
        else:
            cells = self.student.imitated(noise[:, :-1], given)
        return self.variables.bounded(torch.cat([cells, missing], 1) / self.scale)

    def method(self) -> str:
        s = self.settings
        text = (
            f"normalising flows by likelihood: of the energy, {s.energy_steps} steps of "
            f"{s.energy_batch} showers, and of the cells, {s.steps} steps of {s.batch}, "
            f"{s.passes or self.shape.cells} passes"
        )
        if self.student is not None:
            text += f"; distilled to one pass, {s.student_steps} steps of {s.student_batch}"
        return text + "; spectra of cells and of the missing energy matched"


FAMILY = CaloFlow


def order(window: tuple[int, int], passes: int, block: int) -> Tensor:
    """In which pass (cells,) each cell of a window is generated.

    With a pass per cell, from the middle outwards: that is where the energy is. With fewer, like
    the colours of a map on which neighbours differ; the middle is the first. Every other block
    goes backwards.
    """
    rows, columns = (torch.arange(size) - size // 2 for size in window)
    if passes == 0:
        distance = (rows[:, None] ** 2 + columns**2).flatten()
        passes, found = len(distance), distance.argsort(stable=True).argsort()
    else:
        found = ((round(math.sqrt(passes)) * rows[:, None] + columns) % passes).flatten()
    return passes - 1 - found if block % 2 else found


class Bins(nn.Module):
    """What splines of so many bins have in common: constant matrices.

    With products in the place of sums and choices along the bins, an exported graph has a fourth
    of the nodes.

    Parameters
    ----------
    count
        Of bins.
    bound
        Splines reach from minus this to this.
    """

    limits: Tensor
    to_ends: Tensor
    to_slopes: Tensor
    to_bin: Tensor
    first: Tensor

    def __init__(self, count: int, bound: float) -> None:
        super().__init__()
        self.count, self.bound = count, bound
        here = torch.eye(count - 1, count + 1)
        constants = {
            # Relative to each other, sizes of bins stay above `SLOPE`, and so do slopes.
            "limits": torch.tensor([2.0] * (2 * count) + [1.0] * (count - 1)) / -math.log(SLOPE),
            # Sizes, of sum one, to sums of those before, from minus the bound on.
            "to_ends": bound * (2 * torch.ones(count, count + 1).triu(1) - 1),
            # Slopes at the ends are one.
            "to_slopes": here.roll(1, 1),
            # From which inner knots are below, to which bin it is.
            "to_bin": (here.roll(1, 1) - here)[:, :count],
            "first": torch.eye(count)[0],
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    @property
    def parameters_per_spline(self) -> int:
        """Widths, heights, and slopes at inner knots."""
        return 3 * self.count - 1


class Spline(MonotonicRQSTransform):  # type: ignore[misc]
    """Monotone splines of numbers (N, numbers), the identity beyond a bound; towards noise.

    Parameters
    ----------
    parameters
        (N, numbers, parameters per spline) from a network.
    bins
        How many, and how far they reach.
    """

    def __init__(self, parameters: Tensor, bins: Bins) -> None:
        # Skips zuko's own, which computes the same.
        super(MonotonicRQSTransform, self).__init__()
        self.common = bins
        # Where networks train with less, splines still need this.
        raw = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        raw = raw / (1 + raw.abs() * bins.limits)
        sizes = raw[:, :, : 2 * bins.count].reshape(-1, raw.shape[1], 2, bins.count).softmax(3)
        # Sums as products would be rounded to what networks train with.
        with torch.autocast(raw.device.type, enabled=False):
            self.ends = sizes @ bins.to_ends
            self.logarithms = raw[:, :, 2 * bins.count :] @ bins.to_slopes
        self.horizontal, self.vertical = self.ends.unbind(2)
        self.derivatives = self.logarithms.exp()

    def solved(self, y: Tensor) -> Tensor:
        """Return the x of these y (N, numbers), arXiv:1906.04032, equation 29.

        As zuko's own, but rounding errors stay small in single precision.
        """
        bins = self.common
        above = (self.vertical[:, :, 1:-1] <= y[:, :, None]).to(self.ends.dtype)
        with torch.autocast(above.device.type, enabled=False):
            chosen = above @ bins.to_bin + bins.first

        knots = torch.cat([self.ends, self.derivatives[:, :, None]], 2)
        chosen = chosen[:, :, None]
        # Of the terms of these sums all but one are zero: their order does not matter.
        lower = (knots[..., :-1] * chosen).sum(3)
        upper = (knots[..., 1:] * chosen).sum(3)
        x0, y0, d0 = lower.unbind(2)
        x1, y1, d1 = upper.unbind(2)
        width, height = x1 - x0, y1 - y0
        inside = y.clamp(-bins.bound, bins.bound) - y0
        slope = height / width
        bend = inside * (d0 + d1 - 2 * slope)
        a = height * (slope - d0) + bend
        b = height * d0 - bend
        c = slope * inside
        root = (b**2 + 4 * a * c).clamp(min=_LEAST_SQUARE).sqrt()
        # Two ways to write the root: in each case the one without a difference of like numbers.
        usual = b > 0
        place = torch.where(usual, 2 * c, root - b) / torch.where(usual, b + root, 2 * a)
        return torch.where(y.abs() < bins.bound, x0 + place * width, y)


class Conditioner(nn.Module):
    """A masked network (MADE, arXiv:1502.03509): splines of cells, given those of earlier passes.

    Inside, cells are sorted by pass, and hidden units by the last pass that they see.

    Parameters
    ----------
    passes
        (numbers,) pass in which each number is generated.
    width, layers
        Size of the network.
    bins
        Of splines.
    """

    sorting: Tensor
    sorted_back: Tensor

    def __init__(self, passes: Tensor, width: int, layers: int, bins: Bins) -> None:
        super().__init__()
        self.width, self.bins = width, bins
        self.outputs = outputs = bins.parameters_per_spline
        count = int(passes.max()) + 1
        self.register_buffer("sorting", passes.argsort(stable=True))
        self.register_buffer("sorted_back", self.sorting.argsort())
        visible = passes.sort().values
        free = width if count == 1 else max(1, width // _OF_CONTEXT)
        others = torch.arange(width - free) * (count - 1) // max(1, width - free) + 1
        seen = torch.cat([torch.zeros(free, dtype=torch.int64), others])
        # Numbers, and hidden units, up to and with each pass.
        self.numbers = [int((visible < number).sum()) for number in range(count + 1)]
        self.units = [0, *(int((seen <= number).sum()) for number in range(count))]
        self.first = MaskedLinear(adjacency=seen[:, None] > visible)
        self.inner = nn.ModuleList(
            MaskedLinear(adjacency=seen[:, None] >= seen) for _ in range(layers)
        )
        self.last = MaskedLinear(
            adjacency=(visible[:, None] >= seen).repeat_interleave(outputs, dim=0)
        )
        self.context = nn.ModuleList(
            nn.Linear(_EMBEDDING, width * (1 if number == 0 else 2)) for number in range(layers + 1)
        )
        zeroed(self.last)

    def forward(self, numbers: Tensor, embedded: Tensor) -> Spline:
        """Return splines of sorted numbers (N, numbers), given them all."""
        first, *others = (layer(embedded) for layer in self.context)
        h = self.first(numbers) + first
        for layer, both in zip(self.inner, others, strict=True):
            scale, shift = both[:, : self.width], both[:, self.width :]
            h = h + layer(F.silu(h)) * (1 + scale) + shift
        found = self.last(F.silu(h)).reshape(-1, numbers.shape[1], self.outputs)
        return Spline(found, self.bins)

    def drawn(self, noise: Tensor, embedded: Tensor) -> Tensor:
        """Return the sorted numbers (N, numbers) whose splines make this noise, pass by pass."""
        first, *others = (layer(embedded) for layer in self.context)
        inner = cast(list[nn.Linear], list(self.inner))
        firsts = self._by_pass(first + self.first.bias, self.units)
        scales = [self._by_pass(1 + both[:, : self.width], self.units) for both in others]
        shifts = [self._by_pass(both[:, self.width :], self.units) for both in others]
        noises = self._by_pass(noise, self.numbers)
        numbers: list[Tensor] = []
        active: list[list[Tensor]] = [[] for _ in range(len(inner) + 1)]
        for number in range(len(self.units) - 1):
            low, high = self.units[number : number + 2]
            start, stop = self.numbers[number : number + 2]
            if high > low:
                # Units of earlier passes stay what they are.
                h = firsts[number]
                if start > 0:
                    h = h + F.linear(torch.cat(numbers, 1), self.first.weight[low:high, :start])
                for place, layer in enumerate(inner):
                    active[place].append(F.silu(h))
                    more = F.linear(
                        torch.cat(active[place], 1),
                        layer.weight[low:high, :high],
                        layer.bias[low:high],
                    )
                    h = h + more * scales[place][number] + shifts[place][number]
                active[-1].append(F.silu(h))
            if stop > start:
                rows = slice(start * self.outputs, stop * self.outputs)
                found = F.linear(
                    torch.cat(active[-1], 1), self.last.weight[rows, :high], self.last.bias[rows]
                )
                spline = Spline(found.reshape(-1, stop - start, self.outputs), self.bins)
                numbers.append(spline.solved(noises[number]))
        return torch.cat(numbers, 1)

    @staticmethod
    def _by_pass(values: Tensor, ends: list[int]) -> tuple[Tensor, ...]:
        """Columns of each pass, which end where the next one's begin."""
        return torch.split(values, [stop - start for start, stop in pairwise(ends)], 1)


class SplineFlow(nn.Module):
    """A flow of splines between numbers (N, numbers) and noise, in blocks.

    Parameters
    ----------
    orders
        For each block, passes in which numbers are generated.
    features
        Of what is given.
    width, layers, bins
        See `CaloFlowSettings`.
    bound
        Where splines end.
    """

    def __init__(
        self,
        orders: list[Tensor],
        features: int,
        width: int,
        layers: int,
        bins: int,
        bound: float,
    ) -> None:
        super().__init__()
        self.embedding = dense(features, 2 * _EMBEDDING, _EMBEDDING)
        self.networks = nn.ModuleList(
            Conditioner(passes, width, layers, Bins(bins, bound)) for passes in orders
        )

    @property
    def blocks(self) -> list[Conditioner]:
        """From numbers to noise."""
        return cast(list[Conditioner], list(self.networks))

    def log_probability(self, numbers: Tensor, given: Tensor) -> Tensor:
        """Logarithms (N,) of the density at numbers, given features (N, features)."""
        embedded = self.embedding(given)
        change = torch.zeros(())
        for block in self.blocks:
            sorted_numbers = numbers[:, block.sorting]
            moved, slopes = block(sorted_numbers, embedded).call_and_ladj(sorted_numbers)
            change = change + slopes.sum(1)
            numbers = moved[:, block.sorted_back]
        normal = -0.5 * (numbers**2 + math.log(2 * math.pi))
        return normal.sum(1) + change

    def drawn(self, noise: Tensor, given: Tensor) -> Tensor:
        """Return the numbers that the flow takes to this noise."""
        embedded = self.embedding(given)
        for block in reversed(self.blocks):
            noise = block.drawn(noise[:, block.sorting], embedded)[:, block.sorted_back]
        return noise

    def imitated(self, noise: Tensor, given: Tensor) -> Tensor:
        """Return numbers in one pass: splines depend on the noise where `drawn` has numbers."""
        embedded = self.embedding(given)
        for block in reversed(self.blocks):
            sorted_noise = noise[:, block.sorting]
            noise = block(sorted_noise, embedded).solved(sorted_noise)[:, block.sorted_back]
        return noise


class _OfNumbers(Stage):
    """A stage that sees standardised numbers of showers, scaled into the splines' domain."""

    family: CaloFlow
    trained: SplineFlow

    def batch_of(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cells (N, cells) and missing energies (N, 1) of showers, and their features."""
        numbers = self.family.encoded(rows) * self.family.scale
        return numbers[:, :-1], numbers[:, -1:], self.family.given(self.sample, rows)


class Energy(_OfNumbers):
    """The energy given the conditions. The total is right after this; cells follow."""

    chooses = True

    def loss(self, rows: Tensor) -> Tensor:
        _, missing, given = self.batch_of(rows)
        return -self.trained.log_probability(missing, given).mean()


class Cells(_OfNumbers):
    """The cells given conditions and energy."""

    def loss(self, rows: Tensor) -> Tensor:
        cells, missing, given = self.batch_of(rows)
        given = torch.cat([given, missing], 1)
        return -self.trained.log_probability(cells, given).mean() / cells.shape[1]


class Imitation(_OfNumbers):
    """The teacher's splines, from noise alone.

    Each block of the student has, at a block's noise, the splines that the teacher's block has at
    the block's numbers. On showers of the sample, the teacher says which noise belongs to which
    numbers; on the student's own, the student does, and the first cells are right first.
    """

    def loss(self, rows: Tensor) -> Tensor:
        cells, missing, given = self.batch_of(rows)
        given = torch.cat([given, missing], 1)
        teacher, student = self.family.teacher, self.trained
        of_teacher, of_student = teacher.embedding(given), student.embedding(given)
        blocks = list(zip(teacher.blocks, student.blocks, strict=True))
        loss = torch.zeros((), device=self.device)
        for block, imitating in blocks:
            before = cells[:, block.sorting]
            spline = block(before, of_teacher)
            after = spline(before)
            found = imitating(after, of_student)
            loss = loss + apart(found, spline) + ((found.solved(after) - before) ** 2).mean()
            cells = after[:, block.sorted_back]
        noise = torch.randn_like(cells)
        for block, imitating in reversed(blocks):
            after = noise[:, block.sorting]
            found = imitating(after, of_student)
            before = found.solved(after).detach()
            loss = loss + apart(found, block(before, of_teacher))
            noise = before[:, block.sorted_back]
        return loss / len(blocks)


def apart(one: Spline, other: Spline) -> Tensor:
    """How far splines are apart: squares of the differences of their knots."""
    ends = ((one.ends - other.ends) ** 2).mean()
    return 2 * ends + _WEIGHT_OF_SLOPES * ((one.logarithms - other.logarithms) ** 2).mean()

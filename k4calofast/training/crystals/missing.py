"""The missing energy, in classes of its number: a spectrum given the conditions.

It comes first, and is a condition of what follows: the sum of cells is set by it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.family import CrystalFamily
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.variables import EDGE, EMPTY, EMPTY_WIDTH, POWER, Scale
from k4calofast.training.dense import dense
from k4calofast.training.family import Stage

INPUTS, LEVELS = 3, 2
"""What networks are told of a cell, and of the energy that is left."""

_UNIT = 10.0
"""Scale of numbers, the largest of which is about 20."""

_LEAST_TOTAL = 1e-3
"""GeV; fractions are of no smaller total than this."""


class Classes(nn.Module):
    """Classes of a number: 0 is none, the others are steps of equal length.

    Parameters
    ----------
    count
        Of classes.
    """

    if TYPE_CHECKING:  # TorchScript does not read annotations as strings.
        step: Tensor
        energies: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("step", torch.ones(()))
        self.register_buffer("energies", torch.zeros(count, 2))

    def fit(self, scale: Scale, highest: float) -> None:
        """Divide all numbers up to the highest."""
        self.step.fill_(highest * (1 + 1e-6) / (self.count - 1))
        edges = scale.decode(torch.arange(self.count) * self.step)
        self.energies[1:] = torch.stack([edges[:-1], edges.diff()], 1)

    def of(self, numbers: Tensor) -> Tensor:
        """Classes of numbers, NaN for none."""
        steps = (numbers / self.step).floor().clamp(0, self.count - 2) + 1
        return torch.where(numbers.isnan(), torch.zeros(()), steps).to(torch.uint8)

    @torch.jit.export
    def numbers(self, classes: Tensor, places: Tensor) -> Tensor:
        """Numbers at these places, 0 to 1, within their steps; 0 for none."""
        return (classes - 1 + places) * self.step * (classes > 0)

    def filled(self, classes: Tensor, places: Tensor, normal: Tensor) -> Tensor:
        """Return `numbers`, but noise around `EMPTY` for none: what is nothing has a place, too."""
        empty = EMPTY + EMPTY_WIDTH * normal
        return torch.where(classes > 0, self.numbers(classes, places), empty)

    @torch.jit.export
    def energy(self, classes: Tensor, places: Tensor) -> Tensor:
        """Energies (GeV), as if they were spread evenly over a step; 0 for none."""
        ends = self.energies[classes.long()]
        return ends[..., 0] + places * ends[..., 1]


class Sight(nn.Module):
    """What networks see of cells and of the energy that is left."""

    def __init__(self) -> None:
        super().__init__()
        self.unit, self.least = _UNIT, _LEAST_TOTAL
        self.edge, self.power = EDGE, POWER

    @torch.jit.export
    def cells(self, classes: Tensor, numbers: Tensor, energies: Tensor, total: Tensor) -> Tensor:
        """Of cells (N, cells) of showers with these totals (N, 1), (N, cells, inputs)."""
        fraction = energies / total.clamp(min=self.least)
        return torch.stack([(classes > 0).to(fraction.dtype), numbers / self.unit, fraction], 2)

    @torch.jit.export
    def left(self, left: Tensor, total: Tensor) -> Tensor:
        """Of what is left (N, cells) of totals (N, 1), both in GeV, (N, cells, levels)."""
        fraction = (left / total.clamp(min=self.least)).clamp(min=-0.5)
        # Not from 0: a power of rounding errors would be large.
        number = ((left.clamp(min=0.0) + self.edge / 50) / self.edge) ** self.power
        return torch.stack([fraction, number / 3], 2)


def chosen(logits: Tensor, uniform: Tensor, steps: Tensor) -> Tensor:
    """Classes (N, 1) that uniform numbers (N, 1) choose by logits (N, classes).

    Both sides of the comparison are sums in the same order: what rounding leaves out at the end
    cannot choose a class that has no probability.

    Parameters
    ----------
    logits, uniform
        See above.
    steps
        From `cumulating`.
    """
    cumulated = (logits - logits.amax(1, keepdim=True)).exp() @ steps
    # Exact in any order, as these are whole numbers.
    return (cumulated < uniform * cumulated[:, -1:]).to(logits.dtype).sum(1, keepdim=True)


def cumulating(count: int) -> Tensor:
    """Return the matrix that sums up to every column: 1 on the diagonal and right of it."""
    return torch.ones(count, count).triu()


class MissingEnergy(nn.Module):
    """Spectrum of the missing energy, in classes, given the conditions.

    Parameters
    ----------
    features
        Features of the conditions.
    width
        Of the network.
    count
        Of classes.

    Attributes
    ----------
    size
        Numbers that `told` returns.
    """

    size = 3

    def __init__(self, features: int, width: int, count: int) -> None:
        super().__init__()
        self.classes, self.sight = Classes(count), Sight()
        self.network = dense(features, width, width, count)[:-1]

    def fit(self, scale: Scale, numbers: Tensor) -> Tensor:
        """Divide these numbers, NaN for none; return their classes."""
        self.classes.fit(scale, float(numbers.nan_to_num(0.0).max()))
        return self.classes.of(numbers)

    def forward(self, given: Tensor) -> Tensor:
        """Logits (N, classes) for features (N, features)."""
        logits: Tensor = self.network(given)
        return logits

    def draw(self, given: Tensor, uniform: Tensor) -> Tensor:
        """Classes (N, 1) that uniform numbers (N, 1) choose."""
        return chosen(self(given), uniform, cumulating(self.classes.count))

    def told(
        self, classes: Tensor, places: Tensor, scale: Scale, available: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What other networks are told (N, size), and the total (N, 1) in GeV of all cells.

        Parameters
        ----------
        classes, places
            (N, 1) of missing energies, and where in them.
        scale
            Of missing energies.
        available
            (N,) GeV.
        """
        classes = classes.float()
        number = self.classes.numbers(classes, places)
        missing = torch.where(classes > 0, scale.decode(number), torch.zeros(()))
        total = (available[:, None] - missing).clamp(min=0.0)
        left = self.sight.left(total, total)[:, 0, 1:]
        return torch.cat([(classes > 0).float(), number / _UNIT, left], 1), total


class MissingSettings(Settings):
    """What families with a spectrum of the missing energy have in common.

    Attributes
    ----------
    missing_classes
        Of the missing energy's number: the first is none, the others are steps of equal length.
    missing_steps, missing_rate, missing_batch
        Of its training.
    """

    missing_classes: int = Field(default=128, ge=2, le=256)
    missing_steps: int = Field(default=3_000, ge=1)
    missing_rate: float = Field(default=3e-3, gt=0)
    missing_batch: int = Field(default=2048, ge=1)


class Missing(CrystalFamily):
    """A family with a spectrum of the missing energy.

    Attributes
    ----------
    classes
        (N, 1) of the training sample's missing energies.
    """

    settings: MissingSettings
    missing: MissingEnergy
    classes: Tensor

    def missing_stage(self, sample: Sample) -> Stage:
        """Return the training of the missing energy.

        It comes last, as epochs are chosen by the response, which cells that are not trained would
        spoil.
        """
        s = self.settings
        course = s.missing_steps, s.missing_batch, s.missing_rate
        return MissingStage("missing", self, self.missing, sample, *course)


class MissingStage(Stage):
    """Bits of missing energies."""

    chooses = True
    family: Missing

    def loss(self, rows: Tensor) -> Tensor:
        """See `Stage.loss`."""
        logits = self.trained(self.family.given(self.sample, rows))
        classes = self.family.classes[rows.cpu()].to(self.device)
        return bits_of(logits[:, None], classes).mean()


def bits_of(logits: Tensor, classes: Tensor) -> Tensor:
    """Bits (N, n) of classes (N, n) by logits (N, n, classes)."""
    nats = F.cross_entropy(logits.flatten(0, 1).float(), classes.flatten().long(), reduction="none")
    return nats.reshape(classes.shape) / math.log(2)

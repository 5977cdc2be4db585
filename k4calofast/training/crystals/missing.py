"""The missing energy, in classes of its number: a spectrum given the conditions.

It comes first, and is a condition of what follows: the sum of cells is set by it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from k4calofast.training.crystals.family import CrystalFamily
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.variables import EDGE, POWER, Scale
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
        self.network = nn.Sequential(
            nn.Linear(features, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, count),
        )

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


class Missing(CrystalFamily):
    """A family with a spectrum of the missing energy."""

    missing: MissingEnergy


class MissingStage(Stage):
    """Bits of missing energies.

    Parameters
    ----------
    family
        With the module `missing`, and the settings `missing_steps`, `missing_batch` and
        `missing_rate`.
    sample
        What it is trained on.
    classes
        (N, 1) of the sample.
    """

    chooses = True

    def __init__(self, family: Missing, sample: Sample, classes: Tensor) -> None:
        s = family.settings
        super().__init__(
            "missing",
            family,
            family.missing,
            sample,
            s.missing_steps,
            s.missing_batch,
            s.missing_rate,
        )
        self.missing, self.classes = family.missing, classes

    def loss(self, rows: Tensor) -> Tensor:
        """See `Stage.loss`."""
        part = self.sample.take(rows)
        logits = self.missing(self.family.features(part.pdg, part.conditions))
        return bits_of(logits[:, None], self.classes[rows.cpu()].to(self.device)).mean()


def bits_of(logits: Tensor, classes: Tensor) -> Tensor:
    """Bits (N, n) of classes (N, n) by logits (N, n, classes)."""
    nats = F.cross_entropy(logits.flatten(0, 1).float(), classes.flatten().long(), reduction="none")
    return nats.reshape(classes.shape) / math.log(2)

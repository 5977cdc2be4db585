"""What adversarial networks generate and see of a shower: numbers of unit size, and zeros.

A network that is trained against another must give an empty cell exactly the number that empty
cells of the sample have, or it is found out by the difference. So each normalisation has a hard
threshold inside: `seen` is what the critic is shown, and what it is shown is what is generated. The
threshold lets gradients through as if it were not there (the straight-through estimator: Y. Bengio
et al., arXiv:1308.3432); otherwise a cell that is once empty would stay so. Only what is well below
the threshold is not pushed further down: nothing would ever stop it, and after some thousand steps
it takes the whole network along.

- `incident`: energies of cells over the incident energy, as FastCaloGAN (ATL-SOFT-PUB-2020-006).
- `total`: energies of cells over their sum, and the sum over the incident energy as one more
  number, as CaloShowerGAN (arXiv:2309.06515), whose layers are one here.
- `shower`: the numbers of `k4calofast.training.crystals.variables`, without noise in empty cells;
  one more number is the missing energy.

The first two are linear in energy. All numbers are divided by their widths in the sample, about a
linear guess from the conditions: or the critic would not see cells that hold a thousandth of the
energy, nor that the middle cell hardly fluctuates at a given momentum. What is not of a cell, but
sets the response, counts more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from k4calofast.training.crystals.sample import Sample
from k4calofast.training.crystals.sharing import Shared
from k4calofast.training.crystals.variables import CUT, EMPTY, ShowerVariables
from k4calofast.training.sums import sums

Name = Literal["incident", "total", "shower"]

_LEAST_SUM = 1e-2
"""Of fractions; they are not brought to 1 from below this."""

_LEAST_FRACTION = 1e-6
_LEAST_WIDTH = 0.5
"""In units of `ShowerVariables`: cells that are hardly ever lit count less."""

_LOWEST_FRACTION, _LOWEST_NUMBER = -1.0, -4.0
"""Where numbers are not pushed further down; in widths, and in units of `ShowerVariables`."""

_WEIGHT_OF_SUM = 2.0
"""Of the sum, or of the missing energy; to a critic it would be one number among 122."""

_RIDGE = 1e-6
_BLOCK = 1 << 16


class Normalisation(nn.Module, ABC):
    """Numbers of showers, and showers of numbers.

    Parameters
    ----------
    cells
        In a window.
    threshold
        GeV; cells below are empty.
    extra
        Numbers per shower besides those of cells.
    """

    def __init__(self, cells: int, threshold: float, extra: int) -> None:
        super().__init__()
        self.cells, self.threshold, self.extra = cells, threshold, extra

    @property
    def size(self) -> int:
        """Numbers per shower: those of the cells first."""
        return self.cells + self.extra

    @property
    def widths(self) -> Tensor:
        """Widths (size,) of numbers about the linear guess; less for what is hardly ever lit."""
        return torch.cat([torch.ones(self.cells), torch.full((self.extra,), _WEIGHT_OF_SUM)])

    @abstractmethod
    def fit(self, sample: Sample, given: Tensor, seed: int) -> Tensor:
        """Take scales from a sample.

        Parameters
        ----------
        sample
            N showers.
        given
            (N, F) features of their conditions.
        seed
            Of what is random.

        Returns
        -------
        Tensor
            (N, size) numbers as a critic sees them.
        """

    @abstractmethod
    def seen(self, raw: Tensor, available: Tensor) -> Tensor:
        """Return what a critic sees of showers.

        Parameters
        ----------
        raw
            (N, size) a network's output.
        available
            (N,) largest energy of each shower (GeV).

        Returns
        -------
        Tensor
            (N, size); what is empty has the number of empty cells.
        """

    @abstractmethod
    def energies(self, raw: Tensor, available: Tensor) -> Tensor:
        """Return the energies (N, cells) in GeV of a network's output (N, size)."""


def normalisation(name: Name, cells: int, threshold: float) -> Normalisation:
    """Return a normalisation that is not fitted yet."""
    if name == "shower":
        return ShowerNumbers(cells, threshold)
    return Fractions(cells, threshold, split=name == "total")


class Fractions(Normalisation):
    """Energies over the incident energy, or over their sum.

    Parameters
    ----------
    split
        Whether the sum is a number of its own.
    """

    width: Tensor
    centre: Tensor

    def __init__(self, cells: int, threshold: float, split: bool) -> None:
        super().__init__(cells, threshold, int(split))
        self.split = split
        self.register_buffer("width", torch.ones(self.size))
        self.register_buffer("centre", torch.zeros(self.extra))

    def fit(self, sample: Sample, given: Tensor, seed: int) -> Tensor:  # noqa: ARG002
        """Take widths, and the mean of the sum; see `Normalisation.fit`."""
        over = sample.available
        total = sums(sample.energies)
        columns = [sample.energies / over[:, None]]
        if self.split:
            columns = [sample.energies / total.clamp(min=self.threshold)[:, None]]
            columns += [(total / over)[:, None]]
        numbers = torch.cat(columns, 1)
        self.centre.copy_(numbers[:, self.cells :].mean(0))
        numbers[:, self.cells :] -= self.centre
        _, width = linear_guess(given, numbers)
        self.width.copy_(width.clamp(min=_LEAST_FRACTION))
        self.width[self.cells :] /= _WEIGHT_OF_SUM
        return numbers.div_(self.width)

    def seen(self, raw: Tensor, available: Tensor) -> Tensor:
        """Return numbers, 0 where energies are below the threshold."""
        cells = held(raw[:, : self.cells], _LOWEST_FRACTION)
        raw = torch.cat([cells, raw[:, self.cells :]], 1)
        numbers, energies = self._both(raw, available)
        cut = torch.where(energies > self.threshold, numbers, torch.zeros(()))
        return torch.cat([straight_through(numbers, cut), raw[:, self.cells :]], 1)

    def energies(self, raw: Tensor, available: Tensor) -> Tensor:
        """Return energies above the threshold; their sum lacks those below it."""
        _, energies = self._both(raw, available)
        return torch.where(energies > self.threshold, energies, torch.zeros(()))

    def _both(self, raw: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """Return numbers and energies of cells (N, cells), both also below the threshold."""
        fractions = raw[:, : self.cells] * self.width[: self.cells]
        total = available
        if self.split:
            fractions = fractions / sums(fractions.clamp(min=0)).clamp(min=_LEAST_SUM)[:, None]
            total = total * (raw[:, -1] * self.width[-1] + self.centre[0]).clamp(0, 1)
        return fractions / self.width[: self.cells], fractions * total[:, None]


class ShowerNumbers(Normalisation):
    """Ranks and powers of energies: see `k4calofast.training.crystals.variables`."""

    def __init__(self, cells: int, threshold: float) -> None:
        super().__init__(cells, threshold, 1)
        self.variables = ShowerVariables(cells, threshold)

    def fit(self, sample: Sample, given: Tensor, seed: int) -> Tensor:
        """Fit ranks and powers; see `Normalisation.fit`."""
        variables = self.variables
        numbers = variables.fit(sample, seed).nan_to_num_(EMPTY)
        _, width = linear_guess(given, numbers)
        variables.mean.copy_(numbers.mean(0))
        variables.width.copy_(width.clamp(min=_LEAST_WIDTH))
        variables.width[-1] /= _WEIGHT_OF_SUM
        numbers.sub_(variables.mean).div_(variables.width)
        variables.low.copy_(numbers.amin(0))
        # Showers that miss nothing miss a few eV, which are in a table over the gap.
        variables.low[-1] += EMPTY / variables.width[-1]
        variables.high.copy_(numbers.amax(0))
        return numbers

    def seen(self, raw: Tensor, available: Tensor) -> Tensor:
        """Return numbers of showers whose energies add up: those of the cells and the missing one.

        Otherwise the critic would tell by the sum, which `energies` corrects, and the generator's
        way out of that would be to let no energy fluctuate.
        """
        variables = self.variables
        numbers = held(variables.numbers(raw), _LOWEST_NUMBER)
        # Below 0 is the gap; `Scale.decode` mirrors it out, too.
        numbers = straight_through(numbers, torch.where(numbers > CUT, numbers.abs(), EMPTY))
        cells, last = numbers[:, :-1], numbers[:, -1]
        missing = torch.where(last > CUT, variables.missing.decode(last), torch.zeros(()))
        total = available - missing
        cells = Shared(variables.cell, total).fitted(cells, total)
        return (torch.cat([cells, last[:, None]], 1) - variables.mean) / variables.width

    def energies(self, raw: Tensor, available: Tensor) -> Tensor:
        """Return energies; their sum is what the missing energy leaves."""
        return self.variables.decode(self.variables.bounded(raw), available)


def linear_guess(given: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Fit numbers (N, size) by a linear function of features (N, F).

    Returns
    -------
    tuple of Tensor
        Coefficients (F + 1, size), the last row for a constant, and widths (size,) about the fit.
    """
    size = given.shape[1] + 1
    squares = torch.zeros(size, size, dtype=torch.float64)
    products = torch.zeros(size, numbers.shape[1], dtype=torch.float64)
    total = torch.zeros(numbers.shape[1], dtype=torch.float64)
    for start in range(0, len(given), _BLOCK):
        block = slice(start, start + _BLOCK)
        columns, wanted = with_constant(given[block]).double(), numbers[block].double()
        squares += columns.T @ columns
        products += columns.T @ wanted
        total += wanted.square().sum(0)
    # Features of kinds add up to the constant; the ridge decides between the two.
    squares += _RIDGE * len(given) * torch.eye(size)
    coefficients = torch.linalg.solve(squares, products)
    left = total - (2 * products - squares @ coefficients).mul(coefficients).sum(0)
    return coefficients.float(), (left.clamp(min=0) / len(given)).sqrt().float()


def with_constant(given: Tensor) -> Tensor:
    """Features (N, F) with a column of ones (N, F + 1)."""
    return torch.cat([given, torch.ones_like(given[:, :1])], 1)


def straight_through(soft: Tensor, hard: Tensor) -> Tensor:
    """Return the values of `hard` with the gradients of `soft`."""
    return soft + (hard - soft).detach()


def held(numbers: Tensor, lowest: float) -> Tensor:
    """Return the numbers, with gradients that do not lower what is below `lowest` already."""
    numbers = numbers.clone()
    if numbers.requires_grad:
        below = numbers.detach() < lowest
        # A loss is lowered against its gradient.
        numbers.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: gradient.masked_fill(below & (gradient > 0), 0.0)
        )
    return numbers

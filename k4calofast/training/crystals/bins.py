"""Bins of kinds and conditions: trees of halvings, along what changes showers most.

Each kind has a tree of its own. A node halves its showers at the median of one condition, so that
all bins hold as many showers, and finding a bin is a few look-ups: no search.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from k4calofast.arrays import Floats32, Indices
from k4calofast.training.crystals.ionisation import number_of
from k4calofast.training.crystals.tables import OfSample

_MEASURED = 128
"""Showers in a node below which differences between its halves are mostly noise."""


class Bins(OfSample):
    """Bins of kinds and mirrored conditions.

    Parameters
    ----------
    kinds
        (kinds,) PDG numbers.
    depth
        Halvings from the root to a bin.

    Attributes
    ----------
    width
        (bins,) of the first condition's logarithm.
    """

    kinds: Tensor
    condition: Tensor
    cut: Tensor
    width: Tensor

    def __init__(self, kinds: Tensor, depth: int) -> None:
        super().__init__()
        self.register_buffer("kinds", kinds.clone())
        # A tree lies in memory root first, level by level; then the next kind's.
        nodes = len(kinds) * ((1 << depth) - 1)
        self.register_buffer("condition", torch.zeros(nodes, dtype=torch.int64))
        self.register_buffer("cut", torch.zeros(nodes))
        self.register_buffer("width", torch.zeros(len(kinds) << depth))

    @property
    def nodes(self) -> int:
        """Of the tree of a kind."""
        return len(self.cut) // len(self.kinds)

    @property
    def leaves(self) -> int:
        """Bins of a kind."""
        return self.nodes + 1

    @property
    def depth(self) -> int:
        """Halvings from the root to a bin."""
        return self.nodes.bit_length()

    @property
    def count(self) -> int:
        """Bins of all kinds together."""
        return len(self.kinds) * self.leaves

    def fit(self, pdg: Tensor, conditions: Tensor, targets: Tensor) -> Tensor:
        """Grow the trees.

        Parameters
        ----------
        pdg
            (N,) kinds; the same number of showers of each.
        conditions
            (N, conditions) mirrored.
        targets
            (N, targets) what showers of one bin shall have in common.

        Returns
        -------
        Tensor
            (bins, showers in a bin) rows of the showers in each bin.

        Raises
        ------
        ValueError
            If the showers of a kind cannot be shared out evenly.
        """
        result = []
        for number, kind in enumerate(self.kinds.tolist()):
            rows = torch.nonzero(pdg == kind)[:, 0].numpy()
            if len(rows) == 0 or len(rows) % self.leaves:
                raise ValueError(f"{len(rows)} showers of {kind} for {self.leaves} bins")
            chosen, cuts, order = _grown(
                conditions.numpy()[rows], targets.numpy().astype(np.float32)[rows], self.depth
            )
            part = slice(number * self.nodes, (number + 1) * self.nodes)
            self.condition[part] = torch.from_numpy(chosen)
            self.cut[part] = torch.from_numpy(cuts)
            result.append(torch.from_numpy(rows[order]))
        bins = torch.cat(result)
        first = conditions[:, 0].clamp(min=1e-6).log()[bins]
        self.width = (first.amax(1) - first.amin(1)).to(torch.float32)
        return bins

    def near(self, pdg: Tensor, conditions: Tensor, uniform: Tensor) -> Tensor:
        """Bins (N,) of particles, or those beside by the first condition.

        Chance (N,) decides, so that what changes with that condition has no steps, and its means
        are those of the particles and not of their bins.
        """
        width = self.width[self.forward(pdg, conditions)]
        moved = conditions[:, :1] * (width * (uniform - 0.5)).exp()[:, None]
        return self.forward(pdg, torch.cat([moved, conditions[:, 1:]], 1))

    def forward(self, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return the bins (N,) of particles."""
        kind = number_of(pdg, self.kinds)
        node = torch.zeros_like(kind)
        for _ in range(self.depth):
            place = kind * self.nodes + node
            value = conditions.gather(1, self.condition[place][:, None])[:, 0]
            node = 2 * node + 1 + (value > self.cut[place]).to(torch.int64)
        return kind * self.leaves + node - self.nodes


def _grown(
    conditions: Floats32, targets: Floats32, depth: int
) -> tuple[Indices, Floats32, Indices]:
    """Grow one kind's tree.

    Returns
    -------
    condition, cut
        (nodes,) what each node asks.
    order
        (bins, showers in a bin) rows.
    """
    chosen: list[Indices] = []
    cuts: list[Floats32] = []
    order = np.arange(len(conditions))[None]
    count = conditions.shape[1]
    gain = np.zeros((1, count))
    for _ in range(depth):
        nodes, size = order.shape
        half = size // 2
        if size >= _MEASURED or not chosen:
            gain = np.stack([_gain(conditions, targets, order, c) for c in range(count)], 1)
        best = gain.argmax(1)
        values = conditions[order, best[:, None]]
        ascending = np.take_along_axis(order, values.argsort(1, kind="stable"), 1)
        borders = conditions[ascending[:, half - 1 : half + 1], best[:, None]]
        chosen.append(best)
        cuts.append(borders.mean(1))
        order = ascending.reshape(2 * nodes, half)
        # Half the range has a quarter of the variance.
        gain[np.arange(nodes), best] /= 4
        gain = gain.repeat(2, 0)
    # A tree of one bin asks nothing.
    return (
        np.concatenate([np.zeros(0), *chosen]).astype(np.int64),
        np.concatenate([np.zeros(0), *cuts]).astype(np.float32),
        order,
    )


def _gain(conditions: Floats32, targets: Floats32, order: Indices, condition: int) -> Floats32:
    """Squared distance (nodes,) of the halves' mean targets, if this condition halves them."""
    half = order.shape[1] // 2
    ascending = np.take_along_axis(order, conditions[order, condition].argsort(1), 1)
    low, high = (
        np.stack([targets[rows].mean(0) for rows in part])
        for part in (ascending[:, :half], ascending[:, half:])
    )
    squared: Floats32 = ((high - low) ** 2).sum(1)
    return squared

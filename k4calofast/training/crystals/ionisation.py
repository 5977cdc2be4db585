"""What particles lose by ionisation, for graphs: `showers.crystals.outcomes` in tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from k4calofast.incidence.kinds import nominal
from k4calofast.showers.crystals import outcomes
from k4calofast.training.crystals.tables import read

_LEAST = 1e-6
"""GeV, of a kinetic energy."""


class Ionisation(nn.Module):
    """Kinetic energies, and the energies that are expected of ionisation alone.

    Parameters
    ----------
    kinds
        PDG numbers.
    names
        Of the conditions, in their order.

    Attributes
    ----------
    size
        Numbers that `features` returns.
    """

    size = 6

    kinds: Tensor
    mass: Tensor
    charged: Tensor
    ranges: Tensor
    energies: Tensor
    first: Tensor
    step: Tensor

    def __init__(self, kinds: Sequence[int], names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        grid = outcomes.GRID
        mass = nominal(np.array(kinds))[1]
        ionise = [outcomes.ionises(kind) for kind in kinds]
        nothing = np.linspace(0.0, 1.0, len(grid))
        tables = [
            outcomes.ranges(kind) if one else nothing
            for kind, one in zip(kinds, ionise, strict=True)
        ]
        steps = [np.linspace(table[0], table[-1], len(grid)) for table in tables]
        inverse = [np.interp(at, table, grid) for at, table in zip(steps, tables, strict=True)]

        def keep(name: str, values: object, dtype: torch.dtype = torch.float32) -> None:
            self.register_buffer(name, torch.from_numpy(np.asarray(values)).to(dtype))

        keep("kinds", kinds, torch.int64)
        keep("mass", mass)
        keep("charged", ionise)
        keep("ranges", tables)
        keep("energies", inverse)
        keep("first", [at[0] for at in steps])
        keep("step", [at[1] - at[0] for at in steps])

    def forward(self, pdg: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Kinetic and expected energies (N,) in GeV; see `outcomes.ionises`."""
        kind = number_of(pdg, self.kinds)
        kinetic = self._kinetic(kind, conditions)
        left = self._range(kind, kinetic).exp() - self._way(conditions)
        first = self.first[kind]
        place = (left.clamp(min=1e-6).log() - first) / self.step[kind]
        energy = read(self.energies, place, kind).exp()
        lost = torch.where(left > first.exp(), kinetic - energy, kinetic).clamp(min=0.0)
        return kinetic, lost * self.charged[kind]

    def features(self, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return numbers (N, size) of about 1 that say how much is lost, and how much is left."""
        kinetic, expected = self(pdg, conditions)
        mass = self.mass[number_of(pdg, self.kinds)]
        share = expected / kinetic.clamp(min=_LEAST)
        columns = [
            (kinetic.clamp(min=1e-4).log() + 2) / 3,
            expected * 5,
            ((kinetic - expected).clamp(min=0.0) + 1e-3).log() / 3 + 1,
            2 * share - 1,
            (1 + 20 * (1 - share).clamp(min=0.0)).log() / 1.5 - 1,
            2 * (kinetic + mass).reciprocal() * conditions[:, 0] - 1,
        ]
        return torch.stack(columns, 1)

    def margins(self, pdg: Tensor, conditions: Tensor) -> Tensor:
        """Return (N, 3) numbers from -1 to 1 that say whether particles stop, or go through.

        That is decided within a few per cent of the range: three scales of its logarithm over the
        way. 0 for kinds that do not ionise alone.
        """
        kind = number_of(pdg, self.kinds)
        logarithm = self._range(kind, self._kinetic(kind, conditions))
        margin = (logarithm - self._way(conditions).log()) * self.charged[kind]
        return torch.stack([(scale * margin).tanh() for scale in (3.0, 10.0, 30.0)], 1)

    def _kinetic(self, kind: Tensor, conditions: Tensor) -> Tensor:
        momentum, mass = conditions[:, 0], self.mass[kind]
        return momentum**2 / ((momentum**2 + mass**2).sqrt() + mass)

    def _range(self, kind: Tensor, kinetic: Tensor) -> Tensor:
        """Logarithms (N,) of ranges in mm."""
        grid = outcomes.GRID
        place = (kinetic.clamp(min=_LEAST).log() - float(grid[0])) / float(grid[1] - grid[0])
        return read(self.ranges, place, kind)

    def _way(self, conditions: Tensor) -> Tensor:
        """See `outcomes.way`."""

        def column(name: str) -> Tensor:
            return conditions[:, self.names.index(name)]

        endcap = "r" in self.names
        if endcap:
            axis = (column("r") / outcomes.END).atan()
        else:
            axis = torch.pi / 2 - (column("z") / outcomes.RADIUS).atan()
        theta = axis + column("delta_theta_mom")
        across = axis.sin() * theta.sin() * column("delta_phi_mom").cos()
        cosine = across + axis.cos() * theta.cos()
        depth = column("depth") if "depth" in self.names else torch.zeros_like(cosine)
        inside = (outcomes.LENGTH - depth).clamp(1.0, outcomes.LENGTH)
        return inside / cosine.clamp(min=outcomes.LENGTH / outcomes.LONGEST)


def number_of(pdg: Tensor, kinds: Tensor) -> Tensor:
    """Places (N,) of kinds (N,) among all kinds."""
    numbers = torch.arange(len(kinds), device=pdg.device)
    return torch.where(pdg[:, None] == kinds, numbers, 0).amax(1)

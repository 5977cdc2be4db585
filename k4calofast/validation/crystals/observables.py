"""Observables of showers in a window of cells around the cell that was hit.

All are defined for empty showers, too, as 0. Rows of a window follow theta, columns phi; lengths
are in cells unless said otherwise.

Sources: [LHCb] V. Chekalina et al., "Generative models for fast calorimeter simulation: the LHCb
case", EPJ Web Conf. 214 (2019) 02034, arXiv:1812.01319; [CaloGAN] M. Paganini et al., Phys. Rev. D
97 (2018) 014021, arXiv:1712.10321; [EMC] M. Ablikim et al., Nucl. Instrum. Meth. A 614 (2010) 345.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.detector import CrystalCalorimeter
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals.hits import OUTSIDE, Hits, all_fronts
from k4calofast.validation.observables import Observable, ratio

_ABOVE = 1e-3
"""GeV from which a cell counts as lit in ``cells_1mev``."""

OBSERVABLES = {
    "response": Observable("response E/p", "sum of E over momentum", "EMC"),
    "e1_e9": Observable("E1/E3x3", "E of the hit cell over that of 3 x 3 around it", "EMC"),
    "e9_e25": Observable("E3x3/E5x5", "E of 3 x 3 over that of 5 x 5 cells", "EMC"),
    "e25_window": Observable("E5x5/window", "E of 5 x 5 cells over that of the window", "EMC"),
    "centre_theta": Observable(
        "centre in theta [cells]", "sum of E row / sum of E, from the hit cell"
    ),
    "centre_phi": Observable(
        "centre in phi [cells]", "sum of E column / sum of E, from the hit cell"
    ),
    "width_theta": Observable(
        "width in theta [cells]", "E-weighted standard deviation of the rows"
    ),
    "width_phi": Observable("width in phi [cells]", "E-weighted standard deviation of the columns"),
    "asymmetry_along": Observable(
        "asymmetry along the inclination",
        "(E ahead - E behind) / E, seen along the momentum's projection on the face",
        "LHCb",
    ),
    "asymmetry_across": Observable(
        "asymmetry across the inclination", "the same at a right angle to it", "LHCb"
    ),
    "sparsity": Observable("sparsity", "fraction of the window's cells without energy"),
    "cells": Observable("lit cells", "number of cells with energy"),
    "cells_1mev": Observable("cells above 1 MeV", "number of cells above 1 MeV"),
    "ring_-1": Observable("ring -1", "E of the row before the hit cell's, over the sum of E"),
    "ring_0": Observable("ring 0", "E of the hit cell's row over the sum of E"),
    "ring_+1": Observable("ring +1", "E of the row after the hit cell's, over the sum of E"),
}
"""The observables that need nothing but the shower, in this order."""

IMPACT = {
    "offset_z": Observable(
        "centre - impact along [mm]",
        "E-weighted z of the cells' fronts minus z of the true impact; in endcaps, of the radius",
    ),
    "offset_phi": Observable(
        "centre - impact in r phi [mm]", "E-weighted r phi of the cells' fronts minus the impact's"
    ),
}
"""Those that need the detector's geometry as well."""


EMC = {
    "emc": Observable("E of all crystals / p", "sum of E of all crystals over momentum"),
    "outside": Observable("E outside the window / p", "the same of crystals outside the window"),
    "other": Observable(
        "E in the other calorimeter / p",
        "the same of crystals of another calorimeter than the one that was entered, in the window "
        "or not",
    ),
    "crystals": Observable("crystals with energy", "of all crystals"),
    "crystals_outside": Observable("crystals with energy outside", "outside the window"),
    "far": Observable("far crystals above 10 MeV", "outside the window"),
    "far_highest": Observable(
        "highest far crystal [MeV]", "largest E of a crystal outside the window"
    ),
    "far_distance": Observable(
        "distance of far crystals [mm]",
        "E-weighted mean, outside the window, between fronts of the crystal and of the one entered",
    ),
}
"""Those of all crystals, of samples that know them."""

_FAR = 0.01
"""GeV, above which a crystal outside the window counts in ``far``."""


COMPARED = (
    "response",
    "e1_e9",
    "e9_e25",
    "centre_theta",
    "centre_phi",
    "width_theta",
    "width_phi",
    "cells_1mev",
)
"""Observables whose means are compared in bins of the conditions."""


COMPARED_EMC = (*COMPARED, "emc", "outside")
"""Those of samples that know all crystals."""


def block(energies: Floats, size: int) -> Floats:
    """Energies (N, size, size) of the cells in the middle of windows."""
    rows, columns = energies.shape[1:]
    top, left = rows // 2 - size // 2, columns // 2 - size // 2
    return energies[:, top : top + size, left : left + size]


def observables(
    showers: CrystalShowers, detector: CrystalCalorimeter | None = None
) -> dict[str, Floats]:
    """All of `OBSERVABLES`, and with a detector those of `IMPACT`; (N,) each."""
    energies = showers.energies.astype(np.float64)
    rows, columns = energies.shape[1:]
    total = energies.sum((1, 2))
    e1, e9, e25 = (block(energies, size).sum((1, 2)) for size in (1, 3, 5))
    row, column = np.arange(rows) - rows // 2, np.arange(columns) - columns // 2
    by_row, by_column = energies.sum(2), energies.sum(1)
    centre_theta = ratio(by_row @ row, total)
    centre_phi = ratio(by_column @ column, total)
    spread_theta = ratio(by_row @ row**2, total) - centre_theta**2
    spread_phi = ratio(by_column @ column**2, total) - centre_phi**2
    lit = (energies > 0).sum((1, 2)).astype(np.float64)
    along, across = _asymmetries(showers, energies, row, column)
    values = {
        "response": total / showers.momentum,
        "e1_e9": ratio(e1, e9),
        "e9_e25": ratio(e9, e25),
        "e25_window": ratio(e25, total),
        "centre_theta": centre_theta,
        "centre_phi": centre_phi,
        "width_theta": np.sqrt(np.maximum(spread_theta, 0.0)),
        "width_phi": np.sqrt(np.maximum(spread_phi, 0.0)),
        "asymmetry_along": ratio(along, total),
        "asymmetry_across": ratio(across, total),
        "sparsity": 1 - lit / (rows * columns),
        "cells": lit,
        "cells_1mev": (energies > _ABOVE).sum((1, 2)).astype(np.float64),
        "ring_-1": ratio(by_row[:, rows // 2 - 1], total) if rows > 1 else np.zeros_like(total),
        "ring_0": ratio(by_row[:, rows // 2], total),
        "ring_+1": ratio(by_row[:, rows // 2 + 1], total) if rows > 1 else np.zeros_like(total),
    }
    if detector is not None:
        values |= _from_impact(showers, energies, total, detector)
    return values


def of_all_crystals(hits: Hits, momentum: Floats) -> dict[str, Floats]:
    """All of `EMC`, (N,) each, of showers of momenta (N,) in GeV."""
    count = len(momentum)

    def summed(of: Mask, values: Floats) -> Floats:
        return np.bincount(hits.shower[of], values[of], count).astype(np.float64)

    outside, energy = hits.where == OUTSIDE, hits.energy
    lit, every = np.ones(len(energy)), np.ones(len(energy), np.bool_)
    beyond = summed(outside, energy)
    highest = np.zeros(count)
    np.maximum.at(highest, hits.shower[outside], 1e3 * energy[outside])
    return {
        "emc": summed(every, energy) / momentum,
        "outside": beyond / momentum,
        "other": summed(hits.other, energy) / momentum,
        "crystals": summed(every, lit),
        "crystals_outside": summed(outside, lit),
        "far": summed(outside & (energy > _FAR), lit),
        "far_highest": highest,
        "far_distance": ratio(summed(outside, energy * hits.distance), beyond),
    }


def _asymmetries(
    showers: CrystalShowers,
    energies: Floats,
    row: npt.NDArray[np.int64],
    column: npt.NDArray[np.int64],
) -> tuple[Floats, Floats]:
    theta, phi = showers.condition("delta_theta_mom"), showers.condition("delta_phi_mom")
    size = np.hypot(theta, phi)
    # Without an inclination, along theta.
    ahead = np.stack([ratio(theta, size), ratio(phi, size)])
    ahead[0, size == 0] = 1.0
    place = np.stack([np.repeat(row, len(column)), np.tile(column, len(row))]).astype(np.float64)
    flat = energies.reshape(len(energies), -1)
    sides = []
    for direction in (ahead, np.stack([-ahead[1], ahead[0]])):
        side = np.sign(np.round(direction.T @ place, 9))
        sides.append((flat * side).sum(1))
    return sides[0], sides[1]


def _from_impact(
    showers: CrystalShowers, energies: Floats, total: Floats, detector: CrystalCalorimeter
) -> dict[str, Floats]:
    fronts = Fronts.of(showers, detector, energies.shape[1:])
    along, phi = (
        ratio(
            np.einsum("irc,irc->i", energies, np.where(fronts.inside, at, 0.0)[fronts.where]), total
        )
        for at in (fronts.along, fronts.phi)
    )
    return dict(zip(IMPACT, fronts.offsets(showers, along, phi, total > 0), strict=True))


@dataclass(frozen=True)
class Fronts:
    """Fronts of the cells in windows around the H cells that N showers hit.

    Attributes
    ----------
    where
        (N,) which of the cells a shower hit.
    inside
        (H, rows, columns) whether there is a cell.
    along, phi
        (H, rows, columns) mm and rad, from the front of the cell that was hit: along the face of
        the calorimeter, which is along z in a barrel, and along the radius in endcaps.
    radius
        (H,) mm, of that cell.
    """

    where: Indices
    inside: Mask
    along: Floats
    phi: Floats
    radius: Floats

    @staticmethod
    def of(showers: CrystalShowers, detector: CrystalCalorimeter, shape: tuple[int, int]) -> Fronts:
        """Return those of windows of a shape."""
        hit, where = np.unique(showers.cell.astype(np.int64), return_inverse=True)
        window = detector.window(hit, shape)
        fronts = all_fronts(detector)
        front, own = fronts[window], fronts[hit][:, None, None]
        phi = np.arctan2(front[..., 1], front[..., 0]) - np.arctan2(own[..., 1], own[..., 0])
        phi = (phi + np.pi) % (2 * np.pi) - np.pi
        radius, own_radius = (np.hypot(at[..., 0], at[..., 1]) for at in (front, own))
        barrel = "delta_z_pos" in showers.conditions_known
        along = front[..., 2] - own[..., 2] if barrel else radius - own_radius
        return Fronts(where, window >= 0, along, phi, own_radius.ravel())

    def offsets(
        self, showers: CrystalShowers, along: Floats, phi: Floats, seen: Mask
    ) -> tuple[Floats, Floats]:
        """Positions (N,) less the true impact (mm), along and r phi; 0 of those not seen."""
        name = "delta_z_pos" if "delta_z_pos" in showers.conditions_known else "delta_r_pos"
        off_along = along - showers.condition(name)
        off_phi = self.radius[self.where] * (phi - showers.condition("delta_phi_pos"))
        return np.where(seen, off_along, 0.0), np.where(seen, off_phi, 0.0)


def lateral_width(values: dict[str, Floats]) -> Floats:
    """Root of the summed variances of rows and columns (cells)."""
    return np.asarray(np.hypot(values["width_theta"], values["width_phi"]))

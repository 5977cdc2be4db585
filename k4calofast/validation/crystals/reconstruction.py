"""After reconstruction: what an analysis would see, with a simple cluster finder.

The finder is BESIII-like and the same for generated and reference showers: the seed is the highest
cell above a threshold; the cluster's energy is the sum of 3 x 3 or 5 x 5 cells around it; its
position is the mean of the cells' fronts with logarithmic weights, w = max(0, w0 + ln(E_cell / E)),
w0 = 4 (T. Awes et al., Nucl. Instrum. Meth. A 311 (1992) 130).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats
from k4calofast.detector import CrystalCalorimeter
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.validation.crystals.observables import Fronts
from k4calofast.validation.metrics import Value, mean_of
from k4calofast.validation.observables import width68, width68_error

SEED_THRESHOLD = 0.01
"""GeV; BESIII's is 10 MeV."""

LOG_WEIGHT = 4.0
PION_MASS = 0.1349768
"""GeV (PDG 2024)."""


@dataclass(frozen=True)
class Clusters:
    """Clusters of N showers, one each.

    Attributes
    ----------
    found
        (N,) whether there is a seed.
    e3x3, e5x5
        (N,) GeV.
    offset_z, offset_phi
        (N,) mm, position less the true impact, along z and r phi; 0 without a seed.
    """

    found: npt.NDArray[np.bool_]
    e3x3: Floats
    e5x5: Floats
    offset_z: Floats
    offset_phi: Floats


def find_clusters(showers: CrystalShowers, detector: CrystalCalorimeter) -> Clusters:
    """Find the cluster of each shower in its window."""
    energies = showers.energies.astype(np.float64)
    count, rows, columns = energies.shape
    padded = np.pad(energies, ((0, 0), (2, 2), (2, 2)))
    seed = energies.reshape(count, -1).argmax(1)
    row, column = np.divmod(seed, columns)
    near = np.arange(5)
    around = (row[:, None] + near)[:, :, None], (column[:, None] + near)[:, None, :]
    cut = padded[np.arange(count)[:, None, None], *around]
    e5x5, e3x3 = cut.sum((1, 2)), cut[:, 1:4, 1:4].sum((1, 2))
    found = cut[:, 2, 2] > SEED_THRESHOLD
    fronts = Fronts.of(showers, detector, (rows + 4, columns + 4))
    place = fronts.where[:, None, None], *around
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.maximum(0.0, LOG_WEIGHT + np.log(cut / e5x5[:, None, None]))
    weight = np.where(np.isfinite(weight) & fronts.inside[place], weight, 0.0)
    total = np.where(weight.sum((1, 2)) > 0, weight.sum((1, 2)), 1.0)
    along, phi = ((weight * at[place]).sum((1, 2)) / total for at in (fronts.along, fronts.phi))
    return Clusters(found, e3x3, e5x5, *fronts.offsets(showers, along, phi, found))


@dataclass(frozen=True)
class Resolution:
    """Resolutions of clusters of one kind of particle in a bin of momentum.

    Attributes
    ----------
    pdg, momentum, showers
        Which bin; momentum is the mean (GeV).
    found
        Fraction with a cluster.
    energy
        68 % half width of E5x5 over momentum, relative to its median.
    z, phi
        68 % half widths of the offsets (mm).
    """

    pdg: int
    momentum: float
    showers: int
    found: float
    energy: Value
    z: Value
    phi: Value


def resolution(
    showers: CrystalShowers, clusters: Clusters, pdg: int, rows: npt.NDArray[np.bool_]
) -> Resolution:
    """Resolution of the clusters of some showers of one kind."""
    seen = rows & clusters.found
    response = clusters.e5x5[seen] / showers.momentum[seen]
    middle = float(np.median(response)) if response.size else 1.0

    def width(values: Floats) -> Value:
        if len(values) < 10:
            return Value(0.0, float("inf"))
        return Value(width68(values), width68_error(values))

    return Resolution(
        pdg,
        float(showers.momentum[rows].mean()),
        int(rows.sum()),
        float(clusters.found[rows].mean()),
        width(response / middle),
        width(clusters.offset_z[seen]),
        width(clusters.offset_phi[seen]),
    )


@dataclass(frozen=True)
class PionPeak:
    """Masses of neutral pions from pairs of photons (GeV): the values, mean and width."""

    masses: Floats
    mean: Value
    width: Value


def pion_peak(
    showers: CrystalShowers,
    clusters: Clusters,
    calibration: Floats,
    distance: Floats,
    seed: int = 0,
) -> PionPeak | None:
    """Reconstruct pi0 -> gamma gamma from pairs of single photons.

    Two photons of a sample become a decay: they are put at the opening angle that gives the pion's
    mass at their true energies; measured energies and positions then give the measured mass.

    Parameters
    ----------
    calibration
        (N,) factor from E5x5 to the photon's energy, from the reference.
    distance
        (N,) mm, from the vertex to where photons enter.
    seed
        Of the pairs and of the direction of each position's error in the decay plane.

    Returns
    -------
    PionPeak or None
        None without at least 100 photons.
    """
    photons = np.flatnonzero((showers.pdg == 22) & (showers.momentum > 0.04))
    if len(photons) < 100:
        return None
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(photons)[: len(photons) // 2 * 2].reshape(-1, 2)
    p1, p2 = showers.momentum[pairs].T
    cosine = 1 - PION_MASS**2 / (2 * p1 * p2)
    pairs, cosine = pairs[cosine > -1], cosine[cosine > -1]
    angle = np.arccos(cosine)
    # In the plane of decay, a position's error moves its photon towards or away from the other.
    turn = rng.uniform(0, 2 * np.pi, pairs.shape)
    moved = (
        clusters.offset_z[pairs] * np.cos(turn) + clusters.offset_phi[pairs] * np.sin(turn)
    ) / distance[pairs]
    angle = angle + moved[:, 0] - moved[:, 1]
    e1, e2 = (clusters.e5x5 * calibration)[pairs].T
    seen = clusters.found[pairs].all(1)
    masses = np.sqrt(np.maximum(2 * e1 * e2 * (1 - np.cos(angle)), 0.0))[seen]
    if len(masses) < 50:
        return None
    return peak_of(masses)


def peak_of(masses: Floats) -> PionPeak:
    """Return the peak of masses (N,) in GeV."""
    half = width68(masses)
    # The mean of the peak, not of its tails.
    near = masses[np.abs(masses - np.median(masses)) <= 2.5 * half]
    return PionPeak(masses, mean_of(near), Value(half, width68_error(masses)))

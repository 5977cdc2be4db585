"""Showers in all crystals that are known: as simple as can be, with all that real ones have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from k4calofast import detector
from k4calofast.detector import CrystalCalorimeter
from k4calofast.showers.crystals import AllHits, CrystalShowers
from k4calofast.showers.crystals.outcomes import expected_ionisation, way

MOMENTA = (0.3, 1.0)


@dataclass(frozen=True)
class Toy:
    """What can be wrong with showers, as factors or shares.

    Attributes
    ----------
    energy, halo, far, time, spread
        Of all energies, of those outside the window, of the number of far crystals, of all times,
        and of their spread.
    nothing, interacted
        Shares of hadrons and muons.
    ionisation
        Of the energy of those that only ionise.
    neutrons
        Share of crystals outside the window that are hit late.
    """

    energy: float = 1.0
    halo: float = 1.0
    far: float = 1.0
    time: float = 1.0
    spread: float = 1.0
    nothing: float = 0.1
    interacted: float = 0.4
    ionisation: float = 1.0
    neutrons: float = 0.1

    def showers(self, particles: AllHits, calorimeter: CrystalCalorimeter, seed: int):
        """Return showers of particles, in all crystals."""
        rng = np.random.default_rng(seed)
        count, momentum = len(particles), particles.conditions[:, 0]
        showering = np.isin(np.abs(particles.pdg), (11, 22))
        lost = 0.05 + rng.gamma(1.0, 0.02, count)
        drawn = rng.random(count)
        nothing = ~showering & (drawn < self.nothing)
        ionising = ~showering & ~nothing & (drawn < 1 - self.interacted)
        length = way(particles.condition, particles.names)
        energy = np.where(showering, 1 - lost, rng.uniform(0.1, 0.9, count)) * momentum
        ionised = expected_ionisation(particles.pdg, momentum, length)
        energy = np.where(
            ionising, self.ionisation * ionised * rng.normal(1.0, 0.05, count), energy
        )
        energy = self.energy * np.where(nothing, 0.0, energy)
        near = np.where(nothing, 0, np.where(ionising, 2, rng.poisson(14, count) + 1))
        far = rng.poisson(np.where(nothing | ionising, 0.0, 2.0 * self.far))
        shower = np.repeat(np.arange(count), near + far)
        first = np.repeat(np.cumsum(near + far) - near - far, near + far)
        outside = np.arange(len(shower)) - first >= near[shower]
        rows, columns = calorimeter.whole_window
        step = rng.normal(0, 1.0, (2, len(shower)))
        step = np.where(outside, rng.uniform(-1, 1, step.shape) * [[25], [50]], np.round(step))
        step = np.round(step).astype(np.int64)
        step[:, first] = 0
        step[0] += np.where(outside, 6 * np.sign(step[0] + 0.5), 0).astype(np.int64)
        place = (step[0] + rows // 2) * columns + step[1] + columns // 2
        entered = particles.cell.astype(np.int64)[shower]
        crystal = calorimeter.cell_in(entered, place, (rows, columns))
        share = np.exp(-2.0 * np.hypot(*step)) * rng.gamma(4.0, 0.25, len(shower))
        share[outside] = 0
        share /= np.maximum(np.bincount(shower, share, count), 1e-9)[shower]
        deposit = energy[shower] * share
        deposit[outside] = self.halo * rng.exponential(0.006, outside.sum())
        time = self.time * (0.3 + 0.1 * self.spread * rng.exponential(1.0, len(shower)))
        time += np.where(outside, self.time * 2.0, 0.0)
        late = outside & (rng.random(len(shower)) < self.neutrons)
        time[late] += 100 + rng.exponential(1000, late.sum())
        return _hits_of(particles, calorimeter, shower, crystal, deposit, time)


def _hits_of(particles, calorimeter, shower, crystal, energy, time) -> CrystalShowers:
    """Showers with one hit in each crystal."""
    seen = (crystal >= 0) & (energy > 1e-5)
    cells = 10_000
    key, of = np.unique((shower * cells + crystal)[seen], return_inverse=True)
    summed = np.bincount(of, energy[seen])
    mean = np.bincount(of, (energy * time)[seen]) / summed
    offsets = np.searchsorted(key // cells, np.arange(len(particles) + 1))
    hits = AllHits(
        particles.pdg,
        particles.cell,
        particles.conditions,
        offsets,
        (key % cells).astype(np.int32),
        summed.astype(np.float32),
        mean.astype(np.float32),
        particles.names,
    )
    return hits.in_windows(calorimeter, (11, 11))


def _particles_at(calorimeter: CrystalCalorimeter, pdgs, count: int, seed: int = 0) -> AllHits:
    """So many particles of each kind and momentum of `MOMENTA`, without showers."""
    rng = np.random.default_rng(seed)
    pdg = np.repeat(pdgs, count * len(MOMENTA)).astype(np.int32)
    momentum = np.resize(np.repeat(MOMENTA, count), len(pdg))
    cell = rng.integers(0, calorimeter.n_cells, len(pdg))
    front = calorimeter.front_centre(cell)
    theta, phi = calorimeter.axis_angles(cell)
    theta, phi = theta + rng.normal(0, 0.05, len(pdg)), phi + rng.normal(0, 0.05, len(pdg))
    direction = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1
    )
    conditions = calorimeter.conditions_at(cell, front, momentum[:, None] * direction)
    nothing = np.zeros(0, np.float32)
    return AllHits(
        pdg,
        cell.astype(np.int32),
        conditions,
        np.zeros(len(pdg) + 1, np.int64),
        np.zeros(0, np.int32),
        nothing,
        nothing,
        tuple(condition.name for condition in calorimeter.conditions),
    )


@pytest.fixture(scope="session")
def particles_at():
    """Make particles without showers: so many of each kind and momentum."""
    return _particles_at


@pytest.fixture(scope="session")
def hits_of():
    """Make showers of hits: one in each crystal."""
    return _hits_of


@pytest.fixture(scope="session")
def toys():
    """Make showers of particles, with faults that `Toy` has."""

    def made(particles: AllHits, calorimeter: CrystalCalorimeter, seed: int, **faults):
        return Toy(**faults).showers(particles, calorimeter, seed)

    return made


@pytest.fixture(scope="session", params=["BESIII_EMC_barrel", "BESIII_EMC_endcaps"])
def calorimeter(request) -> CrystalCalorimeter:
    """Barrel, and endcaps: both are validated in the same way."""
    return detector.load_crystals(request.param)

"""Conditions and times at the face."""

import itertools

import numpy as np
import pytest

from k4calofast.events.columns import Particles
from k4calofast.incidence import arrive

TO_THE_BARREL = {"ThetaMin": 35, "ThetaMax": 145, "VertexSigma": [1, 1, 20]}


def test_a_ring_looks_the_same_from_all_its_crystals(barrel):
    """Turned by multiples of 3 degrees, through the seam, an incidence stays the same."""
    turns = 2 * np.pi * np.arange(120) / 120
    start = np.array([1.0, 2.0, 3.0])
    momentum = np.array([0.8, 0.1, 0.3])
    cos, sin = np.cos(turns), np.sin(turns)

    def turned(v):
        return np.stack([cos * v[0] - sin * v[1], sin * v[0] + cos * v[1], 0 * cos + v[2]], 1)

    n = 120
    nothing = np.zeros((n, 3))
    particles = Particles(
        np.array([0, n]), np.full(n, 11, np.int32), np.ones(n, np.int32), np.zeros(n, np.int32),
        np.full(n, -1.0), np.zeros(n), np.full(n, 0.000511), turned(start), nothing,
        turned(momentum), nothing,
    )  # fmt: skip
    arrivals, _ = arrive(particles, barrel)
    assert len(np.unique(arrivals.cell)) == 120
    assert np.ptp(arrivals.cell // 120) == 0
    assert np.ptp(arrivals.conditions, axis=0) == pytest.approx(0, abs=1e-4)
    assert np.ptp(arrivals.time) == pytest.approx(0, abs=1e-6)


def test_times_are_flight_times(barrel, shot):
    particles = shot(500, **TO_THE_BARREL)
    arrivals, _ = arrive(particles, barrel)
    way = np.linalg.norm(arrivals.position - particles.vertex[arrivals.particle], axis=1)
    light = way / 299.792458
    neutral = particles.charge[arrivals.particle] == 0
    assert arrivals.time[neutral] == pytest.approx(light[neutral])
    # Helices are longer than straight lines, and electrons hardly slower than light.
    assert (arrivals.time[~neutral] > light[~neutral]).all()
    assert (arrivals.time[~neutral] < 1.3 * light[~neutral]).all()


def test_the_momentum_does_not_change_in_a_magnetic_field(barrel, shot):
    particles = shot(300, **TO_THE_BARREL)
    arrivals, _ = arrive(particles, barrel)
    momentum = np.linalg.norm(particles.momentum[arrivals.particle], axis=1)
    assert arrivals.conditions[:, 0] == pytest.approx(momentum)


@pytest.mark.parametrize("pieces", [1, 7, 300])
def test_arrivals_do_not_depend_bit_by_bit_on_what_else_is_in_the_chunk(barrel, pieces, shot):
    particles = shot(300, **TO_THE_BARREL)
    whole, whole_fate = arrive(particles, barrel)
    conditions, fates = [], []
    edges = np.linspace(0, 300, pieces + 1).astype(int)
    for start, stop in itertools.pairwise(edges):
        part = Particles(
            np.arange(stop - start + 1),
            *(
                getattr(particles, name)[start:stop]
                for name in list(Particles.__dataclass_fields__)[1:]
            ),
        )
        arrivals, fate = arrive(part, barrel)
        conditions.append(arrivals.conditions)
        fates.append(fate)
    assert (np.concatenate(conditions) == whole.conditions).all()
    assert (np.concatenate(fates) == whole_fate).all()

"""Ways are the simulation's own: helices from the vertex to the cell that is entered."""

from __future__ import annotations

import numpy as np
import pytest

from k4calofast.display.ways import in_detector, straight
from k4calofast.incidence import arrive
from k4calofast.incidence.transport import curvature_of


def test_ways_end_where_particles_enter_their_crystals(shot, barrel):
    particles = shot(60, ParticlesPerEvent=1, ThetaMin=50, ThetaMax=130)
    ways = in_detector(particles, [barrel])
    arrivals, _ = arrive(particles, barrel)
    ends = dict(zip(ways.particle.tolist(), ways.points, strict=True))
    assert len(arrivals) > 40
    for particle, position in zip(arrivals.particle.tolist(), arrivals.position, strict=True):
        way = ends[particle]
        assert np.abs(way[0] - particles.vertex[particle]).max() < 1e-9
        assert np.linalg.norm(way[-1] - position) < 1e-6


def test_ways_have_the_radius_of_the_transverse_momentum(shot, barrel):
    particles = shot(20, ParticlesPerEvent=1, PDG=[11, -11], ThetaMin=60, ThetaMax=120)
    field = barrel.magnetic_field
    ways = in_detector(particles, [barrel])
    for particle, way in zip(ways.particle, ways.points, strict=True):
        momentum, charge = particles.momentum[[particle]], particles.charge[[particle]]
        share = np.hypot(*momentum[0, :2]) / np.linalg.norm(momentum[0])
        radius = share / curvature_of(momentum, charge, field)[0]
        # The circle's centre is beside the direction in which the particle sets out.
        side = np.array([-momentum[0, 1], momentum[0, 0]]) / np.hypot(*momentum[0, :2])
        centre = particles.vertex[particle, :2] + radius * side
        distance = np.linalg.norm(way[:, :2] - centre, axis=1)
        assert np.abs(distance - abs(radius)).max() < 1e-6 * abs(radius)


def test_what_curls_up_is_followed_to_the_end_of_the_detector(shot, barrel):
    particles = shot(5, ParticlesPerEvent=1, PDG=[11], MomentumMin=0.06, MomentumMax=0.07)
    ways = in_detector(particles, [barrel])
    end = np.abs(np.concatenate(barrel.outline)[:, 2]).max()
    assert len(ways.points) == 5
    for way in ways.points:
        assert np.isfinite(way).all()
        assert abs(way[-1, 2]) == pytest.approx(end) or np.linalg.norm(way[-1]) > 100


def test_where_no_detector_is_known_ways_are_lines_along_the_momentum(shot):
    particles = shot(3, ParticlesPerEvent=1)
    ways = straight(particles, np.arange(3), 500.0)
    for particle, way in zip(ways.particle, ways.points, strict=True):
        step = way[1] - way[0]
        assert np.linalg.norm(step) == pytest.approx(500)
        assert np.abs(np.cross(step, particles.momentum[particle])).max() < 1e-9

"""Barrel and endcaps of the BESIII EMC together: who enters which of them, and how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from k4calofast.detector import besiii
from k4calofast.detector.helix import advance
from k4calofast.events.columns import Particles
from k4calofast.incidence import Fate, Record, follow
from k4calofast.incidence.transport import curvature_of

BARREL, ENDCAPS = 0, 1


def followed(particles: Particles):
    record = Record(particles, besiii.barrel(), besiii.endcaps())
    return follow(record)


def of(particles: Particles, pdg: int, vertex, momentum) -> Particles:
    """Particles of a kind that set out from these points (mm) with these momenta (GeV)."""
    count = len(momentum)
    kept = particles.__class__(
        **{
            name: (np.resize(column, (count, *np.shape(column)[1:])))
            for name, column in vars(particles).items()
            if name not in ("offsets", "parent", "child", "listed")
        },
        offsets=np.arange(count + 1),
    )
    charge, mass = {22: (0.0, 0.0), 11: (-1.0, 0.000511), -211: (-1.0, 0.13957)}[pdg]
    return replace(
        kept,
        pdg=np.full(count, pdg, np.int32),
        charge=np.full(count, charge, np.float32),
        mass=np.full(count, mass),
        vertex=np.array(vertex, np.float64),
        momentum=np.array(momentum, np.float64),
    )


def directions(theta, phi) -> np.ndarray:
    return np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1
    )


def test_photons_from_the_centre_enter_the_crystal_that_is_first_of_all(shot):
    """Among all 6240, also where barrel and endcap meet."""
    rng, count = np.random.default_rng(3), 400
    theta = np.concatenate([rng.uniform(0.3, np.pi - 0.3, 200), rng.uniform(0.5, 0.75, 200)])
    way = directions(theta, rng.uniform(-np.pi, np.pi, count))
    arrivals, census = followed(of(shot(1), 22, np.zeros((count, 3)), way))
    first = np.full(count, -1)
    nearest = np.full(count, np.inf)
    for number, one in enumerate((besiii.barrel(), besiii.endcaps())):
        everything = np.arange(one.n_cells)
        for row in range(count):
            entered, _ = one.blocks.crossings(
                everything[None], np.zeros((1, 3)), way[row : row + 1]
            )
            # Lines go backwards, too.
            entered = np.where(entered > 0, entered, np.inf)[0]
            if entered.min() < nearest[row]:
                nearest[row], first[row] = entered.min(), number * 5280 + entered.argmin()
    found = np.full(count, -1)
    for number, part in enumerate(arrivals):
        found[part.particle] = number * 5280 + part.cell
    assert (found == first).all()
    assert (found >= 5280).sum() > 50
    showered = census.fate == Fate.SHOWERED
    assert (showered == (first >= 0)).all()
    assert set(census.fate[~showered]) <= {Fate.GAP, Fate.BESIDE}
    times = np.concatenate([part.time for part in arrivals])
    whose = np.concatenate([part.particle for part in arrivals])
    assert times == pytest.approx(nearest[whose] / 299.792458, rel=1e-9)


def test_electrons_that_curl_up_in_front_of_the_barrel_enter_an_endcap(shot):
    """With 80 MeV across the beam they come no farther than 534 mm from it."""
    rng, count = np.random.default_rng(4), 300
    momentum = directions(rng.uniform(0.3, 1.0, count), rng.uniform(-np.pi, np.pi, count))
    momentum *= 0.12 / np.sin(0.9)
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    momentum *= (rng.uniform(0.085, 0.12, count) / pt)[:, None]
    electrons = of(shot(1), 11, np.zeros((count, 3)), momentum)
    arrivals, census = followed(electrons)
    assert len(arrivals[BARREL]) == 0
    entered = arrivals[ENDCAPS]
    assert len(entered) > 50
    assert set(census.fate) <= {Fate.SHOWERED, Fate.GAP, Fate.BESIDE}
    # The helix ends there, on a crystal's surface, and it is in no crystal before.
    endcaps = besiii.endcaps()
    start = np.zeros((len(entered), 3))
    own = momentum[entered.particle]
    curvature = curvature_of(own, np.full(len(own), -1.0), endcaps.magnetic_field)
    speed = (
        299.792458 * np.linalg.norm(own, axis=1) / np.hypot(np.linalg.norm(own, axis=1), 0.000511)
    )
    at, direction = advance(start, own, curvature, entered.time * speed)
    assert at == pytest.approx(entered.position, abs=1e-4)
    assert direction == pytest.approx(entered.momentum, abs=1e-6)
    assert np.abs(endcaps.blocks.outside(entered.cell, at)).max() < 1e-3
    # Some come from the hole into the side of a crystal of the innermost ring.
    depth = endcaps.conditions_at(entered.cell, entered.position, entered.momentum)[:, 6]
    assert (depth > 5).any()


def test_what_passes_between_barrel_and_endcap_enters_their_sides(shot):
    """Displaced photons along the beam, at radii between the fronts of both."""
    radius, phi = np.repeat([895.0, 915.0, 935.0], 60), np.tile(np.linspace(-3, 3, 60), 3)
    vertex = np.stack([radius * np.cos(phi), radius * np.sin(phi), np.full(180, 1000.0)], axis=1)
    along = np.stack([-0.02 * np.cos(phi), -0.02 * np.sin(phi), np.ones(180)], axis=1)
    outward = np.stack([0.1 * np.cos(phi), 0.1 * np.sin(phi), np.ones(180)], axis=1)
    arrivals, _ = followed(of(shot(1), 22, vertex, along))
    entered = arrivals[ENDCAPS]
    assert len(entered) > 150
    assert (entered.conditions[:, 6] > 0).all()
    assert entered.conditions[:, 6].max() > 40
    assert (besiii.rows().row[besiii.endcaps().own[entered.cell]] == 5).all()
    arrivals, _ = followed(of(shot(1), 22, vertex, outward))
    assert len(arrivals[BARREL]) > 100


def test_what_flies_through_a_hole_passes_beside_and_through_no_gap(shot):
    rng, count = np.random.default_rng(6), 500
    cosine = rng.uniform(0.935, 0.999, count) * rng.choice([-1, 1], count)
    photons = directions(np.arccos(cosine), rng.uniform(-np.pi, np.pi, count))
    arrivals, census = followed(of(shot(1), 22, np.zeros((count, 3)), photons))
    entered = np.abs(cosine[arrivals[ENDCAPS].particle])
    # The hole widens along the crystals of the innermost ring, which point elsewhere.
    assert entered.max(initial=0.0) < 0.945
    outside = np.abs(cosine) > 0.945
    assert (census.fate[outside] == Fate.BESIDE).all()


def test_both_ends_are_entered_alike(shot):
    """A mirror image in z of particles has the same conditions, up to the ends' own gaps in phi."""
    rng, count = np.random.default_rng(5), 2000
    theta, phi = rng.uniform(0.42, 0.55, count), rng.uniform(-np.pi, np.pi, count)
    east = of(shot(1), 22, np.zeros((count, 3)), directions(theta, phi))
    # The west end is the east one turned around x.
    west = replace(
        east, momentum=east.momentum * [1.0, -1.0, -1.0], vertex=east.vertex * [1.0, -1.0, -1.0]
    )
    both = [followed(particles)[0][ENDCAPS] for particles in (east, west)]
    assert (both[0].particle == both[1].particle).all()
    sense = np.array([1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
    same = np.isclose(both[0].conditions, both[1].conditions * sense, atol=1e-3).all(1)
    # Of those between two crystals, rounding decides.
    assert same.mean() > 0.995


def test_what_is_born_between_barrel_and_endcaps_or_in_them_is_behind(shot):
    points = [
        [0.0, 0.0, 0.0],
        [0.0, 930.0, 1370.0],
        [0.0, 700.0, 1380.0],
        [0.0, 700.0, 1500.0],
        [0.0, 1000.0, 0.0],
        [0.0, 100.0, 1500.0],
    ]
    record = Record(
        of(shot(1), 22, points, np.tile([0.0, 0.6, 0.8], (6, 1))),
        besiii.barrel(),
        besiii.endcaps(),
    )
    assert record.in_front.tolist() == [True, True, True, False, False, False]

"""Crystals in Geant4 are where the table says, and nothing passes through them unseen."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from k4calofast.detector import besiii
from k4calofast.fullsim.crystals.sector import _block
from k4calofast.fullsim.physics_data import find_or_make
from k4calofast.fullsim.simulation import load_geant4

RAYS = 300


def missed(rings: range) -> list[tuple[int, int]]:
    """Rays to and from points in each ring's crystal for which Geant4 has the wrong distance."""
    g4 = load_geant4(find_or_make((6, 7, 8, 18, 53, 55)))
    rng = np.random.default_rng(1)
    wrong = []
    for ring in rings:
        _, _, half, outline = _block(besiii.barrel().corners[ring, 0])
        vertices = g4.G4TwoVectorVector([g4.G4TwoVector(x, y) for x, y in outline])
        solid = g4.G4GenericTrap(f"ring{ring}", half, vertices)
        z = np.repeat([-half, half], 4)
        corners = np.column_stack([outline, z])
        faces = np.array([[0, 1, 2], [4, 5, 6], [0, 1, 4], [1, 2, 5], [2, 3, 6], [3, 0, 7]])
        a, b, c = np.moveaxis(corners[faces], 1, 0)
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal, axis=1)[:, None]
        normal *= np.sign(((a - corners.mean(0)) * normal).sum(1))[:, None]
        reach = (a * normal).sum(1)
        inward = outward = 0
        for _ in range(RAYS):
            point = rng.dirichlet(np.ones(8)) @ corners
            direction = rng.normal(size=3)
            direction /= np.linalg.norm(direction)
            speed = normal @ direction
            distance = ((reach - normal @ point)[speed > 0] / speed[speed > 0]).min()
            here, there = g4.G4ThreeVector(*point), g4.G4ThreeVector(*direction)
            outside = g4.G4ThreeVector(*(point + (distance + 100) * direction))
            outward += abs(solid.DistanceToOut(here, there) - distance) > 0.01
            inward += abs(solid.DistanceToIn(outside, there * -1.0) - 100) > 0.01
        wrong.append((int(inward), int(outward)))
    return wrong


def test_geant4_sees_every_crystal_from_everywhere():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(missed, range(44)).result() == [(0, 0)] * 44


@pytest.mark.parametrize("ring", range(0, 44, 7))
def test_blocks_are_the_crystals_of_the_table(barrel, ring):
    """Sides become planes by moving corners by micrometres."""
    corners = barrel.corners[ring, 0]
    origin, rotation, half, outline = _block(corners)
    z = np.repeat([-half, half], 4)
    built = origin + np.column_stack([outline, z]) @ rotation.T
    apart = np.linalg.norm(built[:, None] - corners[None], axis=2)
    assert apart.min(1).max() < 3e-3

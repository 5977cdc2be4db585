"""Crystals in Geant4 are where the table says, and nothing passes through them unseen."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from k4calofast.detector import besiii
from k4calofast.fullsim.crystals.blocks import Block
from k4calofast.fullsim.crystals.emc import BUILT, PLATE, WholeEMC, block_of, numbers_of
from k4calofast.fullsim.physics_data import find_or_make
from k4calofast.fullsim.simulation import load_geant4

RAYS = 200

BARREL = [("barrel", cell) for cell in range(0, 5280, 120)]
ENDCAPS = [("endcaps", cell) for cell in range(3, 960, 23)]


def calorimeter(name: str):
    return {"barrel": besiii.barrel, "endcaps": besiii.endcaps}[name]()


def sides(part: Block) -> tuple[np.ndarray, np.ndarray]:
    """Corners (8, 3) of a block of four, in its frame, and outward normals (6, 3) of its sides."""
    z = np.repeat([-part.half_depth, part.half_depth], 4)
    corners = np.column_stack([np.concatenate([part.front, part.back]), z])
    faces = np.array([[0, 1, 2], [4, 5, 6], [0, 1, 4], [1, 2, 5], [2, 3, 6], [3, 0, 7]])
    a, b, c = np.moveaxis(corners[faces], 1, 0)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    normal *= np.sign(((a - corners.mean(0)) * normal).sum(1))[:, None]
    return corners, np.column_stack([normal, (a * normal).sum(1)])


def missed(crystals: list[tuple[str, int]]) -> int:
    """Rays to and from points in crystals for which Geant4 has the wrong distance."""
    g4 = load_geant4(find_or_make(WholeEMC().elements))
    rng = np.random.default_rng(1)
    wrong = 0
    for name, cell in crystals:
        whole = block_of(calorimeter(name), cell)
        for part in (*whole.parts, *whole.grown(BUILT, BUILT, BUILT + PLATE).parts):
            solid = part.solid(g4, f"{name}{cell}")
            corners, planes = sides(part)
            for _ in range(RAYS):
                point = rng.dirichlet(np.ones(8)) @ corners
                direction = rng.normal(size=3)
                direction /= np.linalg.norm(direction)
                speed = planes[:, :3] @ direction
                apart = planes[:, 3] - planes[:, :3] @ point
                distance = (apart[speed > 0] / speed[speed > 0]).min()
                here, there = g4.G4ThreeVector(*point), g4.G4ThreeVector(*direction)
                outside = g4.G4ThreeVector(*(point + (distance + 100) * direction))
                wrong += abs(solid.DistanceToOut(here, there) - distance) > 0.01
                wrong += abs(solid.DistanceToIn(outside, there * -1.0) - 100) > 0.01
    return wrong


def test_geant4_sees_every_crystal_from_everywhere():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(missed, BARREL + ENDCAPS).result() == 0


@pytest.mark.parametrize(("name", "cell"), BARREL[::7] + ENDCAPS[::3])
def test_blocks_are_the_crystals_of_the_table(name, cell):
    """Sides become planes by moving corners by micrometres."""
    blocks = calorimeter(name).blocks
    corners = blocks.corners[cell]
    block = block_of(calorimeter(name), cell)
    assert len(block.front) == blocks.sides[cell]
    z = np.repeat([-block.half_depth, block.half_depth], len(block.front))
    outline = np.concatenate([block.front, block.back])
    built = block.origin + np.column_stack([outline, z]) @ block.rotation.T
    apart = np.linalg.norm(built[:, None] - corners[None], axis=2)
    assert apart.min(1).max() < 3e-3
    assert apart.min(0).max() < 3e-3


def test_parts_make_up_a_crystal_of_five_sides():
    endcaps = besiii.endcaps()
    five = np.flatnonzero(endcaps.blocks.sides == 5)
    assert len(five) == 160
    for cell in five[::20]:
        whole = block_of(endcaps, int(cell))
        areas = [area(part.front) for part in whole.parts]
        assert len(areas) == 2
        assert sum(areas) == pytest.approx(area(whole.front), rel=1e-9)
        assert min(areas) > 0.2 * sum(areas)


def area(outline: np.ndarray) -> float:
    x, y = outline.T
    return 0.5 * abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def test_wrapping_is_as_thick_as_it_should_be_and_meets_no_other():
    """Between neighbours there is more than twice the thickness that is built, everywhere."""
    barrel = besiii.barrel()
    normals, offsets = barrel.blocks.planes
    around = barrel.window(np.arange(0, 5280, 40), (3, 3)).reshape(-1, 9)
    for row in around:
        middle, others = row[4], np.delete(row, 4)
        for other in others[(others >= 0) & (others < barrel.n_cells)]:
            apart = [
                (barrel.blocks.corners[b] @ normals[a].T - offsets[a]).min(0).max()
                for a, b in ((middle, other), (other, middle))
            ]
            assert max(apart) > 2 * BUILT
    whole = block_of(barrel, 700)
    grown = whole.grown(BUILT, BUILT, BUILT + PLATE)
    for part, inside in ((whole, whole.front), (grown, whole.front)):
        _, planes = sides(part)
        corners = np.column_stack([inside, np.full(4, -part.half_depth)])
        if part is grown:
            corners[:, 2] += BUILT
            distance = planes[2:, 3] - corners @ planes[2:, :3].T
            # Sides lean outwards by some degrees.
            assert distance.min() == pytest.approx(BUILT, rel=2e-3)


def test_numbers_of_one_calorimeter_go_on_in_the_other():
    barrel, endcaps = besiii.barrel(), besiii.endcaps()
    for one, other in ((barrel, endcaps), (endcaps, barrel)):
        numbers = numbers_of(one)
        np.testing.assert_array_equal(np.sort(numbers), np.arange(6240))
        np.testing.assert_array_equal(numbers[one.own], np.arange(one.n_cells))
        np.testing.assert_array_equal(numbers[other.own], one.n_cells + np.arange(other.n_cells))

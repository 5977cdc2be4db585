"""What every calorimeter answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast import detector
from k4calofast.detector import Calorimeter, LayeredEndcaps
from k4calofast.detector.calorimeter import noise_key_of
from k4calofast.detector.face import Discs

WORLD = st.floats(-3000, 3000, allow_nan=False)


@pytest.fixture(scope="module", params=detector.names())
def calorimeter(request) -> Calorimeter:
    return detector.load(request.param)


@given(points=st.lists(st.tuples(WORLD, WORLD, WORLD), min_size=1, max_size=20))
def test_no_point_is_both_in_front_and_behind(calorimeter, points):
    points = np.array(points)
    in_front, behind = calorimeter.in_front(points), calorimeter.behind(points)
    assert not (in_front & behind).any()
    within = calorimeter.face.within(points)
    assert (in_front | behind)[within].all()


def way_out(calorimeter: Calorimeter, azimuth: float) -> np.ndarray:
    """Points from the centre outwards, through the middle of a barrel or of an endcap's disc."""
    face = calorimeter.face
    if isinstance(face, Discs):
        radius, z = (face.inner_radius + face.outer_radius) / 2, face.distance
        farthest = 1.1 * np.hypot(radius, z)
    else:
        radius, z, farthest = 1.0, 0.01, 3000.0
    direction = np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), z])
    return np.linspace(0, farthest, 3001)[:, None] * direction / np.linalg.norm(direction)


def test_the_way_from_the_centre_outwards_leads_from_in_front_to_behind(calorimeter):
    for azimuth in np.linspace(-np.pi, np.pi, 17):
        points = way_out(calorimeter, azimuth)
        behind = calorimeter.behind(points)
        assert behind.any()
        assert (behind == ~calorimeter.in_front(points)).all()
        assert (np.diff(behind.astype(int)) >= 0).all()


def test_on_the_beam_beyond_the_ends_is_neither_in_front_nor_behind(calorimeter):
    beside = max(3000.0, 1.01 * np.hypot(*np.concatenate(calorimeter.outline)[:, :2].T).max())
    points = np.array([[0.0, 0.0, 4000.0], [1.0, 0.0, -4000.0], [beside, 0.0, 4000.0]])
    assert not calorimeter.in_front(points).any()
    assert not calorimeter.behind(points).any()


def test_nowhere_is_neither_in_front_nor_behind(calorimeter):
    nowhere = np.full((1, 3), np.nan)
    assert not calorimeter.in_front(nowhere).any()
    assert not calorimeter.behind(nowhere).any()


def test_all_cells_are_enclosed_and_behind(calorimeter):
    cells = np.random.default_rng(1).integers(0, calorimeter.n_cells, 2000)
    centres = calorimeter.centre(cells)
    centres = centres[np.isfinite(centres).all(1)]
    assert calorimeter.encloses(centres).all()
    assert calorimeter.behind(centres).all()


def test_solids_of_cells_are_around_their_centres_front_face_first(calorimeter):
    cells = np.random.default_rng(2).integers(0, calorimeter.n_cells, 500)
    cells = cells[np.isfinite(calorimeter.centre(cells)).all(1)]
    solids, centres = calorimeter.solids(cells), calorimeter.centre(cells)
    k = solids.shape[1] // 2
    assert solids.shape == (len(cells), 2 * k, 3)
    middles = np.stack([np.unique(solid, axis=0).mean(0) for solid in solids])
    assert np.abs(middles - centres).max() < 1e-9
    distance = np.linalg.norm(solids, axis=-1)
    assert (distance[:, :k].mean(1) < distance[:, k:].mean(1)).all()
    # Corners go around their face: sides are shorter than diagonals.
    for face in (solids[:, :k], solids[:, k:]):
        sides = np.linalg.norm(face - np.roll(face, 1, axis=1), axis=-1)
        diagonals = np.linalg.norm(face - np.roll(face, 2, axis=1), axis=-1)
        assert (sides.max(1) < diagonals.max(1)).all()
    # Each corner behind belongs to the one in front with the same number.
    edges = np.linalg.norm(solids[:, :k, None] - solids[:, None, k:], axis=-1)
    same = np.arange(k)
    assert np.allclose(edges[:, same, same], edges.min(2))


def test_the_outline_is_around_all_cells(calorimeter):
    points = np.concatenate(calorimeter.outline)
    assert all(line.ndim == 2 and len(line) > 1 for line in calorimeter.outline)
    solids = calorimeter.solids(np.arange(0, calorimeter.n_cells, 97)).reshape(-1, 3)
    solids = solids[np.isfinite(solids).all(1)]
    radius, of_cells = (np.hypot(each[:, 0], each[:, 1]) for each in (points, solids))
    # Cells at an edge reach over it.
    coarse = isinstance(calorimeter, LayeredEndcaps) or calorimeter.name == "CLD_HCAL_barrel"
    cut = 1.5 * calorimeter.rows.step if coarse else 0.0
    assert abs(radius.min() - of_cells.min()) < 0.02 * of_cells.min() + cut
    assert radius.max() > 0.98 * of_cells.max() - cut
    assert np.abs(points[:, 2]).max() > 0.99 * np.abs(solids[:, 2]).max() - cut
    assert calorimeter.encloses(0.999 * points).all()


def test_more_momentum_makes_more_deposits(calorimeter):
    deposits = calorimeter.expected_deposits(np.array([0.0, 0.1, 1.0, 10.0]))
    assert deposits[0] == 0
    assert (np.diff(deposits) > 0).all()


@pytest.mark.parametrize("window", [(), (3,), (4, 3), (3, 4), (1, 1, 2), (1, 3, 5), (3, 3, 3, 3)])
def test_a_window_without_a_centre_or_of_other_sides_is_refused(calorimeter, window):
    with pytest.raises(ValueError, match="a window"):
        calorimeter.check_window(window)


def test_the_first_barrels_share_the_noise_that_they_always_drew():
    keys = {name: detector.load(name).noise_key for name in detector.names()}
    first = {"BESIII_EMC_barrel", "CEPC_ECAL_barrel", "CLD_ECAL_barrel", "ILD_ECAL_barrel"}
    assert {name for name, key in keys.items() if not key} == first
    assert len(set(keys.values())) == 1 + len(keys) - len(first)


@given(st.text(min_size=1).filter(lambda name: name not in detector.names()))
def test_noise_of_other_calorimeters_is_their_own(name):
    assert 0 < noise_key_of(name) < 1 << 32
    assert noise_key_of(name) == noise_key_of(name)
    assert noise_key_of(name + "_endcap") != noise_key_of(name)

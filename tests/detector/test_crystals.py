"""The BESIII EMC barrel from its crystals' corners."""

import numpy as np
import pybes3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.detector.crystals import CONDITIONS, wrapped

WINDOW = (11, 11)


def test_the_barrel_is_the_one_of_the_technical_paper(barrel):
    assert (barrel.n_rings, barrel.n_columns, barrel.n_cells) == (44, 120, 5280)
    assert barrel.face.radius == pytest.approx(940.0, abs=0.1)
    cells = np.arange(barrel.n_cells)
    depth = 2 * np.linalg.norm(barrel.centre(cells) - barrel.front_centre(cells), axis=1)
    ring = cells // 120
    outer = (ring == 0) | (ring == 43)
    assert depth[~outer] == pytest.approx(280.0, abs=1.0)
    assert depth[outer] == pytest.approx(240.0, abs=1.0)


def test_cells_are_pybes3s_crystals_in_order(barrel):
    gid = np.arange(480, 5760)
    cells = np.arange(barrel.n_cells)
    assert (pybes3.emc_gid_to_theta(gid) == cells // 120).all()
    assert (pybes3.emc_gid_to_phi(gid) == cells % 120).all()
    assert barrel.front_centre(cells)[:, 2] == pytest.approx(
        pybes3.emc_gid_to_front_center_z(gid) * 10
    )


def test_axes_are_tilted_so_that_no_photon_slips_between_crystals(barrel):
    cells = np.arange(barrel.n_cells)
    front = barrel.front_centre(cells)
    _, axis_phi = barrel.axis_angles(cells)
    tilt = (axis_phi - np.arctan2(front[:, 1], front[:, 0]) + np.pi) % (2 * np.pi) - np.pi
    assert np.degrees(np.abs(tilt)) == pytest.approx(1.5, abs=0.05)


def test_cell_ids_name_one_crystal_each(barrel):
    cells = np.arange(barrel.n_cells)
    cell_ids = barrel.cell_id(cells)
    assert len(np.unique(cell_ids)) == barrel.n_cells
    assert (barrel.cell_of(cell_ids) == cells).all()
    assert set(barrel.encoding.decode(cell_ids, "system")) == {20}
    assert (barrel.encoding.decode(cell_ids, "theta") == cells // 120).all()


def test_ids_of_other_detectors_belong_to_no_crystal(barrel):
    ecal_endcap = barrel.encoding.encode(system=20, part=0, theta=1, phi=1)
    beyond = barrel.encoding.encode(system=20, part=1, theta=44, phi=0)
    assert barrel.cell_of(np.array([ecal_endcap, beyond])).tolist() == [-1, -1]


@given(st.integers(0, 5279))
def test_windows_wrap_in_phi_and_go_on_into_the_endcaps(barrel, cell):
    window = barrel.window(np.array([cell]), WINDOW)[0]
    ring, column = divmod(cell, 120)
    assert window[5, 5] == cell
    for row in range(11):
        ring_of_row = ring + row - 5
        if 0 <= ring_of_row < 44:
            assert window[row].tolist() == [
                ring_of_row * 120 + (column + offset) % 120 for offset in range(-5, 6)
            ]
        else:
            assert (window[row] >= barrel.n_cells).all()


def test_neighbours_in_a_window_are_neighbours_in_space(barrel):
    window = barrel.window(np.array([22 * 120]), WINDOW)[0]
    front = barrel.front_centre(window.ravel()).reshape(11, 11, 3)
    assert np.linalg.norm(np.diff(front, axis=0), axis=-1) == pytest.approx(51, abs=4)
    assert np.linalg.norm(np.diff(front, axis=1), axis=-1) == pytest.approx(49.4, abs=0.3)


def test_even_windows_have_no_centre(barrel):
    with pytest.raises(ValueError, match="no centre"):
        barrel.window(np.array([0]), (10, 11))


def lines(rng, barrel, count, spread):
    """Lines from around the centre through the face, at angles up to `spread`."""
    phi, z = rng.uniform(-np.pi, np.pi, count), rng.uniform(-1400, 1400, count)
    radius = barrel.face.radius
    points = np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=1)
    theta = np.arctan2(radius, z) + rng.uniform(-spread, spread, count) / 2
    phi = phi + rng.uniform(-spread, spread, count)
    directions = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1
    )
    return points, directions


@pytest.mark.parametrize("spread", [0.02, 0.5, 1.3])
def test_the_first_crystal_is_the_first_of_all_crystals(barrel, spread):
    """The search among neighbours finds what a search among all 5280 crystals finds."""
    points, directions = lines(np.random.default_rng(3), barrel, 200, spread)
    entry = barrel.first_cell(points, directions)
    everything = np.tile(np.arange(barrel.n_cells), (len(points), 1))
    entered, left = barrel.blocks.crossings(everything, points, directions)
    entered[(entered >= left) | (left <= 0)] = np.inf
    # Beyond half a metre the line has left the region in front of the crystals.
    reached = entered.min(axis=1) < 500
    assert reached.sum() > 150
    assert (entry.cell[reached] == entered.argmin(axis=1)[reached]).all()
    assert entry.distance[reached] == pytest.approx(entered.min(axis=1)[reached])


def test_lines_through_front_centres_enter_there(barrel):
    cells = np.arange(barrel.n_cells)
    front, centre = barrel.front_centre(cells), barrel.centre(cells)
    axis = (centre - front) / np.linalg.norm(centre - front, axis=1)[:, None]
    entry = barrel.first_cell(front - 0.5 * axis, axis)
    assert (entry.cell == cells).all()
    assert entry.distance == pytest.approx(0.5, abs=1e-9)


def test_a_line_in_the_gap_of_the_central_plane_enters_nothing(barrel):
    phi = np.linspace(0, 2 * np.pi, 121)[:-1]
    points = 940 * np.stack([np.cos(phi), np.sin(phi), np.zeros(120)], axis=1)
    directions = points / 940
    assert (barrel.first_cell(points, directions).cell == -1).all()


def test_points_in_front_of_the_face_and_behind_it(barrel):
    cells = np.arange(barrel.n_cells)
    front, centre = barrel.front_centre(cells), barrel.centre(cells)
    inward = (centre - front) / np.linalg.norm(centre - front, axis=1)[:, None]
    assert barrel.in_front(front - 0.2 * inward).all()
    assert barrel.in_front(front).all()
    assert not barrel.in_front(front + 0.3 * inward).any()
    assert not barrel.in_front(np.array([[0.0, 0.0, 1500.0], [0.0, 1300.0, 0.0]])).any()
    assert barrel.in_front(np.zeros((1, 3))).all()


@given(st.floats(-100, 100))
def test_angles_are_wrapped_to_minus_pi_excluded_and_pi_included(angle):
    result = wrapped(np.array([angle]))[0]
    assert -np.pi < result <= np.pi
    assert np.cos(result) == pytest.approx(np.cos(angle), abs=1e-9)
    assert np.sin(result) == pytest.approx(np.sin(angle), abs=1e-9)


def test_along_the_axis_through_the_front_centre_all_differences_vanish(barrel):
    cells = np.arange(barrel.n_cells)
    front = barrel.front_centre(cells)
    axis = barrel.centre(cells) - front
    conditions = barrel.conditions_at(cells, front, axis)
    assert conditions[:, 1:5] == pytest.approx(0, abs=1e-12)
    assert conditions[:, 5] == pytest.approx(front[:, 2])
    assert conditions[:, 6] == pytest.approx(0, abs=1e-9)
    assert [condition.name for condition in CONDITIONS][:3] == [
        "momentum",
        "delta_theta_mom",
        "delta_phi_mom",
    ]


def test_conditions_have_the_signs_of_their_definitions(barrel):
    """A hit at larger z and phi, flying to larger theta and phi than the axis."""
    cell = np.array([20 * 120 + 7])
    front = barrel.front_centre(cell)[0]
    theta, phi = (angle[0] for angle in barrel.axis_angles(cell))
    radius, hit_phi = np.hypot(front[0], front[1]), np.arctan2(front[1], front[0]) + 0.01
    position = np.array([[radius * np.cos(hit_phi), radius * np.sin(hit_phi), front[2] + 4]])
    theta, phi = theta + 0.1, phi + 0.2
    direction = [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
    conditions = barrel.conditions_at(cell, position, 2.0 * np.array([direction]))
    assert conditions[0, :6] == pytest.approx([2.0, 0.1, 0.2, 4.0, 0.01, front[2] + 4])


def test_depth_is_counted_from_the_front_along_the_axis(barrel):
    cells = np.arange(0, barrel.n_cells, 7)
    front = barrel.front_centre(cells)
    axis = barrel.centre(cells) - front
    entered = front + 0.25 * axis
    depth = barrel.conditions_at(cells, entered, axis)[:, 6]
    assert depth == pytest.approx(0.25 * np.linalg.norm(axis, axis=1))

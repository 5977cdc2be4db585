"""The endcaps of the BESIII EMC, and windows over all of its crystals."""

import numpy as np
import pybes3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.detector import besiii
from k4calofast.detector.crystals import ENDCAP_CONDITIONS

WHOLE = (111, 121)
SIZES = [64, 64, 80, 80, 96, 96]
CRYSTALS = 6240


@pytest.fixture(scope="module")
def endcaps():
    return besiii.endcaps()


@pytest.fixture(scope="module", params=["barrel", "endcaps"])
def calorimeter(request):
    return {"barrel": besiii.barrel, "endcaps": besiii.endcaps}[request.param]()


def test_rows_are_numbered_as_in_pybes3():
    rows, gid = besiii.rows(), np.arange(CRYSTALS)
    assert rows.sizes.tolist() == [*SIZES, *[120] * 44, *SIZES[::-1]]
    assert (rows.column == pybes3.emc_gid_to_phi(gid)).all()
    part, theta = pybes3.emc_gid_to_part(gid), pybes3.emc_gid_to_theta(gid)
    row = np.select([part == 0, part == 1], [theta, theta + 6], 55 - theta)
    assert (rows.row == row).all()


def test_the_endcaps_are_those_of_the_technical_paper(endcaps):
    cells = np.arange(endcaps.n_cells)
    front, centre = endcaps.front_centre(cells), endcaps.centre(cells)
    assert np.bincount(endcaps.encoding.decode(endcaps.cell_id(cells), "theta")).tolist() == [
        2 * size for size in SIZES
    ]
    assert np.hypot(*front[:, :2].T).min() == pytest.approx(534, abs=1)
    assert np.hypot(*front[:, :2].T).max() == pytest.approx(856, abs=1)
    assert (np.abs(front[:, 2]) > 1395).all()
    assert (np.abs(front[:, 2]) < 1401).all()
    assert 2 * np.linalg.norm(centre - front, axis=1) == pytest.approx(280.0, abs=0.03)
    # The axes meet that of the beam at 100 mm, on the same side of the centre.
    axis = centre - front
    step = -(front[:, :2] * axis[:, :2]).sum(1) / (axis[:, :2] ** 2).sum(1)
    nearest = front + step[:, None] * axis
    assert nearest[:, 2] == pytest.approx(100 * np.sign(front[:, 2]), abs=3)


def test_the_endcaps_cells_are_pybes3s_crystals(endcaps):
    gid = np.concatenate([np.arange(480), np.arange(5760, CRYSTALS)])
    ids = endcaps.cell_id(np.arange(endcaps.n_cells))
    for name, wanted in (
        ("part", pybes3.emc_gid_to_part(gid)),
        ("theta", pybes3.emc_gid_to_theta(gid)),
        ("phi", pybes3.emc_gid_to_phi(gid)),
    ):
        assert (endcaps.encoding.decode(ids, name) == wanted).all()
    assert (endcaps.cell_of(ids) == np.arange(endcaps.n_cells)).all()
    centres = [pybes3.get_emc_geom_table()[f"center_{axis}"][gid] * 10 for axis in "xyz"]
    assert endcaps.centre(np.arange(960)) == pytest.approx(np.stack(centres, 1), abs=1e-3)
    barrel_id = besiii.barrel().cell_id(np.array([7]))
    assert endcaps.cell_of(barrel_id).tolist() == [-1]


def test_crystals_at_the_border_to_larger_rings_have_five_sides(endcaps):
    """Four of a sector's crystals in ring 1, six of ten in ring 3; their fronts are planes."""
    cells = np.arange(endcaps.n_cells)
    five = np.flatnonzero(endcaps.blocks.sides == 5)
    ring = endcaps.encoding.decode(endcaps.cell_id(five), "theta")
    assert np.bincount(ring).tolist() == [0, 64, 0, 96]
    normals, offsets = endcaps.blocks.planes
    for polygon, face in ((slice(0, 5), 0), (slice(5, 10), 1)):
        corners = endcaps.blocks.corners[:, polygon]
        away = np.einsum("nkc,nc->nk", corners, normals[:, face]) - offsets[:, face, None]
        assert np.abs(away).max() < 0.01
    # Behind, crystals are 1.19 to 1.2 times as large as in front, whichever edge is measured.
    corners = endcaps.blocks.corners[five]
    front, back = (
        np.linalg.norm(part - np.roll(part, 1, axis=1), axis=-1)
        for part in (corners[:, :5], corners[:, 5:])
    )
    assert (back / front).min() > 1.189
    assert (back / front).max() < 1.2
    assert len(cells) == 960


def test_crystals_are_convex_and_do_not_overlap(calorimeter):
    """Points in crystals, corners too, lie in these and in no other of the whole EMC."""
    rng = np.random.default_rng(5)
    blocks = calorimeter.blocks
    cells = rng.integers(0, calorimeter.n_cells, 400)
    corners = blocks.corners[cells]
    assert max(blocks.outside(cells, corners[:, i]).max() for i in range(corners.shape[1])) < 0.01
    share = rng.dirichlet(np.full(corners.shape[1], 0.3), len(cells))
    points = np.einsum("nk,nkc->nc", share, corners)
    assert (blocks.outside(cells, points) < 0.01).all()
    for other in (calorimeter, *calorimeter.beyond):
        everything = np.arange(other.n_cells)
        for cell, point in zip(cells, points, strict=True):
            inside = other.blocks.outside(everything, np.broadcast_to(point, (len(everything), 3)))
            found = np.flatnonzero(inside < -0.01)
            assert set(found) <= ({cell} if other is calorimeter else set())


@given(st.integers(0, 1 << 31))
def test_lines_from_the_centre_enter_a_crystal_or_a_gap(seed):
    """What passes no front of the EMC is outside of its angles, or in one of its gaps."""
    direction = np.random.default_rng(seed).normal(size=(1, 3))
    direction /= np.linalg.norm(direction)
    cosine, radius = abs(direction[0, 2]), np.hypot(*direction[0, :2])
    found = []
    for one in (besiii.barrel(), besiii.endcaps()):
        path = one.face.path_to(np.zeros((1, 3)), direction, np.zeros(1))[0]
        if np.isinf(path):
            continue
        start = path * direction
        entry = one.first_cell(start, direction)
        if entry.cell[0] >= 0 and one.encloses(start).all():
            at = start + entry.distance[0] * direction
            assert abs(one.blocks.outside(entry.cell, at)[0]) < 1e-6
            found.append(entry.cell[0])
    # |cos(theta)| from .83 to .84 is between barrel and endcap, below .02 is the central gap.
    if 0.02 < cosine < 0.82 or 0.86 < cosine < 0.92:
        assert found
    if radius < 0.3:
        assert not found


def test_the_first_crystal_is_the_first_of_all_crystals(endcaps):
    """The search among neighbours finds what a search among all finds, from holes, too."""
    rng, count = np.random.default_rng(6), 3000
    radius, phi = rng.uniform(400, 920, count), rng.uniform(-np.pi, np.pi, count)
    z = np.where(rng.random(count) < 0.5, 1, -1) * endcaps.face.distance
    points = np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=1)
    theta = np.arctan2(radius, z) + rng.uniform(-0.6, 0.6, count)
    phi = phi + rng.uniform(-2, 2, count)
    directions = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1
    )
    entry = endcaps.first_cell(points, directions)
    everything = np.tile(np.arange(endcaps.n_cells), (count, 1))
    entered, left = endcaps.blocks.crossings(everything, points, directions)
    entered[(entered >= left) | (left <= 0)] = np.inf
    # Beyond that the line has come to the other end.
    reached = entered.min(axis=1) < 1000
    assert reached.sum() > 2000
    assert (entry.cell[reached] == entered.argmin(axis=1)[reached]).all()
    assert entry.distance[reached] == pytest.approx(entered.min(axis=1)[reached])


def test_in_the_whole_window_each_crystal_has_a_place_of_its_own(calorimeter):
    rng = np.random.default_rng(7)
    assert calorimeter.whole_window == WHOLE
    everything = np.arange(CRYSTALS)
    for entered in rng.integers(0, calorimeter.n_cells, 60):
        middle = np.full(CRYSTALS, entered)
        place = calorimeter.place_of(middle, everything, WHOLE)
        assert (place >= 0).all()
        assert len(np.unique(place)) == CRYSTALS
        assert place[entered] == WHOLE[0] * WHOLE[1] // 2
        assert (calorimeter.cell_in(middle, place, WHOLE) == everything).all()


@given(st.integers(0, 1 << 31), st.integers(0, 55), st.integers(0, 60))
def test_place_and_cell_are_inverse_in_any_window(seed, rows, columns):
    shape = (2 * rows + 1, 2 * columns + 1)
    rng = np.random.default_rng(seed)
    for one in (besiii.barrel(), besiii.endcaps()):
        entered = rng.integers(0, one.n_cells, 50)
        place = rng.integers(0, shape[0] * shape[1], 50)
        cell = one.cell_in(entered, place, shape)
        there = cell >= 0
        assert (one.place_of(entered[there], cell[there], shape) == place[there]).all()
        cell = rng.integers(-1, CRYSTALS, 50)
        place = one.place_of(entered, cell, shape)
        inside = place >= 0
        assert (one.cell_in(entered[inside], place[inside], shape) == cell[inside]).all()
        assert (place[cell < 0] == -1).all()


def test_columns_of_a_window_are_next_to_each_other_across_rings_of_other_sizes(calorimeter):
    """The column of the middle is, in each row, the crystal nearest in phi."""
    cells = np.arange(0, calorimeter.n_cells, 3)
    window = calorimeter.window(cells, (11, 11))
    own = calorimeter.front_centre(cells)
    column = window[:, :, 5]
    front = calorimeter.front_centre(column.ravel()).reshape(*column.shape, 3)
    phi = np.arctan2(front[..., 1], front[..., 0]) - np.arctan2(own[:, 1], own[:, 0])[:, None]
    phi = np.abs((phi + np.pi) % (2 * np.pi) - np.pi)
    # Half a crystal of the smallest ring.
    assert np.degrees(phi[column >= 0]).max() < 3.7
    for row in window:
        there = row[row >= 0]
        assert len(np.unique(there)) == len(there)


def test_both_ends_look_alike_to_a_model(endcaps):
    """To both, the next row is that away from the beam, and what depends on theta is mirrored."""
    cells = np.arange(480)
    theta, phi = (
        endcaps.encoding.decode(endcaps.cell_id(cells), name) for name in ("theta", "phi")
    )
    west = endcaps.cell_of(endcaps.encoding.encode(system=20, part=2, theta=theta, phi=phi))
    rings = endcaps.encoding.decode(endcaps.cell_id(np.arange(endcaps.n_cells)), "theta")
    # Those of the barrel are no rings of the endcaps, and where nothing is, there is none.
    rings = np.concatenate([rings, np.full(5280, 6), [-1]])
    east, west_one = (rings[endcaps.window(middles, (5, 5))] for middles in (cells, west))
    assert (east == west_one).all()
    assert (east[:, 2, 2] == theta).all()
    assert (np.diff(east[:, :, 2]) >= 0).all()
    # The west end is the east one turned by half a turn around x: columns run the other way.
    turned = np.array([1.0, -1.0, -1.0])
    mirror = np.array([1.0, 1.0, -1.0])
    sizes = np.array(SIZES)[theta]
    partner = endcaps.cell_of(
        endcaps.encoding.encode(system=20, part=2, theta=theta, phi=sizes - 1 - phi)
    )
    assert endcaps.front_centre(partner) == pytest.approx(
        endcaps.front_centre(cells) * turned, abs=1e-3
    )
    rng = np.random.default_rng(8)
    front, axis = endcaps.front_centre(cells), endcaps.blocks.axes[cells]
    position = front + rng.normal(0, 10, front.shape)
    momentum = axis / 140 + rng.normal(0, 0.2, axis.shape)
    here = endcaps.conditions_at(cells, position, momentum)
    # Turned by half a turn, only what has a sense in phi is turned; a mirror in y gives it back.
    there = endcaps.conditions_at(partner, position * turned, momentum * turned)
    sense = np.where([name.name.startswith("delta_phi") for name in ENDCAP_CONDITIONS], -1, 1)
    assert there == pytest.approx(here * sense, abs=1e-4)
    there = endcaps.conditions_at(west, position * mirror, momentum * mirror)
    in_theta = [0, 1, 3, 5]
    assert there[:, in_theta] == pytest.approx(here[:, in_theta], abs=0.3, rel=1e-2)


def test_a_line_through_a_front_centre_enters_there_at_no_depth(endcaps):
    cells = np.arange(endcaps.n_cells)
    front = endcaps.front_centre(cells)
    axis = endcaps.blocks.axes / np.linalg.norm(endcaps.blocks.axes, axis=1)[:, None]
    entry = endcaps.first_cell(front - 0.5 * axis, axis)
    assert (entry.cell == cells).all()
    conditions = endcaps.conditions_at(cells, front, 0.3 * axis)
    wanted = np.zeros_like(conditions)
    wanted[:, 0], wanted[:, 5] = 0.3, np.hypot(front[:, 0], front[:, 1])
    assert conditions == pytest.approx(wanted, abs=1e-5)
    deeper = endcaps.conditions_at(cells, front + 100 * axis, axis)
    assert deeper[:, 6] == pytest.approx(100.0)


def test_points_in_front_of_the_face_and_behind_it(endcaps):
    cells = np.arange(endcaps.n_cells)
    front = endcaps.front_centre(cells)
    inward = endcaps.blocks.axes / np.linalg.norm(endcaps.blocks.axes, axis=1)[:, None]
    assert endcaps.in_front(front - 0.2 * inward).all()
    assert endcaps.in_front(front).all()
    assert not endcaps.in_front(front + 0.3 * inward).any()
    assert endcaps.behind(front + 0.3 * inward).all()
    assert endcaps.in_front(np.zeros((1, 3))).all()

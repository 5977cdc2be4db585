"""Faces: paths to them and back."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from k4calofast.detector.face import Cylinder, Discs
from k4calofast.detector.helix import advance
from k4calofast.incidence.transport import curvature_of

GEV = st.floats(0.02, 3.0)
ANGLE = st.floats(-np.pi, np.pi)

FACE = Cylinder(940.0, 1500.0)


@given(GEV, ANGLE, st.floats(-1.5, 1.5), st.sampled_from([-1.0, 0.0, 1.0]), st.floats(0, 500))
def test_the_path_to_a_cylinder_ends_on_it(p, phi, eta, charge, start):
    momentum = p / np.cosh(eta) * np.array([[np.cos(phi), np.sin(phi), np.sinh(eta)]])
    curvature = curvature_of(momentum, np.array([charge]), -1.0)
    begin = np.array([[start, 0.0, 0.0]])
    path = FACE.path_to(begin, momentum, curvature)
    if np.isfinite(path[0]):
        end, _ = advance(begin, momentum, curvature, path)
        assert np.hypot(*end[0, :2]) == pytest.approx(940.0)
        # Nowhere before.
        along, _ = advance(
            np.repeat(begin, 50, 0),
            np.repeat(momentum, 50, 0),
            np.repeat(curvature, 50),
            path[0] * np.linspace(0, 0.999, 50),
        )
        assert (np.hypot(along[:, 0], along[:, 1]) < 940.0).all()
    else:
        # The circle stays inside: its farthest point from the axis is nearer than the cylinder.
        k = curvature[0] * p / np.hypot(*momentum[0, :2])
        direction = momentum[0, :2] / np.hypot(*momentum[0, :2])
        centre = begin[0, :2] + np.array([-direction[1], direction[0]]) / k
        assert np.hypot(*centre) + abs(1 / k) < 940.0 + 1e-6


@given(GEV, ANGLE, st.floats(-1.5, 1.5), st.sampled_from([-1.0, 0.0, 1.0]), st.floats(0, 100))
def test_the_path_back_ends_in_front_of_the_face_where_the_particle_had_been(
    p, phi, eta, charge, beyond
):
    momentum = p / np.cosh(eta) * np.array([[np.cos(phi), np.sin(phi), np.sinh(eta)]])
    curvature = curvature_of(momentum, np.array([charge]), -1.0)
    begin = np.array([[0.0, 0.0, 0.0]])
    path = FACE.path_to(begin, momentum, curvature)
    assume(np.isfinite(path[0]))
    end, direction = advance(begin, momentum, curvature, path + beyond)
    assume(np.hypot(*end[0, :2]) > 940.0)
    back = FACE.path_back(end, direction, curvature, 1.0)
    again, _ = advance(end, direction, curvature, -back)
    assert np.hypot(*again[0, :2]) == pytest.approx(939.0)
    assert back[0] >= beyond
    inside, _ = advance(begin, momentum, curvature, path / 2)
    assert np.isinf(FACE.path_back(inside, momentum, curvature, 1.0)).all()


def test_what_comes_from_outside_has_no_way_back_to_the_face():
    inward = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    outside = np.array([[2000.0, 0.0, 0.0], [2000.0, 0.0, 0.0]])
    assert np.isinf(FACE.path_back(outside, inward, np.zeros(2), 1.0)).all()
    assert FACE.path_to(outside, inward, np.zeros(2)).tolist() == [0.0, 0.0]


def test_a_cylinder_is_a_face_as_far_as_it_is_long():
    points = np.array([[940.0, 0.0, 1499.0], [0.0, 940.0, -1499.0], [940.0, 0.0, 1501.0]])
    assert FACE.within(points).tolist() == [True, True, False]


DISCS = Discs(1384.0, 1668.0, 508.0, 880.0)


@given(
    GEV,
    ANGLE,
    st.floats(-3, 3).filter(lambda eta: eta == 0 or abs(eta) > 1e-9),
    st.sampled_from([-1.0, 0.0, 1.0]),
    st.floats(-1383, 1383),
)
def test_the_path_to_discs_ends_on_the_plane_of_one(p, phi, eta, charge, start):
    momentum = p / np.cosh(eta) * np.array([[np.cos(phi), np.sin(phi), np.sinh(eta)]])
    curvature = curvature_of(momentum, np.array([charge]), -1.0)
    begin = np.array([[0.0, 0.0, start]])
    path = DISCS.path_to(begin, momentum, curvature)
    # In a hole, it may come to no side.
    assume(np.isfinite(path[0]) and path[0] < 1e6)
    assert momentum[0, 2] != 0
    end, direction = advance(begin, momentum, curvature, path)
    radius = np.hypot(end[0, 0], end[0, 1])
    assert np.sign(end[0, 2]) == np.sign(momentum[0, 2])
    if radius > 508.001:
        assert abs(end[0, 2]) == pytest.approx(1384.0, rel=1e-6)
    else:
        assert radius == pytest.approx(508.0, rel=1e-6)
        assert 1384.0 < abs(end[0, 2]) < 1668.0
    # Who comes to the side of a hole may pass by, and has not come through a gap then.
    assert DISCS.within(end).all() == (508.001 < radius < 880)
    beyond, direction = advance(end, direction, curvature, np.array([30.0]))
    back = DISCS.path_back(beyond, direction, curvature, 1.0)
    again, _ = advance(beyond, direction, curvature, -back)
    assert abs(again[0, 2]) == pytest.approx(1383.0, rel=1e-6)
    assert np.isinf(DISCS.path_back(begin * 0.9, momentum, curvature, 1.0)).all()


def test_discs_have_holes_and_edges():
    points = np.array([[507.0, 0.0, 1384.0], [0.0, 600.0, -1384.0], [881.0, 0.0, 1384.0]])
    assert DISCS.within(points).tolist() == [False, True, False]


def test_what_comes_from_behind_discs_has_no_way_back_to_them():
    inward, behind = np.array([[0.0, 0.0, -1.0]]), np.array([[600.0, 0.0, 1500.0]])
    assert np.isinf(DISCS.path_back(behind, inward, np.zeros(1), 1.0)).all()
    assert DISCS.path_to(behind, inward, np.zeros(1)).tolist() == [0.0]

"""Helices and straight lines to the face."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.detector.face import Cylinder
from k4calofast.detector.helix import advance
from k4calofast.incidence.transport import (
    LIGHT_SPEED,
    curvature_of,
    first_hits,
    velocity,
)

GEV = st.floats(0.02, 3.0)
ANGLE = st.floats(-np.pi, np.pi)


def one(*values):
    return np.array([values], float)


def test_the_radius_is_that_of_the_review_of_particle_physics():
    """pT = 0.3 q B R: 0.3 GeV in 1 T on a circle of 1 m."""
    momentum = one(0.299792458, 0, 0)
    curvature = curvature_of(momentum, np.array([1.0]), 1.0)
    assert 1 / abs(curvature[0]) == pytest.approx(1000.0)
    # Half a turn: two metres away, flying back.
    position, turned = advance(np.zeros((1, 3)), momentum, curvature, np.pi / np.abs(curvature))
    assert np.hypot(*position[0, :2]) == pytest.approx(2000.0)
    assert turned[0] == pytest.approx([-0.299792458, 0, 0])


def test_positive_particles_turn_clockwise_in_a_field_along_z():
    """The Lorentz force of v along x and B along z on a positive charge points to -y."""
    momentum, charge = one(1, 0, 0), np.array([1.0])
    path = np.array([100.0])
    up, _ = advance(np.zeros((1, 3)), momentum, curvature_of(momentum, charge, 1.0), path)
    down, _ = advance(np.zeros((1, 3)), momentum, curvature_of(momentum, charge, -1.0), path)
    assert up[0, 1] < 0 < down[0, 1]


@given(GEV, ANGLE, st.floats(-2, 2), st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-500, 2000))
def test_there_and_back_again(p, phi, eta, charge, path):
    momentum = p / np.cosh(eta) * one(np.cos(phi), np.sin(phi), np.sinh(eta))
    curvature = curvature_of(momentum, np.array([charge]), -1.0)
    there, turned = advance(one(1, 2, 3), momentum, curvature, np.array([path]))
    back, again = advance(there, turned, curvature, np.array([-path]))
    assert back == pytest.approx(one(1, 2, 3), abs=1e-9)
    assert again == pytest.approx(momentum)
    assert np.linalg.norm(turned) == pytest.approx(p)


def test_soft_particles_curl_up_before_the_face(barrel):
    """From the centre, 2 R must exceed the radius of the face: pT > 141 MeV in 1 T."""
    need = 0.299792458e-3 * barrel.face.radius / 2
    for pt, arrives in ((0.99 * need, False), (1.05 * need, True)):
        hits = first_hits(barrel, np.zeros((1, 3)), one(pt, 0, 0.01), np.array([-1.0]))
        assert hits.reached[0] == arrives


@pytest.mark.parametrize("charge", [-1.0, 0.0, 1.0])
def test_hits_lie_on_the_surface_of_their_crystal(barrel, charge):
    rng = np.random.default_rng(7)
    n = 500
    phi, eta = rng.uniform(-np.pi, np.pi, n), rng.uniform(-1, 1, n)
    pt = rng.uniform(0.2, 2.0, n)
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    start = rng.normal(0, [2, 2, 20], (n, 3))
    hits = first_hits(barrel, start, momentum, np.full(n, charge))
    hit = hits.cell >= 0
    assert hit.sum() > 0.9 * n
    normals, offsets = barrel.blocks.planes
    outside = (normals[hits.cell] * hits.position[:, None]).sum(-1) - offsets[hits.cell]
    # On one face, and inside the others.
    assert np.abs(outside[hit].max(axis=1)).max() < 1e-6
    # And on the trajectory.
    curvature = curvature_of(momentum, np.full(n, charge), barrel.magnetic_field)
    end, direction = advance(start, momentum, curvature, hits.path)
    assert np.abs(end - hits.position)[hit].max() < 1e-9
    assert np.abs(direction - hits.momentum)[hit].max() < 1e-12


def test_no_crystal_is_entered_before_the_one_that_is_hit(barrel):
    """Fine steps along soft helices stay outside all neighbours until the hit."""
    rng = np.random.default_rng(11)
    n = 60
    phi = rng.uniform(-np.pi, np.pi, n)
    pt = rng.uniform(0.16, 0.3, n)
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), rng.normal(0, 0.1, n)], axis=1)
    charge = rng.choice([-1.0, 1.0], n)
    hits = first_hits(barrel, np.zeros((n, 3)), momentum, charge)
    curvature = curvature_of(momentum, charge, barrel.magnetic_field)
    normals, offsets = barrel.blocks.planes
    for i in np.flatnonzero(hits.cell >= 0):
        path = hits.path[i] - np.linspace(60, 0.06, 2000)
        at, _ = advance(
            np.zeros((2000, 3)), np.repeat(momentum[i : i + 1], 2000, 0),
            np.repeat(curvature[i], 2000), path,
        )  # fmt: skip
        near = barrel.window(hits.cell[i : i + 1], (5, 5)).ravel()
        near = near[near < barrel.n_cells]
        depth = (normals[near][None] * at[:, None, None]).sum(-1) - offsets[near][None]
        assert not (depth < -1e-3).all(-1).any()


def test_electrons_and_positrons_are_mirror_images_about_a_radius(barrel):
    """Opposite charges from the axis reach the face at opposite angles to their start."""
    momentum = one(0.4, 0, 0.05)
    phi = {}
    for charge in (-1.0, 1.0):
        curvature = curvature_of(momentum, np.array([charge]), barrel.magnetic_field)
        path = barrel.face.path_to(np.zeros((1, 3)), momentum, curvature)
        end, _ = advance(np.zeros((1, 3)), momentum, curvature, path)
        phi[charge] = np.arctan2(end[0, 1], end[0, 0])
    assert phi[1.0] == pytest.approx(-phi[-1.0])
    # BESIII's field points to -z.
    assert phi[1.0] > 0


def test_velocity_is_that_of_light_for_photons_and_less_for_others():
    momentum = np.array([[0.0, 3.0, 4.0], [0.0, 3.0, 4.0]])
    speed = velocity(momentum, np.array([0.0, 5.0]))
    assert speed == pytest.approx([LIGHT_SPEED, LIGHT_SPEED / np.sqrt(2)])


def test_a_real_pion_of_besiii_flies_our_helix(edm4hep_file):
    """BESIII's own full simulation stopped this track where our helix in -1 T passes.

    Energy loss and scattering on the way allow a few millimetres.
    """
    import uproot

    with uproot.open(edm4hep_file("jpsi_rhopi.edm4hep.root")) as file:
        tree = file["events"]

        def member(name):
            return np.stack(
                [tree[f"MCParticles.{name}.{axis}"].array()[2].to_numpy() for axis in "xyz"], 1
            )

        start, end, momentum = member("vertex"), member("endpoint"), member("momentum")
    pion = 8
    charge = np.array([1.0])
    curvature = curvature_of(momentum[pion : pion + 1], charge, -1.0)
    cylinder = Cylinder(float(np.hypot(*end[pion, :2])), 1500.0)
    path = cylinder.path_to(start[pion : pion + 1], momentum[pion : pion + 1], curvature)
    there, _ = advance(start[pion : pion + 1], momentum[pion : pion + 1], curvature, path)
    assert there[0] == pytest.approx(end[pion], abs=10.0)

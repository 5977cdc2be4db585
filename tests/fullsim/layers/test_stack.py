"""Real Geant4 in the real stacks of layered barrels, a few showers of it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.detector.description import describe, names
from k4calofast.exceptions import FullSimulationError, SteeringError, UnknownDetectorError
from k4calofast.fullsim.layers.setup import LayerStacks, coverage
from k4calofast.fullsim.layers.stack import LayerStack, _binned
from k4calofast.fullsim.physics_data import find_or_make
from k4calofast.fullsim.simulation import load_geant4
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.showers import layers
from k4calofast.showers.layers import LayerShowers

K4CALOFAST = Path(sys.executable).with_name("k4calofast")
DETECTOR = "CLD_ECAL_barrel"


def built(name: str):
    """Of each slab in Geant4: its depth, thickness, density, and radiation lengths."""
    stack = LayerStack(describe(name), 0.5)
    g4 = load_geant4(find_or_make(stack.elements))
    world, sensitive = stack.construct(g4)
    mother = world.placed.GetLogicalVolume()
    slabs = []
    for number in range(mother.GetNoDaughters()):
        placed = mother.GetDaughter(number)
        volume = placed.GetLogicalVolume()
        thickness = 2 * volume.GetSolid().GetXHalfLength()
        material = volume.GetMaterial()
        slabs.append(
            (
                placed.GetTranslation().x,
                thickness,
                material.GetDensity() / (g4.g / g4.cm3),
                thickness / material.GetRadlen(),
                volume.GetName() in {other.GetName() for other in sensitive},
            )
        )
    return np.array(slabs)


@pytest.mark.parametrize("name", ["CLD_ECAL_endcaps", "CLD_HCAL_endcaps", "CLD_HCAL_rings"])
def test_particles_meet_endcaps_where_straight_ways_from_the_centre_do(name):
    stacks = LayerStacks(describe(name))
    angle_t, angle_z = stacks.angles(np.random.default_rng(1), 20_000)
    slope = np.hypot(np.tan(angle_t), np.tan(angle_z))
    plates, distance = stacks.description.plates, stacks.description.distance
    inner = plates.inner / distance
    outer = plates.outer / distance / np.cos(np.pi / plates.sides)
    from_centre = (slope > inner) & (slope < outer)
    assert from_centre.mean() > 0.6
    (covered,) = {tuple(sorted(kind.items())) for kind in stacks.coverage.values()}
    for name, values in (("angle_t", angle_t), ("angle_z", angle_z)):
        low, high = dict(covered)[name]
        assert low < -np.arctan(outer) < np.arctan(outer) < high
        assert low <= values.min() < 0.95 * low
        assert 0.95 * high < values.max() <= high
    # The field is along the beam: into the plate, and along the rows of a barrel.
    assert stacks.stack.field == (2.0, 0.0, 0.0)
    assert LayerStacks(describe(DETECTOR)).stack.field == (0.0, 0.0, 2.0)


def test_a_photon_is_seen_alike_in_barrel_and_endcaps(tmp_path):
    """The stack is the same, and so is the share that silicon sees."""
    shares = []
    for name in (DETECTOR, "CLD_ECAL_endcaps"):
        file = tmp_path / f"{name}.h5"
        command = [K4CALOFAST, "fullsim", file, "--detector", name, "-n", "60", "-p", "gamma"]
        subprocess.run(
            [*map(str, command), "--momentum", "5", "--angle-t", "0.3", "--angle-z", "0.2"],
            check=True,
            capture_output=True,
        )
        showers, _ = layers.read(file)
        shower = np.repeat(np.arange(len(showers)), np.diff(showers.offsets))
        seen = np.bincount(shower, showers.energy, len(showers))
        shares.append((seen.mean() / 5, seen.std() / 5 / np.sqrt(len(seen))))
    (first, error), (second, other) = shares
    assert first == pytest.approx(1 / 37.5, rel=0.05)
    assert abs(first - second) < 4 * np.hypot(error, other)


@pytest.mark.parametrize(
    ("name", "radiation_lengths"),
    # Of the tungsten alone: thickness over the 3.50 mm of pure, 3.93 mm of CLD's alloy.
    [("CLD_ECAL_barrel", 19.35), ("ILD_ECAL_barrel", 24.0), ("CEPC_ECAL_barrel", 22.8)],
)
def test_slabs_are_those_of_the_description(name, radiation_lengths):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        middle, thickness, density, lengths, sensitive = pool.submit(built, name).result().T
    description = describe(name)
    assert thickness.sum() == pytest.approx(description.thickness)
    assert thickness == pytest.approx([part.thickness for part in description.stack])
    # One behind the other, from the front face on.
    assert middle - thickness / 2 == pytest.approx(np.cumsum(thickness) - thickness, abs=1e-9)
    expected = [description.materials[part.material].density for part in description.stack]
    assert density == pytest.approx(expected)
    np.testing.assert_array_equal(sensitive > 0, [part.sensitive for part in description.stack])
    assert LayerStack(description, 0.5).depths == pytest.approx(middle[sensitive > 0])
    tungsten = density > 15
    assert lengths[tungsten].sum() == pytest.approx(radiation_lengths, rel=0.01)
    assert lengths.sum() < 1.25 * radiation_lengths


def fullsim(folder: Path, output: str, *arguments: object) -> Path:
    command = [K4CALOFAST, "fullsim", output, "--detector", DETECTOR, *arguments]
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("layers")


@pytest.fixture(scope="module")
def sample(folder):
    """Photons and electrons of 1.5 GeV with the angles of a sample."""
    return fullsim(folder, "a.h5", "-n", 12, "-p", "gamma", "-p", "e-", "--momentum", 1.5)


FEW = ("-n", 2, "-p", "gamma", "-p", "e-", "--momentum", 0.5)
"""Two chunks, each of which Geant4 takes seconds to start for."""


@pytest.fixture(scope="module")
def few(folder):
    return fullsim(folder, "few.h5", *FEW)


def shower_of(showers: LayerShowers):
    return np.repeat(np.arange(len(showers)), np.diff(showers.offsets))


def places(showers: LayerShowers, pitch: float):
    """Depth, t and z of the points."""
    depths = LayerStack(describe(DETECTOR), pitch).depths
    return depths[showers.layer], (showers.column + 0.5) * pitch, (showers.row + 0.5) * pitch


def centres(showers: LayerShowers, values):
    """Mean of the points' values, weighted with energy, of each shower."""
    shower = shower_of(showers)
    energies = np.bincount(shower, showers.energy)
    return np.bincount(shower, showers.energy * values) / energies


def test_silicon_sees_its_share_of_the_energy(sample):
    """Of a stack's ionisation, 0.5 mm of silicon per 1.9 mm of tungsten see some percent."""
    showers, provenance = layers.read(sample)
    assert len(showers) == 24
    assert set(showers.pdg) == {22, 11}
    np.testing.assert_allclose(showers.momentum, 1.5)
    visible = np.bincount(shower_of(showers), showers.energy) / showers.momentum
    assert 0.02 < visible.mean() < 0.035
    # 17 % / sqrt(E) is what such a stack resolves; showers of all angles vary more.
    assert 0.04 < visible.std() / visible.mean() < 0.3
    assert (showers.energy > 0).all()
    assert provenance.detector == DETECTOR
    assert provenance.pitch == pytest.approx(0.51)
    assert provenance.magnetic_field == 2.0
    assert set(provenance.coverage) == {22, 11}
    assert provenance.coverage[22]["momentum"] == (1.5, 1.5)


def test_points_of_a_shower_are_in_order_and_no_cell_is_twice_there(sample):
    showers, _ = layers.read(sample)
    places_ = np.stack([shower_of(showers), showers.layer, showers.column, showers.row])
    order = np.lexsort(places_[::-1])
    np.testing.assert_array_equal(order, np.arange(len(order)))
    assert (np.diff(places_) != 0).any(0).all()
    assert showers.layer.max() < 40


def test_nothing_is_faster_than_light_and_showers_are_as_fast(sample):
    showers, provenance = layers.read(sample)
    n, t, z = places(showers, provenance.pitch)
    # The nearest that a deposit in the cell can be.
    near = np.hypot(*(np.maximum(np.abs(v) - provenance.pitch / 2, 0) for v in (t, z)))
    distance = np.hypot(near, n - 0.25)
    assert (showers.time >= distance / LIGHT_SPEED - 1e-6).all()
    # Half of the cells are reached within 30 ps after that, and the energy with them.
    late = showers.time - np.sqrt(n**2 + t**2 + z**2) / LIGHT_SPEED
    assert np.median(late) < 0.03
    first = np.full((len(showers), 40), np.inf)
    np.minimum.at(first, (shower_of(showers), showers.layer), showers.time)
    cosine = 1 / np.sqrt(1 + np.tan(showers.angle_t) ** 2 + np.tan(showers.angle_z) ** 2)
    shower, layer = np.nonzero(np.isfinite(first))
    depths = LayerStack(describe(DETECTOR), 0.5).depths
    path = depths[layer] / cosine[shower]
    speed = np.polyfit(first[shower, layer], path, 1)[0]
    assert speed == pytest.approx(LIGHT_SPEED, rel=0.15)


def test_showers_go_where_their_particle_goes(folder):
    straight = ("-n", 12, "-p", "gamma", "--momentum", 2, "--angle-t", 0)
    normal, provenance = layers.read(fullsim(folder, "n.h5", *straight, "--angle-z", 0))
    n, t, z = places(normal, provenance.pitch)
    # The axis of a 2 GeV photon's shower is known to 3 mm, that of twelve to 1 mm.
    assert abs(centres(normal, t).mean()) < 4
    assert abs(centres(normal, z).mean()) < 4
    assert 30 < centres(normal, n).mean() < 90

    inclined, provenance = layers.read(fullsim(folder, "i.h5", *straight, "--angle-z", 0.7))
    n, t, z = places(inclined, provenance.pitch)
    assert abs(centres(inclined, t).mean()) < 4
    # Inclined tracks leave more in a layer, so z is a little beyond the axis.
    ratio = centres(inclined, z) / (centres(inclined, n) * np.tan(0.7))
    assert ratio.mean() == pytest.approx(1.03, abs=0.08)
    assert provenance.coverage[22]["angle_z"] == (0.7, 0.7)
    assert "angle_z 0.7 rad" in provenance.sampling


def test_the_field_parts_electrons_and_positrons(folder):
    """Along n with the field along z, n x z = -t: positrons turn to -t, electrons to t."""
    arguments = ("-n", 120, "-p", "e-", "-p", "e+", "--momentum", 0.3)
    file = fullsim(folder, "f.h5", *arguments, "--angle-t", 0, "--angle-z", 0)
    showers, provenance = layers.read(file)
    _, t, _ = places(showers, provenance.pitch)
    # Showers are wide; near their axis the particle itself counts most.
    shower, near = shower_of(showers), np.abs(t) < 10
    energy = np.bincount(shower, showers.energy * near, len(showers))
    mean = np.bincount(shower, showers.energy * t * near, len(showers)) / energy
    # Each is 0.5 mm, known to 0.14 mm.
    assert mean[showers.pdg == 11].mean() > 0.2 > -0.2 > mean[showers.pdg == -11].mean()


def test_the_same_seed_gives_the_same_showers_whatever_the_processes(few, folder):
    again = fullsim(folder, "b.h5", *FEW, "-j", 1)
    one, other = layers.read(few)[0], layers.read(again)[0]
    for field in fields(LayerShowers):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_repetition_has_the_same_particles_and_other_showers(few, folder):
    again = fullsim(folder, "c.h5", *FEW, "--repetition", 1)
    one, other = layers.read(few)[0], layers.read(again)[0]
    np.testing.assert_array_equal(one.angle_t, other.angle_t)
    np.testing.assert_array_equal(one.angle_z, other.angle_z)
    assert len(one.energy) != len(other.energy) or (one.energy != other.energy).any()


def test_angles_are_uniform_where_the_sampling_says_so():
    setup = LayerStacks(describe(DETECTOR))
    limits = coverage(setup.description)
    angle_t, angle_z = setup.angles(np.random.default_rng(1), 40_000)
    for name, values in (("angle_t", angle_t), ("angle_z", angle_z)):
        assert limits[name][0] <= values.min() < 0.99 * limits[name][0]
        assert 0.99 * limits[name][1] < values.max() <= limits[name][1]
    counts, _ = np.histogram(angle_t, 10, limits["angle_t"])
    assert ((counts - 4000) ** 2 / 4000).sum() < 33  # 1e-4 for 10 bins
    # 3 in 5 are uniform in z at the face; the others' share of a bin is that of its angles.
    edges = np.linspace(-1, 1, 11)
    face = np.tan(angle_z) * 2150 / 2210
    expected = 24_000 / 10 + 16_000 * np.diff(np.arctan(edges * 2210 / 2150)) / (
        2 * limits["angle_z"][1]
    )
    counts, _ = np.histogram(face, edges)
    assert ((counts - expected) ** 2 / expected).sum() < 33


def test_fixed_angles_do_not_change_the_others():
    free = LayerStacks(describe(DETECTOR)).angles(np.random.default_rng(2), 50)
    fixed = LayerStacks(describe(DETECTOR), angle_z=0.1).angles(np.random.default_rng(2), 50)
    np.testing.assert_array_equal(free[0], fixed[0])
    np.testing.assert_array_equal(fixed[1], 0.1)


def test_charged_particles_may_come_in_at_larger_angles():
    angle_t, angle_z = LayerStacks(describe(DETECTOR), angle_t_range=(-0.95, 0.9)).angles(
        np.random.default_rng(2), 4000
    )
    counts, _ = np.histogram(angle_t, 10, (-0.95, 0.9))
    assert counts.sum() == 4000
    assert ((counts - 400) ** 2 / 400).sum() < 33
    straight = LayerStacks(describe(DETECTOR)).angles(np.random.default_rng(2), 4000)
    np.testing.assert_array_equal(angle_z, straight[1])


def test_deposits_are_added_up_by_cell_with_the_earliest_time():
    layer = np.array([3, 0, 3, 3, 0])
    column, row = np.array([-1.0, 2, -1, -1, 2]), np.array([5.0, 0, 5, 4, 0])
    energy, time = np.array([1.0, 2, 4, 8, 16]), np.array([0.5, 0.2, 0.4, 0.1, 0.3])
    found = _binned(layer, column, row, energy, time)
    expected = ([0, 3, 3], [2, -1, -1], [0, 4, 5], [18, 8, 5], [0.2, 0.1, 0.4])
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, np.array(wanted, values.dtype))
    nothing = _binned(*(np.zeros(0, np.int64), *np.zeros((4, 0))))
    assert [len(values) for values in nothing] == [0] * 5


def test_cells_are_those_of_the_grid_or_of_the_wafers():
    size = {name: describe(name).cell_size for name in names()}
    assert size["CLD_ECAL_barrel"] == pytest.approx(5.1)
    # Wafers of 92.59 and 92.5 mm less two guard rings, for 18 and for 9 cells.
    assert size["ILD_ECAL_barrel"] == pytest.approx(91.59 / 18)
    assert size["CEPC_ECAL_barrel"] == pytest.approx(91.5 / 9)


def test_pitches_and_materials_that_cannot_be_are_refused():
    for pitch in (0.0, -1.0, 0.01, float("nan")):
        with pytest.raises(FullSimulationError, match="pitch"):
            LayerStack(describe(DETECTOR), pitch)
    materials = describe(DETECTOR).materials
    strange = materials["Air"].model_copy(update={"elements": {"Xx": 1.0}})
    changed = describe(DETECTOR).model_copy(update={"materials": materials | {"Air": strange}})
    with pytest.raises(UnknownDetectorError, match="no element Xx"):
        _ = LayerStack(changed, 0.5).elements


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--detector", DETECTOR, "--momentum", "200"), SteeringError, "0.1 and 125.0 GeV"),
        (("--detector", DETECTOR, "--momentum-range", "9", "1"), SteeringError, "0.1 and 125.0"),
        (("--detector", DETECTOR, "--angle-z", "1.5"), SteeringError, "--angle-z must lie between"),
        (
            ("--detector", DETECTOR, "--pitch", "-1"),
            FullSimulationError,
            "--pitch -1: at least 0.046 mm",
        ),
        (("--detector", "nowhere"), UnknownDetectorError, "no detector 'nowhere'"),
        (("--angle-t", "0"), SteeringError, "--angle-t makes no sense for BESIII_EMC_barrel"),
        (("--pitch", "0.5"), SteeringError, "--pitch makes no sense for BESIII_EMC_barrel"),
        (
            ("--detector", DETECTOR, "--angle-t-range", "-0.9", "1.3"),
            SteeringError,
            "--angle-t-range must lie between -1.2 and 1.2",
        ),
        (
            ("--detector", DETECTOR, "--angle-t", "0", "--angle-t-range", "-1", "1"),
            SteeringError,
            "take one",
        ),
    ],
)
def test_what_does_not_go_with_a_detector_is_refused(tmp_path, arguments, error, message):
    result = CliRunner().invoke(app, ["fullsim", str(tmp_path / "a.h5"), *arguments])
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())

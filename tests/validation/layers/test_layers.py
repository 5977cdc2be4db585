"""Validation of showers in layers: what cells see, which faults are found, one report of it all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from k4calofast import detector
from k4calofast.cli.commands import app
from k4calofast.detector import LayeredBarrel
from k4calofast.exceptions import FileFormatError, ModelError
from k4calofast.fullsim import request as requests
from k4calofast.generator.card import ModelCard, Training, read_card, write_card
from k4calofast.generator.generated import Generated
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.showers import layers
from k4calofast.showers.layers import LayerProvenance, LayerShowers
from k4calofast.validation.layers.comparison import GATES, groups_of
from k4calofast.validation.layers.hits import SeenShowers
from k4calofast.validation.layers.observables import observables
from k4calofast.validation.layers.readout import Readout, conditions
from k4calofast.validation.objectives import OBJECTIVES, distance
from k4calofast.validation.page import environment, write
from k4calofast.validation.reading import read
from k4calofast.validation.reference import Reference
from k4calofast.validation.report import Report, validate
from k4calofast.validation.request import of_model

GEANT4 = Path(__file__).resolve().parents[2] / "data" / "layered_showers.h5"
BARREL = detector.load("CLD_ECAL_barrel")
assert isinstance(BARREL, LayeredBarrel)
DEPTH = BARREL.planes - BARREL.face.radius
PITCH, CELL, WINDOW, LAYERS = 0.51, 5.1, 31, len(DEPTH)

MOMENTA, ANGLES = (5.0, 20.0), ((0.0, 0.0), (0.1, 0.35))
IN_A_GROUP = 150

READOUT = Readout.of(BARREL, PITCH, WINDOW, 0.25)

CARD = ModelCard(
    name="barrel/other",
    version="1",
    description="",
    licence="Apache-2.0",
    authors="",
    file="model.onnx",
    sha256=hashlib.sha256().hexdigest(),
    detector="CLD_ECAL_barrel",
    window=(LAYERS, WINDOW, WINDOW),
    threshold=0.0,
    kinds={
        22: {
            "momentum": (1.0, 125.0),
            "angle_t": (-0.41, 0.41),
            "angle_z": (-0.85, 0.85),
            "offset_t": (-7.6, 7.6),
            "offset_z": (-7.6, 7.6),
            "depth": (-0.5, 0.5),
        }
    },
    noise=1,
    block=8,
    training=Training(
        method="by hand",
        command="",
        showers=1,
        sample="",
        seed=0,
        simulation="Geant4 11",
        physics="",
        physics_data="",
        software="",
        machine="",
        minutes=0.0,
        sample_seed=1,
    ),
    validation={},
)

PROVENANCE = LayerProvenance(
    detector="CLD_ECAL_barrel",
    pitch=PITCH,
    simulation="Geant4 11",
    physics="EM",
    physics_data="some",
    range_cut=0.7,
    magnetic_field=2.0,
    geometry="slabs",
    sampling="fixed",
    coverage={22: {"momentum": (5.0, 20.0), "angle_t": (0.0, 0.1), "angle_z": (0.0, 0.35)}},
    seed=2,
    software="k4calofast",
)


def showers_by_hand(
    seed: int,
    energy: float | np.ndarray = 1.0,
    hits: float = 1.0,
    shift: int = 0,
    in_a_group: int = IN_A_GROUP,
    momenta: Sequence[float] = MOMENTA,
) -> LayerShowers:
    """Photons at two momenta and two angles; the same particles for all seeds.

    With a factor on their energy, or on the number of hits (at the same energy), or some layers
    deeper.
    """
    rng = np.random.default_rng(seed)
    of_group = [(p, *angles) for p in momenta for angles in ANGLES]
    momentum, angle_t, angle_z = np.repeat(of_group, in_a_group, axis=0).T
    count = len(momentum)
    place = np.arange(LAYERS - shift)
    middle = 4 + 2 * np.log(momentum) + rng.normal(0, 1, count)
    shape = np.exp(-0.5 * ((place - middle[:, None]) / 4) ** 2)
    expected = 40 * hits * momentum[:, None] ** 0.9 * shape / shape.sum(1, keepdims=True)
    number = rng.poisson(expected)
    shower, layer = (
        index.repeat(number.ravel()) for index in np.indices(number.shape).reshape(2, -1)
    )
    deposit = 0.5 + rng.exponential(2.5, len(shower))
    # A resolution of 5 %, whatever the number of hits.
    total = 0.027 / BARREL.mip * momentum * rng.normal(1, 0.05, count) * energy
    deposit *= (total / np.bincount(shower, deposit, count))[shower]
    layer = layer + shift
    radius, turn = rng.exponential(9.0, len(shower)), rng.uniform(0, 2 * np.pi, len(shower))
    t, z = (
        DEPTH[layer] * np.tan(angle[shower]) + radius * way
        for angle, way in ((angle_t, np.cos(turn)), (angle_z, np.sin(turn)))
    )
    way = np.sqrt(DEPTH[layer] ** 2 + t**2 + z**2)
    return LayerShowers(
        np.full(count, 22, np.int32),
        momentum,
        angle_t,
        angle_z,
        np.append(0, np.cumsum(np.bincount(shower, minlength=count))),
        layer.astype(np.uint8),
        np.floor(t / PITCH).astype(np.int16),
        np.floor(z / PITCH).astype(np.int16),
        (deposit * BARREL.mip).astype(np.float32),
        (way / LIGHT_SPEED + rng.exponential(0.02, len(shower))).astype(np.float32),
    )


class Other:
    """A generator that gives other showers, one after the other, in the cells that it is told."""

    folder, threads = Path(), 1

    def __init__(self, showers: LayerShowers, card: ModelCard = CARD) -> None:
        self.showers, self.card, self.done = showers, card, 0

    def generate(
        self,
        pdg: np.ndarray,
        conditions: np.ndarray,
        _noise: np.ndarray,
        more: Mapping[str, np.ndarray],
    ) -> Generated:
        rows = (self.done + np.arange(len(pdg))) % len(self.showers)
        self.done += len(pdg)
        part = self.showers.take(rows)
        np.testing.assert_array_equal(conditions[:, 0], part.momentum)
        shower = np.repeat(np.arange(len(part)), np.diff(part.offsets))
        layer, place, way = part.layer.astype(np.int64), np.zeros(len(shower), np.int64), 0.0
        inside = np.ones(len(shower), np.bool_)
        for pixels, angle, axis in (
            (part.column, part.angle_t, "t"),
            (part.row, part.angle_z, "z"),
        ):
            line = DEPTH[layer] * np.tan(angle[shower])
            centres = more[axis][shower, layer].astype(np.float64)
            low = centres[:, 0] - CELL / 2
            cell = np.floor(((pixels + 0.5) * PITCH - line - low) / CELL).astype(np.int64)
            inside &= (cell >= 0) & (cell < WINDOW)
            place = place * WINDOW + cell
            way = way + (low + (cell + 0.5) * CELL + line) ** 2
        key = (shower * LAYERS + layer) * WINDOW**2 + place
        key, of = np.unique(key[inside], return_inverse=True)
        time = part.time - np.sqrt(way + DEPTH[layer] ** 2) / LIGHT_SPEED
        first = np.full(len(key), np.inf)
        np.minimum.at(first, of, time[inside])
        energy = np.bincount(of, part.energy[inside])
        shower, place = np.divmod(key, LAYERS * WINDOW**2)
        delay = np.maximum(first, 0.0).astype(np.float32)
        return Generated(shower, place, energy.astype(np.float32), delay)


@pytest.fixture(scope="module", autouse=True)
def file(tmp_path_factory) -> None:
    """A model file with nothing in it, for those that need none."""
    Other.folder = tmp_path_factory.mktemp("other")
    (Other.folder / CARD.file).touch()


@pytest.fixture(scope="module")
def readout() -> Readout:
    return READOUT


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(showers_by_hand(1), "showers by hand", READOUT)


@pytest.fixture(scope="module")
def good(reference) -> Report:
    return validate(Other(showers_by_hand(2)), reference, pictures=False, speed=False)


def same(one: SeenShowers, other: SeenShowers) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(SeenShowers)
    )


# --- what cells see -----------------------------------------------------------------------------


@pytest.mark.parametrize("window", [5, 37])
def test_cells_have_the_energy_of_the_pixels_in_the_window(window):
    showers, provenance = layers.read(GEANT4)
    readout = Readout.of(BARREL, provenance.pitch, window, 0.0)
    seen = readout.simulated(showers, 3)
    deposited = np.add.reduceat(showers.energy.astype(np.float64), showers.offsets[:-1])
    inside = np.bincount(seen.shower, seen.energy, len(seen))
    np.testing.assert_allclose(inside + seen.outside, deposited, rtol=1e-12)
    # No two hits are in one cell, and the line is in the middle cell.
    keys = np.stack([seen.shower, seen.layer, seen.column, seen.row])
    assert len(np.unique(keys, axis=1).T) == keys.shape[1]
    middle = (seen.column == window // 2) & (seen.row == window // 2)
    assert middle.any()
    assert np.abs(np.stack([seen.x, seen.y])[:, middle]).max() <= CELL / 2 + 1e-9


def test_pixels_are_in_the_cells_that_hold_them(readout):
    """Showers of one pixel: its cell is around it, and its border is where the phase says."""
    rng = np.random.default_rng(5)
    count = 2000
    showers = LayerShowers(
        np.full(count, 22, np.int32),
        np.full(count, 10.0),
        rng.uniform(-0.4, 0.4, count),
        rng.uniform(-0.8, 0.8, count),
        np.arange(count + 1),
        rng.integers(0, LAYERS, count).astype(np.uint8),
        *rng.integers(-60, 60, (2, count)).astype(np.int16),
        np.full(count, 1e-3, np.float32),
        np.full(count, 3.0, np.float32),
    )
    seen = readout.simulated(showers, 6)
    whose = seen.shower
    phase = readout.phases(count, 6)[whose]
    assert len(whose) > count / 4
    depth = DEPTH[seen.layer]
    for axis, (pixels, angle, less_line) in enumerate(
        ((showers.column, showers.angle_t, seen.x), (showers.row, showers.angle_z, seen.y))
    ):
        centre = less_line + depth * np.tan(angle[whose])
        pixel = (pixels[whose] + 0.5) * PITCH
        assert np.abs(pixel - centre).max() <= CELL / 2 - PITCH / 2 + 1e-9
        borders = (centre - CELL / 2) / PITCH - phase[:, axis]
        np.testing.assert_allclose(borders / 10, np.rint(borders / 10), atol=1e-9)


def test_a_particle_enters_the_cell_that_its_offset_is_of(readout, reference):
    windows = readout.windows(reference.showers, readout.phases(len(reference.showers), 1))
    given = conditions(reference.showers, windows)
    assert np.abs(given[:, 3:5]).max() <= CELL / 2 + 1e-9
    assert (given[:, 5] == 0).all()
    # At normal incidence, the line crosses every layer where the particle enters.
    straight = reference.showers.angle_z == 0
    middle = windows.places[straight][:, :, :, WINDOW // 2]
    offsets = -given[straight, 3:5]
    np.testing.assert_allclose(middle, np.broadcast_to(offsets[:, None], middle.shape), atol=1e-9)


def test_phases_are_those_of_the_seed(readout, reference):
    few = reference.showers.take(slice(0, 200))
    assert same(readout.simulated(few, 1), readout.simulated(few, 1))
    assert not same(readout.simulated(few, 1), readout.simulated(few, 2))
    phases = readout.phases(5000, 1)
    assert set(phases.ravel().tolist()) == set(range(10))


def test_a_generator_is_told_the_cells_of_the_reference(readout, reference):
    """What puts the reference's own pixels into the windows it is told gives the same hits."""
    there = readout.simulated(reference.showers, 4)
    here = readout.generated(Other(reference.showers), reference.showers, 4)
    # Nobody knows what a generator leaves outside of windows.
    numbers = {name: getattr(there, name) for name in ("energy", "delay", "outside")}
    assert same(replace(here, **numbers), there)
    np.testing.assert_allclose(here.energy, there.energy, rtol=1e-6)
    np.testing.assert_allclose(here.delay, there.delay, atol=1e-6)


def test_hits_below_the_threshold_are_not_seen(reference):
    readout = Readout.of(BARREL, PITCH, WINDOW, 2.0)
    for seen in (
        readout.simulated(reference.showers, 0),
        readout.generated(Other(showers_by_hand(2)), reference.showers, 0),
    ):
        assert seen.energy.min() >= 2.0 * BARREL.mip
        assert seen.energy.min() < 2.01 * BARREL.mip


def test_cells_that_pixels_do_not_fill_are_refused():
    with pytest.raises(FileFormatError, match=r"5\.1 mm, is no whole number .* 0\.5 mm"):
        Readout.of(BARREL, 0.5, WINDOW, 0.25)


@pytest.mark.parametrize("what", ["energy", "delay"])
def test_numbers_that_are_none_are_refused(readout, reference, what):
    class Broken(Other):
        def generate(self, *given) -> Generated:
            found = super().generate(*given)
            values = getattr(found, what).copy()
            values[3] = np.nan
            return replace(found, **{what: values})

    with pytest.raises(ModelError, match="NaN, negative or above"):
        readout.generated(Broken(reference.showers), reference.showers, 0)


# --- observables and groups ---------------------------------------------------------------------


def test_observables_of_a_shower_that_is_known():
    two = np.array([0, 0, 1, 1])
    seen = SeenShowers(
        np.full(2, 22, np.int32),
        np.array([2.0, 1.0]),
        *np.zeros((3, 2)),
        np.array([0, 4, 4]),
        two,
        *np.full((2, 4), 15),
        np.array([3.0, 0.0, 0.0, 0.0]),
        np.array([4.0, 0.0, 0.0, 1.0]),
        1e-3 * np.array([1.0, 1.0, 4.0, 2.0]),
        np.array([0.0, 0.1, 0.2, 0.1]),
    )
    found, profiles = observables(seen, 3, 1e-3)
    numbers = {name: values[0] for name, values in found.items()}
    assert numbers["response"] == pytest.approx(4e-3)
    assert numbers["hits"] == 4
    assert numbers["depth"] == pytest.approx(6 / 8)
    assert numbers["length"] == pytest.approx(np.sqrt(6 / 8 * 2 / 8))
    assert numbers["radius_energy"] == pytest.approx((5 + 2) / 8)
    assert numbers["radius_hits"] == pytest.approx(6 / 4)
    assert numbers["spread_energy"] == pytest.approx(np.sqrt((25 + 2) / 8))
    assert (numbers["centre_t"], numbers["centre_z"]) == pytest.approx((3 / 8, 6 / 8))
    assert (numbers["start"], numbers["maximum"]) == (1, 1)
    assert numbers["hottest"] == pytest.approx(0.5)
    assert numbers["hits_0.7_1.5"] == 0.5
    assert numbers["delay"] == pytest.approx(0.1)
    np.testing.assert_allclose(profiles["energies"][0], [2e-3, 6e-3, 0])
    np.testing.assert_array_equal(profiles["hits"][0], [2, 2, 0])
    # The other one is empty.
    empty = {name: values[1] for name, values in found.items()}
    assert empty.pop("start") == 3
    assert set(empty.values()) == {0.0}


def test_groups_are_those_of_fixed_momenta_and_angles(readout, reference):
    groups = groups_of(readout.observed(readout.simulated(reference.showers, 0)))
    assert [(one.momentum, one.angles) for one in groups] == [
        (p, pytest.approx(angles)) for p in MOMENTA for angles in ANGLES
    ]
    assert [one.rows.sum() for one in groups] == [IN_A_GROUP] * 4
    assert sum(one.rows.astype(int) for one in groups).max() == 1


def test_momenta_and_angles_that_differ_are_put_into_bins():
    showers, provenance = layers.read(GEANT4)
    readout = Readout.of(BARREL, provenance.pitch, WINDOW, 0.25)
    groups = groups_of(readout.observed(readout.simulated(showers, 0)))
    assert len(groups) == 4
    assert all(one.angles is None for one in groups)
    assert sum(one.rows.sum() for one in groups) == len(showers)


def test_a_few_showers_are_no_reference():
    few = Reference(showers_by_hand(1, in_a_group=5), "few", READOUT)
    with pytest.raises(FileFormatError, match="needs 10 showers of one kind, momentum and"):
        validate(Other(few.showers), few, pictures=False, speed=False)


# --- what is found ------------------------------------------------------------------------------


def test_a_perfect_generator_passes_all_gates(good):
    assert good.failures == []
    # Half of them are not resolved by so few showers, and do not pass.
    assert good.verdict.startswith("No figure fails, ")
    assert not good.passed
    for side in (good.comparison.distances, good.comparison.itself):
        assert (
            abs(side.separations["observables"].mean - 0.5)
            < 5 * side.separations["observables"].error
        )
        assert not any(check.fails for check in side.checks)
        # Each is the mean over 30 bins: it scatters by a quarter.
        assert all(0.3 < row.others["mip_spectrum_chi2_ndf"] < 2.2 for row in side.rows)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        # Layers scatter by more than what they have too much.
        ({"energy": 1.05}, {"mean"}),
        ({"hits": 1.1}, {"hits"}),
        ({"shift": 1}, {"profile"}),
    ],
)
def test_a_fault_fails_its_own_gates(reference, fault, found):
    other = Other(showers_by_hand(2, **fault))
    result = validate(other, reference, pictures=False, speed=False)
    failed = {check.gate for check in result.failures}
    # Classifiers see all faults; whether by more than their gate is a matter of size.
    assert failed - {"auc_observables"} == found
    area = result.comparison.distances.separations["observables"]
    assert area.mean > 0.5 + 5 * area.error
    # In the groups, and on their average.
    places = {check.where for check in result.failures}
    assert "photon, average of 4 groups" in places
    assert any("photon at 20 GeV" in place for place in places)
    assert "fail their gates" in result.verdict


def test_a_repetition_is_what_the_reference_is_compared_with(reference):
    repeated = replace(reference, again=showers_by_hand(3))
    result = validate(Other(showers_by_hand(2)), repeated, pictures=False, speed=False)
    assert result.comparison.itself_is == "a repetition of the reference"
    assert [row.showers for row in result.comparison.itself.rows] == [IN_A_GROUP] * 4
    others = replace(showers_by_hand(3), momentum=2 * reference.showers.momentum)
    with pytest.raises(FileFormatError, match="other particles"):
        validate(Other(others), replace(reference, again=others), pictures=False, speed=False)


def test_gates_of_the_card_count(reference):
    strict = CARD.model_copy(update={"gates": {"auc_observables": 0.01}})
    other = Other(showers_by_hand(2), strict)
    result = validate(other, reference, pictures=False, speed=False)
    assert [check.gate for check in result.failures] == ["auc_observables"]
    assert result.data()["gates"] == GATES | {"auc_observables": 0.01}


def test_showers_outside_the_range_are_left_out_and_counted(reference):
    far = reference.showers.momentum.copy()
    far[:20] = 200.0
    showers = replace(reference.showers, momentum=far)
    other = Other(showers.take(slice(20, None)))
    result = validate(other, replace(reference, showers=showers), pictures=False, speed=False)
    assert (result.subject.left_out, result.subject.showers) == (20, len(showers) - 20)
    beyond = replace(reference, showers=replace(showers, momentum=far + 200))
    with pytest.raises(ModelError, match="no shower of the sample is in the range"):
        validate(other, beyond, pictures=False, speed=False)
    pions = replace(showers, pdg=np.full_like(showers.pdg, 211))
    with pytest.raises(ModelError, match=r"does not simulate the kinds \[211\]"):
        validate(other, replace(reference, showers=pions), pictures=False, speed=False)


def test_every_distance_grows_with_the_fault(reference):
    near, far = ({"energy": 1.005}, {"energy": 1.1, "shift": 1})
    for name in set(OBJECTIVES) - {"auc_cells"}:
        small, large = (
            distance(name, Other(showers_by_hand(2, **fault)), reference) for fault in (near, far)
        )
        assert small < large, name
    with pytest.raises(ModelError, match="no classifier of cells"):
        distance("auc_cells", Other(reference.showers), reference)


def test_a_request_asks_for_momenta_at_which_the_generator_is_wrong(tmp_path):
    momenta = np.geomspace(2, 50, 12)
    of_all = {"in_a_group": 30, "momenta": momenta}
    wrong = np.where(np.repeat(momenta, 60) > 20, 1.3, 1.0)
    reference = Reference(showers_by_hand(1, **of_all), "showers by hand", READOUT)
    asked, densities = of_model(Other(showers_by_hand(2, energy=wrong, **of_all)), reference)
    high = reference.showers.momentum > 20
    assert densities[22][high].mean() > 2 * densities[22][~high].mean()
    np.testing.assert_allclose(densities[22].mean(), 1.0, rtol=1e-6)
    file = tmp_path / "request.yaml"
    file.write_text(asked.text())
    read_again = requests.read(file)
    assert set(read_again.kinds[22].conditions) == {"momentum", "angle_t", "angle_z"}
    read_again.refuse_unfit("CLD_ECAL_barrel", ("momentum", "angle_t", "angle_z"))


# --- reports and files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(reference, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("report")
    described = replace(reference, described="<showers> by hand")
    report = validate(Other(showers_by_hand(2)), described, speed=False, full_simulation=125.0)
    write(report, out)
    return out


def test_page_json_and_tables_say_the_same(folder, good):
    data = json.loads((folder / "report.json").read_text())
    page, tables = ((folder / name).read_text() for name in ("index.html", "report.md"))
    assert data["verdict"] == good.verdict
    assert data["verdict"] in page
    assert data["verdict"] in tables
    assert set(data["largest"]) == set(data["gates"]) == set(GATES)
    assert data["auc"] == good.data()["auc"]
    assert {name: good.data()[name] for name in good.summary()} == good.summary()
    assert data["full_simulation_milliseconds"] == 125.0
    for text in (page, tables):
        assert "Full simulation: 125 ms per shower." in text
        assert "photon at 20 GeV, angles 0.10 and 0.35" in text
    assert sorted(file.name for file in folder.iterdir()) == [
        "index.html",
        "report.json",
        "report.md",
    ]


def test_the_page_is_small_and_needs_nothing_else(folder):
    page = (folder / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in sources)
    assert page.count("<figure") == 10
    assert len(page) < 1.5e6
    assert "<showers>" not in page
    assert environment().autoescape


def test_the_command_validates_layers_and_updates_the_card(tmp_path, monkeypatch):
    files = []
    for number, angles in enumerate(ANGLES):
        showers = showers_by_hand(1)
        rows = (showers.angle_t == angles[0]) & (showers.angle_z == angles[1])
        file = tmp_path / f"{number}.h5"
        said = PROVENANCE.model_copy(update={"seed": 2 + number})
        layers.write(file, [showers.take(rows)], said)
        files.append(file)
    both = layers.read(files[0])[0], layers.read(files[1])[0]
    twin = showers_by_hand(2)
    twin = LayerShowers.concatenate([twin.take(twin.angle_t == one.angle_t[0]) for one in both])
    write_card(tmp_path, CARD)
    monkeypatch.setattr("k4calofast.generator.sets.find", lambda _: [(tmp_path, ())])
    monkeypatch.setattr("k4calofast.generator.Model", lambda *_: Other(twin))
    command = ["validate", "barrel/other", "--update-card", "--no-speed"]
    for file in files:
        command += ["--reference", str(file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "600 showers" in result.output
    assert "seed 2, 3" in result.output
    validation = read_card(tmp_path).validation
    assert validation["fails"] == []
    assert validation["not_resolved"] > 0
    assert validation["showers"] == 600
    assert validation["fails"] == []


def test_references_that_do_not_fit_are_refused(tmp_path):
    few = showers_by_hand(1, in_a_group=1)

    def file(name: str, **changes) -> Path:
        path = tmp_path / f"{name}.h5"
        layers.write(path, [few], PROVENANCE.model_copy(update=changes))
        return path

    good, other = file("good"), file("other", seed=7)
    found = read(CARD, [good, other])
    assert len(found.showers) == 2 * len(few)
    assert found.readout.pixels * PITCH == pytest.approx(CELL)
    with pytest.raises(FileFormatError, match=r"differ in pitch: 0\.51, 1\.02"):
        read(CARD, [good, file("coarse", pitch=1.02)])
    with pytest.raises(ModelError, match="is of detector ILD_ECAL_barrel, but the model of CLD"):
        read(CARD, [file("ild", detector="ILD_ECAL_barrel")])
    with pytest.raises(ModelError, match=r"has the seed of the sample that model .* 1:"):
        read(CARD, [good, file("trained", seed=1)])

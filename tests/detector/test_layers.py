"""Layered barrels and endcaps, from their descriptions."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from k4calofast import detector
from k4calofast.detector import (
    CellIDEncoding,
    LayeredBarrel,
    LayeredCalorimeter,
    LayeredEndcaps,
    description,
)
from k4calofast.detector.layers import CONDITIONS
from k4calofast.exceptions import UnknownDetectorError
from k4calofast.incidence.transport import first_hits

NAMES = description.names()
BARRELS = [name for name in NAMES if name.endswith("barrel")]
ENDCAPS = [name for name in NAMES if name not in BARRELS]


@pytest.fixture(params=NAMES)
def layered(request) -> LayeredCalorimeter:
    return detector.load(request.param)


@pytest.fixture(params=BARRELS)
def barrel(request) -> LayeredBarrel:
    return detector.load(request.param)


@pytest.fixture(params=ENDCAPS)
def endcaps(request) -> LayeredEndcaps:
    return detector.load(request.param)


def some_cells(barrel: LayeredCalorimeter, count: int, seed: int = 1) -> np.ndarray:
    """Cells of all modules and layers, the first and last column and row among them."""
    rng = np.random.default_rng(seed)
    module = np.arange(count) % barrel.n_modules
    layer = np.arange(count) // barrel.n_modules % barrel.n_layers
    widths = np.array([len(barrel.columns(number)) for number in range(barrel.n_layers)])[layer]
    column = np.where(
        rng.random(count) < 0.2, rng.choice([0, 1], count) * (widths - 1), rng.integers(0, widths)
    )
    last = len(barrel.rows) - 1
    row = np.where(
        rng.random(count) < 0.2, rng.choice([0, last], count), rng.integers(0, last + 1, count)
    )
    there = barrel.has(module, layer, column, row)
    return barrel.cell(module, layer, column, row)[there]


def test_there_are_barrels_and_endcaps():
    assert NAMES == (
        "CEPC_ECAL_barrel",
        "CLD_ECAL_barrel",
        "CLD_ECAL_endcaps",
        "CLD_HCAL_barrel",
        "CLD_HCAL_endcaps",
        "CLD_HCAL_rings",
        "ILD_ECAL_barrel",
    )
    assert set(NAMES) < set(detector.names())


def test_every_silicon_hit_of_a_full_simulation_of_ild_is_one_of_our_cells(edm4hep_file):
    """A photon of 43.7 GeV, by others' Geant4 in ILD_l5_v02: IDs and positions of 948 hits."""
    barrel = detector.load("ILD_ECAL_barrel")
    with uproot.open(edm4hep_file("ild_photon43GeV_single_event_example.edm4hep.root")) as file:
        names = file["metadata/PARAMETERS/_stringMap/_stringMap.first"].array()[0].tolist()
        texts = file["metadata/PARAMETERS/_stringMap/_stringMap.second"].array()[0].tolist()
        hits = 0
        for parity in ("Even", "Odd"):
            name = f"ECalBarrelSiHits{parity}"
            (text,) = texts[names.index(f"{name}__CellIDEncoding")]
            assert CellIDEncoding(text).fields == barrel.encoding.fields
            ids, x, y, z = (
                file[f"events/{name}/{name}.{member}"].array(library="np")[0]
                for member in ("cellID", "position.x", "position.y", "position.z")
            )
            cells = barrel.cell_of(ids)
            assert (cells >= 0).all()
            assert barrel.centre(cells) == pytest.approx(np.stack([x, y, z], axis=1), abs=0.01)
            hits += len(ids)
    assert hits == 948


def fields_of(calorimeter: LayeredCalorimeter, cells: np.ndarray) -> dict[str, np.ndarray]:
    """All fields of the IDs of cells, by name."""
    ids, encoding = calorimeter.cell_id(cells), calorimeter.encoding
    return {field.name: encoding.decode(ids, field.name) for field in encoding.fields}


CLD_BARRELS = [("CLD_ECAL_barrel", 20, 2152.4, 5.05, 5.1), ("CLD_HCAL_barrel", 10, 2421, 26.5, 30)]


@pytest.mark.parametrize(("name", "system", "first", "pitch", "size"), CLD_BARRELS)
def test_cells_of_cld_s_barrels_are_where_its_formula_puts_them(name, system, first, pitch, size):
    barrel = detector.load(name)
    cells = some_cells(barrel, 5000)
    fields = fields_of(barrel, cells)
    assert set(fields["system"]) == {system}
    assert not any(fields[name].any() for name in ("side", "stave", "submodule"))
    phi = np.deg2rad(-30.0) * fields["module"]
    n, t = first + pitch * fields["layer"], size * fields["x"]
    expected = [
        n * np.cos(phi) - t * np.sin(phi),
        n * np.sin(phi) + t * np.cos(phi),
        size * fields["y"],
    ]
    assert barrel.centre(cells) == pytest.approx(np.stack(expected, axis=1), abs=1e-4)


CLD_ENDCAPS = [
    ("CLD_ECAL_endcaps", 29, 2309.4, 5.05, 5.1, 340, 2455),
    ("CLD_HCAL_endcaps", 11, 2560.0, 26.5, 30, 340, 3566),
    ("CLD_HCAL_rings", 12, 2374.5, 26.5, 30, 2475, 3566),
]


@pytest.mark.parametrize(
    ("name", "system", "first", "pitch", "size", "inner", "outer"), CLD_ENDCAPS
)
def test_cells_of_cld_s_endcaps_are_where_its_formula_puts_them(
    name, system, first, pitch, size, inner, outer
):
    """Both ends: a grid that is turned by 75 degrees, and by half a turn around y before that."""
    endcaps = detector.load(name)
    cells = some_cells(endcaps, 20_000)
    fields = fields_of(endcaps, cells)
    assert set(fields["system"]) == {system}
    assert set(fields["side"]) == {1, 2}
    assert not any(fields[name].any() for name in ("module", "stave", "submodule"))
    end = np.where(fields["side"] == 1, 1, -1)
    x, y = end * size * fields["x"], size * fields["y"]
    cos, sin = np.cos(np.deg2rad(75)), np.sin(np.deg2rad(75))
    expected = np.stack(
        [x * cos - y * sin, x * sin + y * cos, end * (first + pitch * fields["layer"])], axis=1
    )
    assert endcaps.centre(cells) == pytest.approx(expected, abs=1e-4)
    # From side to side of twelve, of which one is at 3 o'clock; cells may reach over the edges.
    phi = np.deg2rad(30 * np.arange(12))
    away = (expected[:, :1] * np.cos(phi) + expected[:, 1:2] * np.sin(phi)).max(1)
    assert away.max() < outer + 0.71 * size
    assert away.min() > inner - 0.71 * size
    assert away.max() > outer - size
    ids = endcaps.cell_id(cells)
    assert (endcaps.cell_of(ids) == cells).all()
    # Where the plate has a hole, there is no cell.
    hole = endcaps.encoding.encode(system=system, side=[1], layer=[0], x=[0], y=[0])
    assert (endcaps.cell_of(hole) == -1).all()


@pytest.mark.parametrize(
    ("name", "planes"),
    [
        ("CLD_ECAL_barrel", {0: 2152.4, 39: 2349.35}),
        ("ILD_ECAL_barrel", {1: 1814.73, 2: 1824.07, 19: 1926.96, 20: 1938.40, 29: 2010.31}),
        ("CEPC_ECAL_barrel", {0: 1847.35, 29: 2016.35}),
        ("CLD_ECAL_endcaps", {0: 2309.4, 39: 2506.35}),
        ("CLD_HCAL_barrel", {0: 2421.0, 43: 3560.5}),
        ("CLD_HCAL_rings", {0: 2374.5, 6: 2533.5}),
    ],
)
def test_layers_are_where_the_stack_puts_them(name, planes):
    barrel = detector.load(name)
    for layer, plane in planes.items():
        assert barrel.planes[layer] == pytest.approx(plane, abs=0.006)


def test_ids_and_positions_name_one_cell_each(layered):
    cells = some_cells(layered, 20_000)
    assert (layered.cell_of(layered.cell_id(cells)) == cells).all()
    found = layered.cell_at(layered.centre(cells))
    # What reaches over the side of a module is cut there; its centre may be the neighbour's.
    module, layer, column, _ = layered.place(cells)
    inner = (column > 1) & (column < layered.widths[layer] - 2)
    if isinstance(layered, LayeredEndcaps):
        inner = layered.module_at(layered.centre(cells)) == module
    # The last row of CLD's hadronic barrel has its centre beyond the end.
    inner &= np.abs(layered.centre(cells)[:, 2]) <= layered.half_length
    assert inner.mean() > 0.5
    assert (found[inner] == cells[inner]).all()
    assert len(np.unique(module)) == layered.n_modules
    assert (layered.cell_of(np.array([0, 2**63, 2**64 - 1], np.uint64)) == -1).all()


def test_frames_of_modules_are_rotations(layered):
    rng = np.random.default_rng(2)
    vectors = rng.normal(0, 2000, (1000, 3))
    module = rng.integers(0, layered.n_modules, 1000)
    local = layered.to_local(module, vectors)
    assert layered.to_world(module, local) == pytest.approx(vectors, abs=1e-9)
    assert np.linalg.norm(local, axis=1) == pytest.approx(np.linalg.norm(vectors, axis=1))


def entries(barrel: LayeredCalorimeter, count: int, seed: int, charge: float = 0.0):
    """Where particles from near the centre enter."""
    rng = np.random.default_rng(seed)
    start = rng.normal(0, [0.1, 0.1, 10.0], (count, 3))
    phi = rng.uniform(-np.pi, np.pi, count)
    if isinstance(barrel, LayeredEndcaps):
        face = barrel.face
        radius = rng.uniform(0.95 * face.inner_radius, 1.02 * face.outer_radius, count)
        cot = rng.choice([-1, 1], count) * face.distance / radius
    else:
        cot = rng.uniform(-1.02, 1.02, count) * barrel.half_length / barrel.face.radius
    momentum = np.stack([np.cos(phi), np.sin(phi), cot], axis=1)
    momentum *= (rng.uniform(5, 100, count) / np.linalg.norm(momentum, axis=1))[:, None]
    return momentum, first_hits(barrel, start, momentum, np.full(count, charge))


@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_what_comes_from_the_centre_enters_a_front_face_unless_it_passes_the_end(barrel, charge):
    """No gap between modules points at the beam; every module is entered, up to both ends."""
    momentum, hits = entries(barrel, 20_000, 3, charge)
    entered = hits.cell >= 0
    at_face = np.abs(hits.position[:, 2]) < barrel.half_length - 20
    # Lines that pass the end do so between the largest cylinder inside and the face.
    corner = barrel.face.radius / np.cos(np.pi / barrel.n_modules)
    far = np.abs(momentum[:, 2]) / np.hypot(*momentum[:, :2].T) * corner > 0.97 * barrel.half_length
    assert (entered | ~hits.reached | far).all()
    assert hits.position[entered, 2].max() > barrel.half_length - 20
    assert hits.position[entered, 2].min() < -barrel.half_length + 20
    module = barrel.place(hits.cell[entered])[0]
    assert len(np.unique(module)) == barrel.n_modules
    local = barrel.to_local(module, hits.position[entered])
    assert local[:, 0] == pytest.approx(barrel.face.radius, abs=1e-6)
    # Closure: from the module's frame back to the point in the world.
    assert barrel.to_world(module, local) == pytest.approx(hits.position[entered], abs=1e-9)
    conditions = barrel.conditions_at(
        hits.cell[entered], hits.position[entered], hits.momentum[entered]
    )
    named = dict(zip((condition.name for condition in CONDITIONS), conditions.T, strict=True))
    half_turn = np.pi / barrel.n_modules
    assert np.abs(named["angle_t"]).max() < half_turn + (0.3 if charge else 0.001)
    assert named["depth"] == pytest.approx(0.0, abs=1e-6)
    assert named["momentum"] == pytest.approx(np.linalg.norm(momentum[entered], axis=1))
    wide = barrel.rows.half.max() + 5.0
    assert np.abs(named["offset_z"])[at_face[entered]].max() < wide
    assert np.abs(named["offset_t"]).max() < wide


@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_what_comes_from_the_centre_enters_an_endcap_unless_it_passes_its_edges(endcaps, charge):
    """Both ends are entered at their fronts, or from their holes; what misses them passes."""
    momentum, hits = entries(endcaps, 20_000, 3, charge)
    entered = hits.cell >= 0
    plates, front = endcaps.description.plates, endcaps.description.distance
    phi = np.deg2rad(plates.angle + 360 / plates.sides * np.arange(plates.sides))
    way = momentum[:, :2] / np.abs(momentum[:, 2:])
    away = ((way @ np.stack([np.cos(phi), np.sin(phi)])) * front).max(1)
    # Straight lines come from near the origin; helices end up to some cm aside.
    margin = 250.0 if charge else 70.0
    wanted = (away > plates.inner + margin) & (away < plates.outer - margin)
    assert entered[wanted].all()
    assert not entered[away > plates.outer + margin].any()
    module = endcaps.place(hits.cell[entered])[0]
    np.testing.assert_array_equal(module, hits.position[entered, 2] < 0)
    depth = endcaps.to_local(module, hits.position[entered])[:, 0] - front
    at_front = np.abs(depth) < 1e-6
    assert at_front.mean() > 0.85
    # All others came through the hole, and enter its side.
    inside = away[entered][~at_front]
    assert (inside < plates.inner + margin).all()
    conditions = endcaps.conditions_at(
        hits.cell[entered], hits.position[entered], hits.momentum[entered]
    )
    named = dict(zip((condition.name for condition in CONDITIONS), conditions.T, strict=True))
    assert named["depth"] == pytest.approx(depth, abs=1e-9)
    assert named["momentum"] == pytest.approx(np.linalg.norm(momentum[entered], axis=1))
    slopes = np.hypot(np.tan(named["angle_t"]), np.tan(named["angle_z"]))
    assert slopes.max() < 1.1 * endcaps.face.outer_radius / front
    for name in ("offset_t", "offset_z"):
        assert np.abs(named[name]).max() <= endcaps.rows.step / 2 + 1e-6


def test_what_is_in_front_of_endcaps_is_not_behind_them(endcaps):
    rng = np.random.default_rng(4)
    size = 1.1 * np.array([endcaps.outer_radius, endcaps.outer_radius, endcaps.half_length])
    points = rng.uniform(-size, size, (50_000, 3))
    in_front, behind = endcaps.in_front(points), endcaps.behind(points)
    assert not (in_front & behind).any()
    within = endcaps.module_at(points) >= 0
    # What is in front by rounding counts as in front.
    deep = np.abs(points[:, 2]) > endcaps.front + 0.1
    assert behind[within & deep].all()
    assert endcaps.encloses(points[within]).all()
    in_hole = np.hypot(points[:, 0], points[:, 1]) < 0.9 * endcaps.face.inner_radius
    in_hole &= np.abs(points[:, 2]) > endcaps.front
    assert in_hole.any()
    assert not (in_front | behind)[in_hole].any()


def test_cells_of_a_view_are_at_the_distances_it_gives(layered):
    """All modules, borders and both ends: a place's centre is where the view says it is."""
    momentum, hits = entries(layered, 3000, 4)
    rows = np.flatnonzero(hits.cell >= 0)
    cells, position, momentum = hits.cell[rows], hits.position[rows], momentum[rows]
    size = 15
    view = layered.surroundings(cells, position, momentum, (layered.n_layers, size, size))
    rng = np.random.default_rng(5)
    shower = rng.integers(0, len(rows), 50_000)
    place = rng.integers(0, layered.n_layers * size * size, 50_000)
    found = view.cells(shower, place)
    layer, column, row = place // size**2, place // size % size, place % size
    module = layered.place(cells)[0][shower]
    # The line at the layer, and the view's distances from it, in the module's frame.
    start = layered.to_local(module, position[shower])
    way = layered.to_local(module, momentum[shower])
    line = start + way * ((layered.planes[layer] - start[:, 0]) / way[:, 0])[:, None]
    at = line[:, 1:] + np.stack([view.t[shower, layer, column], view.z[shower, layer, row]], 1)
    own = (found >= 0) & (layered.place(found)[0] == module)
    assert (0.7 if isinstance(layered, LayeredBarrel) else 0.6) < own.mean() < 1
    assert layered.local_centre(found[own])[:, 1:] == pytest.approx(at[own], abs=1e-6)
    # In the neighbour's frame, it is the cell whose layer and lattice the point is in.
    other = (found >= 0) & ~own
    assert other.any() == isinstance(layered, LayeredBarrel)
    points = layered.to_world(module, np.column_stack([layered.planes[layer], at]))
    distance = np.linalg.norm(layered.centre(found[other]) - points[other], axis=1)
    # At most across half the depth of a layer, and half a cell.
    pitch = np.diff(layered.planes).max()
    assert distance.max(initial=0.0) < np.hypot(pitch / 2 + 9, 0.75 * layered.rows.step)
    # What is in no cell is beyond an end, behind the barrel, or in dead matter between cells.
    if isinstance(layered, LayeredBarrel):
        beyond = (np.abs(points[:, 2]) > layered.half_length - 6)[found < 0]
        assert beyond.mean() > 0.02
    else:
        assert (layered.module_at(points[found < 0]) == -1).all()


def test_the_middle_of_a_view_is_nearest_to_the_line(layered):
    momentum, hits = entries(layered, 1000, 6)
    rows = np.flatnonzero(hits.cell >= 0)
    size = 9
    view = layered.surroundings(
        hits.cell[rows], hits.position[rows], momentum[rows], (layered.n_layers, size, size)
    )
    for distances in (view.t, view.z):
        assert (np.abs(distances).argmin(2) == size // 2).mean() > 0.97
        assert (np.diff(distances, axis=2) > 0).all()
        assert np.abs(distances[:, :, size // 2]).max() < layered.rows.half[0] + 5.0


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_columns_and_rows_go_on_beyond_their_ends(seed):
    barrel = detector.load(NAMES[seed % len(NAMES)])
    rng = np.random.default_rng(seed)
    ruler = barrel.columns(int(rng.integers(barrel.n_layers)))
    position = rng.uniform(ruler.low - 100, ruler.high + 100, 50)
    cells, centres = ruler.around(position, 21)
    assert (np.diff(cells, axis=1) == 1).all()
    inside = (cells >= 0) & (cells < len(ruler))
    assert centres[inside] == pytest.approx(ruler.centre[cells[inside]])
    assert (np.diff(centres, axis=1) > 0).all()
    step = 2 * ruler.half[0]
    beyond = (position < ruler.low) | (position > ruler.high)
    assert np.abs(centres[beyond, 10] - position[beyond]).max(initial=0.0) <= step / 2 + 12


@pytest.mark.parametrize("window", [(3, 9, 9), (40, 9, 7), (40, 8, 8)])
def test_windows_of_another_shape_are_refused(window):
    barrel = detector.load("CLD_ECAL_barrel")
    with pytest.raises(ValueError, match="window"):
        barrel.surroundings(np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 3)), window)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("count: 12", "count: 11"), "not a turn"),
        (("[Silicon, 0.50, sensitive]", "[Silicon, 0.50, active]"), "'active' should be"),
        (("[Silicon, 0.50, sensitive]", "[Silicon, 0.50]"), "no slice is sensitive"),
        (("- [siPCBMix", "- [Mud"), "without a composition: Mud"),
        (("W: 0.93", "W: 0.43"), "add up"),
        (("half_length:", "halflength:"), "half"),
        (("kind: grid", "kind: hexagons"), "cells"),
    ],
)
def test_a_wrong_description_is_one_clear_sentence(tmp_path, change, message):
    text = (description.FOLDER / "CLD_ECAL_barrel.yaml").read_text()
    assert change[0] in text
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(*change))
    with pytest.raises(UnknownDetectorError, match=message):
        description.read(file)


def described(folder: Path, name: str, **changes: object) -> Path:
    """Write CLD's description as that of another detector."""
    text = (description.FOLDER / "CLD_ECAL_barrel.yaml").read_text()
    for key, value in {"name": name, **changes}.items():
        text = re.sub(rf"(?m)^{key}: .*$", f"{key}: {value}", text)
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return file


def test_a_description_is_found_by_its_file_and_by_its_name_in_the_folders_of_the_path(
    tmp_path, monkeypatch
):
    file = described(tmp_path / "first", "MY_ECAL_barrel", collection="MyHits")
    described(tmp_path / "second", "MY_ECAL_barrel", collection="OtherHits")
    assert detector.load(str(file)).collection == "MyHits"
    with pytest.raises(UnknownDetectorError, match=r"CLD_ECAL_barrel.*K4CALOFAST_DETECTOR_PATH"):
        detector.load("MY_ECAL_barrel")
    for first, second, collection in (
        ("first", "second", "MyHits"),
        ("second", "first", "OtherHits"),
    ):
        monkeypatch.setenv(description.SEARCH_PATH, f"{tmp_path / first}::{tmp_path / second}")
        assert detector.load("MY_ECAL_barrel").collection == collection
        assert detector.names().count("MY_ECAL_barrel") == 1
    with pytest.raises(UnknownDetectorError, match=r"no detector 'MINE'.*MY_ECAL_barrel"):
        detector.load("MINE")


def test_a_description_in_the_path_goes_before_one_of_the_package(tmp_path, monkeypatch):
    described(tmp_path, "CLD_ECAL_barrel", collection="MyHits")
    assert detector.load("CLD_ECAL_barrel").collection == "ECalBarrelCollection"
    monkeypatch.setenv(description.SEARCH_PATH, str(tmp_path))
    assert detector.load("CLD_ECAL_barrel").collection == "MyHits"
    assert detector.load("ILD_ECAL_barrel").collection == "EcalBarrelCollection"


def test_a_description_that_changes_is_read_again_and_one_that_does_not_is_one_barrel(tmp_path):
    file = described(tmp_path, "MY_ECAL_barrel", half_length=2000.0)
    before = detector.load(str(file))
    assert detector.load(str(file)) is before
    described(tmp_path, "MY_ECAL_barrel", half_length=1000.0)
    assert detector.load(str(file)).half_length == before.half_length / 2


def test_a_file_has_the_name_of_its_detector(tmp_path):
    file = described(tmp_path, "MY_ECAL_barrel").rename(tmp_path / "other.yaml")
    with pytest.raises(UnknownDetectorError, match=r"'MY_ECAL_barrel'.*MY_ECAL_barrel.yaml"):
        detector.load(str(file))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "x" * 5000, "\0", "nowhere.yaml"])
def test_what_names_no_detector_lists_those_there_are(name):
    with pytest.raises(
        UnknownDetectorError, match="BESIII_EMC_barrel, BESIII_EMC_endcaps, CEPC_ECAL_barrel"
    ):
        detector.load(name)


def test_cells_agree_with_dd4hep_where_it_can_be_imported():
    """Positions of CLD's cells by DD4hep's own segmentation and placements."""
    dd4hep = pytest.importorskip("dd4hep", exc_type=ImportError)
    compact = (
        Path(os.environ.get("K4GEO", "nowhere")) / "FCCee/CLD/compact/CLD_o2_v07/CLD_o2_v07.xml"
    )
    if not compact.is_file():
        pytest.skip("K4GEO names no k4geo")
    import ddrec

    description_ = dd4hep.Detector.getInstance()
    description_.fromXML(str(compact))
    barrel = detector.load("CLD_ECAL_barrel")
    cells = some_cells(barrel, 500)
    converter = ddrec.CellIDPositionConverter(description_)
    for cell_id, centre in zip(barrel.cell_id(cells), barrel.centre(cells), strict=True):
        position = converter.position(int(cell_id))
        theirs = [10 * position.X(), 10 * position.Y(), 10 * position.Z()]
        assert theirs == pytest.approx(centre, abs=1e-3)

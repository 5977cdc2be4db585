"""The silicon-tungsten barrels, from their descriptions."""

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
from k4calofast.detector import CellIDEncoding, description
from k4calofast.detector.layers import CONDITIONS, LayeredBarrel
from k4calofast.exceptions import UnknownDetectorError
from k4calofast.incidence.transport import first_hits

NAMES = description.names()


@pytest.fixture(params=NAMES)
def layered(request) -> LayeredBarrel:
    return detector.load(request.param)


def some_cells(barrel: LayeredBarrel, count: int, seed: int = 1) -> np.ndarray:
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
    return barrel.cell(module, layer, column, row)


def test_there_are_three_barrels():
    assert NAMES == ("CEPC_ECAL_barrel", "CLD_ECAL_barrel", "ILD_ECAL_barrel")
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


def test_cells_of_cld_are_where_its_formula_puts_them():
    barrel = detector.load("CLD_ECAL_barrel")
    cells = some_cells(barrel, 5000)
    fields = {
        name: barrel.encoding.decode(barrel.cell_id(cells), name)
        for name in ("system", "module", "layer", "x", "y", "side", "stave", "submodule")
    }
    assert set(fields["system"]) == {20}
    assert not any(fields[name].any() for name in ("side", "stave", "submodule"))
    phi = np.deg2rad(-30.0) * fields["module"]
    n, t = 2152.4 + 5.05 * fields["layer"], 5.1 * fields["x"]
    expected = [
        n * np.cos(phi) - t * np.sin(phi),
        n * np.sin(phi) + t * np.cos(phi),
        5.1 * fields["y"],
    ]
    assert barrel.centre(cells) == pytest.approx(np.stack(expected, axis=1), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "planes"),
    [
        ("CLD_ECAL_barrel", {0: 2152.4, 39: 2349.35}),
        ("ILD_ECAL_barrel", {1: 1814.73, 2: 1824.07, 19: 1926.96, 20: 1938.40, 29: 2010.31}),
        ("CEPC_ECAL_barrel", {0: 1847.35, 29: 2016.35}),
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
    widths = np.array([len(layered.columns(number)) for number in range(layered.n_layers)])[layer]
    inner = (column > 1) & (column < widths - 2)
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


def entries(barrel: LayeredBarrel, count: int, seed: int, charge: float = 0.0):
    """Where particles from near the centre enter."""
    rng = np.random.default_rng(seed)
    start = rng.normal(0, [0.1, 0.1, 10.0], (count, 3))
    phi = rng.uniform(-np.pi, np.pi, count)
    cot = rng.uniform(-1.02, 1.02, count) * barrel.half_length / barrel.face.radius
    momentum = np.stack([np.cos(phi), np.sin(phi), cot], axis=1)
    momentum *= (rng.uniform(5, 100, count) / np.linalg.norm(momentum, axis=1))[:, None]
    return momentum, first_hits(barrel, start, momentum, np.full(count, charge))


@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_what_comes_from_the_centre_enters_a_front_face_unless_it_passes_the_end(layered, charge):
    """No gap between modules points at the beam; every module is entered, up to both ends."""
    momentum, hits = entries(layered, 20_000, 3, charge)
    entered = hits.cell >= 0
    at_face = np.abs(hits.position[:, 2]) < layered.half_length - 20
    # Lines that pass the end do so between the largest cylinder inside and the face.
    corner = layered.face.radius / np.cos(np.pi / layered.n_modules)
    far = (
        np.abs(momentum[:, 2]) / np.hypot(*momentum[:, :2].T) * corner > 0.97 * layered.half_length
    )
    assert (entered | ~hits.reached | far).all()
    assert hits.position[entered, 2].max() > layered.half_length - 20
    assert hits.position[entered, 2].min() < -layered.half_length + 20
    module = layered.place(hits.cell[entered])[0]
    assert len(np.unique(module)) == layered.n_modules
    local = layered.to_local(module, hits.position[entered])
    assert local[:, 0] == pytest.approx(layered.face.radius, abs=1e-6)
    # Closure: from the module's frame back to the point in the world.
    assert layered.to_world(module, local) == pytest.approx(hits.position[entered], abs=1e-9)
    conditions = layered.conditions_at(
        hits.cell[entered], hits.position[entered], hits.momentum[entered]
    )
    named = dict(zip((condition.name for condition in CONDITIONS), conditions.T, strict=True))
    half_turn = np.pi / layered.n_modules
    assert np.abs(named["angle_t"]).max() < half_turn + (0.3 if charge else 0.001)
    assert named["depth"] == pytest.approx(0.0, abs=1e-6)
    assert named["momentum"] == pytest.approx(np.linalg.norm(momentum[entered], axis=1))
    wide = layered.rows.half.max() + 5.0
    assert np.abs(named["offset_z"])[at_face[entered]].max() < wide
    assert np.abs(named["offset_t"]).max() < wide


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
    assert 0.7 < own.mean() < 1
    assert layered.local_centre(found[own])[:, 1:] == pytest.approx(at[own], abs=1e-6)
    # In the neighbour's frame, it is the cell whose layer and lattice the point is in.
    other = (found >= 0) & ~own
    assert other.any()
    points = layered.to_world(module, np.column_stack([layered.planes[layer], at]))
    distance = np.linalg.norm(layered.centre(found[other]) - points[other], axis=1)
    assert distance.max() < 20.0
    # What is in no cell is beyond an end, behind the barrel, or in dead matter between cells.
    beyond = (np.abs(points[:, 2]) > layered.half_length - 6)[found < 0]
    assert beyond.mean() > 0.02


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

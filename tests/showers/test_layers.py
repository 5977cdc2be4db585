"""Samples of showers in layers on disk."""

from __future__ import annotations

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.exceptions import FileFormatError
from k4calofast.showers import layers
from k4calofast.showers.layers import CellsOfPixels, LayerProvenance, LayerShowers

PROVENANCE = LayerProvenance(
    detector="CLD_ECAL_barrel",
    pitch=0.51,
    simulation="Geant4",
    physics="G4EmStandardPhysics",
    physics_data="some",
    range_cut=0.7,
    magnetic_field=2.0,
    geometry="slabs",
    sampling="uniform",
    coverage={22: {"momentum": (1.0, 125.0), "angle_t": (-0.4, 0.4), "angle_z": (-0.8, 0.8)}},
    seed=1,
    software="k4calofast",
)


def showers_with(*counts: int) -> LayerShowers:
    """Showers with so many points; each point is told apart by its energy."""
    n, p = len(counts), sum(counts)
    rng = np.random.default_rng(p)
    return LayerShowers(
        pdg=rng.choice([22, 11, -11], n).astype(np.int32),
        momentum=rng.uniform(1, 125, n),
        angle_t=rng.uniform(-0.4, 0.4, n),
        angle_z=rng.uniform(-0.8, 0.8, n),
        offsets=np.cumsum([0, *counts]),
        layer=rng.integers(0, 40, p).astype(np.uint8),
        column=rng.integers(-300, 300, p).astype(np.int16),
        row=rng.integers(-300, 300, p).astype(np.int16),
        energy=(np.arange(p) + 1).astype(np.float32),
        time=rng.uniform(0, 2, p).astype(np.float32),
    )


SHOWERS = showers_with(3, 0, 5, 1, 0)


def same(one: LayerShowers, other: LayerShowers) -> None:
    for field in fields(LayerShowers):
        first, second = getattr(one, field.name), getattr(other, field.name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=4))
def test_showers_that_are_joined_can_be_taken_out_again(counts):
    parts = [showers_with(*part) for part in counts]
    joined = LayerShowers.concatenate(parts)
    start = 0
    for part in parts:
        same(joined.take(slice(start, start + len(part))), part)
        start += len(part)
    assert len(joined) == start


def test_rows_may_be_numbers_in_any_order_or_a_mask():
    taken = SHOWERS.take(np.array([3, 0, 0, 1]))
    np.testing.assert_array_equal(taken.energy, [9, 1, 2, 3, 1, 2, 3])
    np.testing.assert_array_equal(taken.offsets, [0, 1, 4, 7, 7])
    np.testing.assert_array_equal(taken.momentum, SHOWERS.momentum[[3, 0, 0, 1]])
    same(SHOWERS.take(SHOWERS.momentum > 0), SHOWERS)
    assert len(SHOWERS.take(np.zeros(5, np.bool_)).energy) == 0


def test_a_sample_written_in_parts_comes_back_whole(tmp_path):
    file = tmp_path / "showers.h5"
    parts = (SHOWERS.take(rows) for rows in (slice(0, 2), slice(2, 2), slice(2, 5)))
    assert layers.write(file, parts, PROVENANCE) == len(SHOWERS)
    again, provenance = layers.read(file)
    assert provenance == PROVENANCE
    same(again, SHOWERS)
    assert [path.name for path in tmp_path.iterdir()] == ["showers.h5"]
    with h5py.File(file) as sample:
        assert sample.attrs["layout"] == "k4calofast layered showers 1"
        assert sample["time"].attrs["unit"] == "ns"
        assert "earliest" in sample["time"].attrs["description"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("energy", [np.nan, -1.0, np.inf]),
        ("momentum", [np.nan, -1.0]),
        ("time", [np.nan]),
        ("angle_t", [np.nan]),
        ("angle_z", [np.inf]),
    ],
)
def test_impossible_values_are_refused(tmp_path, column, values):
    file = tmp_path / "bad.h5"
    for value in values:
        bad = getattr(SHOWERS, column).copy()
        bad[2] = value
        layers.write(file, [replace(SHOWERS, **{column: bad})], PROVENANCE)
        with pytest.raises(FileFormatError, match=f"column {column} holds NaN"):
            layers.read(file)


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 3, 3, 8, 9],  # too few
        [0, 3, 3, 8, 9, 9, 9],  # too many
        [1, 3, 3, 8, 9, 9],  # not from the first point
        [0, 3, 3, 8, 9, 10],  # beyond the last
        [0, 3, 3, 8, 8, 8],  # not to the last
        [0, 8, 3, 8, 9, 9],  # backwards
        [],
    ],
)
def test_offsets_that_do_not_fit_are_refused(tmp_path, offsets):
    file = tmp_path / "bad.h5"
    layers.write(file, [replace(SHOWERS, offsets=np.array(offsets, np.int64))], PROVENANCE)
    with pytest.raises(FileFormatError, match="offsets does not fit"):
        layers.read(file)


def sample(tmp_path):
    file = tmp_path / "sample.h5"
    layers.write(file, [SHOWERS], PROVENANCE)
    return file


def test_columns_of_other_lengths_and_types_are_refused(tmp_path):
    file = tmp_path / "bad.h5"
    layers.write(file, [replace(SHOWERS, row=SHOWERS.row[:-1])], PROVENANCE)
    with pytest.raises(FileFormatError, match="column row is not as long as column layer"):
        layers.read(file)
    layers.write(file, [replace(SHOWERS, layer=SHOWERS.layer.astype(np.int64))], PROVENANCE)
    with pytest.raises(FileFormatError, match="column layer is int64, not uint8"):
        layers.read(file)


def test_columns_of_other_files_are_refused(tmp_path):
    file = sample(tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["energy"] = SHOWERS.energy
    for link in (h5py.ExternalLink("other.h5", "energy"), h5py.SoftLink("/time")):
        with h5py.File(file, "a") as damaged:
            del damaged["energy"]
            damaged["energy"] = link
        with pytest.raises(FileFormatError, match="is a link to elsewhere"):
            layers.read(file)
    SHOWERS.energy.tofile(tmp_path / "raw")
    with h5py.File(file, "a") as damaged:
        del damaged["energy"]
        external = [(str(tmp_path / "raw"), 0, SHOWERS.energy.nbytes)]
        damaged.create_dataset("energy", (9,), np.float32, external=external)
    with pytest.raises(FileFormatError, match="stored in other files"):
        layers.read(file)


def test_absurd_sizes_are_refused_before_they_are_read(tmp_path):
    file = sample(tmp_path)
    with h5py.File(file, "a") as damaged:
        del damaged["energy"]
        damaged.create_dataset("energy", (1 << 40,), np.float32, chunks=(1024,))
    with pytest.raises(FileFormatError, match="more than"):
        layers.read(file)


@pytest.mark.parametrize("column", ["pdg", "offsets", "energy"])
def test_a_missing_column_is_named(tmp_path, column):
    file = sample(tmp_path)
    with h5py.File(file, "a") as damaged:
        del damaged[column]
    with pytest.raises(FileFormatError, match=f"no column {column}"):
        layers.read(file)


def test_what_is_no_sample_is_refused(tmp_path):
    text, other, missing = tmp_path / "text.h5", tmp_path / "other.h5", tmp_path / "missing.h5"
    text.write_text("hello")
    with h5py.File(other, "w") as file:
        file.attrs["layout"] = "k4calofast showers 1"
    unknown = sample(tmp_path)
    with h5py.File(unknown, "a") as file:
        file.attrs["provenance"] = PROVENANCE.model_dump_json()[:-1] + ',"more":1}'
    for path, sentence in (
        (text, "not an HDF5 file"),
        (other, "not a shower sample"),
        (missing, "no such file"),
        (unknown, "cannot be read"),
    ):
        with pytest.raises(FileFormatError, match=sentence):
            layers.read(path)
    bare = tmp_path / "bare.h5"
    with h5py.File(bare, "w") as file:
        file.attrs["layout"] = layers.LAYOUT.name
    with pytest.raises(FileFormatError, match="cannot be read"):
        layers.read(bare)


@given(st.integers(1, 20), st.floats(0.1, 20), st.data())
def test_pixels_are_parts_of_the_cells_that_hold_them(per_cell, size, data):
    cells, pitch = CellsOfPixels(size, per_cell), size / per_cell
    pixels = np.arange(-50, 50)
    phase = data.draw(st.integers(0, per_cell - 1))
    number = cells.of(pixels, phase)
    centre = (pixels + 0.5) * pitch
    assert (cells.at(centre, phase) == number).all()
    assert (np.abs(centre - cells.centre(number, phase)) <= size / 2).all()
    assert (np.bincount(number - number.min())[1:-1] == per_cell).all()
    assert cells.at(phase * pitch + size / 2, phase) == 0
    # The same in training, with tensors.
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy
    assert (cells.of(tensor(pixels), phase) == tensor(number)).all()
    assert (cells.at(tensor(centre), phase) == tensor(number)).all()

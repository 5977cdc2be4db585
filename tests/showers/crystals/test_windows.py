"""Shower samples on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from k4calofast.exceptions import FileFormatError
from k4calofast.showers import crystals
from k4calofast.showers.crystals import CrystalShowers

GEANT4 = Path(__file__).resolve().parents[2] / "data" / "geant4_showers.h5"


@pytest.fixture(scope="module")
def geant4():
    return crystals.read(GEANT4)


def test_a_sample_written_in_parts_comes_back_whole(geant4, tmp_path):
    showers, provenance = geant4
    file = tmp_path / "showers.h5"
    parts = (showers.take(slice(start, start + 700)) for start in range(0, len(showers), 700))
    assert crystals.write(file, parts, provenance) == len(showers)
    again, known = crystals.read(file)
    assert known == provenance
    for name in CrystalShowers.columns:
        np.testing.assert_array_equal(getattr(again, name), getattr(showers, name))
    assert [path.name for path in tmp_path.iterdir()] == ["showers.h5"]


def test_the_file_says_what_its_columns_are():
    with h5py.File(GEANT4) as sample:
        assert sample["energies"].attrs["unit"] == "GeV"
        assert "momentum" in sample["conditions"].attrs["description"]


@pytest.mark.parametrize("column", ["energies", "beside"])
@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_impossible_energies_are_refused(geant4, column, value, tmp_path):
    showers, provenance = geant4
    bad = getattr(showers, column).copy()
    bad.flat[5] = value
    file = tmp_path / "bad.h5"
    crystals.write(file, [replace(showers, **{column: bad})], provenance)
    with pytest.raises(FileFormatError, match=column):
        crystals.read(file)


def test_what_is_no_sample_is_refused(tmp_path):
    text, other, missing = tmp_path / "text.h5", tmp_path / "other.h5", tmp_path / "missing.h5"
    text.write_text("hello")
    with h5py.File(other, "w") as file:
        file["x"] = [1, 2]
    for file, sentence in (
        (text, "not an HDF5 file"),
        (other, "not a shower sample"),
        (missing, "no such file"),
    ):
        with pytest.raises(FileFormatError, match=sentence):
            crystals.read(file)

"""HDF5 files of others are read or refused in one sentence: no crash, no hang, no memory eaten."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4calofast.exceptions import FileFormatError, K4CaloFastError
from k4calofast.showers import crystals, reading, visit
from k4calofast.showers.crystals import calochallenge

GEANT4 = Path(__file__).resolve().parents[1] / "data" / "geant4_showers.h5"
FEW, PROVENANCE = (lambda showers, provenance: (showers.take(slice(0, 3)), provenance))(
    *crystals.read(GEANT4)
)
COLUMNS = ("pdg", "cell", "conditions", "energies", "beside")


@pytest.fixture
def file(tmp_path):
    found = tmp_path / "few.h5"
    crystals.write(found, [FEW], PROVENANCE)
    return found


def test_what_crashes_hangs_or_eats_memory_does_so_in_a_fork(monkeypatch):
    assert visit._apart(lambda: None) == ""
    assert visit._apart(lambda: bytes(1 << 40)) == "MemoryError"
    assert visit._apart(lambda: os.kill(os.getpid(), signal.SIGSEGV)) == "HDF5 crashes"
    monkeypatch.setattr(visit, "_SECONDS", 1)
    assert visit._apart(lambda: time.sleep(60)) == "HDF5 comes to no end in 1 s"


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_of_other_lengths_are_refused(file, column):
    with h5py.File(file, "a") as sample:
        values = sample[column][:]
        del sample[column]
        sample[column] = np.concatenate([values, values])
    with pytest.raises(FileFormatError, match=r"column \w+ is not as long as column \w+"):
        crystals.read(file)


def test_samples_without_showers_are_refused(tmp_path):
    file = tmp_path / "none.h5"
    crystals.write(file, [FEW.take(slice(0, 0))], PROVENANCE)
    with pytest.raises(FileFormatError, match="holds no showers"):
        crystals.read(file)


@pytest.mark.parametrize("chunks", [None, (1024,)])
def test_values_that_were_never_written_are_not_read(file, chunks):
    with h5py.File(file, "a") as sample:
        del sample["beside"]
        sample.create_dataset("beside", (1 << 30,), np.float32, chunks=chunks)
    with pytest.raises(FileFormatError, match="some were never written"):
        crystals.read(file)


def test_windows_are_those_of_the_provenance(tmp_path):
    file = tmp_path / "other.h5"
    crystals.write(file, [FEW], PROVENANCE.model_copy(update={"window": (9, 9)}))
    with pytest.raises(FileFormatError, match="column energies has the shape"):
        crystals.read(file)


@pytest.mark.parametrize(
    "coverage", [{}, {22: {}}, {22: dict.fromkeys(PROVENANCE.coverage[22], (2.0, 1.0))}]
)
def test_a_coverage_of_nothing_is_refused(tmp_path, coverage):
    file = tmp_path / "other.h5"
    crystals.write(file, [FEW], PROVENANCE.model_copy(update={"coverage": coverage}))
    with pytest.raises(FileFormatError, match=r"provenance\.coverage"):
        crystals.read(file)


@pytest.mark.parametrize("value", [1e7, 1e30])
@pytest.mark.parametrize("column", ["energies", "conditions"])
def test_values_of_no_particle_are_refused(tmp_path, column, value):
    bad = getattr(FEW, column).copy()
    bad.flat[0] = value
    file = tmp_path / "bad.h5"
    crystals.write(file, [replace(FEW, **{column: bad})], PROVENANCE)
    with pytest.raises(FileFormatError, match=f"column {column} holds NaN"):
        crystals.read(file)


def test_values_behind_unknown_filters_are_refused(file):
    with h5py.File(file, "a") as sample:
        values = sample["beside"][:]
        del sample["beside"]
        sample.create_dataset("beside", data=values, scaleoffset=4)
    with pytest.raises(FileFormatError, match=r"HDF5's filter 6"):
        crystals.read(file)


def small(write) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "few.h5"
        write(file)
        return file.read_bytes()


CONTENTS = {
    "ours": small(lambda file: crystals.write(file, [FEW], PROVENANCE)),
    "challenge": small(
        lambda file: calochallenge.write(
            file, file.with_suffix(".xml"), FEW.take(slice(0, 1)), "BESIII_EMC_barrel"
        )
    ),
}
SIGNATURES = (b"TREE", b"HEAP", b"SNOD", b"\x89HDF", b"layout", b"pdg", b"showers")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CONTENTS)), st.data())
def test_a_damaged_file_is_read_or_refused(name, data):
    content = bytearray(CONTENTS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of the bytes are values: damage is done near what leads to them.
        near = content.find(data.draw(st.sampled_from(SIGNATURES)), data.draw(st.integers(0, 9000)))
        place = max(near, 0) + data.draw(st.integers(0, 200))
        content[min(place, len(content) - 1)] = data.draw(st.sampled_from([0, 1, 127, 255]))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "damaged.h5"
        file.write_bytes(content)
        calochallenge_binning(file)
        with suppress(K4CaloFastError):
            showers, _ = reading.read(file)
            assert np.isfinite(showers.energies).all()


def calochallenge_binning(file):
    file.with_suffix(".xml").write_text(
        '<Bins><Bin pid="22"><Layer id="0" r_edges="0,1,2,3,4,5,6,7,8,9,10,11" n_bin_alpha="11"/>'
        "</Bin></Bins>"
    )


NUMBERS = st.sampled_from(["0", "1", "2", "-1", "nan", "inf", "1e400", "", "x", "22", "9" * 30])


@given(
    st.binary(max_size=100)
    | st.tuples(NUMBERS, st.lists(NUMBERS, max_size=4), NUMBERS, st.integers(0, 2)).map(
        lambda drawn: (
            f'<Bins><Bin pid="{drawn[0]}">'
            + f'<Layer r_edges="{",".join(drawn[1])}" n_bin_alpha="{drawn[2]}"/>' * drawn[3]
            + "</Bin></Bins>"
        ).encode()
    )
)
def test_a_binning_is_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "binning.xml"
        file.write_bytes(content)
        with suppress(FileFormatError):
            assert calochallenge.read_binning(file).voxels > 0


def test_a_binning_with_entities_is_refused(tmp_path):
    file = tmp_path / "bomb.xml"
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    file.write_text(f'<!DOCTYPE Bins [<!ENTITY e0 "ha">{entities}]><Bins>&e9;</Bins>')
    with pytest.raises(FileFormatError, match="declares a document type"):
        calochallenge.read_binning(file)


RECORDS = Path(os.environ.get("K4CALOFAST_TEST_DATA", "")) / "records"


@pytest.mark.skipif(not RECORDS.is_dir(), reason="needs K4CALOFAST_TEST_DATA")
@pytest.mark.parametrize(
    ("name", "window", "refusal"),
    [
        ("like_ds2", (9, 96), None),
        ("like_ds2_flat_energy", (9, 96), None),
        ("one_layer_11x11", (11, 11), None),
        ("pion", (11, 11), None),
        ("two_bins", None, "a Bin for one kind of particle is needed, not 2"),
        ("like_ds1_photons", None, "layers with different bins"),
    ],
)
def test_samples_like_those_of_the_challenge_are_read_or_refused(name, window, refusal):
    file = RECORDS / f"c28_{name}.hdf5"
    if refusal is None:
        showers = calochallenge.read(file, file.with_suffix(".xml"), only_energies=True)
        assert showers.energies.shape == (60, *window)
        with h5py.File(file) as raw:
            total = raw["showers"][:].sum(1, dtype=np.float64) * 1e-3
        np.testing.assert_allclose(showers.energies.sum((1, 2), dtype=np.float64), total, rtol=1e-6)
        refusal = "nothing is known of the particles but their energies"
    with pytest.raises(FileFormatError, match=refusal):
        calochallenge.read(file, file.with_suffix(".xml"))

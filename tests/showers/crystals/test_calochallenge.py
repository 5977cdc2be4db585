"""The layout of the CaloChallenge: written so that nothing is lost, read from anybody."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from k4calofast.exceptions import FileFormatError, OutputError
from k4calofast.showers import crystals
from k4calofast.showers.crystals import CrystalShowers, calochallenge

GEANT4 = Path(__file__).resolve().parents[2] / "data" / "geant4_showers.h5"
LAYERS = '<Bins><Bin pid="22" name="photon">{}</Bin></Bins>'
LAYER = '<Layer id="{}" r_edges="{}" n_bin_alpha="{}"/>'


@pytest.fixture(scope="module")
def electrons():
    showers, _ = crystals.read(GEANT4)
    return showers.take(showers.pdg == 11)


@pytest.fixture
def sample(tmp_path):
    return tmp_path / "showers.h5", tmp_path / "showers.xml"


@pytest.fixture
def written(electrons, sample):
    """A sample of 50 electrons."""
    calochallenge.write(*sample, electrons.take(slice(50)))
    return sample


@pytest.fixture
def published(sample):
    """Write a sample as others do: the two datasets and a binning of equal layers."""
    file, binning = sample

    def write(showers, energies=None, layers=3, edges="0,1,2,5", alpha=2):
        energies = np.full((len(showers), 1), 1000.0) if energies is None else energies
        with h5py.File(file, "w") as out:
            out["incident_energies"], out["showers"] = energies, showers
        inside = "".join(LAYER.format(number, edges, alpha) for number in range(layers))
        binning.write_text(LAYERS.format(inside))
        return file, binning

    return write


def assert_same(one: CrystalShowers, other: CrystalShowers) -> None:
    for name in CrystalShowers.columns:
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_showers_come_back_to_the_last_bit(electrons, sample):
    calochallenge.write(*sample, electrons, "BESIII_EMC_barrel", "Geant4, seed 1001")
    assert_same(calochallenge.read(*sample), electrons)
    assert calochallenge.origin(sample[0]) == ("BESIII_EMC_barrel", "Geant4, seed 1001")
    assert sorted(path.name for path in sample[0].parent.iterdir()) == ["showers.h5", "showers.xml"]


window = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))


@settings(max_examples=25)
@given(st.data(), window, st.sampled_from([22, 11, -11, 211]))
def test_any_window_of_any_kind_comes_back_to_the_last_bit(data, shape, pdg):
    gev = st.floats(0, 2.0**19, width=32)
    count = shape[0]
    conditions = np.zeros((count, 6))
    conditions[:, 0] = data.draw(arrays(np.float64, count, elements=st.floats(1e-3, 1e3)))
    showers = CrystalShowers(
        np.full(count, pdg, np.int32),
        np.arange(count, dtype=np.int32),
        conditions,
        data.draw(arrays(np.float32, shape, elements=gev)),
        data.draw(arrays(np.float32, count, elements=gev)),
    )
    with TemporaryDirectory() as folder:
        files = Path(folder) / "a.h5", Path(folder) / "a.xml"
        calochallenge.write(*files, showers)
        assert_same(calochallenge.read(*files), showers)


def test_the_files_are_what_the_challenge_describes(electrons, written):
    file, binning = written
    with h5py.File(file) as found:
        incident, showers = found["incident_energies"][:], found["showers"][:]
    assert incident.shape == (50, 1)
    assert showers.shape == (50, 121)
    # MeV; at 50 MeV the mass of an electron adds 5e-5 to the momentum.
    expected = 1000 * np.hypot(electrons.momentum[:50], 0.000511)
    np.testing.assert_allclose(incident[:, 0], expected, rtol=1e-9)
    # (events, alpha, r) is how the challenge restores a layer.
    restored = showers.reshape(50, 11, 11)
    np.testing.assert_allclose(restored[:, 7, 4], 1000 * electrons.energies[:50, 4, 7], rtol=1e-6)
    (kind,) = ElementTree.parse(binning).getroot()  # noqa: S314
    assert kind.attrib == {"pid": "11", "name": "electron"}
    (layer,) = kind
    assert len(layer.attrib["r_edges"].split(",")) == 12
    assert layer.attrib["n_bin_alpha"] == "11"


def test_layers_of_others_stand_side_by_side(published):
    mev = np.arange(2 * 18, dtype=np.float64).reshape(2, 18)
    files = published(mev, np.array([[1000.0], [2000.0]]))
    showers = calochallenge.read(*files, only_energies=True)
    assert showers.energies.shape == (2, 3, 6)
    by_layer = mev.reshape(2, 3, 2, 3)
    for layer in range(3):
        for alpha in range(2):
            np.testing.assert_allclose(
                showers.energies[:, :, 2 * layer + alpha], by_layer[:, layer, alpha] / 1000
            )
    assert set(showers.pdg) == {22}
    np.testing.assert_allclose(showers.momentum, [1.0, 2.0])


def test_what_is_not_known_of_particles_is_taken_on_request_alone(published):
    files = published(np.ones((2, 18)))
    with pytest.raises(FileFormatError, match=r"no dataset 'conditions'.*k4calofast convert"):
        calochallenge.read(*files)
    showers = calochallenge.read(*files, only_energies=True)
    assert not showers.conditions[:, 1:].any()
    assert set(showers.cell) == {-1}
    assert not showers.beside.any()


def test_layers_without_voxels_do_not_count(published):
    files = published(np.ones((1, 6)))
    used, unused = LAYER.format(1, "0,1,2,5", 2), LAYER.format(0, "0", 1)
    files[1].write_text(LAYERS.format(unused + used + unused))
    assert calochallenge.read(*files, only_energies=True).energies.shape == (1, 3, 2)


def test_layers_with_different_bins_make_no_window(published):
    files = published(np.ones((1, 9)))
    files[1].write_text(
        LAYERS.format(LAYER.format(0, "0,1,2,5", 2) + LAYER.format(1, "0,1,2,5", 1))
    )
    with pytest.raises(FileFormatError, match=r"showers.xml: .*3 x 2, 3 x 1, make no window"):
        calochallenge.read(*files, only_energies=True)


def test_mev_of_others_are_divided_in_pieces(published, monkeypatch):
    monkeypatch.setattr(calochallenge, "_VALUES_AT_ONCE", 40)
    mev = np.random.default_rng(1).random((11, 18))
    showers = calochallenge.read(*published(mev), only_energies=True)
    np.testing.assert_allclose(showers.energies.sum((1, 2)), mev.sum(1) / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(("showers", "beside", "incident_energies"), (np.nan, -1.0, np.inf)),
        # Angles may be negative.
        *(("conditions", value) for value in (np.nan, np.inf)),
    ],
)
def test_impossible_values_are_refused(written, name, value):
    with h5py.File(written[0], "r+") as found:
        found[name][(3,) + (0,) * (found[name].ndim - 1)] = value
    with pytest.raises(FileFormatError, match=rf"showers.h5: dataset '{name}' holds NaN"):
        calochallenge.read(*written)


@pytest.mark.parametrize("name", ["showers", "incident_energies", "cell", "beside"])
def test_a_missing_dataset_is_named(written, name):
    with h5py.File(written[0], "r+") as found:
        del found[name]
    with pytest.raises(FileFormatError, match=rf"showers.h5: no dataset '{name}'"):
        calochallenge.read(*written)


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("showers", (50, 120), "has 120 voxels, .*showers.xml has 121"),
        ("showers", (50, 11, 11), "2 dimensions are needed"),
        ("showers", (0, 121), "'showers' is empty"),
        ("incident_energies", (49,), r"shape \(49,\), not \(50, 1\)"),
        ("incident_energies", (50, 2), r"shape \(50, 2\), not \(50, 1\)"),
        ("incident_energies", (49, 1), r"shape \(49, 1\), not \(50, 1\)"),
        ("conditions", (50, 5), r"shape \(50, 5\), not \(50, 6\)"),
        ("cell", (49,), r"shape \(49,\), not \(50,\)"),
    ],
)
def test_wrong_shapes_are_refused(written, name, shape, sentence):
    with h5py.File(written[0], "r+") as found:
        del found[name]
        found[name] = np.ones(shape)
    with pytest.raises(FileFormatError, match=sentence):
        calochallenge.read(*written)


def test_conditions_of_another_order_are_refused(written):
    with h5py.File(written[0], "r+") as found:
        found["conditions"].attrs["description"] = "energy, eta, phi, x, y, z"
    with pytest.raises(FileFormatError, match="does not say that it holds momentum"):
        calochallenge.read(*written)


def test_incident_energies_below_the_mass_are_refused(published):
    files = published(np.ones((1, 18)), np.array([[0.0]]))
    with pytest.raises(FileFormatError, match="not above the mass of the particle 22"):
        calochallenge.read(*files, only_energies=True)


def test_data_outside_the_file_are_not_read(written, tmp_path):
    file, _ = written
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as out:
        out["showers"] = np.ones((50, 121))
    (tmp_path / "secret.bin").write_bytes(bytes(50 * 121 * 8))

    def external(found):
        found["showers"] = h5py.ExternalLink(str(secret), "showers")

    def soft(found):
        found["showers"] = h5py.SoftLink("/incident_energies")

    def storage(found):
        found.create_dataset(
            "showers",
            (50, 121),
            np.float64,
            external=[(str(tmp_path / "secret.bin"), 0, 50 * 121 * 8)],
        )

    def virtual(found):
        layout = h5py.VirtualLayout((50, 121), np.float64)
        layout[:] = h5py.VirtualSource(str(secret), "showers", (50, 121))
        found.create_virtual_dataset("showers", layout)

    for elsewhere, sentence in (
        (external, "'showers' is a link to elsewhere"),
        (soft, "'showers' is a link to elsewhere"),
        (storage, "'showers' is stored in other files"),
        (virtual, "'showers' is stored in other files"),
    ):
        with h5py.File(file, "r+") as found:
            del found["showers"]
            elsewhere(found)
        with pytest.raises(FileFormatError, match=sentence):
            calochallenge.read(*written)


def test_more_than_fits_is_refused_before_it_is_read(written):
    with h5py.File(written[0], "r+") as found:
        del found["showers"]
        found.create_dataset("showers", (2**30, 121), np.float64, chunks=(64, 121))
    with pytest.raises(FileFormatError, match=r"values, more than"):
        calochallenge.read(*written)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_binnings_that_declare_entities_are_refused(tmp_path, encoding):
    file = tmp_path / "bomb.xml"
    text = '<!DOCTYPE Bins [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
    file.write_text(text + LAYERS.format("&a;&b;"), encoding=encoding)
    with pytest.raises(FileFormatError, match="declares a document type"):
        calochallenge.read_binning(file)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "cannot be read as a binning"),
        ('<?xml version="1.0" encoding="none"?><Bins/>', "unknown encoding"),
        ("<Bins></Bins>", "one kind of particle is needed, not 0"),
        (LAYERS.format(""), "no layer has voxels"),
        (LAYERS.format(LAYER.format(0, "0", 1)), "no layer has voxels"),
        (LAYERS.format(LAYER.format(0, "0,2,1", 1)), "r_edges do not increase"),
        (LAYERS.format(LAYER.format(0, "0,nan", 1)), "r_edges do not increase"),
        (LAYERS.format(LAYER.format(0, "0,one", 1)), "could not convert"),
        (LAYERS.format(LAYER.format(0, "0,1", 0)), "n_bin_alpha is not positive"),
        (LAYERS.format('<Layer id="0" r_edges="0,1"/>'), "n_bin_alpha"),
        ("<Bins>" + '<Bin pid="22"/>' * 2 + "</Bins>", "one kind of particle is needed, not 2"),
        (" " * (2**20 + 1), "larger than"),
    ],
)
def test_what_is_no_binning_is_refused(tmp_path, text, sentence):
    file = tmp_path / "some.xml"
    file.write_text(text)
    with pytest.raises(FileFormatError, match=rf"some.xml: .*{sentence}"):
        calochallenge.read_binning(file)


def test_missing_and_damaged_files_are_refused(written):
    file, binning = written
    for files in ((file.with_name("none.h5"), binning), (file, file.with_name("none.xml"))):
        with pytest.raises(FileFormatError, match=r"none.* no such file"):
            calochallenge.read(*files)
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(FileFormatError, match="is it damaged"):
        calochallenge.read(*written)


def test_one_file_holds_one_kind(electrons, sample):
    pdg = electrons.pdg.copy()
    pdg[0] = 22
    with pytest.raises(OutputError, match=r"one kind .*these are of the kinds \[11, 22\]"):
        calochallenge.write(*sample, replace(electrons, pdg=pdg))
    with pytest.raises(OutputError, match="none at all"):
        calochallenge.write(*sample, electrons.take(slice(0)))
    sample[1].write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        calochallenge.write(sample[1] / "no" / "folder.h5", sample[1], electrons)

"""One door for samples: what a file is, its content says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from k4calofast.exceptions import FileFormatError, MissingCollectionError
from k4calofast.showers import crystals, layers
from k4calofast.showers.crystals import CrystalShowers, calochallenge
from k4calofast.showers.reading import Hints, Source, read, read_with_provenance

REPOSITORY = Path(__file__).resolve().parents[2]
GEANT4 = REPOSITORY / "tests" / "data" / "geant4_showers.h5"
FULLSIM = REPOSITORY / "options" / "input" / "fullsim.edm4hep.root"
LAYERED = REPOSITORY / "tests" / "data" / "layered_showers.h5"


@pytest.fixture(scope="module")
def geant4():
    return crystals.read(GEANT4)


def test_our_own_samples_name_their_simulation_and_seed(geant4):
    showers, source = read(GEANT4)
    assert len(showers) == len(geant4[0])
    assert source.detector == "BESIII_EMC_barrel"
    assert source.description.startswith("Geant4 ")
    assert source.description.endswith("seed 1001")


def test_a_photon_is_the_same_in_the_challenges_layout(geant4, tmp_path):
    photons = geant4[0].take(geant4[0].pdg == 22)
    file = tmp_path / "photons.hdf5"
    calochallenge.write(file, tmp_path / "photons.xml", photons, "BESIII_EMC_barrel", "Geant4")
    showers, source = read(file)
    assert source == Source("BESIII_EMC_barrel", "Geant4")
    for name in CrystalShowers.columns:
        np.testing.assert_array_equal(getattr(showers, name), getattr(photons, name))
    moved = (tmp_path / "photons.xml").rename(tmp_path / "other.xml")
    assert len(read(file, Hints(binning=moved))[0]) == len(photons)
    with pytest.raises(FileFormatError, match=r"photons.xml: no such file"):
        read(file)


def test_samples_of_the_challenge_do_not_say_of_which_detector(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as out:
        out["incident_energies"], out["showers"] = np.full((2, 1), 1000.0), np.ones((2, 4))
    layer = '<Layer id="0" r_edges="0,1,2" n_bin_alpha="2"/>'
    (tmp_path / "a.xml").write_text(f'<Bins><Bin pid="22" name="photon">{layer}</Bin></Bins>')
    showers, source = read(tmp_path / "a.h5", Hints(only_energies=True))
    assert len(showers) == 2
    assert source == Source(None, "in the layout of the CaloChallenge")


def test_full_simulation_in_edm4hep_is_read_by_its_content(tmp_path):
    # The name says nothing.
    file = tmp_path / "sample.h5"
    file.write_bytes(FULLSIM.read_bytes())
    showers, source = read(file, Hints(hits="EMCBarrelCollectionFull", kinds=(22,)))
    assert set(showers.pdg) == {22}
    assert source.detector == "BESIII_EMC_barrel"
    assert "EDM4hep" in source.description


def test_root_files_of_others_are_taken_for_raw_files_of_bes_iii(tmp_path):
    uproot = pytest.importorskip("uproot")
    file = tmp_path / "some.root"
    with uproot.recreate(file) as out:
        out["Event"] = {"x": np.arange(3)}
    with pytest.raises(MissingCollectionError, match=r"some.root: no branch 'TMcEvent/"):
        read(file)


@pytest.mark.parametrize("column", ["energies", "beside"])
@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_impossible_energies_are_refused(geant4, column, value, tmp_path):
    showers, provenance = geant4
    bad = getattr(showers, column).copy()
    bad.flat[5] = value
    file = tmp_path / "bad.h5"
    crystals.write(file, [replace(showers, **{column: bad})], provenance)
    with pytest.raises(FileFormatError, match=rf"bad.h5: column {column} holds NaN or negative"):
        read(file)


def test_a_sample_without_showers_is_refused(geant4, tmp_path):
    showers, provenance = geant4
    file = tmp_path / "empty.h5"
    crystals.write(file, [showers.take(slice(0))], provenance)
    with pytest.raises(FileFormatError, match=r"empty.h5: holds no showers"):
        read(file)


def test_samples_of_layers_are_read_by_their_layout():
    showers, source = read(LAYERED)
    assert (len(showers), source.detector) == (300, "CLD_ECAL_barrel")
    assert read_with_provenance(LAYERED)[1] == layers.read(LAYERED)[1] == source.provenance


def test_files_of_another_kind_or_calorimeter_than_the_one_that_is_meant_are_refused():
    for file, detector, sentence in (
        (LAYERED, "BESIII_EMC_barrel", "holds showers in layers, but .* is made of crystals"),
        (GEANT4, "ILD_ECAL_barrel", "holds showers in crystals, but .* is made of layers"),
        (FULLSIM, "ILD_ECAL_barrel", "are read from samples of `k4calofast fullsim`, and this"),
        (LAYERED, "ILD_ECAL_barrel", "is of detector CLD_ECAL_barrel, not of ILD_ECAL_barrel"),
    ):
        with pytest.raises(FileFormatError, match=sentence):
            read_with_provenance(file, Hints(detector=detector))


def test_what_is_no_sample_is_refused(tmp_path):
    text, root, cut = tmp_path / "text.h5", tmp_path / "cut.root", tmp_path / "cut.h5"
    text.write_text("hello")
    root.write_bytes(FULLSIM.read_bytes()[:5000])
    cut.write_bytes(GEANT4.read_bytes()[:5000])
    for file, sentence in (
        (tmp_path / "none.h5", "no such file"),
        (tmp_path, "a folder"),
        (text, "neither HDF5 nor ROOT"),
        (root, "cut off"),
        (cut, "is it damaged"),
    ):
        with pytest.raises(FileFormatError, match=sentence):
            read(file)


def test_hits_of_other_detectors_are_refused(edm4hep_file):
    file = edm4hep_file("ild_photon43GeV_single_event_example.edm4hep.root")
    with pytest.raises(FileFormatError, match=r"446 of 446 hits .* of another detector"):
        read(file, Hints(hits="ECalBarrelSiHitsEven"))

"""What a generator can be trained on: every sample that is read, and what its card says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import FileFormatError, TrainingError, UnknownDetectorError
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.showers.crystals import besiii_raw, calochallenge
from k4calofast.showers.reading import Hints, read_with_provenance
from k4calofast.training import recipe
from k4calofast.training.families import settings_of
from k4calofast.training.recipe import Product, Task

FULLSIM = Path(__file__).resolve().parents[2] / "options" / "input" / "fullsim.edm4hep.root"
NAMES = [condition.name for condition in CONDITIONS]


@pytest.fixture
def photons(geant4):
    showers = crystals.read(geant4)[0]
    return showers.take(showers.pdg == 22)


@pytest.fixture
def challenge(photons, tmp_path):
    """The photons in the challenge's layout, as `k4calofast convert` writes them."""

    def write(detector: str | None = "BESIII_EMC_barrel", description: str = "Geant4") -> Path:
        file = tmp_path / "photons.hdf5"
        calochallenge.write(file, tmp_path / "photons.xml", photons, detector, description)
        return file

    return write


@pytest.fixture
def settings(small):
    """Of a training that is over before it begins."""
    few = {"steps": 2, "distillation_steps": 1, "batch": 32, "distillation_batch": 16}
    return settings_of("flow_matching")(**small["flow_matching"] | few)


def test_samples_of_our_own_say_it_all(geant4):
    assert read_with_provenance(geant4)[1] == crystals.read(geant4)[1]


def test_the_coverage_of_others_is_what_is_in_them(challenge, photons):
    showers, provenance = read_with_provenance(challenge())
    assert len(showers) == len(photons)
    assert (provenance.detector, provenance.window) == ("BESIII_EMC_barrel", (11, 11))
    assert list(provenance.coverage) == [22]
    for number, name in enumerate(NAMES):
        values = photons.conditions[:, number]
        assert provenance.coverage[22][name] == pytest.approx((values.min(), values.max()))


def test_what_is_not_said_is_unknown(challenge):
    _, provenance = read_with_provenance(challenge(description=""))
    assert provenance.simulation == "in the layout of the CaloChallenge"
    assert provenance.physics == provenance.physics_data == "unknown"
    assert provenance.seed is provenance.range_cut is provenance.magnetic_field is None


def test_a_converted_sample_keeps_its_seed(geant4, tmp_path):
    file = tmp_path / "photons.hdf5"
    assert CliRunner().invoke(app, ["convert", str(geant4), str(file)]).exit_code == 0
    assert read_with_provenance(file)[1].seed == crystals.read(geant4)[1].seed


def test_somebody_must_say_of_which_detector_showers_are(challenge, geant4):
    silent = challenge(detector=None)
    with pytest.raises(FileFormatError, match=r"does not say of which detector .*\(--detector\)"):
        read_with_provenance(silent)
    hints = Hints(detector="BESIII_EMC_barrel")
    assert read_with_provenance(silent, hints)[1].detector == "BESIII_EMC_barrel"
    with pytest.raises(UnknownDetectorError, match="no detector 'CLD'"):
        read_with_provenance(silent, Hints(detector="CLD"))
    of_layers = "holds showers in crystals, but CLD_ECAL_barrel is made of layers"
    with pytest.raises(FileFormatError, match=of_layers):
        read_with_provenance(geant4, Hints(detector="CLD_ECAL_barrel"))


def test_a_sample_at_one_momentum_has_a_range(photons, tmp_path):
    conditions = photons.conditions.copy()
    # Rounding is no range.
    conditions[:, 0] = 1.0 + 1e-9 * np.arange(len(photons))
    conditions[:, NAMES.index("z")] = 0.0
    file = tmp_path / "one.hdf5"
    one = replace(photons, conditions=conditions)
    calochallenge.write(file, tmp_path / "one.xml", one, "BESIII_EMC_barrel")
    ranges = read_with_provenance(file)[1].coverage[22]
    assert ranges["momentum"] == pytest.approx((0.9995, 1.0005))
    assert ranges["z"] == pytest.approx((-0.05, 0.05))


def test_raw_files_of_bes_iii_name_their_seed(photons, tmp_path, monkeypatch):
    file = tmp_path / "boss.rtraw"
    with uproot.recreate(file) as out:
        out["Event"] = {"x": np.arange(3)}
    monkeypatch.setattr(besiii_raw, "read", lambda *_: photons)
    monkeypatch.setattr(besiii_raw, "origin", lambda _: "BOSS 7.2.0, seed 12")
    _, provenance = read_with_provenance(file)
    assert provenance.simulation == "BOSS 7.2.0, seed 12"
    assert (provenance.detector, provenance.seed) == ("BESIII_EMC_barrel", 12)


def test_a_generator_is_trained_on_a_full_simulation_in_edm4hep(tmp_path):
    output = tmp_path / "barrel" / "flow"
    command = ["train", str(FULLSIM), str(output), "--family", "flow_matching", "--device", "cpu"]
    few = ("width=32", "blocks=1", "steps=2", "batch=32", "distillation_steps=1")
    for setting in (*few, "distillation_batch=16"):
        command += ["--set", setting]
    missing = CliRunner().invoke(app, command)
    assert "EMCBarrelCollection" in str(missing.exception)
    result = CliRunner().invoke(app, [*command, "--hits", "EMCBarrelCollectionFull"])
    assert result.exit_code == 0, result.exception
    card = read_card(output)
    assert card.training.showers == 99
    assert card.training.physics == "unknown"
    assert card.training.sample.endswith("fullsim.edm4hep.root; seed unknown")
    assert card.training.sample_seed is None
    low, high = card.kinds[22]["momentum"]
    assert 0 < low < high < 3


def test_the_card_knows_the_samples_seed_and_the_family(geant4, settings, tmp_path):
    output = tmp_path / "barrel" / "flow"
    task = Task("flow_matching", settings, geant4)
    recipe.train(task, Product(output, tmp_path / "work"))
    training = read_card(output).training
    assert (training.sample_seed, training.seed) == (1001, 0)
    assert training.family == settings.title


def test_one_file_is_not_trained_on_and_chosen_by(challenge, settings, tmp_path):
    file = challenge()
    task = Task("flow_matching", settings, file, choose=file)
    with pytest.raises(TrainingError, match="is trained on: epochs are chosen by other showers"):
        recipe.train(task, Product(tmp_path / "b" / "f", tmp_path / "work"))


def test_other_hits_are_another_training(settings, tmp_path):
    product = Product(tmp_path / "b" / "f", tmp_path / "work")
    hints = Hints(hits="EMCBarrelCollectionFull")
    task = Task("flow_matching", settings, FULLSIM, hints=hints)
    recipe.train(task, product)
    copy = tmp_path / "copy.root"
    copy.write_bytes(FULLSIM.read_bytes())
    recipe.train(replace(task, sample=copy), product)
    hints = replace(hints, detector="BESIII_EMC_barrel")
    with pytest.raises(TrainingError, match="of a training with another hints"):
        recipe.train(replace(task, hints=hints), product)


def test_what_the_challenge_leaves_open_is_not_trained_on(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as out:
        out["incident_energies"], out["showers"] = np.full((2, 1), 1000.0), np.ones((2, 4))
    layer = '<Layer id="0" r_edges="0,1,2" n_bin_alpha="2"/>'
    (tmp_path / "a.xml").write_text(f'<Bins><Bin pid="22" name="photon">{layer}</Bin></Bins>')
    with pytest.raises(FileFormatError, match="no dataset 'conditions'"):
        read_with_provenance(tmp_path / "a.h5", Hints(detector="BESIII_EMC_barrel"))

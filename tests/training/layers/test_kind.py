"""Generators of layers are searched, chosen, reduced and described from outside like others."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from k4calofast import detector
from k4calofast.cli.commands import app
from k4calofast.exceptions import ModelError, TrainingError
from k4calofast.generator import Model
from k4calofast.generator.card import read_card
from k4calofast.showers import layers
from k4calofast.training import recipe, space, tuning
from k4calofast.training.objectives import measured
from k4calofast.training.precision import Reduced
from k4calofast.training.reduction import reduce


def test_two_trials_are_compared_by_what_a_calorimeter_sees(halves, tiny_layers, tmp_path):
    """Epochs are chosen by the likelihood of the other sample, as in every training."""
    searched: space.Space = {"learning_rate": space.Range(1e-3, 1e-2, log=True)}
    search = tuning.Search(*halves, "layered", tiny_layers, searched, prune=False)
    study = tuning.tune(search, tmp_path, 2, lambda: nullcontext(lambda *_: None))
    assert len({trial.params["learning_rate"] for trial in study.get_trials()}) == 2
    assert all(trial.value > 0 for trial in study.get_trials())
    figures = study.get_trials()[0].intermediate_values
    assert len(figures) == 3
    best = tuning.completed(study)[0]
    model, reference = Model(tmp_path / f"tune-{best.number:04}", "cpu"), search.reference()
    # Others want more showers.
    for objective in ("chi2", "auc_observables"):
        assert measured(objective, model, *reference) > 0
    with pytest.raises(TrainingError, match="'auc_cells' of family layered: layers have too many"):
        replace(search, objective="auc_cells")


def test_half_precision_moves_the_response_little(tiny, halves, tmp_path):
    card = reduce(tiny[0], tmp_path / "b" / "half", Reduced.FLOAT16, halves[0], "reduce")
    assert card.authors == read_card(tiny[0]).authors
    showers, provenance = layers.read(halves[0])
    before, after = (
        measured("chi2", Model(folder, "cpu"), showers, provenance)
        for folder in (tiny[0], tmp_path / "b" / "half")
    )
    assert after == pytest.approx(before, rel=0.2)
    with pytest.raises(ModelError, match="no hidden layers"):
        reduce(tiny[0], tmp_path / "b" / "int8", Reduced.INT8, halves[0], "reduce")


def test_a_detector_described_by_its_user_is_trained_on(halves, tiny_layers, tmp_path, monkeypatch):
    """The description is found in a folder of the user's; the card has its name, and theirs."""
    package = Path(detector.__file__).parent / "descriptions" / "CLD_ECAL_barrel.yaml"
    text = package.read_text().replace("name: CLD_ECAL_barrel", "name: my_barrel")
    (tmp_path / "my_barrel.yaml").write_text(text)
    monkeypatch.setenv("K4CALOFAST_DETECTOR_PATH", str(tmp_path))
    showers, provenance = layers.read(halves[0])
    sample, output = tmp_path / "mine.h5", tmp_path / "my_barrel" / "layered"
    layers.write(sample, [showers], provenance.model_copy(update={"detector": "my_barrel"}))
    settings = tiny_layers.model_dump(exclude_defaults=True)
    command = ["train", str(sample), str(output), "--family", "layered", "--author", "A. Tester"]
    command += ["--licence", "CC-BY-4.0", "--version", "2.1"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    card = Model(output, "cpu").card
    assert card.detector == "my_barrel"
    assert (card.authors, card.licence, card.version) == ("A. Tester", "CC-BY-4.0", "2.1")


def test_showers_of_another_kind_are_refused_with_the_families_there_are(
    geant4, tiny_layers, tmp_path
):
    task = recipe.Task("layered", tiny_layers, geant4)
    with pytest.raises(TrainingError, match="in crystals, and this family is for layers; for cry"):
        recipe.train(task, recipe.Product(tmp_path / "b" / "x", tmp_path / "w"))

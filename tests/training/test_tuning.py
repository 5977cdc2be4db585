"""A search tries what its space allows, goes on after a kill, and keeps the best."""

from __future__ import annotations

import sqlite3
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner, Result

from k4calofast import detector
from k4calofast.cli.commands import app
from k4calofast.exceptions import SteeringError, TrainingError
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.training import configuration, recipe, space, tuning
from k4calofast.training.families import settings_of
from k4calofast.validation.crystals.kind import KIND
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.objectives import OBJECTIVES, measured

FAMILY = "gan"


class Killed(BaseException):
    """What ends a process: nothing catches it."""


@pytest.fixture(scope="module")
def base(small):
    return settings_of(FAMILY)(epoch=20, **small[FAMILY])


@pytest.fixture(scope="module")
def samples(geant4, tmp_path_factory) -> tuple[Path, Path]:
    """Showers to train on, and others to choose by."""
    folder = tmp_path_factory.mktemp("samples")
    showers, provenance = crystals.read(geant4)
    files = folder / "train.h5", folder / "choose.h5"
    for seed, file in enumerate(files):
        part = showers.take(slice(seed, None, 2))
        crystals.write(file, [part], provenance.model_copy(update={"seed": seed}))
    return files


@pytest.fixture
def search(samples, base) -> tuning.Search:
    searched: space.Space = {
        "learning_rate": space.Range(1e-4, 1e-2, log=True),
        "latent": space.Range(4, 9),
        "channels": (2, 4),
    }
    return tuning.Search(*samples, FAMILY, base, searched)


def silent():
    return nullcontext(lambda *_: None)


def values(study: optuna.Study) -> list[tuple[object, ...]]:
    return [(one.state, one.params, one.value) for one in study.get_trials()]


def test_a_killed_search_goes_on_to_the_same_trials(search, tmp_path):
    whole = tuning.tune(search, tmp_path / "whole", 2, silent)
    said: list[str] = []

    def killed_late():
        """In the second trial, when there is a checkpoint."""

        def report(_: str, step: int, *__: float) -> None:
            if step == 30 and len(said) == 1:
                raise Killed

        return nullcontext(report)

    with pytest.raises(Killed):
        tuning.tune(search, tmp_path / "parts", 2, killed_late, said.append)
    assert (tmp_path / "parts" / "tune-0001.work").is_dir()
    study = tuning.tune(search, tmp_path / "parts", 2, silent)
    assert values(study) == values(whole)
    # Trials have numbers of their own, not those of the first again.
    assert len({str(one.params) for one in study.get_trials()}) == 2
    # The best is left, and can be trained again.
    best = tuning.completed(study)[0]
    left = sorted(one.name for one in (tmp_path / "parts").iterdir())
    name = f"tune-{best.number:04}"
    of_trials = [one for one in left if one.startswith("tune-")]
    assert of_trials == [name, f"{name}.lock", f"{name}.work"]
    found = configuration.read(None, tmp_path / "parts" / tuning.BEST, [], "")
    settings = found.settings(settings_of(found.family))
    assert settings.model_dump() == search.base.model_dump() | best.params
    assert (tmp_path / "parts" / tuning.HISTORY).read_bytes().startswith(b"\x89PNG")
    # There are enough trials already.
    assert len(tuning.tune(search, tmp_path / "parts", 1, silent).get_trials()) == 2
    other = replace(search, objective="fpd", seed=7)
    with pytest.raises(TrainingError, match="study 'tune' is of another objective, seed"):
        tuning.tune(other, tmp_path / "parts", 3, silent)


def test_a_training_that_fails_is_a_failed_trial(search, tmp_path, monkeypatch):
    """Some fail: the search goes on. All fail: it says why."""
    fails = {2, 4}

    def train(*_: object, **__: object) -> None:
        raise TrainingError("the loss is nan at step 7")

    def some(task: recipe.Task, *arguments: object, **options: object) -> object:
        return (train if task.settings.channels in fails else real)(task, *arguments, **options)

    real = recipe.train
    monkeypatch.setattr(recipe, "train", some)
    with pytest.raises(TrainingError, match=r"no trial was completed.*nan at step 7"):
        tuning.tune(search, tmp_path / "all", 2, silent)
    fails.remove(2)
    said: list[str] = []
    study = tuning.tune(search, tmp_path / "some", 4, silent, said.append)
    states = {one.params["channels"]: one.state for one in study.get_trials()}
    assert states == {2: TrialState.COMPLETE, 4: TrialState.FAIL}
    assert sum("failed: the loss is nan" in line for line in said) == len(
        study.get_trials(states=[TrialState.FAIL])
    )


def test_samples_are_checked_before_any_trial(search, tmp_path):
    wrong = replace(search, choose=search.sample)
    with pytest.raises(TrainingError, match="has the seed of"):
        tuning.tune(wrong, tmp_path, 1, silent)


def test_workers_share_trials(tmp_path):
    """A trial that another process runs is let alone; one whose process is gone is taken up."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    folders = tuning._Folders(tmp_path, "tune")
    mine = tuning._to_run(study, folders, 2)
    first = next(mine)
    others = tuning._to_run(study, folders, 2)
    assert [first.number, next(others).number] == [0, 1]
    assert next(mine, None) is None
    # The first is running, but no process has it any more.
    assert next(tuning._to_run(study, folders, 2)).number == 0
    study.tell(0, 1.0)
    # A machine with another folder knows nothing of the second.
    assert next(tuning._to_run(study, tuning._Folders(tmp_path / "b", "tune"), 2), None) is None


@pytest.fixture
def completed() -> optuna.Study:
    """Losses fall to 0.1 in the first stage; figures of the second are about 10."""
    study = optuna.create_study(pruner=tuning.Median())
    for number in range(5):
        trial = study.ask()
        watch = tuning._Watch(trial, prune=False)
        for step in (50, 100):
            watch("flow", step, 100, 10 / step)
        for step in (5, 10):
            watch("critic", step, 10, 8 + number)
        study.tell(trial, 1.0)
    return study


def test_the_worse_half_is_pruned_in_every_stage(completed):
    def pruned(figures: list[tuple[str, int, int, float]]) -> bool:
        trial = completed.ask()
        watch = tuning._Watch(trial, prune=True)
        for one in figures[:-1]:
            watch(*one)
        try:
            watch(*figures[-1])
        except optuna.TrialPruned:
            return True
        return False

    good = [("flow", 50, 100, 0.1), ("flow", 100, 100, 0.1)]
    assert not pruned(good)
    assert pruned([("flow", 50, 100, 0.3)])
    # The small losses of the first stage do not help in the second, of other steps and name.
    assert pruned([*good, ("critic", 6, 10, 10.5)])
    assert not pruned([*good, ("critic", 6, 10, 9.5)])
    assert not pruned([*good, ("critic", 1, 10, 99.0)])


def test_every_objective_grows_with_the_distance(geant4):
    showers, provenance = crystals.read(geant4)
    showers = showers.take(slice(None, None, 2))
    readout = Crystals(detector.load_crystals(provenance.detector), 0.0)
    rng = np.random.default_rng(1)

    def off(objective: str, size: float) -> float:
        blurred = rng.normal(1 + size, size, showers.energies.shape).clip(0)
        other = replace(showers, energies=(showers.energies * blurred).astype(np.float32))
        return measured(objective, KIND, readout.observed(showers), readout.observed(other))

    for name in OBJECTIVES:
        assert off(name, 0.02) < off(name, 0.2), name


def test_errors_of_a_space_name_the_line(base, tmp_path):
    file = tmp_path / "space.yaml"

    def read(line: str) -> space.Space:
        file.write_text(f"# What to search\nlatent: {{low: 4, high: 9}}\n{line}\n")
        return space.read(file, FAMILY, base)

    found = read("learning_rate: {low: 1e-4, high: 1, log: true}")
    assert found == {
        "latent": space.Range(4, 9),
        "learning_rate": space.Range(1e-4, 1.0, log=True),
    }
    assert read("channels: [2, 4]")["channels"] == (2, 4)
    file.write_text(space.text(found))
    assert space.read(file, FAMILY, base) == found
    for line, error in {
        "lerning_rate: [1, 2]": "no such setting of gan; there are threshold, seed,",
        "channels: {low: 1.5, high: 3}": "Input should be a valid integer",
        "learning_rate: {low: -1, high: 3}": "Input should be greater than 0",
        "learning_rate: {low: 1, high: 0.1}": "low must be below high",
        "learning_rate: {low: 1, high: .inf}": "Input should be a finite number",
        "penalty: {low: 0, high: 1, log: true}": "low must be below high, and above 0",
        "learning_rate: {low: 1}": "must be {low, high, log} or a list",
        "learning_rate: 1": "must be {low, high, log} or a list",
        "channels: [2, 2]": "choices must be there, each once",
        "channels: []": "choices must be there, each once",
        "precision: {low: bf16-mixed, high: 32-true}": "has no range: give a list of choices",
        "latent: [1]": "is there twice",
    }.items():
        with pytest.raises(TrainingError) as raised:
            read(line)
        assert str(raised.value).startswith(f"{file}:3: ")
        assert f": {line.partition(':')[0]}: " in str(raised.value)
        assert error in str(raised.value)


def test_rates_and_widths_are_searched_by_default():
    found = space.default("caloflow", settings_of("caloflow")(student_rate=4e-4))
    assert found["student_rate"] == space.Range(1e-4, 16e-4, log=True)
    assert found["width"] == (128, 256, 384)
    assert set(found) == {"energy_rate", "learning_rate", "student_rate", "width"}
    assert space.default("library", settings_of("library")()) == {}
    # A size of 0 means another one, and half of the smallest width is too little.
    student = space.default("flow_matching", settings_of("flow_matching")(width=8))
    assert {"learning_rate", "distillation_rate"} <= set(student)
    assert not {"width", "student_width"} & set(student)


EDITS = {
    "no figure": "DELETE FROM trial_values",
    "a figure that is none": "UPDATE trial_values SET value = NULL, value_type = 'INF_POS'",
    "no settings": "DELETE FROM trial_params",
    "another setting": "UPDATE trial_params SET param_name = 'other' WHERE param_name = 'latent'",
    "a setting elsewhere": "UPDATE trial_params SET param_value = 1e9",
    "no distribution": "UPDATE trial_params SET distribution_json = '{'",
    "an unknown state": "UPDATE trials SET state = 'DREAMING'",
    "no minutes": "DELETE FROM trial_user_attributes",
    "minutes that are none": "UPDATE trial_user_attributes SET value_json = 'x'",
    "no identity": "UPDATE study_user_attributes SET value_json = '[]'",
    "another direction": "UPDATE study_directions SET direction = 'MAXIMIZE'",
}


@pytest.mark.parametrize("edit", [*EDITS.values(), None], ids=[*EDITS, "cut"])
def test_a_database_that_was_edited_by_hand_is_refused_in_a_sentence(search, tmp_path, edit):
    study = tuning._study(search, tmp_path, None, "tune")
    distributions = {
        "learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "latent": optuna.distributions.IntDistribution(4, 9),
        "channels": optuna.distributions.CategoricalDistribution((2, 4)),
    }
    params = {"learning_rate": 1e-3, "latent": 5, "channels": 4}
    done = optuna.trial.create_trial(
        params=params, distributions=distributions, value=1.0, user_attrs={"minutes": 0.1}
    )
    study.add_trial(done)
    tuning._study(search, tmp_path, None, "tune")
    file = tmp_path / tuning.STORAGE
    if edit is None:
        file.write_bytes(file.read_bytes()[:20_000])
    else:
        with closing(sqlite3.connect(file)) as database:
            database.execute(edit)
            database.commit()
    with pytest.raises(TrainingError, match=r"damaged|no study in this storage") as error:
        tuning.tune(search, tmp_path, 2, silent)
    assert "\n" not in str(error.value)


def _command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_line_searches(samples, base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(configuration.text(FAMILY, base))
    Path("space.yaml").write_text("learning_rate: {low: 1e-4, high: 1e-2, log: true}\n")
    command = ["tune", samples[0], "--choose", samples[1], "--config", "base.yaml"]
    done = _command(*command, "--space", "space.yaml", "--trials", 1, "--objective", "closure")
    assert done.exit_code == 0, done.output
    assert "tune/best.yaml: trial 0, closure " in done.output
    fixed = _command(*command, "--space", "space.yaml", "--set", "learning_rate=1")
    assert isinstance(fixed.exception, SteeringError)
    assert str(fixed.exception) == "--set learning_rate: is searched, by space.yaml"
    shown = _command(*command, "--set", "learning_rate=1.0e-3", "--show")
    assert "critic_rate: {low: " in shown.output
    assert "learning_rate" not in shown.output


def test_an_ensemble_has_seeds_one_after_another(geant4, tmp_path):
    small = ["--family", "library", "--set", "showers=1200", "--set", "seed=5"]
    done = _command("train", geant4, tmp_path / "a" / "b", *small, "--ensemble", 2)
    assert done.exit_code == 0, done.output
    cards = [read_card(tmp_path / "a" / f"b-{number}") for number in (1, 2)]
    assert [card.training.seed for card in cards] == [5, 6]
    assert cards[1].name == "a/b-2"
    assert (tmp_path / "a" / "b-2.work").is_dir()

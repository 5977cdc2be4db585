"""The recipe, from a sample to a model folder, is the same for every family."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from k4calofast.exceptions import TrainingError
from k4calofast.generator import Model
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.training import recipe, workfolder
from k4calofast.training.families import FAMILIES, kind_of, settings_of
from k4calofast.training.loop import Run
from k4calofast.training.recipe import Product, Task

K4CALOFAST = Path(sys.executable).with_name("k4calofast")


OF_CRYSTALS = [name for name in FAMILIES if kind_of(name) == "crystals"]


@pytest.fixture(scope="module", params=OF_CRYSTALS)
def made(request, geant4, small, tmp_path_factory):
    """A model folder of each family, its work folder, and its name."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = settings_of(request.param)(epoch=20, **small[request.param])
    output, work = folder / "barrel" / request.param, folder / "work"
    product = Product(output, work, "k4calofast train ...")
    recipe.train(Task(request.param, settings, geant4), product)
    return output, work, request.param


def test_a_model_runs_and_its_card_says_how_it_was_made(made, geant4):
    output, _, name = made
    card = read_card(output)
    assert card.name == f"barrel/{name}"
    assert card.training.showers == 2400
    assert "PENELOPE" in card.training.physics_data
    assert set(card.kinds) == {22, 11, -11}
    showers, _ = crystals.read(geant4)
    energies = Model(output, "cpu").energies(showers.pdg, showers.conditions, _noise(2400, card))
    assert np.isfinite(energies).all()
    assert ((energies == 0) | (energies > card.threshold)).all()
    assert energies.sum() > 0


def test_a_shower_does_not_depend_on_its_neighbours(made, geant4):
    """Bit by bit, wherever in a block and with whomever a shower is generated."""
    output, _, _ = made
    model = Model(output, "cpu")
    showers = crystals.read(geant4)[0].take(slice(0, 300))
    noise = _noise(300, model.card)
    all_at_once = model.energies(showers.pdg, showers.conditions, noise)
    order = np.random.default_rng(2).permutation(300)
    mixed = model.energies(showers.pdg[order], showers.conditions[order], noise[order])
    np.testing.assert_array_equal(mixed, all_at_once[order])
    alone = model.energies(showers.pdg[7:8], showers.conditions[7:8], noise[7:8])
    np.testing.assert_array_equal(alone[0], all_at_once[7])


def test_the_exported_graph_gives_what_torch_gives(made, geant4):
    output, work, name = made
    showers, provenance = crystals.read(geant4)
    found, family = recipe.trained(work, provenance)
    assert found == name
    session = onnxruntime.InferenceSession(
        output / "model.onnx", providers=["CPUExecutionProvider"]
    )
    inputs = {
        "noise": _noise(1000, read_card(output)),
        "conditions": showers.conditions[:1000].astype(np.float32),
        "pdg": showers.pdg[:1000].astype(np.int64),
    }
    (there,) = session.run(["energies"], inputs)
    with torch.no_grad():
        here = family(*(torch.from_numpy(inputs[name]) for name in inputs)).numpy()
    assert there.shape == here.shape == (1000, 11, 11)
    totals = there.sum((1, 2), dtype=np.float64), here.sum((1, 2), dtype=np.float64)
    # A cell on the edge of being lit may fall on either side of it.
    assert np.isclose(*totals, rtol=1e-5, atol=1e-7).mean() > 0.99
    assert np.isclose(there, here, rtol=1e-3, atol=1e-6).mean() > 0.999


def test_a_training_killed_in_the_middle_goes_on_to_the_same_weights(made, geant4, small, tmp_path):
    name = made[2]
    settings = settings_of(name)(epoch=20, **small[name])

    class Killed(Exception):  # noqa: N818 - it is no error
        pass

    seen: set[str] = set()

    def kill(stage: str, step: int, steps: int, _: float) -> None:
        """Between two checkpoints of every stage, once."""
        if step == (steps * 2) // 3 and stage not in seen:
            seen.add(stage)
            raise Killed

    product = Product(tmp_path / "barrel" / name, tmp_path / "work", "again")
    for _ in range(10):
        try:
            recipe.train(Task(name, settings, geant4), product, Run(report=kill))
            break
        except Killed:
            continue
    there = (made[0] / "model.onnx").read_bytes()
    assert (tmp_path / "barrel" / name / "model.onnx").read_bytes() == there
    if seen:
        other = settings.model_copy(update={"seed": 7})
        with pytest.raises(TrainingError, match="another settings"):
            recipe.train(Task(name, other, geant4), product)


def test_a_generator_of_one_kind_needs_no_kind(shape, small):
    import onnx

    from k4calofast.training import export

    shape = replace(shape, kinds=[22])
    settings = settings_of("flow_matching")(**small["flow_matching"])
    generator = recipe.build("flow_matching", settings, shape)
    graph = onnx.load_from_string(export.to_onnx(generator)).graph
    assert [tensor.name for tensor in graph.input] == ["noise", "conditions"]


def test_a_training_starts_from_another(geant4, small, tmp_path):
    name, output = "flow_matching", tmp_path / "b" / "f"
    first, second = tmp_path / "first", tmp_path / "second"
    slow = {"steps": 1, "distillation_steps": 1, "learning_rate": 1e-9, "distillation_rate": 1e-9}
    settings = settings_of(name)(**small[name] | slow)
    other = settings.model_copy(update={"seed": 1})
    recipe.train(Task(name, other, geant4), Product(output, first, "first"))
    recipe.train(Task(name, settings, geant4, start=first), Product(output, second, "second"))
    there, here = (
        torch.load(work / workfolder.TRAINED, weights_only=True) for work in (first, second)
    )
    key = "velocity.first.weight"
    torch.testing.assert_close(here[key], there[key], atol=1e-6, rtol=0)
    training = read_card(output).training
    assert training.command == "first && second"
    assert "; then " in training.method
    assert training.more_seeds == ()
    task = Task(name, settings, geant4, start=tmp_path)
    with pytest.raises(TrainingError, match="so nothing trained"):
        recipe.train(task, Product(output, tmp_path / "third"))


def test_epochs_are_not_chosen_by_what_is_trained_on(geant4, small, tmp_path):
    settings = settings_of("flow_matching")(**small["flow_matching"])
    output = tmp_path / "b" / "f"
    task = Task("flow_matching", settings, geant4, choose=geant4)
    with pytest.raises(TrainingError, match="has the seed of"):
        recipe.train(task, Product(output, tmp_path))


def test_the_command_line_trains(geant4, small, tmp_path):
    values = small["flow_matching"] | {"steps": 3, "distillation_steps": 2}
    lines = [f"{name}: {value}" for name, value in values.items()]
    (tmp_path / "my.yaml").write_text("\n".join(["family: flow_matching", *lines, "batch_: 3"]))
    command = [K4CALOFAST, "train", geant4, "barrel/flow", "--config", "my.yaml"]
    wrong = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 1
    line = len(lines) + 2
    assert wrong.stderr.startswith(f"k4calofast: my.yaml:{line}: batch_: no such setting of flow")
    (tmp_path / "my.yaml").write_text("\n".join(["family: flow_matching", *lines]))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "barrel" / "flow" / "card.yaml").exists()
    missing = subprocess.run(
        [K4CALOFAST, "train", "nowhere.h5", "barrel/flow"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert missing.returncode == 1
    assert missing.stderr == "k4calofast: nowhere.h5: no such file\n"


def _noise(count, card):
    return np.random.default_rng(1).standard_normal((count, card.noise)).astype(np.float32)

"""The recipe, from a sample to a model folder, and that the folder holds what was trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from k4calofast.generator import Model
from k4calofast.generator.card import read_card
from k4calofast.showers import hdf5
from k4calofast.training import distillation, export, flow
from k4calofast.training.network import Features, Velocity
from k4calofast.training.recipe import train
from k4calofast.training.sample import Sample
from k4calofast.training.settings import Recipe
from k4calofast.training.variables import ShowerVariables

GEANT4 = Path(__file__).resolve().parents[1] / "data" / "geant4_showers.h5"
SMALL = {
    "width": 32,
    "blocks": 2,
    "steps": 60,
    "batch": 256,
    "distillation_steps": 10,
    "distillation_batch": 64,
}


@pytest.fixture(scope="module")
def generator() -> export.Generator:
    """A small flow after a few steps."""
    showers, provenance = hdf5.read(GEANT4)
    torch.manual_seed(1)
    features = Features([22, 11, -11], {k: tuple(v) for k, v in provenance.coverage[-11].items()})
    sample = Sample.of(showers, 5e-5)
    variables = ShowerVariables(121, 5e-5)
    velocity = Velocity(variables.dimension, features.size, 32, 2)
    losses: list[float] = []
    velocity = flow.train(
        sample, variables, features, velocity, 80, 4e-3, 256, 1, lambda _, loss: losses.append(loss)
    )
    assert losses[-1] < losses[0]
    return export.Generator(features, variables, velocity, 3, (11, 11))


def test_the_exported_graph_gives_what_torch_gives(generator, tmp_path):
    showers, _ = hdf5.read(GEANT4)
    file = tmp_path / "model.onnx"
    file.write_bytes(export.to_onnx(generator))
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(1).standard_normal((len(showers), 122)).astype(np.float32)
    conditions = showers.conditions.astype(np.float32)
    pdg = showers.pdg.astype(np.int64)
    inputs = {"noise": noise, "conditions": conditions, "pdg": pdg}
    (there,) = session.run(["energies"], inputs)
    with torch.no_grad():
        here = generator(*(torch.from_numpy(inputs[name]) for name in inputs)).numpy()
    assert there.shape == (len(showers), 11, 11)
    assert (there >= 0).all()
    # A cell on the edge of being lit may fall on either side of it.
    close = np.isclose(there, here, rtol=2e-3, atol=1e-6)
    assert close.mean() > 0.9995
    np.testing.assert_allclose(there.sum((1, 2)), here.sum((1, 2)), rtol=1e-3, atol=1e-5)


def test_a_generator_of_one_kind_needs_no_kind(generator):
    import onnx

    features = Features([22], dict.fromkeys(hdf5.read(GEANT4)[1].coverage[22], (0.02, 3.0)))
    velocity = Velocity(122, features.size, 16, 1)
    one = export.Generator(features, generator.variables, velocity, 2, (11, 11))
    graph = onnx.load_from_string(export.to_onnx(one)).graph
    assert [tensor.name for tensor in graph.input] == ["noise", "conditions"]


def test_a_student_with_many_jumps_follows_its_teacher(generator):
    given = generator.features(
        torch.tensor([22, 11]), torch.tensor([[1.0, 0, 0, 0, 0, 100], [0.3, 0.1, 0, 5, 0, 900]])
    )
    context = generator.velocity.of(given)
    noise = torch.randn((2, 122), generator=torch.Generator().manual_seed(1))
    bounded = generator.variables.bounded
    with torch.no_grad():
        exact = distillation.trajectory(generator.velocity, noise, context, 1, 64, bounded)[-1]
        coarse, fine = (
            distillation.jump(generator.velocity, noise, context, jumps, bounded)
            for jumps in (8, 128)
        )
    assert (fine - exact).abs().max() < (coarse - exact).abs().max()
    assert (fine - exact).abs().max() < 0.1


def test_the_recipe_writes_a_model_that_runs_and_a_card_that_says_how(tmp_path):
    output, work = tmp_path / "barrel" / "flow", tmp_path / "work"
    train(GEANT4, output, work, Recipe(**SMALL), "k4calofast train ...")
    card = read_card(output)
    assert card.name == "barrel/flow"
    assert card.training.showers == 2400
    assert "PENELOPE" in card.training.physics_data
    assert set(card.kinds) == {22, 11, -11}
    showers, _ = hdf5.read(GEANT4)
    noise = np.random.default_rng(1).standard_normal((len(showers), 122)).astype(np.float32)
    energies = Model(output, "cpu").energies(showers.pdg, showers.conditions, noise)
    assert np.isfinite(energies).all()
    assert ((energies == 0) | (energies > card.threshold)).all()


def test_a_trained_flow_is_taken_up_again_but_not_for_another_recipe(tmp_path):
    stages: list[str] = []
    report = lambda stage, *_: stages.append(stage)  # noqa: E731
    arguments = (GEANT4, tmp_path / "barrel" / "flow", tmp_path / "work")
    train(*arguments, Recipe(**SMALL), "first", report)
    first = (tmp_path / "barrel" / "flow" / "model.onnx").read_bytes()
    assert set(stages) == {"flow", "distillation"}
    stages.clear()
    train(*arguments, Recipe(**SMALL), "again", report)
    assert set(stages) == {"distillation"}
    assert (tmp_path / "barrel" / "flow" / "model.onnx").read_bytes() == first
    with pytest.raises(Exception, match="other settings"):
        train(*arguments, Recipe(**SMALL | {"steps": 61}), "other", report)


def test_the_command_line_trains(tmp_path):
    command = [Path(sys.executable).with_name("k4calofast"), "train", GEANT4, "barrel/flow"]
    command += ["--width", "16", "--blocks", "1", "--steps", "3", "--distillation-steps", "2"]
    command += ["--batch", "32", "--distillation-batch", "32"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "barrel" / "flow" / "card.yaml").exists()
    missing = subprocess.run(
        [command[0], "train", "nowhere.h5", "barrel/flow"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert missing.returncode == 1
    assert missing.stderr == "k4calofast: nowhere.h5: no such file\n"

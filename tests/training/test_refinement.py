"""A refined generator is nearer to the sample, by as much as its candidates allow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from k4calofast.generator import Model
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.training import export, recipe, workfolder
from k4calofast.training.crystals.refinement import RefinedCrystals
from k4calofast.training.families import settings_of
from k4calofast.training.recipe import Product, Task
from k4calofast.training.refinement import RefinementSettings, Telling, pick

SMALL = RefinementSettings(steps=40, epoch=20, width=16, batch=128, pools=1)


@pytest.fixture(scope="module")
def generator_work(geant4, small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("generator")
    settings = settings_of("flow_matching")(**small["flow_matching"])
    product = Product(folder / "b" / "f", folder / "work", "first")
    recipe.train(Task("flow_matching", settings, geant4), product)
    return folder / "work"


@pytest.mark.parametrize("count", [2, 4])
def test_more_candidates_take_away_more_of_a_difference(count):
    """From a normal distribution to one that is shifted: w = exp(a x - a^2 / 2)."""
    shift, rows = 0.2, 400_000
    x = torch.randn(count, rows, 1, generator=torch.Generator().manual_seed(1))
    odds = (shift * x[..., 0] - shift**2 / 2).exp()
    uniform = torch.rand(rows, generator=torch.Generator().manual_seed(2))
    mean = float(pick(x, odds, uniform).mean())
    assert mean == pytest.approx(shift * (count - 1) / count, rel=0.06)


def test_odds_are_probabilities_of_candidates():
    rows = 200_000
    candidates = torch.arange(3.0)[:, None, None].expand(3, rows, 1)
    odds = torch.tensor([1.0, 2.0, 5.0])[:, None].expand(3, rows)
    uniform = torch.rand(rows, generator=torch.Generator().manual_seed(1))
    kept = pick(candidates, odds, uniform)[:, 0]
    share = torch.bincount(kept.long()) / rows
    torch.testing.assert_close(share, torch.tensor([1.0, 2.0, 5.0]) / 8, atol=0.004, rtol=0)


def test_the_classifier_finds_a_generator_that_is_off(geant4, generator_work):
    """The loss falls below that of guessing, and log odds are higher for the sample's showers."""
    showers, provenance = crystals.read(geant4)
    _, generator = recipe.trained(generator_work, provenance)
    from k4calofast.training.crystals.sample import Sample

    sample = Sample.of(showers, 5e-5)
    torch.manual_seed(1)
    refined = RefinedCrystals(SMALL, generator)
    refined.prepare(sample)
    stage = Telling(refined, sample)
    optimizer = torch.optim.Adam(refined.classifier.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = stage.loss(torch.randint(len(sample), (256,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.5 < 0.69 < losses[0] + 0.2
    refined.eval()
    rows = torch.arange(500)
    with torch.no_grad():
        told = refined.told(sample, rows)
        of_sample, of_pool = (refined.classifier(seen[rows], *told) for seen in stage.pools[0])
    assert float(of_sample.mean()) > float(of_pool.mean()) + 1


def test_a_refined_model_runs_like_any_other(geant4, generator_work, tmp_path):
    output, work = tmp_path / "b" / "refined", tmp_path / "work"
    recipe.refine(generator_work, geant4, SMALL, Product(output, work, "second"))
    card = read_card(output)
    assert card.training.command == "first && second"
    assert card.noise == 2 * 122 + 1
    assert "2 candidates" in card.training.method
    first = (output / card.file).read_bytes()
    model = Model(output, "cpu")
    showers = crystals.read(geant4)[0].take(slice(0, 100))
    noise = np.random.default_rng(1).standard_normal((100, card.noise)).astype(np.float32)
    energies = model.energies(showers.pdg, showers.conditions, noise)
    order = np.random.default_rng(2).permutation(100)
    mixed = model.energies(showers.pdg[order], showers.conditions[order], noise[order])
    np.testing.assert_array_equal(mixed, energies[order])
    # Each shower is one of the two that the generator makes of the two parts of the noise.
    _, generator = recipe.trained(generator_work, crystals.read(geant4)[1])
    (tmp_path / "plain.onnx").write_bytes(export.to_onnx(generator))
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "plain.onnx")
    inputs = {"conditions": showers.conditions.astype(np.float32), "pdg": showers.pdg.astype("i8")}
    both = [
        session.run(["energies"], inputs | {"noise": np.ascontiguousarray(part)})[0]
        for part in (noise[:, :122], noise[:, 122:244])
    ]
    is_one = [np.isclose(energies, one, rtol=1e-3, atol=1e-6).all((1, 2)) for one in both]
    assert (is_one[0] | is_one[1]).mean() > 0.95
    assert 0.1 < is_one[0].mean() < 0.9
    # Again: from the last checkpoint, to the same.
    recipe.refine(generator_work, geant4, SMALL, Product(output, work, "second"))
    assert (output / card.file).read_bytes() == first
    assert json.loads((work / workfolder.IDENTITY).read_text())["minutes"] > 0


def test_the_command_line_refines(geant4, generator_work, tmp_path):
    command = [Path(sys.executable).with_name("k4calofast"), "refine", generator_work, geant4]
    small = ["--set", "steps=2", "--set", "batch=64", "--set", "width=8", "--set", "pools=1"]
    done = subprocess.run([*command, "b/r", *small], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b" / "r" / "card.yaml").is_file()
    wrong = subprocess.run(
        [*command, "b/s", "--set", "candidates=1"], cwd=tmp_path, capture_output=True, text=True
    )
    assert wrong.returncode == 1
    assert "--set candidates=1: candidates:" in wrong.stderr

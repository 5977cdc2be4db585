"""Refined generators of layers: one of several candidates of each shower is kept, hit by hit."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from k4calofast.generator import Model
from k4calofast.showers import layers
from k4calofast.training import recipe
from k4calofast.training.layers.kind import KIND
from k4calofast.training.layers.refinement import of_candidates, summed_up
from k4calofast.training.reduction import inputs
from k4calofast.training.refinement import RefinementSettings

SMALL = RefinementSettings(steps=30, epoch=15, width=16, batch=32, pools=1)


@pytest.fixture(scope="module")
def refined(tiny, halves, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refined")
    product = recipe.Product(folder / "barrel" / "refined", folder / "work", "k4calofast refine")
    recipe.refine(tiny[1], halves[0], SMALL, product)
    return product.model


def test_the_candidates_that_were_chosen_are_kept_whole():
    """Shower 1 has no hits in the second candidate; showers come in ascending order."""
    first = (torch.tensor([0, 0, 1, 2]), torch.arange(4), torch.ones(4), torch.zeros(4))
    second = (torch.tensor([0, 2, 2, 2]), torch.arange(10, 14), torch.ones(4), torch.zeros(4))
    shower, place, *_ = of_candidates([first, second], torch.tensor([0, 1, 1]))
    assert shower.tolist() == [0, 0, 2, 2, 2]
    assert place.tolist() == [0, 1, 11, 12, 13]


def test_a_classifier_sees_energy_hits_and_where_they_are(tiny, halves):
    showers, provenance = layers.read(halves[0])
    _, generator = recipe.trained(tiny[1], provenance)
    sample = KIND.sample(showers, generator.shape, generator.settings)
    rows = torch.arange(20)
    cells = generator.cells_anywhere(sample, rows, torch.Generator().manual_seed(1))
    incident = generator.incident(sample, rows, cells)
    assert (incident.particles.electron == (sample.pdg[rows] == 11)).all()
    seen = summed_up(generator.as_hits(cells), incident, 0.0)
    count = len(generator.layers)
    in_layers = seen[:, : 6 * count].reshape(20, count, 6)
    shown = generator.shown(cells, 20, sample.slope[rows])
    assert in_layers[:, :, 0].numpy() == pytest.approx(shown.hits.numpy())
    assert in_layers[:, :, 1].numpy() == pytest.approx(shown.energies.numpy(), rel=1e-5)
    moment = torch.zeros(20).index_add_(0, cells.shower, cells.energy * cells.x)
    assert in_layers[:, :, 2].sum(1).numpy() == pytest.approx(moment.numpy(), rel=1e-3, abs=0.1)
    # All hits are in one of the ranges of energy.
    assert seen[:, 6 * count + 2 :].sum(1).numpy() == pytest.approx(shown.hits.sum(1).numpy())


def test_a_refined_model_of_layers_runs_like_any_other(tiny, refined, halves):
    """The loader has checked its rows; each shower is one of those that the generator makes."""
    model, plain = Model(refined, "cpu"), Model(tiny[0], "cpu")
    card = model.card
    assert (card.noise, card.uniform) == (2 * plain.card.noise, 2 * plain.card.uniform + 1)
    assert card.threshold == plain.card.threshold
    assert card.kinds == plain.card.kinds
    assert card.block == plain.card.block
    assert card.training.command == "k4calofast train ... && k4calofast refine"
    feed = next(inputs(card, *layers.read(halves[0])))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def run(folder, **changes):
        session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        shower, place, energy, _ = session.run(None, feed | changes)
        dense = np.zeros((len(feed["noise"]), np.prod(card.window)), np.float32)
        np.add.at(dense, (shower, place), energy)
        assert (np.diff(shower) >= 0).all()
        return dense

    kept = run(refined)
    candidates = []
    for number in (0, 1):
        part = {
            name: np.ascontiguousarray(feed[name][:, number * size : (number + 1) * size])
            for name, size in (("noise", plain.card.noise), ("uniform", plain.card.uniform))
        }
        candidates.append(run(tiny[0], **part))
    same = [np.isclose(kept, dense, rtol=1e-3, atol=1e-6).mean(1) > 0.999 for dense in candidates]
    assert (same[0] | same[1]).mean() > 0.95
    assert 0.1 < same[0].mean() < 0.9

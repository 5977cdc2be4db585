"""Laws of the PixelCNN: every cell has a spectrum that cells before it decide, and no others."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from k4calofast.training import recipe
from k4calofast.training.crystals.families.pixelcnn import PixelCNN, chosen, cumulating


@pytest.fixture
def family(shape, small, sample):
    settings = PixelCNN.Settings(**small["pixelcnn"] | {"layers": 3})
    made = recipe.build("pixelcnn", settings, shape)
    made.prepare(sample)
    return _lively(made)


def _lively(family):
    """Larger weights than those to start from: then conditions matter."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in family.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return family.eval()


def _showers(family, count):
    cells = torch.randint(0, family.cell.count, (count, family.shape.cells))
    missing = torch.randint(0, family.missing.classes.count, (count, 1))
    return cells, missing, torch.rand((count, family.shape.cells + 1))


@torch.no_grad()
def test_a_cell_depends_on_cells_before_it_alone(family, sample):
    part = sample.take(slice(0, 4))
    cells, missing, places = _showers(family, 4)
    before = family.logits(part, cells, missing, places)
    for place in (0, 10, 16, 60, 61, 109, 119):
        other = cells.clone()
        other[:, place] = (other[:, place] + 7) % family.cell.count
        now = family.logits(part, other, missing, places)
        torch.testing.assert_close(now[:, : place + 1], before[:, : place + 1], atol=2e-5, rtol=0)
        assert (now[:, place + 1 :] - before[:, place + 1 :]).abs().max() > 1e-3
    # The missing energy is before all cells.
    now = family.logits(part, cells, (missing + 7) % family.missing.classes.count, places)
    assert ((now - before).abs().amax((0, 2)) > 1e-3).all()


@torch.no_grad()
def test_likelihoods_of_all_showers_sum_to_one(shape, small, sample):
    """Of a window of four cells, in three classes."""
    settings = PixelCNN.Settings(**small["pixelcnn"] | {"classes": 3, "missing_classes": 3})
    family = recipe.build("pixelcnn", settings, replace(shape, window=(2, 2)))
    family.cell.fit(family.variables.cell, 18.0)
    family.missing.classes.fit(family.variables.missing, 18.0)
    _lively(family)
    classes = torch.tensor(list(itertools.product(range(3), repeat=5)))
    part = sample.take(torch.zeros(len(classes), dtype=torch.int64))
    places = torch.full(classes.shape, 0.3)
    bits = family.bits_of(part, classes[:, :-1], classes[:, -1:], places).double()
    assert bits.std() > 0.1
    assert (2.0**-bits).sum() == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_drawing_with_memory_is_drawing_with_whole_networks(family, sample):
    """One pass with what is kept, against one pass of everything for each cell."""
    part, count = sample.take(slice(0, 12)), family.shape.cells
    uniform, places = torch.rand(12, count), torch.rand(12, count + 1)
    cells, missing = torch.zeros(12, count, dtype=torch.int64), torch.full((12, 1), 9)
    for place in range(count):
        logits = family.logits(part, cells, missing, places)[:, place]
        steps = cumulating(family.cell.count)
        cells[:, place] = chosen(logits, uniform[:, place : place + 1], steps)[:, 0].long()
    given = family.features(part.pdg, part.conditions)
    context, total = family._context(given, missing, places[:, -1:], part.available)
    drawn = family.network.draw(context, total, uniform, places[:, :-1], family.cell)
    # A number on the edge of a class may fall on either side of it.
    assert (drawn.long() == cells).all(1).float().mean() > 0.9
    assert len(cells.unique()) > 5


def test_classes_are_chosen_as_often_as_they_are_probable():
    logits = torch.tensor([[0.3, -40.0, 2.0, 1.0, -60.0]])
    uniform = (torch.arange(100_000)[:, None] + 0.5) / 100_000
    found = chosen(logits.expand(100_000, -1), uniform, cumulating(5))[:, 0].long()
    rates = found.bincount(minlength=5) / 100_000
    torch.testing.assert_close(rates, logits.softmax(1)[0], atol=2e-5, rtol=0)
    # Nor do the ends of the interval choose what does not occur.
    ends = chosen(logits.expand(2, -1), torch.tensor([[0.0], [1.0]]), cumulating(5))
    assert ends.flatten().tolist() == [0, 3]


def test_a_class_holds_its_numbers(family, sample):
    numbers = family.variables.fit(sample, 0)[:, :-1]
    classes = family.cell.of(numbers)
    assert ((classes == 0) == numbers.isnan()).all()
    places = torch.rand(classes.shape).clamp(1e-3, 1 - 1e-3)
    assert (family.cell.of(family.cell.numbers(classes.float(), places)) == classes)[
        classes > 0
    ].all()
    # Energies that sum up are those that come out, but for the spectrum within a step.
    ends = family.cell.numbers(classes.float(), torch.zeros(()))
    energies = family.variables.cell.decode(ends)[classes > 0]
    torch.testing.assert_close(
        family.cell.energy(classes.float(), torch.zeros(()))[classes > 0],
        energies,
        rtol=2e-3,
        atol=1e-6,
    )


@torch.no_grad()
def test_totals_are_what_is_not_missing(family, sample):
    """Where anything is lit: the response is that of the missing energy."""
    part = sample.take(slice(0, 300))
    noise = torch.randn(300, family.noise)
    energies = family.generate(noise, part.pdg, part.conditions)
    uniform = 0.5 + 0.5 * torch.erf(noise / 2**0.5)
    half = family.noise // 2
    given = family.features(part.pdg, part.conditions)
    classes = family.missing.draw(given, uniform[:, half - 1 : half])
    scale = family.variables.missing
    _, total = family.missing.told(classes, uniform[:, -1:], scale, part.available)
    total, lit = total[:, 0], energies.sum(1) > 0
    assert lit.float().mean() > 0.3
    # Cells that fall below the threshold are lost.
    assert ((energies.sum(1) - total).abs()[lit] < 1e-3 + 1e-3 * total[lit]).float().mean() > 0.95

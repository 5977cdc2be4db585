from __future__ import annotations

import pytest
import torch

from k4calofast.training.crystals.family import conditions_of
from k4calofast.training.crystals.features import Features
from k4calofast.training.crystals.normalisation import (
    Fractions,
    held,
    linear_guess,
    normalisation,
    straight_through,
    with_constant,
)
from k4calofast.training.crystals.variables import CUT

NAMES = ["incident", "total", "shower"]


@pytest.fixture(scope="module")
def features(shape):
    return Features(shape.kinds, shape.ranges, conditions_of(shape))


@pytest.fixture(scope="module", params=NAMES)
def fitted(request, sample, features):
    """A fitted normalisation, and what a critic sees of the sample."""
    part = sample.take(slice(0, 800))
    made = normalisation(request.param, part.energies.shape[1], 5e-5)
    return made, made.fit(part, features(part.pdg, part.conditions), 0), part


def test_numbers_of_showers_become_the_showers_again(fitted):
    made, numbers, sample = fitted
    energies = made.energies(numbers, sample.available)
    # Small energies are spread by 0.05 %, and ranks have steps.
    assert (torch.isclose(energies, sample.energies, rtol=2e-2, atol=2e-5)).float().mean() > 0.999
    torch.testing.assert_close(energies.sum(1), sample.energies.sum(1), rtol=1e-3, atol=1e-4)


def test_real_showers_are_seen_as_they_are(fitted):
    made, numbers, sample = fitted
    # Small energies are spread by 0.05 %, and the large ones make up for it.
    torch.testing.assert_close(made.seen(numbers, sample.available), numbers, rtol=1e-3, atol=5e-3)


def test_generated_empty_cells_have_the_number_of_real_ones(fitted):
    made, numbers, sample = fitted
    cells = slice(0, made.cells)
    real_empty = sample.energies == 0
    empty = numbers[:, cells].masked_fill(~real_empty, 9.0).amin(0)
    assert (numbers[:, cells] == empty)[real_empty].all()
    raw = numbers + torch.randn(numbers.shape, generator=torch.Generator().manual_seed(0))
    seen = made.seen(raw, sample.available)[:, cells]
    alike = (seen - empty).abs() < 1e-5
    assert 0.1 < alike.float().mean() < 0.95
    assert (made.energies(raw, sample.available)[alike] == 0).all()


def test_energies_are_zero_or_above_the_threshold_whatever_a_network_says(fitted):
    made, numbers, sample = fitted
    for size in (0.1, 1.0, 30.0):
        raw = size * torch.randn(numbers.shape, generator=torch.Generator().manual_seed(1))
        energies = made.energies(raw, sample.available)
        assert torch.isfinite(energies).all()
        assert ((energies == 0) | (energies > made.threshold)).all()


def test_an_empty_cell_can_learn_to_be_lit_but_not_to_be_emptier(fitted):
    made, numbers, sample = fitted
    for sign in (1, -1):
        raw = torch.full_like(numbers, -20.0).requires_grad_()
        (sign * made.seen(raw, sample.available)[:, : made.cells]).sum().backward()
        assert ((raw.grad[:, : made.cells] != 0) == (sign < 0)).all()


def test_what_is_near_the_threshold_learns_either_way():
    numbers = torch.tensor([-3.0, -0.5, 2.0], requires_grad=True)
    (held(numbers, -1.0) * torch.tensor([2.0, 2.0, 2.0])).sum().backward()
    assert numbers.grad.tolist() == [0.0, 2.0, 2.0]


def test_the_sum_of_cells_is_the_number_of_the_sum(sample, features):
    made = Fractions(sample.energies.shape[1], 0.0, split=True)
    numbers = made.fit(sample, features(sample.pdg, sample.conditions), 0)
    raw = numbers.clone()
    raw[:, :-1] = torch.rand(raw[:, :-1].shape, generator=torch.Generator().manual_seed(2))
    energies = made.energies(raw, sample.available)
    torch.testing.assert_close(energies.sum(1), sample.energies.sum(1), rtol=1e-4, atol=1e-6)


def test_a_straight_through_estimator_has_the_gradient_of_the_soft_value():
    soft = torch.tensor([0.2, 0.8], requires_grad=True)
    value = straight_through(3 * soft, (soft > 0.5).float())
    assert value.tolist() == [0.0, 1.0]
    value.sum().backward()
    assert soft.grad.tolist() == [3.0, 3.0]


def test_a_critic_sees_energies_that_add_up(sample, features):
    # Where most is missing, a small error of it is a large one of the sum, which is then cut.
    most = sample.take(sample.energies.sum(1) > 0.7 * sample.available)
    made = normalisation("shower", sample.energies.shape[1], 5e-5)
    numbers = made.fit(most, features(most.pdg, most.conditions), 0)
    noise = torch.randn(numbers.shape, generator=torch.Generator().manual_seed(4))
    seen = made.variables.numbers(made.seen(numbers + 0.1 * noise, most.available))
    cells, last = seen[:, :-1], seen[:, -1]
    lit, missing = cells > CUT, made.variables.missing.decode(last)
    energies = torch.where(lit, made.variables.cell.decode(cells), torch.zeros(()))
    added = energies.sum(1) + torch.where(last > CUT, missing, torch.zeros(()))
    assert torch.isclose(added, most.available, rtol=1e-3).float().mean() > 0.99


def test_the_linear_guess_finds_what_is_linear():
    generator = torch.Generator().manual_seed(3)
    given = torch.randn(4000, 3, generator=generator)
    wanted = torch.randn(4, 2, generator=generator)
    noise = torch.randn(4000, 2, generator=generator) * torch.tensor([0.5, 2.0])
    coefficients, widths = linear_guess(given, with_constant(given) @ wanted + noise)
    # Errors of 4000 measurements with unit lever arms.
    torch.testing.assert_close(coefficients, wanted, rtol=0, atol=5 * 2.0 / 4000**0.5)
    torch.testing.assert_close(widths, torch.tensor([0.5, 2.0]), rtol=0.05, atol=0)


def test_numbers_have_unit_width_about_their_guess(fitted, features):
    made, numbers, sample = fitted
    _, widths = linear_guess(features(sample.pdg, sample.conditions), numbers)
    assert (widths[: made.cells] < 1.001).all()
    assert widths[: made.cells].amax() == pytest.approx(1.0, abs=1e-3)
    assert (widths[made.cells :] > 1.001).all()

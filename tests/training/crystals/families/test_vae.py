"""Laws of the autoencoders: densities are normalised, and what is random has the right rates."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from k4calofast.training import recipe
from k4calofast.training.crystals.autoencoder import Density
from k4calofast.training.crystals.families.vae import (
    VAE,
    Critic,
    PostProcessor,
    contest,
    discrepancy,
)
from k4calofast.training.crystals.mixtures import Mixtures
from k4calofast.training.crystals.sharing import Shared, Split, fraction, grouped, near
from k4calofast.training.crystals.variables import CUT, EMPTY, Scale


@pytest.fixture
def spectra():
    torch.manual_seed(2)
    outputs = 0.7 * torch.randn(3, 5 * 10)
    return Mixtures.of(outputs, 3)


def _lively(module, size=0.3):
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return module.eval()


@torch.no_grad()
def test_whatever_networks_return_energies_are_numbers():
    """Under conditions that nothing was trained on, too."""
    outputs = torch.cat([size * torch.randn(50, 50) for size in (1.0, 1e4, 1e12, 1e30)])
    numbers = Mixtures.of(outputs, 3).draw(torch.rand(200, 5), torch.randn(200, 5))
    shared = Shared(Scale(), torch.full((200,), 1e-6))
    for found in (shared.energies(numbers), shared.fitted(numbers, shared.total)):
        assert found.isfinite().all()


@torch.no_grad()
def test_a_cell_is_empty_or_has_a_number(spectra):
    """Its probabilities sum to one."""
    numbers = torch.linspace(-60, 80, 20_001)
    step = float(numbers[1] - numbers[0])
    empty = torch.full((3, 5), math.nan)
    total = (-spectra.nats(empty)).exp()
    for number in numbers.tolist()[::20]:
        total += (-spectra.nats(torch.full((3, 5), number))).exp() * step * 20
    torch.testing.assert_close(total, torch.ones(3, 5), atol=2e-3, rtol=0)


@torch.no_grad()
def test_cells_are_drawn_from_their_spectra(spectra):
    count = 20_000
    many = Mixtures(*(part[:1].expand(count, -1, -1) for part in spectra))
    found = many.draw(torch.rand(count, 5), torch.randn(count, 5))
    softly = many.draw_softly(torch.randn(count, 5))
    share = spectra.logits[:1].softmax(1)[0]
    for drawn in (found, softly):
        empty = (drawn == EMPTY).float().mean(0)
        torch.testing.assert_close(empty, share[0], atol=0.015, rtol=0)
        mean = torch.where(drawn > CUT, drawn, torch.zeros(())).mean(0)
        # What is drawn below the lowest number is moved there: only upwards, and little.
        wanted = (share[1:] * spectra.means[0]).sum(0)
        assert ((mean - wanted) > -0.08).all()
        assert ((mean - wanted) < 0.25).all()


def test_a_choice_has_a_gradient(spectra):
    logits = spectra.logits.clone().requires_grad_()
    spectra._replace(logits=logits).draw_softly(torch.randn(3, 5)).sum().backward()
    assert (logits.grad.abs().sum(1) > 0).all()
    # More probable empty cells make smaller numbers.
    assert (logits.grad[:, 0] < 0).all()


def test_the_density_of_latent_numbers_is_inverted():
    density = _lively(Density(6, 4, 3), 0.2)
    latent, embedded = torch.randn(4, 6), torch.randn(4, 4)
    normal, change = density.normal(latent, embedded)
    torch.testing.assert_close(density.latent(normal, embedded), latent, atol=2e-4, rtol=1e-3)
    assert (normal - latent).abs().max() > 0.1

    def of(x, row):
        return density.normal(x[None], embedded[row : row + 1])[0][0]

    for row in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda x, r=row: of(x, r), latent[row])
        assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(
            change[row].item(), abs=2e-3
        )


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_cells_of_a_group_are_no_neighbours(groups):
    parts = grouped((11, 9), groups)
    assert sorted(torch.cat(parts).tolist()) == list(range(99))
    assert len(parts) == groups
    least = {1: 1, 2: 2, 4: 4}[groups]
    for part in parts:
        row, column = part // 9, part % 9
        squared = (row[:, None] - row) ** 2 + (column[:, None] - column) ** 2
        assert squared[squared > 0].min() >= least


@pytest.mark.parametrize("groups", [2, 4])
@torch.no_grad()
def test_a_group_is_told_of_those_before_it_and_of_no_others(shape, small, groups):
    settings = VAE.Settings(**small["vae"] | {"groups": groups, "later_width": 16, "kind": "vae"})
    family = recipe.build("vae", settings, shape)
    network, shared = _lively(family.autoencoder), Shared(family.variables.cell, torch.ones(1))
    latent, embedded = torch.randn(1, settings.latent), torch.randn(1, settings.embedding)
    numbers = torch.rand(1, shape.cells) * 8
    numbers[:, ::3] = math.nan

    def told(numbers):
        """Spectra of each group, for the same share of the energy."""
        parts = [numbers.nan_to_num(EMPTY)[:, group] for group in network.groups]
        share = torch.full((1,), 0.3)
        return [
            network._mixtures(latent, embedded, parts[:number], share, shared).logits
            for number in range(groups)
        ]

    before = told(numbers)
    for number, group in enumerate(network.groups):
        other = numbers.clone()
        other[:, group] = other[:, group].nan_to_num(1.0) + 1
        same = [torch.equal(*pair) for pair in zip(before, told(other), strict=True)]
        assert same == [later <= number for later in range(groups)]


@torch.no_grad()
def test_what_is_drawn_comes_from_what_training_sees(shape, small, monkeypatch):
    """Where what is drawn is a shower, its mixtures are those by which this shower is judged."""
    settings = VAE.Settings(**small["vae"] | {"groups": 4, "later_width": 16, "kind": "vae"})
    family = recipe.build("vae", settings, shape)
    network, count = _lively(family.autoencoder), 20
    latent, embedded = torch.randn(count, settings.latent), torch.randn(count, settings.embedding)
    numbers = torch.rand(count, shape.cells) * 4
    numbers[torch.rand(count, shape.cells) < 0.6] = math.nan
    filled = numbers.nan_to_num(EMPTY)
    energies = Shared(family.variables.cell, torch.ones(count)).energies(filled)
    shared = Shared(family.variables.cell, energies.sum(1))
    parts = Split.of([energies[:, group] for group in network.groups]).numbers
    judged, drawn = [], []

    def judge(mixtures, numbers):
        judged.append(mixtures)
        return torch.zeros_like(numbers)

    def draw(mixtures, place):
        drawn.append(mixtures)
        if int(place[0]) >= shape.cells:
            return parts[int(place[0]) - shape.cells].nan_to_num(EMPTY)
        return filled[:, place.sort().values]

    monkeypatch.setattr(Mixtures, "nats", judge)
    network.nats(latent, embedded, numbers, shared)
    found = network.draw(latent, embedded, shared, draw)
    torch.testing.assert_close(found, filled, rtol=2e-3, atol=2e-3)
    # A group of which several drawings are made has as many mixtures, all the same.
    drawn = [one for one, before in zip(drawn, [None, *drawn], strict=False) if one is not before]
    assert len(judged) == len(drawn) == 7
    for here, there in zip(drawn, judged, strict=True):
        for one, other in zip(here, there, strict=True):
            torch.testing.assert_close(one, other, rtol=5e-3, atol=5e-3)


@given(
    arrays(np.float32, (5, 4), elements=st.one_of(st.just(0.0), st.floats(2.0**-13, 2.0, width=32)))
)
def test_parts_of_groups_add_up_to_what_there_is(energies):
    each = torch.from_numpy(energies)
    split = Split.of([part[:, None] for part in each.unbind(1)])
    left = each.sum(1)
    # Less than a part in 1800 of what is left is as much as that.
    little = 2e-3 * left + 1e-6
    for numbers, wanted in zip(split.numbers, split.sums, strict=False):
        part = left * fraction(numbers[:, 0].nan_to_num(EMPTY))
        assert ((part - wanted).abs() <= 2e-3 * wanted + little).all()
        left = left - part
    assert ((left - split.sums[-1]).abs() <= 2e-3 * left + little).all()


def test_neighbours_are_where_they_are_and_of_groups_before():
    window = (11, 9)
    groups = grouped(window, 4)
    for number in range(1, 4):
        before = torch.cat(groups[:number])
        found = near(window, groups[: number + 1], 3 * len(before))
        first = found[:, : found.shape[1] // 3]
        row, column = groups[number] // window[1], groups[number] % window[1]
        for cell, places in enumerate(first):
            there = before[places[places < len(before)]]
            away = (there // window[1] - row[cell]).abs(), (there % window[1] - column[cell]).abs()
            close = torch.maximum(before // window[1] - row[cell], row[cell] - before // window[1])
            beside = torch.maximum(
                before % window[1] - column[cell], column[cell] - before % window[1]
            )
            assert torch.maximum(*away).max() <= 2
            assert sorted(there.tolist()) == sorted(before[(close <= 2) & (beside <= 2)].tolist())


@torch.no_grad()
def test_of_a_few_drawings_that_is_taken_whose_sum_is_nearest():
    shared = Shared(Scale(), torch.ones(50))
    torch.manual_seed(4)
    drawings = [10 * torch.rand(50, 6) - 2.5 for _ in range(4)]
    total = 0.02 * torch.rand(50)
    found = reduce(shared.nearer(total), drawings)
    off = torch.stack([(shared.energies(one).sum(1) / total).log().abs() for one in drawings])
    wanted = torch.stack(drawings)[off.argmin(0), torch.arange(50)]
    # Next to nothing, ratios do not matter.
    certain = total > 3e-3
    assert (found == wanted)[certain].all()
    fitted = shared.energies(shared.fitted(found, total)).sum(1)
    assert ((fitted - total).abs() <= (shared.energies(found).sum(1) - total).abs() + 1e-5).all()


@torch.no_grad()
def test_energies_that_are_fitted_leave_no_gap_and_no_line():
    """Spectra stay smooth where large energies begin."""
    torch.manual_seed(5)
    numbers = torch.empty(4000, 30).uniform_(2.0, 7.0)
    shared = Shared(Scale(), torch.ones(4000))
    energies = shared.energies(numbers)
    total = energies.sum(1) * torch.empty(4000).uniform_(0.85, 1.2)
    found = shared.fitted(numbers, total)
    torch.testing.assert_close(shared.energies(found).sum(1), total, rtol=1e-4, atol=0)
    # Up to where some of the largest come from beyond.
    counts = torch.histc(found, 40, 2.0, 6.0)
    assert counts.min() > 0.8 * counts.mean()
    assert counts.max() < 1.25 * counts.mean()


@torch.no_grad()
def test_without_couplings_latent_numbers_are_normal():
    latent = torch.randn(4, 6)
    normal, change = Density(6, 4, 0).normal(latent, torch.zeros(4, 4))
    assert (normal == latent).all()
    assert (change == 0).all()


@torch.no_grad()
def test_the_divergence_is_that_of_normal_densities(shape, small):
    """Without couplings it has a closed form (Kingma and Welling, arXiv:1312.6114, app. B)."""
    settings = VAE.Settings(**small["vae"] | {"couplings": 0})
    network = _lively(recipe.build("vae", settings, shape).autoencoder, 0.06)
    numbers = (torch.rand(1, shape.cells) * 8).expand(20_000, -1)
    embedded = torch.randn(1, settings.embedding).expand(20_000, -1)
    code = network.encode(numbers, embedded)
    mean, width = code.latent.mean(0), code.latent.std(0)
    wanted = (0.5 * (mean**2 + width**2 - 1) - width.log()).sum()
    assert float(wanted) > 0.05
    assert code.divergence.mean() == pytest.approx(float(wanted), rel=0.05, abs=0.02)


def test_a_sample_has_no_discrepancy_from_itself():
    torch.manual_seed(1)
    values = [
        [(discrepancy(torch.randn(200, 3), torch.randn(200, 3) + shift)).item() for _ in range(20)]
        for shift in (0.0, 0.3, 1.0)
    ]
    same, near, far = (torch.tensor(found) for found in values)
    # Without bias: as often below 0 as above.
    assert same.mean().abs() < 4 * same.std() / len(same) ** 0.5
    assert same.mean() < near.mean() < far.mean()
    assert near.min() > same.max() - 2 * same.std()


def test_a_flat_critic_pays_no_penalty():
    critic = Critic(3, 2, 8)
    torch.nn.init.zeros_(critic.last.weight)
    real, told = torch.randn(5, 3), torch.randn(5, 2)
    found = [contest(critic, real, real, told, told, penalty).item() for penalty in (0.0, 10.0)]
    assert found[0] == found[1]
    torch.nn.init.ones_(critic.last.weight)
    found = [contest(critic, real, real, told, told, penalty).item() for penalty in (0.0, 10.0)]
    assert found[1] > found[0] + 0.01


@torch.no_grad()
def test_the_post_processor_sees_one_cell_at_a_time():
    post = _lively(PostProcessor(6, 3))
    told = torch.randn(2, 3)
    numbers = torch.tensor([[1.0, 5.0, EMPTY, 3.0, 0.2, 12.0]] * 2)
    before = post(numbers, told)
    assert (before[:, 2] == EMPTY).all()
    assert (before != numbers).sum() == 10
    numbers[:, 1] = 9.0
    after = post(numbers, told)
    assert (after == before)[:, [0, 2, 3, 4, 5]].all()
    assert (after != before)[:, 1].all()


def test_a_new_post_processor_changes_nothing():
    numbers = torch.tensor([[1.0, 5.0, EMPTY, 3.0, 0.2, 12.0]])
    assert (PostProcessor(6, 3)(numbers, torch.randn(1, 3)) == numbers).all()

"""Laws of the autoencoders: densities are normalised, and what is random has the right rates."""

from __future__ import annotations

import math

import pytest
import torch

from k4calofast.training import recipe
from k4calofast.training.crystals.families.vae import (
    VAE,
    Critic,
    Density,
    Mixtures,
    PostProcessor,
    Shared,
    contest,
    discrepancy,
    grouped,
)
from k4calofast.training.crystals.variables import CUT, EMPTY


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
def test_a_group_knows_those_before_it_and_no_others(shape, small, groups):
    settings = VAE.Settings(**small["vae"] | {"groups": groups, "later_width": 16, "kind": "vae"})
    family = recipe.build("vae", settings, shape)
    network, shared = _lively(family.autoencoder), Shared(family.variables.cell, torch.ones(1))
    latent, embedded = torch.randn(1, settings.latent), torch.randn(1, settings.embedding)
    numbers = torch.rand(1, shape.cells) * 8
    numbers[:, ::3] = math.nan
    before = network.decode(latent, embedded, numbers, shared)
    for number, group in enumerate(network.groups):
        other = numbers.clone()
        other[:, group] = other[:, group].nan_to_num(1.0) + 1
        after = network.decode(latent, embedded, other, shared)
        same = (after.logits == before.logits).all(1)[0]
        later = torch.cat([torch.zeros(0, dtype=torch.long), *network.groups[number + 1 :]])
        assert same[torch.cat(network.groups[: number + 1])].all()
        assert not same[later].any()

    # What is drawn is drawn from what training sees.
    def drawn(spectra, cells):
        return spectra.draw(torch.full((1, len(cells)), 0.7), torch.zeros(1, len(cells)))

    found = network.draw(latent, embedded, shared, drawn)
    known = torch.where(found > CUT, found, math.nan)
    spectra = network.decode(latent, embedded, known, shared)
    torch.testing.assert_close(found, drawn(spectra, torch.arange(shape.cells)))


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

"""Laws of how showers develop: probabilities are whole, and no energy is lost between layers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from k4calofast.training.layers.development import (
    Developed,
    Development,
    Mixture,
    State,
    _counted,
    draw,
)
from k4calofast.training.layers.sample import Particles

LAYERS, FEATURES = 12, 5


@pytest.fixture(scope="module")
def development():
    torch.manual_seed(5)
    network = Development(LAYERS, FEATURES, 24, 3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


def conditions(count: int):
    torch.manual_seed(6)
    momentum = torch.exp(3 * torch.rand(count))
    electron = (torch.rand(count) < 0.5).float()
    features, slope = torch.randn(count, FEATURES), 0.3 * torch.randn(count, 2)
    return features, Particles(momentum, slope, electron)


@settings(max_examples=40)
@given(st.floats(-2, 5), st.floats(-3, 1.5), st.floats(-2, 5), st.floats(-3, 1.5))
def test_numbers_of_hits_have_probabilities_that_sum_to_one(mean, width, other, wide):
    numbers = torch.tensor([[0.3, -0.4, mean, other, width, wide]])
    mixture = Mixture.of(numbers)
    count = torch.arange(1.0, 200_000.0)
    total = _counted(Mixture(*(part.expand(len(count), -1) for part in mixture)), count).exp().sum()
    assert total.item() == pytest.approx(1.0, abs=0.02)


def test_what_is_drawn_has_the_density_of_its_mixture():
    torch.manual_seed(1)
    numbers = torch.tensor([[0.0, 1.0, -0.5, -3.0, 0.0, 4.0, -1.0, 0.3, -0.5]])
    count = 40_000
    drawn = draw(numbers.expand(count, -1), 3, torch.rand(count, 1), torch.randn(count, 1))
    share = numbers[0, :3].softmax(0)
    torch.testing.assert_close(drawn.chosen.mean(0), share, atol=0.01, rtol=0)
    assert (drawn.chosen.sum(1) == 1).all()
    grid = torch.linspace(-12, 12, 2001)
    mixture = Mixture(*(part.expand(len(grid), -1) for part in Mixture.of(numbers)))
    density = mixture.likelihood(grid).exp()
    below = torch.cumulative_trapezoid(density, grid)
    assert below[-1].item() == pytest.approx(1.0, abs=1e-3)
    found = (drawn.value[:, 0][:, None] < grid[1::50]).float().mean(0)
    torch.testing.assert_close(found, below[::50], atol=0.01, rtol=0)


@torch.no_grad()
def test_layers_share_the_energy_of_the_shower(development):
    features, particles = conditions(500)
    noise, uniform = torch.randn(500, development.noise), torch.rand(500, development.uniform)
    shown = development(noise, uniform, features, particles)
    # The first number decides the total alone.
    other = development(
        torch.cat([noise[:, :1], torch.randn(500, development.noise - 1)], 1),
        torch.cat([uniform[:, :1], torch.rand(500, development.uniform - 1)], 1),
        features, particles,
    )  # fmt: skip
    assert (shown.energies >= 0).all()
    torch.testing.assert_close(shown.energies.sum(1), other.energies.sum(1), rtol=1e-4, atol=1e-6)
    lit = shown.energies > 0
    assert ((shown.hits >= 1) == lit).all()
    assert (shown.hits == shown.hits.round()).all()
    assert 0.02 < (~lit).float().mean() < 0.98


@torch.no_grad()
def test_a_state_is_the_same_seen_from_the_front_and_from_all_layers(development):
    features, particles = conditions(60)
    noise, uniform = torch.randn(60, development.noise), torch.rand(60, development.uniform)
    shown = development(noise, uniform, features, particles)
    # In single precision, little of much is not exact.
    small = (shown.energies.sum(1) > 1) & (shown.energies.sum(1) < 1e4)
    shown = Developed(*(part[small] for part in (shown.energies, shown.hits, shown.latents)))
    assert len(shown.energies) > 20
    there = State.before(shown.energies, shown.hits)
    state = State.first(shown.energies.sum(1, keepdim=True))
    left = shown.energies.flip(1).cumsum(1).flip(1)
    for layer in range(LAYERS):
        here = State(*(part[:, layer] for part in there)).features()
        torch.testing.assert_close(state.features(), here, atol=2e-3, rtol=1e-3)
        energy, hits = shown.energies[:, layer, None], shown.hits[:, layer, None]
        behind = left[:, layer + 1, None] if layer + 1 < LAYERS else torch.zeros_like(energy)
        state = state.after(layer, energy, hits, (energy > 0).float(), behind)


def test_likelihood_finds_what_was_drawn():
    """Trained on showers that another network draws, it becomes as probable as that one."""
    torch.manual_seed(2)
    truth = Development(LAYERS, FEATURES, 16, 2).eval()
    features, particles = conditions(3000)
    with torch.no_grad():
        for parameter in truth.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        noise, uniform = torch.randn(3000, truth.noise), torch.rand(3000, truth.uniform)
        shown = truth(noise, uniform, features, particles)
        best = truth.unlikelihood(shown, features, particles).item()
    network = Development(LAYERS, FEATURES, 16, 2)
    with torch.no_grad():
        before = network.unlikelihood(shown, features, particles).item()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(250):
        rows = torch.randint(0, 3000, (256,))
        part = Developed(*(column[rows] for column in shown))
        loss = network.unlikelihood(part, features[rows], particles.take(rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        after = network.unlikelihood(shown, features, particles).item()
    assert after - best < 0.15 * (before - best)

from __future__ import annotations

import copy

import pytest
import torch

from k4calofast.training import loop, recipe
from k4calofast.training.crystals.families.gan import (
    Discriminator,
    GanSettings,
    Generator,
    sizes_of,
    squared_slope,
)
from k4calofast.training.crystals.normalisation import linear_guess


@pytest.fixture
def family(small, shape):
    return recipe.build("gan", GanSettings(**small["gan"]), shape)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("window", [(11, 11), (9, 9), (7, 10)])
def test_images_have_the_window_s_size(window, extra):
    cells = window[0] * window[1]
    generator = Generator(5, 4, window, extra, 2, 8)
    numbers = generator(torch.randn(3, 5 + cells + extra), torch.randn(3, 4))
    assert numbers.shape == (3, cells + extra)
    discriminator = Discriminator(4, window, extra, 2, 8)
    assert discriminator(numbers, numbers, torch.randn(3, 4)).shape == (3, 1)


def test_images_are_halved_twice():
    assert sizes_of((11, 11)) == [(11, 11), (6, 6), (3, 3)]


def test_local_noise_reaches_the_cells_around_it_alone():
    torch.manual_seed(0)
    generator = Generator(5, 4, (11, 11), 1, 2, 8)
    noise, features = torch.randn(1, 5 + 122), torch.randn(1, 4)
    other = noise.clone()
    other[0, 5 + 5 * 11 + 5] += 1.0
    changed = (generator(noise, features) != generator(other, features))[0]
    assert not changed[-1]
    rows, columns = torch.nonzero(changed[:-1].reshape(11, 11), as_tuple=True)
    assert set(rows.tolist()) == set(columns.tolist()) == {4, 5, 6}


def test_to_start_with_showers_are_the_linear_guess_and_noise(family, sample):
    family.prepare(sample)
    features = family.features(sample.pdg, sample.conditions)
    with torch.no_grad():
        raw = family.raw(torch.randn(len(features), family.noise), features)
    _, there = linear_guess(features, family.numbers)
    _, here = linear_guess(features, raw)
    assert ((here / there).log().abs() < 0.5)[there > 0.9].all()


def test_slope_of_a_linear_critic(critic_of_slope):
    slope = squared_slope(critic_of_slope(3.0, 10).score, torch.randn(4, 10), torch.randn(4, 2))
    torch.testing.assert_close(slope, torch.full((4,), 9.0))


def test_the_generator_learns_where_the_discriminator_is_sure(family, sample):
    """Which is what non-saturating means: log(1 - D) would have no gradient there."""
    family.prepare(sample)
    (stage,) = family.stages(sample)
    gradients = []
    stage.turn = lambda which, loss: gradients.append((which, loss))
    family.critic.dense[-1].bias.data.fill_(-20.0)
    rows = torch.arange(64)
    stage.training_step(rows)
    (_, of_critic), (which, of_generator) = gradients
    assert which == 0
    assert of_generator.item() == pytest.approx(20.0, abs=1.0)
    assert of_critic.item() > 10.0


def test_the_penalty_is_paid_at_every_few_steps_in_full(family, sample, critic_of_slope):
    family.prepare(sample)
    (stage,) = family.stages(sample)
    family.critic = critic_of_slope(2.0, family.normalisation.size)
    real, features, available = stage.given(torch.arange(32))
    fake = stage.fake(features, available)
    losses = []
    for step in range(family.settings.penalty_every):
        stage.steps_done.fill_(step)
        losses.append(stage.of_critic(real, fake, features).item())
    s = family.settings
    assert losses[0] - losses[1] == pytest.approx(0.5 * s.penalty * s.penalty_every * 4.0, rel=1e-3)
    assert losses[1:] == losses[1:2] * (s.penalty_every - 1)


def test_generator_and_discriminator_learn_in_turns(family, sample, tmp_path):
    family.prepare(sample)
    before = copy.deepcopy(family.state_dict())
    (stage,) = family.stages(sample)
    family.settings = family.settings.model_copy(update={"epoch": 3})
    loop.fit(stage, tmp_path, None, loop.Run())
    now = dict(family.named_parameters())
    assert {name.split(".")[0] for name in now} == {"generator", "critic"}
    assert all(not torch.equal(now[name], before[name]) for name in now)
    assert all(parameter.requires_grad for parameter in now.values())

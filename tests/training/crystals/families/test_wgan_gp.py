from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from k4calofast.training import loop, recipe
from k4calofast.training.crystals.choice import ResponseJudge
from k4calofast.training.crystals.families.wgan_gp import Dense, WganGpSettings, gradient_penalty


def made(small, shape, **settings):
    return recipe.build("wgan_gp", WganGpSettings(**small["wgan_gp"] | settings), shape)


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.0), (0.0, 1.0), (3.0, 4.0)])
def test_the_penalty_is_the_squared_distance_of_the_slope_from_one(slope, penalty, critic_of_slope):
    found = gradient_penalty(
        critic_of_slope(slope, 12).score, torch.randn(5, 12), torch.randn(5, 3)
    )
    assert found.item() == pytest.approx(penalty, abs=1e-5)


def test_the_penalty_pulls_the_slope_towards_one(critic_of_slope):
    critic = critic_of_slope(0.2, 12)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        gradient_penalty(critic.score, torch.randn(5, 12), torch.randn(5, 3)).backward()
        optimizer.step()
    assert critic.weight.norm().item() == pytest.approx(1.0, abs=1e-3)


def test_the_loss_is_the_difference_of_means_where_the_slope_is_one(
    small, shape, sample, critic_of_slope
):
    family = made(small, shape)
    family.prepare(sample)
    (stage,) = family.stages(sample)
    family.critic = stage.critic = critic_of_slope(1.0, family.normalisation.size)
    real, features, _ = stage.given(torch.arange(64))
    loss = stage.of_critic(real, real + 0.5, features)
    assert loss.item() == pytest.approx(0.5 * family.normalisation.size**0.5, rel=1e-4)


@pytest.mark.parametrize(("steps", "learned"), [(4, False), (5, True)])
def test_the_generator_has_one_step_per_several_of_the_critic(
    small, shape, sample, tmp_path, steps, learned
):
    family = made(small, shape, steps=steps, critic_steps=5, epoch=steps)
    family.prepare(sample)
    before = copy.deepcopy(family.state_dict())
    (stage,) = family.stages(sample)
    loop.fit(stage, tmp_path, None, loop.Run())
    same = {
        network: torch.equal(now.first.weight, before[f"{network}.first.weight"])
        for network, now in (("critic", family.critic), ("generator", family.generator))
    }
    assert same == {"critic": False, "generator": not learned}


def test_the_best_epoch_is_chosen(small, shape, sample, tmp_path):
    family = made(small, shape, steps=40, epoch=10)
    family.prepare(sample)
    judge = ResponseJudge(sample, 0)
    (stage,) = family.stages(sample)
    figures = []

    class Judged:
        figure = judge.figure

        def __call__(self, stage):
            figures.append(judge(stage))
            return figures[-1]

    loop.fit(stage, tmp_path, Judged(), loop.Run())
    assert len(set(figures)) > 1
    assert judge(stage) == pytest.approx(min(figures))


def test_a_start_from_another_training_has_its_critic_too(small, shape):
    names = {name.split(".")[0] for name, _ in made(small, shape).named_parameters()}
    assert names == {"generator", "critic"}


def test_to_start_with_each_number_has_noise_of_its_own(small, shape):
    family = made(small, shape, latent=200)
    widths = family.generator.past.weight
    assert (widths != 0).sum(0).tolist() == [1] * 122 + [0] * (200 - 122 + family.features.size)


@pytest.mark.parametrize("activation", ["swish", "relu", "leaky_relu"])
def test_dense_layers_take_numbers_and_features(activation):
    network = Dense(7, 8, 3, 2, activation)
    assert network(torch.randn(4, 5), torch.randn(4, 2)).shape == (4, 2)
    assert sum(isinstance(module, nn.Linear) for module in network.modules()) == 5


def test_gradients_of_the_penalty_are_those_of_finite_differences():
    torch.manual_seed(1)
    critic = Dense(6, 5, 2, 1, "swish").double()
    numbers, features = torch.randn(3, 4).double(), torch.randn(3, 2).double()
    weight = critic.first.weight
    gradient_penalty(critic, numbers, features).backward()
    step = 1e-5
    there = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0] += sign * step
        there.append(gradient_penalty(critic, numbers, features).item())
        with torch.no_grad():
            weight[0, 0] -= sign * step
    assert weight.grad[0, 0].item() == pytest.approx((there[0] - there[1]) / (2 * step), rel=1e-4)

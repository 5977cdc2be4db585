"""Denoising diffusion: schedule, objectives, samplers."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from k4calofast.exceptions import TrainingError
from k4calofast.training import configuration
from k4calofast.training.crystals.families.diffusion import (
    QUARTER,
    Diffusion,
    DiffusionSettings,
    importance,
    led,
    mixed,
    rotated,
    sampled,
    trajectory,
)


def same(x):
    """No bound."""
    return x


@pytest.fixture
def showers():
    return torch.randn((500, 7), generator=torch.Generator().manual_seed(1)) * 0.7 + 0.2


@pytest.fixture
def noise():
    return torch.randn((500, 7), generator=torch.Generator().manual_seed(2))


def knowing(showers):
    """A network that knows which showers these are."""

    def guess(x, time):
        angle = QUARTER * float(time)
        return (math.cos(angle) * x - showers) / math.sin(angle)

    return guess


def of_width(width):
    """What a perfect network would say where showers are normal and of this width."""

    def guess(x, time):
        angle = QUARTER * float(time)
        cosine, sine = math.cos(angle), math.sin(angle)
        variance = (width * cosine) ** 2 + sine**2
        shower, noise = width**2 * cosine * x / variance, sine * x / variance
        return cosine * noise - sine * shower

    return guess


def test_mixture_goes_from_shower_to_noise_and_keeps_the_width(showers, noise):
    for time, end in ((0.0, showers), (1.0, noise)):
        mixture, _ = mixed(showers, noise, torch.full((500, 1), time))
        torch.testing.assert_close(mixture, end, atol=1e-6, rtol=0)
    unit = torch.randn((100_000, 1), generator=torch.Generator().manual_seed(3))
    other = torch.randn((100_000, 1), generator=torch.Generator().manual_seed(4))
    mixture, v = mixed(unit, other, torch.full((100_000, 1), 0.37))
    assert mixture.std() == pytest.approx(1, abs=0.01)
    assert v.std() == pytest.approx(1, abs=0.01)


def test_v_is_the_derivative_of_the_mixture(showers, noise):
    time, step = torch.full((500, 1), 0.4), 1e-3
    before, _ = mixed(showers, noise, time - step)
    after, _ = mixed(showers, noise, time + step)
    _, v = mixed(showers, noise, time)
    torch.testing.assert_close((after - before) / (2 * step * QUARTER), v, atol=1e-3, rtol=0)


@pytest.mark.parametrize("time", [0.1, 0.5, 0.9])
def test_objectives_weigh_the_error_that_they_are_named_for(showers, noise, time):
    times = torch.full((500, 1), time)
    angle = QUARTER * time
    mixture, v = mixed(showers, noise, times)
    wrong = v + 0.1
    noise_error = (math.sin(angle) * mixture + math.cos(angle) * wrong - noise) ** 2
    expected = importance(times, "noise") * (wrong - v) ** 2
    torch.testing.assert_close(noise_error, expected, atol=1e-5, rtol=1e-3)
    shower_error = (math.cos(angle) * mixture - math.sin(angle) * wrong - showers) ** 2
    snr = 1 / math.tan(angle) ** 2
    expected = importance(times, "min_snr") * (wrong - v) ** 2
    torch.testing.assert_close(min(snr, 5) * shower_error, expected, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_who_knows_the_shower_samples_it(showers, noise, steps):
    found = sampled(knowing(showers), noise, [], steps, 0.0, same)
    torch.testing.assert_close(found, showers, atol=1e-5, rtol=1e-4)


def test_steps_of_the_trajectory_are_of_second_order(noise):
    """For normal showers the flow is a change of width. With four times the steps, the error is a
    16th, or less where symmetry helps."""
    noise, width = noise.double(), 0.3
    errors = [
        float((trajectory(of_width(width), noise, 2, n, same)[-1] - width * noise).abs().max())
        for n in (8, 32)
    ]
    assert errors[1] < 1e-3
    assert errors[0] / errors[1] > 15


def test_a_student_that_learned_all_follows_the_teacher(noise):
    states = trajectory(of_width(0.3), noise, 3, 4, same)
    x = states[0]
    for before, after in pairwise(states):
        x = rotated(x, led(before, after, QUARTER / 3), QUARTER / 3)
    torch.testing.assert_close(x, states[-1], atol=1e-5, rtol=0)


def test_noise_between_steps_keeps_the_width_and_forgets_the_start():
    generator = torch.Generator().manual_seed(5)
    start = torch.randn((20_000, 1), generator=generator)
    fresh = [torch.randn((20_000, 1), generator=generator) for _ in range(99)]
    for eta, correlation in ((0.0, 1.0), (1.0, 0.0)):
        found = sampled(of_width(0.5), start, fresh, 100, eta, same)
        assert found.std() == pytest.approx(0.5, rel=0.03)
        both = torch.corrcoef(torch.stack([found[:, 0], start[:, 0]]))[0, 1]
        assert float(both) == pytest.approx(correlation, abs=0.03)


def test_noise_between_steps_is_an_input_and_not_distilled(shape):
    settings = DiffusionSettings(width=8, blocks=1, eta=1.0, distillation_steps=0, sampling_steps=5)
    assert Diffusion(settings, shape).noise == 5 * 122
    given = configuration.read(None, None, ["eta=0.5"], "diffusion")
    with pytest.raises(TrainingError, match=r"--set eta=0.5.*cannot be distilled"):
        given.settings(DiffusionSettings)

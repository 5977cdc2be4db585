"""What a step sees is a function of seed and step."""

from __future__ import annotations

import pytest
import torch

from k4calofast.exceptions import TrainingError
from k4calofast.training.crystals.choice import Judge, chi2_ndf
from k4calofast.training.loop import rows_of


def test_every_shower_comes_once_before_any_comes_again():
    assert sorted(torch.cat([rows_of(10, 5, step, 1) for step in (0, 1)]).tolist()) == [*range(10)]
    assert not torch.equal(rows_of(10, 10, 0, 1), rows_of(10, 10, 1, 1))
    torch.testing.assert_close(rows_of(10, 5, 1, 1), rows_of(10, 5, 1, 1))
    with pytest.raises(TrainingError, match="fewer than one batch"):
        rows_of(3, 5, 0, 1)


def test_chi2_is_one_for_a_permuted_sample_and_grows_with_a_shift(sample):
    totals = sample.energies.sum(1)
    assert chi2_ndf(sample, totals) == 0
    assert 1.5 < chi2_ndf(sample, totals * 1.05) < chi2_ndf(sample, totals * 1.2)


def test_a_judge_uses_the_same_noise_for_every_epoch(sample):
    class Echo(torch.nn.Module):
        noise = 3
        features = torch.nn.Module()

        def generate(self, noise, *_):
            return noise.abs()

    echo = Echo()
    echo.features.kinds = torch.zeros(1)
    assert Judge(sample, 1)(echo) == Judge(sample, 1)(echo)

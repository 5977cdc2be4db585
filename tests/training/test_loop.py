"""What a step sees is a function of seed and step."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import pytest
import torch

from k4calofast.exceptions import TrainingError
from k4calofast.training.crystals.choice import ResponseJudge
from k4calofast.training.loop import rows_of, slow
from k4calofast.training.response import chi2_ndf


def test_every_shower_comes_once_before_any_comes_again():
    assert sorted(torch.cat([rows_of(10, 5, step, 1) for step in (0, 1)]).tolist()) == [*range(10)]
    assert not torch.equal(rows_of(10, 10, 0, 1), rows_of(10, 10, 1, 1))
    torch.testing.assert_close(rows_of(10, 5, 1, 1), rows_of(10, 5, 1, 1))
    with pytest.raises(TrainingError, match="fewer than one batch"):
        rows_of(3, 5, 0, 1)


@pytest.mark.parametrize(
    ("known", "precision", "device", "wanted"),
    [
        ({"architecture": "x86_64"}, "bf16-mixed", "cpu", True),
        ({"architecture": "x86_64"}, "32-true", "cpu", False),
        ({"architecture": "x86_64"}, "bf16-mixed", "cuda", False),
        ({"architecture": "x86_64", "amx_bf16": True}, "bf16-mixed", "cpu", False),
        ({"architecture": "x86_64", "avx512_bf16": True}, "bf16-mixed", "cpu", False),
        ({"architecture": "aarch64"}, "bf16-mixed", "cpu", False),
    ],
)
def test_a_precision_that_the_processor_imitates_is_slow(
    monkeypatch, known, precision, device, wanted
):
    assert isinstance(torch.cpu.get_capabilities(), Mapping)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert slow(precision, device) is wanted


def test_chi2_is_one_for_a_permuted_sample_and_grows_with_a_shift(sample):
    given, totals = (sample.pdg, sample.conditions[:, 0]), sample.energies.sum(1)
    assert chi2_ndf(*given, totals, totals) == 0
    little, more = (chi2_ndf(*given, totals, totals * factor) for factor in (1.05, 1.2))
    assert 1.5 < little < more


def test_a_judge_uses_the_same_noise_for_every_epoch(sample):
    class Echo(torch.nn.Module):
        noise = 3
        features = torch.nn.Module()

        def generate(self, noise, *_):
            return noise.abs()

    stage = SimpleNamespace(family=Echo())
    stage.family.features.kinds = torch.zeros(1)
    assert ResponseJudge(sample, 1)(stage) == ResponseJudge(sample, 1)(stage)

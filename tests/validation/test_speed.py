"""Times per shower are those of one core, by the size of a call."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from k4calofast.generator import Model
from k4calofast.validation import speed
from k4calofast.validation.crystals.readout import Crystals


def measured_by(model, conditions, *arguments) -> speed.Speed:
    readout = Crystals(None, 0.0)
    return speed.measure(model, lambda alone: readout.calls(alone, conditions), *arguments)


def test_a_shower_alone_costs_as_much_as_a_block(model, conditions):
    measured = measured_by(model, conditions, (1, 16, 256), np.median, 0.2)
    assert [one.batch for one in measured.timings] == [1, 16, 256]
    alone, block, many = (measured.milliseconds(batch) for batch in (1, 16, 256))
    assert model.card.block == 16
    # Not all of 16: noise is drawn for the showers that are wanted.
    assert 8 < alone / block < 24
    assert many < 2 * block
    assert all(0 <= one.spread < one.milliseconds for one in measured.timings)
    assert measured.milliseconds(4096) is None


def test_one_core_is_used_whatever_the_model_uses(model, conditions, monkeypatch):
    used = []
    generate = Model.generate

    def watched(self, *arguments):
        used.append(self.threads)
        return generate(self, *arguments)

    monkeypatch.setattr(Model, "generate", watched)
    assert model.threads == 2
    measured_by(model, conditions, (1,), np.median, 0.01)
    assert set(used) == {1}


def test_batches_that_take_too_long_are_left_out(model, conditions, monkeypatch):
    milliseconds = count(0, 4)
    monkeypatch.setattr(speed, "process_time", lambda: 1e-3 * next(milliseconds))
    monkeypatch.setattr(speed, "_LONGEST", 1e-2)
    measured = measured_by(model, conditions, (1, 16, 4096), np.median, 0.01)
    assert [one.batch for one in measured.timings] == [1, 16]


def test_slow_calls_are_not_repeated(model, conditions, monkeypatch):
    seconds = iter(range(0, 1000, 5))
    monkeypatch.setattr(speed, "process_time", lambda: next(seconds))
    (one,) = measured_by(model, conditions, (1,), np.median, 1.0).timings
    assert one.calls == 1
    assert one.milliseconds == pytest.approx(5000)

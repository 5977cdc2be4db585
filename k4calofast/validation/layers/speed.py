"""How long a generator of showers in layers takes for a shower, on one core."""

from __future__ import annotations

from time import process_time

import numpy as np
import onnxruntime

from k4calofast.generator import Generator, Model
from k4calofast.machine import processor
from k4calofast.showers.layers import LayerShowers
from k4calofast.validation.layers.readout import Readout, called
from k4calofast.validation.speed import Speed, Timing

BATCHES = (1, 64)
"""Showers per call: an event with one particle, and an event with many."""

_SECONDS = 1.0
"""Spent on each batch."""

_LEAST = 5
"""Calls."""


def measure(
    model: Generator, showers: LayerShowers, readout: Readout, seconds: float = _SECONDS
) -> Speed:
    """Measure the time per shower, noise included, in one thread on a CPU.

    It is that of the process on its core: what else runs on the machine does not count. Which
    showers are in a call is random, but the same every time.

    Parameters
    ----------
    model
        The generator; one with several threads, or on a GPU, is loaded again.
    showers, readout
        Whose particles are used, and the cells.
    seconds
        For each batch, about.
    """
    alone = model
    if isinstance(model, Model) and (model.threads > 1 or model.provider != "CPUExecutionProvider"):
        alone = Model(model.folder, "cpu", 1)
    rng = np.random.default_rng(0)

    def call(batch: int) -> float:
        """Seconds for some showers."""
        part = showers.take(rng.integers(0, len(showers), batch))
        windows = readout.windows(part, rng.integers(0, readout.pixels, (batch, 2)))
        began = process_time()
        called(alone, part, windows, np.arange(batch), 0)
        return process_time() - began

    # The first call of a session is slow.
    call(1)
    timings = []
    for batch in BATCHES:
        spent: list[float] = []
        while sum(spent) < seconds or len(spent) < _LEAST:
            spent.append(call(batch))
        # Showers differ in energy, and so in time: the mean says what many of them cost.
        low, high = np.quantile(spent, [0.25, 0.75])
        timings.append(
            Timing(
                batch=batch,
                milliseconds=1e3 * float(np.mean(spent)) / batch,
                spread=1e3 * float(high - low) / 2 / batch,
                calls=len(spent),
            )
        )
    return Speed(
        processor=processor(),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        timings=timings,
    )

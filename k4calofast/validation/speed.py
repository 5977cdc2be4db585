"""How long a generator takes for a shower, on one core.

The time is that of the process, in which one thread at a time works: what else runs on the machine
does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time
from typing import Annotated

import numpy as np
import onnxruntime
from pydantic import BaseModel, ConfigDict, Field

from k4calofast.generator import Model, ShowerKeys, generate
from k4calofast.machine import processor
from k4calofast.showers.crystals import CrystalShowers

BATCHES = (1, 256, 4096)
"""Showers per call: an event with one particle, an event with many, and as many as there are."""

_SECONDS = 1.0
"""Spent on each batch."""
_LEAST = 3
"""Calls, unless they take longer than so many times the time for a batch."""
_LONGEST = 10.0
"""Seconds; a batch that would take longer for a single call is left out."""


class Timing(BaseModel):
    """Time per shower in calls of one size.

    Attributes
    ----------
    batch
        Showers per call.
    milliseconds, spread
        Per shower: median of the calls, and half the distance between their quartiles.
    calls
        How many were timed.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    batch: int
    milliseconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    spread: float
    calls: int


class Speed(BaseModel):
    """Times per shower on one core.

    Attributes
    ----------
    processor, runtime
        What they were measured on, and with.
    timings
        By batch; batches that take too long are left out.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    processor: str
    runtime: str
    timings: list[Timing]

    def milliseconds(self, batch: int) -> float | None:
        """Time per shower in calls of this size; None if it was not measured."""
        return next((one.milliseconds for one in self.timings if one.batch == batch), None)


def measure(
    model: Model,
    showers: CrystalShowers,
    batches: Sequence[int] = BATCHES,
    seconds: float = _SECONDS,
) -> Speed:
    """Measure the time per shower, noise included, in one thread on a CPU.

    Parameters
    ----------
    model
        The generator; one with several threads, or on a GPU, is loaded again.
    showers
        Whose kinds and conditions are used, one after the other.
    batches
        Showers per call, increasing.
    seconds
        For each batch, about.
    """
    alone = model
    if model.threads > 1 or model.provider != "CPUExecutionProvider":
        alone = Model(model.folder, "cpu", 1)

    def call(start: int, batch: int) -> float:
        """Seconds for the showers from this one on."""
        rows = np.arange(start, start + batch)
        chosen = rows % len(showers)
        pdg, conditions = showers.pdg[chosen], showers.conditions[chosen]
        keys = ShowerKeys.of_sample(rows, 0)
        began = process_time()
        generate(alone, pdg, conditions, keys)
        return process_time() - began

    # The first call of a session is slow.
    call(0, 1)
    timings: list[Timing] = []
    per_block = 0.0
    for batch in batches:
        # A model's blocks are filled up: the last showers of a call cost as much as a block.
        blocks = -(-batch // alone.card.block)
        if blocks * per_block > _LONGEST:
            break
        spent: list[float] = []
        while sum(spent) < seconds or (len(spent) < _LEAST and sum(spent) < _LEAST * seconds):
            spent.append(call(len(spent) * batch, batch))
        low, middle, high = np.quantile(spent, [0.25, 0.5, 0.75])
        per_block = float(middle) / blocks
        timings.append(
            Timing(
                batch=batch,
                milliseconds=1e3 * float(middle) / batch,
                spread=1e3 * float(high - low) / 2 / batch,
                calls=len(spent),
            )
        )
    return Speed(
        processor=processor(),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        timings=timings,
    )

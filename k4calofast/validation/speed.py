"""How long a generator takes for a shower, on one core.

The time is that of the process, in which one thread at a time works: what else runs on the machine
does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import process_time
from typing import Annotated, Any

import numpy as np
import onnxruntime
from pydantic import BaseModel, ConfigDict, Field

from k4calofast.generator import Model
from k4calofast.machine import processor
from k4calofast.validation.reference import Call

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
        Per shower: average of the calls, and half the distance between their quartiles.
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
        return next((of.milliseconds for of in self.timings if of.batch == batch), None)

    def words(self) -> str:
        """All of it, in a sentence."""
        times = ", ".join(f"{of.milliseconds:.3f} ms in calls of {of.batch}" for of in self.timings)
        return f"Per shower on one core ({self.processor}): {times}."


def measure(
    model: Model,
    calls: Callable[[Model], Call],
    batches: Sequence[int],
    average: Callable[[Sequence[float]], Any] = np.median,
    seconds: float = _SECONDS,
) -> Speed:
    """Measure the time per shower, noise included, in one thread on a CPU.

    Parameters
    ----------
    model
        The generator; one with several threads, or on a GPU, is loaded again.
    calls
        Of the generator that is timed: see `k4calofast.validation.reference.Readout.calls`.
    batches
        Showers per call, increasing.
    average
        Of calls.
    seconds
        For each batch, about.
    """
    alone = model
    if isinstance(model, Model) and (model.threads > 1 or model.provider != "CPUExecutionProvider"):
        alone = Model(model.folder, "cpu", 1)
    call = calls(alone)

    def spent_on(number: int, batch: int) -> float:
        """Seconds for a call."""
        prepared = call(number, batch)
        began = process_time()
        prepared()
        return process_time() - began

    # The first call of a session is slow.
    spent_on(0, 1)
    timings: list[Timing] = []
    per_block = 0.0
    for batch in batches:
        # A model's blocks are filled up: the last showers of a call cost as much as a block.
        blocks = -(-batch // alone.card.block)
        if blocks * per_block > _LONGEST:
            break
        spent: list[float] = []
        while sum(spent) < seconds or (len(spent) < _LEAST and sum(spent) < _LEAST * seconds):
            spent.append(spent_on(len(spent), batch))
        low, high = np.quantile(spent, [0.25, 0.75])
        usual = float(average(spent))
        per_block = usual / blocks
        timings.append(
            Timing(
                batch=batch,
                milliseconds=1e3 * usual / batch,
                spread=1e3 * float(high - low) / 2 / batch,
                calls=len(spent),
            )
        )
    return Speed(
        processor=processor(),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        timings=timings,
    )

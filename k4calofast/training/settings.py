"""The settings of a training, with the values that made the generator of this package.

Apart from the recipe, because the command line shows them without loading torch.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """Settings of a training.

    Attributes
    ----------
    threshold
        GeV; energies of cells below are dropped.
    width, blocks
        Size of the network.
    steps, learning_rate, batch
        Of the flow.
    jumps, midpoints
        Evaluations of the student per shower, and midpoint steps of the flow per jump.
    distillation_steps, distillation_rate, distillation_batch
        Of the distillation.
    block
        Showers per inference call on a CPU.
    seed
        Of everything random.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(default=5e-5, ge=0)
    width: int = Field(default=384, ge=8)
    blocks: int = Field(default=5, ge=1)
    steps: int = Field(default=55_000, ge=1)
    learning_rate: float = Field(default=4e-3, gt=0)
    batch: int = Field(default=1024, ge=1)
    jumps: int = Field(default=4, ge=1)
    midpoints: int = Field(default=2, ge=1)
    distillation_steps: int = Field(default=6_000, ge=1)
    distillation_rate: float = Field(default=1e-3, gt=0)
    distillation_batch: int = Field(default=512, ge=1)
    block: int = Field(default=16, ge=1)
    seed: int = Field(default=0, ge=0)

    @property
    def of_the_flow(self) -> dict[str, Any]:
        """What the flow depends on."""
        names = ("threshold", "width", "blocks", "steps", "learning_rate", "batch", "seed")
        return {name: getattr(self, name) for name in names}

"""What a family of generators is: noise, conditions and kinds to energies, and how to train it.

A family owns the modules that are exported. Its trainings are stages, run one after another by
`k4calofast.training.loop`: a stage is a Lightning module that trains one of the family's modules.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from k4calofast.generator.card import InterfaceName
from k4calofast.showers.provenance import Provenance
from k4calofast.training.configuration import Settings

Range = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """What a sample decides about a generator.

    Attributes
    ----------
    kinds
        PDG numbers, sorted.
    ranges
        Range of each condition, of all kinds together.
    window
        Cells along the two sides of a window, or of that of each layer.
    detector
        Name of the calorimeter.
    """

    kinds: list[int]
    ranges: Mapping[str, Range]
    window: tuple[int, int]
    detector: str

    @property
    def cells(self) -> int:
        """Cells in a window."""
        return self.window[0] * self.window[1]


def covering(provenance: Provenance) -> dict[str, Range]:
    """Return ranges of conditions that hold those of all kinds of particles in a sample."""
    kinds = provenance.coverage.values()
    return {
        name: (min(kind[name][0] for kind in kinds), max(kind[name][1] for kind in kinds))
        for name in sorted(provenance.covered)
    }


class Signature(NamedTuple):
    """Inputs and outputs of an exported generator.

    Attributes
    ----------
    inputs
        Examples, by name; the first dimension of each is the number of showers.
    outputs
        For each name, that of its first dimension, and its other dimensions.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, tuple[str, tuple[int, ...]]]


class Family(nn.Module, ABC):
    """A generator of one family.

    Parameters
    ----------
    settings
        Of the family.
    shape
        Of the sample.

    Attributes
    ----------
    noise, uniform
        Standard normal numbers per shower, and numbers between 0 and 1.
    blocks_per_call
        Of showers, at most, in an inference call on a CPU: more than 1 where rounding does not
        depend on how many they are.
    interface
        What the exported graph returns; see `k4calofast.generator.card.ModelCard`.
    """

    Settings: ClassVar[type[Settings]]
    interface: ClassVar[InterfaceName]
    blocks_per_call = 1
    noise: int
    uniform = 0

    def __init__(self, settings: Any, shape: Any) -> None:
        super().__init__()
        self.settings: Any = settings
        self.shape = shape
        self.features = self._features()

    @abstractmethod
    def _features(self) -> Any:
        """What tells networks of kinds and conditions."""

    @abstractmethod
    def prepare(self, sample: Any) -> None:
        """Take scales and tables from the training sample; no training."""

    @abstractmethod
    def stages(self, sample: Any) -> Iterator[Stage]:
        """Yield the trainings; each is done when the next is asked for."""

    def finish(self, sample: Any) -> None:
        """Do what comes after all trainings."""

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Take the networks of another training of this family, by the names of its state.

        Raises
        ------
        KeyError, RuntimeError
            If there is a network missing, or one of another size.
        """
        self._take_parameters(self, state, "")

    @staticmethod
    @torch.no_grad()
    def _take_parameters(module: nn.Module, state: Mapping[str, Tensor], prefix: str) -> None:
        """Scales and tables are buffers, and stay those of the sample."""
        for name, parameter in module.named_parameters():
            parameter.copy_(state[prefix + name])

    @abstractmethod
    def method(self) -> str:
        """How it was trained, in words, for the card."""

    @property
    def threshold(self) -> float:
        """GeV; its showers have no cells with less."""
        return float(self.settings.threshold)

    @property
    def block(self) -> int:
        """Showers per inference call on a CPU."""
        return int(self.settings.block)

    @property
    @abstractmethod
    def window(self) -> tuple[int, int] | tuple[int, int, int]:
        """Shape of its windows, as model cards have it."""

    def coverage(
        self, sample: Mapping[int, Mapping[str, Range]]
    ) -> dict[int, dict[str, tuple[float, float]]]:
        """Return the range of each condition, by kind, of a generator trained on such a sample."""
        return {pdg: dict(ranges) for pdg, ranges in sample.items()}

    @abstractmethod
    def signature(self, count: int) -> Signature:
        """Return example inputs for so many showers, and the names of all inputs and outputs."""

    @property
    def title(self) -> str:
        """What it is, for people."""
        title: str = type(self.settings).title
        return title


class Stage(LightningModule, ABC):
    """One training of one of a family's modules.

    Everything random in a step is drawn from torch's global generator, which the loop seeds by
    seed, stage and step: a training that goes on after a kill repeats the same steps.

    Parameters
    ----------
    name
        Of the stage: a folder's name.
    family
        Whose training this is.
    trained
        The family's module that is trained, in place.
    sample
        What it is trained on.
    steps, batch, rate
        Number of steps, showers per step, and largest learning rate.

    Attributes
    ----------
    chooses
        Whether epochs of this stage can be judged by showers that are not trained on.
    average
        Moving average of the trained module's parameters; it takes their place in the end.
    """

    chooses = False
    decay = 0.999
    warm_up = 300
    betas = (0.9, 0.99)
    weight_decay = 1e-4
    largest_gradient: float | None = 1.0
    steps_done: Tensor

    def __init__(
        self,
        name: str,
        family: Family,
        trained: nn.Module,
        sample: Any,
        steps: int,
        batch: int,
        rate: float,
    ) -> None:
        super().__init__()
        self.name, self.family, self.trained, self.sample = name, family, trained, sample
        self.steps, self.batch, self.rate = steps, batch, rate
        self.average = copy.deepcopy(trained).requires_grad_(False)
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))

    @property
    def count(self) -> int:
        """Number of rows that the steps draw from."""
        return len(self.sample)

    @abstractmethod
    def loss(self, rows: Tensor) -> Tensor:
        """Loss of the showers in these rows of the sample."""

    def training_step(self, rows: Tensor) -> Tensor:
        """Return the loss of a batch; Lightning does the rest."""
        return self.loss(rows)

    def configure_optimizers(self) -> Any:
        """AdamW along half a cosine after a short warm-up."""
        optimizer = torch.optim.AdamW(
            self.trained.parameters(),
            lr=self.rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate_at)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def rate_at(self, step: int) -> float:
        """Learning rate at a step, over the largest."""
        warm = min(1.0, (step + 1) / self.warm_up)
        return warm * 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1.0))) + 1e-4

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the trained module."""
        self.steps_done += 1
        step = int(self.steps_done)
        decay = min(self.decay, step / (step + 10))
        pairs = zip(self.average.parameters(), self.trained.parameters(), strict=True)
        for mean, now in pairs:
            mean.lerp_(now, 1 - decay)
        buffers = zip(self.average.buffers(), self.trained.buffers(), strict=True)
        for kept, current in buffers:
            kept.copy_(current)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the trained module have the averages."""
        now = copy.deepcopy(self.trained.state_dict())
        self.trained.load_state_dict(self.average.state_dict())
        was_training = self.trained.training
        self.trained.eval()
        try:
            yield
        finally:
            self.trained.load_state_dict(now)
            self.trained.train(was_training)

    def conclude(self) -> None:
        """Put the averages in place for good."""
        self.trained.load_state_dict(self.average.state_dict())
        self.trained.eval()

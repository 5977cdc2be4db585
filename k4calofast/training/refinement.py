"""Refinement of any generator: among several candidates, a classifier picks the one to keep.

A classifier is trained to tell the generator's showers from the sample's. Its odds are the ratio w
of the two densities (K. Cranmer, J. Pavez, G. Louppe, arXiv:1506.02169), which would be weights of
generated events (S. Diefenbacher et al., DCTRGAN, arXiv:2009.03796). Production wants showers of
weight one: so K candidates are generated, and one is drawn with probabilities in proportion to w,
which is sampling with importance resampling (D. Rubin, 1988). Where w is near 1, K candidates take
away (K - 1) / K of what the classifier sees. All of it is in the exported graph.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor, nn

from k4calofast.training.configuration import Settings
from k4calofast.training.family import Family, Stage
from k4calofast.training.seeds import seed_of

_LARGEST_LOGIT = 3.0
"""Odds beyond e^3 are not believed: one candidate would always win."""

_FARTHEST = 8.0
"""Widths from the mean at which numbers are cut off."""


class RefinementSettings(Settings):
    """Settings of a refinement.

    Attributes
    ----------
    candidates
        Showers generated for each that is kept.
    width, layers, dropout
        Of the classifier.
    steps, learning_rate, batch
        Of its training; a batch has as many showers of each side.
    pools
        Generated samples, each as large as the training sample.
    """

    title: ClassVar[str] = "refined"
    source: ClassVar[str] = "importance resampling"

    candidates: int = Field(default=2, ge=2, le=16)
    width: int = Field(default=384, ge=8)
    layers: int = Field(default=3, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    steps: int = Field(default=10_000, ge=1)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    batch: int = Field(default=1024, ge=1)
    pools: int = Field(default=3, ge=1)


class Classifier(nn.Module):
    """Log odds that a shower is of the sample and not of the generator.

    Parameters
    ----------
    size
        Numbers that it sees of a shower.
    settings
        Of the refinement.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, size: int, settings: RefinementSettings) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        sizes = [size] + [settings.width] * settings.layers
        parts: list[nn.Module] = []
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), nn.SiLU(), nn.Dropout(settings.dropout)]
        self.layers = nn.Sequential(*parts, nn.Linear(settings.width, 1))

    @abstractmethod
    def inputs(self, seen: Tensor, *told: Tensor) -> Tensor:
        """Return what the network sees (N, size); see `Refined`."""

    def take_scales(self, seen: Tensor, *told: Tensor) -> None:
        """Take scales from a sample."""
        inputs = self.inputs(seen, *told)
        self.mean.copy_(inputs.mean(0))
        self.spread.copy_(inputs.std(0).clamp(min=0.05))

    def forward(self, seen: Tensor, *told: Tensor) -> Tensor:
        """Log odds (N,) of showers; see `Refined` for the arguments."""
        with torch.autocast(seen.device.type, enabled=False):
            inputs = self.inputs(seen, *(column.float() for column in told))
            inputs = ((inputs - self.mean) / self.spread).clamp(-_FARTHEST, _FARTHEST)
        logits: Tensor = self.layers(inputs)
        return logits[:, 0]


class Refined(Family):
    """A generator and the classifier that picks among its candidates.

    What a classifier sees of N showers are numbers (N, ...); what it is told of the particles,
    columns of N.

    Parameters
    ----------
    settings
        Of the refinement.
    generator
        Any trained family; it stays as it is.
    """

    Settings = RefinementSettings
    settings: RefinementSettings
    classifier: Classifier

    def __init__(self, settings: RefinementSettings, generator: Family) -> None:
        super().__init__(settings, generator.shape)
        self.generator = generator.requires_grad_(False)

    @abstractmethod
    def told(self, sample: Any, rows: Tensor) -> tuple[Tensor, ...]:
        """Return what the classifier is told of particles in these rows."""

    @abstractmethod
    def pool(self, sample: Any, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Generate showers of a sample's particles.

        Returns
        -------
        tuple of Tensor
            What the classifier sees of the sample's showers, and of those.
        """

    def stages(self, sample: Any) -> Iterator[Stage]:
        """Yield the only training."""
        yield Telling(self, sample)

    def odds(self, seen: Tensor, *told: Tensor) -> Tensor:
        """Odds (N,) of candidates."""
        logits = self.classifier(seen, *told)
        odds: Tensor = logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).exp()
        return odds

    @property
    def threshold(self) -> float:
        """The generator's."""
        return self.generator.threshold

    @property
    def title(self) -> str:
        """The generator's, and that it is refined."""
        return f"{self.generator.title}, refined"

    def method(self) -> str:
        """See `Family.method`."""
        s = self.settings
        return (
            f"refined: of {s.candidates} candidates, one is drawn by "
            f"the odds of a classifier, {s.steps} steps of 2 x {s.batch} showers"
        )


def pick(candidates: Tensor, odds: Tensor, uniform: Tensor) -> Tensor:
    """Draw one of K candidates for each of N showers, with probabilities in proportion to odds.

    Parameters
    ----------
    candidates
        (K, N, cells).
    odds
        (K, N) > 0.
    uniform
        (N,) random numbers between 0 and 1.

    Returns
    -------
    Tensor
        (N, cells).
    """
    kept, summed = candidates[0], odds[0]
    for number in range(1, len(candidates)):
        summed = summed + odds[number]
        share = odds[number] / summed
        takes = uniform < share
        kept = torch.where(takes[:, None], candidates[number], kept)
        # What is left of the number is uniform again.
        uniform = torch.where(takes, uniform / share, (uniform - share) / (1 - share))
    return kept


class Telling(Stage):
    """A classifier learns to tell the sample's showers from the generator's."""

    family: Refined
    weight_decay = 1e-2

    def __init__(self, family: Refined, sample: Any) -> None:
        s = family.settings
        super().__init__(
            "refinement",
            family,
            family.classifier,
            sample,
            s.steps,
            min(s.batch, len(sample)),
            s.learning_rate,
        )
        self.pools: list[tuple[Tensor, Tensor]] = []

    def loss(self, rows: Tensor) -> Tensor:
        """See `Stage.loss`."""
        family = self.family
        if not self.pools:
            # Not before it is needed: a finished training that is taken up again needs none.
            self.pools = [self._pool(number) for number in range(family.settings.pools)]
        both = self.pools[int(torch.randint(len(self.pools), ()))]
        seen = torch.cat([showers[rows] for showers in both])
        told = (torch.cat([column, column]) for column in family.told(self.sample, rows))
        found = family.classifier(seen, *told)
        wanted = (torch.arange(len(found), device=self.device) < len(rows)).float()
        loss: Tensor = F.binary_cross_entropy_with_logits(found.float(), wanted)
        return loss

    @torch.no_grad()
    def _pool(self, number: int) -> tuple[Tensor, Tensor]:
        family = self.family
        random = torch.Generator().manual_seed(seed_of(family.settings.seed, "pool", number))
        family.generator.eval()
        with torch.autocast(self.device.type, enabled=False):
            return family.pool(self.sample, random)

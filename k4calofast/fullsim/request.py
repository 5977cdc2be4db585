"""What a sample is asked for: densities of conditions that are not the usual ones.

A request says, for bins of each condition and kind of particle, how many times as many showers it
wants there as a sample without a request has. It is a YAML file, made by `k4calofast request` or by
hand, and read as data.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from k4calofast.arrays import Floats
from k4calofast.detector import load
from k4calofast.documents import read_yaml, validated
from k4calofast.exceptions import FileFormatError, SteeringError

_MOST_BINS = 1000

Weight = Annotated[FiniteFloat, Field(gt=0)]


class Conditioned(Protocol):
    """N particles whose conditions are known: drawn ones, or showers."""

    def __len__(self) -> int: ...

    def condition(self, name: str, /) -> Floats:
        """(N,) values of a condition."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Axis(_Strict):
    """Bins of one condition.

    Attributes
    ----------
    edges
        Of the bins, rising, in the condition's unit; what is outside belongs to the first or last.
    weights
        One per bin: one of the factors of the density.
    """

    edges: Annotated[tuple[FiniteFloat, ...], Field(min_length=2, max_length=_MOST_BINS + 1)]
    weights: Annotated[tuple[Weight, ...], Field(min_length=1, max_length=_MOST_BINS)]

    @model_validator(mode="after")
    def _fit_together(self) -> Axis:
        if len(self.edges) != len(self.weights) + 1:
            raise ValueError(f"{len(self.weights)} weights need {len(self.weights) + 1} edges")
        if any(high <= low for low, high in pairwise(self.edges)):
            raise ValueError("edges must rise")
        return self

    def of(self, values: Floats) -> Floats:
        """Weights (N,) of values (N,)."""
        place = np.searchsorted(self.edges[1:-1], values, side="right")
        return np.asarray(self.weights)[place]


class OfKind(_Strict):
    """What is asked for one kind of particle.

    Attributes
    ----------
    share
        Of all showers.
    conditions
        Bins of conditions, by their names; what is not named is as without a request.
    """

    share: Annotated[float, Field(gt=0, le=1)]
    conditions: dict[str, Axis]


class Request(_Strict):
    """A density of kinds and conditions, relative to that of a sample without a request.

    Attributes
    ----------
    layout
        Name of the layout.
    detector
        Name of the calorimeter.
    origin
        Where the request comes from, in words.
    bounds
        The density is kept between them, so that no place is starved, and none takes all.
    kinds
        What is asked for each kind of particle (PDG number).
    """

    layout: Literal["k4calofast request 1"] = "k4calofast request 1"
    detector: str
    origin: str
    bounds: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(ge=1, le=100)]]
    kinds: Annotated[dict[int, OfKind], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _shares_are_all(self) -> Request:
        total = math.fsum(kind.share for kind in self.kinds.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the kinds add up to {total:.6g}, not to 1")
        return self

    def density(self, pdg: int, particles: Conditioned) -> Floats:
        """Return the density (N,) of one kind where particles are, over the usual one."""
        product = np.ones(len(particles))
        for name, axis in self.kinds[pdg].conditions.items():
            product *= axis.of(particles.condition(name))
        return np.clip(product, *self.bounds)

    def largest(self, pdg: int) -> float:
        """Return a limit that the density of a kind does not pass."""
        axes = self.kinds[pdg].conditions.values()
        return float(np.clip(math.prod(max(axis.weights) for axis in axes), *self.bounds))

    def counts(self, kinds: tuple[int, ...], mean: int) -> dict[int, int]:
        """Return the showers of each of some kinds; `mean` is what they have on average.

        Raises
        ------
        FileFormatError
            If nothing is asked for a kind.
        """
        unknown = [kind for kind in kinds if kind not in self.kinds]
        if unknown:
            raise FileFormatError(
                f"the request says nothing of kind {', '.join(map(str, unknown))}"
            )
        total = math.fsum(self.kinds[kind].share for kind in kinds)
        return {
            kind: max(1, round(mean * len(kinds) * self.kinds[kind].share / total))
            for kind in kinds
        }

    def refuse_unfit(self, detector: str, drawn: Collection[str]) -> None:
        """Refuse to simulate a calorimeter by this request, if it is not for it.

        Parameters
        ----------
        detector
            Name of the calorimeter.
        drawn
            Names of its conditions that are drawn.

        Raises
        ------
        SteeringError
            If it is for another one, or of conditions that follow from others.
        """
        if self.detector != detector:
            raise SteeringError(f"the request is for {self.detector}, but {detector} is simulated")
        for kind in self.kinds.values():
            for name in kind.conditions:
                if name not in drawn:
                    raise SteeringError(
                        f"the request is of {name}, which is not drawn in {detector}: there are "
                        f"{', '.join(drawn)}"
                    )

    def text(self) -> str:
        """Return the request as YAML that `read` takes."""
        content = self.model_dump(mode="json")
        content["kinds"] = {pdg: content["kinds"][str(pdg)] for pdg in self.kinds}
        return yaml.safe_dump(content, sort_keys=False, width=88, default_flow_style=None)

    @property
    def described(self) -> str:
        """One line for the provenance of a sample; the digest is that of the content."""
        digest = hashlib.sha256(self.text().encode()).hexdigest()
        low, high = self.bounds
        return (
            f"density {low:g} to {high:g} times the usual one, by the request {digest[:12]} "
            f"({self.origin})"
        )


def read(file: Path) -> Request:
    """Read a request.

    Raises
    ------
    FileFormatError
        If there is none, or it is wrong: the message names the field.
    UnknownDetectorError
        If it is for a calorimeter that is not known.
    """
    found = validated(Request, read_yaml(file, FileFormatError), file, FileFormatError)
    known = [condition.name for condition in load(found.detector).conditions]
    for pdg, kind in found.kinds.items():
        if unknown := sorted(set(kind.conditions) - set(known)):
            raise FileFormatError(
                f"{file}: kinds.{pdg}.conditions: no condition {', '.join(unknown)}; there are "
                f"{', '.join(known)}"
            )
    return found

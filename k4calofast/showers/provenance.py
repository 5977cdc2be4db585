"""Where samples of showers come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator


class Provenance(BaseModel):
    """Where a sample comes from: enough to make it again, if it is of `k4calofast fullsim`.

    Attributes
    ----------
    detector
        Name of the calorimeter.
    simulation
        Program and version.
    physics, physics_data
        Physics list, and what its tables are.
    range_cut
        Production cut (mm); None if it is unknown.
    magnetic_field
        Along z (T); None if it is unknown.
    geometry, sampling
        In words: what was built, and how the conditions were drawn.
    coverage
        For each kind of particle (PDG number), the range that each condition fills.
    seed, repetition
        Seed of the conditions and of the simulation, None if it is unknown; samples that differ
        in the repetition alone have the same conditions and other showers.
    software
        Version of this package.
    """

    model_config = ConfigDict(extra="forbid")

    detector: str
    simulation: str
    physics: str
    physics_data: str
    range_cut: FiniteFloat | None
    magnetic_field: FiniteFloat | None
    geometry: str
    sampling: str
    coverage: Annotated[dict[int, dict[str, tuple[FiniteFloat, FiniteFloat]]], Field(min_length=1)]
    seed: int | None
    repetition: int = 0
    software: str

    covered: ClassVar[tuple[str, ...]]
    """What the coverage has ranges of: conditions that such samples know."""

    @field_validator("coverage")
    @classmethod
    def _rising(cls, coverage: dict[int, Any]) -> dict[int, Any]:
        for pdg, ranges in coverage.items():
            if any(low > high for low, high in ranges.values()):
                raise ValueError(f"kind {pdg} has a range that ends before it begins")
        return coverage

    @model_validator(mode="after")
    def _of_all_conditions(self) -> Self:
        for pdg, ranges in self.coverage.items():
            if set(ranges) != set(self.covered):
                needed = ", ".join(sorted(self.covered))
                raise ValueError(f"provenance.coverage: kind {pdg} must have ranges for {needed}")
        return self

    def row_of(self, _column: str, /) -> tuple[int, ...]:
        """Shape of a row of a column: numbers, if not said otherwise."""
        return ()

    @property
    def described(self) -> str:
        """One line."""
        again = f", repetition {self.repetition}" if self.repetition else ""
        seed = "unknown" if self.seed is None else self.seed
        return f"{self.simulation}, {self.physics}, seed {seed}{again}"


@dataclass(frozen=True)
class Source:
    """Where any sample of showers comes from, whoever made it.

    Attributes
    ----------
    detector
        Name of the calorimeter, None where the file does not say.
    description
        Simulation, and its seed where it is known.
    seed
        None where the file does not say.
    provenance
        Of samples of `k4calofast fullsim`.
    """

    detector: str | None
    description: str
    seed: int | None = None
    provenance: Provenance | None = None

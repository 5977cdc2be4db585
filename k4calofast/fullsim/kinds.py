"""How a kind of calorimeter is simulated, and where its part is found: the folder that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from k4calofast.detector import Calorimeter
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.sampling import Chunk, Coverage


class Setup(Protocol):
    """What is simulated, and how it is written; it is passed on to processes."""

    @property
    def detector(self) -> str:
        """Name of the calorimeter."""

    @property
    def coverage(self) -> dict[int, Coverage]:
        """Ranges that conditions may fill, of each kind of particle (PDG number)."""

    @property
    def usual_momenta(self) -> tuple[float, float]:
        """GeV between which momenta lie if nothing else is asked for."""

    @property
    def usual_chunk(self) -> int:
        """Showers of one start of Geant4, which takes some seconds."""

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all materials."""

    @property
    def physics(self) -> tuple[str, ...]:
        """Names of Geant4's constructors of physics."""

    def simulate(
        self,
        chunk: Chunk,
        rng: np.random.Generator,
        seed: int,
        data: PhysicsData,
        progress: Callable[[int], None],
    ) -> tuple[Any, str]:
        """Simulate one chunk in this process.

        Parameters
        ----------
        rng, seed
            For the particles, and for Geant4.
        progress
            Called with the number of showers done, now and then.

        Returns
        -------
        showers, version
            The showers, and the version of Geant4.
        """

    def write(
        self,
        file: Path,
        chunks: list[Chunk],
        parts: Iterator[Any],
        origin: Callable[[], dict[str, Any]],
    ) -> None:
        """Write a sample.

        Parameters
        ----------
        chunks
            The sample's.
        parts
            Their showers.
        origin
            Returns the fields of `k4calofast.showers.provenance.Provenance` that all setups have in
            common; it waits for the first of the parts.
        """


def setup_of(calorimeter: Calorimeter, options: Mapping[str, Any]) -> Setup:
    """Return how a calorimeter is simulated.

    Parameters
    ----------
    options
        What is asked of it, by the names of the options of `k4calofast fullsim`; None for what is
        not. Which ones there are, the kind of the calorimeter says.

    Raises
    ------
    SteeringError
        If an option makes no sense for the calorimeter, or has no value that it can have.
    """
    kind = import_module(f"k4calofast.fullsim.{calorimeter.kind}")
    asked = {name: value for name, value in options.items() if value is not None}
    made: Setup = kind.setup(calorimeter, asked)
    return made

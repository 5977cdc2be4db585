"""Samples of showers in crystals: BESIII's, the only ones whose material is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from k4calofast.detector import Calorimeter
from k4calofast.exceptions import SteeringError
from k4calofast.fullsim.crystals import besiii
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.sampling import Chunk, log_uniform, on_request
from k4calofast.fullsim.simulation import EnergyPerCell, Simulation
from k4calofast.showers.crystals import CrystalProvenance, CrystalShowers
from k4calofast.showers.crystals.windows import WINDOWS_LAYOUT


@dataclass(frozen=True)
class CrystalWindows:
    """Showers in windows of BESIII's crystals; a `k4calofast.fullsim.kinds.Setup`."""

    coverage = besiii.COVERAGE
    usual_momenta, usual_chunk = besiii.MOMENTA, 2000

    @property
    def detector(self) -> str:
        """Name of the calorimeter."""
        return besiii.sector().barrel.name

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all materials."""
        return besiii.sector().elements

    def simulate(
        self,
        chunk: Chunk,
        rng: np.random.Generator,
        seed: int,
        data: PhysicsData,
        progress: Callable[[int], None],
    ) -> tuple[CrystalShowers, str]:
        """Simulate one chunk; see `k4calofast.fullsim.kinds.Setup`."""
        drawn = particles(chunk, rng)
        sector = besiii.sector()
        simulation = Simulation(sector, data, seed, EnergyPerCell())
        pdg = np.full(chunk.count, chunk.pdg, np.int32)
        start = drawn.position - besiii.START_GAP * drawn.momentum / drawn.conditions[:, :1]
        deposits = simulation.run(
            pdg,
            sector.to_sector(drawn.cell, start),
            sector.to_sector(drawn.cell, drawn.momentum),
            progress,
        )
        energies, beside = sector.in_window(deposits, drawn.cell, besiii.WINDOW)
        showers = CrystalShowers(
            pdg, drawn.cell.astype(np.int32), drawn.conditions, energies, beside
        )
        return showers, simulation.version

    def write(
        self,
        file: Path,
        chunks: list[Chunk],
        parts: Iterator[CrystalShowers],
        origin: Callable[[], dict[str, Any]],
    ) -> None:
        """Write a sample; see `k4calofast.fullsim.kinds.Setup`."""
        sector = besiii.sector()

        def provenance() -> CrystalProvenance:
            return CrystalProvenance(
                detector=self.detector,
                window=besiii.WINDOW,
                magnetic_field=sector.magnetic_field,
                geometry=f"all rings, {sector.columns} columns, {sector.material}, air between",
                sampling=_sampling(chunks[0]),
                coverage=besiii.COVERAGE,
                **origin(),
            )

        WINDOWS_LAYOUT.write(file, parts, provenance)


def setup(calorimeter: Calorimeter, options: Mapping[str, Any]) -> CrystalWindows:
    """Return how a calorimeter is simulated; see `k4calofast.fullsim.kinds.setup_of`.

    Raises
    ------
    SteeringError
        If it is not BESIII's, or for any option.
    """
    if calorimeter.name != (known := CrystalWindows().detector):
        raise SteeringError(f"nobody says what {calorimeter.name} is made of, as of {known}")
    for name in options:
        raise SteeringError(f"--{name} makes no sense for {known}: it has no layers")
    return CrystalWindows()


def particles(chunk: Chunk, rng: np.random.Generator) -> besiii.Drawn:
    """Draw a chunk's particles."""

    def usual(count: int) -> besiii.Drawn:
        return besiii.draw(rng, chunk.pdg, log_uniform(rng, *chunk.momentum, count))

    return on_request(rng, chunk, usual)


def _sampling(chunk: Chunk) -> str:
    asked = "" if chunk.request is None else f"; {chunk.request.described}"
    return f"{besiii.SAMPLING}{asked}"

"""Samples of showers in crystals: BESIII's, the only ones whose material is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from k4calofast.arrays import Floats, Ints
from k4calofast.detector import Calorimeter, load
from k4calofast.detector import besiii as known
from k4calofast.detector.crystals import CrystalCalorimeter
from k4calofast.exceptions import SteeringError
from k4calofast.fullsim.crystals import besiii
from k4calofast.fullsim.crystals.emc import WholeEMC, in_front, numbers_of
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.sampling import Chunk, Coverage, log_uniform, on_request
from k4calofast.fullsim.simulation import HADRONIC, CellEnergies, EnergyPerCell, Simulation
from k4calofast.showers.crystals import LAYOUT, AllHits, CrystalProvenance

USUAL_TIMED = 0.25
"""Share of a chunk's showers, its first, whose times are recorded."""


_OPTIONS = ("bare", "front", "timed")


@dataclass(frozen=True)
class CrystalSetup:
    """Showers that begin in one calorimeter of BESIII's EMC; a `k4calofast.fullsim.kinds.Setup`.

    Parameters
    ----------
    name
        Of the calorimeter that is entered.
    emc
        What is built.
    timed
        Share of the showers whose times are recorded.
    """

    name: str = known.BARREL
    emc: WholeEMC = field(default_factory=WholeEMC)
    timed: float = USUAL_TIMED

    usual_momenta, usual_chunk = besiii.MOMENTA, 2000
    physics = HADRONIC

    @property
    def detector(self) -> str:
        """Name of the calorimeter."""
        return self.name

    @property
    def calorimeter(self) -> CrystalCalorimeter:
        """The calorimeter that is entered."""
        return cast(CrystalCalorimeter, load(self.name))

    @property
    def coverage(self) -> dict[int, Coverage]:
        """Ranges that conditions may fill, of each kind of particle."""
        return besiii.coverage(self.name)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all materials."""
        return self.emc.elements

    def simulate(
        self,
        chunk: Chunk,
        rng: np.random.Generator,
        seed: int,
        data: PhysicsData,
        progress: Callable[[int], None],
    ) -> tuple[AllHits, str]:
        """Simulate one chunk; see `k4calofast.fullsim.kinds.Setup`."""
        calorimeter, drawn = self.calorimeter, self.particles(chunk, rng)
        simulation = Simulation(self.emc, data, seed, scoring := EnergyPerCell(), self.physics)
        pdg = np.full(chunk.count, chunk.pdg, np.int32)
        start, way = in_front(calorimeter, drawn.cell, drawn.position, drawn.momentum)
        n_timed = round(self.timed * chunk.count)

        def run(rows: slice, timed: bool) -> CellEnergies:
            scoring.timed = timed
            columns = pdg[rows], start[rows], drawn.momentum[rows]
            return simulation.run(*columns, lambda done: progress(rows.start + done))

        deposits = run(slice(0, n_timed), True), run(slice(n_timed, chunk.count), False)
        started = way / simulation.speed(pdg, drawn.momentum)
        showers = _showers(calorimeter, pdg, drawn, started, n_timed, deposits)
        return showers, simulation.version

    def particles(self, chunk: Chunk, rng: np.random.Generator) -> besiii.Drawn:
        """Draw a chunk's particles."""
        calorimeter = self.calorimeter
        low = max(chunk.momentum[0], self.coverage[chunk.pdg]["momentum"][0])

        def usual(count: int) -> besiii.Drawn:
            momentum = log_uniform(rng, low, chunk.momentum[1], count)
            return besiii.draw(rng, calorimeter, chunk.pdg, momentum)

        return on_request(rng, chunk, usual)

    def write(
        self,
        file: Path,
        chunks: list[Chunk],
        parts: Iterator[AllHits],
        origin: Callable[[], dict[str, Any]],
    ) -> None:
        """Write a sample; see `k4calofast.fullsim.kinds.Setup`."""
        calorimeter = self.calorimeter

        def provenance() -> CrystalProvenance:
            return CrystalProvenance(
                detector=self.name,
                window=besiii.WINDOW,
                conditions=tuple(condition.name for condition in calorimeter.conditions),
                magnetic_field=self.emc.magnetic_field,
                geometry=f"{self.emc.described}, air between",
                sampling=self._sampling(chunks[0]),
                coverage={pdg: self.coverage[pdg] for pdg in dict.fromkeys(c.pdg for c in chunks)},
                **origin(),
            )

        LAYOUT.write(file, parts, provenance)

    def _sampling(self, chunk: Chunk) -> str:
        asked = "" if chunk.request is None else f"; {chunk.request.described}"
        share = f"times of the first {self.timed:.0%} of each {chunk.count} showers"
        return f"{besiii.SAMPLING}; {share}{asked}"


def setup(calorimeter: Calorimeter, options: Mapping[str, Any]) -> CrystalSetup:
    """Return how a calorimeter is simulated; see `k4calofast.fullsim.kinds.setup_of`.

    Raises
    ------
    SteeringError
        If it is not BESIII's, or for an option of layers.
    """
    if calorimeter.name not in (known.BARREL, known.ENDCAPS):
        raise SteeringError(
            f"nobody says what {calorimeter.name} is made of, as of {known.BARREL} and "
            f"{known.ENDCAPS}"
        )
    made = CrystalSetup(
        calorimeter.name,
        WholeEMC(not options.get("bare", False), options.get("front", False)),
        options.get("timed", USUAL_TIMED),
    )
    for name in options:
        if name not in _OPTIONS:
            raise SteeringError(f"--{name} makes no sense for {calorimeter.name}: it has no layers")
    return made


def _showers(
    calorimeter: CrystalCalorimeter,
    pdg: Ints,
    drawn: besiii.Drawn,
    started: Floats,
    first: int,
    deposits: tuple[CellEnergies, CellEnergies],
) -> AllHits:
    """Make showers of what the first of the particles, and the others, deposited.

    Parameters
    ----------
    started
        (N,) ns before the entry.
    """
    event = np.concatenate([deposits[0].event, deposits[1].event + first])
    cell, energy, time = (
        np.concatenate([getattr(part, name) for part in deposits])
        for name in ("cell", "energy", "time")
    )
    offsets = np.append(0, np.cumsum(np.bincount(event, minlength=len(pdg))))
    return AllHits(
        pdg,
        drawn.cell.astype(np.int32),
        drawn.conditions,
        offsets,
        numbers_of(calorimeter)[cell].astype(np.int32),
        energy.astype(np.float32),
        np.maximum(time - started[event], 0.0).astype(np.float32),
        drawn.names,
    )

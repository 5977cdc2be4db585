"""Samples of showers in layered barrels: which particles, and what becomes of their deposits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import atan, pi
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.detector.description import BarrelDescription, describe
from k4calofast.fullsim.layer_stack import HALF_WIDTH, LayerStack, StackSimulation
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.production import Chunk
from k4calofast.fullsim.sampling import Coverage, log_uniform
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.showers import layers

Floats = npt.NDArray[np.float64]

KINDS = (22, 11, -11)
MOMENTA = (0.1, 125.0)
"""GeV that may be asked for."""

USUAL_MOMENTA = (1.0, 125.0)

STEEPEST = 1.2
"""Largest angle_t (rad) that may be asked for."""

START_GAP = 0.01
"""Particles start this far (mm) in front of the face."""

SAMPLING = (
    "where 3 in 5 particles, which come from the centre, reach the face is uniform along the "
    "beam; angle_z of 2 in 5, and angle_t of all, are uniform over the coverage"
)


def coverage(description: BarrelDescription) -> Coverage:
    """Ranges that the particles' momentum and angles fill, of each kind.

    Angles are those of straight ways from the centre to a module, and a little more.
    """
    across = pi / description.modules.count + 0.15
    along = atan(description.half_length / description.inner_radius) + 0.05
    return {"momentum": MOMENTA, "angle_t": (-across, across), "angle_z": (-along, along)}


@dataclass(frozen=True)
class LayerStacks:
    """Showers in the layers of a barrel; a `k4calofast.fullsim.production.Setup`.

    Parameters
    ----------
    detector
        Name of the barrel.
    pitch
        Size (mm) of the small cells in which deposits are counted; by default a tenth of the
        barrel's cells.
    angle_t, angle_z
        Fixed angles (rad), None for those of `SAMPLING`.
    angle_t_range
        Range (rad) that angle_t fills, in place of that of straight ways.
    """

    detector: str
    pitch: float | None = None
    angle_t: float | None = None
    angle_z: float | None = None
    angle_t_range: tuple[float, float] | None = None

    @property
    def description(self) -> BarrelDescription:
        """The barrel."""
        return describe(self.detector)

    @property
    def stack(self) -> LayerStack:
        """What is built."""
        pitch = self.pitch
        if pitch is None:
            pitch = self.description.cell_size / layers.PIXELS_PER_CELL
        return LayerStack(self.description, pitch)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all materials."""
        return self.stack.elements

    def angles(self, rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
        """Draw angle_t and angle_z (rad) of so many particles."""
        barrel = self.description
        limits = self._coverage
        angle_t = rng.uniform(*limits["angle_t"], count)
        at_face = rng.random(count) < 0.4
        slope = barrel.half_length / barrel.inner_radius
        from_centre = np.arctan(rng.uniform(-slope, slope, count))
        angle_z = np.where(at_face, rng.uniform(*limits["angle_z"], count), from_centre)
        # Those that are fixed are drawn all the same, so that they do not change the others.
        if self.angle_t is not None:
            angle_t = np.full(count, self.angle_t)
        if self.angle_z is not None:
            angle_z = np.full(count, self.angle_z)
        return angle_t, angle_z

    def simulate(
        self,
        chunk: Chunk,
        rng: np.random.Generator,
        seed: int,
        data: PhysicsData,
        progress: Callable[[int], None],
    ) -> tuple[layers.LayerShowers, str]:
        """Simulate one chunk; see `k4calofast.fullsim.production.Setup`."""
        momentum = log_uniform(rng, *chunk.momentum, chunk.count)
        angle_t, angle_z = self.angles(rng, chunk.count)
        way = np.stack([np.ones(chunk.count), np.tan(angle_t), np.tan(angle_z)], axis=1)
        gap = START_GAP * way
        direction = way / np.linalg.norm(way, axis=1)[:, None]
        pdg = np.full(chunk.count, chunk.pdg, np.int32)
        simulation = StackSimulation(self.stack, data, seed)
        pixels = simulation.run(pdg, -gap, momentum[:, None] * direction, progress)
        # All kinds are as fast as light here: at 0.1 GeV an electron lacks 1e-5 of that.
        at_face = np.linalg.norm(gap, axis=1) / LIGHT_SPEED
        time = pixels.time - np.repeat(at_face, np.diff(pixels.offsets))
        showers = layers.LayerShowers(
            pdg,
            momentum,
            angle_t,
            angle_z,
            pixels.offsets,
            pixels.layer,
            pixels.column,
            pixels.row,
            pixels.energy,
            time.astype(np.float32),
        )
        return showers, simulation.version

    def write(
        self,
        file: Path,
        chunks: list[Chunk],
        parts: Iterator[layers.LayerShowers],
        origin: Callable[[], dict[str, Any]],
    ) -> None:
        """Write a sample; see `k4calofast.fullsim.production.Setup`."""
        stack = self.stack
        slices = len(self.description.stack)

        def provenance() -> layers.LayerProvenance:
            return layers.LayerProvenance(
                detector=self.detector,
                pitch=stack.pitch,
                magnetic_field=stack.magnetic_field,
                geometry=f"all {slices} slices, {2 * HALF_WIDTH:g} mm wide, air around",
                sampling=self._sampling,
                coverage={chunk.pdg: self._filled(chunks) for chunk in chunks},
                **origin(),
            )

        layers.write(file, parts, provenance)

    def _filled(self, chunks: list[Chunk]) -> Coverage:
        """Ranges that a sample fills: no more than is covered."""
        low, high = zip(*(chunk.momentum for chunk in chunks), strict=True)
        filled = self._coverage | {"momentum": (min(low), max(high))}
        if self.angle_t is not None:
            filled["angle_t"] = (self.angle_t, self.angle_t)
        if self.angle_z is not None:
            filled["angle_z"] = (self.angle_z, self.angle_z)
        return filled

    @property
    def _coverage(self) -> Coverage:
        """Ranges from which angles are drawn."""
        covered = coverage(self.description)
        return covered if self.angle_t_range is None else covered | {"angle_t": self.angle_t_range}

    @property
    def _sampling(self) -> str:
        fixed = {"angle_t": self.angle_t, "angle_z": self.angle_z}
        said = [f"{name} {value:g} rad" for name, value in fixed.items() if value is not None]
        if self.angle_t_range is not None:
            low, high = self.angle_t_range
            said.append(f"angle_t {low:g} to {high:g} rad")
        return "; ".join([SAMPLING, *(f"but {part}" for part in said)])

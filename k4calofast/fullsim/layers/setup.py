"""Samples of showers in layers: which particles, and what becomes of their deposits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import atan, pi
from pathlib import Path
from typing import Any

import numpy as np

from k4calofast.arrays import Floats
from k4calofast.detector import Calorimeter, LayeredCalorimeter
from k4calofast.detector.description import Description, EndcapDescription
from k4calofast.exceptions import SteeringError
from k4calofast.fullsim import sampling
from k4calofast.fullsim.layers.stack import HALF_WIDTH, LayerStack, Silicon
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.sampling import Chunk, Coverage, log_uniform, on_request, refuse_beyond
from k4calofast.fullsim.simulation import ELECTROMAGNETIC, Simulation
from k4calofast.incidence.transport import LIGHT_SPEED
from k4calofast.showers.layers import PIXELS_PER_CELL, LayerProvenance, LayerShowers, write

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

SAMPLING_OF_ENDCAPS = (
    "where 3 in 5 particles, which come from the centre, reach the face is uniform in radius and "
    "azimuth; both angles of 2 in 5 are uniform over the coverage; the plate at positive z"
)


def coverage(description: Description) -> Coverage:
    """Ranges that the particles' momentum and angles fill, of each kind.

    Angles are those of straight ways from the centre to a module, and a little more.
    """
    if isinstance(description, EndcapDescription):
        steepest = atan(_slopes(description)[1]) + 0.05
        angles = (-steepest, steepest)
        return {"momentum": MOMENTA, "angle_t": angles, "angle_z": angles}
    across = pi / description.modules.count + 0.15
    along = atan(description.half_length / description.inner_radius) + 0.05
    return {"momentum": MOMENTA, "angle_t": (-across, across), "angle_z": (-along, along)}


def _slopes(description: EndcapDescription) -> tuple[float, float]:
    """Smallest and largest slope, to the beam, of straight ways from the centre to a plate."""
    plates = description.plates
    return plates.inner / description.distance, plates.corner / description.distance


@dataclass(frozen=True)
class Drawn(sampling.Drawn):
    """N particles at the front face.

    Attributes
    ----------
    conditions
        (N, 3) momentum (GeV), angle_t and angle_z (rad).
    """

    names = LayerShowers.conditions_known


@dataclass(frozen=True)
class LayerStacks:
    """Showers in the layers of a calorimeter; a `k4calofast.fullsim.kinds.Setup`.

    Parameters
    ----------
    description
        The calorimeter.
    pitch
        Size (mm) of the small cells in which deposits are counted; by default a tenth of the
        calorimeter's cells.
    angle_t, angle_z
        Fixed angles (rad), None for those of `SAMPLING`.
    angle_t_range
        Range (rad) that angle_t fills, in place of that of straight ways.
    """

    description: Description
    pitch: float | None = None
    angle_t: float | None = None
    angle_z: float | None = None
    angle_t_range: tuple[float, float] | None = None

    usual_momenta, usual_chunk = USUAL_MOMENTA, 200
    physics = ELECTROMAGNETIC

    @property
    def detector(self) -> str:
        """Name of the calorimeter."""
        return self.description.name

    @property
    def coverage(self) -> dict[int, Coverage]:
        """Ranges that conditions may fill, of each kind of particle."""
        return dict.fromkeys(KINDS, coverage(self.description))

    @property
    def stack(self) -> LayerStack:
        """What is built."""
        pitch = self.pitch
        if pitch is None:
            pitch = self.description.cell_size / PIXELS_PER_CELL
        return LayerStack(self.description, pitch)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all materials."""
        return self.stack.elements

    def angles(self, rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
        """Draw angle_t and angle_z (rad) of so many particles."""
        described, limits = self.description, self._coverage
        angle_t = rng.uniform(*limits["angle_t"], count)
        at_face = rng.random(count) < 0.4
        if isinstance(described, EndcapDescription):
            slope, phi = rng.uniform(*_slopes(described), count), rng.uniform(-pi, pi, count)
            from_centre = np.arctan(slope * np.sin(phi))
            angle_t = np.where(at_face, angle_t, np.arctan(slope * np.cos(phi)))
        else:
            steepest = described.half_length / described.inner_radius
            from_centre = np.arctan(rng.uniform(-steepest, steepest, count))
        angle_z = np.where(at_face, rng.uniform(*limits["angle_z"], count), from_centre)
        # Those that are fixed are drawn all the same, so that they do not change the others.
        if self.angle_t is not None:
            angle_t = np.full(count, self.angle_t)
        if self.angle_z is not None:
            angle_z = np.full(count, self.angle_z)
        return angle_t, angle_z

    def particles(self, chunk: Chunk, rng: np.random.Generator) -> Drawn:
        """Draw a chunk's particles."""

        def usual(count: int) -> Drawn:
            momentum = log_uniform(rng, *chunk.momentum, count)
            return Drawn(np.stack([momentum, *self.angles(rng, count)], axis=1))

        return on_request(rng, chunk, usual)

    def simulate(
        self,
        chunk: Chunk,
        rng: np.random.Generator,
        seed: int,
        data: PhysicsData,
        progress: Callable[[int], None],
    ) -> tuple[LayerShowers, str]:
        """Simulate one chunk; see `k4calofast.fullsim.kinds.Setup`."""
        momentum, angle_t, angle_z = self.particles(chunk, rng).conditions.T.copy()
        way = np.stack([np.ones(chunk.count), np.tan(angle_t), np.tan(angle_z)], axis=1)
        gap = START_GAP * way
        direction = way / np.linalg.norm(way, axis=1)[:, None]
        pdg = np.full(chunk.count, chunk.pdg, np.int32)
        stack = self.stack
        simulation = Simulation(stack, data, seed, Silicon(stack))
        pixels = simulation.run(pdg, -gap, momentum[:, None] * direction, progress)
        # All kinds are as fast as light here: at 0.1 GeV an electron lacks 1e-5 of that.
        at_face = np.linalg.norm(gap, axis=1) / LIGHT_SPEED
        time = pixels.time - np.repeat(at_face, np.diff(pixels.offsets))
        showers = LayerShowers(
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
        parts: Iterator[LayerShowers],
        origin: Callable[[], dict[str, Any]],
    ) -> None:
        """Write a sample; see `k4calofast.fullsim.kinds.Setup`."""
        stack = self.stack
        slices = len(self.description.stack)

        def provenance() -> LayerProvenance:
            return LayerProvenance(
                detector=self.detector,
                pitch=stack.pitch,
                magnetic_field=stack.magnetic_field,
                geometry=f"all {slices} slices, {2 * HALF_WIDTH:g} mm wide, air around",
                sampling=self._sampling(chunks[0]),
                coverage={chunk.pdg: self._filled(chunks) for chunk in chunks},
                **origin(),
            )

        write(file, parts, provenance)

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

    def _sampling(self, chunk: Chunk) -> str:
        fixed = {"angle_t": self.angle_t, "angle_z": self.angle_z}
        said = [f"{name} {value:g} rad" for name, value in fixed.items() if value is not None]
        if self.angle_t_range is not None:
            low, high = self.angle_t_range
            said.append(f"angle_t {low:g} to {high:g} rad")
        asked = [] if chunk.request is None else [chunk.request.described]
        endcaps = isinstance(self.description, EndcapDescription)
        usual = SAMPLING_OF_ENDCAPS if endcaps else SAMPLING
        return "; ".join([usual, *(f"but {part}" for part in said), *asked])


def setup(calorimeter: Calorimeter, options: Mapping[str, Any]) -> LayerStacks:
    """Return how a calorimeter is simulated; see `k4calofast.fullsim.kinds.setup_of`.

    Parameters
    ----------
    options
        Those of `LayerStacks`.

    Raises
    ------
    SteeringError
        If an angle is beyond what is covered, or fixed and in a range, or for a crystals' option.
    """
    for name in options:
        if name in ("bare", "front", "timed"):
            raise SteeringError(f"--{name} makes no sense for {calorimeter.name}: it has layers")
    assert isinstance(calorimeter, LayeredCalorimeter)  # noqa: S101 - for the type checker
    asked = {name.replace("-", "_"): value for name, value in options.items()}
    made = LayerStacks(calorimeter.description, **asked)
    covered = coverage(made.description)
    if made.angle_t is not None and made.angle_t_range is not None:
        raise SteeringError("--angle-t fixes the angle, --angle-t-range fills a range: take one")
    for name, value in (("angle_t", made.angle_t), ("angle_z", made.angle_z)):
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            refuse_beyond(option, "rad", covered[name], (value, value))
    if made.angle_t_range is not None:
        refuse_beyond("--angle-t-range", "rad", (-STEEPEST, STEEPEST), made.angle_t_range)
    return made

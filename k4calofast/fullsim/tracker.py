"""Particles through the material in front of a calorimeter: what a tracker-only job writes.

A world without the calorimeter: particles convert, radiate, curl up and stop on their way, and
what is left flies out of the world. MCParticles are kept as ddsim keeps them: those of the input,
and secondaries with more than `KEPT_ENERGY`, with endpoints and status bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from k4calofast.arrays import Indices
from k4calofast.detector import besiii
from k4calofast.events.columns import Particles
from k4calofast.events.edm4hep import (
    CREATED_IN_SIMULATION_BIT,
    DECAYED_IN_TRACKER_BIT,
    LEFT_DETECTOR_BIT,
    NOT_PARENTS_ENDPOINT_BIT,
    STOPPED_BIT,
)
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.simulation import Geant4, Primary, World

KEPT_ENERGY = 1e-3
"""GeV of kinetic energy from which secondaries are kept; ddsim's default."""

_GEV = 1e-3  # per MeV, Geant4's unit
_ON_WORLD = 1.0  # mm


@dataclass(frozen=True)
class Layer:
    """A cylinder of material around z: name, NIST material, radii, half length, middle (mm)."""

    name: str
    material: str
    inner: float
    outer: float
    half_length: float
    density: float | None = None
    """mg/cm3, where it is not the material's own."""
    middle: float = 0.0


BESIII = (
    Layer("beam_pipe", "G4_Be", 31.5, 33.7, 150.0),
    Layer("mdc_inner_wall", "G4_C", 59.0, 60.2, 1150.0, 1570.0),
    Layer("mdc_gas", "G4_PROPANE", 60.2, 800.0, 1150.0, 0.83),
    Layer("mdc_outer_wall", "G4_C", 800.0, 811.5, 1150.0, 1570.0),
    Layer("tof_1", "G4_PLASTIC_SC_VINYLTOLUENE", 815.0, 865.0, 1150.0),
    Layer("tof_2", "G4_PLASTIC_SC_VINYLTOLUENE", 870.0, 920.0, 1150.0),
)
"""What BESIII has between the beam and its calorimeter, in cylinders: about 0.4 radiation lengths.
See M. Ablikim et al., Nucl. Instrum. Meth. A 614 (2010) 345; the mixture of helium and propane
is propane of the mixture's density."""

BESIII_ENDS = tuple(
    Layer("tof_end", "G4_PLASTIC_SC_VINYLTOLUENE", 410.0, 890.0, 24.0, middle=middle)
    for middle in (-1354.0, 1354.0)
)
"""Its time of flight counters in front of the endcaps, 48 mm thick."""

ELEMENTS = (1, 4, 6, 7, 8, 18)
WORLD = 1500.0
"""mm, half a side."""


@dataclass
class Track:
    """An MCParticle of one event; ``process`` is what ended it."""

    parent: int
    """Its parent's number in the event, -1 for none."""
    pdg: int
    charge: float
    mass: float
    time: float
    vertex: tuple[float, ...]
    momentum: tuple[float, ...]
    endpoint: tuple[float, ...] = ()
    momentum_at_endpoint: tuple[float, ...] = ()
    process: str = ""
    generator_status: int = 0
    simulator_status: int = 0

    @property
    def kinetic_energy(self) -> float:
        """GeV, at the start."""
        return float(np.hypot(np.linalg.norm(self.momentum), self.mass)) - self.mass


class TrackerSimulation:
    """Geant4 with layers and a field, but no calorimeter; there can be one in a process."""

    def __init__(self, data: PhysicsData, seed: int, layers: tuple[Layer, ...] = BESIII) -> None:
        self._tracks: dict[int, Track] = {}
        self._geant4 = Geant4(_Cylinders(layers), data, seed, lambda g4: _watch(g4, self._tracks))

    def simulate(self, particles: Particles) -> Iterator[list[Track]]:
        """Yield the MCParticles of each event; its input's final particles are the primaries."""
        for first, last in zip(particles.offsets[:-1], particles.offsets[1:], strict=True):
            rows = np.arange(first, last)
            rows = rows[particles.generator_status[rows] == 1]
            columns = (particles.pdg, particles.vertex, particles.momentum)
            self._tracks.clear()
            self._geant4.shoot(
                [Primary(*row) for row in zip(*(c[rows].tolist() for c in columns), strict=True)]
            )
            yield _kept(self._tracks, len(rows))


_INTEGERS = {"pdg", "generator_status", "simulator_status"}
_REALS = {"charge", "time", "mass", "vertex", "endpoint", "momentum", "momentum_at_endpoint"}


def columns(events: list[list[Track]]) -> tuple[Particles, tuple[Indices, Indices]]:
    """MCParticles of events as columns, and the children and parents (indices in the event)."""
    tracks = [track for event in events for track in event]
    members: dict[str, Any] = {
        name: np.array([getattr(track, name) for track in tracks], type_)
        for names, type_ in ((_INTEGERS, np.int32), (_REALS, np.float64))
        for name in names
    }
    parent = np.array([track.parent for track in tracks], np.int64)
    own = np.concatenate([np.arange(len(event)) for event in events])
    offsets = np.cumsum([0] + [len(event) for event in events])
    first = np.repeat(offsets[:-1], np.diff(offsets))
    has = parent >= 0
    relations = {"parent": (parent + first)[has], "child": (own + first)[has]}
    return Particles(offsets=offsets, **members, **relations), (own, parent)


def _kept(tracks: dict[int, Track], primaries: int) -> list[Track]:
    """Tracks of one event, by Geant4's numbers, as ddsim keeps them."""
    kept, place = list[Track](), dict[int, int]()
    for number, track in sorted(tracks.items()):
        primary = number <= primaries
        if not primary and track.kinetic_energy < KEPT_ENERGY:
            continue
        # The nearest ancestor that is kept.
        parent = track.parent
        while parent and parent not in place:
            parent = tracks[parent].parent
        status = 0 if primary else 1 << CREATED_IN_SIMULATION_BIT
        if max(map(abs, track.endpoint)) > WORLD - _ON_WORLD:
            status |= 1 << LEFT_DETECTOR_BIT
        elif track.process != "Transportation":
            status |= 1 << DECAYED_IN_TRACKER_BIT
        if not any(track.momentum_at_endpoint):
            status |= 1 << STOPPED_BIT
        if parent and np.linalg.norm(np.subtract(track.vertex, tracks[parent].endpoint)) > 1e-3:
            status |= 1 << NOT_PARENTS_ENDPOINT_BIT
        place[number] = len(kept)
        kept.append(
            replace(
                track,
                parent=place.get(parent, -1),
                generator_status=int(primary),
                simulator_status=status,
            )
        )
    return kept


def _triple(vector: Any, unit: float = 1.0) -> tuple[float, float, float]:
    return (vector.x * unit, vector.y * unit, vector.z * unit)


def _watch(g4: Any, tracks: dict[int, Track]) -> Any:
    """Follow the tracks of an event, by Geant4's numbers."""

    class Tracking(g4.G4UserTrackingAction):  # type: ignore[misc]
        def PreUserTrackingAction(self, track: Any) -> None:  # noqa: N802 - Geant4's name
            definition = track.GetDefinition()
            tracks[track.GetTrackID()] = Track(
                track.GetParentID(),
                definition.GetPDGEncoding(),
                definition.GetPDGCharge(),
                definition.GetPDGMass() * _GEV,
                track.GetGlobalTime(),
                _triple(track.GetPosition()),
                _triple(track.GetMomentum(), _GEV),
            )

        def PostUserTrackingAction(self, track: Any) -> None:  # noqa: N802
            ended = tracks[track.GetTrackID()]
            process = track.GetStep().GetPostStepPoint().GetProcessDefinedStep()
            ended.endpoint = _triple(track.GetPosition())
            ended.momentum_at_endpoint = _triple(track.GetMomentum(), _GEV)
            ended.process = process.GetProcessName() if process else "Transportation"

    return Tracking()


def place_layers(world: World, layers: tuple[Layer, ...]) -> None:
    """Place layers in a world."""
    g4 = world.g4
    for layer in layers:
        material = world.nist.FindOrBuildMaterial(layer.material)
        if layer.density is not None:
            density = layer.density * g4.mg / g4.cm3
            own = (layer.name, layer.material, density)
            material = world.nist.BuildMaterialWithNewDensity(*own)
        size = (layer.inner, layer.outer, layer.half_length)
        tube = g4.G4Tubs(layer.name, *size, 0, 2 * np.pi)
        where = g4.G4ThreeVector(0.0, 0.0, layer.middle)
        world.place(world.volume(tube, material), None, where)


@dataclass(frozen=True)
class _Cylinders:
    """Layers in BESIII's field, a `k4calofast.fullsim.simulation.Volumes`."""

    layers: tuple[Layer, ...]
    field = (0.0, 0.0, besiii.MAGNETIC_FIELD)

    def construct(self, g4: Any) -> tuple[World, list[Any]]:
        world = World(g4, WORLD, WORLD, WORLD)
        place_layers(world, self.layers)
        return world, []

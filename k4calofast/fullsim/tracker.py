"""Particles through the material in front of a calorimeter: what a tracker-only job writes.

A world without the calorimeter: particles convert, radiate, curl up and stop on their way, and
what is left flies out of the world. MCParticles are kept as ddsim keeps them: those of the input,
and secondaries with more than `KEPT_ENERGY`, with endpoints and status bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

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
from k4calofast.fullsim.simulation import Geant4, ParticleGun, field_along_z

KEPT_ENERGY = 1e-3
"""GeV of kinetic energy from which secondaries are kept; ddsim's default."""

_GEV = 1e-3  # per MeV, Geant4's unit
_ON_WORLD = 1.0  # mm


@dataclass(frozen=True)
class Layer:
    """A cylinder of material around z: name, NIST material, radii and half length (mm)."""

    name: str
    material: str
    inner: float
    outer: float
    half_length: float
    density: float | None = None
    """mg/cm3, where it is not the material's own."""


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

ELEMENTS = (1, 4, 6, 7, 8, 18)
WORLD = 1500.0
"""mm, half a side."""


@dataclass
class Tracks:
    """MCParticles of one event, a list per member."""

    pdg: list[int] = field(default_factory=list)
    generator_status: list[int] = field(default_factory=list)
    simulator_status: list[int] = field(default_factory=list)
    charge: list[float] = field(default_factory=list)
    time: list[float] = field(default_factory=list)
    mass: list[float] = field(default_factory=list)
    vertex: list[tuple[float, ...]] = field(default_factory=list)
    endpoint: list[tuple[float, ...]] = field(default_factory=list)
    momentum: list[tuple[float, ...]] = field(default_factory=list)
    momentum_at_endpoint: list[tuple[float, ...]] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    """Index of each particle's parent, -1 for none."""

    def __len__(self) -> int:
        return len(self.pdg)


class TrackerSimulation:
    """Geant4 with layers and a field, but no calorimeter; there can be one in a process."""

    def __init__(self, data: PhysicsData, seed: int, layers: tuple[Layer, ...] = BESIII) -> None:
        self._recorder = _Recorder()
        self._geant4 = Geant4(
            data,
            seed,
            lambda g4, keep: _construction(g4, keep, layers),
            lambda g4: [_tracking(g4, self._recorder)],
        )

    def simulate(self, particles: Particles) -> Iterator[Tracks]:
        """Yield the MCParticles of each event; its input's final particles are the primaries."""
        for first, last in zip(particles.offsets[:-1], particles.offsets[1:], strict=True):
            rows = np.arange(first, last)
            rows = rows[particles.generator_status[rows] == 1]
            self._recorder.clear()
            self._geant4.shoot(
                [
                    ParticleGun(
                        int(particles.pdg[row]),
                        tuple(particles.vertex[row]),
                        tuple(particles.momentum[row]),
                    )
                    for row in rows
                ]
            )
            yield self._recorder.tracks(len(rows))


def columns(events: list[Tracks]) -> tuple[Particles, tuple[npt.NDArray[np.int64], ...]]:
    """MCParticles of events as columns, and the children and parents (indices in the event)."""

    def member(name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.array([value for tracks in events for value in getattr(tracks, name)], dtype)

    parent = member("parent", np.int64)
    own = np.concatenate([np.arange(len(tracks)) for tracks in events])
    offsets = np.cumsum([0] + [len(tracks) for tracks in events])
    first = np.repeat(offsets[:-1], np.diff(offsets))
    return Particles(
        offsets=offsets,
        pdg=member("pdg", np.int32),
        generator_status=member("generator_status", np.int32),
        simulator_status=member("simulator_status", np.int32),
        charge=member("charge", np.float64),
        time=member("time", np.float64),
        mass=member("mass", np.float64),
        vertex=member("vertex", np.float64),
        endpoint=member("endpoint", np.float64),
        momentum=member("momentum", np.float64),
        momentum_at_endpoint=member("momentum_at_endpoint", np.float64),
        parent=(parent + first)[parent >= 0],
        child=(own + first)[parent >= 0],
    ), (own, parent)


class _Recorder:
    """Tracks of the current event, as Geant4 goes through them."""

    def clear(self) -> None:
        self.begun: dict[int, tuple[Any, ...]] = {}
        self.ended: dict[int, tuple[Any, ...]] = {}

    def tracks(self, primaries: int) -> Tracks:
        tracks, index = Tracks(), dict[int, int]()
        for number in sorted(self.begun):
            parent, pdg, charge, mass, time, vertex, momentum = self.begun[number]
            endpoint, momentum_at_endpoint, process = self.ended[number]
            p2 = sum(p * p for p in momentum)
            primary = number <= primaries
            if not primary and np.sqrt(p2 + mass**2) - mass < KEPT_ENERGY:
                continue
            # The nearest ancestor that is kept.
            while parent and parent not in index:
                parent = self.begun[parent][0]
            status = 0 if primary else 1 << CREATED_IN_SIMULATION_BIT
            if max(map(abs, endpoint)) > WORLD - _ON_WORLD:
                status |= 1 << LEFT_DETECTOR_BIT
            elif process != "Transportation":
                status |= 1 << DECAYED_IN_TRACKER_BIT
            if not any(momentum_at_endpoint):
                status |= 1 << STOPPED_BIT
            if parent and np.linalg.norm(np.subtract(vertex, self.ended[parent][0])) > 1e-3:
                status |= 1 << NOT_PARENTS_ENDPOINT_BIT
            index[number] = len(tracks)
            tracks.parent.append(index.get(parent, -1))
            tracks.pdg.append(pdg)
            tracks.generator_status.append(1 if primary else 0)
            tracks.simulator_status.append(status)
            tracks.charge.append(charge)
            tracks.time.append(time)
            tracks.mass.append(mass)
            tracks.vertex.append(vertex)
            tracks.endpoint.append(endpoint)
            tracks.momentum.append(momentum)
            tracks.momentum_at_endpoint.append(momentum_at_endpoint)
        return tracks


def _triple(vector: Any, unit: float = 1.0) -> tuple[float, float, float]:
    return (vector.x * unit, vector.y * unit, vector.z * unit)


def _tracking(g4: Any, recorder: _Recorder) -> Any:
    class Tracking(g4.G4UserTrackingAction):  # type: ignore[misc]
        def PreUserTrackingAction(self, track: Any) -> None:  # noqa: N802 - Geant4's name
            definition = track.GetDefinition()
            recorder.begun[track.GetTrackID()] = (
                track.GetParentID(),
                definition.GetPDGEncoding(),
                definition.GetPDGCharge(),
                definition.GetPDGMass() * _GEV,
                track.GetGlobalTime(),
                _triple(track.GetPosition()),
                _triple(track.GetMomentum(), _GEV),
            )

        def PostUserTrackingAction(self, track: Any) -> None:  # noqa: N802
            process = track.GetStep().GetPostStepPoint().GetProcessDefinedStep()
            recorder.ended[track.GetTrackID()] = (
                _triple(track.GetPosition()),
                _triple(track.GetMomentum(), _GEV),
                process.GetProcessName() if process else "Transportation",
            )

    return Tracking()


def _construction(g4: Any, keep: list[Any], layers: tuple[Layer, ...]) -> Any:
    class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
        def Construct(self) -> Any:  # noqa: N802
            nist = g4.G4NistManager.Instance()
            air = nist.FindOrBuildMaterial("G4_AIR")
            solid = g4.G4Box("world", WORLD, WORLD, WORLD)
            world = g4.G4LogicalVolume(solid, air, "world")
            nowhere = g4.G4ThreeVector()
            placed = g4.G4PVPlacement(None, nowhere, world, "world", None, False, 0, False)
            keep.extend([nist, air, solid, world, placed])
            for layer in layers:
                material = nist.FindOrBuildMaterial(layer.material)
                if layer.density is not None:
                    density = layer.density * g4.mg / g4.cm3
                    material = nist.BuildMaterialWithNewDensity(layer.name, layer.material, density)
                tube = g4.G4Tubs(
                    layer.name, layer.inner, layer.outer, layer.half_length, 0, 2 * np.pi
                )
                volume = g4.G4LogicalVolume(tube, material, layer.name)
                place = g4.G4PVPlacement(None, nowhere, volume, layer.name, world, False, 0, False)
                keep.extend([material, tube, volume, place])
            return placed

        def ConstructSDandField(self) -> None:  # noqa: N802
            field_along_z(g4, besiii.MAGNETIC_FIELD, keep)

    return Construction()

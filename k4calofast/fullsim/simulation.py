"""One Geant4 in one process: single particles in, energies per cell out.

Scoring stays in C++ (G4MultiFunctionalDetector with G4PSEnergyDeposit on the copy numbers
of the cells); Python is entered once per event.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats
from k4calofast.exceptions import MissingExtraError
from k4calofast.fullsim.physics_data import PhysicsData

Result = TypeVar("Result", covariant=True)

PHYSICS = "G4EmStandardPhysics"
RANGE_CUT = 0.7
"""mm, Geant4's default."""


class Volumes(Protocol):
    """A detector to be built in Geant4."""

    @property
    def magnetic_field(self) -> float:
        """Along z (T)."""

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all its materials."""

    def construct(self, g4: Any, keep: list[Any]) -> tuple[Any, list[Any]]:
        """Build it.

        Parameters
        ----------
        g4
            The module `geant4_pybind`.
        keep
            Everything that Python must not forget while Geant4 runs goes in here.

        Returns
        -------
        world, sensitive
            The world's physical volume, and the logical volumes that count energy by the
            copy number of their placements.
        """


@dataclass(frozen=True)
class CellEnergies:
    """Energies deposited in N events: one row per event and cell.

    Attributes
    ----------
    event, cell
        (rows,) number of the event in its batch, copy number of the cell.
    energy
        (rows,) GeV.
    """

    event: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int64]
    energy: Floats


def require_geant4() -> None:
    """Make sure that processes which simulate will find Geant4, without starting it here.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    if find_spec("geant4_pybind") is None:
        raise MissingExtraError("full simulation needs Geant4: pip install 'k4calofast[fullsim]'")


def load_geant4(data: PhysicsData) -> Any:
    """Import `geant4_pybind` with its data in place.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    os.environ.update(data.environment)
    os.environ.setdefault("GEANT4_DATA_DIR", data.environment.get("G4LEDATA", ""))
    require_geant4()
    import geant4_pybind

    return geant4_pybind


@dataclass(frozen=True)
class ParticleGun:
    """A particle at its start: PDG number, position (mm), momentum (GeV)."""

    pdg: int
    position: tuple[float, ...]
    momentum: tuple[float, ...]


class Geant4:
    """One Geant4 with one detector; there can be one in a process.

    Parameters
    ----------
    data
        The tables that Geant4 reads.
    seed
        Same seed, same particles: same result, bit for bit.
    construction
        Makes the G4VUserDetectorConstruction, given the module and a list of what Python must
        not forget.
    actions
        Makes further user actions, given the module.
    """

    def __init__(
        self,
        data: PhysicsData,
        seed: int,
        construction: Callable[[Any, list[Any]], Any],
        actions: Callable[[Any], list[Any]],
    ) -> None:
        g4 = load_geant4(data)
        self._keep: list[Any] = []
        self._primaries = _Primaries()
        manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
        g4.G4Random.setTheEngine(g4.MixMaxRng())
        ui = g4.G4UImanager.GetUIpointer()
        parts = [
            construction(g4, self._keep),
            _physics_list(g4),
            _action_initialization(g4, self._primaries, actions, self._keep),
        ]
        for part in parts:
            manager.SetUserInitialization(part)
        for command in (
            "/run/verbose 0",
            "/process/em/verbose 0",
            "/process/had/verbose 0",
            f"/run/setCut {RANGE_CUT} mm",
        ):
            ui.ApplyCommand(command)
        manager.Initialize()
        first, second = np.random.SeedSequence(seed).generate_state(2)
        ui.ApplyCommand(f"/random/setSeeds {first % 900_000_000} {second % 900_000_000}")
        self._keep += [manager, ui, *parts]
        self._manager = manager
        self.version = str(g4.G4Version).replace("$Name:", "").strip(" $")

    def shoot(self, *events: list[ParticleGun]) -> None:
        """Simulate events, each of which starts with some particles."""
        self._primaries.load(events)
        self._manager.BeamOn(len(events))


class Collected(Protocol[Result]):
    """What is kept of the events of a batch."""

    def clear(self, progress: Callable[[int], None] | None) -> None:
        """Begin a batch; `progress` is called with the number of events done, now and then."""

    def result(self) -> Result:
        """Return what there is of the batch."""


class SingleParticles(Generic[Result]):
    """A Geant4 with one particle per event.

    Parameters
    ----------
    data, seed, construction
        See `Geant4`.
    action
        Makes the user action that fills what is collected, given the module.
    collected
        What is kept.
    """

    def __init__(
        self,
        data: PhysicsData,
        seed: int,
        construction: Callable[[Any, list[Any]], Any],
        action: Callable[[Any], Any],
        collected: Collected[Result],
    ) -> None:
        self._collected = collected
        self._geant4 = Geant4(data, seed, construction, lambda g4: [action(g4)])
        self.version = self._geant4.version

    def run(
        self,
        pdg: npt.NDArray[np.int32],
        position: Floats,
        momentum: Floats,
        progress: Callable[[int], None] | None = None,
    ) -> Result:
        """Simulate N particles.

        Parameters
        ----------
        pdg
            (N,) PDG numbers.
        position, momentum
            (N, 3) mm and GeV at the start.
        progress
            Called with the number of events done, now and then.
        """
        self._collected.clear(progress)
        rows = zip(pdg.tolist(), position.tolist(), momentum.tolist(), strict=True)
        self._geant4.shoot(*([ParticleGun(*row)] for row in rows))
        return self._collected.result()


class Simulation(SingleParticles[CellEnergies]):
    """Energies in the cells of one detector; there can be one in a process.

    Parameters
    ----------
    volumes
        The detector.
    data, seed
        See `Geant4`.
    """

    def __init__(self, volumes: Volumes, data: PhysicsData, seed: int) -> None:
        collected = _Collected()
        super().__init__(
            data,
            seed,
            lambda g4, keep: _detector_construction(g4, volumes, keep),
            lambda g4: _collect(g4, collected),
            collected,
        )


class _Primaries:
    """The particles of the current batch, handed to Geant4 event by event."""

    def load(self, events: Sequence[list[ParticleGun]]) -> None:
        self.events, self.next = events, 0


class _Collected:
    """The energies of the current batch."""

    def clear(self, progress: Callable[[int], None] | None) -> None:
        self.counts: list[int] = []
        self.cells: list[int] = []
        self.energies: list[float] = []
        self.progress = progress

    def add(self, energies: dict[int, float]) -> None:
        self.counts.append(len(energies))
        self.cells.extend(energies.keys())
        self.energies.extend(energies.values())
        if self.progress is not None and len(self.counts) % 100 == 0:
            self.progress(len(self.counts))

    def result(self) -> CellEnergies:
        event = np.repeat(np.arange(len(self.counts)), self.counts)
        mev = np.array(self.energies, np.float64)
        return CellEnergies(event, np.array(self.cells, np.int64), mev * 1e-3)


def field_along_z(g4: Any, tesla: float, keep: list[Any]) -> None:
    """Put a uniform field into the world."""
    field = g4.G4UniformMagField(g4.G4ThreeVector(0, 0, tesla * g4.tesla))
    manager = g4.G4TransportationManager.GetTransportationManager().GetFieldManager()
    manager.SetDetectorField(field)
    manager.CreateChordFinder(field)
    keep.extend([field, manager])


def _detector_construction(g4: Any, volumes: Volumes, keep: list[Any]) -> Any:
    class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
        def Construct(self) -> Any:  # noqa: N802 - Geant4's name
            world, self.sensitive = volumes.construct(g4, keep)
            return world

        def ConstructSDandField(self) -> None:  # noqa: N802
            detector = g4.G4MultiFunctionalDetector("calorimeter")
            scorer = g4.G4PSEnergyDeposit("energy", 0)
            detector.RegisterPrimitive(scorer)
            g4.G4SDManager.GetSDMpointer().AddNewDetector(detector)
            for volume in self.sensitive:
                self.SetSensitiveDetector(volume, detector)
            keep.extend([detector, scorer])
            field_along_z(g4, volumes.magnetic_field, keep)

    return Construction()


def _physics_list(g4: Any) -> Any:
    class PhysicsList(g4.G4VModularPhysicsList):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.constructor = getattr(g4, PHYSICS)()
            self.RegisterPhysics(self.constructor)

    return PhysicsList()


def _action_initialization(
    g4: Any, primaries: _Primaries, actions: Callable[[Any], list[Any]], keep: list[Any]
) -> Any:
    class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gun = g4.G4ParticleGun(1)
            self.pdg = 0

        def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802
            particles = primaries.events[primaries.next]
            primaries.next += 1
            for particle in particles:
                self.shoot(particle, event)

        def shoot(self, particle: ParticleGun, event: Any) -> None:
            if particle.pdg != self.pdg:
                self.pdg = particle.pdg
                table = g4.G4ParticleTable.GetParticleTable()
                self.definition = table.FindParticle(self.pdg)
                self.gun.SetParticleDefinition(self.definition)
                self.mass = self.definition.GetPDGMass() / g4.GeV
            px, py, pz = particle.momentum
            p2 = px * px + py * py + pz * pz
            # sqrt(p^2 + m^2) - m without cancellation.
            kinetic = p2 / ((p2 + self.mass**2) ** 0.5 + self.mass)
            self.gun.SetParticleEnergy(kinetic * g4.GeV)
            self.gun.SetParticleMomentumDirection(g4.G4ThreeVector(px, py, pz).unit())
            self.gun.SetParticlePosition(g4.G4ThreeVector(*particle.position))
            self.gun.GeneratePrimaryVertex(event)

    class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
        def Build(self) -> None:  # noqa: N802
            # Created here, after the physics list, as Geant4 demands.
            for action in (Gun(), *actions(g4)):
                keep.append(action)
                self.SetUserAction(action)

    return Actions()


def _collect(g4: Any, collected: _Collected) -> Any:
    class Collect(g4.G4UserEventAction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.collection = -1

        def EndOfEventAction(self, event: Any) -> None:  # noqa: N802
            if self.collection < 0:
                manager = g4.G4SDManager.GetSDMpointer()
                self.collection = manager.GetCollectionID("calorimeter/energy")
            collected.add(dict(event.GetHCofThisEvent().GetHC(self.collection)))

    return Collect()

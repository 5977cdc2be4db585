"""One Geant4 in one process: particles in, what they deposit out."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from k4calofast.arrays import Floats, Indices, Ints
from k4calofast.exceptions import require
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.incidence.transport import velocity

Result = TypeVar("Result", covariant=True)

ELECTROMAGNETIC = ("G4EmStandardPhysics",)
"""Geant4's constructors of electromagnetic physics."""

HADRONIC = (
    *ELECTROMAGNETIC,
    "G4EmExtraPhysics",
    "G4DecayPhysics",
    "G4HadronElasticPhysics",
    "G4HadronPhysicsFTFP_BERT",
    "G4StoppingPhysics",
    "G4IonPhysics",
    "G4NeutronTrackingCut",
)
"""Those of the list FTFP_BERT: photonuclear reactions, decays and hadrons, too."""

RANGE_CUT = 0.7
"""mm, Geant4's default."""

_REPORT = 10  # showers; each may take a second


class World:
    """A box of air in Geant4, and what is in it: Python must not forget it while Geant4 runs.

    Parameters
    ----------
    g4
        The module `geant4_pybind`.
    half_lengths
        Of the box along x, y and z (mm).
    """

    def __init__(self, g4: Any, *half_lengths: float) -> None:
        self.g4, self.nist = g4, g4.G4NistManager.Instance()
        self._kept: list[Any] = []
        air = self.nist.FindOrBuildMaterial("G4_AIR")
        self._volume = self.volume(g4.G4Box("world", *half_lengths), air)
        self.placed = g4.G4PVPlacement(
            None, g4.G4ThreeVector(), self._volume, "world", None, False, 0, False
        )

    def volume(self, solid: Any, material: Any) -> Any:
        """Make a logical volume."""
        made = self.g4.G4LogicalVolume(solid, material, solid.GetName())
        self._kept += [solid, material, made]
        return made

    def mixture(self, name: str, density: float, parts: dict[Any, float]) -> Any:
        """Make a material of g/cm3 out of others; the numbers are their shares of the mass."""
        unit = self.g4.g / self.g4.cm3
        made = self.g4.G4Material(name, density * unit, len(parts))
        for part, share in parts.items():
            made.AddMaterial(part, share / sum(parts.values()))
        self._kept += [made, *parts]
        return made

    def place(self, volume: Any, *where: Any, copy: int = 0, inside: Any = None) -> None:
        """Place a volume by a transformation, or by a rotation (None for none) and a position.

        It is placed inside of another one, by default in the world.
        """
        name, mother = volume.GetName(), self._volume if inside is None else inside
        placed = self.g4.G4PVPlacement(*where, volume, name, mother, False, copy, False)
        self._kept.append(placed)


class Volumes(Protocol):
    """A detector to be built in Geant4."""

    @property
    def field(self) -> tuple[float, float, float]:
        """The magnetic field (T) everywhere."""

    def construct(self, g4: Any) -> tuple[World, list[Any]]:
        """Build it with the module `geant4_pybind`; return the world and the sensitive volumes."""


def require_packages() -> None:
    """Make sure that Geant4 is there, and what its showers are written with; neither is loaded.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    require("fullsim", "full simulation", "geant4_pybind", "h5py")


def load_geant4(data: PhysicsData) -> Any:
    """Import `geant4_pybind` with its data in place.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    os.environ.update(data.environment)
    os.environ.setdefault("GEANT4_DATA_DIR", data.environment.get("G4LEDATA", ""))
    require_packages()
    import geant4_pybind

    return geant4_pybind


@dataclass(frozen=True)
class Primary:
    """A particle at its start: PDG number, position (mm), momentum (GeV)."""

    pdg: int
    position: tuple[float, ...]
    momentum: tuple[float, ...]


class Geant4:
    """One Geant4 with one detector; there can be one in a process.

    Parameters
    ----------
    volumes
        The detector.
    data
        The tables that Geant4 reads.
    seed
        Same seed, same particles: same result, bit for bit.
    action
        Makes the user action that watches, given the module `geant4_pybind`.
    sensors
        Makes the sensitive detectors, if there are sensitive volumes.
    physics
        Names of Geant4's constructors.
    """

    def __init__(
        self,
        volumes: Volumes,
        data: PhysicsData,
        seed: int,
        action: Callable[[Any], Any],
        sensors: Callable[[Any], list[Any]] | None = None,
        physics: tuple[str, ...] = ELECTROMAGNETIC,
    ) -> None:
        g4 = load_geant4(data)
        self._events: Iterator[list[Primary]] = iter(())
        manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
        g4.G4Random.setTheEngine(g4.MixMaxRng())
        ui = g4.G4UImanager.GetUIpointer()
        parts = [
            _construction(g4, volumes, sensors),
            _physics_list(g4, physics),
            _actions(g4, lambda: next(self._events), action),
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
        self._g4, self._kept = g4, [ui, *parts]
        self._manager = manager
        self.version = str(g4.G4Version).replace("$Name:", "").strip(" $")

    def mass(self, pdg: int) -> float:
        """Mass (GeV) of a kind of particle."""
        particle = self._g4.G4ParticleTable.GetParticleTable().FindParticle(pdg)
        return float(particle.GetPDGMass() / self._g4.GeV)

    def shoot(self, *events: list[Primary]) -> None:
        """Simulate events, each of which starts with some particles."""
        self._events = iter(events)
        if events:
            self._manager.BeamOn(len(events))


class Scoring(Protocol[Result]):
    """What is kept of the events of a batch."""

    def sensors(self, g4: Any) -> list[Any]:
        """Make the sensitive detectors: all see all sensitive volumes."""

    def clear(self) -> None:
        """Begin a batch."""

    def end_event(self, g4: Any, event: Any) -> None:
        """Take over what the sensitive detector has of an event."""

    def result(self) -> Result:
        """Return what there is of the batch."""


class Simulation(Generic[Result]):
    """A Geant4 with one particle per event.

    Parameters
    ----------
    volumes, data, seed
        See `Geant4`.
    scoring
        What is kept.
    physics
        See `Geant4`.
    """

    def __init__(
        self,
        volumes: Volumes,
        data: PhysicsData,
        seed: int,
        scoring: Scoring[Result],
        physics: tuple[str, ...] = ELECTROMAGNETIC,
    ) -> None:
        self._scoring = scoring
        self._geant4 = Geant4(volumes, data, seed, self._event_action, scoring.sensors, physics)
        self.version = self._geant4.version

    def run(
        self,
        pdg: Ints,
        position: Floats,
        momentum: Floats,
        progress: Callable[[int], None] = lambda _: None,
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
        self._scoring.clear()
        self._done, self._progress = 0, progress
        rows = zip(pdg.tolist(), position.tolist(), momentum.tolist(), strict=True)
        self._geant4.shoot(*([Primary(*row)] for row in rows))
        return self._scoring.result()

    def speed(self, pdg: Ints, momentum: Floats) -> Floats:
        """Speed (N,) in mm/ns of particles with momenta (N, 3) in GeV, with Geant4's masses."""
        kinds, which = np.unique(pdg, return_inverse=True)
        masses = np.array([self._geant4.mass(kind) for kind in kinds.tolist()])
        return velocity(momentum, masses[which])

    def _event_action(self, g4: Any) -> Any:
        class EventAction(g4.G4UserEventAction):  # type: ignore[misc]
            def EndOfEventAction(_, event: Any) -> None:  # noqa: N802, N805 - Geant4's name
                self._scoring.end_event(g4, event)
                self._done += 1
                if self._done % _REPORT == 0:
                    self._progress(self._done)

        return EventAction()


@dataclass(frozen=True)
class CellEnergies:
    """Energies deposited in N events: one row per event and cell.

    Attributes
    ----------
    event, cell
        (rows,) number of the event in its batch, copy number of the cell.
    energy
        (rows,) GeV.
    time
        (rows,) ns from the start of the event to the energy-weighted mean time of the deposits; NaN
        where it was not recorded.
    """

    event: Indices
    cell: Indices
    energy: Floats
    time: Floats


class EnergyPerCell:
    """Energies, and times if asked for, by the copy numbers of the sensitive volumes: a `Scoring`.

    Energies stay in C++: for them, Python is entered once per event. No scorer of Geant4 keeps
    times, so a second sensitive detector calls Python at every step while `timed` is True. That
    changes no bit of the showers.
    """

    def __init__(self, timed: bool = False) -> None:
        self._timed = timed
        self._watch: Any = None

    @property
    def timed(self) -> bool:
        """Whether times of what is simulated next are recorded."""
        return self._timed

    @timed.setter
    def timed(self, timed: bool) -> None:
        self._timed = timed
        if self._watch is not None:
            self._watch.Activate(timed)

    def sensors(self, g4: Any) -> list[Any]:
        """Make the sensitive detectors."""
        detector = g4.G4MultiFunctionalDetector("calorimeter")
        self._scorer = g4.G4PSEnergyDeposit("energy", 0)
        detector.RegisterPrimitive(self._scorer)
        self._steps = array("d")
        self._watch = _watch(g4, self._steps.extend)
        self._watch.Activate(self._timed)
        return [detector, self._watch]

    def clear(self) -> None:
        """Begin a batch."""
        self._events: list[dict[int, float]] = []
        self._times: list[Floats] = []

    def end_event(self, g4: Any, event: Any) -> None:
        """Take over the sums of an event."""
        number = g4.G4SDManager.GetSDMpointer().GetCollectionID("calorimeter/energy")
        energies = dict(event.GetHCofThisEvent().GetHC(number))
        self._events.append(energies)
        times = np.full(len(energies), np.nan)
        if self._steps and energies:
            cell, energy, time = np.array(self._steps).reshape(-1, 3).T
            # A G4THitsMap is in the order of its keys.
            row = np.searchsorted(np.fromiter(energies, np.float64), cell)
            moments = np.bincount(row, energy * time, len(energies))
            times = moments / np.bincount(row, energy, len(energies))
        del self._steps[:]
        self._times.append(times)

    def result(self) -> CellEnergies:
        """Return the energies of the batch."""
        counts = [len(event) for event in self._events]
        cell = np.array([cell for event in self._events for cell in event], np.int64)
        mev = np.array([mev for event in self._events for mev in event.values()], np.float64)
        time = np.concatenate([np.zeros(0), *self._times])
        return CellEnergies(np.repeat(np.arange(len(counts)), counts), cell, mev * 1e-3, time)


def _watch(g4: Any, note: Callable[[tuple[float, float, float]], None]) -> Any:
    """Note cell, energy (MeV) and time (ns) of each step with a deposit, as fast as Python can.

    The time is that of the step's end: steps are so short that it is the deposit's to some ps.
    """
    deposit, track = g4.G4Step.GetTotalEnergyDeposit, g4.G4Step.GetTrack
    volume, time = g4.G4Track.GetVolume, g4.G4Track.GetGlobalTime
    number = g4.G4VPhysicalVolume.GetCopyNo

    class Watch(g4.G4VSensitiveDetector):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("times")

        def ProcessHits(self, step: Any, _: Any) -> bool:  # noqa: N802 - Geant4's name
            energy = deposit(step)
            if energy:
                moving = track(step)
                note((number(volume(moving)), energy, time(moving)))
            return True

    return Watch()


def _construction(g4: Any, volumes: Volumes, sensors: Callable[[Any], list[Any]] | None) -> Any:
    class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
        def Construct(self) -> Any:  # noqa: N802 - Geant4's name
            self.world, self.sensitive = volumes.construct(g4)
            return self.world.placed

        def ConstructSDandField(self) -> None:  # noqa: N802
            self.sensors = [] if sensors is None else sensors(g4)
            for sensor in self.sensors:
                g4.G4SDManager.GetSDMpointer().AddNewDetector(sensor)
                for volume in self.sensitive:
                    self.SetSensitiveDetector(volume, sensor)
            field = (component * g4.tesla for component in volumes.field)
            self.field = g4.G4UniformMagField(g4.G4ThreeVector(*field))
            self.manager = g4.G4TransportationManager.GetTransportationManager().GetFieldManager()
            self.manager.SetDetectorField(self.field)
            self.manager.CreateChordFinder(self.field)

    return Construction()


def _physics_list(g4: Any, physics: tuple[str, ...]) -> Any:
    class PhysicsList(g4.G4VModularPhysicsList):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.constructors = [getattr(g4, name)() for name in physics]
            for constructor in self.constructors:
                self.RegisterPhysics(constructor)

    return PhysicsList()


def _actions(g4: Any, next_event: Callable[[], list[Primary]], action: Callable[[Any], Any]) -> Any:
    class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gun = g4.G4ParticleGun(1)
            self.pdg = 0

        def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802 - Geant4's name
            for particle in next_event():
                self.shoot(particle, event)

        def shoot(self, particle: Primary, event: Any) -> None:
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
            self.made = [Gun(), action(g4)]
            for made in self.made:
                self.SetUserAction(made)

    return Actions()

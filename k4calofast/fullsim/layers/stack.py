"""The stack of a layered barrel in Geant4: every slice a slab, deposits in silicon by small cells.

A module is much wider than a shower, so one endless stack serves the whole barrel; where its cells
and edges are is left to those who place the shower.

Geant4's axes are those of a module, with x along its normal n, y along t and z along z; the front
face is at x = 0. Silicon calls Python at each step, since no scorer of Geant4 keeps times and
free positions; docs/fullsim.md has what that costs.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats
from k4calofast.detector.description import BarrelDescription
from k4calofast.exceptions import FullSimulationError, UnknownDetectorError
from k4calofast.fullsim.physics_data import PhysicsData
from k4calofast.fullsim.simulation import SingleParticles, field_along_z

HALF_WIDTH = 1500.0
"""mm along t and z; a particle that enters at 50 degrees crosses the stack within 300 mm."""

FRONT_AIR = 300.0
"""mm of air in front, in which electrons that leave through the face curl back."""

_MARGIN = 10.0  # mm of air on the other sides
_AIR = (6, 7, 8, 18)
_GEV = 1e-3  # per MeV, Geant4's unit
_MOST_LAYERS = 256  # they are counted in uint8
_FARTHEST = np.iinfo(np.int16)
_REPORT = 10  # showers; each may take a second

_ELEMENTS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er
Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U
"""
_SYMBOLS = _ELEMENTS.split()
"""Of the elements, by rising atomic number from 1."""


@dataclass(frozen=True)
class LayerStack:
    """The slices of a layered barrel, one behind the other.

    Parameters
    ----------
    description
        The barrel.
    pitch
        Size (mm) of the small cells, along t and z, in which deposits are counted.
    """

    description: BarrelDescription
    pitch: float

    def __post_init__(self) -> None:
        name = self.description.name
        layers = sum(part.sensitive for part in self.description.stack)
        if layers > _MOST_LAYERS:
            raise UnknownDetectorError(f"{name} has {layers} layers, more than {_MOST_LAYERS}")
        if not (self.pitch > 0 and HALF_WIDTH / self.pitch < _FARTHEST.max):
            raise FullSimulationError(
                f"a pitch of {self.pitch:g} mm: at least {HALF_WIDTH / _FARTHEST.max:.2g} mm are "
                "needed"
            )

    @property
    def magnetic_field(self) -> float:
        """Along z (T)."""
        return self.description.magnetic_field

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all its materials, and of the air around it.

        Raises
        ------
        UnknownDetectorError
            If there is no element of some symbol.
        """
        symbols = {
            symbol
            for material in self.description.materials.values()
            for symbol in material.elements
        }
        if unknown := symbols - set(_SYMBOLS):
            raise UnknownDetectorError(
                f"{self.description.name}: no element {', '.join(sorted(unknown))}"
            )
        return tuple(sorted({*_AIR, *(_SYMBOLS.index(symbol) + 1 for symbol in symbols)}))

    @property
    def faces(self) -> Floats:
        """(slices + 1,) depth of the slices' faces (mm), 0 for the front."""
        return np.cumsum([0.0] + [part.thickness for part in self.description.stack])

    @property
    def depths(self) -> Floats:
        """(layers,) depth of the middle of each sensitive slice (mm)."""
        return np.array(self.description.depths)

    def construct(self, g4: Any, keep: list[Any]) -> tuple[Any, list[Any]]:
        """Build it; see `k4calofast.fullsim.simulation.Volumes`."""
        nist = g4.G4NistManager.Instance()
        air = nist.FindOrBuildMaterial("G4_AIR")
        back = float(self.faces[-1]) + _MARGIN
        half_depth = max(FRONT_AIR, back)
        side = HALF_WIDTH + _MARGIN
        world_solid = g4.G4Box("world", half_depth, side, side)
        world_volume = g4.G4LogicalVolume(world_solid, air, "world")
        world = g4.G4PVPlacement(
            None, g4.G4ThreeVector(), world_volume, "world", None, False, 0, False
        )
        keep += [nist, air, world_solid, world_volume, world]
        materials = {name: self._material(g4, nist, name) for name in self.description.materials}
        keep.append(materials)
        slabs: dict[tuple[str, float, bool], Any] = {}
        for number, part in enumerate(self.description.stack):
            kind = (part.material, part.thickness, part.sensitive)
            if kind not in slabs:
                solid = g4.G4Box(f"slab{number}", part.thickness / 2, HALF_WIDTH, HALF_WIDTH)
                slabs[kind] = g4.G4LogicalVolume(solid, materials[part.material], f"slab{number}")
                keep += [solid, slabs[kind]]
            middle = float(self.faces[number : number + 2].mean())
            place = g4.G4ThreeVector(middle, 0, 0)
            keep.append(
                g4.G4PVPlacement(
                    None, place, slabs[kind], f"slab{number}", world_volume, False, number, False
                )
            )
        return world, [slab for (_, _, sensitive), slab in slabs.items() if sensitive]

    def _material(self, g4: Any, nist: Any, name: str) -> Any:
        described = self.description.materials[name]
        density = described.density * g4.g / g4.cm3
        # Names are Geant4's keys, and a name of NIST's must not stand for something else.
        own_name = f"{self.description.name}_{name}"
        material = g4.G4Material(own_name, density, len(described.elements))
        total = sum(described.elements.values())
        for symbol, share in described.elements.items():
            material.AddElement(nist.FindOrBuildElement(symbol), float(share / total))
        return material


@dataclass(frozen=True)
class Pixels:
    """Deposits of N showers in P small cells, in the order of layer, column and row.

    Attributes
    ----------
    offsets
        (N + 1,) the cells of shower i are ``offsets[i]:offsets[i + 1]``.
    layer
        (P,) number of the sensitive slice, from the front.
    column, row
        (P,) cell k covers [k pitch, (k + 1) pitch) along t and along z; 0 begins at the start.
    energy
        (P,) GeV.
    time
        (P,) ns of the earliest deposit after the start.
    """

    offsets: npt.NDArray[np.int64]
    layer: npt.NDArray[np.uint8]
    column: npt.NDArray[np.int16]
    row: npt.NDArray[np.int16]
    energy: npt.NDArray[np.float32]
    time: npt.NDArray[np.float32]


class StackSimulation(SingleParticles[Pixels]):
    """Deposits in the silicon of a stack; there can be one in a process.

    Positions and momenta are along n, t and z; energy so far away that its cells cannot be numbered
    is a `FullSimulationError`.

    Parameters
    ----------
    stack
        The detector.
    data, seed
        See `k4calofast.fullsim.simulation.Geant4`.
    """

    def __init__(self, stack: LayerStack, data: PhysicsData, seed: int) -> None:
        collected = _Collected(stack)
        super().__init__(
            data,
            seed,
            lambda g4, keep: _construction(g4, stack, collected.steps, keep),
            lambda g4: _collect(g4, collected),
            collected,
        )


class _Collected:
    """The pixels of the current batch, shower by shower."""

    def __init__(self, stack: LayerStack) -> None:
        self.steps = array("d")
        self._pitch = stack.pitch
        self._borders = (stack.depths[1:] + stack.depths[:-1]) / 2

    def clear(self, progress: Callable[[int], None] | None) -> None:
        self._showers: list[tuple[npt.NDArray[Any], ...]] = []
        self._beyond: list[float] = []
        self._progress = progress

    def end_shower(self) -> None:
        steps = np.array(self.steps).reshape(-1, _STEP)
        del self.steps[:]
        # All of a step is in its slab, and so is its middle, but for rounding.
        layer = np.searchsorted(self._borders, steps[:, 1])
        column, row = np.floor(steps[:, 2:4].T / self._pitch)
        far = np.maximum(np.abs(column), np.abs(row)) > _FARTHEST.max
        self._beyond.append(float(steps[far, 0].sum()) * _GEV)
        self._showers.append(_binned(layer, column, row, steps[:, 0] * _GEV, steps[:, 4]))
        if self._progress is not None and len(self._showers) % _REPORT == 0:
            self._progress(len(self._showers))

    def result(self) -> Pixels:
        if any(self._beyond):
            shower = int(np.argmax(self._beyond))
            raise FullSimulationError(
                f"shower {shower} of its chunk has {self._beyond[shower]:.3g} GeV so far away that "
                f"cells of {self._pitch:g} mm cannot be numbered"
            )
        columns = (np.concatenate(parts) for parts in zip(*self._showers, strict=True))
        counts = [len(shower[0]) for shower in self._showers]
        names = [field.name for field in fields(Pixels)][1:]
        return Pixels(
            offsets=np.cumsum([0, *counts], dtype=np.int64),
            **dict(zip(names, columns, strict=True)),
        )


_STEP = 5
"""Numbers that are kept of a step: energy (MeV), x, y, z (mm) and time (ns) of its middle."""


def _binned(
    layer: npt.NDArray[np.int64], column: Floats, row: Floats, energy: Floats, time: Floats
) -> tuple[npt.NDArray[Any], ...]:
    """Sum deposits (D,) up by cells; layer, column, row, energy and time of the cells."""
    order = np.lexsort((row, column, layer))
    places = np.stack([layer, column, row])[:, order]
    first = np.flatnonzero(np.append(True, (places[:, 1:] != places[:, :-1]).any(0))[: len(order)])
    layers, columns, rows = places[:, first]
    return (
        layers.astype(np.uint8),
        columns.astype(np.int16),
        rows.astype(np.int16),
        np.add.reduceat(energy[order], first).astype(np.float32),
        np.minimum.reduceat(time[order], first).astype(np.float32),
    )


def _construction(g4: Any, stack: LayerStack, steps: array[float], keep: list[Any]) -> Any:
    class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
        def Construct(self) -> Any:  # noqa: N802 - Geant4's name
            world, self.sensitive = stack.construct(g4, keep)
            return world

        def ConstructSDandField(self) -> None:  # noqa: N802
            silicon = _silicon(g4, steps)
            g4.G4SDManager.GetSDMpointer().AddNewDetector(silicon)
            for volume in self.sensitive:
                self.SetSensitiveDetector(volume, silicon)
            keep.append(silicon)
            field_along_z(g4, stack.magnetic_field, keep)

    return Construction()


def _silicon(g4: Any, steps: array[float]) -> Any:
    keep_step = steps.extend

    class Silicon(g4.G4VSensitiveDetector):  # type: ignore[misc]
        def ProcessHits(self, step: Any, _: Any) -> bool:  # noqa: N802
            # Called for every step in silicon: nothing here is there without need.
            energy = step.GetTotalEnergyDeposit()
            if energy:
                before = step.GetPreStepPoint()
                place, way = before.GetPosition(), step.GetDeltaPosition()
                keep_step(
                    (
                        energy,
                        place.x + 0.5 * way.x,
                        place.y + 0.5 * way.y,
                        place.z + 0.5 * way.z,
                        before.GetGlobalTime() + 0.5 * step.GetDeltaTime(),
                    )
                )
            return True

    return Silicon("silicon")


def _collect(g4: Any, collected: _Collected) -> Any:
    class Collect(g4.G4UserEventAction):  # type: ignore[misc]
        def EndOfEventAction(self, _: Any) -> None:  # noqa: N802
            collected.end_shower()

    return Collect()

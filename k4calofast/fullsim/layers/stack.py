"""The stack of a layered calorimeter in Geant4: every slice a slab, deposits by small cells.

A module is much wider than a shower, so one endless stack serves the whole barrel; where its cells
and edges are is left to those who place the shower.

Geant4's axes are those of a module, with x along its normal n, y along t and z along z; the front
face is at x = 0. Silicon calls Python at each step, since no scorer of Geant4 keeps times and
free positions; docs/fullsim.md has what that costs.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Floats32, Indices
from k4calofast.detector.description import Description, EndcapDescription
from k4calofast.exceptions import FullSimulationError, UnknownDetectorError
from k4calofast.fullsim.simulation import World

HALF_WIDTH = 1500.0
"""mm along t and z; a particle that enters at 50 degrees crosses the stack within 300 mm."""

FRONT_AIR = 300.0
"""mm of air in front, in which electrons that leave through the face curl back."""

_MARGIN = 10.0  # mm of air on the other sides
_AIR = (6, 7, 8, 18)
_GEV = 1e-3  # per MeV, Geant4's unit
_MOST_LAYERS = 256  # they are counted in uint8
_FARTHEST = np.iinfo(np.int16)

_ELEMENTS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er
Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U
"""
_SYMBOLS = _ELEMENTS.split()
"""Of the elements, by rising atomic number from 1."""


@dataclass(frozen=True)
class LayerStack:
    """The slices of a layered calorimeter, one behind the other.

    Parameters
    ----------
    description
        The calorimeter.
    pitch
        Size (mm) of the small cells, along t and z, in which deposits are counted.
    """

    description: Description
    pitch: float

    def __post_init__(self) -> None:
        name = self.description.name
        layers = sum(part.sensitive for part in self.description.stack)
        if layers > _MOST_LAYERS:
            raise UnknownDetectorError(f"{name} has {layers} layers, more than {_MOST_LAYERS}")
        if not (self.pitch > 0 and HALF_WIDTH / self.pitch < _FARTHEST.max):
            raise FullSimulationError(
                f"--pitch {self.pitch:g}: at least {HALF_WIDTH / _FARTHEST.max:.2g} mm are needed"
            )

    @property
    def magnetic_field(self) -> float:
        """Along z (T)."""
        return self.description.magnetic_field

    @property
    def field(self) -> tuple[float, float, float]:
        """The field (T) in the frame (n, t, z): of endcaps, of the plate at positive z."""
        if isinstance(self.description, EndcapDescription):
            return (self.magnetic_field, 0.0, 0.0)
        return (0.0, 0.0, self.magnetic_field)

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

    def construct(self, g4: Any) -> tuple[World, list[Any]]:
        """Build it; see `k4calofast.fullsim.simulation.Volumes`."""
        side = HALF_WIDTH + _MARGIN
        world = World(g4, max(FRONT_AIR, float(self.faces[-1]) + _MARGIN), side, side)
        materials = {name: self._material(world, name) for name in self.description.materials}
        slabs: dict[tuple[str, float, bool], Any] = {}
        for number, part in enumerate(self.description.stack):
            kind = (part.material, part.thickness, part.sensitive)
            if kind not in slabs:
                solid = g4.G4Box(f"slab{number}", part.thickness / 2, HALF_WIDTH, HALF_WIDTH)
                slabs[kind] = world.volume(solid, materials[part.material])
            middle = float(self.faces[number : number + 2].mean())
            world.place(slabs[kind], None, g4.G4ThreeVector(middle, 0, 0), copy=number)
        return world, [slab for (_, _, sensitive), slab in slabs.items() if sensitive]

    def _material(self, world: World, name: str) -> Any:
        g4, described = world.g4, self.description.materials[name]
        density = described.density * g4.g / g4.cm3
        # Names are Geant4's keys, and a name of NIST's must not stand for something else.
        own_name = f"{self.description.name}_{name}"
        material = g4.G4Material(own_name, density, len(described.elements))
        total = sum(described.elements.values())
        for symbol, share in described.elements.items():
            material.AddElement(world.nist.FindOrBuildElement(symbol), float(share / total))
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

    offsets: Indices
    layer: npt.NDArray[np.uint8]
    column: npt.NDArray[np.int16]
    row: npt.NDArray[np.int16]
    energy: Floats32
    time: Floats32


class Silicon:
    """Deposits in the silicon of a stack, a `k4calofast.fullsim.simulation.Scoring`.

    Energy so far away that its cells cannot be numbered is a `FullSimulationError`.
    """

    def __init__(self, stack: LayerStack) -> None:
        self._steps = array("d")
        self._pitch = stack.pitch
        self._borders = (stack.depths[1:] + stack.depths[:-1]) / 2

    def sensors(self, g4: Any) -> list[Any]:
        """Make the sensitive detector."""
        keep_step = self._steps.extend

        class Sensor(g4.G4VSensitiveDetector):  # type: ignore[misc]
            def ProcessHits(self, step: Any, _: Any) -> bool:  # noqa: N802 - Geant4's name
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

        return [Sensor("silicon")]

    def clear(self) -> None:
        """Begin a batch."""
        self._showers: list[tuple[npt.NDArray[Any], ...]] = []
        self._beyond: list[float] = []

    def end_event(self, _g4: Any, _event: Any) -> None:
        """Sort the steps of a shower into pixels."""
        steps = np.array(self._steps).reshape(-1, _STEP)
        del self._steps[:]
        # All of a step is in its slab, and so is its middle, but for rounding.
        layer = np.searchsorted(self._borders, steps[:, 1])
        column, row = np.floor(steps[:, 2:4].T / self._pitch)
        far = np.maximum(np.abs(column), np.abs(row)) > _FARTHEST.max
        self._beyond.append(float(steps[far, 0].sum()) * _GEV)
        self._showers.append(_binned(layer, column, row, steps[:, 0] * _GEV, steps[:, 4]))

    def result(self) -> Pixels:
        """Return the pixels of the batch."""
        if any(self._beyond):
            shower = int(np.argmax(self._beyond))
            raise FullSimulationError(
                f"shower {shower} of its chunk has {self._beyond[shower]:.3g} GeV so far away that "
                f"cells of {self._pitch:g} mm cannot be numbered"
            )
        counts = [len(shower[0]) for shower in self._showers]
        columns = map(np.concatenate, zip(*self._showers, strict=True))
        return Pixels(np.cumsum([0, *counts], dtype=np.int64), *columns)


_STEP = 5
"""Numbers that are kept of a step: energy (MeV), x, y, z (mm) and time (ns) of its middle."""


def _binned(
    layer: Indices, column: Floats, row: Floats, energy: Floats, time: Floats
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

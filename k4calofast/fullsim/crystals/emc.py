"""The whole BESIII EMC in Geant4: every crystal at its place, its wrapping and what is behind it.

Wrapping: two layers of 130 um of Tyvek, 25 um of aluminium and 25 um of Mylar around each crystal
(M. Ablikim et al., Nucl. Instrum. Meth. A 614 (2010) 345; BOSS's simulation has the same .31 mm and
densities). Half of the narrowest gap between two crystals is 0.2996 mm, so it is built 0.295 mm
thick, and as much denser. Behind the crystal are photodiodes, an aluminium plate and the
preamplifiers' box of aluminium: here a plate of aluminium as large as the crystal's back, of
`PLATE` mm. What it does is to send back a little; its thickness is ours, docs/fullsim.md says how
little it matters. Support bars and rings, cables and the casing of the endcaps are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from k4calofast.arrays import Floats, Indices
from k4calofast.detector import besiii
from k4calofast.detector.crystals import CrystalCalorimeter
from k4calofast.fullsim import tracker
from k4calofast.fullsim.crystals.blocks import Block
from k4calofast.fullsim.simulation import World

CRYSTAL = "G4_CESIUM_IODIDE"
"""CsI, without its 0.1 % of thallium."""

WRAPPING = (("tyvek", 0.26, 0.344), ("G4_Al", 0.025, 2.7), ("G4_MYLAR", 0.025, 1.39))
"""Material, thickness (mm) and density (g/cm3) of the wrapping's layers."""

BUILT = 0.295
"""mm, of the wrapping."""

PLATE = 8.0
"""mm of aluminium behind the crystals."""

_APART = 0.01
"""mm between the plate and the end of the wrapping that it lies in."""

_GAP = 0.01
"""Particles start this far (mm) in front of the wrapping of the crystal that they enter,"""
_FARTHEST = 5.0
"""and nowhere farther than this from the crystal."""

_SOLIDS_ALIKE = 4
"""Decimals (mm) up to which two crystals have the same shape, and are one solid."""


@dataclass(frozen=True)
class WholeEMC:
    """All 6240 crystals, a `k4calofast.fullsim.simulation.Volumes`.

    Copy numbers of the crystals are their numbers in the whole EMC, pybes3's global IDs.

    Parameters
    ----------
    dressed
        Whether crystals have their wrapping and the plate behind them.
    front
        Whether beam pipe, drift chamber and time of flight counters are there: they take and send
        back some of what leaves through the fronts. Particles start behind them all the same.
    """

    dressed: bool = True
    front: bool = False

    magnetic_field = besiii.MAGNETIC_FIELD
    field = (0.0, 0.0, besiii.MAGNETIC_FIELD)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all materials."""
        elements = {6, 7, 8, 18, 53, 55}
        if self.dressed:
            elements |= {1, 13}
        if self.front:
            elements |= set(tracker.ELEMENTS)
        return tuple(sorted(elements))

    @property
    def described(self) -> str:
        """What is built, in words."""
        around = (
            f"wrapped in 0.31 mm of Tyvek, aluminium and Mylar, {PLATE:g} mm of aluminium behind"
            if self.dressed
            else "bare"
        )
        before = ", beam pipe, drift chamber and time of flight counters" if self.front else ""
        crystals = f"all {besiii.rows().row.size} crystals of barrel and endcaps"
        return f"{crystals}, {CRYSTAL}, {around}{before}"

    @cached_property
    def calorimeters(self) -> tuple[CrystalCalorimeter, CrystalCalorimeter]:
        """Barrel and endcaps."""
        return besiii.barrel(), besiii.endcaps()

    def construct(self, g4: Any) -> tuple[World, list[Any]]:
        """Build it; see `k4calofast.fullsim.simulation.Volumes`."""
        barrel, endcaps = self.calorimeters
        side = barrel.outer_radius + 50.0
        length = float(np.abs(endcaps.blocks.corners[..., 2]).max()) + 50.0
        world = World(g4, side, side, length)
        if self.front:
            tracker.place_layers(world, (*tracker.BESIII, *tracker.BESIII_ENDS))
        made = _Made(world, self.dressed)
        sensitive = [
            volume
            for calorimeter in (barrel, endcaps)
            for cell, number in enumerate(calorimeter.own)
            for volume in made.place(block_of(calorimeter, cell), int(number))
        ]
        return world, sensitive


def block_of(calorimeter: CrystalCalorimeter, cell: int) -> Block:
    """Return the shape of one crystal."""
    corners, sides = calorimeter.blocks.corners[cell], calorimeter.blocks.sides[cell]
    most = calorimeter.blocks.most_sides
    return Block.of(corners[:sides], corners[most : most + sides])


def numbers_of(calorimeter: CrystalCalorimeter) -> Indices:
    """(6240,) number that each crystal of the whole EMC has for one calorimeter.

    Its own crystals have theirs; those of the calorimeters beyond it follow.
    """
    every = [calorimeter.own, *(other.own for other in calorimeter.beyond)]
    numbers = np.empty(sum(map(len, every)), np.int64)
    numbers[np.concatenate(every)] = np.arange(len(numbers))
    return numbers


def in_front(
    calorimeter: CrystalCalorimeter, cells: Indices, position: Floats, momentum: Floats
) -> tuple[Floats, Floats]:
    """Points (N, 3) in front of the wrapping of crystals that particles enter.

    Parameters
    ----------
    cells, position, momentum
        (N,) and (N, 3) of the entry (mm, GeV).

    Returns
    -------
    start, way
        The points (mm), and how far (N,) they are from the entry, `_FARTHEST` mm at most.
    """
    direction = momentum / np.linalg.norm(momentum, axis=1)[:, None]
    normals, offsets = calorimeter.blocks.planes
    outward = -np.einsum("nfc,nc->nf", normals[cells], direction)
    apart = offsets[cells] + BUILT - np.einsum("nfc,nc->nf", normals[cells], position)
    with np.errstate(divide="ignore", invalid="ignore"):
        way = np.where(outward > 0, apart / outward, np.inf).min(1)
    way = np.clip(way + _GAP, _GAP, _FARTHEST)
    return position - way[:, None] * direction, way


class _Made:
    """Solids and materials that have been made, to be used again."""

    def __init__(self, world: World, dressed: bool) -> None:
        self._world, self._dressed = world, dressed
        self._solids: dict[bytes, Any] = {}
        find = world.nist.FindOrBuildMaterial
        self._crystal = find(CRYSTAL)
        if dressed:
            g4 = world.g4
            tyvek = g4.G4Material("tyvek", WRAPPING[0][2] * g4.g / g4.cm3, 2)
            for element, atoms in (("C", 1), ("H", 2)):
                tyvek.AddElement(world.nist.FindOrBuildElement(element), atoms)
            masses = {
                tyvek if name == "tyvek" else find(name): thickness * density
                for name, thickness, density in WRAPPING
            }
            self._wrapping = world.mixture("wrapping", sum(masses.values()) / BUILT, masses)
            self._plate = find("G4_Al")

    def place(self, block: Block, number: int) -> list[Any]:
        """Place a crystal with what belongs to it; return its sensitive volumes."""
        if not self._dressed:
            return [self._in_world(part, "crystal", self._crystal, number) for part in block.parts]
        wrapped = block.grown(BUILT, BUILT, BUILT + PLATE).parts
        plates = block.slab_behind(BUILT, PLATE - _APART).parts
        sensitive = []
        for part, around, behind in zip(block.parts, wrapped, plates, strict=True):
            mother = self._in_world(around, "wrapping", self._wrapping, number)
            sensitive.append(self._inside(part, "crystal", self._crystal, number, around, mother))
            self._inside(behind, "plate", self._plate, number, around, mother)
        return sensitive

    def _in_world(self, block: Block, name: str, material: Any, number: int) -> Any:
        g4 = self._world.g4
        volume = self._world.volume(self._solid(block, name), material)
        rotation = g4.G4RotationMatrix()
        rotation.rotateAxes(*(g4.G4ThreeVector(*column) for column in block.rotation.T))
        where = g4.G4Transform3D(rotation, g4.G4ThreeVector(*block.origin))
        self._world.place(volume, where, copy=number)
        return volume

    def _inside(
        self, block: Block, name: str, material: Any, number: int, around: Block, mother: Any
    ) -> Any:
        """Place a block inside of another one, whose axes are parallel."""
        volume = self._world.volume(self._solid(block, name), material)
        way = (block.origin - around.origin) @ around.rotation
        where = self._world.g4.G4ThreeVector(0.0, 0.0, way[2])
        self._world.place(volume, None, where, copy=number, inside=mother)
        return volume

    def _solid(self, block: Block, name: str) -> Any:
        outline = np.concatenate([block.front, block.back, [[block.half_depth, 0.0]]])
        key = name.encode() + (np.round(outline, _SOLIDS_ALIKE) + 0.0).tobytes()
        if key not in self._solids:
            self._solids[key] = block.solid(self._world.g4, f"{name}{len(self._solids)}")
        return self._solids[key]

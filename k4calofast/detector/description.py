"""Declarative descriptions of layered calorimeters: YAML files, checked, and nothing else.

A barrel is a ring of equal modules, each a stack of plane slices; endcaps are a plate at either
end. See docs/detectors.md for how to describe another one. Lengths in mm, angles in degrees, fields
in T, densities in g/cm3.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from k4calofast.documents import Name, read_text, validated, yaml_of
from k4calofast.exceptions import UnknownDetectorError

FOLDER = Path(__file__).parent / "descriptions"
"""Of this package."""

SEARCH_PATH = "K4CALOFAST_DETECTOR_PATH"
"""Environment variable with folders, separated by colons, to look for descriptions in first."""

_LARGEST = 1 << 20
"""Bytes of a description."""

TOWER_WAFERS = 2
"""Wafers along the beam in each tower."""

Length = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slice(_Strict):
    """One plane of material.

    Attributes
    ----------
    material
        Name, one of the description's.
    thickness
        mm.
    sensitive
        Whether its hits are read out.
    fields
        Values of the cell ID's fields that tell it from others.
    """

    material: str
    thickness: Length
    sensitive: bool = False
    fields: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, data: Any) -> Any:
        """Read ``[material, thickness]``, ``[…, sensitive]``, or ``[…, {field: value}]``."""
        if not isinstance(data, list):
            return data
        if len(data) not in (2, 3):
            raise ValueError("a slice is [material, thickness] or [material, thickness, sensitive]")
        slice_ = {"material": data[0], "thickness": data[1]}
        if len(data) == 3:
            if data[2] != "sensitive" and not isinstance(data[2], dict):
                raise ValueError(f"'{data[2]}' should be 'sensitive' or fields of the cell ID")
            slice_ |= {"sensitive": True, "fields": {} if data[2] == "sensitive" else data[2]}
        return slice_


class Slices(_Strict):
    """Slices from the inside out, repeated."""

    repeat: Annotated[int, Field(ge=1, le=1000)] = 1
    slices: Annotated[list[Slice], Field(min_length=1)]


class Material(_Strict):
    """Density, and elements' shares of the mass, by their symbols."""

    density: Length
    elements: Annotated[dict[str, Length], Field(min_length=1)]

    @model_validator(mode="after")
    def _shares(self) -> Material:
        total = sum(self.elements.values())
        if abs(total - 1) > 1e-3:
            raise ValueError(f"shares of elements add up to {total:.4f}, not to 1")
        return self


class Modules(_Strict):
    """The modules of the ring.

    Attributes
    ----------
    count
        How many.
    field, first
        Field of the cell ID that numbers them, and number of the first.
    angle, step
        Azimuth of the first module's normal, and from one to the next.
    shape
        ``radial``: sides on planes through the beam line, to both neighbours. ``pinwheel``: the
        side of a module lies on the back of its neighbour, so that no gap points at the beam.
    support
        Thickness of a pinwheel's back plate, on which no neighbour lies.
    """

    count: Annotated[int, Field(ge=3, le=100)]
    field: str
    first: int
    angle: float
    step: float
    shape: Literal["radial", "pinwheel"]
    support: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _closes(self) -> Modules:
        if abs(abs(self.step) * self.count - 360) > 1e-6:
            raise ValueError(f"{self.count} steps of {self.step} degrees are not a turn")
        return self


class Grid(_Strict):
    """Square cells whose centres are at whole multiples of their size, from the module's middle.

    Attributes
    ----------
    size
        mm.
    fields
        Fields of the cell ID across the module (``column``) and along the beam (``row``).
    """

    kind: Literal["grid"]
    size: Length
    fields: dict[Literal["column", "row"], str]


class Wafers(_Strict):
    """Square wafers of square cells, with guard rings, in towers: as in CALICE's design for ILD.

    Fields of the cell ID are ``module`` and ``tower`` along the beam, ``wafer``, ``cellX`` and
    ``cellY``. Where a row of wafers ends there is one that is cut to whole cells.

    Attributes
    ----------
    per_wafer
        Cells in a row of a wafer.
    guard
        Width of guard rings.
    modules, towers
        Modules in the barrel along the beam, and towers in each; a tower is two wafers wide.
    module_edge, tower_edge
        What holds no wafer at each end of a module and of a tower.
    plug
        Length without wafers at the end of a row of wafers.
    structure
        Material that holds slabs of two layers each: a slab ends where it begins.
    """

    kind: Literal["wafers"]
    per_wafer: Annotated[int, Field(ge=1, le=100)]
    guard: Annotated[float, Field(ge=0)]
    modules: Annotated[int, Field(ge=1, le=100)]
    towers: Annotated[int, Field(ge=1, le=100)]
    module_edge: Annotated[float, Field(ge=0)]
    tower_edge: Annotated[float, Field(ge=0)]
    plug: Annotated[float, Field(ge=0)]
    structure: str

    def along_beam(self, half_length: float) -> tuple[float, float]:
        """Length of a module, and of a tower (mm), in a barrel of this half length."""
        length = 2 * half_length / self.modules
        return length, (length - 2 * self.module_edge) / self.towers

    def wafer(self, half_length: float) -> float:
        """Width of a wafer (mm), guard rings included."""
        return (self.along_beam(half_length)[1] - 2 * self.tower_edge) / TOWER_WAFERS

    def cell_size(self, half_length: float) -> float:
        """Side of a cell (mm)."""
        return (self.wafer(half_length) - 2 * self.guard) / self.per_wafer


class Plates(_Strict):
    """A plate at each end, regular polygons with a hole that is one, too.

    Attributes
    ----------
    sides, angle
        Of the polygons: how many, and azimuth of one side's normal.
    inner, outer
        Distance of the hole's sides, and of the plate's, from the beam.
    turn
        Azimuth of the columns' direction at positive z. Plates at negative z are those at positive
        z, turned by half a turn around y before they are turned by this.
    field, numbers
        Field of the cell ID that tells the ends apart, and its values at positive and negative z.
    """

    sides: Annotated[int, Field(ge=3, le=100)]
    angle: float
    inner: Length
    outer: Length
    turn: float
    field: str
    numbers: tuple[int, int]

    @model_validator(mode="after")
    def _has_a_hole(self) -> Plates:
        if self.inner >= self.outer:
            raise ValueError(f"the hole, {self.inner:g} mm, is no smaller than the plate")
        if self.numbers[0] == self.numbers[1]:
            raise ValueError(f"both ends have the number {self.numbers[0]}")
        return self

    @property
    def corner(self) -> float:
        """Distance of the plate's corners from the beam (mm)."""
        return self.outer / math.cos(math.pi / self.sides)


class LayeredDescription(_Strict):
    """What layered barrels and endcaps have in common.

    Attributes
    ----------
    name, model
        Of the calorimeter, which is that of the file, too, and of the detector it is part of.
    collection
        Usual name of its hits.
    encoding, constants
        Of cell IDs, and the fields that are the same in all.
    magnetic_field
        Along z, signed.
    mip
        Most probable energy (GeV) that a minimum ionising particle leaves in a layer.
    cells, layers, materials
        See their classes; layers from the inside out.
    """

    name: Name
    model: str
    collection: str
    encoding: str
    constants: dict[str, int]
    magnetic_field: float
    mip: Annotated[float, Field(gt=0)]
    cells: Annotated[Grid | Wafers, Field(discriminator="kind")]
    layers: Annotated[list[Slices], Field(min_length=1)]
    materials: dict[str, Material]

    def __hash__(self) -> int:
        return hash(self.name)

    @model_validator(mode="after")
    def _complete(self) -> LayeredDescription:
        unknown = {part.material for part in self.stack} - set(self.materials)
        if unknown:
            raise ValueError(f"materials without a composition: {', '.join(sorted(unknown))}")
        if not any(part.sensitive for part in self.stack):
            raise ValueError("no slice is sensitive")
        return self

    @property
    def stack(self) -> tuple[Slice, ...]:
        """All slices, from the inside out."""
        return tuple(
            part for group in self.layers for _ in range(group.repeat) for part in group.slices
        )

    @property
    def thickness(self) -> float:
        """Of the stack (mm)."""
        return sum(part.thickness for part in self.stack)

    @property
    def depths(self) -> list[float]:
        """Depth (mm) behind the front of the middle of each sensitive slice."""
        found, depth = [], 0.0
        for part in self.stack:
            if part.sensitive:
                found.append(depth + part.thickness / 2)
            depth += part.thickness
        return found


class BarrelDescription(LayeredDescription):
    """A layered barrel.

    Attributes
    ----------
    inner_radius, half_length
        Distance of the modules' front from the beam, half the length along it.
    modules
        See its class.
    """

    inner_radius: Length
    half_length: Length
    modules: Modules

    @property
    def cell_size(self) -> float:
        """Side of a cell (mm)."""
        cells = self.cells
        return cells.size if isinstance(cells, Grid) else cells.cell_size(self.half_length)


class EndcapDescription(LayeredDescription):
    """Layered endcaps.

    Attributes
    ----------
    distance
        From the origin to the plates' front.
    plates
        See its class.
    """

    cells: Grid
    distance: Length
    plates: Plates

    @property
    def cell_size(self) -> float:
        """Side of a cell (mm)."""
        return self.cells.size


Description = BarrelDescription | EndcapDescription


def folders() -> list[Path]:
    """Folders that are searched for descriptions, in this order."""
    listed = [Path(part) for part in os.environ.get(SEARCH_PATH, "").split(":") if part]
    return [*listed, FOLDER]


def names() -> tuple[str, ...]:
    """Names of the calorimeters that are described in these folders."""
    return tuple(sorted({file.stem for folder in folders() for file in folder.glob("*.yaml")}))


def find(name: str) -> Path | None:
    """File of a description that is given by its path, or by its name in one of the folders.

    A description in `K4CALOFAST_DETECTOR_PATH` goes before one of the same name in the package.
    None if there is none.
    """
    candidates = [Path(name)] if name.endswith(".yaml") else []
    if Path(name).name == name:
        candidates += [folder / f"{name}.yaml" for folder in folders()]
    for candidate in candidates:
        # A name can be too long for a path.
        with suppress(OSError):
            if candidate.is_file():
                return candidate
    return None


def describe(name: str) -> Description:
    """Return the description of this name, or in this file.

    Raises
    ------
    UnknownDetectorError
        If there is none; the message lists those there are.
    """
    file = find(name)
    if file is None:
        raise UnknownDetectorError(f"no description of '{name}'; there are {', '.join(names())}")
    return read(file)


def read(file: Path) -> Description:
    """Read a description.

    Raises
    ------
    UnknownDetectorError
        If the file is not a description, or not named after its detector; the message names the
        field.
    """
    return _described(file, read_text(file, _LARGEST, UnknownDetectorError))


@lru_cache(maxsize=32)
def _described(file: Path, text: str) -> Description:
    content, _ = yaml_of(text, str(file), UnknownDetectorError)
    # Barrels have modules, endcaps have plates.
    endcaps = isinstance(content, dict) and "plates" in content
    described: type[Description] = EndcapDescription if endcaps else BarrelDescription
    found = validated(described, content, file, UnknownDetectorError)
    if found.name != file.stem:
        raise UnknownDetectorError(
            f"{file}: describes '{found.name}', and must have its name: {found.name}.yaml"
        )
    return found

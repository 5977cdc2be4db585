"""Cell-ID encodings: the bit fields of a 64-bit cell ID, as DD4hep writes them.

The text form is a comma-separated list of ``name:width`` (the field follows the one
before it) or ``name:offset:width`` (the field starts at that bit). A negative width
means a signed field. Source: DD4hep's ``BitFieldCoder``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import IDs, Indices


@dataclass(frozen=True)
class BitField:
    """One named range of bits of a cell ID."""

    name: str
    offset: int
    width: int
    signed: bool

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value the field can hold."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1


@dataclass(frozen=True)
class CellIDEncoding:
    """A cell-ID encoding string and the arithmetic it stands for.

    Parameters
    ----------
    text
        For example ``"system:5,side:-2,layer:9,x:32:-16"``.

    Raises
    ------
    ValueError
        If the text is not an encoding, fields overlap, or 64 bits are not enough.
    """

    text: str

    def __post_init__(self) -> None:
        taken = 0
        for field in self.fields:
            mask = ((1 << field.width) - 1) << field.offset
            if taken & mask:
                raise ValueError(f"cell-ID encoding '{self.text}': '{field.name}' overlaps")
            taken |= mask

    @cached_property
    def fields(self) -> tuple[BitField, ...]:
        """The fields in the order of the text."""
        fields: list[BitField] = []
        offset = 0
        for part in self.text.split(","):
            name, *numbers = part.strip().split(":")
            try:
                sizes = [int(number) for number in numbers]
            except ValueError:
                sizes = []
            if not name or len(sizes) not in (1, 2) or sizes[-1] == 0:
                raise ValueError(f"cell-ID encoding '{self.text}': cannot read '{part}'")
            if len(sizes) == 2:
                offset = sizes[0]
            width = abs(sizes[-1])
            if offset < 0 or offset + width > 64:
                raise ValueError(f"cell-ID encoding '{self.text}': '{name}' is outside 64 bits")
            if any(field.name == name for field in fields):
                raise ValueError(f"cell-ID encoding '{self.text}': '{name}' appears twice")
            fields.append(BitField(name, offset, width, sizes[-1] < 0))
            offset += width
        return tuple(fields)

    def _field(self, name: str) -> BitField:
        for field in self.fields:
            if field.name == name:
                return field
        raise ValueError(f"cell-ID encoding '{self.text}' has no field '{name}'")

    def encode(self, **values: npt.ArrayLike) -> IDs:
        """Pack field values into cell IDs; fields not named are 0.

        Parameters
        ----------
        values
            Integers or integer arrays (broadcast together), by field name.

        Raises
        ------
        ValueError
            If a field does not exist or a value does not fit its width.
        """
        cell_id: IDs = np.zeros((), np.uint64)
        for name, value in values.items():
            field = self._field(name)
            numbers = np.asarray(value, np.int64)
            low, high = field.limits
            if numbers.size and (numbers.min() < low or numbers.max() > high):
                raise ValueError(f"'{name}' of the cell ID must lie in [{low}, {high}]")
            bits = numbers.astype(np.uint64) & np.uint64((1 << field.width) - 1)
            cell_id = cell_id | (bits << np.uint64(field.offset))
        return cell_id

    def decode(self, cell_id: npt.ArrayLike, name: str) -> Indices:
        """Value of one field of cell IDs.

        Raises
        ------
        ValueError
            If the encoding has no such field.
        """
        field = self._field(name)
        mask = np.uint64((1 << field.width) - 1)
        value = ((np.asarray(cell_id, np.uint64) >> np.uint64(field.offset)) & mask).astype(
            np.int64
        )
        if field.signed:
            value = np.where(value > field.limits[1], value - (1 << field.width), value)
        return value

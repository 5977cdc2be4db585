"""What is known of single cells: their response, their calibration, and which are dead.

A table has a row for a cell, or for all cells of which it names some fields of the ID. Its columns
are ``cellID`` or fields of the cell-ID encoding, which say which cells, and values:

- ``response``, what the cell measures of a deposit, relative to others (1);
- ``constant``, the factor from its signal to energy, beside that of all cells (1);
- ``dead``, whether it measures nothing (false).

As CSV it has a line with the columns' names, and may have comments that begin with ``#``; as YAML
or JSON it is a list of mappings. What a later row says counts.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from k4calofast.arrays import Columns, Floats, Indices, Mask
from k4calofast.detector import Calorimeter
from k4calofast.documents import one_line, read_json, read_text, read_yaml, validated
from k4calofast.exceptions import FileFormatError, SteeringError

_LARGEST = 1 << 24
_MOST_ROWS = 100_000
CELL_ID = "cellID"


@dataclass(frozen=True)
class CellCalibration(Columns):
    """What is known of N cells.

    Attributes
    ----------
    response, constant
        (N,) factors from deposit to signal, and from signal to energy.
    dead
        (N,) whether each measures nothing.
    """

    response: Floats
    constant: Floats
    dead: Mask

    @classmethod
    def ideal(cls, cells: int) -> CellCalibration:
        """Return so many cells of which nothing is known."""
        return cls(np.ones(cells), np.ones(cells), np.zeros(cells, np.bool_))


class CellValues(BaseModel):
    """What a row can say of its cells."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    response: float = Field(1.0, ge=0)
    constant: float = Field(1.0, gt=0)
    dead: bool = False


@dataclass(frozen=True)
class _Row:
    """Which cells, by the values of fields, and what is said of them."""

    where: str
    cells: Mapping[str, int]
    values: Mapping[str, float | bool]


def calibrations(
    file: str, dead: Sequence[str], calorimeters: Sequence[Calorimeter]
) -> list[CellCalibration]:
    """Return what is known of the cells of each calorimeter.

    Parameters
    ----------
    file
        A table; empty for none. It may be of more cells than these calorimeters have.
    dead
        Cells that measure nothing: IDs, or values of fields such as ``part=1,theta=20,phi=7``.

    Raises
    ------
    FileFormatError
        If the table cannot be read, or is of none of these cells.
    SteeringError
        If a dead cell is none of these.
    """
    names = ", ".join(calorimeter.name for calorimeter in calorimeters)
    rows = _read(Path(file), calorimeters) if file else []
    killed = [_killed(text, calorimeters) for text in dead]
    known = [CellCalibration.ideal(calorimeter.n_cells) for calorimeter in calorimeters]
    ids = [calorimeter.cell_id(np.arange(calorimeter.n_cells)) for calorimeter in calorimeters]
    of_fields = [
        {
            field.name: calorimeter.encoding.decode(own, field.name)
            for field in calorimeter.encoding.fields
        }
        for calorimeter, own in zip(calorimeters, ids, strict=True)
    ]
    matched = False
    for number, row in enumerate([*rows, *killed]):
        found = [
            _cells(row, calorimeter, fields)
            for calorimeter, fields in zip(calorimeters, of_fields, strict=True)
        ]
        some = any(cells.size for cells in found)
        matched |= some
        if number >= len(rows) and not some:
            raise SteeringError(f"{row.where}: no such cell in {names}")
        for calibration, cells in zip(known, found, strict=True):
            for name, value in row.values.items():
                getattr(calibration, name)[cells] = value
    if rows and not matched:
        raise FileFormatError(f"{file}: none of its {len(rows)} rows is of a cell of {names}")
    return known


def _cells(row: _Row, calorimeter: Calorimeter, fields: Mapping[str, Indices]) -> Indices:
    """Cells that a row is of."""
    if CELL_ID in row.cells:
        cell = calorimeter.cell_of(np.array([row.cells[CELL_ID]], np.uint64))
        return cell[cell >= 0]
    if not set(row.cells) <= set(fields):
        return np.zeros(0, np.int64)
    inside = np.ones(calorimeter.n_cells, np.bool_)
    for name, value in row.cells.items():
        inside &= fields[name] == value
    return np.flatnonzero(inside)


def _killed(text: str, calorimeters: Sequence[Calorimeter]) -> _Row:
    where = f"DeadCells '{one_line(text)}'"
    if "=" in text:
        pairs = [part.partition("=") for part in text.split(",")]
        said = {name.strip(): value.strip() for name, _, value in pairs}
    else:
        said = {CELL_ID: text.strip()}
    return _row(where, said | {"dead": True}, calorimeters, SteeringError)


def _read(file: Path, calorimeters: Sequence[Calorimeter]) -> list[_Row]:
    """Rows of a table."""
    content: list[tuple[str, Any]]
    match file.suffix.lower():
        case ".csv":
            content = _csv(file)
        case ".yaml" | ".yml" | ".json" as kind:
            document = (read_json if kind == ".json" else read_yaml)(file, FileFormatError)
            if not isinstance(document, list):
                raise FileFormatError(f"{file}: a list of rows is needed, one for a cell")
            content = [(f"{file}: row {n}", row) for n, row in enumerate(document, start=1)]
        case _:
            raise FileFormatError(f"{file}: the name must end with .csv, .yaml or .json")
    if len(content) > _MOST_ROWS:
        raise FileFormatError(f"{file}: more than {_MOST_ROWS} rows")
    return [_row(where, said, calorimeters, FileFormatError) for where, said in content]


def _csv(file: Path) -> list[tuple[str, Any]]:
    lines = read_text(file, _LARGEST, FileFormatError).splitlines()
    kept = [
        (number, line)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not kept:
        raise FileFormatError(f"{file}: empty; its first line names the columns")
    try:
        head, *rows = csv.reader([line for _, line in kept], strict=True)
    except csv.Error as error:
        raise FileFormatError(f"{file}: cannot be read: {one_line(str(error))}") from None
    names = [name.strip() for name in head]
    if len(rows) != len(kept) - 1:
        raise FileFormatError(f"{file}: a row of several lines")
    content: list[tuple[str, Any]] = []
    for (number, _), row in zip(kept[1:], rows, strict=True):
        if len(row) != len(names):
            raise FileFormatError(f"{file}:{number}: {len(row)} values, but {len(names)} columns")
        cells = {name: value.strip() for name, value in zip(names, row, strict=True)}
        content.append(
            (f"{file}:{number}", {name: value for name, value in cells.items() if value})
        )
    return content


def _row(
    where: str,
    said: Any,
    calorimeters: Sequence[Calorimeter],
    error: type[FileFormatError | SteeringError],
) -> _Row:
    """Return a row, checked: names of its columns, and what they say."""
    fields = dict.fromkeys(
        field.name for calorimeter in calorimeters for field in calorimeter.encoding.fields
    )
    values = dict.fromkeys(CellValues.model_fields)
    if not isinstance(said, dict):
        raise error(f"{where}: no mapping of columns to values")
    unknown = [one_line(str(name)) for name in said if name not in {CELL_ID, *fields, *values}]
    if unknown:
        raise error(
            f"{where}: '{unknown[0]}' is neither {CELL_ID} nor a field of the cell ID "
            f"({', '.join(fields)}) nor {', '.join(values)}"
        )
    cells = {name: _number(where, name, said[name], error) for name in said if name not in values}
    if not cells or (CELL_ID in cells and len(cells) > 1):
        raise error(f"{where}: say which cells, by {CELL_ID} or by {', '.join(fields)}")
    of_cells = {name: said[name] for name in said if name in values}
    checked = validated(CellValues, of_cells, where, error)
    return _Row(where, cells, checked.model_dump(include=set(of_cells)))


def _number(where: str, name: str, value: Any, error: type[FileFormatError | SteeringError]) -> int:
    try:
        number = int(value, 0) if isinstance(value, str) else value
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError
    except ValueError:
        raise error(f"{where}: {name}: '{one_line(str(value))}' is no whole number") from None
    if not -(1 << 63) <= number < 1 << 64 or (name == CELL_ID and number < 0):
        raise error(f"{where}: {name}: {number} does not fit 64 bits")
    return number

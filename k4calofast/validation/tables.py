"""Tables of a report: the same for Markdown and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from k4calofast.validation.metrics import Value
from k4calofast.validation.results import Row

_MOST = 10_000_000
"""Showers of a kind and momentum that nobody will simulate."""


@dataclass(frozen=True)
class Cell:
    """A text, and whether what it says is beyond its gate."""

    text: str
    beyond: bool = False


@dataclass(frozen=True)
class Table:
    """Lines of texts below the titles of their columns; and what a reader must know of them."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    note: str = ""

    @property
    def cells(self) -> list[list[Cell]]:
        """All cells, line by line."""
        return [
            [cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows
        ]

    def markdown(self) -> list[str]:
        """Lines of Markdown; what is beyond its gate is bold."""
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        for row in self.cells:
            texts = (f"**{cell.text}**" if cell.beyond else cell.text for cell in row)
            lines.append("| " + " | ".join(texts) + " |")
        title = [f"{self.title}:", ""] if self.title else []
        return [*title, *lines, "", *([self.note, ""] if self.note else [])]


@dataclass(frozen=True)
class Column:
    """A column of the table of groups: its title, and whether it is in percent."""

    title: str
    percent: bool = True


def of_groups(
    title: str, rows: Sequence[Row], columns: Mapping[str, Column], gates: Mapping[str, float]
) -> list[Table]:
    """Return the figures of groups: a table for those that have the same ones, or some of them."""

    def cell(row: Row, name: str, percent: bool) -> Cell:
        if name in row.others:
            number = row.others[name]
            return Cell("-" if number is None else f"{number:.2f}")
        value = row.figures.get(name)
        if value is None:
            return Cell("-")
        text = in_percent(value) if percent else f"{value:.2f}"
        return Cell(text, abs(value.value) > gates[name])

    parts: list[tuple[set[str], list[Row]]] = []
    for row in rows:
        there = {name for name in columns if name in row.figures or name in row.others}
        for names, alike in parts:
            if there <= names or names <= there:
                names |= there
                alike.append(row)
                break
        else:
            parts.append((there, [row]))
    return [
        Table(
            title,
            ["group", "showers", *(columns[name].title for name in columns if name in names)],
            [
                [
                    row.group.where,
                    str(row.showers),
                    *(cell(row, name, columns[name].percent) for name in columns if name in names),
                ]
                for row in alike
            ],
        )
        for names, alike in parts
    ]


def in_percent(value: Value) -> str:
    """A relative difference and its error."""
    return f"{value.scaled(100):+.2f} %"


def rounded(number: int) -> str:
    """Two digits of a number that is known to some tens of per cent, if anybody could make it."""
    if number > _MOST:
        return f"> {_MOST:,}"
    return f"{float(f'{number:.2g}'):,.0f}"

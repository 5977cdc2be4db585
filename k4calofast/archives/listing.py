"""Which models there are: installed, fetched, somewhere else, or in the index alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from k4calofast.documents import read_yaml, validated
from k4calofast.exceptions import K4CaloFastError, ModelError
from k4calofast.generator import index, search
from k4calofast.generator.card import read_card
from k4calofast.generator.sets import ModelSet


class Where(StrEnum):
    """Where a model is."""

    PACKAGE = "package"
    FETCHED = "fetched"
    PATH = "path"
    TO_FETCH = "to fetch"


@dataclass(frozen=True)
class Listed:
    """A model, or a set of models.

    Attributes
    ----------
    name, version, description, detector, kinds, licence
        As in the index; of a set, name and description alone.
    where, folder
        Where it is; None if it is not here. The folder of a set is its file.
    size
        Bytes: of the ONNX file, or of the archive that would be fetched.
    newer
        Version in the index, where that of a fetched model is another.
    models
        Of a set.
    fault
        Why its card or file cannot be read, if so.
    """

    name: str
    where: Where
    folder: Path | None
    version: str = ""
    description: str = ""
    detector: str = ""
    kinds: tuple[int, ...] = ()
    licence: str = ""
    size: int = 0
    newer: str | None = None
    models: tuple[str, ...] = ()
    fault: str | None = None


def listed() -> list[Listed]:
    """All models by name, and then all sets."""
    folders, known = search.installed(), index.entries()
    here = [_installed(name, folder) for name, folder in folders.items()]
    there = [_to_fetch(entry) for name, entry in known.items() if name not in folders]
    sets = [_set(name, file) for name, file in sorted(search.installed_sets().items())]
    return [*sorted([*here, *there], key=lambda one: one.name), *sets]


def _installed(name: str, folder: Path) -> Listed:
    where = where_is(folder)
    try:
        card = read_card(folder)
    except K4CaloFastError as error:
        return Listed(name, where, folder, fault=str(error))
    entry, file = index.entries().get(name), folder / card.file
    older = where is Where.FETCHED and entry is not None and entry.version != card.version
    return Listed(
        name,
        where,
        folder,
        card.version,
        card.in_short,
        card.detector,
        tuple(card.kinds),
        card.licence,
        file.stat().st_size if file.is_file() else 0,
        entry.version if older and entry is not None else None,
    )


def _to_fetch(entry: index.Entry) -> Listed:
    return Listed(
        entry.name,
        Where.TO_FETCH,
        None,
        entry.version,
        entry.description,
        entry.detector,
        entry.kinds,
        entry.licence,
        entry.size,
    )


def _set(name: str, file: Path) -> Listed:
    try:
        found = validated(ModelSet, read_yaml(file, ModelError), file, ModelError)
    except K4CaloFastError as error:
        return Listed(name, where_is(file), file, fault=str(error))
    members = tuple(member.model for member in found.models)
    return Listed(name, where_is(file), file, description=found.description, models=members)


def where_is(place: Path) -> Where:
    """Tell to which of the folders that are searched a model or a set belongs."""
    if place.is_relative_to(search.PACKAGED):
        return Where.PACKAGE
    return Where.FETCHED if place.is_relative_to(search.cache_folder()) else Where.PATH

"""The index: models that are released as archives, for whoever has not got them.

It is a file of this package, ``index.yaml``, so each release knows its models by their SHA-256.
`k4calofast models pack` makes an archive and prints what the index has to say of it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from k4calofast.documents import Name, read_yaml, validated
from k4calofast.exceptions import ModelError

FILE = Path(__file__).with_name("index.yaml")
"""Of this package."""

LARGEST_ARCHIVE = 1 << 30
"""Bytes."""

_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


class Entry(BaseModel):
    """What the index says of a model.

    Attributes
    ----------
    name, version, licence, detector, kinds
        As in its card.
    description
        What its card says in short.
    size, sha256
        Bytes of its archive, and their digest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{_WORD}/{_WORD}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
    description: Name
    licence: Name
    detector: Name
    kinds: Annotated[tuple[int, ...], Field(min_length=1)]
    size: Annotated[int, Field(ge=1, le=LARGEST_ARCHIVE)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def archive(self) -> str:
        """Name of the archive: flat, so that any store of releases can hold it."""
        return f"{self.name.replace('/', '-')}-{self.version}.zip"


class Index(BaseModel):
    """All of them.

    Attributes
    ----------
    layout
        Of the file.
    models
        An entry for each model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal[1]
    models: tuple[Entry, ...]

    @model_validator(mode="after")
    def _each_once(self) -> Index:
        for what in ("name", "archive"):
            there = [getattr(entry, what) for entry in self.models]
            for one in there:
                if there.count(one) > 1:
                    raise ValueError(f"{what} '{one}' is there twice")
        return self


def read(file: Path = FILE) -> Index:
    """Read an index.

    Raises
    ------
    ModelError
        If it cannot be read; the message names the field.
    """
    return validated(Index, read_yaml(file, ModelError), file, ModelError)


@lru_cache(maxsize=1)
def entries() -> dict[str, Entry]:
    """Entries of the package's index, by the names of the models."""
    return {entry.name: entry for entry in read().models}

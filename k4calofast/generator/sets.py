"""Sets: YAML files that name the models of a detector, region by region.

A job takes a set wherever it takes a model. A particle goes to the first of the models for its
region that knows its kind and holds its conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from k4calofast.documents import Name, read_yaml, validated
from k4calofast.exceptions import ModelError
from k4calofast.generator.card import CARD_FILE
from k4calofast.generator.search import find_model, matches, missing


class Member(BaseModel):
    """A model of a set.

    Attributes
    ----------
    model
        Its name, or its folder: absolute, or beginning at that of the set.
    pdg
        Kinds of particles that it is for; without any, all of its card's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Name
    pdg: tuple[int, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, data: Any) -> Any:
        return {"model": data} if isinstance(data, str) else data


class ModelSet(BaseModel):
    """A set of models.

    Attributes
    ----------
    layout
        Of the file.
    description
        What it is for, for people.
    models
        In the order in which they are asked; the first model of a region says where it stands among
        the regions.
    out_of_range
        What to do with particles that are outside the ranges of all models for their kind, if a job
        does not say: hand them on, or simulate them at the edge of the nearest range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal[1] = 1
    description: str = ""
    models: Annotated[tuple[Member, ...], Field(min_length=1, max_length=1000)]
    out_of_range: Literal["skip", "clamp"] = "skip"

    @model_validator(mode="after")
    def _each_once(self) -> ModelSet:
        names = [member.model for member in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"names model '{name}' twice")
        return self


@dataclass(frozen=True)
class Found:
    """What a name of models stands for.

    Attributes
    ----------
    members
        Folders of models, and the kinds of particles (PDG numbers) that each is for; without any,
        all of its card's.
    out_of_range
        See `ModelSet`.
    """

    members: tuple[tuple[Path, tuple[int, ...]], ...]
    out_of_range: Literal["skip", "clamp"] = "skip"


def find(name: str) -> list[tuple[Path, tuple[int, ...]]]:
    """Folders of the models that a name stands for, and the kinds of particles each is for.

    See `found`.
    """
    return [*found(name).members]


def found(name: str) -> Found:
    """Find the models that a name stands for.

    Parameters
    ----------
    name
        Of a model or of a set: its path, or its name in one of the folders of
        `k4calofast.generator.search`.

    Raises
    ------
    ModelError
        If there is neither, the message lists those there are; or if the set is wrong.
    """
    file = next(matches(name), None)
    if file is None:
        raise missing(name)
    if file.name == CARD_FILE:
        return Found(((file.parent, ()),))
    wanted = validated(ModelSet, read_yaml(file, ModelError), file, ModelError)
    members = []
    for member in wanted.models:
        try:
            folder = _beside(file, member.model) or find_model(member.model)
        except ModelError as error:
            raise ModelError(f"{file}: {error}") from error
        members.append((folder, member.pdg))
    return Found(tuple(members), wanted.out_of_range)


def _beside(file: Path, name: str) -> Path | None:
    """Folder of a model that is given by where it lies beside a set."""
    folder = file.parent / name
    return folder if (folder / CARD_FILE).is_file() else None

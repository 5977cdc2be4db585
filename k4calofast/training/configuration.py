"""Settings of a training: typed, with defaults, read from YAML with errors that name the line.

Nothing here loads torch: the command line checks settings before it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from k4calofast.documents import one_line, read_mapping, yaml_of
from k4calofast.exceptions import TrainingError

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


class Settings(BaseModel):
    """What all families of generators have in common.

    Attributes
    ----------
    threshold
        GeV; energies of cells below are dropped.
    seed
        Of everything random.
    precision
        Of the training, in Lightning's words.
    epoch
        Steps between two checkpoints.
    patience
        Epochs without a better figure after which a training stops, where a sample to choose
        epochs by is given; 0 is never.
    block
        Showers per inference call on a CPU; see `k4calofast.generator.card.ModelCard`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: ClassVar[str]
    """What the family is, for people."""
    source: ClassVar[str]
    """The publication that it follows."""

    threshold: float = Field(default=5e-5, ge=0)
    seed: int = Field(default=0, ge=0)
    precision: Precision = "bf16-mixed"
    epoch: int = Field(default=500, ge=1)
    patience: int = Field(default=0, ge=0)
    block: int = Field(default=16, ge=1, le=1 << 16)


OfFamily = TypeVar("OfFamily", bound=Settings)


@dataclass(frozen=True)
class Configuration:
    """A family's name and the values that are not its defaults, as a user gave them.

    Attributes
    ----------
    family
        Name of the family; see `k4calofast.training.families.FAMILIES`.
    values
        Its settings.
    lines
        Where each was written, for errors.
    """

    family: str
    values: dict[str, Any]
    lines: dict[str, str]

    def settings(self, schema: type[OfFamily]) -> OfFamily:
        """Check the values against the family's settings.

        Raises
        ------
        TrainingError
            If a setting does not exist or has a wrong value; the message says where.
        """
        try:
            return schema.model_validate(self.values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else ""
            where = self.lines.get(name, f"family {self.family}")
            what = first["msg"]
            if first["type"] == "extra_forbidden":
                known = ", ".join(schema.model_fields)
                what = f"no such setting of {self.family}; there are {known}"
            raise TrainingError(one_line(f"{where}: {name}: {what}")) from None


def read(
    family: str | None, file: Path | None, assignments: list[str], default: str
) -> Configuration:
    """Read a configuration.

    Parameters
    ----------
    family
        Name of the family, if it is not in the file.
    file
        YAML: one mapping from settings to values, with ``family`` among them.
    assignments
        ``name=value``, stronger than the file.
    default
        Family if nothing names one.

    Raises
    ------
    TrainingError
        If the file cannot be read, or is no such mapping; the message names the line.
    """
    values: dict[str, Any] = {}
    lines: dict[str, str] = {}
    if file is not None:
        values, lines = mapping(file)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise TrainingError(f"--set {assignment}: must be name=value")
        lines[name] = f"--set {assignment}"
        values[name] = yaml_of(text, lines[name], TrainingError)[0]
    named = values.pop("family", None)
    if named is not None and not isinstance(named, str):
        raise TrainingError(f"{lines['family']}: family: must be a name")
    return Configuration(family or named or default, values, lines)


def text(family: str, settings: Settings) -> str:
    """Return all settings as YAML that `read` takes."""
    content = {"family": family, **settings.model_dump(mode="json")}
    return yaml.safe_dump(content, sort_keys=False)


def mapping(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a mapping from settings to anything, and where each setting is written.

    Raises
    ------
    TrainingError
        If the file cannot be read, or is no such mapping; the message names the line.
    """
    values, lines = read_mapping(file, TrainingError)
    if not (isinstance(values, dict) and all(isinstance(name, str) for name in values)):
        raise TrainingError(f"{file}: must be a mapping from settings to values")
    # What another mapping was merged into has no line of its own.
    return values, {name: lines.get(name, str(file)) for name in values}

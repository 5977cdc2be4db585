"""Model cards: what a generator simulates, and what is known about it.

A model is a folder with ``card.yaml`` and the ONNX file that the card names. Cards and models
come from others: they are read as data, checked, and never executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from k4calofast import output
from k4calofast.arrays import Floats, Mask
from k4calofast.documents import Name, read_bytes, read_yaml, validated, yaml_of
from k4calofast.exceptions import ModelError

CARD_FILE, MODEL_FILE = "card.yaml", "model.onnx"
"""In model folders; cards may name another file."""

LAYOUT = 1
"""Of the cards that this release writes; it reads those up to it."""

LARGEST_CARD, LARGEST_MODEL = 1 << 20, 1 << 29
"""Bytes that they may have."""
_BEFORE_LAYOUTS = {2: "windows", 3: "hits"}
"""Interfaces by the number of a window's sides, of cards that say neither layout nor interface."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Range = tuple[Finite, Finite]
InterfaceName = Literal["windows", "hits"]
Edge = Annotated[int, Field(ge=1, le=1000)]


class _Open(BaseModel):
    """With fields that newer releases add, which stay where they are."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Training(_Open):
    """How the model was made.

    Attributes
    ----------
    method
        In words.
    command
        Command that makes it again, from the repository's root.
    showers, sample, seed
        Number of training showers, how the sample was made, and the training's own seed.
    simulation, physics, physics_data
        Full simulation behind the sample.
    software, machine, minutes
        What it was trained with, on what, for how long.
    family
        Title of the family of generators; None for models that do not say.
    sample_seed
        Seed of the training sample, None if it is unknown. No reference of a validation may have
        it: its showers were trained on.
    more_seeds
        Those of further samples.
    """

    method: str
    command: str
    showers: int
    sample: str
    seed: int
    simulation: str
    physics: str
    physics_data: str
    software: str
    machine: str
    minutes: Finite
    family: Name | None = None
    sample_seed: int | None = None
    more_seeds: tuple[int, ...] = ()


class ModelCard(_Open):
    """A model card.

    Attributes
    ----------
    layout
        Number of the card's own form; higher ones are not understood here.
    needs
        Names of fields that must be understood to use the model; others may be unknown.
    name, version, description, licence, authors
        What the model is, and under what terms it may be used.
    file, sha256
        ONNX file in the card's folder, and its digest.
    detector
        Name of the calorimeter.
    interface
        What the ONNX file returns; see `k4calofast.generator.interfaces`.
    window
        Shape of the window of cells around where a particle enters: rows and columns of crystals,
        or layers, columns and rows.
    threshold
        Cells below this energy (GeV) are 0.
    kinds
        For each kind of particle (PDG number), the range of each condition of the calorimeter.
    noise
        Standard normal numbers per shower.
    uniform
        Numbers between 0 and 1 per shower.
    block
        Inference calls on a CPU have this many showers, so that rounding does not depend on
        what else is in the batch;
    blocks_per_call
        or up to so many times as many, if the model says that rounding is the same.
    training, validation
        How it was made, and how it compares with full simulation.
    gates
        Limits of its validation, where they are not the usual ones.
    """

    layout: Annotated[int, Field(ge=1)] = LAYOUT
    needs: tuple[Name, ...] = ()
    name: Name
    version: Name
    description: str
    licence: Name
    authors: str
    file: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    detector: Name
    interface: InterfaceName
    window: Annotated[tuple[Edge, ...], Field(min_length=2, max_length=3)]
    threshold: Annotated[Finite, Field(ge=0)]
    kinds: Annotated[dict[int, dict[str, Range]], Field(min_length=1)]
    noise: Annotated[int, Field(ge=1, le=1 << 16)]
    uniform: Annotated[int, Field(ge=0, le=1 << 16)] = 0
    block: Annotated[int, Field(ge=1, le=1 << 16)]
    blocks_per_call: Annotated[int, Field(ge=1, le=1 << 10)] = 1
    training: Training
    validation: dict[str, Any]
    gates: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that showers are generated for, in their order."""
        return tuple(next(iter(self.kinds.values())))

    @property
    def in_short(self) -> str:
        """What the model is, in one line: its family, or all of the description."""
        return " ".join((self.training.family or self.description).split()).rstrip(".")

    def ordered(self, conditions: Sequence[str]) -> ModelCard:
        """Return the same with all of its conditions in this order: a file may have any."""
        kinds = {
            pdg: {name: ranges[name] for name in conditions} for pdg, ranges in self.kinds.items()
        }
        return self.model_copy(update={"kinds": kinds})

    def limits(self, pdg: int) -> Floats:
        """(2, conditions) the smallest and the largest conditions of a kind, in their order."""
        return np.array(list(self.kinds[pdg].values())).T

    def holds(self, pdg: int, conditions: Floats, margin: float = 0.0) -> Mask:
        """Whether conditions (N, conditions) are in the range of a kind, edges included.

        Parameters
        ----------
        margin
            By which share of the range its edges are moved outwards: conditions on an edge may be
            rounded.
        """
        low, high = self.limits(pdg)
        beyond = margin * (high - low)
        fits = (conditions >= low - beyond) & (conditions <= high + beyond)
        inside: Mask = fits.all(1)
        return inside

    def away(self, pdg: int, conditions: Floats) -> Floats:
        """How far (N,) conditions (N, conditions) are from the range of a kind, 0 inside.

        It is counted in widths of the range of each condition, and added in quadrature.
        """
        low, high = self.limits(pdg)
        beyond = np.maximum(np.maximum(low - conditions, conditions - high), 0.0) / (high - low)
        away: Floats = np.sqrt((beyond**2).sum(1))
        return away

    @model_validator(mode="before")
    @classmethod
    def _understood(cls, data: Any) -> Any:
        """Refuse cards of newer releases; cards without a layout are of the one before it."""
        if not isinstance(data, dict):
            return data
        layout, needs = data.get("layout", LAYOUT), data.get("needs", ())
        if isinstance(layout, int) and layout > LAYOUT:
            raise ValueError(
                f"layout {layout} is of a newer release; this one reads cards up to {LAYOUT}"
            )
        known = set(cls.model_fields)
        unknown = set(map(str, needs)) - known if isinstance(needs, list | tuple) else set()
        if unknown:
            raise ValueError(
                f"the model needs '{min(unknown)}', which this release does not know: a newer one "
                "is needed"
            )
        window = data.get("window")
        if "interface" in data or "layout" in data or not isinstance(window, list | tuple):
            return data
        return data | {"interface": _BEFORE_LAYOUTS.get(len(window))}

    @field_validator("detector")
    @classmethod
    def _a_name(cls, detector: str) -> str:
        if Path(detector).name != detector:
            raise ValueError("must be the name of a calorimeter, no path")
        return detector

    @field_validator("file")
    @classmethod
    def _in_the_folder(cls, file: str) -> str:
        if Path(file).name != file or file in ("", ".", ".."):
            raise ValueError("must be a plain file name in the card's folder")
        return file

    @model_validator(mode="after")
    def _same_conditions(self) -> ModelCard:
        for pdg, ranges in self.kinds.items():
            if set(ranges) != set(self.conditions):
                raise ValueError(f"kind {pdg} must have ranges for {', '.join(self.conditions)}")
            for name, (low, high) in ranges.items():
                if not low < high:
                    raise ValueError(f"kind {pdg}: range of {name} is empty")
        return self


def read_card(folder: Path) -> ModelCard:
    """Read and check the card of a model folder.

    Raises
    ------
    ModelError
        If there is no card, or it is wrong; the message names the field.
    """
    file = folder / CARD_FILE
    if not file.exists():
        raise ModelError(f"{folder}: no model here (no {CARD_FILE})")
    return validated(ModelCard, read_yaml(file, ModelError), file, ModelError)


def card_of(content: bytes, where: str) -> ModelCard:
    """Return the card that a file's content is; `where` begins an error's sentence.

    Raises
    ------
    ModelError
        If it is none; the message names the field.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{where}: cannot be read: not UTF-8") from None
    return validated(ModelCard, yaml_of(text, where, ModelError)[0], where, ModelError)


def check_destination(folder: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a model folder that could not be written, or must not be, before the work begins.

    Parameters
    ----------
    inputs
        What the work reads.

    Raises
    ------
    OutputError
        See `k4calofast.output.check`.
    """
    for name in (MODEL_FILE, CARD_FILE):
        output.check(folder / name, inputs)


def write_card(folder: Path, card: ModelCard) -> None:
    """Write the card of a model folder.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, width=88)
    output.write(folder / CARD_FILE, text)


def digest(content: bytes) -> str:
    """SHA-256 of a model file, as cards have it."""
    return hashlib.sha256(content).hexdigest()


def read_checked(folder: Path, card: ModelCard) -> bytes:
    """Read the card's ONNX file.

    Raises
    ------
    ModelError
        If it is missing, too large, or not the file that the card describes.
    """
    file = folder / card.file
    content = read_bytes(file, LARGEST_MODEL, ModelError)
    found = digest(content)
    if found != card.sha256:
        raise ModelError(
            f"{file}: SHA-256 is {found[:12]}…, but its card says {card.sha256[:12]}…; "
            "model and card do not belong together"
        )
    return content

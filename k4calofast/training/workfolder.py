"""Work folders: what a training leaves besides its product, so that it can go on after a kill.

They hold the settings, a folder per stage with checkpoints and logs, the trained family, and notes
of what all this is of. A folder is one training's at a time; files in it are complete or not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from k4calofast import output
from k4calofast.documents import read_json, validated
from k4calofast.exceptions import TrainingError
from k4calofast.locks import locked
from k4calofast.training import configuration
from k4calofast.training.configuration import Settings
from k4calofast.training.families import settings_of

TRAINED, CONFIGURATION, IDENTITY = "family.pt", "configuration.yaml", "identity.json"
"""In the folder: the trained family, its settings, and what it was trained on."""

LAST, BEST = "last.ckpt", "best.pt"
"""In a stage's folder: where it can go on, and the weights of the best epoch."""

_LOCK = "lock"


class History(BaseModel):
    """How a generator came to be.

    Attributes
    ----------
    command, method
        Of this training.
    minutes
        Spent on it so far.
    seeds
        Of the samples.
    earlier_command, earlier_method, earlier_minutes
        Of the trainings that it started from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str = ""
    method: str = ""
    minutes: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    seeds: tuple[int, ...] = ()
    earlier_command: str = ""
    earlier_method: str = ""
    earlier_minutes: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @property
    def commands(self) -> str:
        """All commands, in their order."""
        return " && ".join(filter(None, (self.earlier_command, self.command)))

    @property
    def methods(self) -> str:
        """What was done, in its order."""
        return "; then ".join(filter(None, (self.earlier_method, self.method)))

    @property
    def all_minutes(self) -> float:
        """Minutes of all trainings."""
        return self.earlier_minutes + self.minutes

    def after(self, earlier: History) -> History:
        """Return this history, after another one."""
        return self.model_copy(
            update={
                "seeds": tuple(sorted({*earlier.seeds, *self.seeds})),
                "earlier_command": earlier.commands,
                "earlier_method": earlier.methods,
                "earlier_minutes": earlier.all_minutes,
            }
        )

    def at(self, minutes: float) -> History:
        """Return this history after so many minutes."""
        return self.model_copy(update={"minutes": minutes})


class Notes(History):
    """What a work folder is of: its history, and what decides the result.

    Attributes
    ----------
    identity
        Samples, settings, and whatever else.
    """

    identity: dict[str, Any]


class WorkFolder:
    """A work folder that is this process's alone; see `opened`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take_up(self, identity: Mapping[str, object], name: str, settings: Settings) -> float:
        """Minutes that were spent here already, after making sure that it was for the same.

        Parameters
        ----------
        identity
            What decides the result.
        name, settings
            Of the family, to be kept here.

        Raises
        ------
        TrainingError
            If it was for something else, or nothing says for what.
        """
        minutes = 0.0
        if (self.folder / IDENTITY).exists():
            known = notes(self.folder)
            minutes = known.minutes
            if known.identity != identity:
                changed = [key for key in identity if known.identity.get(key) != identity[key]]
                raise TrainingError(
                    f"{self.folder} is of a training with another {', '.join(changed)}; "
                    "remove it, or choose another --work folder"
                )
        else:
            if any(self.folder.glob(f"*/{LAST}")):
                raise TrainingError(
                    f"{self.folder} has checkpoints, and no {IDENTITY} that says of what; "
                    "remove it, or choose another --work folder"
                )
            self.note(Notes(identity=dict(identity)))
        output.write(self.folder / CONFIGURATION, configuration.text(name, settings))
        return minutes

    def note(self, history: History) -> None:
        """Keep the history, beside what is trained here."""
        what = history.model_dump(mode="json")
        if not isinstance(history, Notes):
            what["identity"] = notes(self.folder).identity
        output.write(self.folder / IDENTITY, Notes(**what).model_dump_json())

    def keep(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Keep a trained family's parameters."""
        with output.NewFile(self.folder / TRAINED) as unfinished:
            torch.save(weights, unfinished)


@contextmanager
def opened(folder: Path) -> Iterator[WorkFolder]:
    """Have a work folder, made if missing, that no other training works in.

    Raises
    ------
    TrainingError
        If another one does.
    OutputError
        If it cannot be made or written to.
    """
    output.check_folder(folder)
    with output.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / _LOCK) as ours:
        if not ours:
            raise TrainingError(
                f"{folder}: another training is at work here; wait for its end, or choose another "
                "--work folder"
            )
        yield WorkFolder(folder)


def notes(folder: Path) -> Notes:
    """Return what the notes in a work folder say.

    Raises
    ------
    TrainingError
        If there are none, or they are damaged: then nothing says what is in the folder.
    """
    file = folder / IDENTITY
    try:
        return validated(Notes, read_json(file, TrainingError), file, TrainingError)
    except TrainingError as error:
        raise TrainingError(
            f"{error}; nothing else says what was trained in {folder}: remove that folder, or "
            "choose another one"
        ) from None


def settings(folder: Path) -> tuple[str, Settings]:
    """Return the family and the settings of what was trained in a work folder.

    Raises
    ------
    TrainingError
        If they cannot be read, or are no more those that it was trained with.
    """
    file = folder / CONFIGURATION
    found = configuration.read(None, file, [], "")
    settings = found.settings(settings_of(found.family))
    noted = notes(folder).identity.get("settings")
    values = settings.model_dump(mode="json")
    if not isinstance(noted, dict) or any(
        name in values and values[name] != value for name, value in noted.items()
    ):
        raise TrainingError(
            f"{file}: was changed after the training, whose settings {IDENTITY} has; put them "
            "back, or train again in another folder"
        )
    return found.family, settings


def load(
    file: Path, take: Callable[[dict[str, torch.Tensor]], object], unlike: str, remedy: str
) -> None:
    """Read parameters, and let a module take them.

    Parameters
    ----------
    unlike
        What they are if it cannot take them.
    remedy
        What to do if they cannot be read or taken.

    Raises
    ------
    TrainingError
        If they cannot.
    """
    try:
        found = torch.load(file, weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{file}: no such file, so nothing trained; {remedy}") from None
    except Exception as error:
        # torch's reader raises whatever comes to it for files that are damaged.
        raise TrainingError(f"{file}: is damaged ({first_line(error)}); {remedy}") from None
    if not isinstance(found, dict) or not all(
        isinstance(value, torch.Tensor) for value in found.values()
    ):
        raise TrainingError(f"{file}: holds no parameters; {remedy}")
    try:
        take(found)
    except (KeyError, RuntimeError) as error:
        raise TrainingError(f"{file}: {unlike} ({first_line(error)}); {remedy}") from None


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip("'\" \n").splitlines() or [type(error).__name__])[0]

"""Whose a model is: author, licence and version, as its card says them."""

from __future__ import annotations

import getpass
import shutil
import subprocess

from pydantic import BaseModel, ConfigDict, Field

from k4calofast.documents import Name, validated
from k4calofast.exceptions import SteeringError

UNSPECIFIED = "unspecified"
"""Licence of a model whose author has not chosen one: nobody else may use it yet."""

FIRST = "0.1.0"
"""Version of a new model."""

_SECONDS = 5.0
"""That git may take."""


def author() -> str:
    """Return who trains here: the name that git knows (``user.name``), or else the login name."""
    git = shutil.which("git")
    if git is not None:
        try:
            said = subprocess.run(  # noqa: S603 - found in the user's own path
                [git, "config", "--get", "user.name"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            pass
        else:
            if name := " ".join(said.stdout.split()):
                return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A number without a name, in containers.
        return "unknown"


class Authorship(BaseModel):
    """Author, licence and version of a model.

    Attributes
    ----------
    author
        Who it is from; by default `author`.
    licence
        Terms under which it may be used, an SPDX identifier say.
    version
        The model's own.
    """

    model_config = ConfigDict(frozen=True)

    author: Name = Field(default_factory=author)
    licence: Name = UNSPECIFIED
    version: Name = FIRST

    def stated(self) -> dict[str, str]:
        """Return what was given, by the names of model cards' fields."""
        names = {"author": "authors", "licence": "licence", "version": "version"}
        return {names[name]: getattr(self, name) for name in self.model_fields_set}


def given(author: str | None, licence: str | None, version: str | None) -> Authorship:
    """Return what a user says, and defaults for what is None.

    Raises
    ------
    SteeringError
        If something is no text that a card can hold.
    """
    said = {"author": author, "licence": licence, "version": version}
    values = {name: value for name, value in said.items() if value is not None}
    return validated(Authorship, values, "model", SteeringError)

"""What bash and zsh propose for the words of a `k4run` command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from k4calofast.steering import command_line, installed


def candidates(words: Sequence[str]) -> list[str]:
    """Return what the last word can become; nothing where the shell proposes files.

    Parameters
    ----------
    words
        Of the command line, without the command, up to the cursor.
    """
    *before, word = words or [""]
    option = _unfinished(before)
    if word.startswith("-"):
        found = [*_arguments(), *(f"--{name}" for name in _properties())]
    elif option is not None:
        found = _values(option)
    else:
        found = [*installed.options_files(), *_here(word)]
    return sorted({one for one in found if one.startswith(word)})


def _unfinished(words: Sequence[str]) -> str | None:
    """The option that the next word is a value of, None if it is of none."""
    at = next((i for i in reversed(range(len(words))) if words[i].startswith("-")), None)
    if at is None:
        return None
    option, given = words[at], len(words) - at - 1
    arguments = _arguments()
    if option in arguments:
        most = 0 if arguments[option].nargs == 0 else 1
        return option if given < most else None
    is_list = get_origin(_properties().get(option.removeprefix("--"))) is list
    return option if is_list or not given else None


def _here(word: str) -> list[str]:
    """Options files, and folders on the way to them, whose names begin with a word."""
    if Path(word).is_absolute() or set("*?[") & set(word):
        return []
    return [str(path) for path in Path().glob(f"{word}*") if path.suffix == ".py" or path.is_dir()]


def _arguments() -> dict[str, argparse.Action]:
    parser = command_line.parser()
    command_line.add_help(parser)
    return {option: action for action in parser._actions for option in action.option_strings}


def _properties() -> dict[str, Any]:
    """Types of properties, by the names that they have where components have usual names."""
    from k4calofast.steering.configurables import COMPONENTS, IOSvc

    return {
        f"{name}.{key}": field.annotation
        for name, component in {**COMPONENTS, "IOSvc": IOSvc}.items()
        for key, field in component.properties_type.model_fields.items()
    }


def _values(option: str) -> list[str]:
    """Values that an option can have, if they can be listed."""
    arguments, name = _arguments(), option.removeprefix("--")
    if option in arguments:
        return list(arguments[option].choices or ())
    if name == "CaloFastSim.Model":
        return models()
    annotation = _properties().get(name)
    return [str(one) for one in get_args(annotation)] if get_origin(annotation) is Literal else []


def models() -> list[str]:
    """Names of the models and sets that are installed."""
    from k4calofast.generator import search

    return [*search.installed(), *search.installed_sets()]

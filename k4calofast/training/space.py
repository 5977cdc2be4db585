"""What a search for settings may try: ranges and choices, checked against the family's settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from k4calofast.exceptions import SteeringError, TrainingError
from k4calofast.training.configuration import Configuration, Settings, mapping

Choice = bool | int | float | str

_TIMES = 4.0
"""By default, rates are searched from a fourth to four times their value."""

_SIZES = ("width", "channels", "hidden")
"""Ends of the names of sizes of networks, of which half and one and a half are tried."""


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, whole ones if these are; evenly in the logarithm or not."""

    low: float
    high: float
    log: bool = False


Space = dict[str, Range | tuple[Choice, ...]]
"""For each setting that is searched, its range or its choices."""


def default(family: str, base: Settings) -> Space:
    """Return what to search if nobody says so: learning rates and widths around a configuration."""
    space: Space = {}
    for name, value in base:
        if name.endswith("rate") and isinstance(value, float):
            space[name] = Range(value / _TIMES, value * _TIMES, log=True)
        elif name.endswith(_SIZES) and isinstance(value, int) and value > 1:
            space[name] = (value // 2, value, value + value // 2)
    return {name: tried for name, tried in space.items() if _allowed(family, base, name, tried)}


def read(file: Path, family: str, base: Settings) -> Space:
    """Read a space: a YAML mapping from settings to ``{low, high, log}`` or to a list of choices.

    Parameters
    ----------
    family, base
        Whose settings, and their values where they are not searched.

    Raises
    ------
    TrainingError
        If a setting does not exist, or cannot have such values; the message names the line.
    """
    values, lines = mapping(file)
    return {
        str(name): _tried(family, base, str(name), value, lines[str(name)])
        for name, value in values.items()
    }


def searched(file: Path | None, family: str, base: Settings, fixed: Sequence[str]) -> Space:
    """Return the space in a file, or the default one without what is fixed.

    Raises
    ------
    SteeringError
        If a setting is fixed and searched, or nothing is searched.
    TrainingError
        See `read`.
    """
    if file is None:
        found = default(family, base)
        found = {name: tried for name, tried in found.items() if name not in fixed}
    else:
        found = read(file, family, base)
    both = sorted(set(fixed) & set(found))
    if both:
        raise SteeringError(f"--set {both[0]}: is searched, by {file}")
    if not found:
        raise SteeringError(f"nothing to search for family {family}: give a --space")
    return found


def plain(space: Space) -> dict[str, Any]:
    """Return a space as what `read` finds in YAML."""
    return {
        name: asdict(tried) if isinstance(tried, Range) else list(tried)
        for name, tried in space.items()
    }


def text(space: Space) -> str:
    """Return a space as YAML that `read` takes."""
    return yaml.safe_dump(plain(space), sort_keys=False, default_flow_style=None)


def chosen(family: str, base: Settings, values: Mapping[str, Choice]) -> Settings:
    """Return a configuration with other values for some settings.

    Raises
    ------
    TrainingError
        If the settings do not allow them.
    """
    return Configuration(family, base.model_dump() | dict(values), {}).settings(type(base))


def _tried(
    family: str, base: Settings, name: str, value: Any, where: str
) -> Range | tuple[Choice, ...]:
    def checked(given: Any) -> Choice:
        values = base.model_dump() | {name: given}
        settings = Configuration(family, values, {name: where}).settings(type(base))
        found: Choice = settings.model_dump(mode="json")[name]
        return found

    said = f"{where}: {name}"
    if isinstance(value, list):
        choices = tuple(checked(choice) for choice in value)
        if len(choices) != len(set(choices)) or not choices:
            raise TrainingError(f"{said}: choices must be there, each once")
        return choices
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise TrainingError(f"{said}: must be {{low, high, log}} or a list of choices")
    low, high, log = checked(value["low"]), checked(value["high"]), value.get("log", False)
    if isinstance(low, bool | str) or isinstance(high, bool | str):
        raise TrainingError(f"{said}: has no range: give a list of choices")
    if not isinstance(log, bool):
        raise TrainingError(f"{said}: log: must be true or false")
    if not low < high < math.inf or low == -math.inf or (log and low <= 0):
        above = ", and above 0 where log is true" if log else ""
        raise TrainingError(f"{said}: low must be below high{above}")
    return Range(low, high, log)


def _allowed(family: str, base: Settings, name: str, tried: Range | tuple[Choice, ...]) -> bool:
    ends = (tried.low, tried.high) if isinstance(tried, Range) else tried
    try:
        for end in ends:
            chosen(family, base, {name: end})
    except TrainingError:
        return False
    return True

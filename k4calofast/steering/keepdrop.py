"""k4FWCore's output commands: which collections to write.

``keep <pattern>`` and ``drop <pattern>`` with the wildcards ``*`` and ``?``, ``keep type <T>``
and ``drop type <T>`` with a collection's exact type; the last command that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from k4calofast.events.frames import CollectionInfo
from k4calofast.exceptions import SteeringError


def kept(commands: Sequence[str], infos: Sequence[CollectionInfo]) -> tuple[CollectionInfo, ...]:
    """Return the collections that the commands keep.

    Raises
    ------
    SteeringError
        If a command cannot be understood.
    """
    parsed = [_parsed(command) for command in commands]

    def is_kept(info: CollectionInfo) -> bool:
        keep = True
        for verb, by_type, pattern in parsed:
            if (info.data_type == pattern) if by_type else _matches(pattern, info.name):
                keep = verb == "keep"
        return keep

    return tuple(info for info in infos if is_kept(info))


def _parsed(command: str) -> tuple[str, bool, str]:
    match command.split():
        case [("keep" | "drop") as verb, "type", pattern]:
            return verb, True, pattern
        case [("keep" | "drop") as verb, pattern]:
            return verb, False, pattern
    raise SteeringError(
        f"outputCommands: '{command}' is none of 'keep <pattern>', 'drop <pattern>', "
        "'keep type <type>', 'drop type <type>'"
    )


def _matches(pattern: str, name: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None

"""k4FWCore's output commands: which collections to write.

``keep <pattern>`` and ``drop <pattern>`` with the wildcards ``*`` and ``?``, ``keep type <T>``
and ``drop type <T>`` with a collection's exact type; the last command that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import awkward as ak
import numpy as np

from k4calofast.events.frames import CollectionInfo
from k4calofast.events.layout import Layout
from k4calofast.exceptions import SteeringError


def kept(commands: Sequence[str], infos: Sequence[CollectionInfo]) -> tuple[CollectionInfo, ...]:
    """Return the collections that the commands keep.

    Raises
    ------
    SteeringError
        If a command cannot be understood, or if a subset is kept, but nothing that it can be of.
    """
    parsed = [_parsed(command) for command in commands]

    def is_kept(info: CollectionInfo) -> bool:
        keep = True
        for verb, by_type, pattern in parsed:
            if (info.data_type == pattern) if by_type else _matches(pattern, info.name):
                keep = verb == "keep"
        return keep

    chosen = tuple(info for info in infos if is_kept(info))
    for info in chosen:
        same = [one for one in infos if one.data_type == info.data_type and not one.is_subset]
        if info.is_subset and same and not any(one in chosen for one in same):
            raise _dangling(info.name, ", ".join(one.name for one in same))
    return chosen


def refuse_dangling(
    fields: Mapping[str, Layout], infos: Sequence[CollectionInfo], kept: Sequence[CollectionInfo]
) -> None:
    """Refuse subsets of collections that are not written.

    Relations to what is not written are not there for podio; a subset of it makes it crash.

    Parameters
    ----------
    fields
        What will be written.
    infos, kept
        All collections, and those that will be written.

    Raises
    ------
    SteeringError
        If there is one.
    """
    dropped = {info.collection_id: info.name for info in infos if info not in kept}
    for info in kept:
        if info.is_subset and dropped:
            index = ak.Array(fields[f"{info.name}_objIdx"])
            for target in np.unique(ak.to_numpy(ak.flatten(index.collectionID))):
                if int(target) in dropped:
                    raise _dangling(info.name, dropped[int(target)])


def _dangling(subset: str, of: str) -> SteeringError:
    return SteeringError(
        f"IOSvc.outputCommands drop {of}, but keep {subset}, which is a subset of it and cannot be "
        "read without; keep or drop both"
    )


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

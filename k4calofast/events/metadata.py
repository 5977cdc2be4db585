"""The metadata of several inputs, or of several frames, as one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from k4calofast.events.edm4hep import CELL_ID_ENCODING
from k4calofast.exceptions import FileFormatError

logger = logging.getLogger(__name__)

Parameters = dict[str, dict[str, list[Any]]]
"""Frame parameters by kind and key."""

_ENCODING = f"__{CELL_ID_ENCODING}"
"""End of the keys that say how cell IDs are to be read."""

_SHOWN = 5


class MergedMetadata:
    """Metadata of frame after frame; the first value of a key stays.

    What else belongs to a key is lost: k4FWCore reads one frame of metadata only. `report` says so.
    """

    def __init__(self) -> None:
        self.values: Parameters = {}
        self._from: dict[tuple[str, str], Path | str] = {}
        self._lost: dict[str, str] = {}

    def add(self, parameters: Parameters, file: Path | str) -> None:
        """Add the metadata of a frame.

        Raises
        ------
        FileFormatError
            If cell IDs are to be read otherwise than before: hits would end up in other cells.
        """
        for kind, keys in parameters.items():
            for key, value in keys.items():
                known = self.values.setdefault(kind, {}).setdefault(key, value)
                first = self._from.setdefault((kind, key), file)
                if known == value:
                    continue
                difference = f"{known} in {first}, {value} in {file}"
                if key.endswith(_ENCODING):
                    raise FileFormatError(
                        f"'{key}' is {difference}: cell IDs of one job must mean the same"
                    )
                self._lost.setdefault(key, difference)

    def report(self) -> None:
        """Warn of the values that are lost, if there are any."""
        if not self._lost:
            return
        shown = [f"'{key}' ({what})" for key, what in list(self._lost.items())[:_SHOWN]]
        more = len(self._lost) - len(shown)
        logger.warning(
            "metadata of the inputs differ, the output has the first value of %s%s",
            "; ".join(shown),
            f" and {more} more keys" if more else "",
        )

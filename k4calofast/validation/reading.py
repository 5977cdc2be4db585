"""Reading references, whatever the files and the calorimeter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from k4calofast.exceptions import FileFormatError, ModelError
from k4calofast.generator.card import ModelCard
from k4calofast.showers import reading
from k4calofast.showers.provenance import Provenance, Source
from k4calofast.showers.reading import Hints, Place
from k4calofast.validation import kinds
from k4calofast.validation.reference import Reference, refuse_unfit

THRESHOLD = 0.25
"""MIPs from which hits in layers are seen, if nothing else is said."""

_ALIKE = ("detector", "simulation", "physics", "physics_data", "range_cut", "geometry")
"""What files of one reference must have in common, beside what a kind of samples says of itself."""


def read(
    card: ModelCard,
    files: Sequence[Place],
    again: Sequence[Place] = (),
    hints: Hints | None = None,
    threshold: float = THRESHOLD,
) -> Reference:
    """Read the showers that a model is compared with: one or more files, for each direction, say.

    Parameters
    ----------
    files
        Showers that were not trained on.
    again
        Repetitions of the files, in the same order; or none.
    hints
        What files do not say; of which detector and kinds they are, the card says.
    threshold
        MIPs from which hits in layers are seen.

    Raises
    ------
    FileFormatError
        If files cannot be read, or are not of one simulation.
    ModelError
        If the reference is of another detector, or has the seed of the training sample.
    """
    hints = Hints() if hints is None else hints
    rows, columns = card.window[-2:]
    hints = replace(hints, detector=card.detector, window=(rows, columns), kinds=tuple(card.kinds))
    showers, sources = _joined(files, hints)
    for file, source in zip(files, sources, strict=True):
        refuse_unfit(card, file, source)
    repeated = _joined(again, hints)[0] if again else None
    readout = kinds.of(card).readout(card, sources[0], threshold)
    return Reference(showers, _described(sources), readout, repeated)


def read_for(
    cards: Sequence[ModelCard],
    files: Sequence[Place],
    again: Sequence[Place] = (),
    hints: Hints | None = None,
    threshold: float = THRESHOLD,
) -> list[Reference | None]:
    """Read the showers that the models of a set for one calorimeter are compared with.

    Parameters
    ----------
    cards
        Of all models of the set.
    files, again, hints, threshold
        As for `read`. Files must say of which calorimeter they are.

    Returns
    -------
    list
        The reference as each of the models sees it; None for those of other calorimeters.

    Raises
    ------
    FileFormatError
        If files cannot be read, are not of one simulation, or do not say of which calorimeter.
    ModelError
        If no model is for the calorimeter, or one was trained on showers of the reference.
    """
    hints = Hints() if hints is None else hints
    showers, sources = _joined(files, hints)
    name = sources[0].detector
    if name is None:
        raise FileFormatError(
            f"{files[0]} does not say of which calorimeter it is: validate a model of the set, by "
            "its name"
        )
    if all(card.detector != name for card in cards):
        raise ModelError(f"no model of the set is for {name}, of which {files[0]} is")
    repeated = _joined(again, hints)[0] if again else None
    found: list[Reference | None] = []
    for card in cards:
        if card.detector != name:
            found.append(None)
            continue
        for file, source in zip(files, sources, strict=True):
            refuse_unfit(card, file, source)
        readout = kinds.of(card).readout(card, sources[0], threshold)
        found.append(Reference(showers, _described(sources), readout, repeated))
    return found


def _joined(files: Sequence[Place], hints: Hints) -> tuple[Any, list[Source]]:
    parts, sources = zip(*(reading.read(file, hints) for file in files), strict=True)
    if len(parts) == 1:
        return parts[0], list(sources)
    first = sources[0].provenance
    for file, source in zip(files, sources, strict=True):
        other = source.provenance
        if first is None or other is None:
            raise FileFormatError(
                f"{file}: of several files that make one reference, each must say where it is "
                "from, as those of `k4calofast fullsim` do"
            )
        own = set(type(first).model_fields) - set(Provenance.model_fields)
        for name in (*_ALIKE, *sorted(own)):
            expected, found = getattr(first, name), getattr(other, name, None)
            if found != expected:
                raise FileFormatError(
                    f"{files[0]} and {file} differ in {name}: {expected}, {found}"
                )
    return type(parts[0]).concatenate(parts), list(sources)


def _described(sources: Sequence[Source]) -> str:
    """One line."""
    first = sources[0].provenance
    if len(sources) == 1 or first is None:
        return sources[0].description
    seeds = ("unknown" if source.seed is None else str(source.seed) for source in sources)
    return f"{first.simulation}, {first.physics}, seed {', '.join(seeds)}"

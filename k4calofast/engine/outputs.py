"""What the fast simulation's collections are called, and what a file says of them."""

from __future__ import annotations

from collections.abc import Sequence

from k4calofast.detector import Calorimeter
from k4calofast.engine.region import Region
from k4calofast.engine.simulation import Simulated
from k4calofast.engine.sorting import with_beyond
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    CELL_ID_ENCODING,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.fields import hit_fields
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout, parameters, subset, with_parameters
from k4calofast.exceptions import SteeringError
from k4calofast.incidence import FATES
from k4calofast.properties import CaloFastSimProperties, refuse_names

SUBSET_OF = "SubsetOf"
"""Parameter of a subset collection that says what it is a subset of."""

FATE_NUMBERS, FATE_ENERGIES = "FateNumbers", "FateEnergies"
"""Parameters of a frame that say the number and energy (GeV) of its particles by fate."""

FATE_NAMES = "FateNames"
"""Parameter of a file that says the order of fates."""


def with_output_names(
    properties: CaloFastSimProperties, regions: Sequence[Region]
) -> CaloFastSimProperties:
    """Return the properties with a name of hits and of contributions for each calorimeter.

    These are those of the regions, and after them those that showers go on into. Where no names
    are given, they are the detectors' own; what showers go on into has, if not named itself, that
    of the region that it is from in front, if this has another than its detector's.

    Raises
    ------
    SteeringError
        If there are not as many names as regions or calorimeters, if detectors have the same, or
        if the names contradict others.
    """
    detectors = with_beyond([region.calorimeter for region in regions])
    usual = [detector.collection for detector in detectors]
    given = {"OutputHits": properties.OutputHits}
    given["OutputContributions"] = properties.OutputContributions
    of_regions, beyond = (
        ", ".join(detector.name for detector in some)
        for some in (detectors[: len(regions)], detectors[len(regions) :])
    )
    if any(len(own) not in (0, len(regions), len(detectors)) for own in given.values()):
        counts = " and ".join(f"{key} names {len(own)}" for key, own in given.items())
        more = f", one more for each that showers go on into ({beyond})" if beyond else ""
        raise SteeringError(
            f"{counts} collections; give one for each region ({of_regions}){more}, or none for the "
            "detectors' own names"
        )
    same = [name for name in usual if usual.count(name) > 1]
    unnamed = [key for key, own in given.items() if not own]
    if same and unnamed:
        raise SteeringError(
            f"more than one of the regions {of_regions} has hits that are usually called "
            f"'{same[0]}'; give each a name in {' and '.join(unnamed)}"
        )
    hits = [*properties.OutputHits] or usual[: len(regions)]
    for detector in detectors[len(hits) :]:
        home = regions.index(_behind(detector, regions)[0])
        front = "" if hits[home] == usual[home] else f"{hits[home]}_"
        hits.append(f"{front}{detector.collection}")
    contributions = [*properties.OutputContributions]
    contributions += [f"{name}Contributions" for name in hits[len(contributions) :]]
    if not properties.OutputContributions:
        contributions[: len(regions)] = [f"{name}Contributions" for name in usual[: len(regions)]]
    named = properties.model_copy(update={"OutputHits": hits, "OutputContributions": contributions})
    refuse_names(named)
    return named


def metadata(properties: CaloFastSimProperties, regions: Sequence[Region]) -> dict[str, str]:
    """Return what a file's metadata say of hits: their encoding, the models behind them, fates.

    They are named by collection, so that those of all passes over a file are kept.

    Parameters
    ----------
    properties
        With the names of the collections, see `with_output_names`.
    """
    facts: dict[str, str] = {}
    detectors = with_beyond([region.calorimeter for region in regions])
    for hits, detector in zip(properties.OutputHits, detectors, strict=True):
        cards = [model.card for region in _behind(detector, regions) for model in region.models]
        facts |= {
            f"{hits}__{CELL_ID_ENCODING}": detector.encoding.text,
            f"{hits}__ModelName": ",".join(card.name for card in cards),
            f"{hits}__ModelVersion": ",".join(card.version for card in cards),
            f"{hits}__ModelSHA256": ",".join(card.sha256 for card in cards),
        }
    facts[f"{properties.OutputHits[0]}__{FATE_NAMES}"] = ",".join(fate.name for fate in FATES)
    return facts


def _behind(detector: Calorimeter, regions: Sequence[Region]) -> list[Region]:
    """Regions whose showers can have hits in a calorimeter: its own first."""
    own = [region for region in regions if region.calorimeter.name == detector.name]
    others = [
        region
        for region in regions
        if detector.name in [one.name for one in region.calorimeter.beyond]
    ]
    return own + others


def output_fields(
    properties: CaloFastSimProperties, result: Simulated, frames: Frames, particles_id: int
) -> dict[str, Layout]:
    """Fields of what became of frames: hits, particles not handled, numbers and energies of fates.

    Parameters
    ----------
    properties
        With the names of the collections, see `with_output_names`.
    result
        Of these frames.
    frames
        Whose parameters stay.
    particles_id
        ID of the collection of MCParticles that hits and particles not handled point to.
    """
    fields = subset(
        properties.OutputNotHandled[0],
        result.not_handled_offsets,
        result.not_handled,
        particles_id,
    )
    names = zip(properties.OutputHits, properties.OutputContributions, strict=True)
    for (hits, contributions), made in zip(names, result.regions, strict=True):
        fields |= hit_fields(
            CollectionInfo.new(hits, SIM_CALORIMETER_HIT),
            CollectionInfo.new(contributions, CALO_HIT_CONTRIBUTION),
            *made,
            particles_id,
        )
    there = parameters({}, frames.count) | dict(frames.fields)
    for kind, what, counts in (
        ("Int", FATE_NUMBERS, result.numbers),
        ("Double", FATE_ENERGIES, result.energies),
    ):
        fields |= with_parameters(there, kind, {f"{properties.OutputHits[0]}__{what}": counts})
    return fields

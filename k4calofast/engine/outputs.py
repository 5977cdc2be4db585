"""What the fast simulation's collections are called, and what a file says of them."""

from __future__ import annotations

from collections.abc import Sequence

from k4calofast.engine.region import Region
from k4calofast.engine.simulation import Simulated
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
    """Return the properties with a name of hits and of contributions for each region.

    Where none are given, they are the detectors' own.

    Raises
    ------
    SteeringError
        If there are not as many names as regions, if detectors have the same, or if the names
        contradict others.
    """
    detectors = [region.calorimeter for region in regions]
    usual = [detector.collection for detector in detectors]
    given = {
        "OutputHits": (properties.OutputHits, usual),
        "OutputContributions": (
            properties.OutputContributions,
            [f"{name}Contributions" for name in usual],
        ),
    }
    names = ", ".join(detector.name for detector in detectors)
    if any(len(own) not in (0, len(detectors)) for own, _ in given.values()):
        counts = " and ".join(f"{key} names {len(own)}" for key, (own, _) in given.items())
        raise SteeringError(
            f"{counts} collections; give one for each region ({names}), or none for the "
            "detectors' own names"
        )
    same = [name for name in usual if usual.count(name) > 1]
    unnamed = [key for key, (own, _) in given.items() if not own]
    if same and unnamed:
        raise SteeringError(
            f"more than one of the regions {names} has hits that are usually called '{same[0]}'; "
            f"give each a name in {' and '.join(unnamed)}"
        )
    named = properties.model_copy(update={key: own or usual for key, (own, usual) in given.items()})
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
    for hits, region in zip(properties.OutputHits, regions, strict=True):
        cards = [model.card for model in region.models]
        facts |= {
            f"{hits}__{CELL_ID_ENCODING}": region.calorimeter.encoding.text,
            f"{hits}__ModelName": ",".join(card.name for card in cards),
            f"{hits}__ModelVersion": ",".join(card.version for card in cards),
            f"{hits}__ModelSHA256": ",".join(card.sha256 for card in cards),
        }
    facts[f"{properties.OutputHits[0]}__{FATE_NAMES}"] = ",".join(fate.name for fate in FATES)
    return facts


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

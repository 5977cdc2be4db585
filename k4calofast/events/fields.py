"""Fields of the collections that this package writes, from its columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from k4calofast.arrays import Floats, Indices, Ints, ranks
from k4calofast.events.columns import OWN_COLLECTION, Contributions, EventKeys, Hits, Particles
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    EVENT_HEADER,
    HELICITY_UNSET,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.frames import CollectionInfo
from k4calofast.events.layout import Layout, collection


def header_fields(
    name: str,
    keys: EventKeys,
    weights: tuple[Indices, Floats] | None = None,
) -> dict[str, Layout]:
    """Fields of EventHeaders.

    Parameters
    ----------
    keys
        Run and event numbers of E events.
    weights
        Offsets (E + 1,) and values of the weights of each event, of which the first is the
        event's; without, and in events without any, that is 1.
    """
    count = len(keys)
    weight = np.ones(count)
    lists = {}
    if weights is not None:
        offsets, values = weights
        some = np.diff(offsets) > 0
        weight[some] = values[offsets[:-1][some]]
        lists = {"weights": (offsets, values, 0)}
    members: dict[str, npt.ArrayLike] = {
        "eventNumber": keys.event,
        "runNumber": keys.run,
        "timeStamp": np.zeros(count, np.uint64),
        "weight": weight,
    }
    return collection(name, EVENT_HEADER, np.arange(count + 1), members, lists)


def particle_fields(
    info: CollectionInfo, particles: Particles, helicity: Ints | None = None
) -> dict[str, Layout]:
    """Fields of MCParticles, with their relations in both directions.

    Parameters
    ----------
    helicity
        (N,) of the particles; unset by default.
    """
    members = particles.members | {
        "helicity": np.full(len(particles), HELICITY_UNSET) if helicity is None else helicity
    }
    relations = {}
    for relation, source, target in (
        ("parents", particles.child, particles.parent),
        ("daughters", particles.parent, particles.child),
    ):
        order = np.argsort(source, kind="stable")
        begin = np.searchsorted(source[order], np.arange(len(particles) + 1))
        index = target[order] - particles.offsets[particles.event_of(target[order])]
        relations[relation] = (begin, index, info.collection_id)
    return collection(info.name, MC_PARTICLE, particles.offsets, members, relations)


def hit_fields(
    hits_info: CollectionInfo,
    contributions_info: CollectionInfo,
    hits: Hits,
    contributions: Contributions,
    particles_id: int,
) -> dict[str, Layout]:
    """Fields of SimCalorimeterHits and their CaloHitContributions.

    Parameters
    ----------
    particles_id
        ID of the collection of MCParticles that was worked on.
    """
    of_events = hits.contributions[hits.offsets]
    count = len(contributions.energy)
    own = contributions.collection == OWN_COLLECTION
    particle_ids = np.where(own, np.uint32(particles_id), contributions.collection)
    return {
        **collection(
            hits_info.name,
            SIM_CALORIMETER_HIT,
            hits.offsets,
            hits.members,
            {
                "contributions": (
                    hits.contributions,
                    ranks(of_events),
                    contributions_info.collection_id,
                )
            },
        ),
        **collection(
            contributions_info.name,
            CALO_HIT_CONTRIBUTION,
            of_events,
            contributions.members,
            {"particle": (np.arange(count + 1), contributions.particle, particle_ids)},
        ),
    }

"""A copy of a collection has its relations, and nobody else's."""

from __future__ import annotations

import awkward as ak
import numpy as np

from k4calofast.events.copying import copied
from k4calofast.events.edm4hep import MC_PARTICLE
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import collection


def one_particle(name: str, parent: int) -> dict[str, object]:
    members = {
        key: np.zeros((1, 3) if "Vector" in cpp else 1) for key, cpp in MC_PARTICLE.members.items()
    }
    info = CollectionInfo.new(name, MC_PARTICLE)
    parents = (np.array([0, 1]), [parent], info.collection_id)
    return collection(name, MC_PARTICLE, np.array([0, 1]), members, {"parents": parents})


def test_a_collection_whose_name_begins_alike_is_not_copied():
    names = ["MCParticles", "MCParticles_Bkg", "MCParticles_Bkg_2"]
    fields = {}
    for number, name in enumerate(names):
        fields |= one_particle(name, number)
    infos = [CollectionInfo.new(name, MC_PARTICLE) for name in names]
    for number, info in enumerate(infos):
        copy = info.named("Copy")
        made = copied(Frames(fields, 1), info, copy, {}, names)
        assert set(made) == {"Copy", "_Copy_parents", "_Copy_daughters"}
        (target,) = ak.to_list(ak.Array(made["_Copy_parents"]))[0]
        assert target == {"index": number, "collectionID": copy.collection_id}

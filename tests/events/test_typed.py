"""From fields to columns: what a relation points at is a collection and an index, not an index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from k4calofast.events.edm4hep import MC_PARTICLE
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import collection
from k4calofast.events.typed import relations


def test_a_parent_in_another_collection_is_not_the_one_of_its_index_here():
    count = 3
    members = dict.fromkeys(MC_PARTICLE.members, np.zeros(count)) | dict.fromkeys(
        ("vertex", "endpoint", "momentum", "momentumAtEndpoint"), np.zeros((count, 3))
    )
    here = CollectionInfo.new("MCParticles", MC_PARTICLE)
    # The second stems from the first, the third from one of 'Background'.
    ids = np.array([here.collection_id, here.collection_id + 1])
    parents = (np.array([0, 0, 1, 2]), np.array([0, 0]), ids)
    frames = Frames(
        collection("MCParticles", MC_PARTICLE, np.array([0, 3]), members, {"parents": parents}), 1
    )
    child, parent = relations(frames, here, "parents")
    assert (child.tolist(), parent.tolist()) == ([1], [0])
    other = replace(here, collection_id=here.collection_id + 2)
    assert relations(frames, other, "parents")[0].size == 0

"""From fields to columns: what a relation points at is a collection and an index, not an index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
    DataType,
)
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import Layout, collection, jagged, numbers, read_parameters, subset
from k4calofast.events.typed import listed_particles, particles, relations, sim_hits
from k4calofast.exceptions import FileFormatError, InvalidEventError


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


def zeros(kind: DataType, count: int) -> dict[str, np.ndarray]:
    threes = ("vertex", "endpoint", "momentum", "momentumAtEndpoint", "position", "stepPosition")
    return {name: np.zeros((count, 3) if name in threes else count) for name in kind.members}


HITS = CollectionInfo.new("Hits", SIM_CALORIMETER_HIT)
PARTS = CollectionInfo.new("Parts", CALO_HIT_CONTRIBUTION)
MC_PARTICLES = CollectionInfo.new("Particles", MC_PARTICLE)


def two_events() -> dict[str, Layout]:
    """Two events of one hit with two contributions each."""
    offsets, first = np.array([0, 1, 2]), np.array([0, 2, 4])
    index = np.array([0, 1, 0, 1])
    return {
        **collection(
            "Hits",
            SIM_CALORIMETER_HIT,
            offsets,
            zeros(SIM_CALORIMETER_HIT, 2),
            {"contributions": (first, index, PARTS.collection_id)},
        ),
        **collection("Parts", CALO_HIT_CONTRIBUTION, first, zeros(CALO_HIT_CONTRIBUTION, 4)),
    }


def with_range(begin: int, end: int) -> dict[str, Layout]:
    """The same, where the second event's hit has other contributions."""
    fields = two_events()
    members = zeros(SIM_CALORIMETER_HIT, 2)
    changed = collection("Hits", SIM_CALORIMETER_HIT, np.array([0, 1, 2]), members)["Hits"]
    for member, value in (("begin", begin), ("end", end)):
        column = np.asarray(changed.content.content(f"contributions_{member}").data)
        column[:] = [2 * (member == "end"), value]
    return {**fields, "Hits": changed}


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 3), (1, 0), (2, 4), (0, 2**32 - 1), (2**32 - 1, 0), (2**31, 2**31 + 5)]
)
def test_a_relation_ends_in_its_event(begin, end):
    frames = Frames(with_range(begin, end), 2, first=40)
    with pytest.raises(InvalidEventError, match=f"event entry 41: .* {begin} to {end} of 2"):
        sim_hits(frames, "Hits", (HITS, PARTS))


def test_ranges_that_share_everything_are_refused_before_they_fill_the_memory():
    count = 20_000
    fields = collection(
        "P",
        MC_PARTICLE,
        np.array([0, count]),
        zeros(MC_PARTICLE, count),
        {"parents": (np.arange(count + 1), np.zeros(count), 1)},
    )
    content = fields["P"].content
    np.asarray(content.content("parents_begin").data)[:] = 0
    np.asarray(content.content("parents_end").data)[:] = count
    with pytest.raises(InvalidEventError, match="400000000, but the file lists 20000"):
        relations(Frames(fields, 1), CollectionInfo.new("P", MC_PARTICLE), "parents")


@pytest.mark.parametrize("missing", ["Hits", "_Hits_contributions", "Parts", "_Parts_particle"])
def test_a_field_that_is_declared_but_missing_is_named(missing):
    fields = two_events()
    del fields[missing]
    with pytest.raises(FileFormatError, match=f"no field '{missing}'"):
        sim_hits(Frames(fields, 2), "Hits", (HITS, PARTS))


def test_a_member_that_is_missing_is_named():
    fields = two_events() | {"Hits": jagged(np.array([0, 1, 2]), numbers([1, 2], np.float32))}
    with pytest.raises(FileFormatError, match="no member 'cellID'"):
        sim_hits(Frames(fields, 2), "Hits", (HITS, PARTS))
    with pytest.raises(FileFormatError, match="no lists of objects"):
        particles(Frames({"Particles": numbers([1, 2], np.float32)}, 2), MC_PARTICLES)


def test_frames_without_parameters_have_none():
    assert read_parameters({}, 0) == {kind: {} for kind in ("Int", "Float", "Double", "String")}


def test_numbers_too_large_for_their_column_become_infinite_without_a_warning():
    fields = two_events()
    content = fields["Hits"].content
    contents = [
        numbers([1e300, 1.0], np.float64) if name == "energy" else content.content(name)
        for name in content.fields
    ]
    hits = type(content)(contents, content.fields, parameters=content.parameters)
    frames = Frames(fields | {"Hits": jagged(np.array([0, 1, 2]), hits)}, 2)
    energy = sim_hits(frames, "Hits", (HITS, PARTS))[0].energy
    assert energy.tolist() == [np.inf, 1.0]


LISTED = MC_PARTICLES.named("Listed", is_subset=True)
OTHERS = MC_PARTICLES.named("Others")


def two_lists(index: list[int], collection_ids: list[int]) -> Frames:
    """Two events of three particles in each of two collections; the second lists nobody."""
    offsets = np.array([0, 3, 6])
    fields = subset("Listed", np.array([0, len(index), len(index)]), index, collection_ids)
    for info in (MC_PARTICLES, OTHERS):
        fields |= collection(info.name, MC_PARTICLE, offsets, zeros(MC_PARTICLE, 6))
    return Frames(fields, 2, 40)


def test_those_that_a_subset_lists_are_marked_in_the_whole_collection():
    frames = two_lists([2, 0], [OTHERS.collection_id] * 2)
    info, these = listed_particles(frames, LISTED, (MC_PARTICLES, OTHERS, LISTED))
    assert info == OTHERS
    assert these.offsets.tolist() == [0, 3, 6]
    assert these.listed.tolist() == [True, False, True, False, False, False]


@pytest.mark.parametrize(("whole", "count"), [(None, 0), (OTHERS, 6)])
def test_where_a_subset_lists_nobody_it_matters_whether_it_is_known_what_it_is_of(whole, count):
    info, these = listed_particles(two_lists([], []), LISTED, (MC_PARTICLES, OTHERS), whole)
    assert info == (whole or LISTED)
    assert these.n_events == 2
    assert these.listed.tolist() == [False] * count


@pytest.mark.parametrize(
    ("index", "of", "sentence"),
    [
        (
            [0, 1],
            [MC_PARTICLES, OTHERS],
            r"^'Listed' lists .* several collections \(Particles, Oth",
        ),
        ([0], [HITS], r"^'Listed' lists particles that are not in the event"),
        ([3], [OTHERS], r"^event entry 40: 'Listed' lists a particle that is not in 'Others'"),
        ([-1], [OTHERS], "^'Listed' lists particles that are not in the event"),
    ],
)
def test_lists_that_cannot_be_are_refused(index, of, sentence):
    frames = two_lists(index, [info.collection_id for info in of])
    with pytest.raises(InvalidEventError, match=sentence):
        listed_particles(frames, LISTED, (MC_PARTICLES, OTHERS, LISTED))

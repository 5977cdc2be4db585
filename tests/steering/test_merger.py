"""The merger on frames: whose a contribution is, a collection and an index say together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from k4calofast.events.columns import Particles
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    EVENT_HEADER,
    HELICITY_UNSET,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.layout import collection, subset
from k4calofast.events.typed import sim_hits
from k4calofast.exceptions import InvalidEventError, MissingCollectionError
from k4calofast.incidence.start import FAST_SIMULATED_BIT
from k4calofast.properties import CaloFastSimProperties, CaloHitMergerProperties
from k4calofast.steering.algorithms.algorithm import Job
from k4calofast.steering.algorithms.fastsim import CaloFastSim
from k4calofast.steering.algorithms.merger import CaloHitMerger

EVENTS = 2
PARTICLES = 3


def info(name: str, kind=MC_PARTICLE, **changes) -> CollectionInfo:
    return replace(CollectionInfo.new(name, kind), **changes)


ORIGINALS, FLAGGED, BACKGROUND = map(info, ("MCParticles", "MCParticlesFlagged", "Background"))
NOT_HANDLED = info("MCParticlesNotHandled", is_subset=True)
FAST, FULL = (info(f"EMCBarrelCollection{kind}", SIM_CALORIMETER_HIT) for kind in ("Fast", "Full"))
OF_FAST, OF_FULL, MORE_OF_FULL = (
    info(name, CALO_HIT_CONTRIBUTION) for name in ("OfFast", "OfFull", "MoreOfFull")
)
INFOS = (ORIGINALS, FLAGGED, BACKGROUND, NOT_HANDLED, FAST, FULL, OF_FAST, OF_FULL, MORE_OF_FULL)


def mc_particles(name: str, these: Particles, flagged: bool, parents=()):
    """Three particles per event, and their parents if they have one; the first may be flagged."""
    status = these.simulator_status.copy()
    if flagged:
        status[::PARTICLES] |= 1 << FAST_SIMULATED_BIT
    mothers = np.array([*parents] or [-1] * len(these))
    family = {
        "parents": (
            np.concatenate([[0], np.cumsum(mothers >= 0)]),
            mothers[mothers >= 0],
            info(name).collection_id,
        )
    }
    members = {
        "PDG": these.pdg,
        "generatorStatus": these.generator_status,
        "simulatorStatus": status,
        "charge": these.charge,
        "time": these.time,
        "mass": these.mass,
        "vertex": these.vertex,
        "endpoint": these.endpoint,
        "momentum": these.momentum,
        "momentumAtEndpoint": these.momentum_at_endpoint,
        "helicity": np.full(len(these), HELICITY_UNSET, np.int32),
    }
    return collection(name, MC_PARTICLE, these.offsets, members, family)


def hits(name: str, parts: dict[CollectionInfo, list[tuple[CollectionInfo | None, int]]]):
    """One hit of 1 GeV per contribution and event, from the particles that are given."""
    whose = [(where, i, *one) for where, row in parts.items() for i, one in enumerate(row)]
    count = len(whose)
    flat = np.tile(np.arange(count), EVENTS)
    fields = collection(
        name,
        SIM_CALORIMETER_HIT,
        np.arange(EVENTS + 1) * count,
        {
            "cellID": flat.astype(np.uint64),
            "energy": np.ones(len(flat)),
            "position": np.zeros((len(flat), 3)),
        },
        {
            "contributions": (
                np.arange(len(flat) + 1),
                np.tile([i for _, i, _, _ in whose], EVENTS),
                np.tile([where.collection_id for where, *_ in whose], EVENTS),
            )
        },
    )
    for where, row in parts.items():
        many = EVENTS * len(row)
        fields |= collection(
            where.name,
            CALO_HIT_CONTRIBUTION,
            np.arange(EVENTS + 1) * len(row),
            {
                "PDG": np.full(many, 22),
                "energy": np.ones(many),
                "time": np.zeros(many),
                "stepPosition": np.zeros((many, 3)),
                "stepLength": np.ones(many),
            },
            {
                "particle": (
                    np.arange(many + 1),
                    np.tile([index for _, index in row], EVENTS),
                    np.tile([of.collection_id if of else 0 for of, _ in row], EVENTS),
                )
            },
        )
    return fields


@pytest.fixture
def frames(shot) -> Frames:
    """Events of a fast photon and two others, of background with the same indices, and hits."""
    signal, background = (
        shot(EVENTS, ParticlesPerEvent=PARTICLES),
        shot(EVENTS, ParticlesPerEvent=PARTICLES, Seed=2),
    )
    return Frames(
        {
            **mc_particles("MCParticles", signal, flagged=False),
            **mc_particles("MCParticlesFlagged", signal, flagged=True),
            **mc_particles("Background", background, flagged=False),
            **subset(
                "MCParticlesNotHandled",
                np.arange(EVENTS + 1) * 2,
                np.tile([1, 2], EVENTS),
                FLAGGED.collection_id,
            ),
            **hits(FAST.name, {OF_FAST: [(FLAGGED, 0)]}),
            **hits(
                FULL.name,
                {
                    OF_FULL: [(ORIGINALS, 0), (ORIGINALS, 1), (BACKGROUND, 0), (None, -1)],
                    MORE_OF_FULL: [(FLAGGED, 0), (FLAGGED, 2), (BACKGROUND, 2)],
                },
            ),
        },
        EVENTS,
        first=10,
    )


def merged(frames: Frames, infos=INFOS, **properties):
    """Collection and index of each contribution in each event, and lines for a person."""
    merger = CaloHitMerger(
        CaloHitMergerProperties(InputMCParticles=["MCParticlesFlagged"], **properties)
    )
    more = merger.start(infos)
    after = frames.with_fields(merger.execute(frames, frames.first))
    found, parts = sim_hits(after, "EMCBarrelCollection", (*infos, *more))
    names = {one.collection_id: one.name for one in infos}
    events = [[] for _ in range(frames.count)]
    for event, number, index in zip(
        found.event_of_contributions, parts.collection, parts.particle, strict=True
    ):
        events[event].append((names.get(int(number)), int(index)))
    return events, merger.finish()


def test_contributions_of_two_collections_keep_their_particles(frames):
    events, lines = merged(frames)
    assert (
        events
        == [
            [
                ("MCParticlesFlagged", 0),
                # Those of the original are now the flagged copy's.
                ("MCParticlesFlagged", 1),
                ("Background", 0),
                (None, -1),
                ("MCParticlesFlagged", 2),
                ("Background", 2),
            ]
        ]
        * EVENTS
    )
    assert "4 of it left out as simulated twice (4 contributions)" in lines[0]
    assert lines[1] == (
        "4 contributions with 4 GeV of particles of other collections than "
        "'MCParticlesFlagged' are kept"
    )
    assert lines[2].startswith("2 contributions with 2 GeV")


def test_particles_that_are_not_in_the_file_are_none_as_for_podio(frames):
    infos = tuple(one for one in INFOS if one != BACKGROUND)
    events, _ = merged(frames, infos)
    assert [len(event) for event in events] == [6, 6]
    assert events[0].count((None, -1)) == 3


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("_OfFull_particle", r"^event entry 10: 'EMCBarrelCollectionFull' points beyond"),
        (
            "_EMCBarrelCollectionFull_contributions",
            r"^event entry 10: a hit of 'EMCBarrelCollectionFull' points to a contribution that",
        ),
        ("MCParticlesNotHandled_objIdx", r"^event entry 10: 'MCParticlesNotHandled' points beyond"),
    ],
)
def test_what_points_beyond_its_collection_is_refused(frames, field, sentence):
    layout = frames.fields[field]
    index = layout.content.content("index").data
    index[:] = np.where(index > 0, 99, index)
    with pytest.raises(InvalidEventError, match=sentence):
        merged(frames)


def test_particles_not_handled_must_be_those_that_were_flagged(frames):
    others = subset("MCParticlesNotHandled", np.array([0, 0, 1]), [1], BACKGROUND.collection_id)
    with pytest.raises(InvalidEventError, match=r"'MCParticlesNotHandled' holds particles that"):
        merged(frames.with_fields(others))
    with pytest.raises(MissingCollectionError, match=r"'Background' is .*, not a subset of"):
        merged(frames, InputNotHandled=["Background"])


def radiating_electrons(barrel) -> Particles:
    """An electron of 1 GeV, the photon that it radiated in the tracker, an electron of its shower.

    As a full simulation writes them that stores all: the first two end in the calorimeter, where
    the third is born.
    """
    along = np.array([1.0, 0.2, 0.1]) / np.linalg.norm([1.0, 0.2, 0.1])
    inside = along * (barrel.face.radius + 100)
    vertex = np.array([0 * along, 300 * along, inside])
    momentum = np.outer([1.0, 0.4, 0.1], along)
    decayed_in_calorimeter, created = 1 << 26, 1 << 30
    status = np.array([0, created, created], np.int32) | decayed_in_calorimeter
    return Particles(
        offsets=np.arange(EVENTS + 1) * PARTICLES,
        pdg=np.tile(np.array([11, 22, 11], np.int32), EVENTS),
        generator_status=np.tile(np.array([1, 0, 0], np.int32), EVENTS),
        simulator_status=np.tile(status.astype(np.int32), EVENTS),
        charge=np.tile([-1.0, 0.0, -1.0], EVENTS),
        time=np.tile(np.linalg.norm(vertex, axis=1) / 299.792458, EVENTS),
        mass=np.tile([0.000511, 0.0, 0.000511], EVENTS),
        vertex=np.tile(vertex, (EVENTS, 1)),
        endpoint=np.tile(inside + along, (PARTICLES * EVENTS, 1)),
        momentum=np.tile(momentum, (EVENTS, 1)),
        momentum_at_endpoint=np.zeros((PARTICLES * EVENTS, 3)),
    )


@pytest.mark.parametrize(
    ("chosen", "by_the_full_one"), [([11], [1, 2]), ([22], [0]), ([11, 22], [])]
)
def test_a_photon_radiated_before_the_face_is_simulated_by_one_of_the_two(
    barrel, chosen, by_the_full_one
):
    particles = radiating_electrons(barrel)
    header = info("EventHeader", EVENT_HEADER)
    numbers = {"eventNumber": [0, 1], "runNumber": [1, 1], "timeStamp": [0, 0], "weight": [1, 1]}
    frames = Frames(
        {
            **collection("EventHeader", EVENT_HEADER, np.arange(EVENTS + 1), numbers),
            **mc_particles("MCParticles", particles, False, parents=[-1, 0, 1] * EVENTS),
            **hits(FULL.name, {OF_FULL: [(ORIGINALS, 0), (ORIGINALS, 1), (ORIGINALS, 2)]}),
        },
        EVENTS,
    )
    fastsim = CaloFastSim(
        "CaloFastSim",
        CaloFastSimProperties(
            PDG=chosen,
            Model="besiii_emc_barrel/fast",
            OutputHits=[FAST.name],
            OutputContributions=[OF_FAST.name],
            OutputMCParticles=[FLAGGED.name],
        ),
        Job(),
    )
    infos = (header, ORIGINALS, FULL, OF_FULL)
    infos = (*infos, *fastsim.start(infos))
    events, lines = merged(frames.with_fields(fastsim.execute(frames, 0)), infos)
    # The cells of the full simulation's hits are the first.
    full = [[index for _, index in event[: len(by_the_full_one)]] for event in events]
    assert full == [by_the_full_one] * EVENTS
    fast = {index for event in events for _, index in event[len(by_the_full_one) :]}
    assert fast == {0, 1} - set(by_the_full_one)
    left_out = EVENTS * (PARTICLES - len(by_the_full_one))
    assert f"{left_out} of it left out as simulated twice ({left_out} contributions)" in lines[0]

"""Events without particles or hits pass through every component, one by one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from k4calofast.events.columns import EventKeys, Particles
from k4calofast.events.edm4hep import (
    EDM4HEP_VERSION,
    EVENT_HEADER,
    HELICITY_UNSET,
    MC_PARTICLE,
    PODIO_VERSION,
    definition,
)
from k4calofast.events.frames import EVENTS, CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import collection
from k4calofast.events.reading import EventSource
from k4calofast.events.writing import EventFileWriter

STEERING = """
from Configurables import CaloDigitiser, CaloFastSim, CaloHitMerger
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc", Input=["particles.root"], Output="all.root")
fastsim = CaloFastSim(
    "CaloFastSim",
    OutputHits=["EMCBarrelCollectionFast", "EMCEndcapCollectionFast"],
    OutputContributions=[
        "EMCBarrelCollectionFastContributions",
        "EMCEndcapCollectionFastContributions",
    ],
    OutputMCParticles=["MCParticlesFlagged"],
)
merger = CaloHitMerger(
    "CaloHitMerger",
    InputMCParticles=["MCParticlesFlagged"],
    InputFullHits=["EMCBarrelCollectionFast"],
    Overlap="keep",
)
ApplicationMgr(TopAlg=[fastsim, merger, CaloDigitiser("CaloDigitiser")], EvtSel="NONE", EvtMax=-1)
"""


def write(file: Path, keys: EventKeys, particles: Particles) -> None:
    """A file of particles."""
    headers = {
        "eventNumber": keys.event,
        "runNumber": keys.run,
        "timeStamp": np.zeros(len(keys), np.uint64),
        "weight": np.ones(len(keys)),
    }
    members = {
        "PDG": particles.pdg,
        "generatorStatus": particles.generator_status,
        "simulatorStatus": particles.simulator_status,
        "charge": particles.charge,
        "time": particles.time,
        "mass": particles.mass,
        "vertex": particles.vertex,
        "endpoint": particles.endpoint,
        "momentum": particles.momentum,
        "momentumAtEndpoint": particles.momentum_at_endpoint,
        "helicity": np.full(len(particles), HELICITY_UNSET, np.int32),
    }
    layouts = {
        **collection("EventHeader", EVENT_HEADER, np.arange(len(keys) + 1), headers),
        **collection("MCParticles", MC_PARTICLE, particles.offsets, members),
    }
    infos = (
        CollectionInfo.new("EventHeader", EVENT_HEADER),
        CollectionInfo.new("MCParticles", MC_PARTICLE),
    )
    info = FileInfo(PODIO_VERSION, {"edm4hep": definition()}, {"edm4hep": EDM4HEP_VERSION})
    with EventFileWriter(file, info) as writer:
        writer.write(EVENTS, Frames(layouts, len(keys)), infos)


def with_offsets(particles: Particles, offsets: list[int]) -> Particles:
    """The first of the particles, in other events."""
    columns = {
        column.name: getattr(particles, column.name)[: offsets[-1]] for column in fields(Particles)
    }
    return Particles(**columns | {"offsets": np.array(offsets)})


@pytest.mark.parametrize("offsets", [[0, 0, 2, 2, 3, 3], [0, 0]], ids=["some", "all"])
def test_empty_events_pass_one_by_one_as_in_company(shot, tmp_path, offsets):
    events = len(offsets) - 1
    keys = EventKeys(np.ones(events, np.uint32), np.arange(events, dtype=np.uint64))
    particles = with_offsets(shot(4, ThetaMin=60, ThetaMax=120), offsets)
    write(tmp_path / "particles.root", keys, particles)
    (tmp_path / "all.py").write_text(STEERING)
    command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded", "all.py"]
    contents = []
    for name, size in (("alone.root", "1"), ("together.root", "100")):
        more = ["--IOSvc.Output", name, "--events-per-chunk", size]
        subprocess.run([*command, *more], cwd=tmp_path, check=True)
        source = EventSource([tmp_path / name])
        assert source.num_events == events
        (chunk,) = source.chunks(0, events, events)
        contents.append({field: ak.to_list(chunk.array(field)) for field in chunk.fields})
    alone, together = contents
    assert alone == together
    # Hits of noise alone are in all events, and have no link.
    digits = [len(event) > 0 for event in alone["EMCBarrelDigiLinks"]]
    assert digits == [last > first for first, last in pairwise(offsets)]

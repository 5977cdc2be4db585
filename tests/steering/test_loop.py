"""The event loop: how many events are in memory together follows from what they will hold."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from k4calofast.engine import simulation
from k4calofast.events.reading import EventSource
from k4calofast.properties import CaloDigitiserProperties, CaloFastSimProperties
from k4calofast.properties import CaloParticleGunProperties as Gun
from k4calofast.steering.algorithms import Job, create
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.loop import EventLoop

EVENTS = 30


def run(output: Path) -> EventSource:
    """Events from a gun, simulated and digitised."""
    given = {
        "Gun": Gun(ParticlesPerEvent=3, ThetaMin=60, ThetaMax=120),
        "CaloFastSim": CaloFastSimProperties(Model="besiii_emc_barrel/fast"),
        "CaloDigitiser": CaloDigitiserProperties(),
    }
    algorithms = {name: create(name, properties, Job()) for name, properties in given.items()}
    loop = EventLoop(IOSvcProperties(Output=str(output)), algorithms, EVENTS, {}, [])
    done = []
    loop.run(lambda count, _total: done.append(count))
    assert done == sorted(set(done))
    assert done[-1] == EVENTS
    return EventSource([output])


def clusters(file: Path) -> int:
    with uproot.open(file) as opened:
        return len(opened["events"].cluster_summaries)


@pytest.mark.parametrize("limit", [1, 400])
def test_events_with_many_showers_are_worked_on_in_parts_and_stay_the_same(
    tmp_path, monkeypatch, limit
):
    whole, parts = tmp_path / "whole.root", tmp_path / "parts.root"
    (expected,) = run(whole).chunks(0, EVENTS, EVENTS)
    monkeypatch.setattr(simulation, "_DEPOSITS_AT_ONCE", limit)
    (found,) = run(parts).chunks(0, EVENTS, EVENTS)
    assert clusters(whole) == 1
    assert clusters(parts) > 5
    assert expected.fields.keys() == found.fields.keys()
    for field in expected.fields:
        assert ak.to_list(expected.array(field)) == ak.to_list(found.array(field))


@pytest.mark.parametrize("model", ["besiii_emc_barrel/fast", "cld_ecal_barrel/layered"])
def test_deposits_are_foreseen_within_a_factor_of_three(shot, model):
    """More would need memory that nobody foresaw, less would make useless calls."""
    from k4calofast.engine import FastSimulation
    from k4calofast.events.columns import EventKeys

    fast = FastSimulation(CaloFastSimProperties(Model=model))
    ranges = fast.regions[0].models[0].card.kinds[22]["momentum"]
    for momentum in (0.3 * ranges[1], 0.9 * ranges[1]):
        particles = shot(
            20,
            PDG=[22],
            ParticlesPerEvent=1,
            MomentumMin=momentum,
            MomentumMax=1.001 * momentum,
            ThetaMin=60,
            ThetaMax=120,
        )
        keys = EventKeys(np.ones(20, np.uint32), np.arange(20, dtype=np.uint64))
        made = np.diff(fast.simulate(keys, particles).hits.offsets).sum()
        expected = fast.expected_deposits(particles)
        assert len(expected) == 20
        assert made / 3 < expected.sum() < 3 * made

"""The engine on columns: every particle has a fate, and hits do not depend on how they are made."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4calofast.engine import FastSimulation, Simulated
from k4calofast.events.columns import EventKeys, Particles
from k4calofast.exceptions import InvalidEventError, OutOfDomainError
from k4calofast.incidence import Fate
from k4calofast.properties import CaloFastSimProperties

PER_EVENT = 3
DEUTERON = 1000010020
"""A kind that no model is for."""


@pytest.fixture(scope="module")
def shot_with_keys(shot):
    """Keys and particles of events of the particle gun, three particles each."""

    def shoot(events: int, **changes) -> tuple[EventKeys, Particles]:
        in_the_barrel = {"MomentumMin": 0.1, "ThetaMin": 40, "ThetaMax": 140}
        particles = shot(events, **{"ParticlesPerEvent": PER_EVENT} | in_the_barrel | changes)
        keys = EventKeys(np.ones(events, np.uint32), np.arange(events, dtype=np.uint64))
        return keys, particles

    return shoot


def part(keys: EventKeys, particles: Particles, events: np.ndarray) -> tuple[EventKeys, Particles]:
    """Some events, in this order."""
    rows = (events[:, None] * PER_EVENT + np.arange(PER_EVENT)).ravel()
    columns = {
        field.name: getattr(particles, field.name)[rows]
        for field in fields(Particles)
        if field.name not in ("offsets", "parent", "child")
    }
    chosen = Particles(offsets=np.arange(len(events) + 1) * PER_EVENT, **columns)
    return EventKeys(keys.run[events], keys.event[events]), chosen


def simulated(keys: EventKeys, particles: Particles, **properties) -> Simulated:
    return FastSimulation(CaloFastSimProperties(**properties)).simulate(keys, particles)


def per_event(result: Simulated) -> list[tuple[bytes, ...]]:
    """All that was made of each event, as bytes."""
    events: list[tuple[bytes, ...]] = [()] * (len(result.hits.offsets) - 1)
    for hits, parts in result.regions:
        ends = zip(hits.offsets[:-1], hits.offsets[1:], strict=True)
        for event, (first, last) in enumerate(ends):
            start, stop = hits.contributions[first], hits.contributions[last]
            columns = (hits.cell_id[first:last], hits.energy[first:last], hits.position[first:last])
            columns += (
                parts.particle[start:stop],
                parts.energy[start:stop],
                parts.time[start:stop],
            )
            events[event] += tuple(column.tobytes() for column in columns)
    return events


@pytest.fixture(scope="module")
def events(shot_with_keys) -> tuple[EventKeys, Particles]:
    return shot_with_keys(60)


@pytest.fixture(scope="module")
def expected(events) -> list[tuple[bytes, ...]]:
    return per_event(simulated(*events, Seed=5))


@pytest.mark.parametrize("properties", [{"BatchSize": 1}, {"BatchSize": 37}, {"Threads": 4}])
def test_hits_do_not_depend_on_batches_and_threads(events, expected, properties):
    assert per_event(simulated(*events, Seed=5, **properties)) == expected


@settings(max_examples=10)
@given(st.permutations(range(60)), st.integers(1, 60))
def test_hits_depend_neither_on_the_order_of_events_nor_on_their_neighbours(
    events, expected, order, count
):
    chosen = np.array(order[:count])
    assert per_event(simulated(*part(*events, chosen), Seed=5)) == [expected[i] for i in chosen]


def test_another_seed_makes_other_hits(events, expected):
    other = per_event(simulated(*events, Seed=6))
    assert all(one != two for one, two in zip(expected, other, strict=True))


def test_particles_of_an_event_have_showers_of_their_own(shot_with_keys):
    keys, particles = shot_with_keys(1, PDG=[22], ParticlesPerEvent=2)
    for field in fields(Particles):
        column = getattr(particles, field.name)
        if field.name not in ("offsets", "parent", "child"):
            column[1] = column[0]
    result = simulated(keys, particles)
    parts = result.contributions
    first, second = (parts.energy[parts.particle == number] for number in (0, 1))
    assert not np.array_equal(first, second)


def test_the_energy_balance_closes_and_hits_are_the_sum_of_their_contributions(events):
    simulation = FastSimulation(CaloFastSimProperties())
    result = simulation.simulate(*events)
    balance = simulation.summary.energy
    assert abs(balance.closure) < 1e-5
    written = sum(hits.energy.sum(dtype=np.float64) for hits, _ in result.regions)
    assert balance.written == pytest.approx(written, rel=1e-6)
    for hits, parts in result.regions:
        sums = np.add.reduceat(parts.energy.astype(np.float64), hits.contributions[:-1])
        np.testing.assert_allclose(hits.energy, sums, rtol=1e-6)


def test_every_particle_has_one_fate_and_handed_on_ones_are_listed(shot_with_keys):
    keys, particles = shot_with_keys(
        200, PDG=[22, 11, 13, DEUTERON, 12], MomentumMax=6.0, ThetaMin=0, ThetaMax=180
    )
    simulation = FastSimulation(CaloFastSimProperties())
    result = simulation.simulate(keys, particles)
    fate = result.fate
    assert sum(simulation.summary.particles.values()) == len(particles)
    handed_on = np.flatnonzero([Fate(value).handed_on for value in fate])
    offsets = np.repeat(particles.offsets[:-1], np.diff(result.not_handled_offsets))
    np.testing.assert_array_equal(offsets + result.not_handled, handed_on)
    here = np.isin(fate, [Fate.SHOWERED, Fate.CLAMPED])
    assert {Fate.SHOWERED, Fate.CLAMPED} <= set(fate)
    for hits, parts in result.regions:
        event = np.repeat(np.arange(len(keys)), np.diff(hits.contributions[hits.offsets]))
        assert here[particles.offsets[event] + parts.particle].all()
    for pdg, expected in ((DEUTERON, Fate.OTHER_KIND), (12, Fate.INVISIBLE)):
        found = set(fate[particles.pdg == pdg])
        assert expected in found
        assert not found & {Fate.SHOWERED, Fate.CLAMPED}


def test_the_default_leaves_nothing_that_meets_a_crystal_to_another_simulation(shot_with_keys):
    """All kinds that live long enough, at all angles and momenta, the softest and hardest, too."""
    kinds = [22, 11, -11, 13, -13, 211, -211, 321, -321, 130, 2212, -2212, 2112, -2112]
    keys, particles = shot_with_keys(
        400, PDG=kinds, MomentumMin=0.005, MomentumMax=10.0, ThetaMin=0, ThetaMax=180
    )
    simulation = FastSimulation(CaloFastSimProperties())
    fate = simulation.simulate(keys, particles).fate
    here = np.isin(fate, [Fate.SHOWERED, Fate.CLAMPED])
    # Beside: through the holes of the endcaps, or curled up in front.
    assert set(fate[~here]) <= {Fate.GAP, Fate.BESIDE, Fate.OUT_OF_RANGE}
    assert here.mean() > 0.9
    for kind in kinds:
        assert here[particles.pdg == kind].any()
    for region in simulation.summary.regions:
        assert region.showers.min() > 0


def test_out_of_range_is_skipped_clamped_or_an_error(shot_with_keys):
    keys, particles = shot_with_keys(20, PDG=[22], MomentumMin=4.0, MomentumMax=5.0)
    skipped = simulated(keys, particles, OutOfRange="skip")
    assert set(skipped.fate) == {Fate.OUT_OF_RANGE}
    assert len(skipped.hits.energy) == 0
    assert len(skipped.not_handled) == len(particles)
    # The set of the package says so.
    clamped = simulated(keys, particles)
    assert set(clamped.fate) == {Fate.CLAMPED}
    assert len(clamped.not_handled) == 0
    energy = sum(hits.energy.sum() for hits, _ in clamped.regions) / len(particles)
    # Showers are those of the range's edge; their energy is that of the photons.
    momentum = np.linalg.norm(particles.momentum, axis=1).mean()
    assert 0.9 < energy / momentum < 1.0
    with pytest.raises(OutOfDomainError, match=r"run 1, event 0: MCParticle 0 .*momentum"):
        simulated(keys, particles, OutOfRange="fail")


def test_other_kinds_are_skipped_or_an_error(shot_with_keys):
    keys, particles = shot_with_keys(5, PDG=[DEUTERON])
    assert set(simulated(keys, particles).fate) == {Fate.OTHER_KIND}
    with pytest.raises(OutOfDomainError, match=f"PDG {DEUTERON}"):
        simulated(keys, particles, OtherKinds="fail")


@pytest.mark.parametrize("column", ["momentum", "vertex", "time", "mass"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_is_named(column, value, shot_with_keys):
    keys, particles = shot_with_keys(3)
    values = np.array(getattr(particles, column), np.float64)
    values[4] = value
    with pytest.raises(InvalidEventError, match="run 1, event 1: MCParticle 1"):
        simulated(keys, replace(particles, **{column: values}))


def test_no_events_are_no_hits(shot_with_keys):
    keys, particles = shot_with_keys(0)
    result = simulated(keys, particles)
    assert len(result.hits.energy) == 0
    assert result.hits.offsets.tolist() == [0]

"""Barrel and endcaps of crystals in one job: showers that go on from one into the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
import yaml

from k4calofast import detector
from k4calofast.engine import FastSimulation
from k4calofast.engine.outputs import metadata, with_output_names
from k4calofast.events.columns import EventKeys, Particles
from k4calofast.incidence import Fate, Record, follow
from k4calofast.properties import CaloFastSimProperties

BARREL, ENDCAPS = "BESIII_EMC_barrel", "BESIII_EMC_endcaps"
EVENTS = 60

WHOLE = (111, 121)
MIDDLE = 55 * 121 + 60
PLACES = (MIDDLE, MIDDLE + 5 * 121, MIDDLE - 7 * 121, MIDDLE + 43)
"""The crystal that is entered, rows beyond and before, and one far away in phi."""
SHARES = (0.5, 0.25, 0.125, 0.0625)
DELAYS = (0.3, 1.0, 2.0, 7.0)

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
toy (float[N,1] noise, float[N,{conditions}] conditions, int64[N] pdg)
    => (int64[M] shower, int64[M] place, float[M] energy, float[M] delay) {{
  zero = Constant <value = int64[1] {{0}}> ()
  one = Constant <value = int64[1] {{1}}> ()
  none = Constant <value = int64 {{0}}> ()
  step = Constant <value = int64 {{1}}> ()
  four = Constant <value = int64[1] {{4}}> ()
  flat = Constant <value = int64[1] {{-1}}> ()
  places = Constant <value = int64[1,4] {{{places}}}> ()
  shares = Constant <value = float[1,4] {{{shares}}}> ()
  delays = Constant <value = float[1,4] {{{delays}}}> ()
  momentum = Slice (conditions, zero, one, one)
  count = Shape <start = 0, end = 1> (noise)
  end = Squeeze (count, zero)
  rows = Range (none, end, step)
  column = Unsqueeze (rows, one)
  shape = Concat <axis = 0> (count, four)
  all_rows = Expand (column, shape)
  shower = Reshape (all_rows, flat)
  all_places = Expand (places, shape)
  place = Reshape (all_places, flat)
  energies = Mul (momentum, shares)
  energy = Reshape (energies, flat)
  all_delays = Expand (delays, shape)
  delay = Reshape (all_delays, flat)
}}
"""

_EVERYTHING = 1e5


@pytest.fixture(scope="session")
def toy_of(tmp_path_factory) -> Callable[..., Path]:
    """Write a model of a calorimeter of crystals for some kinds; ranges are wide if not given.

    Each shower has a share of the momentum in four crystals.
    """

    def write(name: str, kinds=(22, 11), without=(), **ranges) -> Path:
        calorimeter = detector.load(name)
        conditions = [one.name for one in calorimeter.conditions if one.name not in without]
        texts = {
            key: ", ".join(map(str, values))
            for key, values in (("places", PLACES), ("shares", SHARES), ("delays", DELAYS))
        }
        graph = onnx.parser.parse_model(GRAPH.format(conditions=len(conditions), **texts))
        content = graph.SerializeToString()
        folder = tmp_path_factory.mktemp("models") / "toy"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(content)
        wide = {one: [-_EVERYTHING, _EVERYTHING] for one in conditions}
        wide["momentum"] = [1e-3, 100.0]
        card = {
            "layout": 1,
            "name": f"toy of {name}",
            "version": "1",
            "description": "four crystals",
            "licence": "Apache-2.0",
            "authors": "nobody",
            "file": "model.onnx",
            "sha256": hashlib.sha256(content).hexdigest(),
            "detector": name,
            "interface": "hits",
            "window": list(WHOLE),
            "threshold": 0.0,
            "kinds": dict.fromkeys(kinds, wide | ranges),
            "noise": 1,
            "block": 16,
            "training": dict.fromkeys(
                [
                    "method", "command", "sample", "simulation", "physics", "physics_data",
                    "software", "machine",
                ],
                "none",
            )
            | {"showers": 0, "seed": 0, "minutes": 0.0},
            "validation": {},
        }  # fmt: skip
        (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))
        return folder

    return write


@pytest.fixture(scope="module")
def keys() -> EventKeys:
    return EventKeys(np.full(EVENTS, 7, np.uint32), np.arange(EVENTS, dtype=np.uint64))


@pytest.fixture(scope="module")
def particles(shot) -> Particles:
    """Photons and electrons in all directions that meet crystals."""
    return shot(
        EVENTS, PDG=[22, 11], ParticlesPerEvent=3, MomentumMin=0.3, MomentumMax=2.0, ThetaMin=23,
        ThetaMax=157,
    )  # fmt: skip


@pytest.fixture
def write_set(tmp_path):
    def write(*models: Path | dict, **more) -> str:
        file = tmp_path / "set.yaml"
        listed = [one if isinstance(one, dict) else str(one) for one in models]
        file.write_text(yaml.safe_dump({"models": listed} | more))
        return str(file)

    return write


def simulation(model: str | Path, **properties) -> FastSimulation:
    return FastSimulation(CaloFastSimProperties(Model=str(model), **properties))


def expected(particles: Particles, *names: str) -> list[tuple[int, str, int, float, float]]:
    """Particle, calorimeter, cell, energy and time of all that showers of the toys leave."""
    calorimeters = [detector.load(name) for name in names]
    arrivals, _ = follow(Record(particles, *calorimeters))
    found = []
    for own, part in zip(calorimeters, arrivals, strict=True):
        (other,) = own.beyond
        for place, share, delay in zip(PLACES, SHARES, DELAYS, strict=True):
            cells = own.cell_in(part.cell, np.full(len(part), place), WHOLE)
            for row in np.flatnonzero(cells >= 0):
                inside = cells[row] < own.n_cells
                found.append(
                    (
                        int(part.particle[row]),
                        (own if inside else other).name,
                        int(cells[row] - (0 if inside else own.n_cells)),
                        share * np.linalg.norm(part.momentum[row]),
                        part.time[row] + delay,
                    )
                )
    return sorted(found)


def made(job: FastSimulation, result, particles: Particles):
    """The same of what a job wrote."""
    found = []
    for calorimeter, (hits, parts) in zip(job.calorimeters, result.regions, strict=True):
        counts = np.diff(hits.contributions)
        cells = np.repeat(calorimeter.cell_of(hits.cell_id), counts)
        event = np.repeat(np.arange(EVENTS), np.diff(hits.contributions[hits.offsets]))
        whose = particles.offsets[event] + parts.particle
        columns = (whose, cells, parts.energy, parts.time)
        found += [
            (int(p), calorimeter.name, int(c), e, t) for p, c, e, t in zip(*columns, strict=True)
        ]
    return sorted(found)


@pytest.mark.parametrize("names", [(BARREL, ENDCAPS), (ENDCAPS, BARREL), (BARREL,), (ENDCAPS,)])
def test_each_crystal_that_is_hit_is_a_hit_in_the_collection_of_its_calorimeter(
    names, toy_of, write_set, keys, particles
):
    """With its energy, and the time of entry and the delay: no light is waited for again.

    Also where a job has no model of the calorimeter that showers go on into.
    """
    job = simulation(write_set(*(toy_of(name) for name in names)))
    assert [one.name for one in job.calorimeters] == [*names, *({BARREL, ENDCAPS} - set(names))]
    result = job.simulate(keys, particles)
    wanted, found = expected(particles, *names), made(job, result, particles)
    assert [row[:3] for row in found] == [row[:3] for row in wanted]
    for column in (3, 4):
        values = [[row[column] for row in rows] for rows in (found, wanted)]
        assert values[0] == pytest.approx(values[1], rel=1e-5)
    # Some go on into the other one, in both directions if both are there.
    for region in job.summary.regions[: len(names)]:
        assert region.energy.passed > 0
    assert {row[1] for row in found} == {BARREL, ENDCAPS}


def test_what_a_calorimeter_passes_on_the_other_receives(toy_of, write_set, keys, particles):
    job = simulation(write_set(toy_of(BARREL), toy_of(ENDCAPS)))
    result = job.simulate(keys, particles)
    barrel, endcaps = (region.energy for region in job.summary.regions)
    assert barrel.passed == pytest.approx(endcaps.received)
    assert endcaps.passed == pytest.approx(barrel.received)
    for balance, (hits, _) in zip((barrel, endcaps), result.regions, strict=True):
        assert abs(balance.closure) < 1e-6
        assert balance.written == pytest.approx(hits.energy.sum(dtype=np.float64), rel=1e-6)
    whole = job.summary.energy
    assert abs(whole.closure) < 1e-6
    assert whole.generated == pytest.approx(whole.written + whole.beyond, rel=1e-6)
    said = "\n".join(job.summary.lines())
    assert "passed on to" in said
    assert all(name in said for name in (BARREL, ENDCAPS))


def test_showers_do_not_depend_on_the_regions_that_a_job_has(toy_of, write_set, keys, particles):
    """What enters the barrel leaves the same in a job with the barrel alone."""
    both = simulation(write_set(toy_of(BARREL), toy_of(ENDCAPS)))
    alone = simulation(toy_of(BARREL))
    of_both, of_one = both.simulate(keys, particles), alone.simulate(keys, particles)
    showered = set(np.flatnonzero(of_one.fate == Fate.SHOWERED))
    assert showered <= set(np.flatnonzero(of_both.fate == Fate.SHOWERED))
    rows = [row for row in made(both, of_both, particles) if row[0] in showered]
    assert rows == made(alone, of_one, particles)


def test_hits_of_both_are_one_for_each_cell_and_event(toy_of, write_set, keys, particles):
    near = replace(particles, momentum=np.repeat(particles.momentum[::3], 3, axis=0))
    job = simulation(write_set(toy_of(BARREL), toy_of(ENDCAPS)))
    result = job.simulate(keys, near)
    for hits, parts in result.regions:
        assert len(parts.energy) > len(hits.energy)
        for first, last in zip(hits.offsets[:-1], hits.offsets[1:], strict=True):
            assert len(set(hits.cell_id[first:last])) == last - first
        sums = np.add.reduceat(parts.energy.astype(np.float64), hits.contributions[:-1])
        assert hits.energy == pytest.approx(sums, rel=1e-6)


def test_both_collections_say_the_models_behind_them(toy_of, write_set):
    job = simulation(write_set(toy_of(BARREL), toy_of(ENDCAPS)))
    named = with_output_names(CaloFastSimProperties(), job.regions)
    assert named.OutputHits == ["EMCBarrelCollection", "EMCEndcapCollection"]
    said = metadata(named, job.regions)
    assert said["EMCBarrelCollection__ModelName"] == f"toy of {BARREL},toy of {ENDCAPS}"
    assert said["EMCEndcapCollection__ModelName"] == f"toy of {ENDCAPS},toy of {BARREL}"


def test_a_model_need_not_be_told_all_conditions(toy_of, keys, particles):
    told = simulation(toy_of(BARREL)).simulate(keys, particles)
    fewer = simulation(toy_of(BARREL, without=["depth", "z"])).simulate(keys, particles)
    for (hits, parts), (others, other_parts) in zip(told.regions, fewer.regions, strict=True):
        np.testing.assert_array_equal(hits.energy, others.energy)
        np.testing.assert_array_equal(parts.time, other_parts.time)
    # A range of what it is told decides, of what it is not does not.
    some = simulation(toy_of(BARREL, depth=[-1e-3, 1e-3])).simulate(keys, particles)
    assert {Fate.OUT_OF_RANGE} & set(some.fate) or (some.fate == told.fate).all()


def test_outside_of_all_ranges_the_nearest_model_simulates(toy_of, write_set, keys, shot):
    """If the set says so, or the job does; energies of photons stay those of the photons."""
    photons = shot(
        EVENTS, PDG=[22], ParticlesPerEvent=2, MomentumMin=0.2, MomentumMax=2.8, ThetaMin=50,
        ThetaMax=130,
    )  # fmt: skip
    momentum = np.linalg.norm(photons.momentum, axis=1)
    soft, hard = toy_of(BARREL, momentum=[0.5, 1.0]), toy_of(BARREL, momentum=[1.8, 2.3])
    skipping = simulation(write_set(soft, hard)).simulate(keys, photons)
    inside = (momentum <= 1.0) & (momentum >= 0.5) | (momentum >= 1.8) & (momentum <= 2.3)
    reached = np.isin(skipping.fate, [Fate.SHOWERED, Fate.OUT_OF_RANGE])
    assert (skipping.fate[reached & ~inside] == Fate.OUT_OF_RANGE).all()
    job = simulation(write_set(soft, hard, out_of_range="clamp"))
    result = job.simulate(keys, photons)
    assert (result.fate[reached] == np.where(inside, Fate.SHOWERED, Fate.CLAMPED)[reached]).all()
    # Half way between the ranges, in their widths.
    assert job.summary.regions[0].showers.tolist() == [
        int((momentum[reached] < 1.4).sum()),
        int((momentum[reached] > 1.4).sum()),
    ]
    energy = np.zeros(len(photons))
    for whose, _, _, gev, _ in made(job, result, photons):
        energy[whose] += gev
    assert energy[reached] == pytest.approx(sum(SHARES) * momentum[reached], rel=1e-5)
    assert len(result.not_handled) == len(photons) - reached.sum()
    # The job's word is the last one.
    again = simulation(write_set(soft, hard, out_of_range="clamp"), OutOfRange="skip")
    assert (again.simulate(keys, photons).fate == skipping.fate).all()


def test_a_charged_hadron_keeps_the_energy_of_the_edge(toy_of, keys, shot):
    """What a hadron leaves does not grow with its momentum: only conditions are moved."""
    pions = shot(
        EVENTS, PDG=[-211], ParticlesPerEvent=1, MomentumMin=2.5, MomentumMax=2.8, ThetaMin=60,
        ThetaMax=120,
    )  # fmt: skip
    model = toy_of(BARREL, kinds=(-211, 211), momentum=[0.5, 2.0])
    job = simulation(model, OutOfRange="clamp")
    result = job.simulate(keys, pions)
    assert set(result.fate) <= {Fate.CLAMPED, Fate.GAP}
    assert result.contributions.energy.max() == pytest.approx(0.5 * 2.0, rel=1e-6)

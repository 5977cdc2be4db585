"""Several calorimeters and several models in one job: each particle goes to one of each."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from k4calofast.engine import FastSimulation, Simulated
from k4calofast.events.columns import EventKeys, Particles
from k4calofast.exceptions import ModelError, SteeringError
from k4calofast.generator import find_model
from k4calofast.incidence import FATES, Fate
from k4calofast.properties import CaloFastSimProperties

FAST, VAE, CLD = "besiii_emc_barrel/fast", "besiii_emc_barrel/vae", "cld_ecal_barrel/layered"
EVENTS = 4


def simulation(model: str, **properties) -> FastSimulation:
    return FastSimulation(CaloFastSimProperties(Model=str(model), **properties))


@pytest.fixture
def write_set(tmp_path):
    def write(*models, **more) -> str:
        file = tmp_path / "set.yaml"
        file.write_text(yaml.safe_dump({"models": list(models)} | more))
        return str(file)

    return write


@pytest.fixture(scope="module")
def keys() -> EventKeys:
    return EventKeys(np.full(EVENTS, 7, np.uint32), np.arange(EVENTS, dtype=np.uint64))


@pytest.fixture(scope="module")
def particles(shot) -> Particles:
    """Half of the particles come from beyond the end of BESIII's barrel, and meet CLD's.

    From so far that none of them enters BESIII's crystals from their end.
    """
    shots = shot(
        EVENTS, PDG=[22, 11, 13], ParticlesPerEvent=24, MomentumMin=1.5, MomentumMax=2.5,
        ThetaMin=80, ThetaMax=100,
    )  # fmt: skip
    vertex = shots.vertex.copy()
    vertex[::2, 2] = 1900.0
    return replace(shots, vertex=vertex)


@pytest.fixture
def of_two_regions(write_set) -> str:
    return write_set({"model": FAST, "pdg": [22]}, {"model": VAE, "pdg": [11, -11]}, CLD)


def hits_of(result: Simulated, region: int) -> list[bytes]:
    hits, contributions = result.regions[region]
    columns = [hits.offsets, hits.cell_id, hits.energy, hits.position, hits.contributions]
    columns += [contributions.particle, contributions.energy, contributions.time]
    return [column.tobytes() for column in columns]


def showered_in(result: Simulated, region: int, particles: Particles) -> set[int]:
    """Particles with hits in a region, counted over all events."""
    hits, contributions = result.regions[region]
    event = np.repeat(np.arange(EVENTS), np.diff(hits.contributions[hits.offsets]))
    return set((particles.offsets[event] + contributions.particle).tolist())


def test_hits_of_each_region_are_those_of_a_job_with_that_region_alone(
    of_two_regions, write_set, keys, particles
):
    job = simulation(of_two_regions)
    result = job.simulate(keys, particles)
    assert [region.calorimeter.name for region in job.regions] == [
        "BESIII_EMC_barrel", "CLD_ECAL_barrel",
    ]  # fmt: skip
    crystals, layers = (showered_in(result, region, particles) for region in (0, 1))
    assert crystals
    assert layers
    assert not crystals & layers
    # Alone, CLD would have those that BESIII has taken, too.
    those = np.isin(np.arange(len(particles)), list(layers))
    alone = simulation(CLD).simulate(keys, replace(particles, listed=those))
    assert hits_of(alone, 0) == hits_of(result, 1)
    alone = simulation(
        write_set({"model": FAST, "pdg": [22]}, {"model": VAE, "pdg": [11, -11]})
    ).simulate(keys, particles)
    assert hits_of(alone, 0) == hits_of(result, 0)


def test_each_kind_has_the_showers_of_its_model(write_set, keys, particles):
    result = simulation(
        write_set({"model": FAST, "pdg": [22]}, {"model": VAE, "pdg": [11]})
    ).simulate(keys, particles)
    _, both = result.regions[0]
    for model, pdg in ((FAST, 22), (VAE, 11)):
        _, alone = simulation(model, PDG=[pdg]).simulate(keys, particles).regions[0]
        of_kind = both.pdg == pdg
        assert of_kind.any()
        # In cells that both kinds share, contributions are in the order of particles all the same.
        for name in ("particle", "energy", "time", "position"):
            np.testing.assert_array_equal(getattr(both, name)[of_kind], getattr(alone, name))


def test_every_particle_has_one_fate_and_the_summary_adds_up(of_two_regions, keys, particles):
    job = simulation(of_two_regions)
    result = job.simulate(keys, particles)
    summary = job.summary
    assert summary.numbers.sum() == len(particles)
    assert summary.energies.sum() == pytest.approx(summary.incoming)
    showers = np.concatenate([region.showers for region in summary.regions])
    assert showers.sum() == summary.particles[Fate.SHOWERED]
    assert showers.min() > 0
    assert set(result.fate[particles.pdg == 13]) <= {Fate.OTHER_KIND}
    assert summary.hits == sum(len(hits.energy) for hits, _ in result.regions)
    for region, (hits, _) in zip(summary.regions, result.regions, strict=True):
        assert region.energy.written == pytest.approx(hits.energy.sum(dtype=np.float64))
        assert abs(region.energy.closure) < 1e-5
    said = "\n".join(summary.lines())
    for name in (FAST, VAE, CLD, "BESIII_EMC_barrel", "CLD_ECAL_barrel"):
        assert name in said


def test_a_particle_goes_to_the_first_model_that_holds_its_conditions(
    tmp_path, write_set, keys, shot
):
    def narrowed(name: str, low: float, high: float) -> str:
        folder = tmp_path / "models" / f"{low:g}"
        shutil.copytree(find_model(name), folder)
        card = yaml.safe_load((folder / "card.yaml").read_text())
        for ranges in card["kinds"].values():
            ranges["momentum"] = [low, high]
        (folder / "card.yaml").write_text(yaml.safe_dump(card))
        return str(folder)

    soft, hard = narrowed(FAST, 0.3, 1.0), narrowed(VAE, 0.5, 2.0)
    particles = shot(
        EVENTS, PDG=[22], ParticlesPerEvent=20, MomentumMin=0.2, MomentumMax=2.4,
        ThetaMin=70, ThetaMax=110,
    )  # fmt: skip
    momentum = np.linalg.norm(particles.momentum, axis=1)
    named = write_set(soft, hard)
    result = simulation(named).simulate(keys, particles)
    _, made = result.regions[0]
    event = np.repeat(np.arange(EVENTS), np.diff(result.hits.contributions[result.hits.offsets]))
    row = particles.offsets[event] + made.particle
    for model, low, high in ((soft, 0.0, 1.0), (hard, 1.0, 9.0)):
        those = (momentum > low) & (momentum <= high)
        alone = simulation(model).simulate(keys, replace(particles, listed=those))
        _, expected = alone.regions[0]
        assert len(expected.energy)
        np.testing.assert_array_equal(made.energy[those[row]], expected.energy)
    outside = (momentum < 0.3) | (momentum > 2.0)
    assert set(result.fate[outside]) <= {Fate.OUT_OF_RANGE, Fate.GAP, Fate.BESIDE}
    # At the edge of the first that knows the kind.
    clamped = simulation(named, OutOfRange="clamp").simulate(keys, particles)
    assert {Fate.CLAMPED} <= set(clamped.fate[outside]) <= {Fate.CLAMPED, Fate.GAP, Fate.BESIDE}


def test_what_is_born_in_one_calorimeter_is_in_front_of_no_other(of_two_regions, keys, particles):
    in_crystals = replace(
        particles, vertex=np.broadcast_to([0.0, 1050.0, 300.0], (len(particles), 3)).copy()
    )
    photons = in_crystals.pdg == 22
    assert set(simulation(CLD).simulate(keys, in_crystals).fate[photons]) & {Fate.SHOWERED}
    result = simulation(of_two_regions).simulate(keys, in_crystals)
    assert set(result.fate[photons]) == {Fate.BORN_OUTSIDE}


def test_what_passes_a_gap_of_one_calorimeter_can_enter_the_next(of_two_regions, keys, shot):
    """BESIII's barrel has a gap in its central plane; in CLD's, cells are there."""
    photons = shot(
        EVENTS, PDG=[22], ParticlesPerEvent=5, MomentumMin=1.5, MomentumMax=2.5,
        ThetaMin=90, ThetaMax=90,
    )  # fmt: skip
    assert set(simulation(FAST).simulate(keys, photons).fate) == {Fate.GAP}
    job = simulation(of_two_regions)
    result = job.simulate(keys, photons)
    assert Fate.SHOWERED in result.fate
    assert set(result.fate) <= {Fate.SHOWERED, Fate.GAP}
    assert showered_in(result, 1, photons)
    assert not showered_in(result, 0, photons)


def test_particles_that_are_not_listed_are_nobodys_business(keys, particles):
    listed = np.arange(len(particles)) % 3 == 0
    job, rest = simulation(FAST), simulation(FAST)
    result = job.simulate(keys, replace(particles, listed=listed))
    assert job.summary.numbers.sum() == listed.sum()
    assert set(result.not_handled.tolist()) <= set(np.flatnonzero(listed % 24).tolist()) | set(
        range(0, 24, 3)
    )
    other = rest.simulate(keys, replace(particles, listed=~listed))
    whole = simulation(FAST)
    whole.simulate(keys, particles)
    np.testing.assert_array_equal(job.summary.numbers + rest.summary.numbers, whole.summary.numbers)
    np.testing.assert_allclose(
        job.summary.energies + rest.summary.energies, whole.summary.energies, atol=1e-9
    )
    flagged = result.flagged(np.zeros(len(particles), np.int32))
    assert not flagged[~listed].any()
    assert other.numbers.shape == (EVENTS, len(FATES))


def test_a_set_is_found_by_name_beside_models_and_named_with_them(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "all.yaml").write_text(yaml.safe_dump({"models": [FAST]}))
    shutil.copytree(find_model(FAST), folder / "own")
    (folder / "beside.yaml").write_text(yaml.safe_dump({"models": ["own"]}))
    monkeypatch.setenv("K4CALOFAST_MODEL_PATH", str(tmp_path))
    assert simulation("mine/all").regions[0].models[0].card.name == FAST
    assert simulation("mine/beside").regions[0].models[0].folder == folder / "own"
    with pytest.raises(ModelError, match=r"no model 'mine/none'.*mine/own.*sets.*mine/all"):
        simulation("mine/none")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"models": []}, "models"),
        ({"models": ["no/such"]}, "set.yaml: no model 'no/such'"),
        ({"models": [{"model": FAST, "pdg": [211]}]}, "211"),
        ({"models": [FAST], "layout": 2}, "layout"),
        ({"modls": [FAST]}, "models"),
        ({"models": [FAST, FAST]}, "twice"),
    ],
)
def test_a_wrong_set_is_refused_in_one_sentence(content, said, tmp_path):
    file = tmp_path / "set.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError) as error:
        simulation(file)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_kinds_that_no_model_of_a_set_simulates_are_refused(of_two_regions):
    with pytest.raises(SteeringError, match="PDG chooses 211"):
        simulation(of_two_regions, PDG=[211])


def test_fields_that_differ_are_said(of_two_regions, caplog):
    simulation(of_two_regions)
    assert "different magnetic fields (BESIII_EMC_barrel: -1 T" in caplog.text


@pytest.mark.parametrize("threshold", [0.0, 0.25])
def test_a_threshold_that_does_nothing_in_crystals_is_said_once(
    of_two_regions, keys, particles, caplog, threshold
):
    job = simulation(of_two_regions, HitThreshold=threshold)
    first, second = job.simulate(keys, particles), job.simulate(keys, particles)
    said = [record.getMessage() for record in caplog.records if "HitThreshold" in record.msg]
    without = "HitThreshold does nothing in BESIII_EMC_barrel, which has no layers: "
    assert [one.partition("all hits")[0] for one in said] == [without] * (threshold > 0)
    # Its unit is that of the region: hits in crystals stay, those in layers are 0.25 MIP at least.
    smallest = [first.regions[number][0].energy.min() for number in (0, 1)]
    assert smallest[0] < 1e-3
    assert (smallest[1] >= 0.25 * job.regions[1].calorimeter.mip) == (threshold > 0)
    assert hits_of(first, 0) == hits_of(second, 0)


def test_a_threshold_in_layers_alone_is_not_worth_a_word(caplog):
    simulation(CLD, HitThreshold=0.25)
    assert "HitThreshold" not in caplog.text

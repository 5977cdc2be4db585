"""Generators of showers in layers: laws of their parts, and a small one from sample to hits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from k4calofast import detector
from k4calofast.engine import FastSimulation
from k4calofast.events.columns import EventKeys
from k4calofast.exceptions import TrainingError
from k4calofast.generator import Model
from k4calofast.incidence import Fate
from k4calofast.incidence.transport import LIGHT_SPEED, first_hits
from k4calofast.noise import normal_noise, uniform_noise
from k4calofast.properties import CaloFastSimProperties
from k4calofast.showers import layers
from k4calofast.training import recipe, workfolder
from k4calofast.training.layers.energies import (
    HitEnergies,
    Hottest,
    Quantiles,
    _hottest,
    without_hottest,
)
from k4calofast.training.layers.kind import KIND
from k4calofast.training.layers.sample import Particles
from k4calofast.training.loop import Run
from k4calofast.training.recipe import Product, Task


@pytest.fixture(scope="module")
def family(made, geant4_layers):
    _, provenance = layers.read(geant4_layers)
    return recipe.trained(made[1], provenance)[1]


@pytest.fixture(scope="module")
def sample(family, geant4_layers):
    showers, _ = layers.read(geant4_layers)
    return KIND.sample(showers, family.shape, family.settings)


def test_cells_hold_what_pixels_hold(sample):
    """Wherever borders of cells are, all energy is in a cell or outside the windows."""
    rows = torch.arange(40)
    showers = torch.arange(40).repeat_interleave(sample.offsets[1:41] - sample.offsets[:40])
    total = torch.zeros(40).index_add_(0, showers, sample.energy[: len(showers)])
    for phase in (0, 3, 9):
        cells = sample.cells(rows, torch.full((40, 2), phase), 21, 0.0)
        inside = torch.zeros(40).index_add_(0, cells.shower, cells.energy)
        assert (inside + cells.outside).numpy() == pytest.approx(total.numpy(), rel=1e-5)
        assert (inside / total).min() > 0.5
        assert cells.x.abs().max() < 11 * 5.1
        assert (cells.delay >= 0).all()


def test_mirrored_showers_are_the_same_showers(sample, geant4_layers):
    """The sample is seen at angle_z >= 0; a shower and its mirror image make the same cells."""
    assert (sample.slope[:, 1] >= 0).all()
    showers, _ = layers.read(geant4_layers)
    mirrored = layers.LayerShowers(
        **{
            name: getattr(showers, name)
            for name in ("pdg", "momentum", "angle_t", "offsets", "layer", "column")
        },
        angle_z=-showers.angle_z,
        row=-1 - showers.row,
        energy=showers.energy,
        time=showers.time,
    )
    other = type(sample).of(mirrored, sample.layers)
    assert (other.row == sample.row).all()
    assert other.slope.numpy() == pytest.approx(sample.slope.numpy())


@hypothesis_settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_as_many_hits_are_picked_as_there_are(family, seed, hits):
    """Whatever the probabilities: all in cells of their own, each as often as it is probable."""
    generator = torch.Generator().manual_seed(seed)
    size, starts = family.settings.window, 400
    probability = torch.rand(size, size, generator=generator) ** 6
    probability = (probability * hits / probability.sum()).clamp(max=0.9)
    start = (torch.arange(starts) + torch.rand((), generator=generator)) / starts
    many = probability.expand(starts, -1, -1).contiguous()
    layer, number, column, place, each = family._picked(
        many, torch.full((starts,), float(hits)), start
    )
    assert (column == place // size).all()
    assert (layer == column // size).all()
    assert (number.diff() > 0).all()
    counts = torch.bincount(layer, minlength=starts)
    wanted = probability / each[0]
    if wanted.max() < 1:
        assert (counts == hits).all()
    assert (place.diff() > 0).all()
    frequency = torch.bincount(place % size**2, minlength=size**2) / starts
    # A sum that starts at evenly spread places passes each cell in proportion, within two.
    assert (frequency - wanted.flatten().clamp(max=1)).abs().max() < 2.5 / starts


@torch.no_grad()
def test_what_is_drawn_for_layers_is_all_in_their_hits(family):
    torch.manual_seed(4)
    given = family.signature(32).inputs
    given["conditions"][:, 0] = 1 + 2 * torch.rand(32)
    given["conditions"][:, 2] = 0.6 * torch.rand(32)
    given["noise"], given["uniform"] = torch.randn(32, family.noise), torch.rand(32, family.uniform)
    given["pdg"] = torch.where(torch.rand(32) < 0.5, 22, 11)
    shower, place, energy, _ = family(**given)
    size = family.settings.window
    of = shower * len(family.layers) + place // size**2
    found = torch.zeros(32 * len(family.layers)).index_add_(0, of, energy / family.layers.mip)
    momentum, slope = given["conditions"][:, 0], given["conditions"][:, 1:3].tan()
    particles = Particles(momentum, slope, (given["pdg"] != 22).float())
    features = family.features(particles)
    uniform = given["uniform"][:, : family.development.uniform]
    drawn = family.development(given["noise"], uniform, features, particles)
    assert (drawn.energies > 0).sum() > 100
    torch.testing.assert_close(found, drawn.energies.flatten(), rtol=1e-3, atol=1e-4)


def test_tables_give_back_their_spectra():
    torch.manual_seed(1)
    values = torch.distributions.Exponential(1.0).sample((20_000,))
    table = Quantiles(1, 49)
    table.put(0, table.spectrum(values))
    drawn = table(torch.zeros(20_000, dtype=int), torch.rand(20_000))
    assert drawn.mean().item() == pytest.approx(values.mean().item(), rel=0.03)
    assert drawn.std().item() == pytest.approx(values.std().item(), rel=0.06)
    energies = HitEnergies()
    chance, hits = torch.rand(20_000) * 3, torch.randint(1, 90, (20_000,)).float()
    energy = values * (1 + chance)
    of_layer = energies.of_layer(hits, torch.rand(20_000) + 1, torch.rand(20_000))
    way = torch.ones_like(chance)
    energies.fit(of_layer, chance, 1 + chance, way, energy)
    kind = energies.kind(of_layer, chance, 1 + chance)
    again = energies(kind, torch.rand(20_000)) * energies.scale(kind, 1 + chance, way)
    for low, high in ((0, 1), (1, 2), (2, 3)):
        rows = (chance > low) & (chance < high)
        assert again[rows].mean().item() == pytest.approx(energy[rows].mean().item(), rel=0.05)


def layers_of(hits: int, count: int, seed: int):
    """Layers of so many hits, the first of which is expected to have most; and their spectra."""
    generator = torch.Generator().manual_seed(seed)
    expected = torch.tensor([3.0] + [1.0] * (hits - 1)).repeat(count)
    energy = expected * -torch.rand(len(expected), generator=generator).log()
    of = torch.arange(count).repeat_interleave(hits)
    return of, expected, energy, torch.zeros(count).index_add_(0, of, energy)


def test_the_hottest_hit_is_where_more_is_expected_and_has_its_share():
    count, hits = 20_000, 3
    of, expected, energy, in_layer = layers_of(hits, count, 2)
    energies = HitEnergies()
    table = Hottest(energies.count)
    numbers = torch.full((count,), float(hits))
    of_layer = energies.of_layer(numbers, torch.ones(count), torch.rand(count))
    relative, peak = expected * hits / in_layer[of], torch.full((count,), 0.6)
    table.fit(of_layer, numbers, in_layer, peak, of, relative, energy)
    # The hottest is the first more often than not; each layer has exactly one.
    chosen = table.among(of, of_layer[of], relative, torch.rand(count))
    assert (torch.bincount(of[chosen], minlength=count) == 1).all()
    wins = [
        hot.reshape(count, hits).float().mean(0) for hot in (chosen, _hottest(of, energy, count))
    ]
    assert wins[0].numpy() == pytest.approx(wins[1].numpy(), abs=0.02)
    lead = table.lead(of_layer, numbers, in_layer, peak, torch.rand(count))
    largest = energy.reshape(count, hits).amax(1)
    drawn, true = ((most / in_layer).numpy() for most in (lead.most, largest))
    assert drawn.mean() == pytest.approx(true.mean(), rel=0.01)
    assert drawn.std() == pytest.approx(true.std(), rel=0.05)
    assert lead.wanted.numpy() == pytest.approx((in_layer - lead.most).numpy(), abs=1e-3)
    assert (lead.along == 0).all()


@pytest.mark.parametrize(("hits", "apart"), [(1, True), (2, True), (8, True), (9, False)])
def test_layers_of_many_hits_have_no_hottest_of_their_own(hits, apart):
    count = 50
    of, _, energy, in_layer = layers_of(hits, count, 3)
    numbers = torch.full((count,), float(hits))
    others, left = without_hottest(of, energy, numbers, in_layer)
    assert others.sum() == count * (hits - apart)
    assert (left == 1).all() != apart
    lead = Hottest(44).lead(
        torch.zeros(count, dtype=int), numbers, in_layer, left, torch.rand(count)
    )
    assert (lead.wanted <= in_layer).all()
    assert apart or (lead.left == 1).all()


def inputs(model: Model, count: int, seed: int = 3):
    """Particles at random angles and places, and their random numbers."""
    rng = np.random.default_rng(seed)
    barrel = detector.load(model.card.detector)
    phi, cot = rng.uniform(-3, 3, count), rng.uniform(-0.9, 0.9, count)
    direction = np.stack([np.cos(phi), np.sin(phi), cot], 1)
    momentum = direction * (rng.uniform(1.2, 3.5, count) / np.hypot(1, cot))[:, None]
    hits = first_hits(barrel, np.zeros((count, 3)), momentum, np.zeros(count))
    conditions = barrel.conditions_at(hits.cell, hits.position, momentum)
    view = barrel.surroundings(hits.cell, hits.position, momentum, model.card.window)
    whose = (np.array([1], np.uint64), np.array([1], np.uint32), np.arange(count, dtype=np.uint64))
    whose = (*whose, np.zeros(count, np.uint64))
    noise = normal_noise(*whose, model.card.noise)
    more = view.inputs | {"uniform": uniform_noise(*whose, model.card.uniform)}
    return rng.choice([22, 11, -11], count).astype(np.int32), conditions, noise, more


def test_the_exported_graph_does_what_torch_does(made, family):
    model = Model(made[0], "cpu")
    pdg, conditions, noise, more = inputs(model, 40)
    tensors = [torch.from_numpy(value) for value in (noise, more["uniform"])]
    tensors += [torch.from_numpy(conditions.astype(np.float32))]
    tensors += [torch.from_numpy(more[name]) for name in ("t", "z")]
    with torch.no_grad():
        expected = family(*tensors, torch.from_numpy(pdg.astype(np.int64)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(made[0] / "model.onnx", options)
    feed = {"noise": noise, "conditions": conditions.astype(np.float32), **more}
    found = session.run(None, feed | {"pdg": pdg.astype(np.int64)})
    size = np.prod(model.card.window)
    dense = []
    for shower, place, energy, _ in (found, [part.numpy() for part in expected]):
        dense.append(np.bincount(shower * size + place, energy, 40 * size).reshape(40, -1))
    # A sum that rounds to the other side of a whole number moves a hit to the next cell.
    moved = ((dense[0] > 0) != (dense[1] > 0)).sum()
    assert moved <= 0.002 * (dense[0] > 0).sum()
    assert dense[0].sum(1) == pytest.approx(dense[1].sum(1), rel=1e-4)


def test_a_shower_does_not_depend_on_its_neighbours(made):
    """Bit by bit: in calls of eight blocks and of one, in any row."""
    model = Model(made[0], "cpu")
    pdg, conditions, noise, more = inputs(model, 290)
    together = model.generate(pdg, conditions, noise, more)
    order = np.random.default_rng(1).permutation(290)
    mixed = model.generate(
        pdg[order], conditions[order], noise[order], {k: v[order] for k, v in more.items()}
    )
    for place, number in list(enumerate(order))[::13]:
        rows, others = mixed.shower == place, together.shower == number
        for name in ("place", "energy", "delay"):
            np.testing.assert_array_equal(
                getattr(mixed, name)[rows], getattr(together, name)[others]
            )


def test_a_training_that_was_killed_goes_on_to_the_same_result(
    made, geant4_layers, small_layers, tmp_path
):
    calls = []

    def killed(stage, step, *_):
        calls.append(stage)
        if stage == "development" and step == 90:
            raise RuntimeError

    task = Task("layered", small_layers, geant4_layers)
    product = Product(tmp_path / "barrel" / "layered", tmp_path / "work")
    with pytest.raises(RuntimeError):
        recipe.train(task, product, Run(report=killed))
    recipe.train(task, product)
    again = torch.load(tmp_path / "work" / workfolder.TRAINED, weights_only=True)
    once = torch.load(made[1] / workfolder.TRAINED, weights_only=True)
    assert set(again) == set(once)
    for name, value in once.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=0, msg=name)


def test_the_card_says_what_is_simulated(made):
    card = Model(made[0], "cpu").card
    assert card.interface == "hits"
    assert card.window == (40, 21, 21)
    assert set(card.kinds) == {22, 11, -11}
    assert card.kinds[22]["momentum"] == (1.0, 4.0)
    low, high = card.kinds[11]["angle_t"]
    assert card.kinds[-11]["angle_t"] == (-high, -low)


def test_events_become_hits_of_the_detector_that_keep_all_rules(made, shot):
    """Several photons overlap, some across a border of modules: nothing is lost or twice."""
    simulation = FastSimulation(CaloFastSimProperties(Model=str(made[0]), HitThreshold=0.1))
    barrel = simulation.regions[0].calorimeter
    # All towards the border of two modules.
    particles = shot(
        20, PDG=[22, 11], ParticlesPerEvent=6, MomentumMin=1.5, MomentumMax=3.0,
        ThetaMin=80, ThetaMax=100, PhiMin=13.5, PhiMax=16.5,
    )  # fmt: skip
    keys = EventKeys(np.ones(20, np.uint32), np.arange(20, dtype=np.uint64))
    result = simulation.simulate(keys, particles)
    hits, parts = result.hits, result.contributions
    assert len(hits.energy) > 20 * 6 * 10
    for first, last in zip(hits.offsets[:-1], hits.offsets[1:], strict=True):
        assert len(np.unique(hits.cell_id[first:last])) == last - first
    cells = barrel.cell_of(hits.cell_id)
    assert (cells >= 0).all()
    assert hits.position == pytest.approx(barrel.centre(cells), abs=1e-3)
    modules = barrel.place(cells)[0]
    assert len(np.unique(modules)) >= 2
    counts = np.diff(hits.contributions)
    assert (counts >= 1).all()
    assert counts.max() > 1
    sums = np.add.reduceat(parts.energy.astype(np.float64), hits.contributions[:-1])
    assert hits.energy == pytest.approx(sums, rel=1e-5)
    assert hits.energy.min() >= 0.1 * barrel.mip * 0.999
    # Not before light could arrive from the origin.
    way = np.repeat(np.linalg.norm(hits.position, axis=1), counts)
    assert (parts.time > way / LIGHT_SPEED - 0.05).all()
    balance = simulation.summary.energy
    assert abs(balance.closure) < 1e-5
    assert balance.beyond < 0.05 * balance.generated
    assert (result.fate == Fate.SHOWERED).mean() > 0.8
    # One by one, and in other batches, the same.
    small = FastSimulation(
        CaloFastSimProperties(Model=str(made[0]), HitThreshold=0.1, BatchSize=7, Threads=3)
    )
    again = small.simulate(keys, particles)
    np.testing.assert_array_equal(again.hits.cell_id, hits.cell_id)
    np.testing.assert_array_equal(again.hits.energy, hits.energy)
    np.testing.assert_array_equal(again.contributions.time, parts.time)


def test_samples_that_do_not_belong_together_are_refused(geant4_layers, small_layers, tmp_path):
    product = Product(tmp_path / "m" / "x", tmp_path / "w")
    task = Task("layered", small_layers, geant4_layers)
    with pytest.raises(TrainingError, match="has the seed of"):
        recipe.train(replace(task, more=[geant4_layers]), product)
    with pytest.raises(TrainingError, match="epochs are chosen by showers that are not trained on"):
        recipe.train(replace(task, choose=geant4_layers), product)

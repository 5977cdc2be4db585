"""From samples of all crystals to models of all crystals, of barrel and endcaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from k4calofast import detector
from k4calofast.generator import Model
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.showers.crystals.windows import AllHits
from k4calofast.training import recipe
from k4calofast.training.crystals.deposits import WHOLE
from k4calofast.training.crystals.whole import Existing
from k4calofast.training.families import settings_of
from k4calofast.training.precision import Reduced
from k4calofast.training.recipe import Product, Task
from k4calofast.training.reduction import compared, reduce
from k4calofast.training.refinement import RefinementSettings

COUNT = 2400
KINDS = [-211, 13, 2112]

FRONT = {
    "BESIII_EMC_barrel": {"delta_z_pos": (-20, 20), "z": (-1300, 1300)},
    "BESIII_EMC_endcaps": {"delta_r_pos": (-20, 20), "r": (500, 850)},
}


def _sample(name, file):
    """Showers whose far deposits, all hard, are in one place: five rows on, forty columns back."""
    random = np.random.default_rng(1)
    calorimeter = detector.load(name)
    ranges = {
        "momentum": (0.1, 2.0),
        "delta_theta_mom": (-0.2, 0.2),
        "delta_phi_mom": (-0.2, 0.2),
        "delta_phi_pos": (-0.02, 0.02),
        "depth": (0.0, 50.0),
        **FRONT[name],
    }
    names = tuple(condition.name for condition in calorimeter.conditions)
    columns = [random.uniform(*ranges[one], COUNT) for one in names]
    pdg = np.array(KINDS, np.int32)[np.arange(COUNT) % len(KINDS)]
    cell = random.integers(0, calorimeter.n_cells, COUNT)
    if "z" in ranges:
        # The far place lies in the same way, seen from either end.
        columns[names.index("z")] = calorimeter.front_centre(cell)[:, 2]
    upwards = columns[names.index("z")] >= 0 if "z" in ranges else np.full(COUNT, True)
    middle = (WHOLE[0] // 2) * WHOLE[1] + WHOLE[1] // 2
    momentum = columns[0]
    seen = random.uniform(0.1, 0.5, COUNT) * momentum
    seen[(pdg == 2112) & (random.random(COUNT) < 0.5)] = 0
    far = middle + np.where(upwards, 5, -5) * WHOLE[1] - 40
    places = np.stack([np.full(COUNT, middle), np.full(COUNT, middle + 1), far], 1)
    energies = seen[:, None] * [0.7, 0.2, 0.1] + (seen > 0)[:, None] * [0.0, 0.0, 0.006]
    shower, column = np.nonzero(energies)
    found = calorimeter.cell_in(cell[shower], places[shower, column], WHOLE)
    kept = found >= 0
    offsets = np.append(0, np.bincount(shower[kept], minlength=COUNT).cumsum())
    delay = random.uniform(0.2, 0.4, int(kept.sum())) * (1 + 9 * (column[kept] == 2))
    hits = AllHits(
        pdg,
        cell.astype(np.int32),
        np.stack(columns, 1),
        offsets,
        found[kept].astype(np.int32),
        energies[shower, column][kept].astype(np.float32),
        delay.astype(np.float32),
        names,
    )
    showers = hits.in_windows(calorimeter)
    limits = {one: (low, high) for one, (low, high) in ranges.items()}
    provenance = crystals.CrystalProvenance(
        detector=name,
        simulation="none",
        physics="none",
        physics_data="none",
        range_cut=None,
        magnetic_field=None,
        geometry="none",
        sampling="none",
        coverage=dict.fromkeys(KINDS, limits),
        seed=5,
        software="none",
        window=(11, 11),
        conditions=names,
    )
    crystals.write(file, [showers], provenance)
    return showers


@pytest.fixture(scope="module", params=sorted(FRONT))
def made(request, small, tmp_path_factory):
    """Sample, its showers, model folder and work folder."""
    folder = tmp_path_factory.mktemp("all")
    showers = _sample(request.param, folder / "sample.h5")
    output, work = folder / "emc" / "hadrons", folder / "work"
    settings = settings_of("hadrons")(epoch=20, **small["hadrons"])
    recipe.train(Task("hadrons", settings, folder / "sample.h5"), Product(output, work, "first"))
    return folder / "sample.h5", showers, output, work


def _generated(model, showers):
    random = np.random.default_rng(1)
    noise = random.standard_normal((len(showers), model.card.noise)).astype(np.float32)
    return model.generate(showers.pdg, showers.conditions[:, model.columns], noise)


def test_a_model_gives_hits_in_all_crystals(made):
    _, showers, output, _ = made
    model = Model(output, "cpu")
    assert model.card.interface == "hits"
    assert model.card.window == WHOLE
    assert "depth" in model.card.conditions
    found = _generated(model, showers)
    row, column = np.divmod(found.place, WHOLE[1])
    row, column = row - WHOLE[0] // 2, column - WHOLE[1] // 2
    outside = (np.abs(row) > 5) | (np.abs(column) > 5)
    # Each shower's far deposit is about where it was in the sample, on its own side of the barrel.
    assert outside.sum() > 0.6 * len(showers)
    if "z" in model.card.conditions:
        assert (np.abs(column[outside] + 40) <= 4).all()
        assert column[outside].mean() == pytest.approx(-40, abs=0.3)
    # In rings of 64 crystals, forty back are 24 on.
    assert (np.abs(column[outside]) > 15).all()
    names = list(model.card.conditions)
    north = showers.conditions[:, names.index("z")] >= 0 if "z" in names else True
    wanted = np.where(north, 5, -5) * np.ones(len(showers))
    away = row[outside] - wanted[found.shower[outside]]
    assert (np.abs(away) <= 2).all()
    assert away.mean() == pytest.approx(0, abs=0.15)
    # And late as there.
    assert (found.delay[outside] > 1.8).all()
    assert (found.delay[~outside] < 0.41).all()
    assert (found.delay >= 0).all()


def test_a_refined_model_has_halo_and_times_too(made, tmp_path):
    sample, showers, _, work = made
    settings = RefinementSettings(steps=10, epoch=10, width=16, batch=64, pools=1)
    output = tmp_path / "emc" / "refined"
    recipe.refine(work, sample, settings, Product(output, tmp_path / "work", "second"))
    model = Model(output, "cpu")
    assert model.card.interface == "hits"
    plain = read_card(work.parent / "emc" / "hadrons")
    assert model.card.noise > plain.noise
    assert _generated(model, showers).energy.sum() > 0


def test_half_precision_does_not_move_a_hit(made, tmp_path):
    sample, showers, output, _ = made
    reduce(output, tmp_path / "emc" / "half", Reduced.FLOAT16, sample, "third")
    before, after = (
        _generated(Model(one, "cpu"), showers) for one in (output, tmp_path / "emc" / "half")
    )
    totals = [np.bincount(one.shower, one.energy, len(showers)) for one in (before, after)]
    assert totals[1].sum() == pytest.approx(totals[0].sum(), rel=0.01)
    chi2 = compared(output, tmp_path / "emc" / "half", sample)
    assert all(0 < one < 1e6 for one in chi2)
    far = [np.bincount(one.shower, one.energy * (one.delay > 1)).mean() for one in (before, after)]
    assert far[1] == pytest.approx(far[0], rel=0.02)


def test_patterns_of_other_rows_stay_in_the_calorimeter(made):
    """Whatever place a pattern has, there is a crystal where it goes; places that exist stay."""
    sample, showers, _, work = made
    provenance = crystals.read(sample)[1]
    family = recipe.trained(work, provenance)[1]
    existing = Existing(family)
    calorimeter = detector.load(provenance.detector)
    columns = torch.from_numpy(showers.conditions).float()
    # Positions that fit the cells: centres of fronts.
    front = calorimeter.front_centre(showers.cell.astype(np.int64))
    at = np.abs(front[:, 2]) if "z" in family.conditions else np.hypot(front[:, 0], front[:, 1])
    columns[:, existing.at] = torch.from_numpy(at).float()
    columns[:, existing.off] = 0.0
    upwards = torch.from_numpy(front[:, 2] >= 0) if "z" in family.conditions else None
    random = np.random.default_rng(3)
    shower = np.arange(len(showers)).repeat(20)
    place = random.integers(0, WHOLE[0] * WHOLE[1], len(shower))
    row = existing.entered(columns)[torch.from_numpy(shower)]
    found = existing(torch.from_numpy(place), row).numpy()
    entered = showers.cell[shower].astype(np.int64)
    rows = np.full(len(shower), True) if upwards is None else upwards.numpy()[shower]
    before, after = (
        calorimeter.cell_in(entered[rows], places[rows], WHOLE) for places in (place, found)
    )
    assert (after >= 0).all()
    assert (found[rows][before >= 0] == place[rows][before >= 0]).all()
    assert (before < 0).mean() > 0.1

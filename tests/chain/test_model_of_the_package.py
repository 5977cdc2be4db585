"""The generators that come with the package, beside Geant4."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from k4calofast.generator import Model, ShowerKeys, find_model, generate
from k4calofast.generator.card import read_card
from k4calofast.showers import crystals
from k4calofast.showers.crystals.outcomes import IONISED
from k4calofast.training.crystals.sample import available_energy
from k4calofast.validation.comparison import averages
from k4calofast.validation.crystals import emc
from k4calofast.validation.crystals.comparison import groups_of, row_of
from k4calofast.validation.crystals.observables import observables
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.fidelity import checked
from k4calofast.validation.metrics import Value
from k4calofast.validation.results import Sample

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "tests" / "data"
WHOLE = [
    f"besiii_emc_{part}/{name}"
    for part in ("barrel", "endcaps")
    for name in ("accurate", "fast", "hadrons")
]
"""Those of the package's sets: of all crystals."""

OF_WINDOWS = sorted(
    str(card.parent.relative_to(REPOSITORY / "models"))
    for card in REPOSITORY.glob("models/besiii_*/*/card.yaml")
    if read_card(card.parent).interface == "windows"
)
"""Those that are there to be compared with."""


# Models of all crystals


@pytest.fixture(scope="module", params=WHOLE)
def model(request) -> Model:
    return Model(find_model(request.param), "cpu")


@pytest.fixture(scope="module")
def samples(model) -> tuple[Sample, Sample]:
    """60 showers of Geant4 and of a generator per kind and momentum, in all crystals."""
    geant4, _ = crystals.read(DATA / f"{model.card.detector.lower()}.h5")
    geant4 = geant4.take(np.flatnonzero(np.isin(geant4.pdg, list(model.card.kinds))))
    readout = Crystals(model.detector, model.card.threshold, model.card.conditions)
    generated = readout.generated(model, geant4, 3)
    return readout.observed(readout.simulated(geant4)), readout.observed(generated)


@pytest.fixture(scope="module")
def rows(samples) -> list[emc.RowOfCrystals]:
    found = [emc.row_of(*samples, group) for group in groups_of(samples[0])]
    assert len(found) == 2 * len(set(samples[0].showers.pdg))
    return found


@pytest.fixture(scope="module")
def published(model) -> dict[tuple[str, str], Value]:
    """Figures, by gate and group, that are beyond their gates in the model's report."""
    file = REPOSITORY / "docs" / "reports" / model.card.name / "report.json"
    checks = json.loads(file.read_text())["checks"]
    return {
        (check["gate"], _group(check["where"])): Value(
            check["value"] - check["nothing"], check["error"]
        )
        for check in checks
        if abs(check["value"] - check["nothing"]) > check["limit"]
    }


def _group(where: str) -> str:
    """The name of a group of showers, whatever number of them is averaged."""
    return re.sub(r"average of \d+ groups", "average", where)


def failing(gate: str, values, published) -> list[str]:
    """Figures that are beyond their gate by more than chance explains.

    Where the report has a figure beyond its gate, what counts is how far this one is from that.
    """
    beside = {}
    for where, figure in values.items():
        said = published.get((gate, _group(where)), Value(0.0, 0.0))
        error = float(np.hypot(figure.error, said.error))
        beside[where] = Value(figure.value - said.value, error)
    return [check.words for check in checked(gate, emc.GATES[gate], beside) if check.fails]


def test_energies_are_those_of_geant4_within_the_errors_of_the_sample(rows, published):
    """Inside the window, outside, in the other calorimeter; and what becomes of hadrons."""
    found = []
    # Of 60 showers, nobody knows what one in a hundred has.
    known_here = {*emc.OF_SHOWERS, *emc.OF_OTHERS} - {"quantile_99"}
    for gate in sorted(known_here):
        known = [row for row in rows if gate in row.figures]
        values = {row.group.where: row.figures[gate] for row in known}
        if gate not in emc.OF_WINDOWS:
            together = averages(known, [[row.figures[gate]] for row in known])
            values |= {where: value for where, ((value,), _) in together.items()}
        found += failing(gate, values, published)
    assert found == []


def test_no_kind_has_too_much_or_too_little_energy(rows):
    """All groups together see what none of them sees alone."""
    figures = [row.figures["emc" if "emc" in row.figures else "energy"] for row in rows]
    pulls = np.array([figure.value / figure.error for figure in figures])
    assert np.abs(pulls).max() < 4
    assert abs(pulls.mean()) < 1.2


@pytest.mark.parametrize(("gate", "name"), [("time_mean", "mean"), ("time_spread", "spread")])
def test_times_are_those_of_geant4_within_the_errors_of_the_sample(rows, published, gate, name):
    values = {}
    for row in rows:
        for where, sides in row.times.items():
            first, second = (getattr(side, name) for side in sides)
            if first is not None and second is not None:
                error = np.hypot(first.error, second.error) / first.value
                difference = second.value / first.value - 1
                values[f"{row.group.where}, {where}"] = type(first)(difference, float(error))
    assert len(values) > 2 * len(rows)
    assert failing(gate, values, published) == []


def test_hits_have_times_after_the_entry_and_neutrons_come_late(samples):
    for sample in samples:
        hits = sample.showers.hits()
        assert np.isfinite(hits.time).all()
        assert (hits.time >= 0).all()
        shower = np.repeat(np.arange(len(sample)), np.diff(hits.offsets))
        slow = np.isin(sample.showers.pdg, (2112, -2112))[shower]
        if slow.any():
            assert np.quantile(hits.time[slow], 0.9) > 2 * np.quantile(hits.time[~slow], 0.5)


def test_no_shower_has_more_energy_than_there_is(samples):
    _, here = samples
    pdg = torch.from_numpy(here.showers.pdg.astype(np.int64))
    available = available_energy(pdg, torch.from_numpy(here.momentum)).numpy()
    assert (emc.energies_of(here) <= available * (1 + 1e-4)).all()


def test_muons_of_1_gev_only_ionise(samples):
    for sample in samples:
        muons = (np.abs(sample.showers.pdg) == 13) & (sample.momentum > 0.9)
        if muons.any():
            # Grazing ones leave through sides, so that ways are shorter than straight ones.
            assert (emc.outcomes_of(sample)[muons] == IONISED).mean() > 0.5


def test_a_shower_is_the_same_bit_by_bit_wherever_it_is_in_a_batch(model):
    pdg, conditions = _particles(model, 500)
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((len(pdg), model.card.noise)).astype(np.float32)

    def run(rows):
        found = model.generate(pdg[rows], conditions[rows], noise[rows], {})
        order = np.lexsort((found.place, rows[found.shower]))
        return [column[order] for column in (found.place, found.energy, found.delay)]

    there = run(np.arange(len(pdg)))
    for _ in range(2):
        for moved, expected in zip(run(rng.permutation(len(pdg))), there, strict=True):
            np.testing.assert_array_equal(moved, expected)


def test_extremes_of_the_range_give_finite_showers(model):
    """Every corner of the conditions, with noise as it comes; the checks are those of jobs."""
    rng = np.random.default_rng(1)
    for pdg, ranges in model.card.kinds.items():
        bounds = np.array(list(ranges.values()))
        count = len(bounds)
        conditions = bounds[np.arange(count), rng.integers(0, 2, (500, count))]
        keys = ShowerKeys.of_sample(np.arange(500), 1)
        found = generate(model, np.full(500, pdg, np.int32), conditions, keys)
        assert np.isfinite(found.energy).all()
        assert (found.energy > 0).all()
        assert (found.delay >= 0).all()


def _particles(model: Model, count: int):
    """Kinds and conditions of Geant4's sample that the model is told."""
    geant4, _ = crystals.read(DATA / f"{model.card.detector.lower()}.h5")
    geant4 = geant4.take(np.flatnonzero(np.isin(geant4.pdg, list(model.card.kinds))))
    geant4 = geant4.take(np.linspace(0, len(geant4) - 1, min(count, len(geant4))).astype(int))
    conditions = np.stack([geant4.condition(name) for name in model.card.conditions], axis=1)
    return geant4.pdg, conditions


# Models of windows, of which `flow` is the nearest to Geant4


@pytest.fixture(scope="module")
def both(barrel):
    """160 showers of Geant4 and of a generator of windows per kind and momentum."""
    geant4, _ = crystals.read(DATA / "geant4_showers.h5")
    model = Model(find_model("besiii_emc_barrel/flow"), "cpu")
    return geant4, Crystals(barrel, model.card.threshold).generated(model, geant4, 3)


def test_responses_in_windows_are_those_of_geant4_within_the_errors_of_the_sample(both):
    samples = [Sample(showers, showers.conditions, observables(showers)) for showers in both]
    rows = [row_of(*samples, group) for group in groups_of(samples[0])]
    pulls = [row.figures["mean"].value / row.figures["mean"].error for row in rows]
    assert len(pulls) == 15
    assert np.abs(pulls).max() < 4
    assert abs(np.mean(pulls)) < 1.2


def test_no_window_has_more_energy_than_there_is(both):
    _, here = both
    total = here.energies.sum((1, 2), dtype=np.float64)
    pdg, momentum = torch.from_numpy(here.pdg.astype(np.int64)), torch.from_numpy(here.momentum)
    assert (total <= available_energy(pdg, momentum).numpy() * (1 + 1e-4)).all()


def test_the_line_of_annihilation_is_where_it_is(both):
    """Cells with 511 keV: as many as in Geant4, and a peak, not a hill."""
    counts = []
    for showers in both:
        cells = showers.energies[showers.energies > 0]
        peak = ((cells > 0.508e-3) & (cells < 0.514e-3)).sum()
        beside = ((cells > 0.52e-3) & (cells < 0.526e-3)).sum()
        counts.append((peak, beside))
    (geant4, background), (here, hill) = counts
    assert geant4 > 5 * background
    assert here > 4 * hill
    assert here == pytest.approx(geant4, rel=0.25)


def test_soft_photons_often_lose_nothing(both):
    shares = []
    for showers in both:
        chosen = (showers.pdg == 22) & (showers.momentum < 0.06)
        shares.append((observables(showers)["response"][chosen] > 0.9999).mean())
    assert shares[0] > 0.1
    assert shares[1] == pytest.approx(shares[0], abs=0.12)


@pytest.mark.parametrize("name", OF_WINDOWS)
def test_a_window_is_the_same_bit_by_bit_wherever_it_is_in_a_batch(name):
    here, _ = crystals.read(DATA / "geant4_showers.h5")
    here = here.take(slice(0, 500))
    model = Model(find_model(name), "cpu")
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((len(here), model.card.noise)).astype(np.float32)
    there = model.energies(here.pdg, here.conditions, noise)
    for _ in range(2):
        order = rng.permutation(len(here))
        moved = model.energies(here.pdg[order], here.conditions[order], noise[order])
        np.testing.assert_array_equal(moved, there[order])


@pytest.mark.parametrize("name", OF_WINDOWS)
def test_extremes_of_the_range_give_finite_windows(name):
    """Every corner of the conditions, with noise far in its tails."""
    model = Model(find_model(name), "cpu")
    rng = np.random.default_rng(1)
    for pdg, ranges in model.card.kinds.items():
        bounds = np.array(list(ranges.values()))
        conditions = bounds[np.arange(6), rng.integers(0, 2, (500, 6))]
        noise = np.clip(2 * rng.standard_normal((500, model.card.noise)), -6, 6)
        energies = model.energies(np.full(500, pdg, np.int32), conditions, noise.astype(np.float32))
        assert np.isfinite(energies).all()
        assert (energies >= 0).all()

"""From deposits to measured energies: the errors are those that were asked for."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from k4calofast.detector import besiii
from k4calofast.events.columns import OWN_COLLECTION, Contributions, EventKeys, Hits
from k4calofast.exceptions import InvalidEventError, SteeringError
from k4calofast.hits.digitisation import NO_HIT, Digitiser
from k4calofast.properties import CaloDigitiserProperties

QUIET = {
    "LightYield": 0,
    "Noise": 0,
    "NoiseMean": 0,
    "Uniformity": 0,
    "Threshold": 0,
    "TimeResolution": 0,
    "EmptyCells": False,
}
"""Electronics that measure what there is."""

BARREL = besiii.barrel()


def deposits(energy: float, cells: int, events: int = 1, calorimeter=BARREL):
    """The same energy (GeV) in so many cells of each event; two contributions each."""
    count = cells * events
    cell = np.tile(np.arange(cells), events)
    hits = Hits(
        np.arange(events + 1) * cells,
        calorimeter.cell_id(cell),
        np.full(count, energy, np.float32),
        calorimeter.centre(cell).astype(np.float32),
        np.arange(count + 1) * 2,
    )
    return hits, Contributions(
        np.zeros(2 * count, np.int32),
        np.full(2 * count, OWN_COLLECTION, np.uint32),
        np.full(2 * count, 22, np.int32),
        np.full(2 * count, energy / 2, np.float32),
        np.tile(np.array([5.0, 3.0], np.float32), count),
        np.zeros((2 * count, 3), np.float32),
        np.zeros(2 * count, np.float32),
    )


def keys(events: int = 1) -> EventKeys:
    return EventKeys(np.ones(events, np.uint32), np.arange(events, dtype=np.uint64))


def digitised(energy, events=10, cells=2000, **properties):
    """Digits of the same energy in cells of several events."""
    digitiser = Digitiser(CaloDigitiserProperties(**QUIET | properties))
    (digits,) = digitiser.digitise(keys(events), [deposits(energy, cells, events)])
    return digits


def test_without_errors_the_energy_is_the_calibrated_deposit():
    digits = digitised(0.1, events=1, cells=3, Calibration=2.0)
    assert digits.energy == pytest.approx([0.2] * 3)
    assert digits.time.tolist() == [3.0] * 3
    assert digits.hit.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("properties", "energy", "sigma"),
    [
        ({"Noise": 0.2}, 0.01, 0.2e-3),
        ({"Uniformity": 0.02}, 0.5, 0.01),
        # 100 photoelectrons per MeV at 10 MeV: 1000 +- sqrt(1000).
        ({"LightYield": 100}, 0.01, 0.01 / np.sqrt(1000)),
        ({"Noise": 0.3, "Uniformity": 0.01}, 0.04, np.hypot(0.3e-3, 0.4e-3)),
    ],
)
def test_each_error_has_its_width(properties, energy, sigma):
    digits = digitised(energy, Threshold=-1e6, **properties)
    measured = digits.energy.astype(np.float64)
    # 20 000 cells: widths to 0.5 %, means to 0.7 % of the width.
    assert measured.std() == pytest.approx(sigma, rel=0.025)
    assert measured.mean() == pytest.approx(energy, abs=0.035 * sigma)
    assert np.median(digits.energy_error) == pytest.approx(sigma, rel=0.02)


def test_the_threshold_cuts_on_the_signal_and_what_it_costs_is_counted():
    digitiser = Digitiser(CaloDigitiserProperties(**QUIET | {"Threshold": 0.5, "Noise": 0.1}))
    (digits,) = digitiser.digitise(keys(10), [deposits(0.5e-3, 2000, events=10)])
    assert (digits.energy >= 0.5e-3).all()
    # A deposit at the threshold is seen every other time.
    assert len(digits.energy) == pytest.approx(10_000, abs=5 * np.sqrt(5000))
    (read_out,) = digitiser.read_out
    lost = (20_000 - len(digits.energy)) * 0.5e-3
    assert read_out.below_threshold == pytest.approx(lost, rel=1e-5)
    assert read_out.simulated == 20_000
    assert read_out.measured == len(digits.energy)


def test_times_have_the_resolution_asked_for():
    digits = digitised(0.1, TimeResolution=15.0)
    assert digits.time.mean() == pytest.approx(3.0, abs=5 * 15 / np.sqrt(20_000))
    assert digits.time.std() == pytest.approx(15.0, rel=5 / np.sqrt(2 * 20_000))


def noise_alone(events: int, **properties):
    """Digits of events without deposits, and what was read out."""
    digitiser = Digitiser(
        CaloDigitiserProperties(**{"Threshold": 0.5, "Noise": 0.25, **properties})
    )
    (digits,) = digitiser.digitise(keys(events), [deposits(0.1, 0, events)])
    return digits, digitiser.read_out[0]


@pytest.mark.parametrize(
    ("noise", "mean", "threshold"), [(0.255, 0.045, 0.5), (0.2, 0.0, 0.3), (0.5, 0.3, 0.2)]
)
def test_cells_without_a_deposit_have_the_tail_of_the_noise(noise, mean, threshold):
    """Number and energies are those of a normal number for every cell, cut at the threshold."""
    events = 200
    digits, read_out = noise_alone(events, Noise=noise, NoiseMean=mean, Threshold=threshold)
    normal = NormalDist(mean, noise)
    share = 1 - normal.cdf(threshold)
    expected = events * BARREL.n_cells * share
    assert len(digits.energy) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - share)))
    assert (digits.energy >= np.float32(threshold * 1e-3)).all()
    # Their distribution, at three of its quantiles.
    for part in (0.1, 0.5, 0.9):
        above = normal.inv_cdf(1 - share * (1 - part)) * 1e-3
        found = np.mean(digits.energy <= above)
        assert found == pytest.approx(part, abs=4 * np.sqrt(part * (1 - part) / expected))
    assert read_out.noise == len(digits.energy)
    assert read_out.empty == events * BARREL.n_cells
    assert read_out.noise_energy == pytest.approx(digits.energy.sum(dtype=float), rel=1e-5)
    assert (digits.hit == NO_HIT).all()


def test_noise_is_in_all_cells_alike_and_at_any_time_of_the_window():
    digits, _ = noise_alone(300, NoiseTimes=[-100.0, 300.0])
    cells = BARREL.cell_of(digits.cell_id)
    assert digits.position == pytest.approx(BARREL.centre(cells), abs=1e-3)
    counts = np.bincount(cells // BARREL.n_columns, minlength=BARREL.n_rings)
    expected = len(cells) / BARREL.n_rings
    # 44 rings: chi2 within 4 sigma of its mean.
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 == pytest.approx(BARREL.n_rings - 1, abs=4 * np.sqrt(2 * (BARREL.n_rings - 1)))
    assert digits.time.min() >= -100
    assert digits.time.max() <= 300
    assert digits.time.mean() == pytest.approx(100, abs=4 * 400 / np.sqrt(12 * len(digits.time)))


def test_besiii_s_defaults_leave_a_few_per_cent_of_the_crystals_above_threshold():
    _, read_out = noise_alone(20, Noise=CaloDigitiserProperties().Noise)
    assert 0.02 < read_out.noise / read_out.empty < 0.05


def test_a_cell_with_a_deposit_has_no_second_digit():
    digitiser = Digitiser(CaloDigitiserProperties(Threshold=-1e6))
    (digits,) = digitiser.digitise(keys(3), [deposits(0.1, 70, events=3)])
    # Without a threshold every cell is read out, once.
    assert np.diff(digits.offsets).tolist() == [BARREL.n_cells] * 3
    for event in range(3):
        part = slice(*digits.offsets[event : event + 2])
        assert len(np.unique(digits.cell_id[part])) == BARREL.n_cells
        assert digits.hit[part][:70].tolist() == list(range(70))
        assert (digits.hit[part][70:] == NO_HIT).all()
    assert digitiser.read_out[0].empty == 3 * (BARREL.n_cells - 70)


def test_a_cell_has_the_same_noise_in_any_company():
    """Each event by itself, backwards: the same bits as of all together."""
    digitiser = Digitiser(CaloDigitiserProperties())
    events = 130
    (together,) = digitiser.digitise(keys(events), [deposits(0.1, 9, events)])
    for event in reversed(range(0, events, 17)):
        one = EventKeys(np.ones(1, np.uint32), np.array([event], np.uint64))
        (alone,) = Digitiser(CaloDigitiserProperties()).digitise(one, [deposits(0.1, 9)])
        part = slice(*together.offsets[event : event + 2])
        for name, column in alone.members.items():
            assert column.tobytes() == together.members[name][part].tobytes(), name


def test_a_deposit_has_the_same_error_in_any_company():
    properties = CaloDigitiserProperties(Threshold=-1e6, EmptyCells=False)
    hits, contributions = deposits(0.1, 50, events=4)
    (together,) = Digitiser(properties).digitise(keys(4), [(hits, contributions)])
    rows = np.arange(100, 150, 7)
    alone = Hits(
        np.array([0, len(rows)]),
        hits.cell_id[rows],
        hits.energy[rows],
        hits.position[rows],
        np.arange(len(rows) + 1),
    )
    of_rows = {name: getattr(contributions, name)[rows] for name in vars(contributions)}
    third = EventKeys(np.ones(1, np.uint32), np.array([2], np.uint64))
    (digits,) = Digitiser(properties).digitise(third, [(alone, replace(contributions, **of_rows))])
    assert digits.energy.tobytes() == together.energy[rows].tobytes()
    assert len(np.unique(together.energy)) > 190


def test_barrel_and_endcaps_are_digitised_together_as_alone():
    endcaps = besiii.endcaps()
    both = {
        "InputHits": ["EMCBarrelCollection", "EMCEndcapCollection"],
        "OutputHits": ["C", "D"],
        "OutputLinks": ["E", "F"],
        "Detectors": [BARREL.name, endcaps.name],
        "DeadCells": ["part=0,theta=2", "part=1,theta=2"],
    }
    given = [deposits(0.1, 5, events=2), deposits(0.1, 7, events=2, calorimeter=endcaps)]
    digitiser = Digitiser(CaloDigitiserProperties(**both))
    together = digitiser.digitise(keys(2), given)
    for number, digits in enumerate(together):
        own = {name: values[number : number + 1] for name, values in both.items()}
        own["DeadCells"] = [f"part={1 - number},theta=2"]
        (alone,) = Digitiser(CaloDigitiserProperties(**own)).digitise(
            keys(2), given[number : number + 1]
        )
        for name, column in alone.members.items():
            assert column.tobytes() == digits.members[name].tobytes(), name
    barrel, of_endcaps = ((d.cell_id[d.hit == NO_HIT], d.energy[d.hit == NO_HIT]) for d in together)
    # Each has noise of its own, in its own cells: 3.7 % of them, but for the dead ones.
    assert not set(barrel[1].tolist()) & set(of_endcaps[1].tolist())
    for calorimeter, cells, dead in ((BARREL, barrel[0], 120), (endcaps, of_endcaps[0], 80)):
        assert (calorimeter.cell_of(cells) >= 0).all()
        expected = 2 * (calorimeter.n_cells - dead) * 0.0372
        assert len(cells) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert [line.partition(":")[0] for line in digitiser.lines()] == [
        name for name in both["InputHits"] for _ in range(2)
    ]


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"OutputHits": ["A", "B"]}, "OutputHits names 2, InputHits 1 collections"),
        ({"Detectors": ["BESIII_EMC_barrel"] * 2}, "Detectors names 2 calorimeters, InputHits 1"),
        ({"Detectors": [], "DeadCells": ["1"]}, "DeadCells is of single cells"),
        ({"Detectors": ["CLD_ECAL_barrel"]}, "set EmptyCells to False"),
        ({"NoiseTimes": [1.0, 0.0]}, "the earliest is after the latest"),
        (
            {
                "InputHits": ["A", "B"],
                "OutputHits": ["C", "D"],
                "OutputLinks": ["E", "F"],
                "Detectors": ["BESIII_EMC_barrel"] * 2,
            },
            "each calorimeter has one collection",
        ),
    ],
)
def test_properties_that_contradict_each_other_are_refused(properties, sentence):
    with pytest.raises(SteeringError, match=sentence):
        Digitiser(CaloDigitiserProperties(**properties))


def test_a_cell_of_another_detector_is_refused_and_without_detectors_all_are_known():
    hits, contributions = deposits(0.1, 3, events=2)
    cell_id = hits.cell_id.copy()
    cell_id[4] = 12345678901
    given = [(replace(hits, cell_id=cell_id), contributions)]
    sentence = "^run 1, event 1: a hit of 'EMCBarrelCollection' has the cell ID 12345678901, which "
    with pytest.raises(InvalidEventError, match=sentence + "is no cell of BESIII_EMC_barrel"):
        Digitiser(CaloDigitiserProperties()).digitise(keys(2), given)
    (digits,) = Digitiser(CaloDigitiserProperties(Detectors=[])).digitise(keys(2), given)
    assert digits.cell_id.tolist() == cell_id.tolist()


def test_digits_of_before_there_was_noise_in_empty_cells_are_reproduced_by_setting():
    """Energies that cells 0 to 3 of run 1, event 0 had then, bit by bit."""
    digits = digitised(
        0.1,
        events=1,
        cells=4,
        Detectors=[],
        LightYield=5000.0,
        Noise=0.2,
        Uniformity=0.01,
        Threshold=0.5,
    )
    assert digits.energy.tolist() == [
        0.09861310571432114,
        0.09867925941944122,
        0.09956076741218567,
        0.09941571205854416,
    ]


def test_response_and_constant_of_a_cell_make_its_energy_and_dead_cells_are_counted(tmp_path):
    table = tmp_path / "cells.csv"
    table.write_text("theta,phi,response,constant,dead\n0,1,0.5,,\n0,2,0.5,2,\n0,3,,,1\n")
    properties = QUIET | {"CalibrationFile": str(table), "Calibration": 3.0}
    digitiser = Digitiser(CaloDigitiserProperties(**properties))
    (digits,) = digitiser.digitise(keys(), [deposits(0.1, 5)])
    assert digits.energy == pytest.approx([0.3, 0.15, 0.3, 0.3])
    assert digits.hit.tolist() == [0, 1, 2, 4]
    assert digitiser.read_out[0].dead == pytest.approx(0.1)
    assert "0.1 in dead cells" in digitiser.lines()[0]


def test_dead_cells_have_no_noise_and_are_not_counted_as_empty():
    digitiser = Digitiser(CaloDigitiserProperties(Threshold=-1e6, DeadCells=["part=1,theta=3"]))
    (digits,) = digitiser.digitise(keys(), [deposits(0.1, 0)])
    assert len(digits.energy) == BARREL.n_cells - BARREL.n_columns
    assert not (BARREL.cell_of(digits.cell_id) // BARREL.n_columns == 3).any()
    assert digitiser.read_out[0].empty == len(digits.energy)


@pytest.mark.parametrize("energy", [np.nan, np.inf, -0.5])
@pytest.mark.parametrize("what", ["hit", "contribution"])
def test_energies_that_cannot_be_are_refused_with_event_and_collection(energy, what):
    columns = list(deposits(0.1, 3, events=2))
    which = what != "hit"
    energies = columns[which].energy.copy()
    energies[-1] = energy
    columns[which] = replace(columns[which], energy=energies)
    digitiser = Digitiser(CaloDigitiserProperties(InputHits=["Crystals"]))
    sentence = rf"^run 1, event 1: a {what}.* of 'Crystals' has an energy of {energy} GeV"
    with pytest.raises(InvalidEventError, match=sentence):
        digitiser.digitise(keys(2), [tuple(columns)])


def test_events_without_hits_have_no_digits_where_only_hits_are_measured():
    digitiser = Digitiser(CaloDigitiserProperties(EmptyCells=False))
    (digits,) = digitiser.digitise(keys(2), [deposits(0.1, 0, events=2)])
    assert digits.offsets.tolist() == [0, 0, 0]
    assert digits.position.shape == (0, 3)


def test_offsets_and_links_are_those_of_the_events():
    digitiser = Digitiser(CaloDigitiserProperties(**QUIET | {"Threshold": 1.0}))
    hits, contributions = deposits(0.1, 3, events=2)
    energy = hits.energy.copy()
    energy[[1, 3]] = 0.0005
    (digits,) = digitiser.digitise(keys(2), [(replace(hits, energy=energy), contributions)])
    assert digits.offsets.tolist() == [0, 2, 4]
    assert digits.hit.tolist() == [0, 2, 1, 2]


def test_events_with_the_same_numbers_have_the_same_noise_unless_places_count(caplog):
    same = EventKeys(np.ones(2, np.uint32), np.full(2, 4, np.uint64))

    def energies(**properties):
        digitiser = Digitiser(CaloDigitiserProperties(**properties))
        (digits,) = digitiser.digitise(same, [deposits(0.1, 5, events=2)])
        return [digits.energy[slice(*digits.offsets[i : i + 2])].tolist() for i in range(2)]

    first, second = energies()
    assert first == second
    assert caplog.text.count("events 0 and 1 of the job are both run 1, event 4") == 1
    first, second = energies(RepeatedKeys="position")
    assert first != second
    with pytest.raises(InvalidEventError, match="RepeatedKeys"):
        energies(RepeatedKeys="fail")

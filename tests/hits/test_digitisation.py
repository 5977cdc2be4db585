"""From deposits to measured energies: the errors are those that were asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from k4calofast.events.columns import OWN_COLLECTION, Contributions, EventKeys, Hits
from k4calofast.exceptions import InvalidEventError
from k4calofast.hits.digitisation import Digitiser
from k4calofast.properties import CaloDigitiserProperties

QUIET = {"LightYield": 0, "Noise": 0, "Uniformity": 0, "Threshold": 0}


def deposits(energy: float, cells: int, events: int = 1):
    """The same energy (GeV) in so many cells of each event; two contributions each."""
    count = cells * events
    hits = Hits(
        np.arange(events + 1) * cells,
        np.tile(np.arange(cells, dtype=np.uint64) + 1000, events),
        np.full(count, energy, np.float32),
        np.zeros((count, 3), np.float32),
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


def digitised(energy, cells=20_000, **properties):
    digitiser = Digitiser(CaloDigitiserProperties(**QUIET | properties))
    return digitiser.digitise(keys(), *deposits(energy, cells))


def test_without_errors_the_energy_is_the_calibrated_deposit():
    digits = digitised(0.1, cells=3, Calibration=2.0)
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
    digits = digitiser.digitise(keys(), *deposits(0.5e-3, 20_000))
    assert (digits.energy >= 0.5e-3).all()
    # A deposit at the threshold is seen every other time.
    assert len(digits.energy) == pytest.approx(10_000, abs=5 * np.sqrt(5000))
    read_out = digitiser.read_out
    lost = (20_000 - len(digits.energy)) * 0.5e-3
    assert read_out.below_threshold == pytest.approx(lost, rel=1e-5)
    assert read_out.simulated == 20_000
    assert read_out.measured == len(digits.energy)


def test_a_cell_has_the_same_error_in_any_company():
    properties = CaloDigitiserProperties(Threshold=-1e6)
    hits, contributions = deposits(0.1, 50, events=4)
    together = Digitiser(properties).digitise(keys(4), hits, contributions)
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
    digits = Digitiser(properties).digitise(third, alone, replace(contributions, **of_rows))
    assert digits.energy.tobytes() == together.energy[rows].tobytes()
    assert len(np.unique(together.energy)) > 190


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
        digitiser.digitise(keys(2), *columns)


def test_events_without_hits_have_no_digits():
    digits = Digitiser(CaloDigitiserProperties()).digitise(keys(2), *deposits(0.1, 0, events=2))
    assert digits.offsets.tolist() == [0, 0, 0]
    assert digits.position.shape == (0, 3)


def test_offsets_and_links_are_those_of_the_events():
    digitiser = Digitiser(CaloDigitiserProperties(**QUIET | {"Threshold": 1.0}))
    hits, contributions = deposits(0.1, 3, events=2)
    energy = hits.energy.copy()
    energy[[1, 3]] = 0.0005
    digits = digitiser.digitise(keys(2), replace(hits, energy=energy), contributions)
    assert digits.offsets.tolist() == [0, 2, 4]
    assert digits.hit.tolist() == [0, 2, 1, 2]


def test_events_with_the_same_numbers_have_the_same_noise_unless_places_count(caplog):
    same = EventKeys(np.ones(2, np.uint32), np.full(2, 4, np.uint64))

    def energies(**properties):
        digitiser = Digitiser(CaloDigitiserProperties(**properties))
        return np.split(digitiser.digitise(same, *deposits(0.1, 5, events=2)).energy, 2)

    first, second = energies()
    assert first.tolist() == second.tolist()
    assert caplog.text.count("events 0 and 1 of the job are both run 1, event 4") == 1
    first, second = energies(RepeatedKeys="position")
    assert first.tolist() != second.tolist()
    with pytest.raises(InvalidEventError, match="RepeatedKeys"):
        energies(RepeatedKeys="fail")

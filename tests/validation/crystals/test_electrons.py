"""Electrons and pions are told apart by what full simulation teaches alone."""

from __future__ import annotations

import numpy as np
import pytest

from k4calofast.validation.crystals.electrons import EFFICIENCIES, checks, misidentified, table
from k4calofast.validation.crystals.kind import KIND
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.results import Sample


@pytest.fixture(scope="module")
def samples(barrel, particles_at, toys):
    """Electrons and pions, as the models of a set have them: each in samples of their own."""

    def made(of_electrons=None, of_pions=None) -> list[tuple[Sample, Sample]]:
        """Make them with faults of the one and the other."""
        readout = Crystals(barrel, 1e-4)
        found = []
        for pdgs, faults in (([11, 22], of_electrons), ([211, 13], of_pions)):
            particles = particles_at(barrel, pdgs, 3000, pdgs[0])
            sides = (toys(particles, barrel, 1), toys(particles, barrel, 2, **(faults or {})))
            found.append(tuple(readout.observed(showers) for showers in sides))
        return found

    return made


def test_the_same_showers_are_misidentified_as_often(samples):
    points = misidentified(samples())
    assert [(p.momentum and round(p.momentum, 3), p.efficiency) for p in points] == [
        (momentum, efficiency) for momentum in (0.3, 1.0, None) for efficiency in EFFICIENCIES
    ]
    assert points[4].pions == 6000
    assert points[4].reference.error < points[0].reference.error + points[2].reference.error
    for point in points[:4]:
        # Photons and muons are neither.
        assert (point.electrons, point.pions) == (3000, 3000)
        assert 0 < point.reference.value < 0.3
        apart = point.generated.value - point.reference.value
        assert abs(apart) < 4.5 * np.hypot(point.generated.error, point.reference.error)
        kept = point.electrons_kept
        assert abs(kept.value - point.efficiency) < 4.5 * kept.error
    found = checks(points)
    assert not any(check.fails for check in found)
    # Two per cent of 3000 pions do not resolve a tenth, and the table says so.
    assert all(check.needed > 3000 for check in found)
    lines = "\n".join(table(points, found).markdown())
    assert lines.count("**not resolved**") == len(points)


def test_pions_that_interact_more_often_fail(samples):
    found = checks(misidentified(samples(of_pions={"interacted": 0.9, "energy": 1.15})))
    assert any(check.fails for check in found)
    assert all(check.value > 0 for check in found)


def test_a_generator_with_other_electrons_shows_it_at_the_references_cut(samples):
    points = misidentified(samples(of_electrons={"energy": 0.9}))
    assert all(point.electrons_kept.value < point.efficiency - 0.02 for point in points)


def test_without_pions_there_is_nothing_to_compare(samples):
    electrons, _ = samples()
    assert misidentified([electrons]) == []
    assert KIND.across([electrons]) is None

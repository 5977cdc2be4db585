"""Whole events: what goes in comes out, and resonances have their masses."""

from __future__ import annotations

import numpy as np
import pytest

from k4calofast.events.edm4hep import MC_PARTICLE
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import find_collection, particles
from k4calofast.reactions import (
    BHABHA_COSINE,
    REACTIONS,
    bhabha,
    jpsi_to_rho_pi,
    psi2s_to_pi_pi_jpsi,
    write,
)

EVENTS = 5000
TOTAL = {"jpsi_rho_pi": 3.0969, "bhabha": 3.1, "psi2s_pi_pi_jpsi": 3.6861}
"""GeV of each event, at rest."""


def energies(found):
    return np.sqrt((found.momentum**2).sum(1) + found.mass**2)


def invariant_mass(found, *chosen):
    """Mass of some particles of each event, given by their places."""
    many = int(found.offsets[1])
    energy = energies(found).reshape(-1, many)[:, chosen].sum(1)
    momentum = found.momentum.reshape(-1, many, 3)[:, chosen].sum(1)
    return np.sqrt(energy**2 - (momentum**2).sum(1))


@pytest.mark.parametrize("name", REACTIONS)
def test_energy_momentum_and_charge_are_those_of_the_collision(name):
    found = REACTIONS[name](EVENTS, 3)
    final = found.generator_status == 1
    event = found.event_of(np.flatnonzero(final))
    energy = np.bincount(event, energies(found)[final])
    assert energy == pytest.approx(np.full(EVENTS, TOTAL[name]), abs=2e-4)
    for axis in range(3):
        total = np.bincount(event, found.momentum[final, axis])
        assert total == pytest.approx(np.zeros(EVENTS), abs=1e-9)
    assert np.bincount(event, found.charge[final]) == pytest.approx(np.zeros(EVENTS))


@pytest.mark.parametrize("name", ["jpsi_rho_pi", "psi2s_pi_pi_jpsi"])
def test_what_decays_is_in_the_record_with_its_daughters(name):
    found = REACTIONS[name](200, 3)
    decayed = np.unique(found.parent)
    assert (found.generator_status[decayed] == 2).all()
    assert (found.generator_status == 2).sum() == len(decayed)
    four = np.column_stack([energies(found), found.momentum])
    daughters = np.zeros_like(four)
    np.add.at(daughters, found.parent, four[found.child])
    assert daughters[decayed] == pytest.approx(four[decayed], abs=1e-9)
    assert (found.event_of(found.parent) == found.event_of(found.child)).all()


def test_every_event_of_rho_pi_has_two_charged_pions_and_two_photons_of_a_pi0():
    found = jpsi_to_rho_pi(EVENTS, 1)
    kinds = found.pdg.reshape(EVENTS, -1)
    final = np.sort(np.where(found.generator_status.reshape(EVENTS, -1) == 1, kinds, 0), axis=1)
    assert (final == [-211, 0, 0, 0, 22, 22, 211]).all()
    assert invariant_mass(found, 5, 6) == pytest.approx(np.full(EVENTS, 0.1349768), abs=1e-6)
    share = np.array([(kinds[:, 1] == rho).mean() for rho in (113, 213, -213)])
    assert share == pytest.approx(np.full(3, 1 / 3), abs=4 * np.sqrt(2 / 9 / EVENTS))
    # The daughters of the rho, and what is left with the other pion.
    mass = invariant_mass(found, 3, 4)
    assert np.median(mass) == pytest.approx(0.775, abs=0.02)
    low, high = np.quantile(mass, [0.25, 0.75])
    # A form of Breit and Wigner has half of its events within its width.
    assert high - low == pytest.approx(0.149, rel=0.2)


def test_decays_are_isotropic():
    found = jpsi_to_rho_pi(EVENTS, 2)
    way = found.momentum.reshape(EVENTS, -1, 3)[:, 1]
    cosine = way[:, 2] / np.linalg.norm(way, axis=1)
    assert cosine.mean() == pytest.approx(0, abs=4 / np.sqrt(3 * EVENTS))
    assert (cosine**2).mean() == pytest.approx(1 / 3, abs=4 * np.sqrt(4 / 45 / EVENTS))


def test_bhabhas_are_back_to_back_with_the_angles_of_qed():
    found = bhabha(EVENTS, 1)
    electron, positron = found.momentum.reshape(EVENTS, 2, 3).swapaxes(0, 1)
    assert electron == pytest.approx(-positron)
    cosine = electron[:, 2] / np.linalg.norm(electron, axis=1)
    assert np.abs(cosine).max() <= BHABHA_COSINE
    # Between 0 and .8 forwards and backwards: integrals of the cross section.
    grid = np.linspace(-0.8, 0.8, 100_001)
    density = ((3 + grid**2) / (1 - grid)) ** 2
    expected = density[grid > 0].sum() / density.sum()
    central = cosine[np.abs(cosine) < 0.8]
    error = np.sqrt(expected * (1 - expected) / len(central))
    assert (central > 0).mean() == pytest.approx(expected, abs=4 * error)


def test_leptons_of_a_jpsi_beside_two_soft_pions():
    found = psi2s_to_pi_pi_jpsi(EVENTS, 1)
    assert invariant_mass(found, 4, 5) == pytest.approx(np.full(EVENTS, 3.0969), abs=1e-4)
    pions = invariant_mass(found, 2, 3)
    # Pairs are heavy: below .45 GeV phase space alone would have half of them.
    assert (pions < 0.45).mean() < 0.2
    assert pions.max() < 3.6861 - 3.0969
    leptons = np.abs(found.pdg.reshape(EVENTS, -1)[:, 4])
    assert set(leptons.tolist()) == {11, 13}


def test_same_seed_same_events_and_a_file_holds_them(tmp_path):
    found = jpsi_to_rho_pi(20, 4)
    assert (jpsi_to_rho_pi(20, 4).momentum == found.momentum).all()
    assert (jpsi_to_rho_pi(20, 5).momentum != found.momentum).any()
    write(tmp_path / "events.edm4hep.root", found)
    source = EventSource([tmp_path / "events.edm4hep.root"])
    (frames,) = source.chunks(0, 20, 20)
    info = find_collection(source.infos, "MCParticles", MC_PARTICLE.collection)
    again = particles(frames, info)
    for name in ("pdg", "momentum", "mass", "charge", "parent", "child", "generator_status"):
        assert (getattr(again, name) == getattr(found, name)).all(), name

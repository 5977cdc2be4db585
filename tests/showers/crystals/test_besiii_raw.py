"""Showers out of BESIII's own full simulation, in the form in which pybes3 reads its raw files."""

from __future__ import annotations

import copy
import logging
import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from k4calofast.exceptions import FileFormatError, MissingCollectionError
from k4calofast.showers.crystals import besiii_raw
from k4calofast.showers.crystals.besiii_raw import Fate, showers_of

REPOSITORY = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("K4CALOFAST_TEST_DATA", REPOSITORY.parent / "shared" / "data"))

# A photon of J/psi -> rho pi by BOSS 7.2.0: test_full_mc_evt_1.rtraw of pybes3's source
# distribution (M. Li, MIT licence), first event.
PARTICLE = {
    "m_particleID": 22,
    "m_trackIndex": 10,
    "m_xInitialPosition": 0.20317183006910886,
    "m_yInitialPosition": -0.1867317444120433,
    "m_zInitialPosition": 0.4904049965062616,
    "m_xInitialMomentum": 0.062363711700619405,
    "m_yInitialMomentum": -0.13033547617626737,
    "m_zInitialMomentum": -0.10327569448656343,
    "m_mother": 7,
}
HIT = {
    "m_hitEmc": 1,
    "m_PDGCode": 22,
    "m_trackIndex": 10,
    "m_xPosition": 416.06945505554245,
    "m_yPosition": -867.1751078774956,
    "m_zPosition": -680.7516565501994,
    "m_px": 62.363711700621394,
    "m_py": -130.33547617627005,
    "m_pz": -103.27569448656692,
    "m_depositEnergy": 162.62616753547357,
    "m_hitMap": [
        {"key": 805380450, "val": 2.264537870452398},
        {"key": 805380451, "val": 0.6670926904697146},
        {"key": 805380705, "val": 5.5438446041950185},
        {"key": 805380706, "val": 146.81096853558302},
        {"key": 805380707, "val": 4.337754303669706},
        {"key": 805380962, "val": 1.5645931663748658},
        {"key": 805380963, "val": 1.4373763647288178},
    ],
}
ENDCAP = 0x30000503


@pytest.fixture
def photon():
    """The photon, to be changed: particles and hits of one event, as lists of records."""
    return copy.deepcopy(([PARTICLE], [HIT]))


@pytest.fixture(params=["test_full_mc_evt_1.rtraw", "test_mrpc.rtraw"])
def raw_file(request):
    """A real file, of pybes3's source distribution."""
    file = DATA / "besiii" / request.param
    if not file.exists():
        pytest.skip(f"{file} is not here (K4CALOFAST_TEST_DATA)")
    return file


def read(particles, hits, **options):
    return showers_of(ak.Array([particles]), ak.Array([hits]), **options)


def test_a_photon_of_bes_iii_showers_around_the_crystal_that_it_enters(photon):
    showers, fate, deposit = read(*photon)
    assert (len(showers), showers.pdg[0], fate.tolist()) == (1, 22, [Fate.SHOWER])
    # Ring 34, crystal 98: BOSS's own number is 0x30012262.
    assert showers.cell[0] == 0x22 * 120 + 0x62
    deposited = HIT["m_depositEnergy"] / 1000
    assert deposit[0] == pytest.approx(deposited, rel=1e-12)
    assert showers.energies.sum() + showers.beside[0] == pytest.approx(deposited, rel=1e-6)
    assert showers.energies[0, 5, 5] == pytest.approx(0.14681096853558302)
    # The neighbour in the same ring, and those in the ring before.
    assert showers.energies[0, 5, 6] == pytest.approx(0.004337754303669706)
    assert showers.energies[0, 4, 5] == pytest.approx(0.002264537870452398)


def test_both_collections_give_the_momentum_in_their_units(photon):
    showers, _, _ = read(*photon)
    made = np.linalg.norm([PARTICLE[f"m_{axis}InitialMomentum"] for axis in "xyz"])
    assert showers.momentum[0] == pytest.approx(made, rel=1e-9)
    assert showers.conditions[0, 5] == HIT["m_zPosition"]


def test_the_point_of_entry_is_on_the_crystal_of_our_geometry(photon, barrel):
    (hit,) = photon[1]
    point = np.array([[hit[f"m_{axis}Position"] for axis in "xyz"]])
    direction = np.array([[hit[f"m_p{axis}"] for axis in "xyz"]])
    entry = barrel.first_cell(point, direction / np.linalg.norm(direction))
    assert abs(entry.distance[0]) < 1e-3
    assert entry.cell[0] == 0x22 * 120 + 0x62


def test_deposits_in_the_endcaps_are_beside_the_window(photon):
    photon[1][0]["m_hitMap"].append({"key": ENDCAP, "val": 30.0})
    showers, _, _ = read(*photon)
    assert showers.beside[0] == pytest.approx(0.030)


def test_who_ends_in_front_of_the_calorimeter_makes_no_shower(photon):
    photon[1][0]["m_hitEmc"] = 0
    showers, fate, deposit = read(*photon)
    assert (len(showers), fate.tolist()) == (0, [Fate.NO_ENTRY])
    assert deposit[0] == pytest.approx(0.16262616753547357)


def test_other_kinds_are_left_out(photon):
    photon[1][0]["m_PDGCode"] = 211
    assert read(*photon)[1].tolist() == [Fate.OTHER_KIND]


def test_who_has_radiated_is_left_out(photon):
    # The radiated photons' deposits are among the electron's.
    for axis in "xyz":
        photon[0][0][f"m_{axis}InitialMomentum"] *= 1.5
    assert read(*photon)[1].tolist() == [Fate.RADIATED]
    assert read(*photon, most_lost=0.1)[1].tolist() == [Fate.SHOWER]


def test_deposits_of_a_decay_in_the_calorimeter_belong_to_its_mother(photon):
    particles, hits = photon
    born, late = copy.deepcopy((particles[0], hits[0]))
    born |= {"m_trackIndex": 16, "m_mother": 10, "m_particleID": 11}
    for axis in "xyz":
        # Vertices are in cm.
        born[f"m_{axis}InitialPosition"] = hits[0][f"m_{axis}Position"] / 10 * 1.05
    late |= {"m_trackIndex": 16, "m_PDGCode": 11}
    alone, _, _ = read(*photon)
    showers, fate, deposit = read([particles[0], born], [hits[0], late])
    assert fate.tolist() == [Fate.SHOWER, Fate.SHOWER]
    assert len(showers) == 1
    np.testing.assert_allclose(showers.energies, 2 * alone.energies)
    assert deposit.sum() == pytest.approx(showers.energies.sum(), rel=1e-6)


def test_particles_of_the_same_number_in_other_events_are_others(photon):
    particles, hits = photon
    lost = copy.deepcopy(hits[0]) | {"m_hitEmc": 0}
    showers, fate, _ = showers_of(
        ak.Array([particles, particles, particles]), ak.Array([hits, [lost], hits])
    )
    assert fate.tolist() == [Fate.SHOWER, Fate.NO_ENTRY, Fate.SHOWER]
    np.testing.assert_array_equal(showers.energies[0], showers.energies[1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"m_hitMap": [{"key": 805380450, "val": float("nan")}]}, "1 deposits .* NaN or negative"),
        ({"m_hitMap": [{"key": 805380450, "val": -1.0}]}, "1 deposits .* NaN or negative"),
        ({"m_hitMap": [{"key": 0x20010101, "val": 1.0}]}, "1 deposits .* in no crystal of BESIII"),
        ({"m_hitMap": [{"key": 0x30030101, "val": 1.0}]}, "1 deposits .* in no crystal of BESIII"),
        ({"m_px": float("nan")}, "not numbers"),
        ({"m_trackIndex": 3}, "particles that are not in"),
    ],
)
def test_what_makes_no_sense_is_refused(photon, change, sentence):
    photon[1][0] |= change
    with pytest.raises(FileFormatError, match=sentence):
        read(*photon)


def test_what_is_no_raw_file_is_refused(tmp_path):
    text = tmp_path / "text.rtraw"
    text.write_text("hello")
    other = REPOSITORY / "options" / "input" / "fullsim.edm4hep.root"
    for file, error, sentence in (
        (tmp_path / "none.rtraw", FileFormatError, "no such file"),
        (text, FileFormatError, "cannot be read as a raw file of BESIII"),
        (other, MissingCollectionError, "no branch 'TMcEvent/m_mcParticleCol'"),
    ):
        with pytest.raises(error, match=sentence):
            besiii_raw.read([file])


def test_photons_of_real_files_leave_their_energy_around_the_crystal_they_enter(raw_file, caplog):
    with caplog.at_level(logging.INFO):
        showers = besiii_raw.read([raw_file])
    assert "enter no crystal of the barrel" in caplog.text
    assert besiii_raw.origin(raw_file).startswith("BOSS ")
    deposit = showers.energies.sum((1, 2)) + showers.beside
    response = deposit / showers.momentum
    assert (response > 0.8).all()
    assert (response < 1.05).all()
    assert (showers.beside < 0.05 * deposit).all()
    assert (showers.energies[:, 4:7, 4:7].sum((1, 2)) > 0.75 * deposit).all()


def test_real_files_without_hits_say_what_boss_must_write():
    file = DATA / "besiii" / "test_only_mc_particles.rtraw"
    if not file.exists():
        pytest.skip(f"{file} is not here (K4CALOFAST_TEST_DATA)")
    with pytest.raises(MissingCollectionError, match=r"RootWriter.ItemList .*EmcMcHitCol#1"):
        besiii_raw.read([file])

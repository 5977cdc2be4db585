"""Samples that know every crystal: columns of hits, and the windows that follow from them."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from k4calofast.exceptions import FileFormatError
from k4calofast.showers import crystals
from k4calofast.showers.crystals import AllHits, CrystalProvenance, CrystalShowers

NAMES = ("momentum", "delta_theta_mom", "delta_phi_mom", "delta_z_pos", "delta_phi_pos", "z")
PROVENANCE = CrystalProvenance(
    detector="BESIII_EMC_barrel",
    simulation="",
    physics="",
    physics_data="",
    range_cut=None,
    magnetic_field=None,
    geometry="",
    sampling="",
    coverage={22: dict.fromkeys(NAMES, (-2000.0, 2000.0))},
    seed=1,
    software="",
    window=(11, 11),
)


@pytest.fixture
def hits(barrel) -> AllHits:
    """Showers anywhere, each with energy in crystals anywhere."""
    rng = np.random.default_rng(3)
    count = 200
    counts = rng.integers(0, 40, count)
    crystal = np.concatenate([rng.choice(barrel.n_cells, some, replace=False) for some in counts])
    time = rng.exponential(1.0, len(crystal)).astype(np.float32)
    time[::3] = np.nan
    return AllHits(
        np.full(count, 22, np.int32),
        rng.integers(0, barrel.n_cells, count).astype(np.int32),
        rng.uniform(0.1, 0.2, (count, 6)),
        np.append(0, np.cumsum(counts)),
        crystal.astype(np.int32),
        rng.exponential(0.01, len(crystal)).astype(np.float32),
        time,
        NAMES,
    )


def test_windows_and_what_is_beside_them_hold_all_energy(barrel, hits):
    showers = hits.in_windows(barrel)
    total = np.bincount(hits.shower, hits.energy, len(hits))
    np.testing.assert_allclose(showers.energies.sum((1, 2)) + showers.beside, total, rtol=1e-5)
    entered = hits.cell[hits.shower] == hits.crystal
    centre = np.bincount(hits.shower[entered], hits.energy[entered], len(hits))
    np.testing.assert_allclose(showers.energies[:, 5, 5], centre, rtol=1e-6)


def test_hits_come_back_from_a_file_with_their_windows(barrel, hits, tmp_path):
    file = tmp_path / "a.h5"
    showers = hits.in_windows(barrel)
    parts = (showers.take(slice(start, start + 70)) for start in range(0, len(showers), 70))
    assert crystals.write(file, parts, PROVENANCE) == len(showers)
    again, known = crystals.read(file)
    assert known == PROVENANCE
    for name in (*CrystalShowers.columns, *hits.points):
        np.testing.assert_array_equal(getattr(again, name), getattr(showers, name))
    with h5py.File(file) as sample:
        assert "energies" not in sample


def test_showers_taken_keep_their_own_hits(barrel, hits):
    showers = hits.in_windows(barrel)
    rows = np.array([7, 3, 150])
    some = showers.take(rows)
    for place, row in enumerate(rows):
        mine = slice(some.offsets[place], some.offsets[place + 1])
        its = slice(hits.offsets[row], hits.offsets[row + 1])
        np.testing.assert_array_equal(some.crystal[mine], hits.crystal[its])
        np.testing.assert_array_equal(some.time[mine], hits.time[its])
    both = CrystalShowers.concatenate([some, showers])
    np.testing.assert_array_equal(both.energies[3:], showers.energies)
    np.testing.assert_array_equal(both.take(slice(0, 3)).energy, some.energy)


def test_windows_alone_say_that_all_crystals_are_unknown(barrel, hits):
    showers = replace(hits.in_windows(barrel), offsets=None)
    assert not showers.whole
    with pytest.raises(FileFormatError, match="windows of crystals alone"):
        showers.hits()


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("energy", np.nan, "column energy"),
        ("energy", -1.0, "column energy"),
        ("time", -1.0, "column time"),
        ("crystal", 6240, "column crystal"),
        ("cell", 5280, "column cell"),
    ],
)
def test_impossible_hits_are_refused(hits, column, value, sentence, tmp_path):
    bad = getattr(hits, column).copy()
    bad[5] = value
    crystals.LAYOUT.write(tmp_path / "bad.h5", [replace(hits, **{column: bad})], PROVENANCE)
    with pytest.raises(FileFormatError, match=sentence):
        crystals.read(tmp_path / "bad.h5")

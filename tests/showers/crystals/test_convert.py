"""Samples travel to the CaloChallenge's tools and back."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from typer.testing import CliRunner

from k4calofast.cli.commands import app
from k4calofast.showers import reading

GEANT4 = Path(__file__).resolve().parents[2] / "data" / "geant4_showers.h5"


def test_converted_showers_have_the_published_layout_and_come_back(tmp_path):
    output = tmp_path / "electrons.hdf5"
    result = CliRunner().invoke(app, ["convert", str(GEANT4), str(output), "--pdg", "11"])
    assert result.exit_code == 0, result.output
    there, _ = reading.read(GEANT4)
    electrons = there.take(there.pdg == 11)
    with h5py.File(output) as file:
        assert file["incident_energies"].shape == (800, 1)
        assert file["showers"].shape == (800, 121)
        # MeV: an electron's mass does not matter at 50 MeV and above.
        energies = file["incident_energies"][:, 0]
        assert np.allclose(energies, 1e3 * electrons.momentum, rtol=1e-4)
        assert np.allclose(file["showers"][:].sum(1), 1e3 * electrons.energies.sum((1, 2)))
    back, _ = reading.read(output)
    assert back.energies.tobytes() == electrons.energies.tobytes()
    assert back.conditions.tobytes() == electrons.conditions.tobytes()


def test_a_kind_that_is_not_there_is_named(tmp_path):
    result = CliRunner().invoke(
        app, ["convert", str(GEANT4), str(tmp_path / "x.h5"), "--pdg", "13"]
    )
    assert "no showers of PDG 13; there are -11, 11, 22" in str(result.exception)

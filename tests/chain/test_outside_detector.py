"""A calorimeter that only a file of its user describes: simulated, trained, validated, and run."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from k4calofast.detector import load
from k4calofast.events import typed
from k4calofast.events.reading import EventSource
from k4calofast.showers.reading import Hints, read_with_provenance

BIN = Path(sys.executable).parent
NAME = "TINY_ECAL_barrel"

DESCRIPTION = f"""
name: {NAME}
model: TINY
collection: TinyHits
encoding: system:5,module:4,layer:6,x:16:-12,y:-12
constants: {{system: 7}}
magnetic_field: 1.5
mip: 1.47e-4
inner_radius: 400.0
half_length: 300.0
modules: {{count: 8, field: module, first: 0, angle: 0.0, step: 45.0, shape: radial}}
cells: {{kind: grid, size: 10.0, fields: {{column: x, row: y}}}}
layers:
  - repeat: 8
    slices: [[Tungsten, 5.0], [Silicon, 0.5, sensitive], [Air, 1.0]]
materials:
  Air: {{density: 0.0012, elements: {{N: 0.76, O: 0.24}}}}
  Silicon: {{density: 2.33, elements: {{Si: 1.0}}}}
  Tungsten: {{density: 19.25, elements: {{W: 1.0}}}}
"""

SMALL = {
    "window": 7,
    "components": 2,
    "profile_width": 16,
    "profile_steps": 10,
    "profile_batch": 8,
    "width": 16,
    "parts": 2,
    "steps": 10,
    "batch": 16,
    "numbers": 64,
    "candidates": 1,
}
"""Settings of a training of seconds: of a generator that is bad, but one of this calorimeter."""

OPTIONS = """
from Configurables import CaloFastSim, CaloParticleGun, EventDataSvc
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc")
io.Output = "hits.edm4hep.root"
gun = CaloParticleGun("CaloParticleGun")
gun.PDG = [22]
gun.MomentumMin, gun.MomentumMax = 2.0, 4.0
gun.ThetaMin, gun.ThetaMax = 70.0, 110.0
fastsim = CaloFastSim("CaloFastSim")
fastsim.Model = "model"
fastsim.HitThreshold = 0.25
fastsim.OutOfRange = "clamp"
fastsim.Provider = "cpu"
ApplicationMgr(
    TopAlg=[gun, fastsim], EvtSel="NONE", EvtMax=20, ExtSvc=[EventDataSvc("EventDataSvc")]
)
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the description, and one to work in."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "detectors").mkdir()
    (folder / "detectors" / f"{NAME}.yaml").write_text(DESCRIPTION)
    return folder


def run(folder: Path, command: str, *words: object, found: bool = True, code: int = 0) -> str:
    """Run a command of the package there; `found` says whether the detector can be found."""
    environment = {**os.environ, "K4CALOFAST_DETECTOR_PATH": str(folder / "detectors")}
    if not found:
        del environment["K4CALOFAST_DETECTOR_PATH"]
    line = [str(BIN / command), *map(str, words)]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def sample(workplace):
    """Photons and electrons of a few GeV, in Geant4."""
    wish = ("-p", "gamma", "-p", "e-", "--momentum-range", 1.5, 4.5, "-n", 30)
    run(workplace, "k4calofast", "fullsim", "train.h5", "--detector", NAME, *wish)
    return workplace / "train.h5"


@pytest.fixture(scope="module")
def model(workplace, sample):
    """A generator of it."""
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    command = ("train", sample, "model", "--family", "layered", *settings)
    run(workplace, "k4calofast", *command)
    return workplace / "model"


def test_geant4_sees_showers_in_its_layers(workplace, sample, monkeypatch):
    monkeypatch.setenv("K4CALOFAST_DETECTOR_PATH", str(workplace / "detectors"))
    showers, provenance = read_with_provenance(sample, Hints(detector=NAME))
    assert (provenance.detector, provenance.pitch, provenance.magnetic_field) == (NAME, 1.0, 1.5)
    assert len(showers) == 60
    energy = np.add.reduceat(showers.energy, showers.offsets[:-1])
    # 8 times 1.4 radiation lengths of tungsten, with 0.5 mm of silicon: a percent is seen.
    assert 0.004 < (energy / showers.momentum).mean() < 0.03
    assert set(showers.layer) == set(range(8))


def test_a_path_of_the_file_will_do(workplace):
    """Nothing but the name is different, so that nothing is."""
    wish = ("-p", "gamma", "--momentum", 2, "-n", 1)
    file = workplace / "detectors" / f"{NAME}.yaml"
    run(workplace, "k4calofast", "fullsim", "a.h5", "--detector", NAME, *wish)
    run(workplace, "k4calofast", "fullsim", "b.h5", "--detector", file, *wish, found=False)
    assert (workplace / "a.h5").read_bytes() == (workplace / "b.h5").read_bytes()
    said = run(workplace, "k4calofast", "fullsim", "c.h5", "--detector", NAME, found=False, code=1)
    assert f"no detector '{NAME}'" in said
    assert "K4CALOFAST_DETECTOR_PATH" in said
    assert not (workplace / "c.h5").exists()


@pytest.mark.usefixtures("model")
def test_a_generator_of_it_is_validated(workplace):
    wish = ("-p", "gamma", "--momentum", 3, "-n", 20, "--seed", 2)
    run(workplace, "k4calofast", "fullsim", "reference.h5", "--detector", NAME, *wish)
    command = ("validate", "model", "--reference", "reference.h5", "--no-speed", "--out", "page")
    # So short a training fails gates, which is code 2.
    said = run(workplace, "k4calofast", *command, code=2)
    assert "figures fail their gates" in said
    for name in ("index.html", "report.json"):
        assert NAME in (workplace / "page" / name).read_text()


@pytest.mark.usefixtures("model")
def test_k4run_makes_hits_in_its_cells(workplace, monkeypatch):
    (workplace / "options.py").write_text(OPTIONS)
    run(workplace, "k4run", "options.py")
    monkeypatch.setenv("K4CALOFAST_DETECTOR_PATH", str(workplace / "detectors"))
    barrel = load(NAME)
    with closing(EventSource([workplace / "hits.edm4hep.root"])) as source:
        (frames,) = source.chunks(0, source.num_events, 100)
        hits, contributions = typed.sim_hits(frames, "TinyHits", source.infos)
    cells = barrel.cell_of(hits.cell_id)
    assert len(cells) > 40
    assert (cells >= 0).all()
    np.testing.assert_allclose(hits.position, barrel.centre(cells), atol=1e-3)
    assert (np.diff(hits.offsets) > 0).all()
    assert set(contributions.pdg) == {22}
    said = run(workplace, "k4run", "options.py", found=False, code=1)
    assert NAME in said

"""The options files as they are shipped, on the samples that are shipped with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from k4calofast.detector import besiii
from k4calofast.events.edm4hep import FAST_SIMULATED_BIT, MC_PARTICLE
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import find_collection, particles, relations, sim_hits

OPTIONS = Path(__file__).resolve().parents[2] / "options"
BOTH = ("EMCBarrelCollection", "EMCEndcapCollection")


def k4run(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded"]
    done = subprocess.run(
        [*command, str(OPTIONS / name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def everything(file: Path):
    """All events of a file, and the descriptions of its collections."""
    source = EventSource([file], [])
    return next(source.chunks(0, source.num_events, source.num_events)), source.infos


def flagged(frames, infos, name):
    return mc_particles(frames, infos, name).simulator_status >> FAST_SIMULATED_BIT & 1 == 1


def mc_particles(frames, infos, name):
    return particles(frames, find_collection(infos, name, MC_PARTICLE.collection))


def test_several_threads_give_the_hits_of_one(tmp_path):
    one = k4run(tmp_path, "fastsim.py", "--IOSvc.Output", "one.root")
    mt = k4run(tmp_path, "fastsim_mt.py", "--IOSvc.Output", "mt.root", "--threads", "3")
    first, second = (everything(tmp_path / name) for name in ("one.root", "mt.root"))
    for name in BOTH:
        hits, others = (sim_hits(frames, name, infos)[0] for frames, infos in (first, second))
        assert len(hits.energy)
        assert hits.energy.tobytes() == others.energy.tobytes()
    # All but those that curl up in front, or pass through the holes of the endcaps.
    assert "267 showered, 33 handed on" in one.stdout
    assert "33 " in next(line for line in one.stdout.splitlines() if "curls up" in line)
    assert "267 showered, 33 handed on" in mt.stdout


def test_after_a_tracker_energy_is_neither_lost_nor_there_twice(tmp_path):
    """Of what the gun shot, what did not stay in the tracker arrives, some of it as daughters."""
    k4run(tmp_path, "fastsim_after_tracker.py")
    frames, infos = everything(tmp_path / "fastsim_after_tracker.edm4hep.root")
    these = mc_particles(frames, infos, "MCParticles")
    flags = flagged(frames, infos, "MCParticlesAfterFastSim")
    assert not flagged(frames, infos, "MCParticles").any()
    primaries = these.generator_status == 1
    # Conversions and bremsstrahlung: daughters shower for their mothers.
    assert (flags & ~primaries).sum() > 20
    assert (primaries & ~flags).any()
    found = [sim_hits(frames, name, infos) for name in BOTH]
    shot = np.linalg.norm(these.momentum[primaries], axis=1).sum()
    # The tracker keeps a few per cent, 5 to 10 % leak from crystals; twice would be above 1.
    assert 0.75 * shot < sum(hits.energy.sum() for hits, _ in found) < shot
    # Contributions point to the flagged copies, which have kept their relations.
    for hits, parts in found:
        counts = np.diff(hits.contributions[hits.offsets])
        event = np.repeat(np.arange(len(these.offsets) - 1), counts)
        assert flags[these.offsets[event] + parts.particle].all()
    for relation in ("parents", "daughters"):
        originals, copies = (
            relations(frames, next(info for info in infos if info.name == name), relation)
            for name in ("MCParticles", "MCParticlesAfterFastSim")
        )
        assert np.array_equal(copies, originals)
        assert len(copies[0]) == (~primaries).sum()


def test_mixed_hits_are_photons_of_the_fast_and_others_of_the_full_simulation(tmp_path):
    k4run(tmp_path, "mixed_with_fullsim.py", "--IOSvc.outputCommands", "keep *")
    frames, infos = everything(tmp_path / "mixed.edm4hep.root")
    collections = {
        name: sim_hits(frames, f"EMCBarrelCollection{name}", infos) for name in ("", "Fast", "Full")
    }

    def of_kind(name: str, photons: bool) -> float:
        parts = collections[name][1]
        return float(parts.energy[(parts.pdg == 22) == photons].astype(np.float64).sum())

    assert of_kind("", True) == pytest.approx(of_kind("Fast", True), rel=1e-12)
    assert of_kind("", False) == pytest.approx(of_kind("Full", False), rel=1e-12)
    assert of_kind("Fast", False) == 0
    # Two simulations of the same 43 photons agree; a photon fluctuates by some per cent.
    assert of_kind("Full", True) == pytest.approx(of_kind("Fast", True), rel=0.03)
    hits, parts = collections[""]
    for first, last in zip(hits.offsets[:-1], hits.offsets[1:], strict=True):
        cells = hits.cell_id[first:last]
        assert len(np.unique(cells)) == len(cells)
    sums = np.add.reduceat(parts.energy.astype(np.float64), hits.contributions[:-1])
    assert hits.energy == pytest.approx(sums, rel=1e-6)
    assert flagged(frames, infos, "MCParticlesFlagged").sum() == 43


def test_digits_point_to_the_hits_that_they_measure(tmp_path):
    done = k4run(tmp_path, "digitise.py")
    frames, infos = everything(tmp_path / "digitised.edm4hep.root")
    hits, _ = sim_hits(frames, "EMCBarrelCollectionFull", infos)
    digits = frames.array("EMCBarrelDigis")
    digit = frames.array("_EMCBarrelDigiLinks_from")
    hit = frames.array("_EMCBarrelDigiLinks_to")
    of_noise = 0
    for event, (first, last) in enumerate(zip(hits.offsets[:-1], hits.offsets[1:], strict=True)):
        linked = np.asarray(digit[event]["index"])
        behind = np.arange(first, last)[np.asarray(hit[event]["index"])]
        cells, energies, errors = (
            np.asarray(digits[event][member]) for member in ("cellID", "energy", "energyError")
        )
        assert (hits.cell_id[behind] == cells[linked]).all()
        pull = energies[linked] - hits.energy[behind]
        assert (np.abs(pull) < 6 * errors[linked]).all()
        # Those without a link are of noise alone: cells without a deposit.
        others = np.setdiff1d(np.arange(len(cells)), linked)
        assert not np.isin(cells[others], hits.cell_id[first:last]).any()
        of_noise += len(others)
    assert (np.asarray(digits["energy"].layout.to_packed().content.data) >= 0.5e-3).all()
    # BESIII's defaults: 3.7 % of 5280 crystals in 40 events.
    assert of_noise == pytest.approx(0.037 * 5280 * 40, rel=0.05)
    assert f"{of_noise} hits of noise alone, 3." in done.stdout


def test_a_chain_of_options_files_is_one_job(tmp_path):
    """Simulated and digitised in one go; the second file adds to the first."""
    more = tmp_path / "and_digitise.py"
    more.write_text(
        "from Configurables import CaloDigitiser\n"
        "from k4FWCore import ApplicationMgr\n"
        "digitiser = CaloDigitiser('CaloDigitiser')\n"
        "ApplicationMgr().TopAlg += [digitiser]\n"
    )
    k4run(tmp_path, "fastsim.py", str(more), "-n", "10")
    frames, infos = everything(tmp_path / "fastsim.edm4hep.root")
    assert {"EMCBarrelCollection", "EMCBarrelDigis"} <= {info.name for info in infos}
    cells = besiii.barrel().cell_of(
        np.asarray(frames.array("EMCBarrelDigis")["cellID"].layout.to_packed().content.data)
    )
    assert (cells >= 0).all()
    assert len(cells) > 100


def test_barrel_and_endcaps_are_digitised_by_one_component(tmp_path):
    more = Path(__file__).resolve().parents[1] / "data" / "digits_of_both.py"
    given = ["--CaloFastSim.Model", "besiii_emc/fast"]
    done = k4run(tmp_path, "fastsim.py", str(more), "-n", "20", *given)
    frames, infos = everything(tmp_path / "fastsim.edm4hep.root")
    for name, calorimeter in (("Barrel", besiii.barrel()), ("Endcap", besiii.endcaps())):
        digits = frames.array(f"EMC{name}Digis")
        cells = np.asarray(digits["cellID"].layout.to_packed().content.data)
        assert (calorimeter.cell_of(cells) >= 0).all()
        hits, _ = sim_hits(frames, f"EMC{name}Collection", infos)
        linked = sum(len(event) for event in frames.array(f"_EMC{name}DigiLinks_to"))
        assert 0 < len(cells) - linked < 20 * 0.06 * calorimeter.n_cells
        assert linked <= len(hits.energy)
        assert f"EMC{name}Collection: {len(hits.energy)} simulated hits" in done.stdout
    part, theta = (besiii.ENCODING.decode(cells, field) for field in ("part", "theta"))
    assert set(part.tolist()) == {0, 2}
    assert not ((part == 0) & (theta == 5)).any()


def test_hits_without_an_encoding_are_refused_before_the_first_event(tmp_path):
    """Rule 6 of digitisers: the encoding comes before the events."""
    command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded"]
    given = ["--CaloDigitiser.InputHits", "EMCBarrelCollectionFull"]
    steering = tmp_path / "bare.py"
    steering.write_text(
        (OPTIONS / "digitise.py")
        .read_text()
        .replace('str(Path(__file__).parent / "input" / "fullsim.edm4hep.root")', "'bare.root'")
    )
    import uproot

    from k4calofast.events.edm4hep import EDM4HEP_VERSION, PODIO_VERSION, definition
    from k4calofast.events.frames import EVENTS, FileInfo
    from k4calofast.events.writing import EventFileWriter

    frames, infos = everything(OPTIONS / "input" / "fullsim.edm4hep.root")
    info = FileInfo(PODIO_VERSION, {"edm4hep": definition()}, {"edm4hep": EDM4HEP_VERSION})
    with EventFileWriter(tmp_path / "bare.root", info) as writer:
        writer.write(EVENTS, frames, infos)
    assert "metadata" not in uproot.open(tmp_path / "bare.root")
    done = subprocess.run(
        [*command, str(steering), *given], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "CaloDigitiser: one cell-ID encoding is needed" in done.stderr
    assert not list(tmp_path.glob("digitised*"))


@pytest.mark.parametrize(
    ("option", "barrel", "fraction", "fewest", "most"),
    # What Geant4 leaves in silicon.
    [
        ("fastsim_cld", "CLD_ECAL_barrel", 0.0272, 900, 1400),
        ("fastsim_ild", "ILD_ECAL_barrel", 0.0233, 600, 1100),
        ("fastsim_cepc", "CEPC_ECAL_barrel", 0.0223, 350, 700),
    ],
)
def test_ten_photons_of_50_gev_in_each_event(tmp_path, option, barrel, fraction, fewest, most):
    """All photons of the shipped sample shower; hits are cells of the barrel."""
    from k4calofast import detector

    done = k4run(tmp_path, f"{option}.py", "--IOSvc.Output", "hits.root")
    assert "200 showered, 0 handed on" in done.stdout
    frames, infos = everything(tmp_path / "hits.root")
    barrel = detector.load(barrel)
    hits, contributions = sim_hits(frames, barrel.description.collection, infos)
    cells = barrel.cell_of(hits.cell_id)
    assert (cells >= 0).all()
    assert hits.position == pytest.approx(barrel.centre(cells), abs=1e-3)
    assert hits.energy.sum(dtype=float) / (200 * 50) == pytest.approx(fraction, rel=0.03)
    assert fewest < len(hits.energy) / 200 < most
    # Absolute times: after the flight from the origin, and most within a nanosecond of it.
    flight = np.linalg.norm(hits.position, axis=1) / 299.792458
    counts = np.diff(hits.contributions)
    late = contributions.time - np.repeat(flight, counts)
    assert late.min() > -0.05
    assert np.median(late) < 0.3

"""Makes the samples of this folder; needs `pip install 'k4calofast[fullsim]'`.

python options/input/make.py

particles     100 events of the particle gun: photons, electrons, positrons
photons       20 events with ten photons of 50 GeV each
tracker_only  the first 40 of them after Geant4 with BESIII's beam pipe, drift chamber and TOF, and
              no calorimeter: MCParticles with endpoints, secondaries and status bits
fullsim       the first 40 of them with their hits in the barrel by Geant4 of the whole EMC
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from k4calofast.events.columns import Particles
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    CELL_ID_ENCODING,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.fields import hit_fields, particle_fields
from k4calofast.events.frames import EVENTS, METADATA, CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import parameters
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import find_collection, particles
from k4calofast.events.writing import EventFileWriter

HERE = Path(__file__).resolve().parent
GUN = HERE / "particles.edm4hep.root"
EVENTS_OF_GEANT4 = 40
SEED = 1


def main() -> None:
    """Make all samples; each Geant4 in a process of its own."""
    command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded"]
    gun = [str(HERE.parent / "particle_gun.py"), "-n", "100", "--IOSvc.Output", str(GUN)]
    subprocess.run(command + gun, check=True)
    subprocess.run([*command, *photons()], check=True)
    for make in (tracker_only, fullsim):
        process = get_context("spawn").Process(target=make)
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"{make.__name__} failed with code {process.exitcode}")


def photons() -> list[str]:
    """Options of the particle gun for the silicon-tungsten barrels."""
    properties = {
        "PDG": "22",
        "ParticlesPerEvent": "10",
        "MomentumMin": "50",
        "MomentumMax": "50.0001",
        "ThetaMin": "55",
        "ThetaMax": "125",
    }
    chosen = [
        part for name, text in properties.items() for part in (f"--CaloParticleGun.{name}", text)
    ]
    output = ["--IOSvc.Output", str(HERE / "photons.edm4hep.root")]
    return [str(HERE.parent / "particle_gun.py"), "-n", "20", *output, *chosen]


def tracker_only() -> None:
    """Write MCParticles of a job without a calorimeter."""
    from k4calofast.fullsim import tracker
    from k4calofast.fullsim.physics_data import find_or_make

    source, frames, shot = read()
    simulation = tracker.TrackerSimulation(find_or_make(tracker.ELEMENTS), SEED)
    simulated, (_, parent) = tracker.columns(list(simulation.simulate(shot)))
    write("tracker_only", source, frames, mc_particles(simulated, parent), {})


def fullsim() -> None:
    """Write the gun's MCParticles with hits by Geant4."""
    from k4calofast.detector import besiii
    from k4calofast.fullsim.crystals.emc import WholeEMC
    from k4calofast.fullsim.events import simulate_events
    from k4calofast.fullsim.physics_data import find_or_make

    source, frames, shot = read()
    emc = WholeEMC()
    result = simulate_events(shot, find_or_make(emc.elements, hadronic=True), SEED, emc)
    hits = CollectionInfo.new("EMCBarrelCollectionFull", SIM_CALORIMETER_HIT)
    parts = CollectionInfo.new(f"{hits.name}Contributions", CALO_HIT_CONTRIBUTION)
    target = next(info for info in source.infos if info.name == "MCParticles").collection_id
    fields = hit_fields(hits, parts, result.hits, result.contributions, target)
    encoding = {f"{hits.name}__{CELL_ID_ENCODING}": [besiii.barrel().encoding.text]}
    write("fullsim", source, frames, fields, encoding, (hits, parts))
    print(f"fullsim: {result.energy}")


def read() -> tuple[EventSource, Frames, Particles]:
    """Read the events that Geant4 gets."""
    source = EventSource([GUN], [])
    frames = next(source.chunks(0, EVENTS_OF_GEANT4, EVENTS_OF_GEANT4))
    info = find_collection(source.infos, "MCParticles", MC_PARTICLE.collection)
    return source, frames, particles(frames, info)


def mc_particles(found: Particles, parent: np.ndarray) -> dict:
    """Fields of MCParticles with their relations."""
    child = np.flatnonzero(parent >= 0)
    family = {"parent": parent[child] + found.offsets[found.event_of(child)], "child": child}
    return particle_fields(CollectionInfo.new("MCParticles", MC_PARTICLE), replace(found, **family))


def write(
    name: str,
    source: EventSource,
    frames: Frames,
    fields: dict,
    metadata: dict[str, list[str]],
    infos: tuple[CollectionInfo, ...] = (),
) -> None:
    """Write a sample with these fields in place of, or beside, the gun's."""
    file = HERE / f"{name}.edm4hep.root"
    with EventFileWriter(file, FileInfo.own()) as writer:
        writer.write(EVENTS, frames.with_fields(fields), (*source.infos, *infos))
        writer.write(METADATA, Frames(parameters({"String": metadata}), 1), ())
    print(f"{file}: {frames.count} events, {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

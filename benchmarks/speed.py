"""How fast is it? Showers per second, events per second, and Geant4, all in one run.

python benchmarks/speed.py --events 20000 --geant4 600

Everything runs on one core. Geant4 needs the extra `fullsim`; --geant4 0 leaves it out.
"""

from __future__ import annotations

import os

# One core, before anything starts threads.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import tempfile
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np

from k4calofast.detector import besiii
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.fullsim.crystals.setup import CrystalSetup
from k4calofast.fullsim.physics_data import PhysicsData, find_or_make
from k4calofast.fullsim.production import plan, simulate
from k4calofast.fullsim.sampling import Chunk
from k4calofast.generator import Model, find_model
from k4calofast.properties import CaloFastSimProperties, CaloParticleGunProperties
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.steering.algorithms import Job, create
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.loop import EventLoop
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.speed import measure

MOMENTA = (0.1, 0.3, 1.0, 2.5)
BATCHES = (1, 16, 256, 4096)
KINDS = (22, 11, -11)


def of_inference(name: str, least_seconds: float) -> dict[int, float]:
    """Seconds per shower, noise included, by batch size."""
    rng = np.random.default_rng(0)
    count = max(BATCHES)
    conditions = np.zeros((count, len(CONDITIONS)))
    conditions[:, 0] = rng.choice(MOMENTA, count)
    conditions[:, 5] = rng.uniform(-1000, 1000, count)
    nothing = np.zeros(count, np.float32)
    showers = CrystalShowers(
        rng.choice(KINDS, count).astype(np.int32),
        nothing.astype(np.int32),
        conditions,
        nothing[:, None, None],
        nothing,
    )
    model = Model(find_model(name), "cpu", 1)
    readout = Crystals(besiii.barrel(), model.card.threshold)
    calls = partial(readout.calls, showers=showers)
    speed = measure(model, calls, BATCHES, seconds=least_seconds)
    return {one.batch: 1e-3 * one.milliseconds for one in speed.timings}


def of_the_chain(name: str, events: int, particles: int) -> tuple[float, int, dict[str, float]]:
    """Seconds of a whole job, its number of showers, and where the time goes."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.edm4hep.root"), Path(folder, "out.edm4hep.root")
        gun = CaloParticleGunProperties(
            PDG=list(KINDS),
            ParticlesPerEvent=particles,
            MomentumMin=0.05,
            MomentumMax=2.5,
            MomentumLog=True,
            ThetaMin=35,
            ThetaMax=145,
        )
        shoot = IOSvcProperties(Output=str(source))
        EventLoop(shoot, {"gun": create("gun", gun, Job())}, events, {}, []).run()
        fastsim = create("fastsim", CaloFastSimProperties(Model=name, Provider="cpu"), Job())
        io = IOSvcProperties(Input=[str(source)], Output=str(target))
        began = perf_counter()
        loop = EventLoop(io, {"fastsim": fastsim}, -1, {}, [])
        loop.run()
        total = perf_counter() - began
        parts = {"reading": loop.timing.reading, **loop.timing.stages}
        parts["writing"] = loop.timing.writing
        parts["other"] = total - sum(parts.values())
        showers = events * particles
        return total, showers, parts


def of_geant4(showers: int) -> dict[float, float]:
    """Seconds per shower, all kinds together, by momentum."""
    data = find_or_make(CrystalSetup().elements, hadronic=True)
    seconds = {}
    for momentum in MOMENTA:
        # Geant4 reports every 10 showers; two reports are the least.
        count = max(30, showers // len(MOMENTA) // len(KINDS))
        spent = 0.0
        for chunk in plan(KINDS, ((momentum, momentum),), count, count):
            # Geant4 can be started once per process.
            with get_context("spawn").Pool(1) as pool:
                spent += pool.apply(_timed, (chunk, data))
        seconds[momentum] = spent / len(KINDS)
    return seconds


def _timed(chunk: Chunk, data: PhysicsData) -> float:
    """Seconds per shower, without the start of Geant4."""
    # Geant4's banners are not part of the table.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    marks: list[tuple[float, int]] = []
    setup = CrystalSetup(timed=0.0)
    simulate(setup, chunk, 1, data, lambda done: marks.append((perf_counter(), done)))
    (began, first), (ended, last) = marks[0], marks[-1]
    return (ended - began) / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="besiii_emc_barrel/accurate")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--particles", type=int, default=3, help="per event")
    parser.add_argument("--geant4", type=int, default=0, metavar="SHOWERS")
    parser.add_argument("--seconds", type=float, default=3.0, help="time per batch size")
    options = parser.parse_args()

    inference = of_inference(options.model, options.seconds)
    print("| batch | ms per shower |\n|---|---|")
    for batch, seconds in inference.items():
        print(f"| {batch} | {1e3 * seconds:.3f} |")
    total, showers, parts = of_the_chain(options.model, options.events, options.particles)
    print(
        f"\n{options.events} events, {showers} showers in {total:.2f} s: "
        f"{options.events / total:.0f} events/s, {1e3 * total / showers:.3f} ms per shower\n"
    )
    print("| part | s | share |\n|---|---|---|")
    for part, seconds in parts.items():
        print(f"| {part} | {seconds:.2f} | {100 * seconds / total:.0f} % |")
    if options.geant4:
        print("\n| GeV | Geant4, ms per shower | over inference at 256 |\n|---|---|---|")
        for momentum, seconds in of_geant4(options.geant4).items():
            print(f"| {momentum} | {1e3 * seconds:.2f} | {seconds / inference[256]:.0f} |")


if __name__ == "__main__":
    main()

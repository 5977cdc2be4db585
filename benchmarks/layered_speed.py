"""Photons in a silicon-tungsten barrel: the whole chain beside Geant4, in one run on one core.

python benchmarks/layered_speed.py --model cld_ecal_barrel/layered --events 100 --geant4 40

Geant4 needs the extra `fullsim`; --geant4 0 leaves it out. Its time is that of the stack alone,
with the scoring that samples are made with.
"""

from __future__ import annotations

import os

# One core, before anything starts threads.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import resource
import tempfile
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np

from k4calofast.generator import find_model
from k4calofast.generator.card import read_card
from k4calofast.properties import CaloFastSimProperties, CaloParticleGunProperties
from k4calofast.steering.algorithms import Job, create
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.loop import EventLoop

PHOTONS = 10
"""In each event."""

CHUNK = 50
"""Events in memory together: k4run's --events-per-chunk."""


def of_the_chain(name: str, momentum: float, events: int) -> tuple[float, dict[str, float]]:
    """Seconds per photon of a whole job, from file to file, and of each part."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.edm4hep.root"), Path(folder, "out.edm4hep.root")
        gun = CaloParticleGunProperties(
            PDG=[22],
            ParticlesPerEvent=PHOTONS,
            MomentumMin=momentum,
            MomentumMax=momentum * 1.000001,
            ThetaMin=55,
            ThetaMax=125,
        )
        shoot = IOSvcProperties(Output=str(source))
        EventLoop(shoot, {"gun": create("gun", gun, Job())}, events, {}, []).run()
        properties = CaloFastSimProperties(Model=name, Provider="cpu", HitThreshold=0.25)
        fastsim = create("fastsim", properties, Job())
        io = IOSvcProperties(Input=[str(source)], Output=str(target))
        began = perf_counter()
        loop = EventLoop(io, {"fastsim": fastsim}, -1, {}, [], CHUNK)
        loop.run()
        total = perf_counter() - began
        parts = {"reading": loop.timing.reading, **loop.timing.stages}
        parts["writing"] = loop.timing.writing
        parts["other"] = total - sum(parts.values())
        count = events * PHOTONS
        return total / count, {part: seconds / count for part, seconds in parts.items()}


def of_geant4(detector: str, momentum: float, count: int) -> float:
    """Seconds per photon along the normal, without the start of Geant4."""
    # Geant4 can be started once per process.
    with get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_timed, (detector, momentum, count)))


def _timed(detector: str, momentum: float, count: int) -> float:
    from k4calofast.detector.description import describe
    from k4calofast.fullsim.layers.stack import LayerStack, Silicon
    from k4calofast.fullsim.physics_data import find_or_make
    from k4calofast.fullsim.simulation import Simulation

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    stack = LayerStack(describe(detector), 0.5)
    simulation = Simulation(stack, find_or_make(stack.elements), 1, Silicon(stack))
    start, way = np.zeros((count, 3)), np.zeros((count, 3))
    start[:, 0], way[:, 0] = -0.01, momentum
    kinds = np.full(count, 22, np.int32)
    simulation.run(kinds[:1], start[:1], way[:1])
    began = perf_counter()
    simulation.run(kinds, start, way)
    return (perf_counter() - began) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="cld_ecal_barrel/layered")
    parser.add_argument("--momentum", type=float, default=50.0, help="GeV")
    parser.add_argument("--events", type=int, default=100, help=f"of {PHOTONS} photons")
    parser.add_argument("--geant4", type=int, default=20, help="photons")
    chosen = parser.parse_args()
    card = read_card(find_model(chosen.model))
    seconds, memory = [], []
    for events in (chosen.events, 4 * chosen.events):
        total, parts = of_the_chain(chosen.model, chosen.momentum, events)
        seconds.append(total)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(
            f"{events} events of {PHOTONS} photons of {chosen.momentum:g} GeV, {card.detector}: "
            f"{1e3 * total:.3f} ms per photon, largest memory {memory[-1]:.0f} MB"
        )
        for part, spent in parts.items():
            print(f"  {part:>10}  {1e3 * spent:.3f} ms  {100 * spent / total:.0f} %")
    if chosen.geant4:
        full = of_geant4(card.detector, chosen.momentum, chosen.geant4)
        print(
            f"Geant4: {1e3 * full:.0f} ms per photon, {full / parts['inference']:.0f} times the "
            f"inference, {full / seconds[-1]:.0f} times the whole chain"
        )


if __name__ == "__main__":
    main()

"""What checksums cost: an EDM4hep file written and read with and without, in one run.

python benchmarks/checksums.py --events 2000

Both kinds alternate, and the least time of each counts; the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from unittest.mock import patch

from k4calofast.events import uproot_rntuple
from k4calofast.events.reading import EventSource
from k4calofast.properties import CaloFastSimProperties, CaloParticleGunProperties
from k4calofast.steering.algorithms import Job, create
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.loop import EventLoop

ROUNDS = 20


def make(file: Path, events: int) -> None:
    """Write events with particles and hits."""
    gun = CaloParticleGunProperties(ParticlesPerEvent=3, ThetaMin=35, ThetaMax=145)
    algorithms = {
        "gun": create("gun", gun, Job()),
        "fastsim": create("fastsim", CaloFastSimProperties(Provider="cpu"), Job()),
    }
    EventLoop(IOSvcProperties(Output=str(file)), algorithms, events, {}, []).run()


def read(file: Path) -> None:
    source = EventSource([file])
    for _ in source.chunks(0, source.num_events, 256):
        pass


def copy(file: Path) -> None:
    io = IOSvcProperties(Input=[str(file)], Output=str(file.with_name("copy.root")))
    EventLoop(io, {}, -1, {}, []).run()


def seconds(task: Callable[[Path], None], file: Path) -> float:
    began = process_time()
    task(file)
    return process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000)
    options = parser.parse_args()
    nothing = {
        "_compare": lambda _data, _what: None,
        "_checksum": lambda _data: bytes(uproot_rntuple._CHECKSUM_BYTES),
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "hits.root")
        make(file, options.events)
        size = file.stat().st_size
        print(f"{options.events} events, {1e-6 * size:.1f} MB\n")
        print("| | with, s | without, s | with / without |\n|---|---|---|---|")
        for name, task in (("read", read), ("read and write", copy)):
            checked, plain = [], []
            for _ in range(ROUNDS):
                checked.append(seconds(task, file))
                with patch.multiple(uproot_rntuple, **nothing):
                    plain.append(seconds(task, file))
            fast, slow = min(plain), min(checked)
            print(f"| {name} | {slow:.3f} | {fast:.3f} | {slow / fast:.3f} |")


if __name__ == "__main__":
    main()

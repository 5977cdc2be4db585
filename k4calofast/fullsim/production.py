"""Shower samples on all cores: chunks of showers, each in a Geant4 process of its own.

What is simulated is the business of a `k4calofast.fullsim.kinds.Setup`.

Geant4 aborts its process on a fatal exception; with a process per chunk that costs the chunk,
not the run. A chunk's particles and its Geant4 are seeded by (seed, chunk), so a sample does
not depend on the number of processes.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import numpy as np
from particle import Particle

import k4calofast
from k4calofast import output
from k4calofast.exceptions import FullSimulationError, SteeringError
from k4calofast.fullsim.kinds import Setup
from k4calofast.fullsim.physics_data import PhysicsData, find_or_make
from k4calofast.fullsim.request import Request
from k4calofast.fullsim.sampling import Chunk, refuse_beyond
from k4calofast.fullsim.simulation import RANGE_CUT, require_packages

_LONGEST_WORDS = 300


def asked(
    setup: Setup,
    kinds: tuple[int, ...],
    count: int,
    *,
    fixed: Sequence[float] = (),
    momenta: tuple[float, float] | None = None,
    chunk: int | None = None,
    repetition: int = 0,
    request: Request | None = None,
) -> list[Chunk]:
    """Plan what somebody asks for, with what is usual where nothing is said; see `plan`.

    Parameters
    ----------
    fixed, momenta
        Momenta (GeV), or the range that they fill.
    chunk
        Showers of one start of Geant4.

    Raises
    ------
    SteeringError
        If a momentum is beyond what is covered, or the request does not fit the rest.
    FileFormatError
        If there is a request that says nothing of a kind.
    """
    if unknown := [Particle.from_pdgid(pdg).name for pdg in kinds if pdg not in setup.coverage]:
        raise SteeringError(f"{', '.join(unknown)}: not simulated in {setup.detector}")
    if request is not None:
        if fixed:
            raise SteeringError(
                "--request is a density of momenta, --momentum fixes them: take one"
            )
        request.refuse_unfit(setup.detector, setup.coverage[kinds[0]])
    ranges = tuple((p, p) for p in fixed) or (momenta or setup.usual_momenta,)
    for pdg in kinds if fixed or momenta else ():
        for limits in ranges:
            name = Particle.from_pdgid(pdg).name
            refuse_beyond(f"momenta of {name}", "GeV", setup.coverage[pdg]["momentum"], limits)
    return plan(kinds, ranges, count, chunk or setup.usual_chunk, repetition, request)


def plan(
    kinds: tuple[int, ...],
    momenta: tuple[tuple[float, float], ...],
    count: int,
    chunk_size: int,
    repetition: int = 0,
    request: Request | None = None,
) -> list[Chunk]:
    """Split a sample of `count` showers per kind and momentum (range) into chunks.

    The chunks of all kinds alternate, so that any leading part of the sample has them all. With a
    request, `count` is the mean over the kinds, and the request shares the showers out.

    Raises
    ------
    FileFormatError
        If there is a request that says nothing of a kind.
    """
    counts: Mapping[int, int] = dict.fromkeys(kinds, count)
    if request is not None:
        counts = request.counts(kinds, count)
    most = max(counts.values(), default=0)

    def before(pdg: int, place: int) -> int:
        """Showers of a kind before a place in the longest kind's row."""
        return counts[pdg] * min(place, most) // most

    pieces = [
        (pdg, showers, momentum)
        for start in range(0, most, chunk_size)
        for momentum in momenta
        for pdg in kinds
        if (showers := before(pdg, start + chunk_size) - before(pdg, start))
    ]
    return [Chunk(number, *piece, repetition, request) for number, piece in enumerate(pieces)]


def produce(
    file: Path,
    setup: Setup,
    chunks: list[Chunk],
    seed: int,
    processes: int,
    data_folder: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Simulate the chunks and write them, in their order, to an HDF5 file.

    If a chunk fails, the others are kept, but under the name of an unfinished file.

    Parameters
    ----------
    setup
        What is simulated.
    progress
        Called with the number of showers that are done; first, when Geant4 begins.

    Raises
    ------
    MissingExtraError
        If Geant4 is not installed.
    FullSimulationError
        If a chunk failed; the message says which, and why.
    OutputError
        If the file cannot be written, or another process is at work on it.
    """
    output.check(file)
    require_packages()
    data = find_or_make(setup.elements, data_folder, len(setup.physics) > 1)
    failures: list[str] = []
    results = _in_order(_simulated(setup, chunks, seed, processes, data, progress, failures))
    early: list[Any] = []

    def origin() -> dict[str, Any]:
        first, version = next(results, (None, ""))
        if first is None:
            raise FullSimulationError("; ".join(failures) or "no showers were asked for")
        early.append(first)
        return {
            "simulation": version,
            "physics": ", ".join(setup.physics),
            "physics_data": data.description,
            "range_cut": RANGE_CUT,
            "seed": seed,
            "repetition": chunks[0].repetition,
            "software": f"k4calofast {k4calofast.__version__}",
        }

    def parts() -> Iterator[Any]:
        yield from early
        for showers, _ in results:
            yield showers
        if failures:
            raise FullSimulationError(
                f"{len(failures)} of {len(chunks)} chunks are missing: " + "; ".join(failures)
            )

    with closing(results):
        setup.write(file, chunks, parts(), origin)


def simulate(
    setup: Setup,
    chunk: Chunk,
    seed: int,
    data: PhysicsData,
    done: Callable[[int], None],
) -> tuple[Any, str]:
    """Simulate one chunk in this process.

    Returns
    -------
    showers, version
        The showers, and the version of Geant4.
    """
    seeds = np.random.SeedSequence((seed, chunk.number))
    geant4_seed = int(seeds.generate_state(chunk.repetition + 1)[-1])
    showers, version = setup.simulate(chunk, np.random.default_rng(seeds), geant4_seed, data, done)
    return showers, f"Geant4 {version}"


def _work(
    setup: Setup, chunk: Chunk, seed: int, data: PhysicsData, log: str, out: Connection
) -> None:
    """Entry point of a process: everything that Geant4 prints goes into the log."""
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(target, 1)
    os.dup2(target, 2)
    result = simulate(setup, chunk, seed, data, out.send)
    out.send(result)
    out.close()


def _simulated(
    setup: Setup,
    chunks: list[Chunk],
    seed: int,
    processes: int,
    data: PhysicsData,
    progress: Callable[[int], None],
    failures: list[str],
) -> Iterator[tuple[int, Any]]:
    """Yield (place, result) of the chunks as they are done, None for a chunk that failed."""
    context = mp.get_context("spawn")
    all_done = 0
    progress(all_done)
    waiting = list(reversed(chunks))
    running: dict[Connection, tuple[BaseProcess, Chunk, int]] = {}
    with tempfile.TemporaryDirectory() as logs:
        try:
            while waiting or running:
                while waiting and len(running) < processes:
                    chunk = waiting.pop()
                    ours, theirs = context.Pipe(duplex=False)
                    log = str(Path(logs) / f"{chunk.number}.log")
                    arguments = (setup, chunk, seed, data, log, theirs)
                    process: BaseProcess = context.Process(
                        target=_work, args=arguments, daemon=True
                    )
                    process.start()
                    theirs.close()
                    running[ours] = (process, chunk, 0)
                for ready in wait(list(running)):
                    pipe = cast(Connection, ready)
                    process, chunk, done = running[pipe]
                    message = None
                    # A process that is killed ends before its message, or in the middle of it.
                    with suppress(EOFError, OSError):
                        message = pipe.recv()
                    if isinstance(message, int):
                        all_done += message - done
                        progress(all_done)
                        running[pipe] = (process, chunk, message)
                        continue
                    del running[pipe]
                    process.join()
                    if message is None:
                        failures.append(
                            f"chunk {chunk.number} ({chunk.count} showers of PDG {chunk.pdg}) "
                            + _end(process.exitcode, Path(logs) / f"{chunk.number}.log")
                        )
                    all_done += chunk.count - done
                    progress(all_done)
                    yield chunk.number, message
        finally:
            for process, _, _ in running.values():
                process.terminate()


def _end(code: int | None, log: Path) -> str:
    """How a process ended, and its last words."""
    how = f"failed with code {code}"
    if code is not None and code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    words: list[str] = []
    with suppress(OSError):  # It may have ended before it had a log.
        words = log.read_text(errors="replace").split("\n")
    last = next((" ".join(line.split()) for line in reversed(words) if line.strip()), "")
    return f"{how}: {last[:_LONGEST_WORDS]}" if last else how


def _in_order(results: Iterator[tuple[int, Any]]) -> Generator[Any]:
    """Bring results into the order of their numbers, leaving out those that are None."""
    early: dict[int, Any] = {}
    expected = 0
    for number, result in results:
        early[number] = result
        while expected in early:
            if (ready := early.pop(expected)) is not None:
                yield ready
            expected += 1

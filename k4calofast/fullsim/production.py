"""Shower samples on all cores: chunks of showers, each in a Geant4 process of its own.

What a shower is of is the business of a `Setup`: windows of BESIII's crystals here, stacks of
layers in `k4calofast.fullsim.layers`.

Geant4 aborts its process on a fatal exception; with a process per chunk that costs the chunk,
not the run. A chunk's particles and its Geant4 are seeded by (seed, chunk), so a sample does
not depend on the number of processes.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

import k4calofast
from k4calofast import output
from k4calofast.exceptions import FullSimulationError
from k4calofast.fullsim import besiii
from k4calofast.fullsim.physics_data import PhysicsData, find_or_make
from k4calofast.fullsim.request import Request
from k4calofast.fullsim.sampling import Drawn, log_uniform, on_request
from k4calofast.fullsim.simulation import PHYSICS, RANGE_CUT, Simulation, require_geant4
from k4calofast.showers import crystals
from k4calofast.showers.crystals import CrystalShowers

Floats = npt.NDArray[np.float64]

_LONGEST_WORDS = 300


class Setup(Protocol):
    """What is simulated, and how it is written; it is passed on to processes."""

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all materials."""

    def simulate(
        self,
        chunk: Chunk,
        rng: np.random.Generator,
        seed: int,
        data: PhysicsData,
        progress: Callable[[int], None],
    ) -> tuple[Any, str]:
        """Simulate one chunk in this process.

        Parameters
        ----------
        rng, seed
            For the particles, and for Geant4.
        progress
            Called with the number of showers done, now and then.

        Returns
        -------
        showers, version
            The showers, and the version of Geant4.
        """

    def write(
        self,
        file: Path,
        chunks: list[Chunk],
        parts: Iterator[Any],
        origin: Callable[[], dict[str, Any]],
    ) -> None:
        """Write a sample.

        Parameters
        ----------
        chunks
            The sample's.
        parts
            Their showers.
        origin
            Returns the fields of `k4calofast.showers.provenance.Provenance` that all setups have in
            common; it waits for the first of the parts.
        """


@dataclass(frozen=True)
class Chunk:
    """One process's share of a sample.

    Attributes
    ----------
    number
        Its place in the sample.
    pdg, count
        Kind and number of its showers.
    momentum
        GeV at the face: one value, or the limits between which its logarithm is uniform.
    repetition
        Other numbers are other random numbers in Geant4 for the same particles.
    request
        Density of the conditions, None for the usual one.
    """

    number: int
    pdg: int
    count: int
    momentum: tuple[float, float]
    repetition: int = 0
    request: Request | None = None


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


@dataclass(frozen=True)
class CrystalWindows:
    """Showers in windows of BESIII's crystals."""

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all materials."""
        return besiii.sector().elements

    def simulate(
        self,
        chunk: Chunk,
        rng: np.random.Generator,
        seed: int,
        data: PhysicsData,
        progress: Callable[[int], None],
    ) -> tuple[CrystalShowers, str]:
        """Simulate one chunk; see `Setup`."""
        momentum, drawn = particles(chunk, rng)
        sector = besiii.sector()
        simulation = Simulation(sector, data, seed)
        pdg = np.full(chunk.count, chunk.pdg, np.int32)
        start = drawn.position - besiii.START_GAP * drawn.momentum / momentum[:, None]
        deposits = simulation.run(
            pdg,
            sector.to_sector(drawn.cell, start),
            sector.to_sector(drawn.cell, drawn.momentum),
            progress,
        )
        energies, beside = sector.in_window(deposits, drawn.cell, besiii.WINDOW)
        showers = CrystalShowers(
            pdg, drawn.cell.astype(np.int32), drawn.conditions, energies, beside
        )
        return showers, simulation.version

    def write(
        self,
        file: Path,
        chunks: list[Chunk],
        parts: Iterator[CrystalShowers],
        origin: Callable[[], dict[str, Any]],
    ) -> None:
        """Write a sample; see `Setup`."""
        sector = besiii.sector()

        def provenance() -> crystals.CrystalProvenance:
            return crystals.CrystalProvenance(
                detector=sector.barrel.name,
                window=besiii.WINDOW,
                magnetic_field=sector.magnetic_field,
                geometry=f"all rings, {sector.columns} columns, {sector.material}, air between",
                sampling=_sampling(chunks[0].request),
                coverage=besiii.COVERAGE,
                **origin(),
            )

        crystals.write(file, parts, provenance)


_CRYSTALS = CrystalWindows()


def produce(
    file: Path,
    chunks: list[Chunk],
    seed: int,
    processes: int,
    data_folder: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
    setup: Setup = _CRYSTALS,
) -> None:
    """Simulate the chunks and write them, in their order, to an HDF5 file.

    If a chunk fails, the others are kept, but under the name of an unfinished file.

    Parameters
    ----------
    progress
        Called with the number of showers that are newly done.
    setup
        What is simulated.

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
    require_geant4()
    data = find_or_make(setup.elements, data_folder)
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
            "physics": PHYSICS,
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
    chunk: Chunk,
    seed: int,
    data: PhysicsData,
    done: Callable[[int], None],
    setup: Setup = _CRYSTALS,
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


def particles(chunk: Chunk, rng: np.random.Generator) -> tuple[Floats, Drawn]:
    """Draw a chunk's particles.

    Returns
    -------
    momentum, drawn
        Their momenta (N,) in GeV, and what else they are.
    """

    def usual(count: int) -> tuple[Floats, Drawn]:
        momentum = log_uniform(rng, *chunk.momentum, count)
        return momentum, besiii.draw(rng, chunk.pdg, momentum)

    if chunk.request is None:
        return usual(chunk.count)
    drawn = on_request(rng, chunk.request, chunk.pdg, chunk.count, lambda count: usual(count)[1])
    return drawn.conditions[:, 0], drawn


def _sampling(request: Request | None) -> str:
    return besiii.SAMPLING if request is None else f"{besiii.SAMPLING}; {request.described}"


def _work(
    setup: Setup, chunk: Chunk, seed: int, data: PhysicsData, log: str, out: Connection
) -> None:
    """Entry point of a process: everything that Geant4 prints goes into the log."""
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(target, 1)
    os.dup2(target, 2)
    result = simulate(chunk, seed, data, out.send, setup)
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
                        progress(message - done)
                        running[pipe] = (process, chunk, message)
                        continue
                    del running[pipe]
                    process.join()
                    if message is None:
                        failures.append(
                            f"chunk {chunk.number} ({chunk.count} showers of PDG {chunk.pdg}) "
                            + _end(process.exitcode, Path(logs) / f"{chunk.number}.log")
                        )
                    progress(chunk.count - done)
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

"""`k4calofast fullsim`: make a sample of Geant4 showers."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from k4calofast.exceptions import SteeringError


class Particle(StrEnum):
    """Kinds of particles on the command line, by Geant4's names."""

    PHOTON = "gamma"
    ELECTRON = "e-"
    POSITRON = "e+"

    @property
    def pdg(self) -> int:
        """PDG number."""
        return {"gamma": 22, "e-": 11, "e+": -11}[self.value]


def fullsim(
    output: Annotated[Path, typer.Argument(help="HDF5 file to write.")],
    showers: Annotated[
        int,
        typer.Option(
            "-n",
            "--showers",
            min=1,
            help="Showers per particle and momentum; with --request, per particle on average.",
        ),
    ] = 1000,
    particle: Annotated[
        list[Particle], typer.Option("-p", "--particle", help="Kind; may be repeated.")
    ] = [Particle.PHOTON, Particle.ELECTRON, Particle.POSITRON],  # noqa: B006 - typer's way
    momentum: Annotated[
        list[float] | None,
        typer.Option(help="Fixed momentum at the face in GeV; may be repeated."),
    ] = None,
    momentum_range: Annotated[
        tuple[float, float],
        typer.Option(help="Without --momentum: range in GeV, uniform in the logarithm."),
    ] = (0.02, 3.0),
    seed: Annotated[int, typer.Option(min=0, help="Seed of particles and Geant4.")] = 1,
    repetition: Annotated[
        int,
        typer.Option(min=0, help="Other random numbers in Geant4 for the same particles."),
    ] = 0,
    processes: Annotated[
        int, typer.Option("-j", "--processes", min=0, help="Processes; 0 is one per core.")
    ] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Folder for Geant4's tables, made if missing.")
    ] = None,
    chunk: Annotated[int, typer.Option(min=1, help="Showers per process start.")] = 2000,
    request: Annotated[
        Path | None,
        typer.Option(help="Where showers are wanted: a file of `k4calofast request`."),
    ] = None,
) -> None:
    """Simulate single particles in the BESIII EMC barrel with Geant4."""
    from k4calofast.detector.besiii import barrel
    from k4calofast.fullsim import production
    from k4calofast.fullsim.besiii import COVERAGE
    from k4calofast.fullsim.request import read

    if request is not None and momentum:
        raise SteeringError("--request is a density of momenta, --momentum fixes them: take one")
    wanted = None if request is None else read(request)
    if wanted is not None and wanted.detector != barrel().name:
        raise SteeringError(f"{request} is for {wanted.detector}, but {barrel().name} is simulated")

    momenta = tuple((p, p) for p in momentum) if momentum else (momentum_range,)
    low, high = min(p for p, _ in momenta), max(p for _, p in momenta)
    for kind in particle:
        covered = COVERAGE[kind.pdg]["momentum"]
        if not covered[0] <= low <= high <= covered[1]:
            raise SteeringError(
                f"momenta of {kind.value} must lie between {covered[0]} and {covered[1]} GeV"
            )
    chunks = production.plan(
        tuple(kind.pdg for kind in particle), momenta, showers, chunk, repetition, wanted
    )
    total = sum(part.count for part in chunks)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("showers", total=total)
        production.produce(
            output,
            chunks,
            seed,
            processes or len(os.sched_getaffinity(0)),
            data,
            lambda done: bar.advance(task, done),
        )
    typer.echo(f"{output}: {total} showers")

"""`k4calofast fullsim`: make a sample of Geant4 showers."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from k4calofast.cli.completion import detectors
from k4calofast.progress import shown


class Particle(StrEnum):
    """Kinds of particles on the command line, by Geant4's names."""

    PHOTON = "gamma"
    ELECTRON = "e-"
    POSITRON = "e+"
    MUON = "mu-"
    ANTIMUON = "mu+"
    PI_MINUS = "pi-"
    PI_PLUS = "pi+"
    K_MINUS = "kaon-"
    K_PLUS = "kaon+"
    K_LONG = "kaon0L"
    PROTON = "proton"
    ANTIPROTON = "anti_proton"
    NEUTRON = "neutron"
    ANTINEUTRON = "anti_neutron"

    @property
    def pdg(self) -> int:
        """PDG number."""
        return _PDG[self.value]


_PDG = {
    "gamma": 22,
    "e-": 11,
    "e+": -11,
    "mu-": 13,
    "mu+": -13,
    "pi-": -211,
    "pi+": 211,
    "kaon-": -321,
    "kaon+": 321,
    "kaon0L": 130,
    "proton": 2212,
    "anti_proton": -2212,
    "neutron": 2112,
    "anti_neutron": -2112,
}


def fullsim(
    output: Annotated[Path, typer.Argument(help="HDF5 file to write.")],
    detector: Annotated[
        str,
        typer.Option(
            help="Name of the calorimeter, or the file that describes its layers.",
            autocompletion=detectors,
        ),
    ] = "BESIII_EMC_barrel",
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
        tuple[float, float] | None,
        typer.Option(
            help="Without --momentum: range in GeV, uniform in the logarithm; by default 0.02 to "
            "3 in crystals, from 0.05 for muons and hadrons, and 1 to 125 in layers."
        ),
    ] = None,
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
    chunk: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Showers per process start; by default 2000 in crystals, 200 in layers.",
        ),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(help="Where showers are wanted, a file of `k4calofast request`."),
    ] = None,
    pitch: Annotated[
        float | None,
        typer.Option(
            help="In layers: size of the small cells in mm; by default a tenth of a cell."
        ),
    ] = None,
    angle_t: Annotated[
        float | None,
        typer.Option(
            help="In layers: fixed angle to the module's normal in rad, across the module."
        ),
    ] = None,
    angle_t_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="In layers, without --angle-t: range of that angle in rad, in place of that of "
            "straight ways: charged particles come at larger angles.",
        ),
    ] = None,
    angle_z: Annotated[
        float | None,
        typer.Option(help="In layers: fixed angle to the module's normal in rad, along the beam."),
    ] = None,
    timed: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="In crystals: share of the showers whose times are recorded, which takes longer; "
            "by default 0.25.",
        ),
    ] = None,
    bare: Annotated[
        bool,
        typer.Option("--bare", help="In crystals: without wrapping and the plates behind."),
    ] = False,
    front: Annotated[
        bool,
        typer.Option(
            "--front",
            help="In crystals: with beam pipe, drift chamber and time of flight counters, which "
            "what leaves through the fronts can meet; particles start behind them.",
        ),
    ] = False,
) -> None:
    """Simulate single particles with Geant4 in BESIII's crystals, or in a barrel of layers."""
    from k4calofast.detector import load
    from k4calofast.fullsim import production
    from k4calofast.fullsim.kinds import setup_of
    from k4calofast.fullsim.request import read
    from k4calofast.fullsim.simulation import require_packages
    from k4calofast.output import check

    require_packages()
    check(output, [] if request is None else [request])
    options = {
        "pitch": pitch,
        "angle-t": angle_t,
        "angle-t-range": angle_t_range,
        "angle-z": angle_z,
        "timed": timed,
        "bare": bare or None,
        "front": front or None,
    }
    setup = setup_of(load(detector), options)
    chunks = production.asked(
        setup,
        tuple(kind.pdg for kind in particle),
        showers,
        fixed=momentum or (),
        momenta=momentum_range,
        chunk=chunk,
        repetition=repetition,
        request=None if request is None else read(request),
    )
    total = sum(part.count for part in chunks)
    with shown() as report:
        production.produce(
            output,
            setup,
            chunks,
            seed,
            processes or len(os.sched_getaffinity(0)),
            data,
            lambda done: report("showers", done, total),
        )
    typer.echo(f"{output}: {total} showers")

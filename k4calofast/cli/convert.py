"""`k4calofast convert`: showers for the tools of the CaloChallenge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.exceptions import FileFormatError


def convert(
    sample: Annotated[Path, typer.Argument(help="Showers: HDF5, EDM4hep or rtraw.")],
    output: Annotated[
        Path, typer.Argument(help="HDF5 file to write; the binning beside it, .xml.")
    ],
    pdg: Annotated[int, typer.Option(help="Kind of particle: a file holds one.")] = 22,
    hits: Annotated[
        str, typer.Option(help="Collection of SimCalorimeterHits of an EDM4hep sample.")
    ] = "EMCBarrelCollection",
    particles: Annotated[
        str, typer.Option(help="Collection of MCParticles that its contributions point to.")
    ] = "MCParticles",
) -> None:
    """Write showers in the layout of the CaloChallenge: incident_energies and showers, in MeV."""
    from k4calofast.output import check
    from k4calofast.showers import hdf5, reading
    from k4calofast.showers.crystals import calochallenge

    hdf5.require_packages()

    binning = output.with_suffix(".xml")
    for file in (output, binning):
        check(file, [sample])
    showers, source = reading.read(sample, reading.Hints(hits, particles))
    chosen = showers.take(showers.pdg == pdg)
    if not len(chosen):
        kinds = ", ".join(map(str, sorted(set(showers.pdg.tolist()))))
        raise FileFormatError(f"{sample}: no showers of PDG {pdg}; there are {kinds}")
    calochallenge.write(output, binning, chosen, source.detector, source.description)
    typer.echo(f"{output}, {binning}: {len(chosen)} showers of PDG {pdg}")

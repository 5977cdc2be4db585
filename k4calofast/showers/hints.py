"""What files of showers do not say by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hints:
    """How to read a file; samples of `k4calofast fullsim` need none.

    Attributes
    ----------
    hits, particles
        Collections of EDM4hep files: of SimCalorimeterHits, and of the MCParticles that their
        contributions name.
    binning
        XML file of a sample of the CaloChallenge; None for the sample's name with ``.xml``.
    detector
        Name of the calorimeter that the showers must be of; None for what the file says, or for
        BESIII's in EDM4hep files.
    window, kinds
        Of EDM4hep and BESIII's raw files: rows and columns of cells around the one that is
        entered, and PDG numbers of the particles.
    only_energies
        Whether a sample of the CaloChallenge may know nothing of its particles but the energy.
    """

    hits: str = "EMCBarrelCollection"
    particles: str = "MCParticles"
    binning: Path | None = None
    detector: str | None = None
    window: tuple[int, int] = (11, 11)
    kinds: tuple[int, ...] = (22, 11, -11)
    only_energies: bool = False

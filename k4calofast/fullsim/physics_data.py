"""The tables that Geant4 reads: the official ones where they are, else a small directory.

Geant4's electromagnetic models read cross sections from files (G4EMLOW). Where the
environment already points at an official installation, as on every Key4hep stack, that is
used. Elsewhere the few files that `G4EmStandardPhysics` opens are derived here, for the
elements in use, from the PENELOPE-2018 database of the PyPI package `pypenred`:
Seltzer-Berger bremsstrahlung, photoelectric and Rayleigh cross sections. Those of hadronic physics
(G4PARTICLEXS) are made by formulas: `k4calofast.fullsim.nuclear_data`.

File formats: G4SeltzerBergerModel, G4LivermorePhotoElectricModel, G4LivermoreRayleighModel
of Geant4 11. Energies in MeV.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from k4calofast import output
from k4calofast.arrays import Floats
from k4calofast.exceptions import FullSimulationError, require
from k4calofast.fullsim import nuclear_data
from k4calofast.locks import locked

_VARIABLES = {
    "G4LEDATA": "G4EMLOW",
    "G4ENSDFSTATEDATA": "G4ENSDFSTATE",
    "G4LEVELGAMMADATA": "PhotonEvaporation",
    "G4PARTICLEXSDATA": "G4PARTICLEXS",
}

# Reduced photon energies k / T of the bremsstrahlung tables, the same in PENELOPE and Geant4.
_REDUCED_ENERGIES = np.array(
    [1e-12, 0.025, 0.05, 0.075, *np.arange(0.1, 0.91, 0.05), 0.925, 0.95, 0.97]
    + [0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99995, 0.99999, 1.0]
)
_BARN = 1e-24  # cm2
_BARN_IN_MM2 = 1e-22
_MEV = 1e-6  # per eV
# G4ENSDFSTATE's few lines: stable ground states of light ions, for the generic-ion table.
_GROUND_STATES = ((1, 1, 1), (1, 2, 2), (2, 4, 0), (6, 12, 0), (8, 16, 0))


@dataclass(frozen=True)
class PhysicsData:
    """Environment variables that Geant4 needs, and what to call the data they point at."""

    environment: dict[str, str]
    description: str


def find_or_make(
    elements: tuple[int, ...], folder: Path | None = None, hadronic: bool = False
) -> PhysicsData:
    """Locate official Geant4 data, or write a small directory for some elements.

    Parameters
    ----------
    elements
        Atomic numbers in use; hydrogen, which G4_Galactic is made of, is added.
    folder
        Where to write, by default ``$XDG_CACHE_HOME/k4calofast/geant4-data``.
    hadronic
        Whether there are nuclear reactions.

    Raises
    ------
    MissingExtraError
        If data must be made and `pypenred` is not installed.
    FullSimulationError
        If the directory cannot be written.
    """
    official = os.environ.get("G4LEDATA")
    if official and Path(official).is_dir():
        there = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        return PhysicsData(there, f"official {Path(official).name}")
    if folder is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(cache) / "k4calofast" / "geant4-data"
    try:
        for sub in _VARIABLES.values():
            (folder / sub).mkdir(parents=True, exist_ok=True)
        # One process makes the tables, others wait for them.
        with locked(folder / "lock", wait=True):
            for atomic_number in sorted({1, *elements}):
                _write_element(folder / _VARIABLES["G4LEDATA"], atomic_number)
            if hadronic:
                nuclear_data.write(folder / _VARIABLES["G4PARTICLEXSDATA"])
            _write_ground_states(folder / _VARIABLES["G4ENSDFSTATEDATA"] / "ENSDFSTATE.dat")
    except OSError as error:
        raise FullSimulationError(f"cannot write Geant4 data to {folder}: {error}") from error
    environment = {name: str(folder.resolve() / sub) for name, sub in _VARIABLES.items()}
    # Set, this keeps geant4_pybind from asking on standard input whether to download data.
    environment["GEANT4_DATA_DIR"] = str(folder.resolve())
    description = "EM data re-derived from PENELOPE-2018"
    if hadronic:
        description += ", cross sections of neutrons below 20 MeV and of nuclei by formulas"
    return PhysicsData(environment, description)


def _write_element(low_energy: Path, z: int) -> None:
    """Write the files of one element unless they are there; the last one is the witness."""
    witness = low_energy / "brem_SB" / f"br{z}"
    if witness.exists():
        return
    tables = _PenelopeTables.read(z)
    for sub in ("brem_SB", "epics2017/phot", "epics2017/rayl"):
        (low_energy / sub).mkdir(parents=True, exist_ok=True)
    _write_photoelectric(low_energy / "epics2017" / "phot", z, tables)
    _write_rayleigh(low_energy / "epics2017" / "rayl" / f"re-cs-{z}.dat", tables)
    _write_bremsstrahlung(witness, tables)


@dataclass(frozen=True)
class _PenelopeTables:
    """Tables of one element: energies in MeV, cross sections in barn per atom.

    Attributes
    ----------
    brems_energy, brems
        (E,) electron energies; (E, 32) scaled bremsstrahlung cross sections (mb).
    photo_energy, photo, photo_shells
        (P,) photon energies; (P,) total; (P, shells) per shell, K first.
    rayleigh_energy, rayleigh
        (R,) photon energies; (R,) cross section.
    """

    brems_energy: Floats
    brems: Floats
    photo_energy: Floats
    photo: Floats
    photo_shells: Floats
    rayleigh_energy: Floats
    rayleigh: Floats

    @classmethod
    def read(cls, z: int) -> _PenelopeTables:
        """Ask `pypenred` for a material of this element and read its text."""
        require("fullsim", "Geant4 without G4LEDATA, the folder of its own tables,", "pyPenred")
        import pyPenred.simulation as penred

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"Z{z}.mat"
            penred.materials.create(f"Z{z}", 1.0, [(z, 1.0)], str(file))
            lines = file.read_text(encoding="latin-1").splitlines()

        start = _section(lines, "Electron scaled bremss")
        n = _number(lines[start], "NDATA")
        words = " ".join(lines[start + 1 : start + 1 + 7 * n]).split()
        brems = np.array(words, float).reshape(n, 34)

        start = _section(lines, "Photoelectric cross sections")
        n, shells = _number(lines[start], "NDATA"), _number(lines[start], "NSHELL")
        photo = np.array([line.split() for line in lines[start + 2 : start + 2 + n]], float)

        start = _section(lines, "Rayleigh scattering")
        n, skip = _number(lines[start], "NE"), _number(lines[start], "NQ")
        first = start + 1 + skip
        rayleigh = np.array([line.split()[:2] for line in lines[first : first + n]], float)
        return cls(
            brems[:, 0] * _MEV,
            brems[:, 1:33],
            photo[:, 0] * _MEV,
            photo[:, 1] / _BARN,
            photo[:, 2 : 2 + shells] / _BARN,
            rayleigh[:, 0] * _MEV,
            rayleigh[:, 1] / _BARN,
        )


def _section(lines: list[str], title: str) -> int:
    for i, line in enumerate(lines):
        if line.startswith(" ***") and title in line:
            return i
    raise FullSimulationError(f"pypenred's material file has no section '{title}'")


def _number(line: str, name: str) -> int:
    return int(line.split(f"{name} =")[1].split(",")[0].split()[0])


def _write_bremsstrahlung(file: Path, tables: _PenelopeTables) -> None:
    """Z^2-scaled cross sections on a grid of reduced energy and log electron energy."""
    text = f"0 {len(_REDUCED_ENERGIES)} {len(tables.brems_energy)}\n"
    text += _line(_REDUCED_ENERGIES, 6) + _line(np.log(tables.brems_energy))
    output.write(file, text + "".join(_line(row, 6) for row in tables.brems))


def _line(values: Iterable[float], digits: int = 8) -> str:
    return " ".join(f"{value:.{digits}g}" for value in values) + "\n"


def _lines(energy: Floats, values: Floats) -> str:
    return "".join(map(_line, zip(energy, values, strict=True)))


def _vector(energy: Floats, values: Floats) -> str:
    """A G4PhysicsFreeVector in ASCII."""
    head = f"{energy[0]:.8g} {energy[-1]:.8g} {len(energy)}\n{len(energy)}\n"
    return head + _lines(energy, values)


def _increasing(energy: Floats) -> Floats:
    """Energies with double points (absorption edges) pulled apart."""
    energy = energy.copy()
    for i in range(1, len(energy)):
        energy[i] = max(energy[i], energy[i - 1] * (1 + 1e-7))
    return energy


def _high_energy_fit(energy: Floats, cross_section: Floats, start: float) -> Floats:
    """Coefficients a1..a6 of sigma = a1/E + a2/E^2 + ... + a6/E^6 above `start` (MeV)."""
    used = (energy >= 0.85 * start) & (energy < 50.0) & (cross_section > 0)
    powers = energy[used, None] ** -np.arange(6)
    weight = 1 / (cross_section[used] * energy[used])
    fit, *_ = np.linalg.lstsq(powers * weight[:, None], np.ones(len(weight)), rcond=None)
    return np.asarray(fit, np.float64)


def _write_photoelectric(folder: Path, z: int, tables: _PenelopeTables) -> None:
    """Tables below, parametrisation above a few hundred keV; sums over shells, K first."""
    energy, total = _increasing(tables.photo_energy), tables.photo
    shells = tables.photo_shells[:, (tables.photo_shells > 0).any(0)]
    first = (shells > 0).argmax(0)
    edges = tables.photo_energy[first] if shells.shape[1] else energy[:1]
    start = max(0.3, 3 * edges[0]) if shells.shape[1] else 0.05
    above = _high_energy_fit(energy, total, start)
    sums = [
        _high_energy_fit(energy, np.maximum(part, 1e-30), start)
        for part in np.cumsum(shells, axis=1).T[:-1]
    ]
    fits = "".join(_line((edge, *fit)) for edge, fit in zip(edges, [*sums, above], strict=True))
    for kind in ("high", "low"):
        head = f"{len(edges)} {len(edges)} {start:.8g}\n"
        (folder / f"pe-{kind}-{z}.dat").write_text(head + fits)

    weighted = total * energy**3
    table = energy < 2 * start
    if len(edges) > 1:
        # From the upper side of the K edge on; the edge itself is a double point.
        from_k = energy > edges[0] * (1 - 1e-9)
        from_k[np.flatnonzero(from_k)[0]] = False
        table &= from_k
        below_k = (energy <= edges[0] * (1 + 1e-7)) & (energy >= 5e-5) & (total > 0)
        low = _vector(energy[below_k], weighted[below_k])
        (folder / f"pe-le-cs-{z}.dat").write_text(low)
        text = ""
        for i, shell in enumerate(shells.T):
            used = (shell > 0) & (energy < 2 * start)
            e, v = energy[used], (shell * energy**3)[used]
            text += f"{e[0]:.8g} {e[-1]:.8g} {len(e)} {i}\n" + _lines(e, v)
        (folder / f"pe-ss-cs-{z}.dat").write_text(text)
    (folder / f"pe-cs-{z}.dat").write_text(_vector(energy[table], weighted[table]))


def _write_rayleigh(file: Path, tables: _PenelopeTables) -> None:
    energy = _increasing(tables.rayleigh_energy)
    # Geant4's internal units: mm2 MeV2.
    file.write_text(_vector(energy, tables.rayleigh * _BARN_IN_MM2 * energy**2))


def _write_ground_states(file: Path) -> None:
    lines = (f"{z:5d} {a:5d} 0.0 - -1 {spin} 0.0\n" for z, a, spin in _GROUND_STATES)
    text = "".join(lines)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        output.write(file, text)

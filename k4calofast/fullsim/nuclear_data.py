"""Cross sections of neutrons and photons on nuclei, by formulas, where Geant4's own are not there.

Geant4's hadronic physics read tables (G4PARTICLEXS) of neutrons below 20 MeV and of photons below
some 130 MeV; what is above comes from its code. Elsewhere than at an official installation these
tables are made of smooth formulas, without resonances: the number of neutrons, where they go and
what nuclei take are as they should be; the last MeV and the times of neutrons that slow down for
microseconds are rough.

- Thermal neutrons: V. F. Sears, Neutron News 3 (1992) 26; scattering falls to the size of the
  nucleus between keV and MeV, capture goes with 1/v.
- Neutrons that excite nuclei: the area of the nucleus, from the first level up.
- Giant dipole resonance: a Lorentz curve of 1.2 times the sum rule of Thomas, Reiche and Kuhn, its
  place and width by S. S. Dietrich and B. L. Berman, At. Data Nucl. Data Tables 38 (1988) 199, and
  RIPL-3.
- Quasi-deuterons: M. B. Chadwick et al., Phys. Rev. C 44 (1991) 814.

File formats: G4NeutronElasticXS, G4NeutronInelasticXS, G4NeutronCaptureXS and G4GammaNuclearXS of
Geant4 11: a G4PhysicsVector in ASCII. Energies in MeV, cross sections in mm2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from k4calofast import output
from k4calofast.arrays import Floats

LARGEST_ATOMIC_NUMBER = 94
"""Geant4 reads the files of all elements so far, in use or not."""

_MM2 = 1e-22  # per barn
_SMALLEST = 1e-12  # barn

_THERMAL = {
    1: (1.008, 82.02, 0.3326),
    4: (9.012, 7.63, 0.0076),
    6: (12.011, 5.551, 0.0035),
    7: (14.007, 11.51, 1.90),
    8: (15.999, 4.232, 0.0002),
    13: (26.982, 1.503, 0.231),
    14: (28.086, 2.167, 0.171),
    18: (39.948, 0.683, 0.675),
    26: (55.845, 11.62, 2.56),
    53: (126.904, 3.81, 6.15),
    55: (132.905, 3.90, 29.0),
}
"""Mass number, and barns of scattering and absorption at 25.3 meV (bound nuclei), by Z."""

_THERMAL_ENERGY = 2.53e-8
_NEUTRON_ENERGIES = np.geomspace(1e-11, 20.0, 241)
# Equidistant, as G4PhysicsLinearVector wants.
_PHOTON_ENERGIES = np.linspace(1.0, 130.0, 259)


def write(folder: Path) -> None:
    """Write the files of all elements unless they are there; the last one is the witness."""
    witness = folder / "gamma" / f"inel{LARGEST_ATOMIC_NUMBER}"
    if witness.exists():
        return
    for sub in ("neutron", "gamma"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for z in range(1, LARGEST_ATOMIC_NUMBER + 1):
        for name, barns in neutron(z).items():
            _write(folder / "neutron" / f"{name}{z}", _NEUTRON_ENERGIES, barns)
        _write(folder / "gamma" / f"inel{z}", _PHOTON_ENERGIES, photon(z))


def neutron(z: int) -> dict[str, Floats]:
    """Barns (energies,) of neutrons on an element, by the names of Geant4's files."""
    energy = _NEUTRON_ENERGIES
    mass, scattering, absorption = _THERMAL.get(z, (_mass_number(z), 2 * _area(z), 1.0))
    free = scattering * (mass / (mass + 1)) ** 2
    if z == 1:
        knots = [1e-11, 1e-2, 0.1, 1.0, 3.0, 10.0, 20.0]
        elastic = np.interp(
            np.log(energy), np.log(knots), [free, 18.6, 12.7, 4.25, 2.3, 0.94, 0.48]
        )
        inelastic = np.zeros_like(energy)
    else:
        area = _area(z)
        knots = [1e-11, 1e-3, 1.0, 14.0, 20.0]
        values = [free, free, area, 0.485 * area, 0.443 * area]
        elastic = np.exp(np.interp(np.log(energy), np.log(knots), np.log(values)))
        first_level = 4.4 if mass < 20 else 1.5 if mass < 50 else 0.7 if mass < 80 else 0.2
        wavelength = 4.55 / np.sqrt(energy) * (mass + 1) / mass  # fm, over 2 pi
        radius = 1.32 * mass ** (1 / 3) + np.minimum(wavelength, 2.0)
        above = np.maximum(energy - first_level, 0.0)
        inelastic = 0.01 * np.pi * radius**2 * (1 - np.exp(-above / 0.8))
    capture = absorption * np.sqrt(_THERMAL_ENERGY / energy)
    if mass > 60:
        fast = 0.15 * mass / 130 * (0.1 / np.maximum(energy, 0.01)) ** 0.8 * np.exp(-energy / 3)
        capture = capture + np.where(energy > 1e-4, fast, 0.0)
    return {"el": elastic, "inel": inelastic, "cap": capture}


def photon(z: int) -> Floats:
    """Barns (energies,) of photons that a nucleus of an element absorbs."""
    energy = _PHOTON_ENERGIES
    mass = _THERMAL[z][0] if z in _THERMAL else _mass_number(z)
    pairs = z * max(mass - z, 0.0) / mass if z > 1 else 0.0
    place = 31.2 * mass ** (-1 / 3) + 20.6 * mass ** (-1 / 6)
    width = 0.026 * place**1.91
    peak = 2 / np.pi * 1.2 * 0.060 * pairs / width
    separation = 9.0 if mass > 40 else 13.0
    dipole = peak * (energy * width) ** 2 / ((energy**2 - place**2) ** 2 + (energy * width) ** 2)
    dipole *= 1 - np.exp(-np.maximum(energy - separation, 0.0))
    free = 0.0612 * np.maximum(energy - 2.224, 0.0) ** 1.5 / energy**3
    blocked = np.where(
        energy < 20.0,
        np.exp(-73.3 / energy),
        np.polyval([9.3537e-9, -3.4762e-6, 4.1222e-4, -9.8343e-3, 8.3714e-2], energy),
    )
    absorbed: Floats = dipole + 6.5 * pairs * free * blocked
    return absorbed


def _area(z: int) -> float:
    """Barns, of the size of a nucleus."""
    mass = _THERMAL[z][0] if z in _THERMAL else _mass_number(z)
    return float(0.237 * mass ** (2 / 3))


def _mass_number(z: int) -> float:
    """Mass number of an element, on the line of stability: Z = A / (1.98 + 0.0155 A^(2/3))."""
    mass = 2.0 * z
    for _ in range(30):
        mass = z * (1.98 + 0.0155 * mass ** (2 / 3))
    return mass


def _write(file: Path, energy: Floats, barns: Floats) -> None:
    text = f"{energy[0]:.10g} {energy[-1]:.10g} {len(energy)}\n{len(energy)}\n"
    values = np.maximum(barns, _SMALLEST) * _MM2
    output.write(
        file, text + "".join(f"{e:.10g} {v:.6g}\n" for e, v in zip(energy, values, strict=True))
    )

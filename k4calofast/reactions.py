"""Whole events of e+ e- collisions at BESIII's energies: inputs for studies of all that is in one.

Decays are flat in phase space but for masses of resonances; nothing is radiated, and the beams do
not cross at an angle. That is enough to put as many particles of the right energies into a
calorimeter, as near to each other, as real events do, and not enough for an analysis.

What decays is in the record, with what it decays to; all comes from one point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from particle import Particle

from k4calofast.arrays import Floats, Indices, Ints
from k4calofast.events.columns import EventKeys, Particles
from k4calofast.events.edm4hep import EVENT_HEADER, MC_PARTICLE
from k4calofast.events.fields import header_fields, particle_fields
from k4calofast.events.frames import EVENTS, METADATA, CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import parameters
from k4calofast.events.writing import EventFileWriter

_ELECTRON, _MUON, _PHOTON = 11, 13, 22
_PION0, _PION, _RHO0, _RHO, _JPSI, _PSI2S = 111, 211, 113, 213, 443, 100443
_STABLE, _DECAYED = 1, 2
_GRID = 20_001

BHABHA_ENERGY = 1.55
"""GeV of each beam."""

BHABHA_COSINE = 0.93
"""Largest |cos theta| of electrons and positrons: BESIII's EMC ends there."""


@cache
def _mass(pdg: int) -> float:
    """GeV."""
    return float(Particle.from_pdgid(pdg).mass or 0.0) * 1e-3


@cache
def _width(pdg: int) -> float:
    """GeV."""
    return float(Particle.from_pdgid(pdg).width or 0.0) * 1e-3


def jpsi_to_rho_pi(events: int, seed: int) -> Particles:
    """J/psi at rest to rho pi, its three charges alike; rho to two pions, pi0 to two photons.

    Every event has a pi+, a pi- and two photons. The mass of the rho has the form of Breit and
    Wigner.
    """
    rng = np.random.default_rng(seed)
    charge = rng.integers(-1, 2, events)
    rho = np.where(charge == 0, _RHO0, _RHO * charge)
    lone = np.where(charge == 0, _PION0, -_PION * charge)
    first = np.where(charge == 0, _PION, _PION * charge)
    second = np.where(charge == 0, -_PION, _PION0)
    pion, top = _mass(_PION), _mass(_JPSI)
    pole, width = _mass(_RHO), _width(_RHO)

    def density(mass: Floats) -> Floats:
        phase_space = _breakup(top, mass, pion) * _breakup(mass, pion, pion)
        shape: Floats = phase_space / ((mass**2 - pole**2) ** 2 + (pole * width) ** 2)
        return shape

    mass = _drawn(rng, density, 2 * pion + 1e-6, top - pion - 1e-6, events)
    start = _at_rest(np.full(events, top))
    of_rho, of_lone = _two_body(rng, start, mass, _masses(lone))
    of_first, of_second = _two_body(rng, of_rho, _masses(first), _masses(second))
    of_pion0 = np.where((charge == 0)[:, None], of_lone, of_second)
    photons = _two_body(rng, of_pion0, np.zeros(events), np.zeros(events))
    kinds = [np.full(events, _JPSI), rho, lone, first, second]
    kinds += [np.full(events, _PHOTON)] * 2
    momenta = [start, of_rho, of_lone, of_first, of_second, *photons]
    # Photons stem from whichever pion is neutral.
    pion0 = np.where(charge == 0, 2, 4)
    parents = [_nobody(events), *(np.full(events, p) for p in (0, 0, 1, 1)), pion0, pion0]
    return _particles(kinds, momenta, parents)


def bhabha(
    events: int, seed: int, energy: float = BHABHA_ENERGY, largest_cosine: float = BHABHA_COSINE
) -> Particles:
    """Elastic scattering of e+ e- by QED at lowest order, within |cos theta| of the electron.

    dsigma / dcos theta ~ ((3 + cos^2 theta) / (1 - cos theta))^2, for negligible masses.
    """
    rng = np.random.default_rng(seed)
    cosine = _drawn(
        rng, lambda c: ((3 + c**2) / (1 - c)) ** 2, -largest_cosine, largest_cosine, events
    )
    phi = rng.uniform(0, 2 * np.pi, events)
    sine = np.sqrt(1 - cosine**2)
    size = np.sqrt(energy**2 - _mass(_ELECTRON) ** 2)
    way = size * np.stack([sine * np.cos(phi), sine * np.sin(phi), cosine], axis=1)
    momenta = [np.column_stack([np.full(events, energy), side * way]) for side in (1, -1)]
    kinds = [np.full(events, pdg) for pdg in (_ELECTRON, -_ELECTRON)]
    return _particles(kinds, momenta, [_nobody(events)] * 2)


def psi2s_to_pi_pi_jpsi(events: int, seed: int) -> Particles:
    """psi(2S) at rest to pi+ pi- J/psi, and that to e+ e- or mu+ mu-, one as often as the other.

    The mass of the two pions has the form ~ (m^2 - 4 m_pi^2)^2 times phase space (V. Novikov,
    M. Shifman, Z. Phys. C 8 (1981) 43).
    """
    rng = np.random.default_rng(seed)
    top, jpsi, pion = _mass(_PSI2S), _mass(_JPSI), _mass(_PION)

    def density(mass: Floats) -> Floats:
        phase_space = _breakup(top, mass, jpsi) * _breakup(mass, pion, pion)
        wave: Floats = phase_space * (mass**2 - 4 * pion**2) ** 2
        return wave

    mass = _drawn(rng, density, 2 * pion + 1e-6, top - jpsi - 1e-6, events)
    start = _at_rest(np.full(events, top))
    pair, of_jpsi = _two_body(rng, start, mass, np.full(events, jpsi))
    pions = _two_body(rng, pair, *(np.full(events, pion),) * 2)
    lepton = np.where(rng.random(events) < 0.5, _ELECTRON, _MUON)
    leptons = _two_body(rng, of_jpsi, *(_masses(lepton),) * 2)
    kinds = [np.full(events, pdg) for pdg in (_PSI2S, _JPSI, _PION, -_PION)] + [lepton, -lepton]
    parents = [_nobody(events), *(np.full(events, p) for p in (0, 0, 0, 1, 1))]
    return _particles(kinds, [start, of_jpsi, *pions, *leptons], parents)


REACTIONS: Mapping[str, Callable[[int, int], Particles]] = {
    "jpsi_rho_pi": jpsi_to_rho_pi,
    "bhabha": bhabha,
    "psi2s_pi_pi_jpsi": psi2s_to_pi_pi_jpsi,
}
"""By name, for a number of events and a seed."""


def write(file: Path, particles: Particles, run: int = 1) -> None:
    """Write events as an EDM4hep file, numbered from 0 on.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    header = CollectionInfo.new("EventHeader", EVENT_HEADER)
    info = CollectionInfo.new("MCParticles", MC_PARTICLE)
    count = particles.n_events
    keys = EventKeys(np.full(count, run, np.uint32), np.arange(count, dtype=np.uint64))
    fields = header_fields(header.name, keys) | particle_fields(info, particles)
    with EventFileWriter(file, FileInfo.own()) as writer:
        writer.write(EVENTS, Frames(parameters({}, count) | fields, count), (header, info))
        writer.write(METADATA, Frames(parameters({}), 1), ())


def _breakup(mass: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Momentum of two particles of these masses to which one of this mass decays at rest."""
    m, a, b = (np.asarray(value, np.float64) for value in (mass, first, second))
    square = (m**2 - (a + b) ** 2) * (m**2 - (a - b) ** 2)
    momentum: Floats = np.sqrt(np.maximum(square, 0.0)) / (2 * m)
    return momentum


def _drawn(
    rng: np.random.Generator, density: Callable[[Floats], Floats], low: float, high: float, n: int
) -> Floats:
    """Numbers (n,) with this density, which is linear between the points of a grid."""
    grid = np.linspace(low, high, _GRID)
    value = density(grid)
    cumulative = np.concatenate([[0.0], np.cumsum((value[1:] + value[:-1]) / 2)])
    drawn: Floats = np.interp(rng.random(n) * cumulative[-1], cumulative, grid)
    return drawn


def _masses(pdg: Indices) -> Floats:
    kinds, which = np.unique(pdg, return_inverse=True)
    masses: Floats = np.array([_mass(int(kind)) for kind in kinds])[which]
    return masses


def _nobody(events: int) -> Indices:
    return np.full(events, -1)


def _at_rest(mass: Floats) -> Floats:
    """Energy and momentum (N, 4) in GeV."""
    return np.column_stack([mass, np.zeros((len(mass), 3))])


def _two_body(
    rng: np.random.Generator, parent: Floats, first: Floats, second: Floats
) -> tuple[Floats, Floats]:
    """Energies and momenta (N, 4) of the two particles to which parents (N, 4) decay, isotropic."""
    square = parent[:, 0] ** 2 - (parent[:, 1:] ** 2).sum(1)
    mass = np.sqrt(np.maximum(square, 0.0))
    momentum = _breakup(mass, first, second)
    cosine, phi = rng.uniform(-1, 1, len(mass)), rng.uniform(0, 2 * np.pi, len(mass))
    sine = np.sqrt(1 - cosine**2)
    way = momentum[:, None] * np.stack([sine * np.cos(phi), sine * np.sin(phi), cosine], axis=1)
    both = []
    for of, side in ((first, 1.0), (second, -1.0)):
        energy = np.hypot(of, momentum)
        along = (parent[:, 1:] * side * way).sum(1)
        boosted = (parent[:, 0] * energy + along) / mass
        moved = parent[:, 1:] * ((along / (parent[:, 0] + mass) + energy) / mass)[:, None]
        both.append(np.column_stack([boosted, side * way + moved]))
    return both[0], both[1]


def _particles(kinds: list[Indices], momenta: list[Floats], parents: list[Indices]) -> Particles:
    """Particles of events which all have as many, given place by place.

    Parameters
    ----------
    kinds
        (events,) PDG numbers.
    momenta
        (events, 4) energies and momenta.
    parents
        (events,) place of the parent, -1 for none.
    """
    events, many = len(kinds[0]), len(kinds)
    pdg: Ints = np.stack(kinds, axis=1).reshape(-1).astype(np.int32)
    momentum = np.stack(momenta, axis=1).reshape(-1, 4)[:, 1:]
    place = np.stack(parents, axis=1)
    own = np.arange(events * many).reshape(events, many)
    has_parent = place >= 0
    parent = (place + own[:, :1])[has_parent]
    decayed = np.zeros(events * many, np.bool_)
    decayed[parent] = True
    charges = {int(kind): float(Particle.from_pdgid(kind).charge or 0.0) for kind in np.unique(pdg)}
    # Resonances have the mass that they were drawn with.
    energy = np.stack(momenta, axis=1).reshape(-1, 4)[:, 0]
    drawn = np.sqrt(np.maximum(energy**2 - (momentum**2).sum(1), 0.0))
    nowhere = np.zeros((events * many, 3))
    return Particles(
        offsets=np.arange(events + 1) * many,
        pdg=pdg,
        generator_status=np.where(decayed, _DECAYED, _STABLE).astype(np.int32),
        simulator_status=np.zeros(events * many, np.int32),
        charge=np.array([charges[int(kind)] for kind in pdg]),
        time=np.zeros(events * many),
        mass=np.where(decayed, drawn, _masses(pdg.astype(np.int64))),
        vertex=nowhere,
        endpoint=nowhere,
        momentum=momentum,
        momentum_at_endpoint=nowhere,
        parent=parent,
        child=own[has_parent],
    )

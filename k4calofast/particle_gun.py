"""Single particles from a vertex, as columns: an input for trials, tests and benchmarks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from particle import Particle

from k4calofast.arrays import Floats, IDs, Words
from k4calofast.exceptions import SteeringError
from k4calofast.noise import particle_bits
from k4calofast.properties import CaloParticleGunProperties

_MEV = 1e-3
_DRAWS = 8
"""Random numbers per particle: kind, momentum, theta, phi, and four for the vertex."""


class ParticleGun:
    """Draws particles; each depends on seed, run, event and its place in the event alone.

    Raises
    ------
    SteeringError
        If a range is empty or a particle is not known.
    """

    def __init__(self, properties: CaloParticleGunProperties) -> None:
        self.properties = properties
        for name in ("Momentum", "Theta", "Phi"):
            low, high = (getattr(properties, f"{name}{end}") for end in ("Min", "Max"))
            if low > high:
                raise SteeringError(f"{name}Min {low:g} is larger than {name}Max {high:g}")
        known = [_known(pdg) for pdg in properties.PDG]
        self._mass = np.array([float(particle.mass or 0.0) * _MEV for particle in known])
        self._charge = np.array([float(particle.charge or 0.0) for particle in known])

    def shoot(self, events: IDs) -> dict[str, npt.NDArray[np.generic]]:
        """Draw the particles of events.

        Parameters
        ----------
        events
            (E,) event numbers.

        Returns
        -------
        dict
            Members of MCParticle by name, for ``len(events) * ParticlesPerEvent`` particles,
            event by event.
        """
        p = self.properties
        event = np.repeat(events, p.ParticlesPerEvent)
        place = np.tile(np.arange(p.ParticlesPerEvent, dtype=np.uint32), len(events))
        u = self._uniform(event, place)
        kind = (u[:, 0] * len(p.PDG)).astype(np.int64)
        if p.MomentumLog:
            low, high = np.log(p.MomentumMin), np.log(p.MomentumMax)
            momentum = np.exp(low + u[:, 1] * (high - low))
        else:
            momentum = p.MomentumMin + u[:, 1] * (p.MomentumMax - p.MomentumMin)
        # Uniform on the sphere between the limits.
        cos_low, cos_high = np.cos(np.radians([p.ThetaMax, p.ThetaMin]))
        cos = cos_low + u[:, 2] * (cos_high - cos_low)
        sin = np.sqrt(1 - cos**2)
        phi = np.radians(p.PhiMin + u[:, 3] * (p.PhiMax - p.PhiMin))
        direction = np.stack([sin * np.cos(phi), sin * np.sin(phi), cos], axis=1)
        vertex = np.array(p.Vertex) + _normal(u[:, 4:]) * np.array(p.VertexSigma)
        count = len(event)
        nowhere = np.zeros((count, 3))
        return {
            "PDG": np.array(p.PDG, np.int32)[kind],
            "generatorStatus": np.ones(count, np.int32),
            "simulatorStatus": np.zeros(count, np.int32),
            "charge": self._charge[kind],
            "time": np.zeros(count),
            "mass": self._mass[kind],
            "vertex": vertex,
            "endpoint": nowhere,
            "momentum": momentum[:, None] * direction,
            "momentumAtEndpoint": nowhere,
        }

    def _uniform(self, event: IDs, place: Words) -> Floats:
        """Random numbers (N, 8) in (0, 1)."""
        seed, run = self.properties.Seed, self.properties.Run
        words = np.array([[seed & 0xFFFFFFFF], [seed >> 32]], np.uint32)
        words[0] ^= np.uint32(run)
        bits = particle_bits((words[0], words[1]), event, place, _DRAWS // 4)
        bits = bits.reshape(len(event), _DRAWS)
        uniform: Floats = (bits.astype(np.float64) + 0.5) * 2.0**-32
        return uniform


def _known(pdg: int) -> Particle:
    try:
        return Particle.from_pdgid(pdg)
    except Exception:
        raise SteeringError(f"PDG {pdg} is not a known particle") from None


def _normal(u: Floats) -> Floats:
    """Three standard normal numbers from four uniform ones, by Box and Muller."""
    radius = np.sqrt(-2 * np.log(u[:, [0, 0, 2]]))
    angle = 2 * np.pi * u[:, [1, 1, 3]]
    waves = [np.cos(angle[:, 0]), np.sin(angle[:, 1]), np.cos(angle[:, 2])]
    normal: Floats = radius * np.stack(waves, axis=1)
    return normal

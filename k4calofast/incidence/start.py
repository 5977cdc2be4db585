"""Which particles set out for the calorimeter, and from where.

A file may come from a generator, from a simulation of the tracker alone, or from a full
simulation. What a particle's own status bits say decides, particle by particle:

==============================================  =============================================
particle                                        sets out
==============================================  =============================================
not simulated, generatorStatus 1                from its vertex
not simulated, any other generatorStatus        not at all: a documentation line
simulated, endpoint in front of the             from its endpoint with momentumAtEndpoint,
calorimeter, momentum left there                unless it decayed in the tracker
simulated, endpoint in front, none left         not at all: its daughters do
left the detector behind the calorimeter, with  from in front of the face, on the way back from
momentum left                                   its endpoint with momentumAtEndpoint
simulated, endpoint inside the calorimeter      from its vertex: it was absorbed there
born inside or behind the calorimeter           not at all: part of a shower
==============================================  =============================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from k4calofast.detector import Calorimeter
from k4calofast.events.columns import Floats, Indices, Particles
from k4calofast.incidence.fate import Fate
from k4calofast.incidence.transport import back_to_cylinder, curvature_of, velocity

FAST_SIMULATED_BIT = 22
LEFT_DETECTOR_BIT = 25
DECAYED_IN_TRACKER_BIT = 27
"""Bits of MCParticle.simulatorStatus, from EDM4hep's definition."""

_FINAL_STATE = 1
_CLEARANCE = 1.0
"""mm in front of the face's cylinder where particles are put that come back to it."""
_NEUTRINOS = (12, 14, 16, 18)


@dataclass(frozen=True)
class Starts:
    """Particles that set out for the calorimeter, N of them.

    Attributes
    ----------
    particle
        (N,) index into the particles.
    position, momentum
        (N, 3) mm and GeV where they set out.
    time
        (N,) ns there.
    charge, mass
        (N,) e and GeV.
    """

    particle: Indices
    position: Floats
    momentum: Floats
    time: Floats
    charge: Floats
    mass: Floats


def _bit(status: npt.NDArray[np.int32], bit: int) -> npt.NDArray[np.bool_]:
    is_set: npt.NDArray[np.bool_] = (status >> bit) & 1 == 1
    return is_set


def set_out(particles: Particles, detector: Calorimeter) -> tuple[Starts, npt.NDArray[np.int8]]:
    """Sort particles into those that set out and those that do not.

    Returns
    -------
    starts
        The particles that set out.
    fate
        (particles,) `Fate` of those that do not; `Fate.BESIDE` for those that do, until
        transport finds better.
    """
    status = particles.simulator_status
    simulated = status != 0
    # A simulation gives its own secondaries generatorStatus 0.
    final = (particles.generator_status == _FINAL_STATE) | (
        simulated & (particles.generator_status == 0)
    )
    moving = (particles.momentum != 0).any(1)
    left = (particles.momentum_at_endpoint != 0).any(1)
    ended_in_front = simulated & detector.in_front(particles.endpoint)
    goes_on = ended_in_front & left & ~_bit(status, DECAYED_IN_TRACKER_BIT)
    flew_out = simulated & ~ended_in_front & left & _bit(status, LEFT_DETECTOR_BIT)

    fate = np.full(len(particles), Fate.BESIDE, np.int8)
    fate[ended_in_front & ~goes_on] = Fate.ENDED_BEFORE
    fate[~detector.in_front(particles.vertex)] = Fate.BORN_BEHIND
    fate[np.isin(np.abs(particles.pdg), _NEUTRINOS)] = Fate.INVISIBLE
    fate[~final] = Fate.NOT_FINAL
    fate[_bit(status, FAST_SIMULATED_BIT)] = Fate.ALREADY_HANDLED

    chosen = np.flatnonzero((fate == Fate.BESIDE) & moving)
    position, momentum = particles.vertex[chosen], particles.momentum[chosen]
    charge, mass, time = particles.charge[chosen], particles.mass[chosen], particles.time[chosen]
    later = np.flatnonzero((goes_on | flew_out)[chosen])
    position[later] = particles.endpoint[chosen[later]]
    momentum[later] = particles.momentum_at_endpoint[chosen[later]]
    back = np.flatnonzero(flew_out[chosen])
    position[back], momentum[back], found = back_to_cylinder(
        position[back],
        momentum[back],
        curvature_of(momentum[back], charge[back], detector.magnetic_field),
        detector.face_radius - _CLEARANCE,
    )
    # Through an end of the detector, say: the way from the vertex is the better guess.
    lost = back[~found]
    position[lost] = particles.vertex[chosen[lost]]
    momentum[lost] = particles.momentum[chosen[lost]]
    later = np.setdiff1d(later, lost)
    time[later] += _flight_time(particles, chosen[later], position[later], momentum[later])
    return Starts(chosen, position, momentum, time, charge, mass), fate


def _flight_time(
    particles: Particles, chosen: Indices, position: Floats, momentum: Floats
) -> Floats:
    """Time from the vertex to a point (ns), which EDM4hep does not store.

    The path is a helix whose two ends have the directions of the two momenta; the velocity
    is the mean of those at its ends. More than half a turn is not seen.
    """
    p0, p1 = particles.momentum[chosen], momentum
    mass = particles.mass[chosen]
    way = position - particles.vertex[chosen]
    turn = np.arctan2(p1[:, 1], p1[:, 0]) - np.arctan2(p0[:, 1], p0[:, 0])
    half = (turn + np.pi) % (2 * np.pi) / 2 - np.pi / 2
    path = np.hypot(np.hypot(way[:, 0], way[:, 1]) / np.sinc(half / np.pi), way[:, 2])
    return 2 * path / (velocity(p0, mass) + velocity(p1, mass))

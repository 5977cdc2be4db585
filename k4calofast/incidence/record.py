"""What a record says of its particles: who is real, who stems from whom, what each had left.

Generators, simulations and users write MCParticles in many ways. What decides here is, particle
by particle, what the record can only mean:

- A simulation *followed* a particle if it says how it ended: bits 24 to 27 of simulatorStatus.
  Bit 23 is overlay, and other bits are a generator's. Without these bits, an endpoint says so if it
  comes with a momentum there, or with a simulatorStatus of some kind; BOSS writes endpoints alone.
- *Real* are particles that were followed, those that a simulation created, and those with
  generatorStatus 1 or a code that is named as stable. A simulation outranks the generator's code.
- Where a particle decays decides, not its code: generators decay pions kilometres away. What is
  born in front of the calorimeter and has all its daughters behind its face is real, too.
- Everything else documents what a generator did. It has no energy of its own: its daughters have
  it. Without daughters, a free particle of an unknown code is energy that is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.detector import Calorimeter
from k4calofast.events.columns import Particles
from k4calofast.events.edm4hep import (
    BACKSCATTER_BIT,
    CREATED_IN_SIMULATION_BIT,
    DECAYED_IN_CALORIMETER_BIT,
    DECAYED_IN_TRACKER_BIT,
    FAST_SIMULATED_BIT,
    LEFT_DETECTOR_BIT,
    OVERLAY_BIT,
    STOPPED_BIT,
)
from k4calofast.incidence.kinds import facts

FINAL_STATE = 1
_INCOMING = (4, -1, -9)
"""generatorStatus of incoming particles, in HepMC and in LHE files."""

_NOT_TRACKING = ~np.int32((1 << FAST_SIMULATED_BIT) | (1 << OVERLAY_BIT))
_ENDS = np.int32(
    (1 << STOPPED_BIT)
    | (1 << LEFT_DETECTOR_BIT)
    | (1 << DECAYED_IN_CALORIMETER_BIT)
    | (1 << DECAYED_IN_TRACKER_BIT)
)
_NOBODY = -1
_FAR = 1e12
"""mm, behind all calorimeters."""
_FASTEST = 1e12
"""GeV, above what any particle has."""
SMALLEST_MOMENTUM = 1e-30
"""GeV; with less a particle is at rest: squares of it are 0 in double precision before long."""
_NO_NUMBER = "a momentum, vertex, time, charge or mass that is not a number"
_TOO_MUCH = "a momentum or mass that is too large (MaxEnergy)"


class Record:
    """What is known of N particles before any of them is moved.

    Parameters
    ----------
    particles
        With charges and masses that can be trusted, see `k4calofast.incidence.kinds`.
    calorimeters
        Whose faces divide what is in front from what is behind.
    stable
        Values of generatorStatus of final-state particles, beside 1.

    Attributes
    ----------
    followed
        (N,) whether a simulation followed the particle to its end.
    end_known, momentum_known
        (N,) whether there is an endpoint, and a momentum there.
    in_front, behind
        (N,) whether the particle was born before the calorimeter's face, or elsewhere. Neither, if
        nothing says where.
    ended_in_front
        (N,) whether it was followed to an end before the face.
    real
        (N,) whether it has energy of its own.
    unknown
        (N,) the part of the real ones with a status that is not known, and without daughters.
    moving
        (N,) whether it has a momentum.
    of_matter
        (N,) whether it is of a kind that can be knocked out of matter.
    """

    def __init__(
        self, particles: Particles, *calorimeters: Calorimeter, stable: Sequence[int] = ()
    ) -> None:
        self.particles, self.calorimeters = particles, calorimeters
        status = particles.simulator_status
        _, _, free, self.of_matter = facts(particles.pdg)
        self.end_known = _is_there(particles.endpoint, 0.0, _FAR)
        self.momentum_known = _is_there(particles.momentum_at_endpoint, SMALLEST_MOMENTUM, _FASTEST)
        created = (particles.generator_status == 0) & particles.has(CREATED_IN_SIMULATION_BIT)
        final = np.isin(particles.generator_status, (FINAL_STATE, *stable)) | created
        says_end = final & self.end_known
        says_end &= self.momentum_known | ((status & _NOT_TRACKING) != 0)
        self.followed = (((status & _ENDS) != 0) | says_end) & free
        self.in_front = self._before_face(particles.vertex) & ~particles.has(BACKSCATTER_BIT)
        self.behind = ~self.in_front & np.isfinite(particles.vertex).all(1)
        self.ended_in_front = self.followed & self.end_known & self._before_face(particles.endpoint)
        mother = np.zeros(len(particles), np.bool_)
        mother[particles.parent] = True
        mother_in_front = np.zeros(len(particles), np.bool_)
        mother_in_front[particles.parent[~self.behind[particles.child]]] = True
        self.final = self.followed | final
        decays_behind = ~self.final & self.in_front & mother & ~mother_in_front & free
        incoming = np.isin(particles.generator_status, _INCOMING)
        self.unknown = ~self.final & ~mother & free & ~incoming
        self.moving = _above(particles.momentum, SMALLEST_MOMENTUM)
        self.unknown &= self.moving
        self.real = self.final | decays_behind | self.unknown

    def _before_face(self, points: Floats) -> Mask:
        # Lifetimes are exponential: some end where squares are no numbers any more.
        return in_front(self.calorimeters, np.clip(points, -_FAR, _FAR))

    @property
    def magnetic_field(self) -> float:
        """Field along z in front (T, signed): that of the first calorimeter."""
        return self.calorimeters[0].magnetic_field

    def first_impossible(self, largest_energy: float) -> tuple[int, str] | None:
        """Return the first real particle that cannot be, and what is wrong with it.

        Parameters
        ----------
        largest_energy
            GeV; particles with more are damage, not physics.
        """
        p, real = self.particles, np.flatnonzero(self.real)
        columns = (p.momentum, p.vertex, p.time, p.charge, p.mass)
        finite = [
            np.isfinite(column[real]).all(axis=tuple(range(1, column.ndim))) for column in columns
        ]
        momentum = np.abs(p.momentum[real]).max(1, initial=0.0)
        for wrong, reason in (
            (~np.all(finite, 0), _NO_NUMBER),
            ((momentum > largest_energy) | (np.abs(p.mass[real]) > largest_energy), _TOO_MUCH),
        ):
            if wrong.any():
                return int(real[wrong.argmax()]), reason
        circle = self.first_in_a_circle()
        return None if circle is None else (circle, "itself among its ancestors")

    @cached_property
    def energy(self) -> Floats:
        """(N,) total energy in GeV where the particle was born, 0 for those that are not real."""
        energy = np.zeros(len(self.real))
        real = np.flatnonzero(self.real)
        momentum = np.linalg.norm(self.particles.momentum[real], axis=1)
        energy[real] = np.hypot(momentum, self.particles.mass[real])
        return energy

    @cached_property
    def taken(self) -> Floats:
        """(N,) GeV that a particle took from its giver; what was knocked out had its mass."""
        had_mass = self.of_matter & (self.giver >= 0) & self.followed[self.giver]
        return self.energy - np.where(had_mass, self.particles.mass, 0.0)

    @cached_property
    def giver(self) -> Indices:
        """(N,) the nearest real ancestor, from which a particle has its energy; -1 for none."""
        parent, child = self.particles.parent, self.particles.child
        giver = np.full(len(self.real), _NOBODY)
        if not self.real[parent].any():
            return giver
        while True:
            nearer = giver.copy()
            np.maximum.at(nearer, child, np.where(self.real[parent], parent, giver[parent]))
            if (nearer == giver).all():
                return giver
            giver = nearer

    def first_in_a_circle(self) -> int | None:
        """Return the first particle that is its own ancestor."""
        above = self.giver
        if not (above >= 0).any():
            return None
        # Twice as far at each step; -1 stays where it is.
        for _ in range(len(above).bit_length()):
            above = np.where(above >= 0, above[above], _NOBODY)
        caught = np.flatnonzero(above >= 0)
        return int(caught[0]) if caught.size else None

    def given(self, which: Mask, energy: Floats | None = None) -> Floats:
        """(N,) energy in GeV that particles gave to those of their daughters that are meant.

        Parameters
        ----------
        which
            (N,) the daughters that are meant.
        energy
            (N,) GeV of each, `energy` by default.
        """
        rows = np.flatnonzero(which & self.real & (self.giver >= 0))
        each = self.energy if energy is None else energy
        return sums(self.giver[rows], each[rows], len(self.real))


def in_front(calorimeters: Sequence[Calorimeter], points: Floats) -> Mask:
    """(N,) whether points (N, 3) in mm lie in front of the calorimeters together.

    That is: before the face of one, and inside or behind none.
    """
    if len(calorimeters) == 1:
        return calorimeters[0].in_front(points)
    before = np.any([calorimeter.in_front(points) for calorimeter in calorimeters], axis=0)
    behind = np.any([calorimeter.behind(points) for calorimeter in calorimeters], axis=0)
    together: Mask = before & ~behind
    return together


def sums(groups: Indices, values: Floats, size: int) -> Floats:
    """(size,) sums of values (N,) by group (N,)."""
    total: Floats = np.bincount(groups, values, size).astype(np.float64)
    return total


def _is_there(vectors: Floats, least: float, most: float) -> Mask:
    """(N,) whether vectors (N, 3) were filled: numbers, neither 0 nor beyond all sense."""
    there: Mask = np.isfinite(vectors).all(1) & _above(vectors, least) & ~_above(vectors, most)
    return there


def _above(vectors: Floats, least: float) -> Mask:
    """(N,) whether any component of vectors (N, 3) is larger than that, in size."""
    above: Mask = np.abs(vectors).max(1, initial=0.0) > least
    return above

"""Which particles set out for the calorimeter, from where, and with what.

A file may come from a generator, from a simulation of the tracker alone, or from a full
simulation. What the record says of each particle decides (see `k4calofast.incidence.record`):

==============================================  =============================================
real particle                                   sets out
==============================================  =============================================
not followed, or ended behind the face          from its vertex, with what its daughters from in
                                                front left it, from where the last of them was born
ended in front, momentum left there             from its endpoint with momentumAtEndpoint,
                                                unless it decayed there
ended in front, none left                       not at all: its daughters do
left the detector behind the calorimeter, with  from in front of the face, on the way back from
momentum left                                   its endpoint with momentumAtEndpoint
born inside or outside of the calorimeter       not at all: part of a shower if its parent set out;
                                                else it is handed on
nothing says what is left                       not at all: it is handed on, with its daughters
==============================================  =============================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Columns, Floats, Indices, Mask, ranks
from k4calofast.detector.helix import advance, turned
from k4calofast.events.columns import Particles
from k4calofast.events.edm4hep import (
    DECAYED_IN_CALORIMETER_BIT,
    DECAYED_IN_TRACKER_BIT,
    FAST_SIMULATED_BIT,
    LEFT_DETECTOR_BIT,
    STOPPED_BIT,
)
from k4calofast.incidence.fate import Census, Fate
from k4calofast.incidence.kinds import NEUTRINOS
from k4calofast.incidence.record import SMALLEST_MOMENTUM, Record, in_front, sums
from k4calofast.incidence.transport import (
    curvature_of,
    turn_to,
    velocity,
)

_PHOTON = 22
_CLEARANCE = 1.0
"""mm in front of the face where particles are put that come back to it."""
_SAME_POINT = 1.0
"""mm between a particle's endpoint and the daughters that it decayed to."""
_NOTHING_LEFT = 0.01
"""Share of its energy below which a particle has given all to its daughters."""
_SMALL = 1e-3
"""GeV, likewise."""
_OFF_SHELL = 0.05
"""How far the square of what is left may be from that of the mass, relative to the energy's."""
_TAKEN_BY_MATTER = 0.1
"""Share of a particle's energy that the material of a tracker may take, and"""
_IONISATION, _ROUNDING = 0.1, 0.01
"""GeV that it may take of a charged particle in any case, and of a neutral one."""
_STOPS = 0.2
"""GeV of kinetic energy with which a particle can stop in the material of a tracker."""


@dataclass(frozen=True)
class Starts(Columns):
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


@dataclass(frozen=True)
class _Ways:
    """What each of N real particles does; see the table above.

    Attributes
    ----------
    from_vertex, from_endpoint, from_behind
        (N,) whether it sets out, from where.
    ended, unclear, outside, neutrino, handled
        (N,) whether and why not.
    rest
        (N,) GeV that the daughters from in front left to those that set out from their vertices.
    """

    from_vertex: Mask
    from_endpoint: Mask
    from_behind: Mask
    ended: Mask
    unclear: Mask
    outside: Mask
    neutrino: Mask
    handled: Mask
    rest: Floats


def set_out(record: Record) -> tuple[Starts, Census]:
    """Sort particles into those that set out and those that do not.

    Returns
    -------
    starts
        The particles that set out.
    census
        Fates of the others; `Fate.BESIDE` for those that do, until transport finds better.
    """
    ways = _ways(record)
    covered, unreal = _covered(record, ways)
    fate = np.full(len(record.real), Fate.BESIDE, np.int8)
    fate[ways.outside] = Fate.BORN_OUTSIDE
    fate[ways.unclear] = Fate.UNCLEAR
    fate[ways.ended] = Fate.ENDED_BEFORE
    fate[ways.neutrino] = Fate.INVISIBLE
    fate[ways.handled] = Fate.ALREADY_HANDLED
    fate[record.unknown] = Fate.UNKNOWN_STATUS
    fate[covered] = Fate.BORN_BEHIND
    fate[unreal | ~record.real] = Fate.NOT_FINAL
    counted = record.real & ~covered & ~unreal

    given = record.given(counted)
    goes_on = ways.from_endpoint | ways.from_behind
    energy = record.energy - np.where(ways.neutrino | ways.handled, given, 0.0)
    energy[ways.from_vertex] = ways.rest[ways.from_vertex]
    p = record.particles
    at_end = np.linalg.norm(p.momentum_at_endpoint[goes_on], axis=1)
    energy[goes_on] = np.hypot(at_end, p.mass[goes_on])
    left = record.energy - energy - given
    energy[ways.ended] = (record.energy - given)[ways.ended]
    left[ways.ended | ways.neutrino | ways.handled] = 0.0
    energy[~counted] = left[~counted] = 0.0
    incoming = np.where(counted & (record.giver < 0), record.energy, 0.0)
    lost = counted & ways.ended & _is_much(energy, record)
    slow = record.energy - p.mass <= _STOPS
    fate[lost & ~(p.has(STOPPED_BIT) & slow) & (fate == Fate.ENDED_BEFORE)] = Fate.LOST

    chosen = (fate == Fate.BESIDE) & record.moving
    account = _account(record, counted)
    return _starts(record, ways, chosen), Census(fate, energy, left, incoming, account)


def _account(record: Record, counted: Mask) -> Indices:
    """(N,) the nearest particle that is counted, from each one upwards; -1 for none."""
    account = np.where(counted, np.arange(len(counted)), record.giver)
    while True:
        up = np.flatnonzero((account >= 0) & ~counted[account])
        if not up.size:
            return account
        account[up] = record.giver[account[up]]


def much_is_left(record: Record, census: Census) -> Mask:
    """(N,) whether particles left more in front than matter takes: daughters are missing."""
    return _is_much(census.left, record)


def _is_much(left: Floats, record: Record) -> Mask:
    least = np.where(record.particles.charge != 0, _IONISATION, _ROUNDING)
    much: Mask = left > np.maximum(_TAKEN_BY_MATTER * record.energy, least)
    return much


def _ways(record: Record) -> _Ways:
    p, giver = record.particles, record.giver
    handled = record.real & p.has(FAST_SIMULATED_BIT)
    neutrino = record.real & np.isin(np.abs(p.pdg), NEUTRINOS) & ~handled
    still = record.real & ~handled & ~neutrino & ~record.unknown
    outside = still & ~record.in_front
    still &= record.in_front

    front = record.in_front & (giver >= 0)
    given = record.given(front, record.taken)
    mother = np.zeros(len(still), np.bool_)
    mother[giver[front & record.real]] = True

    # Where the simulation's own word is complete, it is taken.
    at_end = np.zeros(len(still), np.bool_)
    rows = np.flatnonzero(front & record.real)
    rows = rows[record.end_known[giver[rows]]]
    at_end[rows] = np.linalg.norm(p.vertex[rows] - p.endpoint[giver[rows]], axis=1) < _SAME_POINT
    momentum = np.where(record.momentum_known[:, None], p.momentum_at_endpoint, 0.0)
    kept = np.hypot(np.linalg.norm(momentum, axis=1), p.mass)
    decayed = p.has(DECAYED_IN_TRACKER_BIT) | (record.given(at_end) > kept / 2)
    from_endpoint = still & record.ended_in_front & record.momentum_known & ~decayed
    ended = still & record.ended_in_front & ~from_endpoint
    flew_out = record.followed & record.end_known & p.has(LEFT_DETECTOR_BIT)
    from_behind = still & ~record.ended_in_front & flew_out & record.momentum_known
    still &= ~(ended | from_endpoint | from_behind)

    rest = record.energy - given
    spent = mother & (rest <= np.maximum(_NOTHING_LEFT * record.energy, _SMALL))
    nowhere = record.followed & ~record.end_known & ~mother
    nowhere &= ~(p.has(LEFT_DETECTOR_BIT) | p.has(DECAYED_IN_CALORIMETER_BIT))
    # To radiate and go on: with what is left, on the mass shell. A simulation need not prove it.
    beyond = rest < p.mass
    radiates = (p.charge != 0) | (p.pdg == _PHOTON)
    implausible = ~record.followed & ~(radiates & _on_shell(record, front, rest))
    unclear = still & (nowhere | (mother & ~spent & (beyond | implausible)))
    ended |= still & spent
    return _Ways(
        from_vertex=still & ~spent & ~unclear,
        from_endpoint=from_endpoint,
        from_behind=from_behind,
        ended=ended,
        unclear=unclear,
        outside=outside,
        neutrino=neutrino,
        handled=handled,
        rest=rest,
    )


def _on_shell(record: Record, front: Mask, rest: Floats) -> Mask:
    """(N,) whether what daughters from in front left can be the particle itself."""
    p = record.particles
    rows = np.flatnonzero(front & record.real)
    if not rows.size:
        return np.ones(len(rest), np.bool_)
    giver = record.giver[rows]
    taken = [sums(giver, axis, len(rest)) for axis in p.momentum[rows].T]
    square = rest**2 - np.square(p.momentum - np.stack(taken, axis=1)).sum(1)
    plausible: Mask = np.abs(square - p.mass**2) <= _OFF_SHELL * rest**2
    return plausible


def _covered(record: Record, ways: _Ways) -> tuple[Mask, Mask]:
    """Tell whose energy an ancestor has, that is showered or handed on with all that follows.

    Returns
    -------
    covered
        (N,) what was born behind the face of a parent that set out, or anywhere of one that is
        handed on as a whole; and all that stems from it.
    unreal
        (N,) daughters that a generator planned, of a parent that a simulation ended otherwise.
    """
    giver = record.giver
    rows = np.flatnonzero(record.real & (giver >= 0))
    covered, unreal = np.zeros((2, len(record.real)), np.bool_)
    if not rows.size:
        return covered, unreal
    above = giver[rows]
    sets_out = ways.from_vertex | ways.from_endpoint | ways.from_behind | ways.handled
    whole = ways.unclear | ways.outside
    covered[rows] = whole[above] | (sets_out[above] & ~record.in_front[rows])
    # A simulation that followed a parent to its end has followed its true daughters, too.
    told = np.zeros(len(record.real), np.bool_)
    told[above[record.followed[rows] & record.in_front[rows]]] = True
    ended = (ways.ended & record.followed & told)[above]
    unreal[rows] = ended & ~record.followed[rows]
    for mask in (covered, unreal):
        while True:
            more = mask[rows] | mask[above]
            if (more == mask[rows]).all():
                break
            mask[rows] = more
    return covered & ~unreal, unreal


def _starts(record: Record, ways: _Ways, chosen: Mask) -> Starts:
    p = record.particles
    rows = np.flatnonzero(chosen)
    position, momentum = p.vertex[rows], p.momentum[rows]
    charge, mass, time = p.charge[rows], p.mass[rows], p.time[rows]
    later = np.flatnonzero((ways.from_endpoint | ways.from_behind)[rows])
    position[later] = p.endpoint[rows[later]]
    momentum[later] = p.momentum_at_endpoint[rows[later]]
    back = np.flatnonzero(ways.from_behind[rows])
    curvature = curvature_of(momentum[back], charge[back], record.magnetic_field)
    for calorimeter in record.calorimeters:
        path = calorimeter.face.path_back(position[back], momentum[back], curvature, _CLEARANCE)
        found = np.isfinite(path)
        before, direction = advance(
            position[back], momentum[back], curvature, np.where(found, -path, 0.0)
        )
        if len(record.calorimeters) > 1:
            found &= in_front(record.calorimeters, before)
        position[back[found]], momentum[back[found]] = before[found], direction[found]
        back, curvature = back[~found], curvature[~found]
    # Through an end of the detector, say: the way from the vertex is the better guess.
    position[back], momentum[back] = p.vertex[rows[back]], p.momentum[rows[back]]
    later = np.setdiff1d(later, back)
    time[later] += _flight_time(p, rows[later], position[later], momentum[later])
    starts = Starts(rows, position, momentum, time, charge, mass)
    return _after_daughters(record, starts, np.setdiff1d(np.arange(len(rows)), later))


def _after_daughters(record: Record, starts: Starts, among: Indices) -> Starts:
    """Move some of the starts to where the last daughter in front was born, with what was left.

    A charged particle keeps its direction, up to what the field does: what it radiates flies along.
    A photon that scatters gives its daughters part of its momentum vector.
    """
    p, giver = record.particles, record.giver
    start_of = np.full(len(record.real), -1)
    start_of[starts.particle[among]] = among
    daughter = np.flatnonzero(record.real & record.in_front & (giver >= 0))
    daughter = daughter[start_of[giver[daughter]] >= 0]
    if not daughter.size:
        return starts
    mother = giver[daughter]
    way = np.linalg.norm(p.vertex[daughter] - p.vertex[mother], axis=1)
    order = np.lexsort((way, p.time[daughter], mother))
    daughter, mother = daughter[order], mother[order]
    first = np.flatnonzero(np.diff(mother, prepend=-1))
    rank = ranks(np.append(first, len(mother)))
    position, momentum, time = starts.position, starts.momentum, starts.time
    for step in range(int(rank.max()) + 1):
        these = daughter[rank == step]
        rows = start_of[mother[rank == step]]
        # One that has stopped gives nothing more.
        moving = (np.abs(momentum[rows]) > SMALLEST_MOMENTUM).any(1)
        these, rows = these[moving], rows[moving]
        curvature = curvature_of(momentum[rows], starts.charge[rows], record.magnetic_field)
        turn, path = turn_to(position[rows], momentum[rows], curvature, p.vertex[these])
        time[rows] += path / velocity(momentum[rows], starts.mass[rows])
        position[rows] = p.vertex[these]
        now = turned(momentum[rows], turn)
        size = np.linalg.norm(now, axis=1)
        rest = np.hypot(size, starts.mass[rows]) - record.taken[these]
        neutral = starts.charge[rows] == 0
        direction = np.where(neutral[:, None], now - p.momentum[these], now)
        length = np.linalg.norm(direction, axis=1)
        keeps = np.sqrt(np.maximum(rest**2 - starts.mass[rows] ** 2, 0.0))
        scale = np.divide(keeps, length, out=np.zeros_like(keeps), where=length > 0)
        momentum[rows] = direction * scale[:, None]
    moving = np.flatnonzero((np.abs(momentum) > SMALLEST_MOMENTUM).any(1))
    return starts.take(moving)


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

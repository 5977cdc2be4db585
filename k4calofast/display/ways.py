"""Ways of particles from where they are born to the calorimeter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.detector import Calorimeter
from k4calofast.detector.helix import advance
from k4calofast.events.columns import Particles
from k4calofast.incidence import Record
from k4calofast.incidence.start import set_out
from k4calofast.incidence.transport import curvature_of, first_hits, turn_to

_LARGEST_ENERGY = 1e6
"""GeV; a record with more is damaged."""

_TURN = 0.05
"""rad from one point of a helix to the next, at most."""

_MOST_POINTS = 400

_LONGEST = 20_000.0
"""mm that a particle is followed that meets no calorimeter."""

_SAME_POINT, _SCATTERED = 1.0, 0.1
"""mm, and share of its length, by which a helix may miss a point on the way of its particle."""


@dataclass(frozen=True)
class Ways:
    """Ways of N particles.

    Attributes
    ----------
    particle
        (N,) index into the particles.
    points
        (P, 3) mm each.
    """

    particle: Indices
    points: tuple[Floats, ...]


def in_detector(particles: Particles, calorimeters: Sequence[Calorimeter]) -> Ways:
    """Follow all that set out for one of the calorimeters, on lines and helices.

    Parameters
    ----------
    particles
        With charges and masses that can be trusted, see `k4calofast.incidence.kinds`.

    Returns
    -------
    Ways
        From the vertex to the cell that is entered; to the end of the detector for those that enter
        none. None at all of a record that cannot be.
    """
    record = Record(particles, *calorimeters)
    if record.first_impossible(_LARGEST_ENERGY) is not None:
        return Ways(np.zeros(0, np.int64), ())
    starts, _ = set_out(record)
    field = record.magnetic_field
    vertex, momentum = particles.vertex[starts.particle], particles.momentum[starts.particle]
    curvature = curvature_of(momentum, starts.charge, field)
    before, missed = _helices(vertex, momentum, curvature, starts.position)
    # Where a record has daughters of a shower's albedo in front, they say nothing of the way.
    position = np.where(missed[:, None], vertex, starts.position)
    momentum = np.where(missed[:, None], momentum, starts.momentum)
    curvature = curvature_of(momentum, starts.charge, field)
    hits = [first_hits(one, position, momentum, starts.charge) for one in calorimeters]
    path = np.min([np.where(hit.cell >= 0, hit.path, np.inf) for hit in hits], axis=0)
    ends = [one.face.path_to(position, momentum, curvature) for one in calorimeters]
    ends += [_to_the_end(position, momentum, calorimeters), np.full(len(path), _LONGEST)]
    path = np.where(np.isfinite(path), path, np.min(ends, axis=0))
    after = _sampled(position, momentum, curvature, path)
    points = tuple(np.concatenate(parts) for parts in zip(before, after, strict=True))
    return Ways(starts.particle, points)


def straight(particles: Particles, some: Indices, reach: float) -> Ways:
    """Draw lines where nothing is known of a detector and its field.

    Parameters
    ----------
    some
        (N,) which particles.
    reach
        mm from the beam's middle to where those go that have no endpoint.

    Returns
    -------
    Ways
        From the vertex to the endpoint; along the momentum where the record has none.
    """
    start, end = particles.vertex[some], particles.endpoint[some]
    momentum = particles.momentum[some]
    size = np.linalg.norm(momentum, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = start + reach * momentum / size
    end = np.where((end == 0).all(1, keepdims=True), along, end)
    drawn = np.isfinite(start).all(1) & np.isfinite(end).all(1)
    drawn &= (np.abs(start) < _LONGEST).all(1) & (np.abs(end) < _LONGEST).all(1)
    lines = np.stack([start, end], axis=1)[drawn]
    return Ways(some[drawn], tuple(lines))


def _to_the_end(position: Floats, momentum: Floats, calorimeters: Sequence[Calorimeter]) -> Floats:
    """(N,) mm to where particles pass the end of the longest calorimeter."""
    end = max(np.abs(np.concatenate(c.outline)[:, 2]).max() for c in calorimeters)
    with np.errstate(divide="ignore"):
        path: Floats = np.linalg.norm(momentum, axis=1) / np.abs(momentum[:, 2])
    path *= np.maximum(end - np.sign(momentum[:, 2]) * position[:, 2], 0.0)
    return path


def _helices(
    position: Floats, momentum: Floats, curvature: Floats, point: Floats
) -> tuple[list[Floats], Mask]:
    """Points on helices from a position up to before another point.

    Those that do not come near it are the position alone, and told.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        _, path = turn_to(position, momentum, curvature, point)
    path = np.where(np.isfinite(path), path, 0.0)
    lines = _sampled(position, momentum, curvature, path)
    gap = [float(np.linalg.norm(one[-1] - end)) for one, end in zip(lines, point, strict=True)]
    missed = np.array(gap) > _SCATTERED * np.linalg.norm(point - position, axis=1) + _SAME_POINT
    return [one[: 1 if off else -1] for one, off in zip(lines, missed, strict=True)], missed


def _sampled(position: Floats, momentum: Floats, curvature: Floats, path: Floats) -> list[Floats]:
    """Points on helices of these lengths."""
    steps = np.ceil(np.abs(curvature * path) / _TURN).clip(1, _MOST_POINTS).astype(np.int64)
    row = np.repeat(np.arange(len(steps)), steps + 1)
    ends = np.cumsum(steps + 1)
    share = (np.arange(len(row)) - np.repeat(ends - steps - 1, steps + 1)) / steps[row]
    points, _ = advance(position[row], momentum[row], curvature[row], share * path[row])
    return np.split(points, ends[:-1]) if len(steps) else []

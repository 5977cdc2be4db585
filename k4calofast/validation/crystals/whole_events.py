"""Whole events in all crystals: fast and full simulation of the same ones, side by side.

Both have simulated the same particles, event by event. What both have in common, whatever those
particles do not decide, cancels in differences: their errors are those of the differences of
events, and not of two samples.

A cluster is a photon's if it is the nearest to where that photon enters the calorimeter, and near.
Its energy is calibrated by what photons of full simulation have in theirs. A cluster that is far
from where any particle enters is an extra one: an analysis takes it for a photon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask, owners
from k4calofast.events.columns import Hits, Particles
from k4calofast.events.edm4hep import MC_PARTICLE, SIM_CALORIMETER_HIT
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import find_collection, hits_alone, particles, subset
from k4calofast.incidence import Record, follow
from k4calofast.pictures import image, styled
from k4calofast.validation.crystals.clusters import (
    HIT_THRESHOLD,
    AllCrystals,
    CrystalHits,
    EventClusters,
    find_event_clusters,
)
from k4calofast.validation.crystals.reconstruction import PionPeak, peak_of
from k4calofast.validation.metrics import Value, mean_of, spectrum_distance
from k4calofast.validation.observables import width68, width68_error

PHOTON_THRESHOLD = 0.025
"""GeV; what analyses at BESIII take for a photon at least."""

NEAR, FAR = 0.06, 0.17
"""rad, seen from the origin: a photon's cluster is nearer, extra clusters are farther."""

_AT_ONCE = 500
_CALIBRATION_BINS = 8
_MUST_BE_PHOTONS = 200
"""For a calibration, and for a peak."""


@dataclass(frozen=True)
class Truth:
    """What enters a calorimeter in E events.

    Attributes
    ----------
    event, particle
        (N,) event, and index of the particle.
    pdg, momentum
        (N,) PDG number and GeV, where it enters.
    direction
        (N, 3) unit vectors from the origin to there.
    parent
        (N,) the particle that it stems from, -1 for none.
    """

    event: Indices
    particle: Indices
    pdg: Indices
    momentum: Floats
    direction: Floats
    parent: Indices

    @staticmethod
    def of(found: Particles, crystals: AllCrystals) -> Truth:
        """Bring the particles of events to the calorimeters."""
        arrivals, _ = follow(Record(found, *crystals.calorimeters))
        particle = np.concatenate([one.particle for one in arrivals])
        position = np.concatenate([one.position for one in arrivals])
        momentum = np.concatenate([one.momentum for one in arrivals])
        order = np.argsort(particle)
        particle, position = particle[order], position[order]
        parents = np.full(len(found), -1)
        parents[found.child] = found.parent
        return Truth(
            found.event_of(particle),
            particle,
            found.pdg[particle].astype(np.int64),
            np.linalg.norm(momentum[order], axis=1),
            position / np.linalg.norm(position, axis=1, keepdims=True),
            parents[particle],
        )


@dataclass(frozen=True)
class WholeEvents:
    """What is seen of E events of one simulation.

    Attributes
    ----------
    energies
        (E,) GeV in the crystals of each calorimeter, by its name.
    hits
        (E,) crystals above `HIT_THRESHOLD`.
    clusters
        Of all events.
    """

    energies: Mapping[str, Floats]
    hits: Floats
    clusters: EventClusters

    @property
    def count(self) -> int:
        """Number of events."""
        return len(self.hits)

    @staticmethod
    def of(crystals: AllCrystals, collections: Mapping[str, Hits]) -> WholeEvents:
        """Look at hits.

        Parameters
        ----------
        collections
            By the name of the calorimeter that they are of.
        """
        hits = CrystalHits.of(crystals, list(collections.values()))
        count = len(next(iter(collections.values())).offsets) - 1
        energies = {
            name: np.bincount(found.event, found.energy, count).astype(np.float64)
            for name, found in collections.items()
        }
        above = np.bincount(hits.event[hits.energy >= HIT_THRESHOLD], minlength=count)
        return WholeEvents(energies, above.astype(np.float64), find_event_clusters(hits, crystals))


def read(
    files: Sequence[Path], crystals: AllCrystals, not_handled: str = ""
) -> tuple[Particles, WholeEvents, Indices]:
    """Read files of MCParticles and hits, which have the calorimeters' usual names.

    A calorimeter of which they have no collection has no hits.

    Parameters
    ----------
    not_handled
        Subset collection of the particles that were handed on, if there is one.

    Returns
    -------
    particles, events, handed_on
        All particles, what is seen, and the indices of particles that were handed on.

    Raises
    ------
    K4CaloFastError
        If they cannot be read, or have no hits at all.
    """
    source = EventSource(files)
    names = {info.name for info in source.infos}
    info = find_collection(source.infos, "MCParticles", MC_PARTICLE.collection)
    usual = {one.name: one.collection for one in crystals.calorimeters}
    there = {name: collection for name, collection in usual.items() if collection in names}
    if not there:
        # Says what there is.
        find_collection(source.infos, next(iter(usual.values())), SIM_CALORIMETER_HIT.collection)
    parts: list[tuple[Particles, dict[str, Hits]]] = []
    handed_on = [np.zeros(0, np.int64)]
    for frames in source.chunks(0, source.num_events, _AT_ONCE):
        found = particles(frames, info)
        hits = {name: hits_alone(frames, collection) for name, collection in there.items()}
        parts.append((found, hits))
        if not_handled:
            before = sum(len(part) for part, _ in parts[:-1])
            offsets, index, _ = subset(frames, not_handled)
            handed_on.append(found.offsets[owners(offsets)] + index + before)
    seen = [WholeEvents.of(crystals, hits) for _, hits in parts]
    starts = np.cumsum([0] + [part.count for part in seen])
    clusters = EventClusters.concatenate([part.clusters for part in seen])
    shift = np.repeat(starts[:-1], [len(part.clusters.event) for part in seen])
    together = WholeEvents(
        {name: np.concatenate([part.energies[name] for part in seen]) for name in there},
        np.concatenate([part.hits for part in seen]),
        EventClusters(clusters.event + shift, *list(clusters.arrays().values())[1:]),
    )
    return joined([found for found, _ in parts]), together, np.concatenate(handed_on)


def joined(parts: Sequence[Particles]) -> Particles:
    """Particles of events, one after the other."""
    firsts = np.cumsum([0] + [len(part) for part in parts])[:-1]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in vars(parts[0])
        if name not in ("offsets", "parent", "child")
    }
    for name in ("parent", "child"):
        columns[name] = np.concatenate(
            [getattr(part, name) + first for part, first in zip(parts, firsts, strict=True)]
        )
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Particles(offsets=np.append(0, np.cumsum(counts)), **columns)


def handed_on_by_kind(
    handed_on: Indices, found: Particles, truth: Truth
) -> dict[int, tuple[int, float, int, float]]:
    """Number and energy (GeV) of particles by PDG number, and those of what enters a crystal.

    Parameters
    ----------
    handed_on
        (N,) index of particles that another simulation has to take.
    found, truth
        All particles, and what of them enters.
    """
    energy = np.sqrt((found.momentum[handed_on] ** 2).sum(1) + found.mass[handed_on] ** 2)
    enters = np.isin(handed_on, truth.particle)
    kinds = {}
    for pdg in np.unique(found.pdg[handed_on]).tolist():
        own = found.pdg[handed_on] == pdg
        of_kind = [own, own & enters]
        numbers = [int(chosen.sum()) for chosen in of_kind]
        energies = [float(energy[chosen].sum()) for chosen in of_kind]
        kinds[pdg] = numbers[0], energies[0], numbers[1], energies[1]
    return kinds


@dataclass(frozen=True)
class Figure:
    """A figure of the reference, and of the other simulation.

    Attributes
    ----------
    name, unit
        What it is.
    reference, found
        Each with its error.
    difference
        Of the two, with the error of pairs of events where there are pairs.
    p_value
        Of the hypothesis that the spectra are of one distribution; NaN without one.
    """

    name: str
    unit: str
    reference: Value
    found: Value
    difference: Value
    p_value: float = float("nan")

    @property
    def sigmas(self) -> float:
        """Difference over its error."""
        return self.difference.value / self.difference.error if self.difference.error else 0.0


@dataclass(frozen=True)
class EventComparison:
    """Whole events of two simulations, compared.

    Attributes
    ----------
    figures
        All of them.
    spectra
        Values that are drawn, of the reference and of the other, by their title.
    """

    figures: tuple[Figure, ...]
    spectra: Mapping[str, tuple[Floats, Floats]]

    def markdown(self) -> str:
        """Return a table."""
        lines = [
            "| per event | full simulation | fast | difference | sigma | p of spectra |",
            "|---|---|---|---|---|---|",
        ]
        for one in self.figures:
            title = f"{one.name} [{one.unit}]" if one.unit else one.name
            p_value = "" if np.isnan(one.p_value) else f"{one.p_value:.2g}"
            lines.append(
                f"| {title} | {one.reference:.5g} | {one.found:.5g} | {one.difference:+.3g} | "
                f"{one.sigmas:+.1f} | {p_value} |"
            )
        return "\n".join(lines)

    def data(self) -> list[dict[str, object]]:
        """Return all figures, for JSON."""
        return [
            {
                "name": one.name,
                "unit": one.unit,
                **{key: vars(getattr(one, key)) for key in ("reference", "found", "difference")},
                "sigmas": one.sigmas,
                "p_value": None if np.isnan(one.p_value) else one.p_value,
            }
            for one in self.figures
        ]


def compare(truth: Truth, reference: WholeEvents, found: WholeEvents) -> EventComparison:
    """Compare two simulations of the same events, of which the first is the reference."""
    both = (reference, found)
    figures, spectra = [], {}
    names = {name: None for side in both for name in side.energies}
    nothing = np.zeros(reference.count)
    of_events: dict[str, tuple[str, list[Floats]]] = {
        "energy": ("GeV", [np.sum(list(side.energies.values()), axis=0) for side in both]),
        **{
            f"energy in {name}": ("GeV", [side.energies.get(name, nothing) for side in both])
            for name in names
        },
        f"crystals above {1e3 * HIT_THRESHOLD:g} MeV": ("", [side.hits for side in both]),
    }
    photons = [side.clusters.energy >= PHOTON_THRESHOLD for side in both]
    extra = [
        chosen & is_extra(side.clusters, truth) for chosen, side in zip(photons, both, strict=True)
    ]
    least = f"{1e3 * PHOTON_THRESHOLD:g} MeV"
    of_events |= {
        f"clusters above {least}": ("", _counts(both, photons)),
        "energy of the highest cluster": ("GeV", [_highest(side) for side in both]),
        f"extra clusters above {least}": ("", _counts(both, extra)),
        "energy of extra clusters": ("GeV", _counts(both, extra, energy=True)),
    }
    for name, (unit, (expected, seen)) in of_events.items():
        spectra[f"{name} [{unit}]" if unit else name] = expected, seen
        p_value = spectrum_distance(expected, seen).p_value if np.ptp(expected) else float("nan")
        figures.append(
            Figure(name, unit, mean_of(expected), mean_of(seen), mean_of(seen - expected), p_value)
        )
    total = [np.sum(list(side.energies.values()), axis=0) for side in both]
    figures.insert(1, _unpaired("68 % half width of the energy", "GeV", [_width(e) for e in total]))
    peaks = _pions(truth, both)
    if peaks:
        masses = "pi0 mass [MeV]"
        spectra[masses] = peaks[0].masses * 1e3, peaks[1].masses * 1e3
        figures.append(_unpaired("pi0 mass", "MeV", [one.mean.scaled(1e3) for one in peaks]))
        figures.append(_unpaired("pi0 width", "MeV", [one.width.scaled(1e3) for one in peaks]))
    return EventComparison(tuple(figures), spectra)


def _unpaired(name: str, unit: str, both: Sequence[Value]) -> Figure:
    first, second = both
    error = float(np.hypot(first.error, second.error))
    return Figure(name, unit, first, second, Value(second.value - first.value, error))


def _width(values: Floats) -> Value:
    return Value(width68(values), width68_error(values))


def _counts(
    both: Sequence[WholeEvents], chosen: Sequence[Mask], energy: bool = False
) -> list[Floats]:
    """(E,) number of chosen clusters of each simulation, or their energy."""
    return [
        np.bincount(
            side.clusters.event[rows],
            side.clusters.energy[rows] if energy else None,
            minlength=side.count,
        ).astype(np.float64)
        for side, rows in zip(both, chosen, strict=True)
    ]


def _highest(side: WholeEvents) -> Floats:
    highest = np.zeros(side.count)
    np.maximum.at(highest, side.clusters.event, side.clusters.energy)
    return highest


def is_extra(clusters: EventClusters, truth: Truth) -> Mask:
    """(C,) whether clusters are farther than `FAR` from where any particle enters."""
    nearest = np.full(len(clusters.event), np.inf)
    cluster, particle = _pairs(clusters.event, truth.event)
    angle = _angle(clusters.direction[cluster], truth.direction[particle])
    np.minimum.at(nearest, cluster, angle)
    return nearest > FAR


def clusters_of_photons(clusters: EventClusters, truth: Truth, photons: Indices) -> Indices:
    """(N,) cluster that is nearest to each of some photons, -1 if it is not near."""
    photon, cluster = _pairs(truth.event[photons], clusters.event)
    angle = _angle(truth.direction[photons][photon], clusters.direction[cluster])
    order = np.lexsort((angle, photon))
    first = order[np.flatnonzero(np.diff(photon[order], prepend=-1))]
    nearest = np.full(len(photons), -1)
    near = angle[first] < NEAR
    nearest[photon[first[near]]] = cluster[first[near]]
    return nearest


def _pairs(first: Indices, second: Indices) -> tuple[Indices, Indices]:
    """All pairs of rows of the same event; the events of both are in ascending order."""
    begin = np.searchsorted(second, first)
    counts = np.searchsorted(second, first, side="right") - begin
    rows = np.repeat(np.arange(len(first)), counts)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, begin[rows] + place


def _angle(one: Floats, other: Floats) -> Floats:
    angle: Floats = 2 * np.arcsin(np.minimum(np.linalg.norm(one - other, axis=1) / 2, 1.0))
    return angle


def _pions(truth: Truth, both: Sequence[WholeEvents]) -> tuple[PionPeak, PionPeak] | None:
    """Peaks of pi0 of which both photons have a cluster of their own."""
    photons = np.flatnonzero((truth.pdg == 22) & (truth.parent >= 0))
    matched = [clusters_of_photons(side.clusters, truth, photons) for side in both]
    if (matched[0] >= 0).sum() < _MUST_BE_PHOTONS:
        return None
    factor = _calibration(truth.momentum[photons], both[0].clusters, matched[0])
    # Photons of one pi0 follow each other in a record.
    twins = np.flatnonzero(np.diff(truth.parent[photons]) == 0)
    peaks = []
    for side, cluster in zip(both, matched, strict=True):
        one, other = cluster[twins], cluster[twins + 1]
        seen = (one >= 0) & (other >= 0) & (one != other)
        one, other = one[seen], other[seen]
        if len(one) < _MUST_BE_PHOTONS:
            return None
        energy, way = side.clusters.energy, side.clusters.direction
        energy = energy * np.exp(np.interp(np.log(energy), *factor))
        cosine = (way[one] * way[other]).sum(1)
        square = 2 * energy[one] * energy[other] * (1 - cosine)
        peaks.append(peak_of(np.sqrt(np.maximum(square, 0.0))))
    return peaks[0], peaks[1]


def _calibration(
    momentum: Floats, clusters: EventClusters, matched: Indices
) -> tuple[Floats, Floats]:
    """Logarithms of clusters' energies, and of the median ratios of photons' to them."""
    rows = matched >= 0
    energy = np.log(clusters.energy[matched[rows]])
    ratio = np.log(momentum[rows]) - energy
    order = np.argsort(energy)
    bins = np.array_split(order, _CALIBRATION_BINS)
    return (
        np.array([np.median(energy[part]) for part in bins]),
        np.array([np.median(ratio[part]) for part in bins]),
    )


def draw(found: EventComparison, title: str) -> bytes:
    """Return a picture (PNG) of all spectra: full simulation as points, the other as a line."""
    with styled() as (plt, _):
        columns = 3
        rows = -(-len(found.spectra) // columns)
        figure, panels = plt.subplots(rows, columns, figsize=(11, 2.9 * rows), squeeze=False)
        for panel in panels.flat[len(found.spectra) :]:
            panel.set_visible(False)
        for panel, (name, (reference, other)) in zip(
            panels.flat, found.spectra.items(), strict=False
        ):
            edges = _edges(reference, other)
            middle = (edges[1:] + edges[:-1]) / 2
            expected, _ = np.histogram(reference, edges)
            seen, _ = np.histogram(other, edges)
            panel.stairs(seen, edges, color="tab:red", label="fast simulation")
            panel.errorbar(
                middle, expected, np.sqrt(expected), fmt="k.", markersize=4, label="Geant4"
            )
            panel.set_xlabel(name)
            panel.set_ylim(bottom=0)
        panels.flat[0].legend()
        panels.flat[0].set_title(title)
        return image(plt, figure, 100)


def _edges(reference: Floats, other: Floats) -> Floats:
    both = np.concatenate([reference, other])
    low, high = np.quantile(both, [0.002, 0.998])
    if np.equal(np.mod(both, 1), 0).all():
        step = max(1.0, np.ceil((high - low) / 40))
        return np.arange(low - 0.5, high + step + 0.5, step)
    return np.linspace(low, high + 1e-9, 41)

"""A photon that others simulated in ILD lies among those that we generate for its incidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import uproot

from k4calofast import detector
from k4calofast.engine import FastSimulation
from k4calofast.events.columns import EventKeys, Particles
from k4calofast.properties import CaloFastSimProperties

SHOWERS = 1000
MCPARTICLES = "events/MCParticles/MCParticles"
THRESHOLD = 0.25
"""MIPs, for both."""

NEAR = 90.0
"""mm around the photon's line: a dozen hits of theirs are up to metres away, in other modules."""


@dataclass
class Seen:
    """What is compared of N showers."""

    energy: np.ndarray
    hits: np.ndarray
    centre: np.ndarray
    depth: np.ndarray
    layers: np.ndarray


def seen(barrel, shower, cell_id, energy, count, start) -> Seen:
    """Energy, hits, centre of gravity (mm), mean layer, and energies of layers of showers."""
    cells = barrel.cell_of(cell_id)
    layer = barrel.place(cells)[1]
    total = np.bincount(shower, energy, count)
    place = barrel.centre(cells)
    near = (np.abs(place[:, 0]) < NEAR) & (np.abs(place[:, 2] - start) < NEAR)
    weight = np.where(near, energy, 0.0)
    centre = np.stack([np.bincount(shower, weight * x, count) for x in place.T], 1)
    centre /= np.bincount(shower, weight, count)[:, None]
    layers = np.bincount(shower * barrel.n_layers + layer, energy, count * barrel.n_layers)
    return Seen(
        total,
        np.bincount(shower, minlength=count),
        centre,
        np.bincount(shower, energy * layer, count) / total,
        layers.reshape(count, -1),
    )


def test_the_photon_of_others_is_one_of_ours(edm4hep_file):
    barrel = detector.load("ILD_ECAL_barrel")
    with uproot.open(edm4hep_file("ild_photon43GeV_single_event_example.edm4hep.root")) as file:
        parts = []
        for parity in ("Even", "Odd"):
            name = f"events/ECalBarrelSiHits{parity}/ECalBarrelSiHits{parity}"
            parts.append(
                [file[f"{name}.{one}"].array(library="np")[0] for one in ("cellID", "energy")]
            )
        particle = {
            name: np.array([file[f"{MCPARTICLES}.{name}.{axis}"].array()[0][0] for axis in "xyz"])
            for name in ("vertex", "momentum")
        }
    start = particle["vertex"][2]
    cell_id = np.concatenate([part[0] for part in parts])
    energy = np.concatenate([part[1] for part in parts]).astype(np.float64)
    kept = energy > THRESHOLD * barrel.mip
    theirs = seen(barrel, np.zeros(kept.sum(), int), cell_id[kept], energy[kept], 1, start)

    one = np.ones(SHOWERS)
    nowhere = np.zeros((SHOWERS, 3))
    shot = Particles(
        offsets=np.arange(SHOWERS + 1),
        pdg=np.full(SHOWERS, 22, np.int32),
        generator_status=np.ones(SHOWERS, np.int32),
        simulator_status=np.zeros(SHOWERS, np.int32),
        charge=0 * one,
        time=0 * one,
        mass=0 * one,
        vertex=nowhere + particle["vertex"],
        endpoint=nowhere,
        momentum=nowhere + particle["momentum"],
        momentum_at_endpoint=nowhere,
    )
    simulation = FastSimulation(
        CaloFastSimProperties(Model="ild_ecal_barrel/layered", HitThreshold=THRESHOLD)
    )
    keys = EventKeys(np.ones(SHOWERS, np.uint32), np.arange(SHOWERS, dtype=np.uint64))
    hits = simulation.simulate(keys, shot).hits
    shower = np.repeat(np.arange(SHOWERS), np.diff(hits.offsets))
    ours = seen(barrel, shower, hits.cell_id, hits.energy.astype(np.float64), SHOWERS, start)

    def place(values, value) -> float:
        """Share of our showers below theirs."""
        return float((values < value).mean())

    places = {
        "energy": place(ours.energy, theirs.energy[0]),
        "hits": place(ours.hits, theirs.hits[0]),
        "depth": place(ours.depth, theirs.depth[0]),
        "x": place(ours.centre[:, 0], theirs.centre[0, 0]),
        "z": place(ours.centre[:, 2], theirs.centre[0, 2]),
    }
    print(places)
    for name, found in places.items():
        assert 0.005 < found < 0.995, name
    # The profile: as far from our mean as our own showers are, layers weighed by their spread.
    mean, spread = ours.layers.mean(0), ours.layers.std(0) + 1e-4
    distance = (((ours.layers - mean) / spread) ** 2).mean(1)
    their_distance = (((theirs.layers[0] - mean) / spread) ** 2).mean()
    assert their_distance < np.quantile(distance, 0.995)
    assert pytest.approx(theirs.energy[0], rel=0.5) == ours.energy.mean()

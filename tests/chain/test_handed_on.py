"""A component takes what another has handed on: together they do what one does with all."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import yaml

from k4calofast.events.layout import read_parameters
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import sim_hits
from k4calofast.incidence import FATES

TESTS = Path(__file__).resolve().parents[1]
RECORDS = TESTS / "data" / "records.yaml"
TRACKER = TESTS.parent / "options" / "input" / "tracker_only.edm4hep.root"
COMPONENTS = ("Photons", "Others", "Once")


def run(folder: Path, *arguments: object) -> Path:
    command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded"]
    command += [str(TESTS / "data" / "handed_on.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "handed_on.root"


@pytest.fixture(scope="module", params=["records", "after a tracker"])
def particles(request, tmp_path_factory, write_records):
    """A file of many producers' records, and one of a simulation of the tracker."""
    if request.param == "after a tracker":
        return TRACKER
    file = tmp_path_factory.mktemp("records") / "particles.root"
    write_records(file, yaml.safe_load(RECORDS.read_text(encoding="utf-8")))
    return file


@pytest.fixture(scope="module")
def content(particles, tmp_path_factory):
    """All events, what is in the file, and the sums over events of numbers and energies by fate."""
    folder = tmp_path_factory.mktemp("handed_on")
    with closing(EventSource([run(folder, "--IOSvc.Input", particles)])) as source:
        (chunk,) = source.chunks(0, source.num_events, 10**6)
        counts = {name: np.zeros((2, len(FATES))) for name in COMPONENTS}
        for event in range(chunk.count):
            said = read_parameters(chunk.fields, event)
            for name, sums in counts.items():
                sums += (
                    said["Int"][f"{name}Hits__FateNumbers"],
                    said["Double"][f"{name}Hits__FateEnergies"],
                )
        return chunk, source.infos, counts


def listed(chunk, name: str) -> list[list[int]]:
    return ak.to_list(chunk.array(f"{name}NotHandled_objIdx")["index"])


def deposits(chunk, infos, name: str) -> list[tuple[float, ...]]:
    """Event, particle, cell, energy and time of all contributions, ordered."""
    hits, parts = sim_hits(chunk, f"{name}Hits", infos)
    cell = np.repeat(hits.cell_id, np.diff(hits.contributions))
    columns = (hits.event_of_contributions, parts.particle, cell, parts.energy, parts.time)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_two_give_the_deposits_of_one(content):
    chunk, infos, _ = content
    photons, others, once = (deposits(chunk, infos, name) for name in COMPONENTS)
    assert photons
    assert others
    assert sorted(photons + others) == once


def test_every_particle_has_one_fate_in_both_and_energies_add_up(content):
    _, _, counts = content
    stays = np.array([not fate.handed_on for fate in FATES])
    photons, others, once = (counts[name] for name in COMPONENTS)
    np.testing.assert_array_equal(photons[0] * stays + others[0], once[0])
    np.testing.assert_allclose(photons[1] * stays + others[1], once[1], rtol=1e-9, atol=1e-9)
    # The second has taken what the first has handed on, no more and no less.
    assert others[0].sum() == photons[0][~stays].sum()
    np.testing.assert_allclose(others[1].sum(), photons[1][~stays].sum(), rtol=1e-9)


def test_what_is_left_over_is_what_one_hands_on(content):
    chunk, _, _ = content
    assert listed(chunk, "Others") == listed(chunk, "Once")
    assert listed(chunk, "Photons") != listed(chunk, "Once")


def test_flags_of_both_are_in_the_copy_of_the_second(content):
    chunk, _, _ = content
    status = {name: chunk.array(f"{name}Particles")["simulatorStatus"] for name in COMPONENTS}
    assert ak.to_list(status["Others"]) == ak.to_list(status["Once"])
    assert ak.to_list(status["Photons"]) != ak.to_list(status["Once"])


def test_results_do_not_depend_on_how_many_events_are_in_memory(particles, content, tmp_path):
    """Events that hand nothing on, too: there, nothing but the metadata says what a list is of."""
    chunk, _, _ = content
    alone = run(tmp_path, "--IOSvc.Input", particles, "--events-per-chunk", 1)
    with closing(EventSource([alone])) as source:
        (other,) = source.chunks(0, source.num_events, 10**6)
    for field in chunk.fields:
        assert ak.to_list(chunk.array(field)) == ak.to_list(other.array(field)), field

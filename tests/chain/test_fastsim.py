"""Whole runs over real events."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from k4calofast.detector import besiii
from k4calofast.events.columns import Particles
from k4calofast.events.edm4hep import MC_PARTICLE
from k4calofast.events.frames import EVENTS, CollectionInfo
from k4calofast.events.layout import read_parameters
from k4calofast.events.reading import EventFile, EventSource
from k4calofast.events.typed import particles
from k4calofast.fullsim.crystals.emc import WholeEMC
from k4calofast.fullsim.events import simulate_events
from k4calofast.fullsim.physics_data import find_or_make

MC_PARTICLES = CollectionInfo.new("MCParticles", MC_PARTICLE)
K4RUN = Path(sys.executable).with_name("k4run")
OPTIONS = Path(__file__).resolve().parents[2] / "options"


def k4run(folder: Path, *arguments: object) -> None:
    command = [str(K4RUN), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def frames(file: Path):
    with closing(EventSource([file])) as events:
        (chunk,) = events.chunks(0, events.num_events, 10**6)
        return chunk


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Run the fast simulation over a file, once per set of options."""
    folder, made = tmp_path_factory.mktemp("fastsim"), {}

    def run(source: Path, *arguments: object) -> Path:
        key = (source, *arguments)
        if key not in made:
            made[key] = folder / f"{len(made)}.root"
            k4run(
                folder,
                OPTIONS / "fastsim.py",
                *("--IOSvc.Input", source, "--IOSvc.Output", made[key], *arguments),
            )
        return made[key]

    return run


FILES = ["jpsi_rhopi.edm4hep.root", "jpsi_rhopi.rntuple.edm4hep.root"]


REPEATED = 40
SET = ("accurate", "hadrons")
PARTS = ("EMCBarrelCollection", "EMCEndcapCollection")


def geant4_again(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Geant4's responses (photons, REPEATED) of the photons of a file, in the whole EMC."""
    these = particles(frames(file), MC_PARTICLES)
    photons = np.flatnonzero((these.pdg == 22) & (these.generator_status == 1))
    rows = np.tile(photons, REPEATED)
    alone = Particles(
        offsets=np.arange(len(rows) + 1),
        **{
            column.name: getattr(these, column.name)[rows]
            for column in fields(Particles)
            if column.name not in ("offsets", "parent", "child")
        },
    )
    simulated = simulate_events(alone, find_or_make(WholeEMC().elements, hadronic=True), 1)
    energy = np.zeros(len(rows))
    for hits, parts in simulated.regions.values():
        ends = hits.contributions[hits.offsets]
        sums = np.add.reduceat(np.append(parts.energy, 0), ends[:-1])
        energy += np.where(np.diff(ends) > 0, sums, 0.0)
    energy = energy.reshape(REPEATED, len(photons))
    momentum = np.linalg.norm(these.momentum[photons], axis=1)
    return photons, (energy / momentum).T


@pytest.mark.parametrize("name", FILES)
def test_photons_of_real_events_leave_the_energy_that_geant4_says(name, edm4hep_file, output):
    """The rank of each response among those of the same photon in Geant4 is uniform."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        photons, expected = pool.submit(geant4_again, edm4hep_file(name)).result()
    events = frames(output(edm4hep_file(name)))
    these = particles(events, MC_PARTICLES)
    parts = [
        (
            events.array(f"{name}Contributions").energy,
            events.array(f"_{name}Contributions_particle").index,
        )
        for name in PARTS
    ]
    ranks = []
    for photon, among in zip(photons, expected, strict=True):
        event = int(these.event_of(np.array([photon]))[0])
        number = photon - these.offsets[event]
        of_event = [(ak.to_numpy(energy[event]), index[event]) for energy, index in parts]
        mine = np.concatenate([e[ak.to_numpy(index) == number] for e, index in of_event])
        if len(mine):
            here = mine.sum(dtype=np.float64) / np.linalg.norm(these.momentum[photon])
            assert here < 1.001
            ranks.append((among < here).mean())
    assert len(ranks) >= 16
    mean, spread = np.mean(ranks), 1 / np.sqrt(12 * len(ranks))
    assert abs(mean - 0.5) < 3.5 * spread
    assert np.std(ranks) > 0.15


def test_tree_and_ntuple_give_the_same_hits(edm4hep_file, output):
    tree, ntuple = (frames(output(edm4hep_file(name))) for name in FILES)
    for field in tree.fields:
        if field.strip("_").startswith(PARTS) or "NotHandled" in field:
            assert ak.array_equal(tree.array(field), ntuple.array(field))


@pytest.mark.parametrize("name", [*FILES, "ee_Zee_91GeV.edm4hep.root", "ZH250_ISR.edm4hep.root"])
def test_all_that_was_in_the_input_is_in_the_output(name, edm4hep_file, output):
    source = edm4hep_file(name)
    before, after = frames(source), frames(output(source))
    for field in before.fields:
        if not field.startswith("GP"):
            assert ak.to_list(before.array(field)) == ak.to_list(after.array(field))
    for event in range(before.count):
        parameters = read_parameters(after.fields, event)
        for kind, values in read_parameters(before.fields, event).items():
            assert values.items() <= parameters[kind].items()


@pytest.mark.parametrize("name", PARTS)
def test_hits_keep_the_rules_of_their_readers(name, edm4hep_file, output):
    calorimeter = dict(zip(PARTS, (besiii.barrel(), besiii.endcaps()), strict=True))[name]
    events = frames(output(edm4hep_file(FILES[0])))
    hits = events.array(name)
    parts = events.array(f"{name}Contributions")
    link = events.array(f"_{name}_contributions")
    particle = events.array(f"_{name}Contributions_particle")
    assert ak.count(hits.energy) > 0
    info = {i.name: i for i in EventSource([output(edm4hep_file(FILES[0]))]).infos}
    for event in range(events.count):
        cells = ak.to_numpy(hits.cellID[event])
        assert len(np.unique(cells)) == len(cells)
        assert ak.all(hits.energy[event] > 0)
        begin = ak.to_numpy(hits.contributions_begin[event])
        end = ak.to_numpy(hits.contributions_end[event])
        assert (end > begin).all()
        assert np.append(begin, len(parts[event])).tolist() == [0, *end]
        assert len(parts[event]) == len(link[event])
        if not len(cells):
            continue
        energy = ak.to_numpy(parts.energy[event]).astype(np.float64)
        np.testing.assert_allclose(hits.energy[event], np.add.reduceat(energy, begin), rtol=1e-6)
        position = np.stack([ak.to_numpy(hits.position[event][axis]) for axis in "xyz"], axis=1)
        centre = calorimeter.centre(calorimeter.cell_of(cells))
        np.testing.assert_allclose(position, centre, atol=1e-3)
        distance = np.linalg.norm(np.repeat(position, end - begin, axis=0), axis=1)
        # Absolute, and not before light is there, up to the size of a crystal.
        assert (ak.to_numpy(parts.time[event]) > (distance - 300) / 299.792458).all()
        for relation, target in (
            (link, f"{name}Contributions"),
            (particle, "MCParticles"),
        ):
            assert ak.all(relation.collectionID[event] == info[target].collection_id)


def test_the_metadata_say_how_cells_are_numbered_and_what_made_the_hits(edm4hep_file, output):
    opened = EventFile(output(edm4hep_file(FILES[0])))
    category = opened.categories["metadata"]
    (metadata,) = opened.frames("metadata", 0, category.num_entries, 10, category.field_names)
    text = read_parameters(metadata.fields, 0)["String"]
    models = [f"besiii_emc_{part}/{one}" for part in ("barrel", "endcaps") for one in SET]
    for name, expected in zip(PARTS, (models, models[2:] + models[:2]), strict=True):
        assert text[f"{name}__CellIDEncoding"] == ["system:5,part:2,theta:6,phi:7"]
        assert text[f"{name}__ModelName"] == [",".join(expected)]
        assert [len(one) for one in text[f"{name}__ModelSHA256"][0].split(",")] == [64] * 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("--events-per-chunk", 1),
        ("--events-per-chunk", 7, "--CaloFastSim.BatchSize", 5),
        ("--CaloFastSim.Threads", 3),
    ],
)
def test_the_same_hits_whatever_the_chunks(arguments, edm4hep_file, output):
    source = edm4hep_file(FILES[0])
    one, other = frames(output(source)), frames(output(source, *arguments))
    for field in one.fields:
        assert ak.to_list(one.array(field)) == ak.to_list(other.array(field))


def test_podio_reads_the_output(edm4hep_file, output):
    reading = pytest.importorskip("podio.reading")
    file = output(edm4hep_file(FILES[0]))
    frame = reading.get_reader(str(file)).get("events")[0]
    hits = frame.get("EMCBarrelCollection")
    expected = uproot.open(file)["events"]["EMCBarrelCollection"].array()[0]
    assert [hit.getCellID() for hit in hits] == expected.cellID.to_list()
    for hit in hits:
        total = sum(part.getEnergy() for part in hit.getContributions())
        assert total == pytest.approx(hit.getEnergy(), rel=1e-5)
        assert all(part.getParticle().isAvailable() for part in hit.getContributions())
    assert all(particle.isAvailable() for particle in frame.get("MCParticlesNotHandled"))


def test_memory_does_not_grow_with_the_number_of_events(tmp_path):
    peaks = []
    for count in (2_000, 20_000):
        source = tmp_path / "particles.edm4hep.root"
        k4run(tmp_path, OPTIONS / "particle_gun.py", "-n", count)
        script = (
            "import resource, sys\n"
            "from k4calofast.steering.k4run import main\n"
            "try:\n    main()\nfinally:\n"
            "    print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        command = [sys.executable, "-c", script, str(OPTIONS / "fastsim.py")]
        command += ["--IOSvc.Input", str(source), "--IOSvc.Output", "out.root"]
        command += ["--CaloFastSim.Model", "besiii_emc_barrel/fast"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    # Measured: 1 MB per 1000 events is what uproot keeps of what it has written.
    assert peaks[1] - peaks[0] < 40


def test_an_event_without_header_is_named(tmp_path):
    k4run(tmp_path, OPTIONS / "particle_gun.py", "-n", 4)
    from k4calofast.events.writing import EventFileWriter

    source = EventSource([tmp_path / "particles.edm4hep.root"])
    (chunk,) = source.chunks(0, 4, 4)
    headers = chunk.array("EventHeader")
    kept = headers[ak.from_iter([[True], [True], [False], [True]])]
    broken = tmp_path / "broken.root"
    with EventFileWriter(broken, source.info) as writer:
        layout = ak.to_packed(kept).layout
        named = chunk.fields["EventHeader"]
        layout = layout.copy(content=layout.content.copy(parameters=named.content.parameters))
        writer.write(EVENTS, chunk.with_fields({"EventHeader": layout}), source.infos)
    done = subprocess.run(
        [str(K4RUN), str(OPTIONS / "fastsim.py"), "--IOSvc.Input", str(broken)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "event entry 2 has 0 EventHeaders" in done.stderr
    assert not (tmp_path / "fastsim.edm4hep.root").exists()

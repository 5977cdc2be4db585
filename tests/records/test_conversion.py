"""Generators' events become MCParticles with the units, charges and relations of EDM4hep."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import yaml

import k4calofast
from k4calofast.exceptions import (
    FileFormatError,
    InvalidEventError,
    K4CaloFastError,
    MissingExtraError,
    NotSimulatedWarning,
    OutputError,
)
from k4calofast.records import convert

pyhepmc = pytest.importorskip("pyhepmc")
pylhe = pytest.importorskip("pylhe")

RECORDS = yaml.safe_load((Path(__file__).parents[1] / "data" / "records.yaml").read_text())
FAST = "besiii_emc_barrel/fast"
INCOMING = 4
LIGHT = 299.792458
"""mm/ns."""


def pion_event(number: int, momentum=None, length=None):
    """A pi0 from 1 mm beside the origin, whose photons begin 2 ns later."""
    units = pyhepmc.Units
    event = pyhepmc.GenEvent(momentum or units.GEV, length or units.MM)
    gev = 1000.0 if momentum == units.MEV else 1.0
    mm = 0.1 if length == units.CM else 1.0

    def particle(px, pz, energy, pdg, status, mass):
        made = pyhepmc.GenParticle((px * gev, 0, pz * gev, energy * gev), pdg, status)
        made.generated_mass = mass * gev
        return made

    beams = [particle(0, sign * 5, 5, sign * -11, 4, 0.000511) for sign in (1, -1)]
    pion = particle(1.0, 0.3, np.sqrt(1.09 + 0.135**2), 111, 2, 0.135)
    muon = particle(-1.0, 0.2, np.sqrt(1.04 + 0.10566**2), 13, 1, 0.10566)
    photons = [particle(0.5, 0.15, np.hypot(0.5, 0.15), 22, 1, 0.0) for _ in range(2)]
    first = pyhepmc.GenVertex((1 * mm, 0, 0, 0))
    second = pyhepmc.GenVertex((3 * mm, 0, 0.6 * mm, 2 * LIGHT * mm))
    for beam in beams:
        first.add_particle_in(beam)
    first.add_particle_out(pion)
    first.add_particle_out(muon)
    second.add_particle_in(pion)
    for photon in photons:
        second.add_particle_out(photon)
    event.add_vertex(first)
    event.add_vertex(second)
    event.event_number = number
    return event


def write(file: Path, events, **chosen) -> Path:
    with pyhepmc.open(file, "w", **chosen) as opened:
        for event in events:
            opened.write(event)
    return file


@pytest.fixture
def converted(tmp_path):
    def make(source: Path, **chosen):
        output = tmp_path / "converted.edm4hep.root"
        convert(source, output, **chosen)
        return k4calofast.open(output)

    return make


@pytest.mark.parametrize("momentum", ["GEV", "MEV"])
@pytest.mark.parametrize("length", ["MM", "CM"])
@pytest.mark.parametrize(
    ("name", "kind"), [("a.hepmc3", None), ("a.hepmc.gz", None), ("a", "HepMC2")]
)
def test_units_charges_and_relations_of_hepmc(tmp_path, converted, momentum, length, name, kind):
    units = getattr(pyhepmc.Units, momentum), getattr(pyhepmc.Units, length)
    events = converted(write(tmp_path / name, [pion_event(7, *units)], format=kind))
    assert events.event.tolist() == [7]
    assert events.run.tolist() == [1]
    (particles,) = events.particles
    order = np.argsort(particles.pdg.to_numpy(), kind="stable")
    assert particles.pdg[order].tolist() == [-11, 11, 13, 22, 22, 111]
    assert particles.charge[order].tolist() == [1, -1, -1, 0, 0, 0]
    assert particles.mass[order].tolist() == pytest.approx([0.000511] * 2 + [0.10566, 0, 0, 0.135])
    assert particles.px[order].tolist() == pytest.approx([0, 0, -1, 0.5, 0.5, 1])
    assert particles.generator_status[order].tolist() == [4, 4, 1, 1, 1, 2]
    assert particles.vertex.x[order].tolist() == pytest.approx([0, 0, 1, 3, 3, 1])
    assert particles.endpoint.z[order].tolist() == pytest.approx([0, 0, 0, 0, 0, 0.6])
    assert particles.time[order].tolist() == pytest.approx([0, 0, 0, 2, 2, 0])
    (pion,) = np.flatnonzero(particles.pdg == 111)
    daughters = particles.daughters[pion].tolist()
    assert particles.pdg[daughters].tolist() == [22, 22]
    assert all(particles.parents[one].tolist() == [pion] for one in daughters)
    assert {*particles.pdg[particles.parents[pion].tolist()]} == {11, -11}


def test_a_real_file_of_pythia_is_what_podio_wrote_of_the_same_events(edm4hep_file, converted):
    events = converted(edm4hep_file("ee_Zee_91GeV.hepmc3"), run=101)
    expected = k4calofast.open(edm4hep_file("ee_Zee_91GeV.edm4hep.root"))
    assert ak.to_list(events) == ak.to_list(expected)


def test_weights_are_kept_and_the_first_is_the_events(tmp_path, converted):
    run = pyhepmc.GenRunInfo()
    run.weight_names = ["nominal", "scale_up"]
    events = [pion_event(number) for number in range(2)]
    for event in events:
        event.run_info = run
        event.weights = [2.5, 3.5]
    found = converted(write(tmp_path / "weights.hepmc3", events))
    assert found.weights.tolist() == [[2.5, 3.5]] * 2
    assert found.weight.tolist() == [2.5, 2.5]
    assert converted(write(tmp_path / "none.hepmc3", [pion_event(0)])).weight.tolist() == [1.0]


def test_vertices_and_events_without_particles_do_not_end_the_file(tmp_path, converted):
    file = write(tmp_path / "events.hepmc3", [pion_event(number) for number in range(3)])
    lines = file.read_text().splitlines(keepends=True)
    second, third = [at for at, line in enumerate(lines) if line.startswith("E ")][1:]
    empty = ["E 70 0 0\n", "U GEV MM\n"]
    lines[third:third] = empty
    lines[second:second] = empty
    file.write_text("".join(lines))
    events = converted(file)
    assert events.event.tolist() == [0, 70, 1, 70, 2]
    assert ak.num(events.particles).tolist() == [6, 0, 6, 0, 6]
    # At the end, where the reader cannot tell such an event from none.
    lines[-2:-2] = empty
    file.write_text("".join(lines))
    assert converted(file).event.tolist() == [0, 70, 1, 70, 2, 70]


def test_events_are_counted_from_where_one_wants(tmp_path, converted):
    file = write(tmp_path / "events.hepmc3", [pion_event(5) for _ in range(3)])
    assert converted(file).event.tolist() == [5, 5, 5]
    assert converted(file, first=100, run=7).event.tolist() == [100, 101, 102]
    assert converted(file, first=100, run=7).run.tolist() == [7, 7, 7]


def test_many_events_come_in_chunks_and_progress_reaches_the_end(tmp_path, monkeypatch):
    from k4calofast.records import conversion

    monkeypatch.setattr(conversion, "_AT_ONCE", 4)
    said: list[tuple[int, int]] = []
    file = write(tmp_path / "events.hepmc3", [pion_event(number) for number in range(10)])
    output = tmp_path / "out.root"
    assert convert(file, output, progress=lambda *far: said.append(far)) == 10
    assert k4calofast.open(output).event.tolist() == list(range(10))
    assert [done for done, _ in said] == list(range(1, 11))
    assert said[-1][1] == 100


def hepmc_of(record) -> pyhepmc.GenEvent:
    """A record of tests/data/records.yaml as a generator writes it: ends are vertices."""
    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    made = []
    for pdg, status, _, _, momentum, *_ in record["particles"]:
        mass = k4calofast.incidence.kinds.nominal(np.array([pdg]))[1][0]
        energy = np.sqrt(np.sum(np.square(momentum)) + mass**2)
        made.append(pyhepmc.GenParticle((*momentum, energy), pdg, status))
        made[-1].generated_mass = mass
    family = record.get("family", [])
    for mother in dict.fromkeys(mother for mother, _ in family):
        daughters = [child for one, child in family if one == mother]
        vertex = pyhepmc.GenVertex((*record["particles"][daughters[0]][3], 0))
        vertex.add_particle_in(made[mother])
        for child in daughters:
            vertex.add_particle_out(made[child])
        event.add_vertex(vertex)
    for number, (_, _, _, place, *_) in enumerate(record["particles"]):
        if number in {child for _, child in family}:
            continue
        event.add_particle(made[number])
        if any(place):
            # In the format, a vertex has something that comes in.
            vertex = pyhepmc.GenVertex((*place, 0))
            vertex.add_particle_in(pyhepmc.GenParticle((0, 0, 0, 0), 90, INCOMING))
            vertex.add_particle_out(made[number])
            event.add_vertex(vertex)
    return event


GENERATED = [
    record
    for record in RECORDS
    if all(not bits and not any(end) for _, _, bits, _, _, _, end, _ in record["particles"])
]


@pytest.mark.filterwarnings("ignore::k4calofast.exceptions.NotSimulatedWarning")
def test_particles_have_the_fates_of_the_table_when_they_come_as_hepmc(tmp_path):
    assert len(GENERATED) > 12
    events = [hepmc_of(record) for record in GENERATED]
    for number, event in enumerate(events):
        event.event_number = number
    output = tmp_path / "records.edm4hep.root"
    convert(write(tmp_path / "records.hepmc3", events), output)
    found = k4calofast.simulate(output, model="besiii_emc/fast", AlternativeStableStatuses=[5])
    for record, particles in zip(GENERATED, found.particles, strict=True):
        particles = particles[(particles.p > 0) | (particles.generator_status != INCOMING)]
        # HepMC has its own order of particles.
        expected = sorted((one[0], one[1], *one[4], one[7]) for one in record["particles"])
        of = zip(
            particles.pdg.tolist(),
            particles.generator_status.tolist(),
            *(particles[axis].tolist() for axis in ("px", "py", "pz")),
            particles.fate.tolist(),
            strict=True,
        )
        assert sorted(of) == expected, record["situation"]


def test_files_events_and_their_conversion_are_simulated_alike(tmp_path):
    events = [pion_event(number) for number in range(3)]
    file = write(tmp_path / "events.hepmc3", events)
    convert(file, tmp_path / "events.edm4hep.root")
    given = [file, str(file), events, tmp_path / "events.edm4hep.root"]
    with pytest.warns(NotSimulatedWarning, match="3 of 18 particles"):
        first, *others = [k4calofast.simulate(one, model=FAST) for one in given]
    assert ak.sum(first.particles.fate == "SHOWERED") == 6
    for found in others:
        assert ak.to_list(found) == ak.to_list(first)
    with pytest.warns(NotSimulatedWarning):
        alone = k4calofast.simulate(events[1], model=FAST)
    assert alone.hits.energy.tolist() == first[1:2].hits.energy.tolist()
    assert events[0].momentum_unit == pyhepmc.Units.GEV


LHE = """<LesHouchesEvents version="3.0">
<header>
<initrwgt><weight id="up">scale up</weight></initrwgt>
</header>
<init>
 11 -11 5.0e+00 5.0e+00 0 0 0 0 3 1
 1.0e+00 1.0e-02 1.0e+00 1
</init>
<event>
 6 1 0.5 10.0 0.0078 0.12
 11 -1 0 0 0 0 0. 0. 5. 5. 0. 0. 1.
 -11 -1 0 0 0 0 0. 0. -5. 5. 0. 0. -1.
 310 2 1 2 0 0 3. 0. 4. 5.0248 0.4976 10. 9.
 22 1 3 3 0 0 1.5 0.03 2. 2.5002 0. 0. 9.
 22 1 3 0 0 0 1.5 -0.03 2. 2.5002 0. 0. 9.
 13 1 1 2 0 0 -3. 0. -4. 5.0011 0.10566 0. -1.
<rwgt><wgt id='up'>0.75</wgt></rwgt>
</event>
<event>
 1 1 0.5 10.0 0.0078 0.12
 22 1 0 0 0 0 1.0 0. 0.2 1.0198 0. 0. 9.
</event>
</LesHouchesEvents>
"""


@pytest.mark.parametrize("name", ["events.lhe", "events.lhe.gz"])
def test_les_houches_events(tmp_path, converted, name):
    file = tmp_path / name
    file.write_bytes(gzip.compress(LHE.encode()) if name.endswith("gz") else LHE.encode())
    events = converted(file, run=3)
    assert events.event.tolist() == [0, 1]
    assert events.run.tolist() == [3, 3]
    assert events.weights.tolist() == [[0.5, 0.75], [0.5]]
    particles = events.particles[0]
    assert particles.pdg.tolist() == [11, -11, 310, 22, 22, 13]
    assert particles.generator_status.tolist() == [-1, -1, 2, 1, 1, 1]
    assert particles.charge.tolist() == [-1, 1, 0, 0, 0, -1]
    assert particles.helicity.tolist() == [1, -1, 9, 9, 9, -1]
    assert particles.parents.tolist() == [[], [], [0, 1], [2], [2], [0, 1]]
    assert particles.daughters.tolist() == [[2, 5], [2, 5], [3, 4], [], [], []]
    # A lifetime c tau of 10 mm is a way of c tau p/m.
    way = 10 * np.array([3, 0, 4]) / 0.4976
    for axis, expected in zip("xyz", way, strict=True):
        assert particles.endpoint[axis].tolist() == pytest.approx([0, 0, expected, 0, 0, 0])
        assert particles.vertex[axis].tolist() == pytest.approx([0, 0, 0, expected, expected, 0])
    assert particles.time.tolist() == pytest.approx(
        [0] * 3 + [10 * 5.0248 / 0.4976 / LIGHT] * 2 + [0]
    )


@pytest.mark.filterwarnings("ignore::k4calofast.exceptions.NotSimulatedWarning")
def test_les_houches_events_have_their_fates(tmp_path):
    file = tmp_path / "events.lhe"
    file.write_text(LHE)
    fates = k4calofast.simulate(file, model=FAST).particles.fate.tolist()
    assert fates[0][:3] == ["NOT_FINAL"] * 3
    assert fates[0][5] == "OTHER_KIND"
    assert fates[1] == ["SHOWERED"]


def broken():
    """Files that end early, or are something else, and what is said of them."""
    whole = LHE.encode()
    yield "cut.lhe", whole[: len(whole) // 2], "cut off or damaged after 0 events"
    yield "cut_later.lhe", whole[:-30], "cut off or damaged after 1 events"
    yield "cut.lhe.gz", gzip.compress(whole)[:-50], "damaged"
    yield "few.lhe", whole.replace(b" 6 1 0.5", b" 7 1 0.5"), "6 particles, and 7 are announced"
    yield "mother.lhe", whole.replace(b"22 1 3 3", b"22 1 30 30"), "a mother that is not there"
    yield "text.lhe", whole.replace(b" 1.0198 ", b" abc "), "cut off or damaged after 1 events"
    yield "empty.lhe", b"", "neither HepMC3, HepMC2 nor LHE"
    yield "hello.hepmc", b"hello\n" * 100, "neither HepMC3, HepMC2 nor LHE"
    yield "file.root", b"root" + bytes(100), "k4run reads EDM4hep files as they are"


@pytest.mark.parametrize(("name", "content", "said"), list(broken()))
def test_what_is_broken_is_one_sentence_and_no_output(tmp_path, name, content, said):
    file, output = tmp_path / name, tmp_path / "out" / "out.root"
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match=said) as error:
        convert(file, output)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)
    assert not output.exists()
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_hepmc_file_that_was_cut_off_is_no_output(tmp_path, capfd, part, packed):
    text = write(tmp_path / "all.hepmc3", [pion_event(number) for number in range(20)]).read_bytes()
    text = gzip.compress(text) if packed else text
    file, output = tmp_path / "cut.hepmc3", tmp_path / "out" / "out.root"
    file.write_bytes(text[: int(part * len(text))])
    with pytest.raises(FileFormatError, match=r"damaged|cut off"):
        convert(file, output)
    # The reader in C++ has nothing to say of its own.
    assert capfd.readouterr() == ("", "")
    assert not output.exists()
    assert not list(tmp_path.glob("out/*"))


def test_the_end_of_a_hepmc_file_must_be_there(tmp_path):
    file = write(tmp_path / "all.hepmc3", [pion_event(0)])
    file.write_text(file.read_text().replace("HepMC::Asciiv3-END_EVENT_LISTING\n", ""))
    with pytest.raises(FileFormatError, match="cut off after 0 events"):
        convert(file, tmp_path / "out.root")


def test_a_number_that_no_event_can_have_is_refused(tmp_path):
    file = write(tmp_path / "events.hepmc3", [pion_event(-1)])
    with pytest.raises(InvalidEventError, match="-1 is no number of an event"):
        convert(file, tmp_path / "out.root")
    assert convert(file, tmp_path / "out.root", first=0) == 1


def test_an_input_is_no_output(tmp_path):
    file = write(tmp_path / "events.hepmc3", [pion_event(0)])
    with pytest.raises(OutputError, match="also an input"):
        convert(file, file)


def test_k4run_names_the_command_that_helps(tmp_path):
    file = write(tmp_path / "events.hepmc.gz", [pion_event(0)])
    with pytest.raises(FileFormatError, match="HepMC3, not EDM4hep; 'k4calofast particles"):
        k4calofast.open(file)


@pytest.mark.parametrize("package", ["pyhepmc", "pylhe"])
def test_without_the_packages_the_extra_is_named(tmp_path, monkeypatch, package):
    from k4calofast import exceptions

    file = tmp_path / "events"
    if package == "pyhepmc":
        write(file, [pion_event(0)])
    else:
        file.write_text(LHE)
    monkeypatch.setattr(exceptions, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(MissingExtraError, match=r"pip install 'k4calofast\[inputs\]'"):
        convert(file, tmp_path / "out.root")
    assert issubclass(MissingExtraError, K4CaloFastError)


def test_the_command(tmp_path, monkeypatch, capsys):
    from k4calofast.cli import main

    file = write(tmp_path / "events.hepmc3", [pion_event(number) for number in range(2)])
    output = tmp_path / "out.root"
    monkeypatch.setattr(
        sys, "argv", ["k4calofast", "particles", str(file), str(output), "--run", "4"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{output}: 2 events\n"
    assert k4calofast.open(output).run.tolist() == [4, 4]
    monkeypatch.setattr(sys, "argv", ["k4calofast", "particles", __file__, str(output)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "neither HepMC3, HepMC2 nor LHE" in capsys.readouterr().err

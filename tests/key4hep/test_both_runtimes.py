"""The same options file in Key4hep's k4run and in the embedded one: the same hits, bit by bit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import yaml

from k4calofast.events.copying import copied
from k4calofast.events.frames import EVENTS, METADATA
from k4calofast.events.layout import subset
from k4calofast.events.reading import EventSource
from k4calofast.events.writing import EventFileWriter

DATA = Path(__file__).resolve().parents[1] / "data"
RECORDS = DATA / "records.yaml"
BESIDE = ["--CaloParticleGun.ThetaMin", "10", "--CaloParticleGun.ThetaMax", "25"]
BESIDE += ["--CaloParticleGun.ParticlesPerEvent", "1"]

OVERLAY = """
from Configurables import CaloFastSim, CaloHitMerger, CaloParticleGun, EventDataSvc
from k4FWCore import ApplicationMgr, IOSvc

io = IOSvc("IOSvc", Output="overlay.root")
algorithms = []
for kind, particles, header, hits, seed in (
    ("Signal", "MCParticles", "EventHeader", "EMCBarrelCollectionFast", 1),
    ("Background", "BackgroundParticles", "BackgroundHeader", "EMCBarrelCollectionFull", 2),
):
    gun = CaloParticleGun(f"{kind}Gun", OutputMCParticles=[particles], OutputEventHeader=[header])
    gun.Seed = seed
    gun.ParticlesPerEvent = 3
    fastsim = CaloFastSim(
        f"{kind}FastSim",
        Model="besiii_emc_barrel/fast",
        InputMCParticles=[particles],
        InputEventHeader=[header],
        OutputHits=[hits],
        OutputContributions=[f"{hits}Contributions"],
        OutputNotHandled=[f"{particles}NotHandled"],
        OutputMCParticles=[f"{particles}Flagged"],
    )
    algorithms += [gun, fastsim]
merger = CaloHitMerger("CaloHitMerger", InputMCParticles=["MCParticlesFlagged"])
ApplicationMgr(
    TopAlg=[*algorithms, merger],
    EvtSel="NONE",
    EvtMax=20,
    ExtSvc=[EventDataSvc("EventDataSvc")],
)
"""


def succeeded(job):
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr[-3000:]
    return job


@pytest.fixture(scope="module")
def gun_events(embedded, options, tmp_path_factory):
    """1000 events of the embedded particle gun, three particles each, and their hits."""
    folder = tmp_path_factory.mktemp("gun")
    succeeded(embedded(folder, options / "particle_gun.py", "-n", "1000"))
    given = ["--IOSvc.Input", "particles.edm4hep.root", "--IOSvc.Output", "hits.root"]
    succeeded(embedded(folder, options / "fastsim.py", *given))
    return folder


@pytest.mark.parametrize("output_type", ["default", "rntuple"])
@pytest.mark.parametrize("name", ["jpsi_rhopi.edm4hep.root", "jpsi_rhopi.rntuple.edm4hep.root"])
def test_jpsi_events_get_the_same_hits(
    key4hep, embedded, options, assert_same, metadata_of, edm4hep_file, tmp_path, name, output_type
):
    given = [options / "fastsim.py", "--IOSvc.Input", edm4hep_file(name), "--IOSvc.Output"]
    succeeded(key4hep(tmp_path, *given, "theirs.root", "--IOSvc.OutputType", output_type))
    succeeded(embedded(tmp_path, *given, "ours.root"))
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == 10
    written, expected = metadata_of(tmp_path / "theirs.root"), metadata_of(tmp_path / "ours.root")
    for key in expected:
        if key.startswith(("EMCBarrelCollection", "CaloFastSim")):
            assert written[key] == expected[key]


def test_a_second_pass_names_its_model_beside_the_first(
    key4hep, embedded, options, metadata_of, gun_events, tmp_path
):
    second = ["--CaloFastSim.Model", "besiii_emc_barrel/fast", "--CaloFastSim.OutputHits", "Second"]
    second += ["--CaloFastSim.OutputContributions", "SecondContributions"]
    second += ["--CaloFastSim.OutputNotHandled", "SecondNotHandled"]
    given = [options / "fastsim.py", "--IOSvc.Input", gun_events / "hits.root", *second]
    for run, output in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        succeeded(run(tmp_path, *given, "--IOSvc.Output", output))
        said = metadata_of(tmp_path / output)
        models = said["EMCBarrelCollection__ModelName"].split(",")
        assert models[:2] == ["besiii_emc_barrel/accurate", "besiii_emc_barrel/hadrons"]
        assert said["Second__ModelName"] == "besiii_emc_barrel/fast"
        assert said["Second__CellIDEncoding"] == said["EMCBarrelCollection__CellIDEncoding"]


def test_hits_whose_cells_are_counted_otherwise_than_the_metadata_says_are_refused(
    key4hep, embedded, options, tmp_path
):
    other = {"EMCBarrelCollection__CellIDEncoding": "system:8,layer:8"}
    (tmp_path / "said.py").write_text(
        f"from k4FWCore import putMetadata\nputMetadata({other})\n", encoding="utf-8"
    )
    gun = [options / "particle_gun.py", tmp_path / "said.py", "-n", "5"]
    succeeded(embedded(tmp_path, *gun, "--IOSvc.Output", "said.root"))
    given = [options / "fastsim.py", "--IOSvc.Input", "said.root", "--IOSvc.Output"]
    for run in (key4hep, embedded):
        job = run(tmp_path, *given, "hits.root")
        assert job.returncode != 0
        assert "OutputHits 'EMCBarrelCollection': the input's metadata" in job.stdout + job.stderr
        others = ["--CaloFastSim.OutputHits", "Other", "OtherEndcap"]
        succeeded(run(tmp_path, *given, "other.root", *others))
        (tmp_path / "other.root").unlink()


@pytest.mark.parametrize("output_type", ["default", "rntuple"])
def test_gun_events_get_the_same_hits(
    key4hep, embedded, options, assert_same, gun_events, tmp_path, output_type
):
    """From the embedded runtime's RNTuple, and from a TTree or an RNTuple by podio."""
    kind = ["--IOSvc.OutputType", output_type]
    succeeded(key4hep(tmp_path, options / "particle_gun.py", "-n", "1000", *kind))
    given = [options / "fastsim.py", "--IOSvc.Output"]
    by_podio = ["--IOSvc.Input", "particles.edm4hep.root"]
    by_us = ["--IOSvc.Input", gun_events / "particles.edm4hep.root"]
    succeeded(key4hep(tmp_path, *given, "1.root", *by_podio, *kind))
    succeeded(key4hep(tmp_path, *given, "2.root", *by_us, *kind))
    succeeded(embedded(tmp_path, *given, "3.root", *by_podio))
    for name in ("1.root", "2.root", "3.root"):
        assert assert_same(tmp_path / name, gun_events / "hits.root") == 1000


@pytest.mark.parametrize(
    "how",
    [
        ["--threads", "4", "--slots", "8"],
        ["--threads", "2", "--slots", "2"],
        ["--threads", "4", "--slots", "8", "--CaloFastSim.CollectEvents", "1"],
        ["--threads", "4", "--slots", "8", "--CaloFastSim.CollectTime", "50"],
    ],
    ids=" ".join,
)
def test_hits_do_not_depend_on_threads_and_slots(
    key4hep, options, assert_same, gun_events, tmp_path, how
):
    given = ["--IOSvc.Input", gun_events / "particles.edm4hep.root", "--IOSvc.Output", "hits.root"]
    succeeded(key4hep(tmp_path, options / "fastsim_mt.py", *given, *how))
    assert assert_same(tmp_path / "hits.root", gun_events / "hits.root") == 1000


def test_the_gun_shoots_the_same_particles(key4hep, embedded, options, assert_same, tmp_path):
    for run, folder in ((key4hep, tmp_path / "theirs"), (embedded, tmp_path / "ours")):
        folder.mkdir()
        succeeded(run(folder, options / "particle_gun.py", "-n", "20"))
        given = ["--IOSvc.Input", "particles.edm4hep.root", "--IOSvc.Output", "hits.root"]
        succeeded(embedded(folder, options / "fastsim.py", *given))
    assert assert_same(*(tmp_path / side / "hits.root" for side in ("theirs", "ours"))) == 20


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("fastsim", 100),
        ("fastsim_mt", 100),
        ("fastsim_after_tracker", 40),
        ("mixed_with_fullsim", 40),
        ("digitise", 40),
    ],
)
def test_every_options_file_gives_the_same(
    key4hep, embedded, options, assert_same, metadata_of, tmp_path, name, events
):
    for run, output in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        succeeded(run(tmp_path, options / f"{name}.py", "--IOSvc.Output", output))
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == events
    written, expected = metadata_of(tmp_path / "theirs.root"), metadata_of(tmp_path / "ours.root")
    assert {key: written[key] for key in expected} == expected


def test_flagged_particles_keep_their_relations(
    key4hep, embedded, options, assert_same, edm4hep_file, tmp_path
):
    given = [options / "fastsim.py", "--IOSvc.Input", edm4hep_file("jpsi_rhopi.edm4hep.root")]
    given += ["--CaloFastSim.OutputMCParticles", "MCParticlesFlagged", "--IOSvc.Output"]
    for run, name in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        succeeded(run(tmp_path, *given, name))
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == 10


def test_unique_id_gen_svc_seeds_both(key4hep, embedded, options, assert_same, tmp_path):
    seeds = tmp_path / "seeds.py"
    seeds.write_text(
        "from Configurables import UniqueIDGenSvc\n"
        "from k4FWCore import ApplicationMgr\n"
        "service = UniqueIDGenSvc('UniqueIDGenSvc', Seed=987654321)\n"
        "ApplicationMgr().ExtSvc += [service]\n"
    )
    for run, name in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        succeeded(run(tmp_path, options / "fastsim.py", seeds, "--IOSvc.Output", name))
    succeeded(embedded(tmp_path, options / "fastsim.py", "--IOSvc.Output", "unseeded.root"))
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == 100
    with pytest.raises(AssertionError, match=r"EMCBarrelCollection\.energy"):
        assert_same(tmp_path / "theirs.root", tmp_path / "unseeded.root")


def test_events_without_hits_pass_through_all_components(
    key4hep, embedded, options, assert_same, tmp_path
):
    """Particles mostly through the holes of the endcaps, one event after the other."""
    succeeded(embedded(tmp_path, options / "particle_gun.py", "-n", "40", *BESIDE))
    more = tmp_path / "and_digitise.py"
    more.write_text(
        "from Configurables import CaloDigitiser\n"
        "from k4FWCore import ApplicationMgr\n"
        "ApplicationMgr().TopAlg += [CaloDigitiser('CaloDigitiser')]\n"
    )
    given = [options / "fastsim.py", more, "--IOSvc.Input", "particles.edm4hep.root"]
    succeeded(key4hep(tmp_path, *given, "--IOSvc.Output", "theirs.root"))
    for output, size in (("ours.root", "100"), ("alone.root", "1")):
        chunks = ["--IOSvc.Output", output, "--events-per-chunk", size]
        succeeded(embedded(tmp_path, *given, *chunks))
        assert assert_same(tmp_path / "theirs.root", tmp_path / output) == 40


def test_one_digitiser_takes_barrel_and_endcaps(key4hep, embedded, options, assert_same, tmp_path):
    more = DATA / "digits_of_both.py"
    for run, name in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        succeeded(run(tmp_path, options / "fastsim.py", more, "-n", "20", "--IOSvc.Output", name))
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == 20


def test_contributions_of_overlaid_particles_keep_their_collection(
    key4hep, embedded, assert_same, tmp_path
):
    """Particles of two collections that have no ID before they are written."""
    steering = tmp_path / "overlay.py"
    steering.write_text(OVERLAY)
    for run, output in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        job = succeeded(run(tmp_path, steering, "--IOSvc.Output", output))
        assert "0 of it left out as simulated twice (0 contributions)" in job.stdout
        assert "of particles of other collections than 'MCParticlesFlagged' are kept" in job.stdout
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == 20


def test_particles_have_the_same_fates_whatever_producer_wrote_them(
    key4hep, embedded, options, assert_same, tmp_path, write_records
):
    records = yaml.safe_load(RECORDS.read_text(encoding="utf-8"))
    write_records(tmp_path / "records.root", records)
    # On its command line, Key4hep's k4run takes the elements of a list that was empty for strings.
    stable = tmp_path / "stable.py"
    stable.write_text(
        "from Configurables import CaloFastSim\n"
        "CaloFastSim('CaloFastSim').AlternativeStableStatuses = [5]\n"
    )
    given = [options / "fastsim.py", stable, "--IOSvc.Input", "records.root"]
    jobs = []
    for run, output in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        jobs.append(succeeded(run(tmp_path, *given, "--IOSvc.Output", output)))
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == len(records)
    # The same words: all lines of the summary.
    theirs, ours = (
        [line.split("CaloFastSim", 1)[1].split(None, 1)[1] for line in job.stdout.splitlines()
         if line.startswith("CaloFastSim") and " GeV  " in line]
        for job in jobs
    )  # fmt: skip
    assert [line.strip() for line in theirs] == [line.strip() for line in ours]


@pytest.mark.parametrize("policy", ["warn", "position", "fail"])
def test_numbers_that_repeat_are_treated_alike(
    key4hep, embedded, options, assert_same, tmp_path, write_records, policy
):
    (photon,) = yaml.safe_load(RECORDS.read_text(encoding="utf-8"))[:1]
    write_records(tmp_path / "same.root", [photon] * 3, numbers=[7, 8, 7])
    given = [options / "fastsim.py", "--IOSvc.Input", "same.root"]
    given += ["--CaloFastSim.RepeatedKeys", policy]
    for run, output in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        job = run(tmp_path, *given, "--IOSvc.Output", output)
        assert (job.returncode == 0) == (policy != "fail")
        said = "events 0 and 2 of the job are both run 1, event 7" in job.stdout + job.stderr
        assert said == (policy != "position")
    if policy != "fail":
        assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == 3


def test_a_job_that_loses_too_much_fails(key4hep, embedded, options, tmp_path, write_records):
    records = yaml.safe_load(RECORDS.read_text(encoding="utf-8"))
    write_records(tmp_path / "records.root", records)
    given = [options / "fastsim.py", "--IOSvc.Input", "records.root", "--IOSvc.Output", "o.root"]
    for run in (key4hep, embedded):
        job = run(tmp_path, *given, "--CaloFastSim.MaxUnexplained", "0.001")
        assert job.returncode != 0
        assert "the record does not say where" in job.stdout + job.stderr
        assert not (tmp_path / "o.root").exists()


@pytest.mark.parametrize(
    "name",
    ["c02_overlay_flag", "c05_outside", "c06_status_offset", "c07_stable_with_daughters",
     "c11_nan_endpoint", "c12_exotic", "c16_empty_events", "c22_charge_unset",
     "c31_converted_no_daughters"],
)  # fmt: skip
def test_small_records_of_producers_get_the_same(
    key4hep, embedded, options, assert_same, edm4hep_records, tmp_path, name
):
    given = [options / "fastsim.py"]
    given += ["--IOSvc.Input", edm4hep_records(f"{name}.edm4hep.root")]
    for run, output in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        succeeded(run(tmp_path, *given, "--IOSvc.Output", output))
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root", hits=False) > 0


def test_what_one_component_hands_on_another_takes(
    key4hep, embedded, options, assert_same, tmp_path
):
    given = [DATA / "handed_on.py", "--IOSvc.Input", options / "input/tracker_only.edm4hep.root"]
    succeeded(embedded(tmp_path, *given, "--IOSvc.Output", "ours.root"))
    for output, how in (("theirs.root", []), ("threads.root", ["--threads", "4"])):
        succeeded(key4hep(tmp_path, *given, "--IOSvc.Output", output, *how))
        assert assert_same(tmp_path / output, tmp_path / "ours.root") == 40


def test_a_subset_can_be_read_from_a_file(
    key4hep, embedded, options, assert_same, metadata_of, tmp_path
):
    """By another job: what it is of, objects say, or the metadata where nobody is listed."""
    pdg = tmp_path / "pdg.py"
    pdg.write_text("from Configurables import CaloFastSim\nCaloFastSim('CaloFastSim').PDG = [22]\n")
    second = tmp_path / "second.py"
    second.write_text(
        "from Configurables import CaloFastSim\n"
        "fastsim = CaloFastSim('CaloFastSim', InputMCParticles=['MCParticlesNotHandled'])\n"
        "fastsim.OutputHits = ['Hits', 'EndcapHits']\n"
        "fastsim.OutputContributions = ['Contributions', 'EndcapContributions']\n"
        "fastsim.OutputNotHandled, fastsim.OutputMCParticles = ['NotHandled'], ['Particles']\n"
    )
    given = [options / "fastsim_after_tracker.py"]
    for run, name in ((key4hep, "theirs"), (embedded, "ours")):
        succeeded(run(tmp_path, *given, pdg, "--IOSvc.Output", f"{name}1.root"))
        more = ["--IOSvc.Input", f"{name}1.root", "--IOSvc.Output", f"{name}2.root"]
        succeeded(run(tmp_path, *given, second, *more))
        said = metadata_of(tmp_path / f"{name}2.root")
        assert said["MCParticlesNotHandled__SubsetOf"] == "MCParticlesAfterFastSim"
        assert said["NotHandled__SubsetOf"] == "Particles"
    assert assert_same(tmp_path / "theirs2.root", tmp_path / "ours2.root") == 40


def write_list_of_two(file: Path, output: Path) -> None:
    """Add a copy of the particles, and a subset that lists one of each."""
    with closing(EventSource([file])) as source:
        count = source.num_events
        (frames,) = source.chunks(0, count, count)
        (info,) = (info for info in source.infos if info.name == "MCParticles")
        copy, mixed = info.named("Copies"), info.named("Mixed", is_subset=True)
        ids = [info.collection_id, copy.collection_id]
        fields = copied(frames, info, copy, {}, [info.name for info in source.infos])
        fields |= subset("Mixed", [0] + [2] * count, [0, 0], ids)
        with EventFileWriter(output, source.info) as writer:
            writer.write(EVENTS, frames.with_fields(fields), (*source.infos, copy, mixed))
            writer.write(METADATA, source.metadata, ())


def test_a_list_of_particles_of_two_collections_is_refused(key4hep, embedded, options, tmp_path):
    write_list_of_two(options / "input/particles.edm4hep.root", tmp_path / "mixed.root")
    given = [options / "fastsim.py", "--IOSvc.Input", "mixed.root", "--IOSvc.Output", "o.root"]
    for run in (key4hep, embedded):
        job = run(tmp_path, *given, "--CaloFastSim.InputMCParticles", "Mixed")
        assert job.returncode != 0
        said = job.stdout + job.stderr
        assert "'Mixed' lists particles of several collections" in said
        assert "those of one are needed" in said
        assert not (tmp_path / "o.root").exists()
        # Nothing says what a copy would be of in an event whose list is empty.
        mixed = [
            "--CaloFastSim.InputMCParticles",
            "Mixed",
            "--CaloFastSim.OutputMCParticles",
            "All",
        ]
        job = run(tmp_path, *given, *mixed)
        assert job.returncode != 0
        assert (
            "the metadata do not say which one InputMCParticles 'Mixed'" in job.stdout + job.stderr
        )


def test_each_region_has_its_detectors_collection(
    key4hep, embedded, options, assert_same, metadata_of, tmp_path
):
    """What comes from beyond the end of BESIII's barrel meets CLD's; nobody names collections."""
    fast, vae, cld = "besiii_emc_barrel/fast", "besiii_emc_barrel/vae", "cld_ecal_barrel/layered"
    models = [{"model": fast, "pdg": [22]}, {"model": vae, "pdg": [11, -11]}, cld]
    (tmp_path / "both.yaml").write_text(yaml.safe_dump({"models": models}))
    (tmp_path / "beyond.py").write_text(
        "from Configurables import CaloParticleGun\n"
        "gun = CaloParticleGun('CaloParticleGun', ParticlesPerEvent=10, VertexSigma=[0, 0, 1500])\n"
        "gun.MomentumMin, gun.MomentumMax, gun.ThetaMin, gun.ThetaMax = 1.5, 2.5, 70, 110\n"
    )
    gun = ["-n", "10", "--IOSvc.Output", "particles.root"]
    succeeded(embedded(tmp_path, options / "particle_gun.py", tmp_path / "beyond.py", *gun))
    given = [options / "fastsim_mt.py", "--CaloFastSim.Model", tmp_path / "both.yaml"]
    given += ["--IOSvc.Input", "particles.root", "--IOSvc.Output"]
    for run, name in ((key4hep, "theirs.root"), (embedded, "ours.root")):
        succeeded(run(tmp_path, *given, name))
    assert assert_same(tmp_path / "theirs.root", tmp_path / "ours.root") == 10
    written, expected = metadata_of(tmp_path / "theirs.root"), metadata_of(tmp_path / "ours.root")
    assert {key: written[key] for key in expected} == expected
    assert written["EMCBarrelCollection__ModelName"] == f"{fast},{vae}"
    assert written["ECalBarrelCollection__ModelName"] == cld
    with closing(EventSource([tmp_path / "theirs.root"])) as source:
        (frames,) = source.chunks(0, 10, 10)
    for name in ("EMCBarrelCollection", "ECalBarrelCollection"):
        assert sum(len(event) for event in frames.array(name)) > 0

"""EDM4hep files that others wrote come back unchanged after a copy by this package."""

from __future__ import annotations

import shutil
from pathlib import Path

import awkward as ak
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.events.edm4hep import EDM4HEP_VERSION, PODIO_VERSION, collection_id, definition
from k4calofast.events.frames import EVENTS, METADATA, CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import parameters, read_parameters
from k4calofast.events.reading import EventFile, EventSource
from k4calofast.events.writing import EventFileWriter
from k4calofast.exceptions import FileFormatError, MissingCollectionError, OutputError

FILES = [
    "jpsi_rhopi.edm4hep.root",
    "jpsi_rhopi.rntuple.edm4hep.root",
    "ee_Zee_91GeV.edm4hep.root",
    "ee_Zee_91GeV.rntuple.edm4hep.root",
    "ee_Ztautau_91GeV.edm4hep.root",
    "ZH250_ISR.edm4hep.root",
    "coffea_edm4hep_all_types.root",
    "ild_photon43GeV_single_event_example.edm4hep.root",
    "jl_EDM4hep_TTree_podio1.0.1.root",
    "jl_EDM4hep_example_RNTuple_podio1.2.99_edm0.99.99_a.root",
    "odd_piplus10GeV_10ev_pyedm4hep_sample_event.root",
]


def copy(source: Path, target: Path, chunk: int) -> None:
    events = EventSource([source])
    with EventFileWriter(target, events.info) as writer:
        for frames in events.chunks(0, events.num_events, chunk):
            writer.write(EVENTS, frames, events.infos)
        for category, infos, others in events.other_categories():
            for frames in others:
                writer.write(category, frames, infos)
        if METADATA in EventFile(source).categories:
            writer.write(METADATA, events.metadata, events.metadata_infos)


def content(file: Path) -> dict[str, dict[str, list[object]]]:
    """Everything in a file: category, field, frames."""
    opened = EventFile(file)
    found = {}
    for name, category in opened.categories.items():
        fields = category.field_names
        (frames,) = opened.frames(name, 0, category.num_entries, 10**6, fields)
        found[name] = {field: ak.to_list(frames.array(field)) for field in fields}
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_copy_holds_the_same(name, edm4hep_file, tmp_path):
    source, target = edm4hep_file(name), tmp_path / "copy.root"
    copy(source, target, chunk=3)
    there, here = content(source), content(target)
    assert here == there
    before, after = EventFile(source), EventFile(target)
    for category in before.categories:
        assert after.categories[category].infos == before.categories[category].infos
    assert after.info.definitions == before.info.definitions
    assert after.info.model_versions == before.info.model_versions


@pytest.mark.parametrize("name", ["jpsi_rhopi", "ee_Zee_91GeV"])
def test_tree_and_ntuple_of_the_same_events_are_the_same(name, edm4hep_file):
    tree = content(edm4hep_file(f"{name}.edm4hep.root"))[EVENTS]
    ntuple = content(edm4hep_file(f"{name}.rntuple.edm4hep.root"))[EVENTS]
    particles = [field for field in tree if "MCParticles" in field]
    assert particles
    for field in particles:
        assert tree[field] == ntuple[field]


@pytest.mark.parametrize("name", FILES[:4])
def test_podio_reads_a_copy(name, edm4hep_file, tmp_path):
    reading = pytest.importorskip("podio.reading")
    source, target = edm4hep_file(name), tmp_path / "copy.root"
    copy(source, target, chunk=3)
    before, after = (reading.get_reader(str(file)).get("events") for file in (source, target))
    assert len(before) == len(after)
    for there, here in zip(before, after, strict=True):
        for one, other in zip(there.get("MCParticles"), here.get("MCParticles"), strict=True):
            assert one.getMomentum().x == other.getMomentum().x
            assert [p.id().index for p in one.getParents()] == [
                p.id().index for p in other.getParents()
            ]


def test_an_rntuple_from_before_the_format_was_fixed_is_refused(edm4hep_file):
    file = edm4hep_file("jl_EDM4hep_example_RNTuple_preRC_unreadable_by_uproot.root")
    with pytest.raises(FileFormatError, match="before the format"):
        EventFile(file)


@pytest.mark.parametrize("name", FILES[:2])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_truncated_file_is_refused(name, kept, edm4hep_file, tmp_path):
    whole = edm4hep_file(name).read_bytes()
    part = tmp_path / "part.root"
    part.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(FileFormatError, match=r"part\.root"):
        content(part)


def test_what_is_no_edm4hep_file_is_refused(tmp_path):
    text, plain, missing = (tmp_path / name for name in ("text", "plain.root", "missing"))
    text.write_text("hello")
    with uproot.recreate(plain) as root:
        root["tree"] = {"x": [1, 2, 3]}
    for file, sentence in (
        (text, "not a ROOT file"),
        (plain, "not written by podio"),
        (missing, "no such file"),
    ):
        with pytest.raises(FileFormatError, match=sentence):
            EventFile(file)


def test_files_of_one_job_must_be_alike(edm4hep_file):
    files = [edm4hep_file(name) for name in ("jpsi_rhopi.edm4hep.root", "ZH250_ISR.edm4hep.root")]
    with pytest.raises(FileFormatError, match="must be alike"):
        EventSource(files)


def test_a_collection_that_is_not_there_is_named(edm4hep_file):
    with pytest.raises(MissingCollectionError, match="no collection 'Tracks'"):
        EventSource([edm4hep_file("jpsi_rhopi.edm4hep.root")], ["Tracks"])


def test_several_files_are_read_one_after_the_other(edm4hep_file):
    file = edm4hep_file("jpsi_rhopi.edm4hep.root")
    events = EventSource([file, file])
    assert events.num_events == 20
    chunks = list(events.chunks(7, 15, 4))
    assert sum(chunk.count for chunk in chunks) == 8
    numbers = [n for chunk in chunks for n in ak.ravel(chunk.array("EventHeader").eventNumber)]
    (every,) = EventSource([file]).chunks(0, 10, 10)
    once = ak.to_list(ak.ravel(every.array("EventHeader").eventNumber))
    assert numbers == (once + once)[7:15]


def test_a_file_has_its_name_only_when_it_is_complete(edm4hep_file, tmp_path):
    target = tmp_path / "out.root"
    events = EventSource([edm4hep_file("jpsi_rhopi.edm4hep.root")])
    (frames,) = events.chunks(0, 10, 10)
    with EventFileWriter(target, events.info) as writer:
        writer.write(EVENTS, frames, events.infos)
        assert not target.exists()
        assert not writer.complete
    assert writer.complete
    assert [path.name for path in tmp_path.iterdir()] == ["out.root"]


def test_an_error_while_writing_leaves_the_old_file(edm4hep_file, tmp_path):
    target = tmp_path / "out.root"
    shutil.copy(edm4hep_file("jpsi_rhopi.edm4hep.root"), target)
    target.chmod(0o644)
    before = target.read_bytes()
    with pytest.raises(RuntimeError), EventFileWriter(target, EventFile(target).info):
        raise RuntimeError("stop")
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.root"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    info = FileInfo(PODIO_VERSION, {"edm4hep": definition()}, {"edm4hep": EDM4HEP_VERSION})
    writer = EventFileWriter(tmp_path / "file" / "out.root", info)
    with pytest.raises(OutputError, match="Not a directory"), writer:
        pass


VALUES = {
    "Int": st.integers(-(2**31), 2**31 - 1),
    "Float": st.floats(width=32, allow_nan=False),
    "Double": st.floats(allow_nan=False),
    "String": st.text(max_size=8),
}
PARAMETERS = st.fixed_dictionaries(
    {
        kind: st.dictionaries(st.text(max_size=5), st.lists(values, max_size=3), max_size=3)
        for kind, values in VALUES.items()
    }
)


@given(PARAMETERS)
def test_parameters_survive_their_layout(values):
    assert read_parameters(parameters(values, 2), 1) == values


@given(st.lists(PARAMETERS, min_size=1, max_size=3))
def test_parameters_survive_a_file(tmp_path_factory, frames):
    file = tmp_path_factory.mktemp("parameters") / "file.root"
    info = FileInfo(PODIO_VERSION, {"edm4hep": definition()}, {"edm4hep": EDM4HEP_VERSION})
    with EventFileWriter(file, info) as writer:
        for values in frames:
            writer.write(EVENTS, Frames(parameters(values), 1), ())
    opened = EventFile(file)
    (read,) = opened.frames(EVENTS, 0, len(frames), 100, opened.categories[EVENTS].field_names)
    assert [read_parameters(read.fields, i) for i in range(len(frames))] == frames


def test_collection_ids_are_those_of_podio(edm4hep_file):
    infos: tuple[CollectionInfo, ...] = EventSource([edm4hep_file("jpsi_rhopi.edm4hep.root")]).infos
    assert all(collection_id(info.name) == info.collection_id for info in infos)


@pytest.mark.parametrize("name", FILES)
def test_no_events_still_have_their_fields(name, edm4hep_file, tmp_path):
    source, target = edm4hep_file(name), tmp_path / "none.root"
    events = EventSource([source])
    (nothing,) = events.chunks(3, 3, 10)
    assert nothing.count == 0
    with EventFileWriter(target, events.info) as writer:
        writer.write(EVENTS, nothing, events.infos)
    again = EventSource([target])
    assert again.num_events == 0
    (nothing,) = again.chunks(0, 0, 10)
    assert set(nothing.fields) == set(events.fields)

"""RNTuples: what is damaged is noticed, and what is written can be checked by others."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import pytest
import uproot
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k4calofast.events import uproot_rntuple
from k4calofast.events.edm4hep import EDM4HEP_VERSION, PODIO_VERSION, definition
from k4calofast.events.frames import EVENTS, FileInfo, Frames
from k4calofast.events.layout import jagged, numbers, parameters
from k4calofast.events.reading import EventFile, EventSource
from k4calofast.events.writing import EventFileWriter
from k4calofast.exceptions import FileFormatError

CHECKSUM = 8


def write(file: Path, clusters: int = 3, events: int = 5) -> Path:
    """Write a file of a few clusters, with numbers, flags and strings."""
    info = FileInfo(PODIO_VERSION, {"edm4hep": definition()}, {"edm4hep": EDM4HEP_VERSION})
    with EventFileWriter(file, info) as writer:
        for cluster in range(clusters):
            offsets = 4 * ak.to_numpy(ak.local_index([0] * (events + 1)))
            fields = {
                "numbers": jagged(offsets, numbers(range(cluster, cluster + 4 * events), "i4")),
                "flags": jagged(offsets, numbers([i % 3 == 0 for i in range(4 * events)], "?")),
                **parameters({"String": {"key": ["a", "value"]}}, events),
            }
            writer.write(EVENTS, Frames(fields, events), ())
    return file


def pages(file: Path) -> list[tuple[int, int, bool]]:
    """Start and length of the pages of a file, and whether they have checksums: by uproot alone."""
    with uproot.open(file) as root:
        return [
            (page.locator.offset, page.locator.num_bytes, page.has_checksum)
            for name in ("events", "podio_metadata")
            for cluster in root[name].page_link_list
            for column in cluster
            for page in column.pages
        ]


def envelopes(file: Path) -> list[tuple[int, int]]:
    """Start and length of headers, footers and lists of pages."""
    found = []
    with uproot.open(file) as root:
        for name in ("events", "podio_metadata"):
            ntuple = root[name]
            for part in ("Header", "Footer"):
                seek, size = (ntuple.member(f"f{what}{part}") for what in ("Seek", "NBytes"))
                found.append((seek, size))
            for group in ntuple.footer.cluster_group_records:
                place = group.page_list_link.locator
                found.append((place.offset, place.num_bytes))
    return found


def read(file: Path) -> dict[str, list[object]]:
    events = EventSource([file])
    chunks = list(events.chunks(0, events.num_events, 4))
    return {
        field: [event for chunk in chunks for event in ak.to_list(chunk.array(field))]
        for field in events.fields
    }


def test_every_page_is_followed_by_the_checksum_of_its_bytes(tmp_path):
    file = write(tmp_path / "file.root")
    content = file.read_bytes()
    assert len(pages(file)) > 20
    for start, length, has_checksum in pages(file):
        stop = start + length
        assert has_checksum
        assert int.from_bytes(content[stop : stop + CHECKSUM], "little") == (
            xxhash.xxh3_64_intdigest(content[start:stop])
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("whole") / "file.root")


@given(st.data())
def test_a_changed_byte_in_what_is_read_is_never_silent(whole, tmp_path_factory, data):
    regions = [(start, length + CHECKSUM) for start, length, _ in pages(whole)] + envelopes(whole)
    start, length = data.draw(st.sampled_from(regions))
    damaged = tmp_path_factory.mktemp("damaged") / "damaged.root"
    content = bytearray(whole.read_bytes())
    content[start + data.draw(st.integers(0, length - 1))] ^= data.draw(st.integers(1, 255))
    damaged.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"damaged\.root"):
        read(damaged)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_byte_in_a_page_that_podio_wrote_is_never_silent(
    podio_file, tmp_path_factory, data
):
    start, length, _ = data.draw(st.sampled_from(pages(podio_file)))
    damaged = tmp_path_factory.mktemp("damaged") / "damaged.root"
    content = bytearray(podio_file.read_bytes())
    content[start + data.draw(st.integers(0, length + CHECKSUM - 1))] ^= 16
    damaged.write_bytes(content)
    with pytest.raises(FileFormatError, match="page"):
        read(damaged)


def test_damage_is_told_with_file_field_and_cluster(tmp_path):
    file = write(tmp_path / "file.root")
    with uproot.open(file) as root:
        ntuple = root["events"]
        (field,) = (f for f in ntuple.all_fields if f.path == "numbers")
        (column,) = (c.idx for c in ntuple.column_records if c.field_id == field._fid)
        place = ntuple.page_link_list[2][column].pages[0].locator
    with file.open("r+b") as out:
        out.seek(place.offset)
        out.write(b"!")
    with pytest.raises(FileFormatError, match=r"file\.root: field 'numbers', cluster 2: .*damaged"):
        read(file)


def test_files_without_checksums_of_pages_are_read(tmp_path, monkeypatch):
    expected = read(write(tmp_path / "with.root"))
    monkeypatch.setattr(
        uproot_rntuple, "_CheckedPage", uproot_rntuple._writing.NTuple_PageDescription
    )
    without = write(tmp_path / "without.root")
    assert not any(has_checksum for _, _, has_checksum in pages(without))
    assert read(without) == expected


def test_uproot_alone_reads_the_same(tmp_path):
    file = write(tmp_path / "file.root")
    with uproot.open(file) as root:
        alone = root["events"].arrays(["numbers", "flags"])
    assert {name: ak.to_list(alone[name]) for name in alone.fields} == {
        name: read(file)[name] for name in ("numbers", "flags")
    }


def test_places_of_pages_do_not_stay_in_memory(tmp_path):
    file = EventFile(write(tmp_path / "file.root", clusters=20))
    category = file.categories[EVENTS]
    for _ in file.frames(EVENTS, 0, category.num_entries, 10, category.field_names):
        assert len(category._ntuple.page_link_list) == 0


def test_root_reads_what_is_written(tmp_path):
    root = pytest.importorskip("ROOT")
    file = write(tmp_path / "file.root")
    reader = root.RNTupleReader.Open(EVENTS, str(file))
    assert reader.GetNEntries() == 15
    view = reader.GetView["std::vector<std::int32_t>"]("numbers")
    assert [list(view(i)) for i in range(15)] == read(file)["numbers"]
    del view


@pytest.fixture
def podio_file(edm4hep_file) -> Path:
    return edm4hep_file("jpsi_rhopi.rntuple.edm4hep.root")


def test_a_list_of_pages_of_many_clusters_is_taken_apart(tmp_path, monkeypatch, whole):
    # ROOT writes one list for all clusters; here, the lists become one before the file is closed.
    writing, parts = uproot_rntuple._writing, []
    envelope, finish = writing.NTuple_PageListEnvelope, uproot_rntuple.NTupleWriter.finish

    def remember(checksum, summaries, columns):
        parts.append((checksum, summaries, columns))
        return envelope(checksum, summaries, columns)

    def finish_with_one_list(self):
        mine = [part for part in parts if part[0] == self._header._checksum]
        summaries, columns = ([m[i][0] for m in mine] for i in (1, 2))
        data = envelope(mine[0][0], summaries, columns).serialize()
        link = writing.NTuple_EnvLink(len(data), self._stored(data, len(data)))
        self._footer.cluster_group_record_frames[:] = [
            writing.NTuple_ClusterGroupRecord(0, self._num_entries, len(mine), link)
        ]
        finish(self)

    monkeypatch.setattr(writing, "NTuple_PageListEnvelope", remember)
    monkeypatch.setattr(uproot_rntuple.NTupleWriter, "finish", finish_with_one_list)
    file = write(tmp_path / "file.root")
    with uproot.open(file) as root:
        assert [g.num_clusters for g in root["events"].footer.cluster_group_records] == [3]
    assert read(file) == read(whole)

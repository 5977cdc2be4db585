"""Several inputs are one input: events, run frames and metadata of all, a few files' memory."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from k4calofast.events.edm4hep import EDM4HEP_VERSION, PODIO_VERSION, definition
from k4calofast.events.frames import EVENTS, METADATA, FileInfo, Frames
from k4calofast.events.layout import jagged, parameters, read_parameters
from k4calofast.events.layout import numbers as numbers_
from k4calofast.events.reading import EventFile, EventSource
from k4calofast.events.writing import EventFileWriter
from k4calofast.exceptions import FileFormatError
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.loop import EventLoop

INFO = FileInfo(PODIO_VERSION, {"edm4hep": definition()}, {"edm4hep": EDM4HEP_VERSION})


def write(file: Path, events: list[int], runs: list[int] = (), *metadata: dict[str, str]) -> Path:
    """Write a file whose frames have these numbers, and this metadata."""
    with EventFileWriter(file, INFO) as writer:
        for category, frames in ((EVENTS, events), ("runs", runs)):
            for number in frames:
                writer.write(category, Frames(parameters({"Int": {"n": [number]}}), 1), ())
        for frame in metadata:
            lists = {key: [value] for key, value in frame.items()}
            writer.write(METADATA, Frames(parameters({"String": lists}), 1), ())
    return file


def copy(inputs: list[Path], output: Path, **properties) -> None:
    io = IOSvcProperties(Input=[str(file) for file in inputs], Output=str(output))
    EventLoop(io, {}, -1, {}, [], **properties).run()


def frames(file: Path, category: str) -> list[dict[str, dict[str, list[object]]]]:
    """Parameters of the frames of a category."""
    with closing(EventFile(file)) as opened:
        if category not in opened.categories:
            return []
        kind = opened.categories[category]
        (chunk,) = opened.frames(category, 0, kind.num_entries, 100, kind.field_names)
        return [read_parameters(chunk.fields, number) for number in range(chunk.count)]


def numbers(file: Path, category: str) -> list[object]:
    return [frame["Int"]["n"][0] for frame in frames(file, category)]


def metadata(file: Path) -> dict[str, list[object]]:
    (frame,) = frames(file, METADATA)  # k4FWCore knows the first.
    return frame["String"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_frames_of_all_inputs_come_in_order(tmp_path, chunk):
    files = [
        write(tmp_path / "a", [0, 1, 2], [7], {}),
        write(tmp_path / "b", [3], [], {}),
        write(tmp_path / "c", [4, 5], [8, 9], {}),
    ]
    copy(files, tmp_path / "out", events_per_chunk=chunk)
    assert numbers(tmp_path / "out", EVENTS) == [0, 1, 2, 3, 4, 5]
    assert numbers(tmp_path / "out", "runs") == [7, 8, 9]


def test_chunks_are_filled_from_several_files(tmp_path):
    files = [write(tmp_path / f"{i}", [i]) for i in range(7)]
    chunks = list(EventSource(files).chunks(1, 7, 4))
    assert [chunk.count for chunk in chunks] == [4, 2]


def test_metadata_of_all_inputs_become_one_frame(tmp_path, caplog):
    files = [
        write(tmp_path / "a", [0], [], {"generator": "pythia", "a": "1"}),
        write(tmp_path / "b", [1], [], {"generator": "pythia", "b": "2"}, {"c": "3"}),
        write(tmp_path / "c", [2]),
    ]
    copy(files, tmp_path / "out")
    expected = {"generator": "pythia", "a": "1", "b": "2", "c": "3"}
    assert metadata(tmp_path / "out") == {key: [value] for key, value in expected.items()}
    assert not caplog.records


def test_metadata_that_differ_are_those_of_the_first_and_said_once(tmp_path, caplog):
    files = [write(tmp_path / f"{i}", [i], [], {"seed": str(i), "same": "x"}) for i in range(4)]
    copy(files, tmp_path / "out")
    assert metadata(tmp_path / "out") == {"seed": ["0"], "same": ["x"]}
    (warning,) = caplog.messages
    assert "'seed' (['0'] in " in warning
    assert str(files[0]) in warning
    assert str(files[1]) in warning
    assert "same" not in warning


def test_cell_ids_that_mean_different_things_stop_the_job(tmp_path):
    key = "Hits__CellIDEncoding"
    files = [
        write(tmp_path / name, [0], [], {key: encoding})
        for name, encoding in (("one", "system:8"), ("two", "system:9"))
    ]
    with pytest.raises(FileFormatError, match=f"'{key}' is .*one, .*two:") as error:
        copy(files, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_tree_and_ntuple_can_be_inputs_of_one_job(edm4hep_file, tmp_path):
    tree, ntuple = (edm4hep_file(f"jpsi_rhopi{kind}.edm4hep.root") for kind in ("", ".rntuple"))
    copy([tree, ntuple], tmp_path / "both")
    source = EventSource([tmp_path / "both"])
    (both,) = source.chunks(0, 20, 20)
    particles = ak.to_list(both.array("MCParticles"))
    assert particles[:10] == particles[10:]


def test_collections_that_are_stored_otherwise_are_refused_before_the_first_event(tmp_path):
    for name, dtype in (("one", np.float32), ("two", np.float64)):
        with EventFileWriter(tmp_path / name, INFO) as writer:
            values = {"values": jagged(np.array([0, 1]), numbers_([1], dtype))}
            writer.write(EVENTS, Frames(values | parameters({}), 1), ())
    with pytest.raises(FileFormatError, match=r"two: 'values' is stored otherwise than in .*one"):
        EventSource([tmp_path / "one", tmp_path / "two"])


def test_a_file_that_shrinks_while_the_job_runs_is_noticed(tmp_path):
    files = [write(tmp_path / name, [0, 1]) for name in ("a", "b")]
    source = EventSource(files)
    write(tmp_path / "b", [0])
    with pytest.raises(FileFormatError, match="b: has changed"):
        list(source.chunks(0, 4, 1))


def test_one_file_is_open_at_a_time(tmp_path):
    files = [write(tmp_path / f"{i}.root", [i], [i], {"a": "b"}) for i in range(5)]

    def inputs_open() -> int:
        links = [Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]  # noqa: PTH208
        return sum(link.exists() and link.resolve() in files for link in links)

    source = EventSource(files)
    assert inputs_open() == 0
    for _ in source.chunks(0, 5, 1):
        assert inputs_open() <= 1
    assert inputs_open() == 0
    with closing(source.chunks(0, 5, 1)) as abandoned:
        next(abandoned)
    assert inputs_open() == 0


def test_no_more_files_are_parsed_for_what_is_the_same(tmp_path):
    # What a file says of its collections and how they are stored is the larger part of its cost.
    from k4calofast.events import uproot_rntuple

    files = [write(tmp_path / f"{i}.root", [i]) for i in range(5)]
    EventSource(files[:1])
    parsed = uproot_rntuple._parsed_header.cache_info().misses
    EventSource(files)
    assert uproot_rntuple._parsed_header.cache_info().misses == parsed

"""What is given as an input is read, or refused in one sentence, at once."""

from __future__ import annotations

import importlib.util
import os
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import awkward as ak
import pytest

from k4calofast.events.reading import EventFile, EventSource, place
from k4calofast.exceptions import FileFormatError, MissingExtraError, OutputError
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.steering.loop import EventLoop

PARTICLES = Path(__file__).resolve().parents[2] / "options" / "input" / "particles.edm4hep.root"


def refused(file: str, sentence: str, kind: type[Exception] = FileFormatError) -> None:
    with pytest.raises(kind, match=sentence) as error:
        EventFile(place(file))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").touch()
    refused(f"{tmp_path}/pipe", "a device or a pipe")
    refused(f"{tmp_path}/link", "a device or a pipe")
    refused("/dev/zero", "a device or a pipe")
    refused(f"{tmp_path}", "a folder")
    refused(f"{tmp_path}/loop", "no such file|cannot be read")
    refused(f"{tmp_path}/empty", "not a ROOT file")
    refused(f"{tmp_path}/empty/more", "no such file")
    refused(f"{tmp_path}/" + 300 * "x", "name too long")
    refused("nul\0character", "no such file|cannot be read")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    file = tmp_path / "secret.root"
    file.write_bytes(b"root")
    file.chmod(0)
    refused(str(file), "Permission denied")


def test_a_url_that_nothing_reads_is_refused_with_a_remedy():
    refused("rfio://somewhere/file.root", "nothing here reads rfio://", MissingExtraError)
    if importlib.util.find_spec("fsspec_xrootd") is None:
        refused("root://eos.example.org//file.root", "pip install fsspec-xrootd", MissingExtraError)
    if importlib.util.find_spec("s3fs") is None:
        refused("s3://bucket/file.root", "pip install s3fs", MissingExtraError)


@pytest.mark.parametrize("url", ["root://eos.example.org//file.root", "https://host/x.root"])
def test_a_url_as_output_is_refused_and_makes_no_folder(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="only files on this machine are written"):
        EventLoop(IOSvcProperties(Input=[str(PARTICLES)], Output=url), {}, -1, {}, [])
    assert list(tmp_path.iterdir()) == []


class _Ranges(SimpleHTTPRequestHandler):
    """Serves parts of files, as servers of data do."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        asked = self.headers.get("Range", f"bytes=0-{len(content) - 1}").removeprefix("bytes=")
        first, last = (int(number) for number in asked.split("-"))
        part = content[first : last + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path_factory) -> str:
    pytest.importorskip("aiohttp")
    folder = tmp_path_factory.mktemp("served")
    (folder / "particles.root").write_bytes(PARTICLES.read_bytes())
    (folder / "text.root").write_text("hello")
    with HTTPServer(
        ("127.0.0.1", 0), lambda *args: _Ranges(*args, directory=str(folder))
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_url_is_read_like_the_file(server):
    def content(source: EventSource) -> dict[str, object]:
        (frames,) = source.chunks(0, source.num_events, 10**6)
        return {field: ak.to_list(frames.array(field)) for field in frames.fields}

    there = EventSource([place(f"{server}/particles.root")])
    assert content(there) == content(EventSource([PARTICLES]))


def test_a_url_without_a_root_file_is_one_sentence(server):
    refused(f"{server}/text.root", "cannot be read")
    refused(f"{server.rsplit(':', 1)[0]}:9/nobody.root", "cannot be read")

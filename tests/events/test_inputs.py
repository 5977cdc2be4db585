"""What is given as an input is read, or refused in one sentence, at once."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import awkward as ak
import pytest

from k4calofast.events.reading import EventFile, EventSource, place
from k4calofast.exceptions import FileFormatError, MissingExtraError, OutputError
from k4calofast.showers import reading as showers
from k4calofast.showers.reading import Hints
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
    remote = r"pip install 'k4calofast\[remote\]'"
    if importlib.util.find_spec("fsspec_xrootd") is None:
        refused("root://eos.example.org//file.root", remote, MissingExtraError)
    if importlib.util.find_spec("aiohttp") is None:
        refused("https://example.org/file.root", remote, MissingExtraError)
    if importlib.util.find_spec("s3fs") is None:
        refused("s3://bucket/file.root", "pip install s3fs", MissingExtraError)


@pytest.mark.parametrize(
    "url", ["root://eos.example.org//file.root", "https://host/x.root", "s3://bucket/x.root"]
)
def test_a_url_as_output_is_refused_and_makes_no_folder(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = f"{url.replace('org//', 'org/')}: only files on this machine are written"
    with pytest.raises(OutputError, match=said):
        EventLoop(IOSvcProperties(Input=[str(PARTICLES)], Output=url), {}, -1, {}, [])
    assert list(tmp_path.iterdir()) == []


class _Whole(SimpleHTTPRequestHandler):
    """Serves whole files, whatever is asked for."""

    def log_message(self, *_: object) -> None:
        pass


class _Ranges(_Whole):
    """Serves parts of files, as servers of data do."""

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        if not file.exists():
            self.send_error(404)
            return
        content = file.read_bytes()
        asked = self.headers.get("Range", f"bytes=0-{len(content) - 1}").removeprefix("bytes=")
        first, last = (int(number) for number in asked.split("-"))
        part = content[first : last + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def server(request, tmp_path_factory) -> str:
    pytest.importorskip("aiohttp")
    handler = getattr(request, "param", _Ranges)
    folder = tmp_path_factory.mktemp("served")
    (folder / "particles.root").write_bytes(PARTICLES.read_bytes())
    (folder / "fullsim.root").write_bytes(PARTICLES.with_name("fullsim.edm4hep.root").read_bytes())
    (folder / "text.root").write_text("hello")
    with HTTPServer(
        ("127.0.0.1", 0), lambda *args: handler(*args, directory=str(folder))
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


def test_showers_are_read_from_a_url_like_from_the_file(server):
    hints = Hints("EMCBarrelCollectionFull")
    there, source = showers.read(showers.place(f"{server}/fullsim.root"), hints)
    here, expected = showers.read(PARTICLES.with_name("fullsim.edm4hep.root"), hints)
    assert source == expected
    assert len(there) > 30
    assert (there.energies == here.energies).all()


def test_a_sample_of_another_format_at_a_url_is_one_sentence(server):
    with pytest.raises(FileFormatError, match=r"text\.root: not a ROOT file"):
        showers.read(showers.place(f"{server}/text.root"))
    with pytest.raises(FileFormatError, match="only files on this machine are read here; copy it"):
        showers.read(Path(f"{server}/text.root"))


@pytest.mark.parametrize("server", [_Ranges, _Whole], indirect=True)
def test_a_url_without_a_root_file_is_one_sentence(server):
    refused(f"{server}/text.root", "text.root: not a ROOT file")
    refused(f"{server}/nothing.root", "nothing.root: no such file")
    refused(f"{server.rsplit(':', 1)[0]}:9/nobody.root", "cannot be read")


@pytest.mark.parametrize("server", [_Whole], indirect=True)
def test_a_server_that_sends_no_parts_of_files_is_one_sentence(server):
    refused(f"{server}/particles.root", "sends whole files and no parts of them; copy it here")


@pytest.fixture(scope="module")
def xrootd() -> str:
    """A server of XRootD's own."""
    pytest.importorskip("fsspec_xrootd")
    command = shutil.which("xrootd")
    if command is None:
        pytest.skip("there is no xrootd (Debian: xrootd-server)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not in a folder of pytest's: the server refuses to be root, and others may not read that.
    with tempfile.TemporaryDirectory(prefix="xrootd-") as name:
        folder = Path(name)
        (folder / "served").mkdir()
        (folder / "served" / "particles.root").write_bytes(PARTICLES.read_bytes())
        (folder / "served" / "text.root").write_text("hello")
        (folder / "config").write_text(
            f"xrd.port {port}\noss.localroot {folder}/served\nall.export /\n"
            f"all.adminpath {folder}/admin\nall.pidpath {folder}/admin\n"
        )
        arguments = [command, "-c", str(folder / "config"), "-l", str(folder / "log")]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (folder, *folder.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            arguments += ["-R", "nobody"]
        nowhere = subprocess.DEVNULL
        with subprocess.Popen(arguments, stdout=nowhere, stderr=nowhere) as server:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            yield f"root://127.0.0.1:{port}/"
            server.terminate()


def test_xrootd_is_read_like_the_file(xrootd):
    there, here = EventSource([place(f"{xrootd}/particles.root")]), EventSource([PARTICLES])
    for chunk, expected in zip(there.chunks(0, 100, 30), here.chunks(0, 100, 30), strict=True):
        assert all(
            ak.array_equal(chunk.array(field), expected.array(field)) for field in expected.fields
        )


def test_xrootd_without_a_root_file_is_one_sentence(xrootd):
    refused(f"{xrootd}/text.root", "text.root: not a ROOT file")
    refused(f"{xrootd}/nothing.root", "no such file")

"""A model comes from a mirror complete, as the index has it, or not at all."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from k4calofast.archives import fetching
from k4calofast.exceptions import FetchError, ModelError, OutputError
from k4calofast.generator import Model, find_model, sets
from k4calofast.generator.search import model_folders

NAME = "besiii_emc_barrel/gflash"


def _left(cache) -> list[str]:
    """Files below a folder, whatever they are called."""
    return sorted(str(one.relative_to(cache)) for one in cache.rglob("*") if one.is_file())


WHOLE = [f"{NAME}/card.yaml", f"{NAME}/model.onnx"]


@pytest.fixture
def serve(monkeypatch):
    """Serve what a function writes into the answer to each request, and fetch from there."""
    servers = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def start(answer) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        address = f"http://127.0.0.1:{server.server_port}/releases/"
        monkeypatch.setenv("K4CALOFAST_MODEL_MIRROR", address)

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(content: bytes, length: int | None = None):
    def answer(request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        request.wfile.write(content)

    return answer


@pytest.mark.usefixtures("mirror")
def test_a_model_that_is_fetched_from_a_folder_runs_by_its_name(cache, wanted):
    with pytest.raises(ModelError, match=f"by `k4calofast models fetch {NAME}` .0.3 MB"):
        find_model(NAME)
    with pytest.raises(ModelError, match="is not installed: get it by"):
        sets.find(NAME)
    assert not fetching.is_here(wanted)
    come = []
    folder = fetching.fetch(wanted, come.append)
    assert come[-1] == wanted.size
    assert folder == cache / NAME == find_model(NAME)
    assert sets.find(NAME) == [(folder, ())]
    assert fetching.is_here(wanted)
    assert _left(cache) == WHOLE
    assert Model(folder, "cpu").card.name == NAME
    assert model_folders()[-1] == cache


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_folders_are_mirrors_by_path_and_by_address(cache, mirror, wanted, monkeypatch, form):
    monkeypatch.setenv("K4CALOFAST_MODEL_MIRROR", form.format(mirror))
    fetching.fetch(wanted)
    assert _left(cache) == WHOLE


def test_a_model_comes_over_http_under_the_name_of_its_archive(cache, serve, wanted, content):
    asked = []

    def answer(request) -> None:
        asked.append(request.path)
        _answer(content)(request)

    serve(answer)
    come = []
    fetching.fetch(wanted, come.append)
    assert come == sorted(come)
    assert come[-1] == wanted.size
    assert asked == ["/releases/besiii_emc_barrel-gflash-0.1.0.zip"]
    assert _left(cache) == WHOLE


def _missing(request) -> None:
    request.send_error(404)


def _slammed(request) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda content: _answer(content[:-1] + b"x"), "is damaged, or another file"),
        (lambda _: _answer(b"hello"), "is damaged, or another file"),
        (lambda content: _answer(content[:1000], len(content)), "gflash-0.1.0.zip: .*1000.*MIRROR"),
        (lambda content: _answer(content + b"x"), "is longer than the 340785 bytes"),
        (lambda _: _missing, "HTTP status 404; K4CALOFAST_MODEL_MIRROR can name a folder"),
        (lambda _: _slammed, "K4CALOFAST_MODEL_MIRROR can name a folder"),
    ],
    ids=["damaged", "another", "interrupted", "longer", "missing", "slammed"],
)
def test_what_goes_wrong_on_the_way_is_a_sentence_and_leaves_nothing(
    cache, serve, wanted, content, make, sentence
):
    serve(make(content))
    with pytest.raises(FetchError, match=sentence) as error:
        fetching.fetch(wanted)
    assert str(error.value).startswith(f"{NAME} cannot be fetched: http://127.0.0.1:")
    assert "\n" not in str(error.value)
    assert not cache.exists() or _left(cache) == []


def test_without_network_the_error_names_the_variable_of_the_mirror(wanted, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("K4CALOFAST_MODEL_MIRROR", f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(FetchError, match="Connection refused; K4CALOFAST_MODEL_MIRROR can"):
            fetching.fetch(wanted)


def test_a_mirror_that_is_none_is_named(wanted, monkeypatch, tmp_path):
    monkeypatch.setenv("K4CALOFAST_MODEL_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(FetchError, match="nowhere is neither a folder nor an address"):
        fetching.fetch(wanted)
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(FetchError, match=r"gflash-0\.1\.0\.zip: no such file"):
        fetching.fetch(wanted)


def test_models_come_from_the_releases_of_the_project_where_no_mirror_is_named(monkeypatch):
    monkeypatch.delenv("K4CALOFAST_MODEL_MIRROR", raising=False)
    urls = ["Issues, https://example.org/x/issues", "Source, https://example.org/x/"]

    class Metadata:
        get_all = staticmethod(lambda *_: urls)

    monkeypatch.setattr("importlib.metadata.metadata", lambda _: Metadata)
    assert fetching.mirror() == "https://example.org/x/releases/download/models"
    urls.clear()
    with pytest.raises(FetchError, match="name one by K4CALOFAST_MODEL_MIRROR"):
        fetching.mirror()


def test_a_damaged_archive_leaves_the_model_that_was_there(cache, mirror, wanted, content):
    folder = fetching.fetch(wanted)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    (mirror / wanted.archive).write_bytes(content[:-1] + b"x")
    with pytest.raises(FetchError, match="SHA-256 is"):
        fetching.fetch(wanted)
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    assert _left(cache) == WHOLE


@pytest.mark.usefixtures("mirror")
def test_a_model_that_was_changed_is_fetched_anew(cache, wanted):
    folder = fetching.fetch(wanted)
    (folder / "card.yaml").write_text("hello")
    (folder / "more").write_text("not the model's")
    assert not fetching.is_here(wanted)
    fetching.fetch(wanted)
    assert fetching.is_here(wanted)
    assert _left(cache) == WHOLE


@pytest.mark.usefixtures("mirror")
def test_an_interrupted_fetch_leaves_nothing(cache, wanted, monkeypatch):
    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("k4calofast.output.write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(wanted)
    assert _left(cache) == []
    assert [one.name for one in cache.iterdir()] == ["besiii_emc_barrel"]


def test_a_folder_of_models_that_cannot_be_written_is_refused_before_anything_is_fetched(
    cache, wanted, monkeypatch, tmp_path
):
    monkeypatch.setenv("K4CALOFAST_MODEL_MIRROR", str(tmp_path / "nowhere"))
    cache.write_text("a file")
    with pytest.raises(OutputError, match="is not a folder"):
        fetching.fetch(wanted)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("besiii_emc_barrel/none", "no model 'besiii_emc_barrel/none' to fetch; there are besiii"),
        ("../../etc", "no model '../../etc' to fetch"),
    ],
)
def test_names_that_the_index_does_not_know_list_those_that_it_does(name, sentence):
    with pytest.raises(FetchError, match=sentence):
        fetching.entry(name)

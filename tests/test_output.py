"""Outputs are complete, or not there at all, and never what was not theirs."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from k4calofast import output
from k4calofast.exceptions import K4CaloFastError, OutputError
from k4calofast.output import NewFile


def test_a_file_has_its_name_only_at_the_end(tmp_path):
    file = tmp_path / "new" / "a.bin"
    new = NewFile(file)
    with new as unfinished:
        unfinished.write_bytes(b"all of it")
        assert not file.exists()
        assert unfinished.parent == file.parent
        assert not new.complete
    assert new.complete
    assert file.read_bytes() == b"all of it"
    assert list(file.parent.iterdir()) == [file]


def half(file: Path, error: BaseException, **options) -> None:
    """Fail in the middle of a file."""
    with NewFile(file, **options) as unfinished:
        unfinished.write_text("half")
        raise error


def test_its_permissions_are_those_of_any_new_file(tmp_path):
    output.write(tmp_path / "a", "ours")
    (tmp_path / "b").write_text("theirs")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt, K4CaloFastError])
def test_what_goes_wrong_leaves_what_was_there(tmp_path, error):
    file = tmp_path / "a"
    file.write_text("before")
    with pytest.raises(error):
        half(file, error("stop"))
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_worth_keeping_stays_under_another_name_that_is_said(tmp_path):
    with pytest.raises(K4CaloFastError, match=r"lost.*a\.[0-9a-f]{8}\.part"):
        half(tmp_path / "a", K4CaloFastError("lost"), keep=(K4CaloFastError,))
    assert [one.read_text() for one in tmp_path.iterdir()] == ["half"]


def test_what_could_be_another_unfinished_file_is_never_touched(tmp_path):
    for name in ("a.part", "a.01234567.part"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "a.76543210.part").symlink_to(tmp_path / "a.part")
    output.write(tmp_path / "a", "new")
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {
        "a": "new",
        "a.part": "mine",
        "a.01234567.part": "mine",
        "a.76543210.part": "mine",
    }


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path):
    file = tmp_path / "a"
    with NewFile(file) as unfinished:
        with pytest.raises(OutputError, match="another job is writing it"):
            output.write(file, "second")
        output.write(tmp_path / "b", "other")
        unfinished.write_text("first")
    assert file.read_text() == "first"


def test_what_a_killed_writer_left_refuses_nobody(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path; from k4calofast.output import NewFile\n"
        "with NewFile(Path(sys.argv[1])) as unfinished:\n"
        "    unfinished.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    file = tmp_path / "a"
    killed = subprocess.run([sys.executable, "-c", program, file])
    assert killed.returncode == -signal.SIGKILL
    assert [one.read_text() for one in tmp_path.iterdir()] == ["half"]
    output.write(file, "again")
    assert file.read_text() == "again"


def test_a_file_that_another_job_finished_first_is_not_replaced(tmp_path):
    file = tmp_path / "a"
    file.write_text("old")
    new = NewFile(file)
    unfinished = new.__enter__()
    unfinished.write_text("loser")
    (tmp_path / "theirs").write_text("winner")
    (tmp_path / "theirs").replace(file)
    with pytest.raises(OutputError, match=f"written by another job .* in {unfinished}"):
        new.__exit__(None, None, None)
    assert file.read_text() == "winner"
    # Whole events are not thrown away.
    assert unfinished.read_text() == "loser"


def _folder(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    path.with_name("target").write_text("precious")
    path.symlink_to(path.with_name("target"))


def _broken_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_folder, "a folder"),
        (_link, "a symbolic link"),
        (_broken_link, "a symbolic link"),
        (os.mkfifo, "a named pipe"),
        (_socket, "a socket"),
    ],
)
def test_only_plain_files_are_replaced(tmp_path, monkeypatch, make, kind):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    file = Path("out")
    make(file)
    before = {one.name: one.lstat() for one in Path().iterdir()}
    for refused in (output.check, lambda file: output.write(file, "new")):
        with pytest.raises(OutputError, match=f"out cannot be written: it is {kind}"):
            refused(file)
    assert {one.name: one.lstat() for one in Path().iterdir()} == before


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "a folder"),
        (".", "a folder"),
        ("..", "a folder"),
        ("nowhere/..", "a folder"),
        ("/", "a folder"),
        ("/dev/null", "a device"),
        ("x" * 300, "File name too long"),
        ("x" * 250, "File name too long"),
        ("file/out.root", "Not a directory"),
        ("nul\0", "null"),
        ("root://server//out.root", "only files on this machine"),
        ("https://server/out.root", "only files on this machine"),
    ],
)
def test_names_that_cannot_be_are_one_sentence_before_the_work(
    tmp_path, monkeypatch, name, sentence
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    for refused in (output.check, lambda file: output.write(file, "new")):
        with pytest.raises(OutputError, match=sentence):
            refused(Path(name))
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    # For root everything may be written.
    (tmp_path / "theirs").mkdir()
    theirs = tmp_path / "theirs"
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: allowed(path, mode) and path != theirs)
    for refused in (
        lambda: output.check(theirs / "new" / "a"),
        lambda: output.check_folder(theirs),
        lambda: output.write(theirs / "a", ""),
    ):
        with pytest.raises(OutputError, match="no permission to write"):
            refused()
    output.check_folder(tmp_path / "new")
    assert list(tmp_path.iterdir()) == [theirs]


def test_an_input_is_never_an_output_under_whatever_name(tmp_path):
    file = tmp_path / "a"
    file.write_text("events")
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "hard").hardlink_to(file)
    for one in ("a", "link", "hard", "../" + tmp_path.name + "/a"):
        with pytest.raises(OutputError, match="also an input"):
            output.check(file, [tmp_path / one])
    output.check(file, [tmp_path / "b"])
    output.check(tmp_path / "new", [file])


def test_a_disk_that_refuses_the_last_bytes_leaves_nothing(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="quota"):
        output.write(tmp_path / "a", "much")
    assert list(tmp_path.iterdir()) == []


def test_signals_wait_until_the_file_has_its_name(tmp_path, monkeypatch):
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    new = NewFile(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt), new as unfinished:
        unfinished.write_text("all")
    assert new.complete
    assert (tmp_path / "a").read_text() == "all"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

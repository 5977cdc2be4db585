"""Progress is bars on a terminal, and a few lines in a log."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from k4calofast import progress

WORK = """
from k4calofast.progress import shown
with shown() as report:
    for step in range(1, 4):
        report("showers", step, 3, f"loss {step:.1f}")
    report("classifiers")
print("done")
"""


def in_log(monkeypatch, seconds: float, reports) -> list[str]:
    """Lines of a log whose every report is so many seconds after the last."""
    log, clock = io.StringIO(), iter(range(10**9))
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress, "monotonic", lambda: seconds * next(clock))
    with progress.shown() as report:
        for one in reports:
            report(*one)
    return log.getvalue().splitlines()


def test_a_log_has_ten_lines_of_a_long_stage(monkeypatch):
    reports = [("showers", done, 3000) for done in range(1, 3001)]
    lines = in_log(monkeypatch, 10.0, reports)
    assert lines == [f"showers: {tenth}00 of 3000" for tenth in range(3, 31, 3)]


def test_a_log_has_no_line_of_a_short_stage(monkeypatch):
    assert in_log(monkeypatch, 1e-3, [("showers", done, 100) for done in range(101)]) == []


def test_a_log_has_at_most_a_line_a_minute(monkeypatch):
    lines = in_log(monkeypatch, 1.0, [("showers", done, 200) for done in range(1, 201)])
    assert lines == [f"showers: {done} of 200" for done in (60, 120, 180)]


def test_stages_of_unknown_length_are_a_line_each(monkeypatch):
    reports = [("generate",), ("observables",), ("observables",)]
    assert in_log(monkeypatch, 0.0, reports) == ["generate", "observables"]


def test_nobody_who_listens_is_no_obstacle(monkeypatch):
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    with progress.shown() as report:
        report("generate")
    monkeypatch.setattr(sys, "stderr", None)
    with progress.shown() as report:
        report("showers", 1, 2)


@pytest.fixture
def on_a_terminal():
    """What a program writes to a terminal that is its standard error."""

    def run(program: str) -> tuple[str, subprocess.CompletedProcess[str]]:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", program]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment, check=True
        )
        os.close(theirs)
        with os.fdopen(ours, "rb") as terminal:
            return terminal.read1(1 << 16).decode(), done

    return run


def test_a_terminal_has_bars_and_other_output_stays_where_it_belongs(on_a_terminal):
    shown, done = on_a_terminal(WORK)
    assert "showers" in shown
    assert "3/3" in shown
    assert "loss 3.0" in shown
    assert "classifiers" in shown
    assert done.stdout == "done\n"


def test_nothing_is_shown_before_the_first_report(on_a_terminal):
    shown, _ = on_a_terminal(
        "from k4calofast.progress import shown\n"
        "import sys\n"
        "with shown():\n"
        "    print('an error', file=sys.stderr)\n"
        "assert 'rich' not in sys.modules"
    )
    assert shown == "an error\r\n"

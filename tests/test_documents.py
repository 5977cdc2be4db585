"""Small files of others: whatever is in them is read, or refused in one sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4calofast.detector import description
from k4calofast.documents import read_json, read_yaml, yaml_of
from k4calofast.exceptions import FileFormatError, K4CaloFastError, SteeringError
from k4calofast.fullsim import request
from k4calofast.generator.card import read_card
from k4calofast.training import configuration, space
from k4calofast.training.configuration import Settings

REPOSITORY = Path(__file__).resolve().parents[1]
CARD = (REPOSITORY / "models" / "besiii_emc_barrel" / "vae" / "card.yaml").read_text()


def of_card(file: Path) -> Any:
    """Read a file as a model card, which has a name of its own."""
    card = file.with_name("model") / "card.yaml"
    card.parent.mkdir(exist_ok=True)
    card.unlink(missing_ok=True)
    card.symlink_to(file)
    return read_card(card.parent)


READERS: dict[str, Callable[[Path], Any]] = {
    "card": of_card,
    "description": description.read,
    "request": request.read,
    "settings": lambda file: configuration.read(None, file, [], "vae").settings(Settings),
    "space": lambda file: space.read(file, "vae", Settings()),
}
"""All readers of YAML, each with the file it is given."""

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

HOSTILE = {
    "levels": "a: " + "[" * 20_000 + "]" * 20_000,
    "levels of mappings": "{a: " * 1_000 + "1" + "}" * 1_000,
    "levels of lists": "- " * 5_000 + "a",
    "laughs": LAUGHS,
    "merged laughs": "a: &a {x: 1}\n"
    + "\n".join(
        f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 40)}]}}"
        for before, name in zip("abcdef", "bcdefg", strict=True)
    ),
    "itself": "a: &a [*a]",
    "many values": "a: &a [" + "1, " * 500 + "1]\nb: [" + "*a, " * 100 + "*a]",
    "no anchor": "a: *b",
    "no number": "a: !!int x",
    "empty number": "a: !!int ''",
    "no float": "a: !!float x",
    "no truth": "a: !!bool perhaps",
    "no date": "a: 2001-99-99",
    "no time": "a: !!timestamp x",
    "bytes": "a: !!binary é",
    "digits": "a: " + "9" * 5_000,
    "base 60": "a: 1" + ":01" * 5_000,
    "hexadecimal": "a: 0x" + "f" * 10_000,
    "nul": 'a: "\\0"',
    "escape": 'a: "\\e[31m"',
    "surrogate": 'a: "\\ud800"',
    "raw nul": "a: \0",
    "twice": "a: 1\na: 2",
    "keys": "? [1, 2]\n: 3",
    "objects": "a: !!python/object/apply:os.system ['true']",
    "two documents": "a: 1\n---\nb: 2",
    "number": "3",
    "nothing": "",
    "list": "[1, 2]",
    "numbers as keys": "1: 2\n~: 3\n2.5: 4",
    "tab": "a:\n\t- b",
}


def refused(read: Callable[[], Any]) -> str:
    """The one sentence that a reader says."""
    with pytest.raises(K4CaloFastError) as error:
        read()
    sentence = str(error.value)
    assert sentence.isprintable()
    return sentence


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_what_no_document_is_is_refused_in_one_sentence(tmp_path, reader, text):
    if (reader, text) in (("settings", "nothing"), ("space", "nothing")):
        text = "list"
    file = tmp_path / "file.yaml"
    file.write_text(HOSTILE[text], encoding="utf-8")
    assert str(tmp_path) in refused(lambda: READERS[reader](file))


@pytest.mark.parametrize("reader", READERS)
def test_only_regular_files_are_read_and_only_so_much_of_them(tmp_path, reader):
    """A device has no length, and a FIFO may never have an end."""
    device, fifo, large, text = (tmp_path / name for name in ("device", "fifo", "large", "text"))
    device.symlink_to("/dev/zero")
    os.mkfifo(fifo)
    large.write_bytes(b"#" * ((1 << 20) + 1))
    text.write_bytes(b"a: \xff")
    for file, what in (
        (device, "not a regular file"),
        (fifo, "not a regular file"),
        (tmp_path, "not a regular file"),
        (large, "larger than 1048576 bytes"),
        (text, "not UTF-8"),
    ):
        assert what in refused(lambda file=file: READERS[reader](file))


def test_a_path_that_cannot_be_is_refused_in_one_sentence(tmp_path):
    for name in ("a\0b", "a" * 5000, "\ud800", "none"):
        assert refused(lambda name=name: read_yaml(tmp_path / name, FileFormatError))
        assert refused(lambda name=name: read_json(tmp_path / name, FileFormatError))


def test_aliases_and_merged_mappings_are_taken():
    text = "usual: &usual {low: 1, high: 2}\nother: {<<: *usual, high: 3}\nsame: *usual"
    values, _ = yaml_of(text, "here", SteeringError)
    assert values["other"] == {"low": 1, "high": 3}
    assert values["same"] == values["usual"]


def test_the_line_of_a_fault_is_named(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\nb: [1,\n  !!int x]\n")
    with pytest.raises(FileFormatError, match=r"a.yaml:3: cannot be read: not a value of its type"):
        read_yaml(file, FileFormatError)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "\u202eback", "\u2028"])
def test_names_in_cards_cannot_write_lines_of_logs(tmp_path, name):
    text = CARD.replace("name: besiii_emc_barrel/vae", f"name: {escaped(name)}", 1)
    assert text != CARD
    file = tmp_path / "file.yaml"
    file.write_text(text)
    refused(lambda: of_card(file))


def escaped(text: str) -> str:
    """As YAML writes it with ASCII alone."""
    return '"' + "".join(f"\\u{ord(c):04x}" for c in text) + '"'


@pytest.mark.parametrize(
    ("here", "there"),
    [("threshold: 5.0e-05", "threshold: .inf"), ("minutes: ", "minutes: .nan #")],
)
def test_numbers_in_cards_are_finite(tmp_path, here, there):
    assert here in CARD
    file = tmp_path / "file.yaml"
    file.write_text(CARD.replace(here, there, 1))
    assert "finite" in refused(lambda: of_card(file))


def read_or_refused(read: Callable[[], Any]) -> None:
    """What the law of all readers is; warnings are errors here."""
    with contextlib.suppress(K4CaloFastError):
        read()


PIECES = st.sampled_from(
    ["a", "seed", "block", ": ", "- ", "[", "]", "{", "}", ", ", "\n", "  ", "&a ", "*a", "<<: "]
    + ["!!int ", "!!float ", "!!timestamp ", "!!set ", "!!omap ", "? ", "| ", "> ", '"', "'", "\\"]
    + ["1", "1e9", ".inf", ".nan", "~", "2001-01-01", "\t", "#", "---\n", "%YAML 1.1\n", "é", "\0"]
)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60)
@given(pieces=st.lists(PIECES, max_size=25))
def test_any_text_is_a_document_or_refused(tmp_path_factory, reader, pieces):
    file = tmp_path_factory.mktemp("any") / "file.yaml"
    file.write_text("".join(pieces), encoding="utf-8")
    read_or_refused(lambda: READERS[reader](file))


@settings(max_examples=60)
@given(at=st.integers(0, len(CARD) - 1), length=st.integers(0, 40), pieces=st.lists(PIECES))
def test_a_card_that_was_changed_is_a_card_or_refused(tmp_path_factory, at, length, pieces):
    file = tmp_path_factory.mktemp("any") / "file.yaml"
    file.write_text(CARD[:at] + "".join(pieces[:3]) + CARD[at + length :], encoding="utf-8")
    read_or_refused(lambda: of_card(file))

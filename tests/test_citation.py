"""How to cite is what CITATION.cff says, with the version that is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import k4calofast
from k4calofast import citation

FILE = Path(__file__).resolve().parents[1] / "CITATION.cff"
SAID = yaml.safe_load(FILE.read_text())


def test_people_and_bibtex_are_told_the_same():
    text = citation.text()
    message, plain, entry = text.split("\n\n")
    assert message == SAID["message"]
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE))
    assert entry.startswith("@software{k4calofast,\n")
    assert entry.endswith("\n}")
    assert fields["title"] == f"{{{SAID['title']}}}"
    assert fields["license"] == SAID["license"]
    for value in (SAID["title"], k4calofast.__version__, SAID["repository-code"]):
        assert value in plain
        assert value in entry


@pytest.mark.parametrize(
    ("authors", "written"),
    [
        ([{"name": "A and B Collaboration"}], "{A and B Collaboration}"),
        (
            [{"family-names": "Gogh", "name-particle": "van", "given-names": "V."}, {"name": "X"}],
            "van Gogh, V. and {X}",
        ),
    ],
)
def test_authors_are_people_and_groups(monkeypatch, authors, written):
    said = {"message": "Cite", "title": "T", "authors": authors, "version": "2.1"}
    said |= {"doi": "10.5281/zenodo.1", "date-released": "2026-02-03"}
    monkeypatch.setattr(citation, "_read", lambda: said)
    text = citation.text()
    assert f"author = {{{written}}}," in text
    assert "year = {2026}," in text
    assert "version = {2.1}," in text
    assert "https://doi.org/10.5281/zenodo.1" in text

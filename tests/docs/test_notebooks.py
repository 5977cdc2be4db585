"""Notebooks are in the repository as they were written, and on the site as they were executed."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
SAID = {
    "first_shower": ("200 showered", "NotSimulatedWarning: 1 of 3 particles", "OTHER_KIND"),
    "two_generators": ("accurate", "response", "crystals above 1 MeV"),
    "train_your_own": ("600 showers", "library of frozen showers"),
}
"""What the cells of each print."""


@pytest.mark.parametrize("name", SAID)
def test_notebooks_are_plain(name):
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in book.cells}) == len(book.cells)
    assert all(not cell.get("outputs") for cell in book.cells)
    assert all(cell.get("execution_count") is None for cell in book.cells)


def test_all_notebooks_are_here():
    assert {file.stem for file in FOLDER.glob("*.ipynb")} == {*SAID}


@pytest.mark.parametrize("name", SAID)
def test_the_site_shows_what_notebooks_do(site, name):
    page = (site / "notebooks" / f"{name}.html").read_text()
    for words in SAID[name]:
        assert words in page
    assert "cell_output" in page
    assert 'src="../_images/' in page

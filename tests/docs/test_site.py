"""The site is complete, and a browser without network shows it on wide and on narrow screens.

Notebooks are in the repository as they were written, and on the site as they were executed. All
that looks at the site is in this file: processes of `pytest --dist loadfile` build it once.
"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from k4calofast.cli.commands import app
from k4calofast.generator.card import ModelCard
from k4calofast.properties import CaloFastSimProperties

REPOSITORY = Path(__file__).resolve().parents[2]
SEEN = {
    "index": "MCParticles in, calorimeter hits out",
    "reports": "besiii_emc_barrel/accurate",
    "comparison": "Generators side by side",
    "reference/properties": "CaloFastSim",
    "reference/commands": "k4calofast validate",
    "reference/api": "k4calofast.notebook",
    "notebooks/first_shower": "simulate",
}
"""Pages that a browser opens, and something that each of them says."""

NOTEBOOKS = REPOSITORY / "docs" / "notebooks"
SAID = {
    "first_shower": ("200 showered", "NotSimulatedWarning: 1 of 3 particles", "OTHER_KIND"),
    "two_generators": ("accurate", "response", "crystals above 1 MeV"),
    "train_your_own": ("600 showers", "library of frozen showers"),
}
"""What the cells of each print."""


class _Page(HTMLParser):
    """Where a page leads, and what can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, _tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


def _text(page: Path) -> str:
    return unescape(re.sub(r"<[^>]*>", "", page.read_text()))


def test_reference_is_made_of_the_code(site):
    properties = _text(site / "reference" / "properties.html")
    for field in CaloFastSimProperties.model_fields.values():
        assert field.description is None or field.description in properties
    cards = (site / "reference" / "cards.html").read_text()
    assert [name for name in ModelCard.model_fields if f">{name}<" not in cards] == []
    commands = _text(site / "reference" / "commands.html")
    for command in app.registered_commands:
        assert f"k4calofast {command.name or command.callback.__name__}" in commands
    assert "usage: k4run" in commands


def test_environment_variables_are_those_of_the_code():
    code = "".join(file.read_text() for file in (REPOSITORY / "k4calofast").rglob("*.py"))
    page = (REPOSITORY / "docs" / "reference" / "environment.md").read_text()
    ours = re.compile(r"K4CALOFAST_[A-Z_]+")
    assert set(ours.findall(page)) == set(ours.findall(code))


def test_all_links_of_the_site_lead_somewhere(site):
    pages = {page: _Page(page.read_text()) for page in site.rglob("*.html")}
    broken = []
    for page, content in pages.items():
        for link in content.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            known = parts.fragment in pages[target].anchors if target in pages else True
            if not target.exists() or (parts.fragment and not known):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


@pytest.mark.parametrize("name", SAID)
def test_notebooks_are_plain(name):
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in book.cells}) == len(book.cells)
    assert all(not cell.get("outputs") for cell in book.cells)
    assert all(cell.get("execution_count") is None for cell in book.cells)


def test_all_notebooks_are_here():
    assert {file.stem for file in NOTEBOOKS.glob("*.ipynb")} == {*SAID}


@pytest.mark.parametrize("name", SAID)
def test_the_site_shows_what_notebooks_do(site, name):
    page = (site / "notebooks" / f"{name}.html").read_text()
    for words in SAID[name]:
        assert words in page
    assert "cell_output" in page
    assert 'src="../_images/' in page


@pytest.mark.parametrize("width", [1400, 390])
def test_a_browser_shows_pages_without_errors(site, chromium, width):
    page = chromium.new_page(viewport={"width": width, "height": 800})
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda one: said.extend([one.url] if one.url.startswith("http") else []))
    for name, words in SEEN.items():
        page.goto((site / f"{name}.html").as_uri())
        assert words in page.inner_text("article")
        # What is wide scrolls by itself.
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        cut = "[...document.images].filter(one => one.complete && !one.naturalWidth).length"
        assert page.evaluate(cut) == 0, name
    assert said == []
    page.close()


def test_search_finds_a_property_without_a_server(site, chromium):
    page = chromium.new_page()
    page.goto((site / "search.html").as_uri() + "?q=HitThreshold")
    found = page.locator("#search-results a", has_text="Properties")
    found.first.wait_for(timeout=20_000)
    page.close()

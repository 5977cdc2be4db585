"""Links of pages lead to files and headings that exist; those to the net have a form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "docs").rglob("*.ipynb")),
]
ROOTS = ("algorithms", "benchmarks", "docs", "k4calofast", "options", "tests")
"""Folders of the repository that text names files in."""


def _tokens(page: Path) -> list[Token]:
    text = page.read_text()
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        text = "\n\n".join(texts)
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


TOKENS = {page: _tokens(page) for page in PAGES}


def _inline(page: Path) -> Iterator[Token]:
    for token in TOKENS[page]:
        yield from token.children or ()


def _links(page: Path) -> Iterator[str]:
    for token in _inline(page):
        for attribute in ("href", "src"):
            if attribute in token.attrs:
                yield str(token.attrs[attribute])
    html = [one.content for one in (*TOKENS[page], *_inline(page)) if one.type.startswith("html_")]
    for text in html:
        yield from re.findall(r'(?:href|src)="([^"]*)"', text)


LINKS = [(page, link) for page in PAGES for link in _links(page)]


def _anchors(page: Path) -> set[str]:
    """Anchors of headings, as GitHub makes them."""
    found: dict[str, int] = {}
    anchors = set()
    for heading, content in zip(TOKENS[page], TOKENS[page][1:], strict=False):
        if heading.type != "heading_open":
            continue
        words = "".join(one.content for one in content.children or ())
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = found.get(anchor, 0)
        found[anchor] = count + 1
        anchors.add(f"{anchor}-{count}" if count else anchor)
    return anchors


def _name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def test_links_within_the_repository_lead_somewhere():
    broken = []
    for page, link in LINKS:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        there = target.exists() and target.is_relative_to(REPOSITORY)
        if there and parts.fragment and target.suffix == ".md":
            there = parts.fragment in _anchors(target)
        if not there:
            broken.append(f"{_name(page)}: {link}")
    assert broken == []


def test_links_to_the_net_have_a_form():
    for page, link in LINKS:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            assert parts.scheme == "https", f"{_name(page)}: {link}"
            assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc), f"{_name(page)}: {link}"
            assert not re.search(r"\s", link), f"{_name(page)}: {link}"


def test_pictures_say_what_they_show():
    for page in PAGES:
        for token in _inline(page):
            if token.type == "image":
                assert token.content, f"{_name(page)}: {token.attrs['src']}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_that_text_names_exist(page):
    named = {token.content for token in _inline(page) if token.type == "code_inline"}
    paths = [name for name in named if re.fullmatch(rf"({'|'.join(ROOTS)})/[\w./*-]*", name)]
    assert [path for path in paths if not list(REPOSITORY.glob(path.rstrip("/")))] == []

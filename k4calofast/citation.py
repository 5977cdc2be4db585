"""How to cite this package, from its CITATION.cff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import k4calofast
from k4calofast.exceptions import FileFormatError

_FILE = "CITATION.cff"


def text() -> str:
    """Return how to cite, for people and as BibTeX.

    Raises
    ------
    FileFormatError
        If the file is not where the package is installed.
    """
    said = _read()
    authors = [_author(one) for one in said["authors"]]
    # Braces keep BibTeX from taking a group's name apart, and the capitals of the title.
    names = [
        f"{{{name}}}" if "name" in one else name
        for one, name in zip(said["authors"], authors, strict=True)
    ]
    title, version = said["title"], said.get("version", k4calofast.__version__)
    url = said.get("doi") and f"https://doi.org/{said['doi']}"
    url = url or said.get("url") or said.get("repository-code", "")
    year = str(said.get("date-released", ""))[:4]
    plain = ", ".join(filter(None, (" and ".join(authors), title, f"version {version}", year, url)))
    fields = {
        "author": " and ".join(names),
        "title": f"{{{title}}}",
        "version": version,
        "year": year,
        "doi": said.get("doi", ""),
        "url": url,
        "license": said.get("license", ""),
    }
    entry = [f"  {key} = {{{value}}}," for key, value in fields.items() if value]
    bibtex = "\n".join(["@software{k4calofast,", *entry, "}"])
    return f"{said['message']}\n\n{plain} ({said.get('license', '')})\n\n{bibtex}"


def _author(author: dict[str, Any]) -> str:
    """Name of a group, or of a person with the family name first."""
    if "name" in author:
        return str(author["name"])
    family = " ".join(filter(None, (author.get("name-particle"), author.get("family-names"))))
    return ", ".join(filter(None, (family, author.get("given-names"))))


def _read() -> dict[str, Any]:
    import yaml

    package = Path(__file__).resolve().parent
    # Installed in the package; in a checkout, beside it.
    for file in (package / _FILE, package.parent / _FILE):
        if file.is_file():
            read: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
            return read
    raise FileFormatError(f"{package / _FILE}: no such file; see the project's pages")

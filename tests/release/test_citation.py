"""What is said of the software is true: how to cite it, and where it is at home."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CITATION = REPOSITORY / "CITATION.cff"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_the_citation_is_valid():
    cffconvert = pytest.importorskip("cffconvert")
    cffconvert.Citation(CITATION.read_text()).validate()


def test_the_citation_says_what_the_package_does():
    said = yaml.safe_load(CITATION.read_text())
    assert said["license"] == PROJECT["license"]
    assert said["repository-code"] == PROJECT["urls"]["Home"]
    assert [one["name"] for one in said["authors"]] == [one["name"] for one in PROJECT["authors"]]


def test_all_addresses_are_those_of_the_project():
    owner, name = PROJECT["urls"]["Home"].removeprefix("https://github.com/").split("/")
    homes = (PROJECT["urls"]["Home"], f"https://{owner}.github.io/{name}")
    assert all(address.startswith(homes) for address in PROJECT["urls"].values())


def test_the_changelog_has_a_section_for_each_kind_of_change():
    lines = (REPOSITORY / "CHANGELOG.md").read_text().splitlines()
    kinds = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    assert set(kinds) <= set(order)
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## Unreleased"

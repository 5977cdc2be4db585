"""The version is that of Git's tags, for Python's package and for CMake alike."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import k4calofast

REPOSITORY = Path(__file__).resolve().parents[2]
MADE_OF = ("pyproject.toml", "algorithms/Version.cmake", ".git_archival.txt", ".gitattributes")
"""What decides the version of a tree."""


def _git(tree: Path, *command: str) -> None:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", "-C", str(tree), *who, *command], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path) -> Path:
    """Return a repository of one commit, without tags, that has its version as this one has."""
    pytest.importorskip("hatch_vcs")
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    tree = tmp_path / "tree"
    for name in MADE_OF:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tree / name)
    _git(tmp_path, "init", "-q", str(tree))
    _git(tree, "add", "-A")
    _git(tree, "commit", "-q", "-m", "all")
    return tree


def _of_python(tree: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "version"],
        cwd=tree,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _of_cmake(tree: Path) -> str | None:
    cmake = shutil.which("cmake")
    if cmake is None:
        return None
    script = str(tree / "algorithms" / "Version.cmake")
    done = subprocess.run([cmake, "-P", script], check=True, capture_output=True, text=True)
    return done.stderr.strip()


def _said(version: str) -> str:
    """Return a version with the first digits of its commit: their number is a matter of taste."""
    return re.sub(r"\+g([0-9a-f]{7})[0-9a-f]*", r"+g\1", version)


def _version(tree: Path) -> str:
    """Return the version that a tree has, for all who ask."""
    version = _said(_of_python(tree))
    of_cmake = _of_cmake(tree)
    assert of_cmake is None or _said(of_cmake) == version
    return version


def test_without_tags_the_version_leads_to_the_first_release(tree):
    assert re.fullmatch(r"0\.1\.dev1\+g[0-9a-f]{7}", _version(tree))


def test_a_tag_is_the_version(tree):
    _git(tree, "tag", "v0.3.0")
    assert _version(tree) == "0.3.0"


def test_commits_after_a_tag_lead_to_the_next_release(tree):
    _git(tree, "tag", "v0.3.9")
    _git(tree, "commit", "-q", "--allow-empty", "-m", "more")
    assert re.fullmatch(r"0\.3\.10\.dev1\+g[0-9a-f]{7}", _version(tree))


def test_a_changed_tree_is_no_release(tree):
    _git(tree, "tag", "v0.3.0")
    (tree / "pyproject.toml").write_text((tree / "pyproject.toml").read_text() + "\n")
    assert re.fullmatch(r"0\.3\.1\.dev0\+g[0-9a-f]{7}\.d\d{8}", _version(tree))


def test_tags_of_other_things_are_no_versions(tree):
    _git(tree, "tag", "models-7")
    assert ".dev1+g" in _version(tree)


def test_release_candidates_are_versions(tree):
    _git(tree, "tag", "v1.0.0rc2")
    assert _version(tree) == "1.0.0rc2"


@pytest.mark.parametrize("tag", ["v0.3.0", None])
def test_a_tarball_of_the_repository_knows_its_version(tree, tmp_path, tag):
    if tag is not None:
        _git(tree, "tag", tag)
    _git(tree, "archive", "--format=tar", "--prefix=unpacked/", "-o", f"{tmp_path}/all.tar", "HEAD")
    subprocess.run(["tar", "-C", str(tmp_path), "-xf", f"{tmp_path}/all.tar"], check=True)
    assert _version(tmp_path / "unpacked") == ("0.0" if tag is None else "0.3.0")


def test_a_copy_without_git_has_a_version_too(tree):
    shutil.rmtree(tree / ".git")
    assert _version(tree) == "0.0"


def test_cmake_takes_the_version_of_a_source_distribution(tree):
    """What was built from has the file that the build made."""
    shutil.rmtree(tree / ".git")
    (tree / "k4calofast").mkdir()
    (tree / "k4calofast" / "_version.py").write_text('__version__ = "0.3.1.dev2+g1a2b3c4"\n')
    assert _of_cmake(tree) in (None, "0.3.1.dev2+g1a2b3c4")


def test_the_package_says_its_version():
    assert re.fullmatch(r"\d+(\.\d+)*(rc\d+)?(\.dev\d+)?(\+[\w.]+)?", k4calofast.__version__)

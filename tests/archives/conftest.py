"""A mirror with the archive of a small model of the repository, and a folder to fetch into."""

from __future__ import annotations

from pathlib import Path

import pytest

from k4calofast.archives.packing import archive
from k4calofast.generator import index, search

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture
def wanted() -> index.Entry:
    """The index's smallest model: no network, 0.3 MB."""
    return index.entries()["besiii_emc_barrel/gflash"]


@pytest.fixture(scope="session")
def content() -> bytes:
    """Its archive."""
    return archive(MODELS / "besiii_emc_barrel" / "gflash")


@pytest.fixture
def mirror(tmp_path, monkeypatch, wanted, content) -> Path:
    """A folder with the archive, from which models are fetched."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / wanted.archive).write_bytes(content)
    monkeypatch.setenv("K4CALOFAST_MODEL_MIRROR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Where fetched models go; nothing else is searched."""
    monkeypatch.setattr(search, "PACKAGED", tmp_path / "package" / "models")
    monkeypatch.setenv("K4CALOFAST_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("K4CALOFAST_MODEL_PATH", raising=False)
    return tmp_path / "cache"

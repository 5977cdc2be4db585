"""Every model has one place: in the package, fetched, somewhere else, or to be fetched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from k4calofast.archives import fetching
from k4calofast.archives.listing import Where, listed
from k4calofast.generator import index, search

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.usefixtures("mirror")
def test_models_are_listed_where_a_job_finds_them(wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("K4CALOFAST_MODEL_PATH", str(tmp_path / "mine"))
    shutil.copytree(MODELS / "besiii_emc", search.PACKAGED / "besiii_emc")
    for folder, name in ((search.PACKAGED, "fast"), (tmp_path / "mine", "vae")):
        name = f"besiii_emc_barrel/{name}"
        shutil.copytree(MODELS / name, folder / name)
    (tmp_path / "mine" / "a" / "broken").mkdir(parents=True)
    (tmp_path / "mine" / "a" / "broken" / "card.yaml").write_text("hello")
    fetching.fetch(wanted)
    found = {one.name: one for one in listed()}
    assert {name: one.where for name, one in found.items()} == dict.fromkeys(
        index.entries(), Where.TO_FETCH
    ) | {
        "a/broken": Where.PATH,
        "besiii_emc/accurate": Where.PACKAGE,
        "besiii_emc/fast": Where.PACKAGE,
        "besiii_emc_barrel/fast": Where.PACKAGE,
        "besiii_emc_barrel/gflash": Where.FETCHED,
        "besiii_emc_barrel/vae": Where.PATH,
    }
    for name, one in found.items():
        if one.models == () and one.fault is None and one.folder is not None:
            assert search.find_model(name) == one.folder
            assert one.size == (one.folder / "model.onnx").stat().st_size
    parts = ("barrel/fast", "barrel/hadrons", "endcaps/fast", "endcaps/hadrons")
    assert found["besiii_emc/fast"].models == tuple(f"besiii_emc_{part}" for part in parts)
    assert "card.yaml" in found["a/broken"].fault
    assert found["besiii_emc_barrel/library"].size == 15111243
    assert [one.newer for one in found.values() if one.newer] == []


@pytest.mark.usefixtures("mirror")
def test_a_fetched_model_of_another_version_than_the_index_says_so(wanted):
    card = fetching.fetch(wanted) / "card.yaml"
    card.write_text(card.read_text().replace("version: 0.1.0", "version: 0.0.9", 1))
    (found,) = (one for one in listed() if one.name == wanted.name)
    assert (found.version, found.newer) == ("0.0.9", "0.1.0")


def test_what_is_about_to_be_written_is_no_model(cache, wanted):
    shutil.copytree(MODELS / wanted.name, cache / ".12345678.part" / "gflash")
    assert wanted.name not in search.installed()
    assert search.installed() == {}

"""A training goes on from its work folder, or says in one sentence why it does not."""

from __future__ import annotations

import json
import pickle
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.exceptions import TrainingError
from k4calofast.showers import crystals
from k4calofast.training import recipe, workfolder
from k4calofast.training.families import settings_of
from k4calofast.training.loop import Run

SETTINGS = {"latent": 8, "channels": 4, "hidden": 8, "steps": 8, "batch": 8, "precision": "32-true"}


class Killed(Exception):  # noqa: N818 - it is no error
    pass


def train(geant4, work, report=lambda *_: None):
    settings = settings_of("gan")(epoch=2, **SETTINGS)
    product = recipe.Product(work.with_name("model"), work, "train")
    return recipe.train(recipe.Task("gan", settings, geant4), product, Run(report=report))


@pytest.fixture(scope="module")
def killed(geant4, tmp_path_factory):
    """Work folder of a training that was killed."""
    work = tmp_path_factory.mktemp("killed") / "work"

    def kill(*where: object) -> None:
        if where[1] == 5:
            raise Killed

    with pytest.raises(Killed):
        train(geant4, work, kill)
    return work


@pytest.fixture(scope="module")
def finished(geant4, killed):
    """Work folder of the training that went on from there."""
    work = killed.with_name("finished")
    shutil.copytree(killed, work)
    train(geant4, work)
    return work


@pytest.fixture
def work(killed, tmp_path):
    return Path(shutil.copytree(killed, tmp_path / "work"))


class _Executed:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def _other_checkpoint(file):
    torch.save({"state_dict": {}}, file)


DAMAGES = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "other bytes": lambda file: file.write_bytes(b"\x00\xff" * 100),
    "flipped": lambda file: file.write_bytes(bytes(255 - byte for byte in file.read_bytes())),
    "a pickle": lambda file: file.write_bytes(pickle.dumps(_Executed())),
    "of something else": _other_checkpoint,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["identity.json", "contest/last.ckpt"])
def test_a_damaged_file_is_named_with_what_to_remove(geant4, work, name, damage, monkeypatch):
    monkeypatch.chdir(work)
    damage(work / name)
    with pytest.raises(TrainingError) as error:
        train(geant4, work)
    said = str(error.value)
    assert said.startswith(str(work / name))
    assert f"remove {(work / name).parent}" in said or "remove that folder" in said
    assert "\n" not in said
    assert not Path("executed").exists()
    assert not (work.with_name("model")).exists()


def test_what_is_to_be_removed_lets_the_training_go_on(geant4, work, finished):
    (work / "contest" / "last.ckpt").write_bytes(b"")
    shutil.rmtree(work / "contest")
    train(geant4, work)
    once, again = (torch.load(one / "family.pt", weights_only=True) for one in (finished, work))
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_checkpoints_of_nobody_knows_what_are_not_gone_on_from(geant4, work):
    (work / "identity.json").unlink()
    with pytest.raises(TrainingError, match=r"no identity\.json that says of what; remove it"):
        train(geant4, work)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["family.pt", "identity.json", "configuration.yaml"])
def test_a_damaged_training_is_no_generator(geant4, finished, tmp_path, name, damage, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work = Path(shutil.copytree(finished, tmp_path / "work"))
    damage(work / name)
    with pytest.raises(TrainingError) as error:
        recipe.trained(work, crystals.read(geant4)[1])
    assert str(error.value).startswith(str(work / name))
    assert "\n" not in str(error.value)
    assert not Path("executed").exists()


@pytest.mark.parametrize(("was", "now"), [("seed: 0", "seed: 1"), ("hidden: 8", "hidden: 16")])
def test_settings_that_were_changed_by_hand_are_noticed(geant4, finished, tmp_path, was, now):
    work = Path(shutil.copytree(finished, tmp_path / "work"))
    file = work / "configuration.yaml"
    assert was in file.read_text()
    file.write_text(file.read_text().replace(was, now))
    with pytest.raises(TrainingError, match="was changed after the training"):
        recipe.trained(work, crystals.read(geant4)[1])


def test_a_second_training_in_a_folder_is_refused_while_the_first_is_alive(geant4, work):
    with (
        workfolder.opened(work),
        pytest.raises(TrainingError, match="another training is at work here"),
    ):
        train(geant4, work)
    train(geant4, work)


NOTES = {"identity": {"settings": {}}, "minutes": 1.5, "command": "", "seeds": [1]}
WHATEVER = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@given(
    st.binary(max_size=50)
    | st.dictionaries(st.sampled_from(sorted(NOTES)), WHATEVER).map(
        lambda changed: json.dumps(NOTES | changed).encode()
    )
)
def test_notes_are_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "identity.json").write_bytes(content)
        with suppress(TrainingError):
            assert workfolder.notes(Path(folder)).minutes >= 0

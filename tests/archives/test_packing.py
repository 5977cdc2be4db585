"""An archive is the same for whoever makes it, and holds a card and an ONNX file, nothing else."""

from __future__ import annotations

import io
import shutil
import stat
import tomllib
import warnings
import zipfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from k4calofast.archives.packing import archive, entry_of, pack, unpacked
from k4calofast.exceptions import FetchError, ModelError
from k4calofast.generator import index
from k4calofast.generator.card import digest

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "models"


def _in_the_wheel() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    return {one.removeprefix("models/") for one in included if one.startswith("models/")}


@pytest.mark.parametrize("name", index.entries())
def test_models_of_the_repository_have_the_archives_of_the_index(name):
    content = archive(MODELS / name)
    assert entry_of(MODELS / name, content) == index.entries()[name]


def test_every_model_of_the_repository_is_in_the_wheel_or_in_the_index():
    there = {str(card.parent.relative_to(MODELS)) for card in MODELS.glob("*/*/card.yaml")}
    held = _in_the_wheel()
    packed = {name for name in there if name in held}
    assert len(packed) == 9
    assert there - packed == set(index.entries())
    # And so are all sets, with models that are in the wheel, too.
    for file in MODELS.glob("*/*.yaml"):
        assert str(file.parent.relative_to(MODELS)) in held
        assert set(yaml.safe_load(file.read_text())["models"]) <= held


def test_an_archive_depends_on_nothing_but_the_two_files(tmp_path, wanted, content):
    copy = Path(shutil.copytree(MODELS / wanted.name, tmp_path / "other" / "place"))
    (copy / "notes.txt").write_text("not packed")
    for file in copy.iterdir():
        file.chmod(0o600)
    entry = pack(copy, tmp_path / "out")
    assert entry == wanted
    assert [file.name for file in (tmp_path / "out").iterdir()] == [
        "besiii_emc_barrel-gflash-0.1.0.zip"
    ]
    assert (tmp_path / "out" / entry.archive).read_bytes() == content


def test_what_is_unpacked_is_what_was_packed(wanted, content):
    folder = MODELS / wanted.name
    assert unpacked(content, wanted) == {
        name: (folder / name).read_bytes() for name in ("card.yaml", "model.onnx")
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: ../gflash", "name: String should match"),
        ("name: gflash", "name: String should match"),
        ("version: 1/2", "version: String should match"),
        ("file: other.onnx", "must be named model.onnx"),
    ],
)
def test_a_model_that_no_index_can_name_is_not_packed(tmp_path, wanted, text, sentence):
    copy = Path(shutil.copytree(MODELS / wanted.name, tmp_path / "copy"))
    field = text.partition(":")[0]
    lines = (copy / "card.yaml").read_text().splitlines()
    changed = [text if line.startswith(f"{field}:") else line for line in lines]
    (copy / "card.yaml").write_text("\n".join(changed))
    with pytest.raises(ModelError, match=sentence):
        pack(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _zip(members, **changes) -> bytes:
    """An archive with these members, whose infos get these attributes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A name can be there twice.
        for name, content in members:
            member = zipfile.ZipInfo(name)
            for attribute, value in changes.items():
                setattr(member, attribute, value)
            file.writestr(member, content)
    return buffer.getvalue()


CARD = (MODELS / "besiii_emc_barrel" / "gflash" / "card.yaml").read_bytes()
TINY = CARD.replace(
    yaml.safe_load(CARD)["sha256"].encode(), digest(b"weights").encode()
)  # Unpacking does not run the graph.
BOTH = (("card.yaml", TINY), ("model.onnx", b"weights"))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (_zip([*BOTH, ("../../evil.sh", b"")]), "its members are not card.yaml and model.onnx"),
        (_zip([BOTH[0], ("/model.onnx", b"weights")]), "its members are not"),
        (_zip([BOTH[0], ("a/model.onnx", b"weights")]), "its members are not"),
        (_zip([*BOTH, BOTH[1]]), "its members are not"),
        (_zip(BOTH[:1]), "its members are not"),
        (_zip([BOTH[0], ("model.onnx/", b"")]), "its members are not"),
        (_zip(BOTH, external_attr=(stat.S_IFLNK | 0o777) << 16), "card.yaml is no plain file"),
        (_zip(BOTH, compress_type=zipfile.ZIP_DEFLATED), "card.yaml is compressed"),
        (_zip([("card.yaml", b" " * (1 << 20) + b"x"), BOTH[1]]), "larger than 1048576 bytes"),
        (_zip([("card.yaml", b"layout: 1"), BOTH[1]]), "card.yaml: name: Field required"),
        (_zip([BOTH[0], ("model.onnx", b"others")]), "do not belong together"),
        (
            _zip([("card.yaml", TINY.replace(b"0.1.0", b"9.9.9")), BOTH[1]]),
            "holds .*gflash 9.9.9, not",
        ),
        (b"weights", "not a zip file"),
    ],
)
def test_other_archives_are_refused_even_if_an_index_means_them(wanted, made, sentence):
    with pytest.raises(FetchError, match=sentence):
        unpacked(made, wanted.model_copy(update={"sha256": digest(made)}))
    with pytest.raises(FetchError, match=r"SHA-256 is .*, but the index says"):
        unpacked(made, wanted)


@given(st.data())
def test_whatever_is_wrong_with_an_archive_is_said_in_a_sentence(data):
    """Of any damage that an index could mean, too: refused, or the same model comes out."""
    wanted, good = index.entries()["besiii_emc_barrel/gflash"], _zip(BOTH)
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        # The middle is the card's: most of what can go wrong is at both ends.
        at = data.draw(st.integers(-260, 60))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = bytes(damaged)[: data.draw(st.sampled_from([len(good), len(good) - 5, 100]))]
    try:
        found = unpacked(cut, wanted.model_copy(update={"sha256": digest(cut)}))
    except FetchError as error:
        found, said = None, str(error)
    assert found == dict(BOTH) or (said.startswith(wanted.archive) and "\n" not in said)

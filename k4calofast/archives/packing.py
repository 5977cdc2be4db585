"""Archives: a model in one file, which is the same for whoever packs it, and back.

A zip file with the card and the ONNX file, neither compressed, without times, owners and comments.
"""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

from k4calofast import output
from k4calofast.documents import one_line, read_bytes, validated
from k4calofast.exceptions import FetchError, K4CaloFastError, ModelError
from k4calofast.generator.card import (
    CARD_FILE,
    LARGEST_CARD,
    LARGEST_MODEL,
    MODEL_FILE,
    card_of,
    digest,
    read_card,
    read_checked,
)
from k4calofast.generator.index import Entry

_LARGEST = {CARD_FILE: LARGEST_CARD, MODEL_FILE: LARGEST_MODEL}
"""Members of an archive, in their order, and how many bytes they may have."""

_TIME = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = (stat.S_IFREG | 0o644) << 16
_UNIX = 3


def archive(folder: Path) -> bytes:
    """Return the archive of a model.

    Raises
    ------
    ModelError
        If card and ONNX file do not fit together, or the latter has an unusual name.
    """
    card = read_card(folder)
    if card.file != MODEL_FILE:
        raise ModelError(f"{folder}: the ONNX file must be named {MODEL_FILE}, not {card.file}")
    members = {
        CARD_FILE: read_bytes(folder / CARD_FILE, LARGEST_CARD, ModelError),
        MODEL_FILE: read_checked(folder, card),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name in _LARGEST:
            member = zipfile.ZipInfo(name, _TIME)
            member.create_system, member.external_attr = _UNIX, _PLAIN_FILE
            file.writestr(member, members[name])
    return buffer.getvalue()


def entry_of(folder: Path, content: bytes) -> Entry:
    """Return what the index has to say of a model and its archive.

    Raises
    ------
    ModelError
        If the card has a name, say, that none in an index can have.
    """
    card = read_card(folder)
    said = {
        **{name: getattr(card, name) for name in ("name", "version", "licence", "detector")},
        "description": card.in_short,
        "kinds": tuple(card.kinds),
        "size": len(content),
        "sha256": digest(content),
    }
    return validated(Entry, said, folder / CARD_FILE, ModelError)


def pack(folder: Path, into: Path) -> Entry:
    """Write the archive of a model into a folder, under the name that its entry has.

    Raises
    ------
    ModelError, OutputError
        If it is no model that can be packed, or the archive cannot be written.
    """
    content = archive(folder)
    entry = entry_of(folder, content)
    output.write(into / entry.archive, content)
    return entry


def unpacked(content: bytes, entry: Entry) -> dict[str, bytes]:
    """Return the members of an archive, by name, after making sure that they are a model.

    Parameters
    ----------
    content
        Of the archive.
    entry
        What the index says of it.

    Raises
    ------
    FetchError
        If the archive is not the index's, has other members than a card and an ONNX file, or these
        are not the model that the index means.
    """
    where = entry.archive
    found = digest(content)
    if found != entry.sha256:
        raise FetchError(
            f"{where}: SHA-256 is {found[:12]}…, but the index says {entry.sha256[:12]}…: the file "
            "is damaged, or another one"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = {name: _member(file, name) for name in _names(file)}
    except Exception as error:
        # For most of what can be wrong with a file, zipfile has no error of its own.
        raise FetchError(f"{where}: no archive of a model: {one_line(str(error))}") from None
    try:
        card = card_of(members[CARD_FILE], f"{where}/{CARD_FILE}")
    except K4CaloFastError as error:
        raise FetchError(str(error)) from None
    if (card.name, card.version) != (entry.name, entry.version):
        raise FetchError(
            f"{where}: holds {card.name} {card.version}, not {entry.name} {entry.version}"
        )
    if (card.file, card.sha256) != (MODEL_FILE, digest(members[MODEL_FILE])):
        raise FetchError(f"{where}: model and card do not belong together")
    return members


def _names(file: zipfile.ZipFile) -> list[str]:
    names = [member.filename for member in file.infolist()]
    if sorted(names) != sorted(_LARGEST):
        raise zipfile.BadZipFile(f"its members are not {' and '.join(_LARGEST)}")
    return names


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    member = file.getinfo(name)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.is_dir() or kind not in (0, stat.S_IFREG):
        raise zipfile.BadZipFile(f"{name} is no plain file")
    if member.compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile(f"{name} is compressed")
    if member.file_size > _LARGEST[name]:
        raise zipfile.BadZipFile(f"{name} is larger than {_LARGEST[name]} bytes")
    return file.read(member)

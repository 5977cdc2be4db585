"""Writing EDM4hep files as RNTuples that podio reads, with uproot.

uproot leaves records in an RNTuple without a type name, and podio looks for the names of its
structs, ROOT for their versions. `_NamedHeader` puts them in; this is the only use of uproot's
internals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import awkward as ak
import numpy as np
import uproot
from uproot.const import RNTupleFieldFlags, rntuple_version_for_writing
from uproot.writing import _cascadentuple

from k4calofast.events.frames import CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import Layout, Struct, jagged, numbers, record, strings
from k4calofast.events.rntuple import NO_VERSION
from k4calofast.exceptions import OutputError

_COMPRESSION = uproot.ZSTD(1)
"""On simulated hits level 1 is within 3 % of the size of ROOT's level 5, three times as fast."""


class _StructField(_cascadentuple.NTuple_Field_Description):  # type: ignore[misc]
    """The description of a field of structs that ROOT can identify."""

    def __init__(self, plain: Any, struct: Struct) -> None:
        self.__dict__.update(plain.__dict__)
        self.type_version = NO_VERSION if struct.version is None else struct.version
        self.checksum = struct.checksum
        if self.checksum is not None:
            self.flags |= RNTupleFieldFlags.CHECKSUM

    def serialize(self) -> bytes:
        plain: bytes = super().serialize()
        return plain if self.checksum is None else plain + self.checksum.to_bytes(4, "little")


class _NamedHeader(_cascadentuple.NTuple_Header):  # type: ignore[misc]
    """An RNTuple header whose record fields say which C++ structs they hold."""

    def _build_field_col_records(self, akform: Any, *args: Any, **kwargs: Any) -> None:
        index = len(self._field_records)
        super()._build_field_col_records(akform, *args, **kwargs)
        if kwargs.get("add_field", True):
            plain = self._field_records[index]
            plain.type_name = _cpp_name(akform)
            if isinstance(akform, ak.forms.RecordForm) and "__record__" in akform.parameters:
                self._field_records[index] = _StructField(plain, Struct.of(akform))


def _cpp_name(form: Any) -> str:
    """C++ type of a form: that of its ``__record__`` parameter for records."""
    if isinstance(form, ak.forms.RecordForm) and not form.is_tuple:
        # The RNTuple itself is the one record without a struct.
        return str(form.parameters.get("__record__", ""))
    if isinstance(form, ak.forms.ListOffsetForm) and form.parameter("__array__") != "string":
        return f"std::vector<{_cpp_name(form.content)}>"
    if isinstance(form, ak.forms.RegularForm):
        return f"std::array<{_cpp_name(form.content)},{form.size}>"
    return str(_cascadentuple._cpp_typename(form))


class EventFileWriter:
    """Writes categories of frames to a file; nothing has its name until all is written.

    Parameters
    ----------
    file
        The file, replaced if it exists. Until `close` it is ``<file>.part``.
    info
        What to say about the software.

    Raises
    ------
    OutputError
        If the file cannot be written; so do all methods.
    """

    def __init__(self, file: Path, info: FileInfo) -> None:
        self._file, self._info = file, info
        self._unfinished = file.with_name(file.name + ".part")
        self._ntuples: dict[str, Any] = {}
        self._infos: dict[str, tuple[CollectionInfo, ...]] = {}
        self._root: Any = None
        with _Writing(self._file):
            file.parent.mkdir(parents=True, exist_ok=True)
            self._root = uproot.recreate(self._unfinished, compression=_COMPRESSION)

    def write(self, category: str, frames: Frames, infos: Sequence[CollectionInfo]) -> None:
        """Append frames to a category; the first call for each fixes its fields."""
        with _Writing(self._file):
            self._append(category, frames.fields, frames.count)
        self._infos.setdefault(category, tuple(infos))

    def close(self) -> None:
        """Write what podio needs to know, and give the file its name."""
        with _Writing(self._file):
            self._append("podio_metadata", self._podio_metadata(), 1)
            if self._info.streamers:
                self._root._file.update_streamers(list(self._info.streamers))
            self._root.close()
            self._unfinished.replace(self._file)

    def discard(self) -> None:
        """Give up: nothing remains."""
        try:
            if self._root is not None:
                self._root.close()
        except OSError:
            pass  # The disk that made us give up can refuse the rest, too.
        self._unfinished.unlink(missing_ok=True)

    def __enter__(self) -> EventFileWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.close()
        except BaseException:
            self.discard()
            raise

    def _append(self, name: str, fields: Any, count: int) -> None:
        data = ak.contents.RecordArray(list(fields.values()), list(fields), length=count)
        file = self._root._file
        if name not in self._ntuples:
            self._ntuples[name] = self._start(name, data.form)
        self._ntuples[name].extend(file, file.sink, ak.Array(data))

    def _start(self, name: str, form: Any) -> Any:
        """Start an RNTuple: what uproot's ``mkrntuple`` does, with our header."""
        directory = self._root._cascading
        free = directory.freesegments
        form = _cascadentuple._to_packed_form(form)
        anchor = _cascadentuple.NTuple_Anchor(
            None, *rntuple_version_for_writing, None, None, None, None, None, None, 0
        )
        header = _NamedHeader(None, name, "", form)
        footer = _cascadentuple.NTuple_Footer(None, header._checksum)
        ntuple = _cascadentuple.NTuple(directory, form, free, header, footer, [], anchor)
        ntuple.write(self._root._file.sink)
        return ntuple

    def _podio_metadata(self) -> dict[str, Layout]:
        def one(content: Layout) -> Layout:
            return jagged(np.array([0, content.length]), content)

        def version(version: Iterable[int]) -> Layout:
            return one(numbers(list(version), np.uint16))

        names, texts = list(self._info.definitions), list(self._info.definitions.values())
        fields = {
            "PodioBuildVersion": version(self._info.podio_version),
            **{f"{n}___Version": version(v) for n, v in self._info.model_versions.items()},
            "EDMDefinitions": one(
                ak.contents.RecordArray([strings(names), strings(texts)], None, len(names))
            ),
            "availableCategories": one(strings(list(self._infos))),
        }
        for category, infos in self._infos.items():
            columns = {
                "collectionID": numbers([i.collection_id for i in infos], np.uint32),
                "dataType": strings([i.data_type for i in infos]),
                "isSubset": numbers([i.is_subset for i in infos], np.bool_),
                "schemaVersion": numbers([i.schema_version for i in infos], np.uint32),
                "name": strings([i.name for i in infos]),
                "storageType": strings([i.storage_type for i in infos]),
            }
            fields[f"{category}___CollectionTypeInfo"] = one(
                record(Struct("podio::root_utils::CollectionWriteInfo"), columns)
            )
        return fields


class _Writing:
    """Turns what the operating system says into one sentence."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise OutputError(f"{self._file} cannot be written: {reason}") from error

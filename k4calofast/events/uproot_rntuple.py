"""RNTuples with what uproot leaves out: checksums of pages, names of structs.

ROOT puts an XxHash3 checksum behind each page and compares it when reading. podio looks for the
names of its structs, ROOT for their versions. uproot writes none of these, does not compare the
checksums, and keeps the places of all pages in memory. The classes here do; they are the only
use of uproot's internals.

The format: ROOT's "RNTuple Binary Format Specification", version 1.0.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot
import uproot.models.RNTuple as _reading  # noqa: N813 - as the other is _writing
import uproot.writing._cascadentuple as _writing
import xxhash
from uproot.const import RNTupleFieldFlags, rntuple_version_for_writing
from uproot.source.chunk import Chunk
from uproot.source.cursor import Cursor

from k4calofast.events.layout import Layout, Struct
from k4calofast.exceptions import FileFormatError

NO_VERSION = 0xFFFFFFFF
"""Version that ROOT writes for structs without one."""

_CHECKSUM_BYTES = 8


def _checksum(data: Any) -> bytes:
    # xxhash has it in big endian.
    return xxhash.xxh3_64_digest(data)[::-1]


def _compare(data: Any, what: str) -> None:
    """Compare the checksum at the end of data with what is in front of it."""
    if _checksum(data[:-_CHECKSUM_BYTES]) != bytes(data[-_CHECKSUM_BYTES:]):
        raise FileFormatError(f"{what} is damaged (its checksum is another), get it anew")


class Cluster(NamedTuple):
    """Entries whose pages lie together."""

    num_first_entry: int
    num_entries: int


class NTuple(_reading.Model_ROOT_3a3a_RNTuple):  # type: ignore[misc]
    """An RNTuple that is read with all checksums compared, and few places of pages in memory."""

    encoded_classname = _reading.Model_ROOT_3a3a_RNTuple.__name__
    _cluster_summaries: list[Cluster] | None
    _page_link_list: _Places | None

    @property
    def header(self) -> Any:
        """What the RNTuple holds; parsed once for all files that have the same."""
        return _parsed_header(self.header_bytes)

    @cached_property
    def header_bytes(self) -> bytes:
        """The header as it is in the file."""
        self._prepare_header_chunk()
        return bytes(self._header_chunk.raw_data)

    def to_akform(self, *, filter_name: Any, **others: Any) -> Any:
        """Awkward form of some fields; made once for all files that have the same."""
        if self.footer.extension_links.field_records:
            return super().to_akform(filter_name=filter_name, **others)
        key = self.header_bytes, tuple(filter_name)
        if key not in _FORMS:
            if len(_FORMS) >= _FEW:
                _FORMS.clear()
            _FORMS[key] = super().to_akform(filter_name=filter_name, **others)
        return _FORMS[key]

    def _prepare_header_chunk(self) -> None:
        super()._prepare_header_chunk()
        _compare(self._header_chunk.raw_data, "an RNTuple's header")

    def _prepare_footer_chunk(self) -> None:
        super()._prepare_footer_chunk()
        _compare(self._footer_chunk.raw_data, "an RNTuple's footer")

    @property
    def num_entries(self) -> int:
        """Number of entries."""
        return sum(group.entry_span for group in self.footer.cluster_group_records)

    @property
    def cluster_summaries(self) -> list[Cluster]:
        """All clusters in their order."""
        if self._cluster_summaries is None:
            self._cluster_summaries = [
                cluster
                for group in self.footer.cluster_group_records
                for cluster in (
                    [Cluster(group.min_entry_num, group.entry_span)]
                    if group.num_clusters == 1
                    else _PageList(self, group).clusters
                )
            ]
        return self._cluster_summaries

    @property
    def page_link_list(self) -> _Places:
        """Places of pages by cluster and column."""
        if self._page_link_list is None:
            self._page_link_list = _Places(self)
        return self._page_link_list

    def stored(self, names: tuple[str, ...]) -> tuple[bytes, ...]:
        """Header and pages of some fields as they are in the file: what is equal means the same."""
        found = [self.header_bytes]
        for column in self.column_records:
            number = column.field_id
            while (parent := self.field_records[number].parent_field_id) != number:
                number = parent
            if self.field_records[number].field_name in names:
                for cluster in range(len(self.cluster_summaries)):
                    for page in self.page_link_list[cluster][column.idx].pages:
                        chunk, cursor = self.read_locator(page.locator, 0)
                        found.append(cursor.bytes(chunk, page.locator.num_bytes, {}))
        return tuple(bytes(part) for part in found)

    def read_page(self, destination: Any, cluster: int, column: int, *rest: Any) -> None:
        """Read a page of a column."""
        try:
            super().read_page(destination, cluster, column, *rest)
        except FileFormatError as error:
            field = self.all_fields[self.column_records[column].field_id]
            while not field.path:  # An element of a vector has no name of its own.
                field = field.parent
            raise FileFormatError(f"field '{field.path}', cluster {cluster}: {error}") from error

    def read_locator(self, loc: Any, uncomp_size: int) -> tuple[Any, Cursor]:
        """Read and decompress what is at a place; compare its checksum if it has one."""
        checksum = _CHECKSUM_BYTES if isinstance(loc, _CheckedPlace) else 0
        chunk = self.file.source.chunk(loc.offset, loc.offset + loc.num_bytes + checksum)
        if checksum:
            _compare(chunk.raw_data, "a page")
        cursor = Cursor(loc.offset)
        if loc.num_bytes < uncomp_size:
            chunk = uproot.compression.decompress(chunk, cursor, {}, loc.num_bytes, uncomp_size)
            cursor.move_to(0)
        return chunk, cursor


_FEW = 16
"""Inputs of a job are alike, so what they have in common is kept for a few of a kind."""

_FORMS: dict[tuple[bytes, tuple[str, ...]], Any] = {}


@lru_cache(_FEW)
def _parsed_header(data: bytes) -> Any:
    chunk = Chunk.wrap(None, np.frombuffer(data, np.uint8))
    return _reading.HeaderReader().read(chunk, Cursor(0), {})


class _CheckedPlace(NamedTuple):
    """Where a page with a checksum is; its bytes do not count the checksum."""

    num_bytes: int
    offset: int


class _PageList:
    """A page list: the clusters of a group, and the places of their pages when asked."""

    _summaries = _reading.ListFrameReader(
        _reading.RecordFrameReader(_reading.ClusterSummaryReader())
    )
    _columns = _reading.ListFrameReader(_reading.ColumnPageListFrameReader())

    def __init__(self, ntuple: NTuple, group: Any) -> None:
        link = group.page_list_link
        self._chunk, cursor = ntuple.read_locator(link.locator, link.env_uncomp_size)
        _compare(self._chunk.raw_data, "an RNTuple's page list")
        # Type and length, then the header's checksum.
        cursor.skip(2 * _CHECKSUM_BYTES)
        self.clusters = [
            Cluster(one.num_first_entry, one.num_entries)
            for one in self._summaries.read(self._chunk, cursor, {})
        ]
        self._cursors = []
        frame_size = _reading._rntuple_frame_size_format
        cursor.skip(frame_size.size + _reading._rntuple_frame_num_items_format.size)
        for _ in self.clusters:
            self._cursors.append(cursor.copy())
            # Negative sizes are those of lists.
            cursor.skip(-cursor.field(self._chunk, frame_size, {}, move=False))

    def columns(self, cluster: int) -> Any:
        """Places of a cluster's pages by column."""
        columns = self._columns.read(self._chunk, self._cursors[cluster].copy(), {})
        for column in columns:
            for page in column.pages:
                if page.has_checksum:
                    page.locator = _CheckedPlace(page.locator.num_bytes, page.locator.offset)
        return columns


class _Places(dict[int, Any]):
    """Places of the pages of clusters, read when asked; `clear` forgets them.

    They take some 65 kB per cluster.
    """

    def __init__(self, ntuple: NTuple) -> None:
        super().__init__()
        self._ntuple = ntuple
        self._groups = ntuple.footer.cluster_group_records
        # The first cluster of each group.
        self._first = np.cumsum([0] + [group.num_clusters for group in self._groups])
        self._latest: tuple[int, _PageList] | None = None

    def __missing__(self, cluster: int) -> Any:
        group = int(np.searchsorted(self._first, cluster, side="right")) - 1
        if self._latest is None or self._latest[0] != group:
            self._latest = group, _PageList(self._ntuple, self._groups[group])
        self[cluster] = self._latest[1].columns(cluster - int(self._first[group]))
        return self[cluster]


CLASSES = {**uproot.classes, "ROOT::RNTuple": NTuple}
"""What uproot is to make of the objects in a file."""


class _StructField(_writing.NTuple_Field_Description):  # type: ignore[misc]
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


class _NamedHeader(_writing.NTuple_Header):  # type: ignore[misc]
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
    return str(_writing._cpp_typename(form))


class NTupleWriter(_writing.NTuple):  # type: ignore[misc]
    """An RNTuple that is written with checksums behind its pages.

    Parameters
    ----------
    root
        uproot's file, open for writing.
    name
        Name of the RNTuple.
    form
        Awkward form of its entries: a record of the fields.
    """

    def __init__(self, root: Any, name: str, form: Any) -> None:
        directory = root._cascading
        form = _writing._to_packed_form(form)
        anchor = _writing.NTuple_Anchor(
            None, *rntuple_version_for_writing, None, None, None, None, None, None, 0
        )
        header = _NamedHeader(None, name, "", form)
        footer = _writing.NTuple_Footer(None, header._checksum)
        super().__init__(directory, form, directory.freesegments, header, footer, [], anchor)
        self._compression = directory.freesegments.fileheader.compression
        self._sink = root._file.sink
        self.write(self._sink)

    def append(self, entries: Layout) -> None:
        """Write entries, a record of the fields, as one cluster of one page per column."""
        data = _writing._to_packed(entries)
        if data.form != self._header._akform:
            raise ValueError(f"expected {self._header._akform}, got {data.form}")
        # Forms are equal whatever the order of fields; that of columns is fixed.
        data = _writing._reorder_fields_to_match_form(data, self._header._akform)
        buffers = ak.to_buffers(data)[2]
        columns = []
        for number, key in enumerate(self._header._column_keys):
            values = buffers[key].reshape(-1)
            # RNTuples leave the first offset out: it is 0.
            values = values[1:] if key.endswith("-offsets") else values
            columns.append(
                _writing.NTuple_ColumnPageListDescription(
                    [self._page(values)] if values.size else [],
                    self._column_counts[number],
                    _writing._compression_code(self._compression),
                )
            )
            self._column_counts[number] += values.size
        summary = _writing.NTuple_ClusterSummary(self._num_entries, data.length)
        page_list = _writing.NTuple_PageListEnvelope(
            self._header._checksum, [summary], [columns]
        ).serialize()
        self._footer.cluster_group_record_frames.append(
            _writing.NTuple_ClusterGroupRecord(
                self._num_entries,
                data.length,
                1,
                _writing.NTuple_EnvLink(len(page_list), self._stored(page_list, len(page_list))),
            )
        )
        self._num_entries += data.length

    def finish(self) -> None:
        """Write where the clusters are."""
        footer = self._footer.serialize()
        self._anchor.seek_footer = self._stored(footer, len(footer)).offset
        self._anchor.nbytes_footer = self._anchor.len_footer = len(footer)
        self._sink.write(self._anchor.location, self._anchor.serialize())
        self.sync(self._sink)

    def _page(self, values: npt.NDArray[Any]) -> _CheckedPage:
        plain = (
            np.packbits(values, bitorder="little")
            if values.dtype == np.bool_
            else values.view(np.uint8)
        )
        page = bytes(uproot.compression.compress(plain, self._compression))
        place = self._stored(page + _checksum(page), len(plain))
        place.num_bytes = len(page)
        return _CheckedPage(values.size, place)

    def _stored(self, data: bytes, uncompressed_bytes: int) -> Any:
        key = self.add_rblob(self._sink, data, uncompressed_bytes)
        return _writing.NTuple_Locator(len(data), key.location + key.allocation)


class _CheckedPage(_writing.NTuple_PageDescription):  # type: ignore[misc]
    """Where a page with a checksum is: a negative number of elements says that it has one."""

    def serialize(self) -> bytes:
        count: bytes = _reading._rntuple_page_num_elements_format.pack(-self.num_entries)
        place: bytes = self.locator.serialize()
        return count + place

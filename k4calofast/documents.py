"""Small files from others, YAML and JSON: read as data, within limits, or refused in a sentence.

Model cards, settings, descriptions of detectors, requests and reports come from anywhere. Whatever
is in them, a reader takes no more memory and time than the limits here allow.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ValidationError

from k4calofast.exceptions import K4CaloFastError

_LARGEST_YAML = 1 << 20
_LARGEST_JSON = 1 << 24
_MOST_VALUES = 50_000
"""In a YAML document, those of aliases counted wherever they stand."""
_DEEPEST = 50
_LONGEST_NUMBER = 100
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters of text that nobody writes, halves of surrogate pairs among them."""


def one_line(text: str) -> str:
    """Text as one line without control characters, for sentences and logs."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _is_name(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of characters that can be printed")
    return text


Name = Annotated[str, AfterValidator(_is_name)]
"""Text of one line without control characters, which can stand in a log."""


def read_bytes(file: Path, largest: int, error: type[K4CaloFastError]) -> bytes:
    """Read a whole file.

    Parameters
    ----------
    file
        A regular file, or a link to one.
    largest
        Bytes that it may have.
    error
        Raised, with one sentence, if it is another kind of file, larger, or cannot be read.
    """
    try:
        # Without waiting: to open a FIFO can take for ever.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise error(f"{file}: not a regular file")
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(largest + 1)
    except FileNotFoundError:
        raise error(f"{file}: no such file") from None
    except (OSError, ValueError) as reason:
        said = getattr(reason, "strerror", None) or reason
        raise error(f"{one_line(str(file))}: cannot be read: {said}") from None
    if len(content) > largest:
        raise error(f"{file}: larger than {largest} bytes")
    return content


def read_text(file: Path, largest: int, error: type[K4CaloFastError]) -> str:
    """Read a whole file in UTF-8; see `read_bytes`."""
    try:
        return read_bytes(file, largest, error).decode("utf-8")
    except UnicodeDecodeError as reason:
        raise error(f"{file}: cannot be read: not UTF-8 (byte {reason.start})") from None


def read_yaml(file: Path, error: type[K4CaloFastError]) -> Any:
    """Read a YAML document.

    Raises
    ------
    K4CaloFastError
        Of class `error`, if it cannot be read; the message names the line.
    """
    return yaml_of(read_text(file, _LARGEST_YAML, error), str(file), error)[0]


def read_mapping(file: Path, error: type[K4CaloFastError]) -> tuple[Any, dict[str, str]]:
    """Read a YAML document, and where each key of the mapping that it is stands (``file:line``)."""
    values, node = yaml_of(read_text(file, _LARGEST_YAML, error), str(file), error)
    keys = node.value if isinstance(node, yaml.MappingNode) else []
    return values, {str(key.value): f"{file}:{key.start_mark.line + 1}" for key, _ in keys}


def yaml_of(
    text: str, where: str, error: type[K4CaloFastError]
) -> tuple[Any, yaml.nodes.Node | None]:
    """Return the values in a YAML document, and its nodes; `where` begins an error's sentence."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    except yaml.MarkedYAMLError as reason:
        mark = reason.problem_mark or reason.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        what = reason.problem or reason.context or "not YAML"
        raise error(f"{where}{line}: cannot be read: {one_line(what)}") from None
    except yaml.YAMLError as reason:
        raise error(f"{where}: cannot be read: {one_line(str(reason))}") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's, with limits, and with errors of one class."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        alias = isinstance(event, yaml.AliasEvent)
        before = self._values
        self._depth += 1
        self._values += 1
        if self._depth > _DEEPEST:
            raise _refused(f"more than {_DEEPEST} levels", event)
        node = super().compose_node(parent, index)
        if alias:
            # What is not complete yet has no size.
            if id(node) not in self._sizes:
                raise _refused(f"'{event.anchor}' contains itself", event)
            self._values += self._sizes[id(node)]
        if self._values > _MOST_VALUES:
            raise _refused(f"more than {_MOST_VALUES} values", event)
        self._depth -= 1
        self._sizes.setdefault(id(node), self._values - before)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _refused(f"{key.value}: is there twice", key)
                seen.add((key.tag, key.value))
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if found := NO_TEXT.search(node.value):
            raise _refused(f"a character that is no text (U+{ord(found[0]):04X})", node)
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and len(node.value) > _LONGEST_NUMBER:
            raise _refused(f"a number of more than {_LONGEST_NUMBER} digits", node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception:
            # PyYAML leaves it to Python what a number, a date and so on is.
            what = f"not a value of its type, {node.tag.rpartition(':')[2]}"
            raise _refused(what, node) from None


def _refused(what: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=at.start_mark)


def read_json(file: Path, error: type[K4CaloFastError]) -> Any:
    """Read a JSON document.

    Raises
    ------
    K4CaloFastError
        Of class `error`, if it cannot be read.
    """
    text = read_text(file, _LARGEST_JSON, error)
    try:
        return json.loads(text)
    except RecursionError:
        raise error(f"{file}: cannot be read: too many levels") from None
    except ValueError as reason:
        raise error(f"{file}: cannot be read: {one_line(str(reason))}") from None


Checked = TypeVar("Checked", bound=BaseModel)


def validated(
    schema: type[Checked], content: Any, where: object, error: type[K4CaloFastError]
) -> Checked:
    """Return what a document says, checked against its schema.

    Raises
    ------
    K4CaloFastError
        Of class `error`; the message begins with `where` and names the field.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as reason:
        raise error(f"{where}: {first_fault(reason)}") from None


def first_fault(error: ValidationError) -> str:
    """Field and what is wrong with it, in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return one_line(f"{field}: {first['msg']}" if field else first["msg"])

"""The properties of `k4calofast.properties` as a C++ header for the Gaudi components.

    python -m k4calofast.gaudi.properties_header algorithms/src/Properties.h

The header is committed, so that building the components needs no Python package; a test
compares it with what this module makes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from k4calofast.gaudi.components import COMPONENTS
from k4calofast.properties import Properties

KINDS = tuple(properties for _, properties in COMPONENTS.values())

_CPP: dict[Any, str] = {
    bool: "bool",
    float: "double",
    int: "std::int64_t",
    str: "std::string",
    list[int]: "std::vector<int>",
    list[float]: "std::vector<double>",
    list[str]: "std::vector<std::string>",
}

_HEAD = """\
// Made by `python -m k4calofast.gaudi.properties_header`; change k4calofast/properties.py instead.
// clang-format off
#pragma once

#include <Gaudi/Property.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace k4calofast {

/// A property that names collections.
struct CollectionProperty {
  const char* name;
  std::vector<std::string> value;
  const char* doc;
};
"""


def header() -> str:
    """Return the text of the header."""
    return "\n".join([_HEAD, *(_struct(kind) for kind in KINDS), "} // namespace k4calofast", ""])


def _struct(kind: type[Properties]) -> str:
    fields = kind.model_fields
    plain = {name: field for name, field in fields.items() if not _is_collection(name)}
    lines = [
        f"/// {kind.__doc__}" if kind.__doc__ else "",
        f"struct {kind.__name__} {{",
        *_collections("inputs", [name for name in fields if name.startswith("Input")], fields),
        *_collections("outputs", [name for name in fields if name.startswith("Output")], fields),
        "  template <typename Owner>",
        f"  explicit {kind.__name__}(Owner* owner)",
    ]
    initial = [
        f"{name}{{owner, {json.dumps(name)}, {_literal(field.default)},\n"
        f"        {json.dumps(field.description)}}}"
        for name, field in plain.items()
    ]
    lines.append("      : " + ",\n        ".join(initial) + " {}")
    lines += [
        "",
        "  /// Calls `visit` with the name and value of each property that names no collection.",
        "  template <typename Visitor>",
        "  void each(Visitor&& visit) const {",
        *(f"    visit({json.dumps(name)}, {name}.value());" for name in plain),
        "  }",
        "",
        *(f"  Gaudi::Property<{_type(field)}> {name};" for name, field in plain.items()),
        "};",
        "",
    ]
    return "\n".join(lines)


def _is_collection(name: str) -> bool:
    return name.startswith(("Input", "Output"))


def _collections(what: str, names: list[str], fields: dict[str, FieldInfo]) -> list[str]:
    rows = [
        f"        CollectionProperty{{{json.dumps(name)}, {_literal(fields[name].default)},\n"
        f"                           {json.dumps(fields[name].description)}}},"
        for name in names
    ]
    return [
        f"  static std::array<CollectionProperty, {len(names)}> {what}() {{",
        "    return {",
        *rows,
        "    };",
        "  }",
        "",
    ]


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if "Literal" in str(annotation):
        return _CPP[str]
    is_unsigned = any(getattr(rule, "lt", 0) == 1 << 64 for rule in field.metadata)
    return "std::uint64_t" if is_unsigned else _CPP[annotation]


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "{" + ", ".join(_literal(part) for part in value) + "}"
    return json.dumps(value)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(header(), encoding="utf-8")

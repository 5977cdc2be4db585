"""Reference pages made of the code when the site is built.

A page of ``docs/reference`` says with the comment ``<!-- made of the code: NAME -->`` what belongs
there; on GitHub nothing is seen of it. Nothing that is made here is committed.
"""

from __future__ import annotations

import inspect
import os
import posixpath
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import typer.main
from pydantic import BaseModel
from sphinx.application import Sphinx

from k4calofast.cli.commands import app as k4calofast_command
from k4calofast.detector import description
from k4calofast.fullsim import request
from k4calofast.generator import card, sets
from k4calofast.steering.configurables import COMPONENTS, ApplicationMgr, IOSvc

_PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
HOME = _PROJECT["urls"]["Source"]
"""Where files of the repository are shown."""

_UNDERLINE = re.compile(r"-{4,}$")
_MARK = re.compile(r"<!-- made of the code: (\w+) -->")

COMPONENTS_OF_JOBS = (
    "CaloFastSim",
    "CaloHitMerger",
    "CaloDigitiser",
    "CaloParticleGun",
    "EventHeaderCreator",
    "UniqueIDGenSvc",
)
"""Those with properties, in the order of the page."""

MODULES = {
    "From Python": ["notebook"],
    "Detectors": ["detector"],
    "Particles on their way": ["events.columns", "incidence.fate"],
    "Generators": ["generator", "generator.sets"],
    "The engine": ["engine"],
    "Hits": ["hits"],
    "Showers": ["showers.base", "showers.reading", "showers.crystals", "showers.layers"],
    "Training": ["training.family", "training.recipe"],
    "Validation": ["validation.report", "validation.metrics"],
    "Errors": ["exceptions"],
}
"""What is for others to call, below `k4calofast`."""


def properties() -> Iterator[str]:
    """Properties of components, from their classes."""
    classes = {name: COMPONENTS[name] for name in COMPONENTS_OF_JOBS}
    classes |= {"IOSvc": IOSvc, "ApplicationMgr": ApplicationMgr}
    for name, component in classes.items():
        yield from (f"## {name}", "", inspect.getdoc(component) or "", "")
        yield from _fields(component.properties_type)


def cards() -> Iterator[str]:
    """Fields of model cards."""
    yield from _documents(card.ModelCard, card.Training)


def model_sets() -> Iterator[str]:
    """Fields of sets of models."""
    yield from _documents(sets.ModelSet, sets.Member)


def requests() -> Iterator[str]:
    """Fields of requests for showers."""
    yield from _documents(request.Request, request.OfKind, request.Axis)


def detectors() -> Iterator[str]:
    """Keys of descriptions of layered barrels and endcaps."""
    yield from _documents(
        description.BarrelDescription,
        description.Modules,
        description.EndcapDescription,
        description.Plates,
        description.Grid,
        description.Wafers,
        description.Slices,
        description.Slice,
        description.Material,
    )


def _documents(*models: type[BaseModel]) -> Iterator[str]:
    for number, model in enumerate(models):
        first = (inspect.getdoc(model) or "").partition("\n\n")[0]
        yield from ([] if number == 0 else [f"## {model.__name__}", "", first, ""])
        yield from _fields(model)


def _fields(model: type[BaseModel]) -> Iterator[str]:
    """Table of the fields of a model: name, value, default, meaning."""
    schema = model.model_json_schema(ref_template="{model}")
    texts = [inspect.getdoc(one) or "" for one in reversed(model.__mro__)]
    meanings = {name: what for text in texts for name, what in _attributes(text)}
    yield "| name | value | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        told = schema["properties"].get(name, {})
        default = (
            "needed" if field.is_required() else _code(field.get_default(call_default_factory=True))
        )
        meaning = field.description or meanings.get(name, "")
        yield f"| `{name}` | {_value(told)} | {default} | {_cell(meaning)} |"
    yield ""


def _value(schema: dict[str, Any]) -> str:
    """Say in words what a field can be, from its JSON schema."""
    if "enum" in schema:
        return ", ".join(_code(one) for one in schema["enum"])
    if "const" in schema:
        return _code(schema["const"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_value(one) for one in schema[several])
    if "$ref" in schema:
        return schema["$ref"]
    if "prefixItems" in schema:
        return "[" + ", ".join(_value(one) for one in schema["prefixItems"]) + "]"
    kind = schema.get("type", "anything")
    if kind == "array":
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        many = f"{low} " if low == high else "at least one " if low else ""
        many = {(1, 1): "one ", (0, 1): "none or one "}.get((low, high), many)
        return f"list of {many}{_value(schema.get('items', {}))}"
    if kind == "object" and "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        keys = schema.get("propertyNames", {})
        named = " or ".join(_code(one) for one in keys.get("enum", ())) or "name"
        return f"{{{named}: {_value(inner) if isinstance(inner, dict) else 'anything'}}}"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false"}
    return words.get(kind, kind) + _limits(schema)


def _limits(schema: dict[str, Any]) -> str:
    signs = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
    }
    found = [sign.format(_number(schema[key])) for key, sign in signs.items() if key in schema]
    return f" {', '.join(found)}" if found else ""


def _number(value: float) -> str:
    whole = int(value)
    power = whole.bit_length() - 1
    return f"2^{power}" if value == whole > 1 << 16 and whole == 1 << power else f"{value:g}"


def _attributes(docstring: str) -> Iterator[tuple[str, str]]:
    """Names and meanings in the section "Attributes" of a docstring."""
    section = re.search(
        r"^Attributes\n-+\n(.*?)(?=^\w+\n-+$|\Z)", docstring, re.DOTALL | re.MULTILINE
    )
    names: list[str] = []
    words: list[str] = []
    for line in [*(section[1].splitlines() if section else ()), "end"]:
        if line.startswith(" "):
            words.append(line.strip())
        elif line:
            yield from ((name, " ".join(words)) for name in names)
            names, words = [name.strip() for name in line.split(":")[0].split(",")], []


def _code(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_code, value)) or "none"
    return f"`{value!r}`" if not isinstance(value, str) else f"`{value}`" if value else "empty"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def commands() -> Iterator[str]:
    """Every subcommand of `k4calofast`, with its options."""
    command = typer.main.get_command(k4calofast_command)
    yield from _command(command, ["k4calofast"])


def _command(command: Any, names: list[str]) -> Iterator[str]:
    # A command of click, which typer has or brings along, depending on its release.
    below = getattr(command, "commands", {})
    for name, one in below.items():
        yield from _command(one, [*names, name])
    if below:
        return
    types = get_type_hints(command.callback)
    shown = [one for one in command.params if one.name in types and not one.hidden]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    words = " ".join(_argument(one) for one in arguments)
    yield from (f"## {' '.join(names)}", "", inspect.cleandoc(command.help or ""), "")
    yield from ("```text", f"{' '.join([*names, words])} [OPTIONS]", "```", "")
    yield "| | value | default | meaning |"
    yield "|---|---|---|---|"
    for one in shown:
        spelled = [_argument(one)] if one in arguments else [*one.opts, *one.secondary_opts]
        value = f"`{one.metavar}`" if one.metavar else _kind(types[one.name])
        default = "needed" if one.required else _default(one.default)
        names_ = ", ".join(f"`{name}`" for name in spelled)
        yield f"| {names_} | {value} | {default} | {_cell(one.help or '')} |"
    yield from ("", command.epilog or "", "")


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return f"{name}..." if argument.nargs == -1 else name


def _kind(annotation: Any) -> str:
    """Say in words what a value of a type is on the command line."""
    inner = [one for one in get_args(annotation) if one is not NoneType]
    if get_origin(annotation) is tuple:
        return ", ".join(map(_kind, inner))
    if inner:
        return _kind(inner[0])
    if issubclass(annotation, Enum):
        return ", ".join(f"`{one.value}`" for one in annotation)
    words = {Path: "path", bool: "", str: "text", int: "whole number", float: "number"}
    return words[annotation]


def _default(value: Any) -> str:
    if value in (None, (), []) or isinstance(value, bool) or callable(value):
        return ""
    values = value if isinstance(value, list | tuple) else [value]
    return ", ".join(f"`{getattr(one, 'value', one)}`" for one in values)


def k4run() -> Iterator[str]:
    """What `k4run --help` prints without an options file."""
    done = subprocess.run(
        [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "90", "NO_COLOR": "1"},
    )
    yield from ("```text", done.stdout.rstrip(), "```", "")


def api() -> Iterator[str]:
    """Directives of autodoc for the public modules."""
    for title, modules in MODULES.items():
        yield from (f"## {title}", "")
        for module in modules:
            name = f"k4calofast.{module}"
            yield from (
                f"### {name}",
                "",
                "```{eval-rst}",
                f".. automodule:: {name}",
                "   :members:",
            )
            yield from ("```", "")


MAKERS: dict[str, Callable[[], Iterator[str]]] = {
    maker.__name__: maker
    for maker in (properties, cards, model_sets, requests, detectors, commands, k4run, api)
}


def fill(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put what is made of the code where a page asks for it, and lead out of the docs to GitHub."""
    text = _MARK.sub(lambda mark: "\n".join(MAKERS[mark[1]]()), source[0])
    source[0] = re.sub(r"(?<=\]\()[\w./-]+(?=[)#])", lambda link: _target(page, link[0]), text)


def _target(page: str, link: str) -> str:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return f"{HOME}/blob/main/{path.removeprefix('../')}" if path.startswith("../") else link


_OF_ATTRIBUTES: dict[str, list[str]] = {}


def plainly(_app: Sphinx, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings are English with code in backticks: a star or a bar in them is one."""
    lines[:] = ["`".join(_escaped(line)) for line in lines]
    if what in ("attribute", "data", "property") and not any(map(_UNDERLINE.match, lines)):
        _OF_ATTRIBUTES[name] = list(lines)


def unread(_app: Sphinx, _what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Undo what napoleon does to attributes: it takes what is before a colon for a type."""
    lines[:] = _OF_ATTRIBUTES.pop(name, lines)


def unexplained(
    _app: Sphinx, _what: str, _name: str, obj: Any, _skip: bool, _options: Any
) -> bool | None:
    """Leave out fields of named tuples, which their class's docstring tells of."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field") else None


def _escaped(line: str) -> list[str]:
    parts = line.split("`")
    return [
        part if number % 2 else re.sub(r"([*|])", r"\\\1", part)
        for number, part in enumerate(parts)
    ]


def always(app: Sphinx, *_: Any) -> list[str]:
    """Pages of reference are read at every build: the code is not what Sphinx watches."""
    return [page for page in app.env.found_docs if page.startswith("reference/")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", plainly, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", unread, priority=600)  # behind napoleon
    app.connect("autodoc-skip-member", unexplained)
    app.connect("env-get-outdated", always)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

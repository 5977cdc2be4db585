"""The arrows between folders are those that docs/design.md shows, and point one way.

The table there says what each folder and module of the package knows of the rest, and which other
packages it imports; names in brackets are imported by functions that need them, or for types alone.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = "k4calofast"
KINDS = ("crystals", "layers")
"""Names of the kinds of calorimeters, and of the folders and modules that know one of them."""


class Import(NamedTuple):
    """A module imports another, when it is imported itself or later."""

    module: str
    imported: str
    later: bool


class Arrow(NamedTuple):
    """A folder, or a module beside the folders, imports another one or a package."""

    start: str
    end: str
    later: bool


EVERYWHERE = {PACKAGE, "_version", "arrays", "exceptions", "numpy", *sys.stdlib_module_names}
"""What the table leaves out: the version, errors, arrays, and Python's own modules."""

FILES = {
    ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((REPOSITORY / PACKAGE).rglob("*.py"))
}
TREES = {module: ast.parse(file.read_text()) for module, file in FILES.items()}


def _statements(node: ast.AST, later: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes below, and whether they are run after the import of their module, if ever."""
    for child in ast.iter_child_nodes(node):
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        yield child, later
        yield from _statements(child, later or function or types)


def _imports(module: str) -> Iterator[Import]:
    for node, later in _statements(TREES[module]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, later)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield Import(module, longer if longer in FILES else str(node.module), later)


def _place(module: str) -> str:
    """Return the folder or module below the package that a module belongs to."""
    return module.split(".")[1] if "." in module else PACKAGE


PLACES = {_place(module) for module in FILES}

IMPORTS = [found for module in FILES for found in _imports(module)]


def _arrows() -> set[Arrow]:
    found = set()
    for module, imported, later in IMPORTS:
        top = imported.partition(".")[0]
        end = _place(imported) if top == PACKAGE else top
        if end not in EVERYWHERE and end != _place(module):
            found.add(Arrow(_place(module), end, later))
    # What is imported at once is not imported later in the sense of the table.
    return {one for one in found if not (one.later and one._replace(later=False) in found)}


def _table() -> set[Arrow]:
    found = set()
    text = (REPOSITORY / "docs" / "design.md").read_text()
    for line in text.splitlines():
        row = re.match(r"\| `([^`]+?)(?:/|\.py)` \|[^|]*\|([^|]*)\|([^|]*)\|$", line)
        if row is None:
            continue
        place, *cells = row.groups()
        if place not in PLACES:
            assert (REPOSITORY / place).is_dir(), f"there is no {place}"
            continue
        for cell in cells:
            later = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"\(.*?\)", cell))))
            found |= {Arrow(place, end, end in later) for end in re.findall(r"`(\w+)`", cell)}
    return found


def _circle(arrows: set[tuple[str, str]]) -> list[str]:
    """Return a circle among arrows, or nothing."""
    graph: dict[str, set[str]] = {}
    for start, end in arrows:
        graph.setdefault(start, set()).add(end)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _between_modules() -> set[tuple[str, str]]:
    """Arrows between modules, with those to the folders on the way, which are imported, too."""
    found = set()
    for module, imported, _ in IMPORTS:
        if imported in FILES:
            found.add((module, imported))
            parts = imported.split(".")
            folders = (".".join(parts[:length]) for length in range(1, len(parts)))
            found |= {(module, one) for one in folders if not f"{module}.".startswith(f"{one}.")}
    return found


def test_the_table_of_folders_is_true():
    shown, found = _table(), _arrows()
    assert sorted(found - shown) == []
    assert sorted(shown - found) == []


def test_no_folders_import_each_other_in_a_circle():
    assert _circle({(start, end) for start, end, _ in _arrows() if end in PLACES}) == []


def test_no_modules_import_each_other_in_a_circle():
    """Not even later: an import that waits for a function hides a circle, and does not open it."""
    assert _circle(_between_modules()) == []


def _kinds_of(module: str) -> frozenset[str]:
    return frozenset(module.split(".")) & frozenset(KINDS)


def test_kinds_of_calorimeters_know_nothing_of_each_other():
    pairs = {(_kinds_of(module), _kinds_of(imported), imported) for module, imported, _ in IMPORTS}
    assert not {imported for own, other, imported in pairs if own and other and own != other}


def _asks_for_a_kind(node: ast.AST) -> bool:
    """Whether an expression tells kinds of calorimeters apart, or names one of their classes."""
    if isinstance(node, ast.Name | ast.Attribute | ast.alias):
        name = ast.unparse(node).rpartition(".")[2]
        return name in ("CrystalBarrel", "LayeredBarrel", "LayeredEndcaps", "OF_LAYERS")
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
        return bool(re.search("calorimeter|barrel|detector", ast.unparse(node), re.IGNORECASE))
    if isinstance(node, ast.Compare):
        sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
        of_kind = any(re.search(r"(calorimeter|barrel|detector)\.kind$", side) for side in sides)
        by_name = any(side in map(repr, KINDS) for side in sides)
        by_shape = any(re.match(r"len\([\w.]*(window|shape)\)", side) for side in sides)
        return of_kind or by_name or by_shape
    return False


def test_nobody_asks_for_the_kind_of_a_calorimeter():
    """But who makes calorimeters, and the kinds' own parts of each stage."""
    asking = {
        module
        for module, tree in TREES.items()
        if _place(module) != "detector" and not _kinds_of(module)
        if any(_asks_for_a_kind(node) for node, _ in _statements(tree))
    }
    assert sorted(asking) == []

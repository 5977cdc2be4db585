"""The recipes for conda and spack need what pyproject.toml says, in the same releases."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
OF_CONDA = {"matplotlib-base": "matplotlib", "python-xxhash": "xxhash"}
"""Names there, and on PyPI."""


def _needs(lines: list[str]) -> dict[str, SpecifierSet]:
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one.specifier for one in found}


def _conda() -> dict[str, Any]:
    """Return the recipe with its variables filled in."""
    jinja2 = pytest.importorskip("jinja2")
    text = (REPOSITORY / "recipes" / "conda" / "recipe.yaml").read_text()
    context = yaml.safe_load(text)["context"]
    # ${{ name }}, so that the template itself is YAML.
    syntax = jinja2.Environment(
        variable_start_string="${{", undefined=jinja2.StrictUndefined, autoescape=True
    )
    return yaml.safe_load(syntax.from_string(text).render(context | {"PYTHON": "python"}))


def _of_conda(lines: list[str]) -> dict[str, SpecifierSet]:
    """Return needs of conda's form, name and versions with a space between, but for Python."""
    found = {}
    for line in lines:
        name, _, versions = line.partition(" ")
        if name not in ("python", "pip"):
            found[canonicalize_name(OF_CONDA.get(name, name))] = SpecifierSet(versions)
    return found


def test_the_conda_recipe_needs_what_the_package_needs():
    needs = _conda()["requirements"]
    assert _of_conda(needs["run"]) == _needs(PROJECT["dependencies"])
    assert _of_conda(needs["host"]) == _needs(PYPROJECT["build-system"]["requires"])
    assert f"python {PROJECT['requires-python']}" in needs["run"]


def test_the_conda_recipe_constrains_extras_as_the_package_does():
    extras = _needs([need for lines in PROJECT["optional-dependencies"].values() for need in lines])
    for name, versions in _of_conda(_conda()["requirements"]["run_constraints"]).items():
        assert extras[name] == versions, name


def test_the_conda_recipe_says_what_the_package_says():
    recipe = _conda()
    about, scripts = recipe["about"], recipe["build"]["python"]["entry_points"]
    assert about["license"] == PROJECT["license"]
    assert about["summary"] == PROJECT["description"]
    assert about["homepage"] == about["repository"] == PROJECT["urls"]["Home"]
    assert about["documentation"] == PROJECT["urls"]["Documentation"]
    assert scripts == [f"{name} = {where}" for name, where in PROJECT["scripts"].items()]


SPACK = ast.parse((REPOSITORY / "recipes" / "spack" / "package.py").read_text())


def _of_spack(body: list[ast.stmt], variant: str = "") -> dict[str, dict[str, str]]:
    """Return versions of the Python packages to run with, by variant ("" is always) and name."""
    found: dict[str, dict[str, str]] = {variant: {}}
    for node in body:
        if isinstance(node, ast.With):
            called = node.items[0].context_expr
            assert isinstance(called, ast.Call)
            inside = ast.literal_eval(called.args[0]) if called.args else variant
            for inner, needs in _of_spack(node.body, inside).items():
                found.setdefault(inner, {}).update(needs)
        elif isinstance(node, ast.Expr) and ast.unparse(node).startswith("depends_on('py-"):
            assert isinstance(node.value, ast.Call)
            name, _, versions = ast.literal_eval(node.value.args[0])[3:].partition("@")
            if not node.value.keywords:
                found[variant][name] = versions
    return found


def _as_spack(needs: dict[str, SpecifierSet]) -> dict[str, str]:
    """Return needs with versions as spack writes them."""
    found = {}
    for name, versions in needs.items():
        said = {one.operator: one.version for one in versions}
        if "==" in said:
            found[name] = said["=="]
        else:
            major, _, minor = said.get("<", "").partition(".")
            below = f"{major}.{int(minor) - 1}" if minor else ""
            found[name] = f"{said['>=']}:{below}"
    return found


def test_the_spack_recipe_needs_what_the_package_needs():
    (package,) = (node for node in SPACK.body if isinstance(node, ast.ClassDef))
    extras = PROJECT["optional-dependencies"]
    assert _of_spack(package.body) == {
        "": _as_spack(_needs(PROJECT["dependencies"])),
        "+training": _as_spack(_needs(extras["training"])),
        "+validation": _as_spack(_needs(extras["validation"])),
    }


def test_the_spack_recipe_says_what_the_package_says():
    (package,) = (node for node in SPACK.body if isinstance(node, ast.ClassDef))
    assert str(ast.get_docstring(package)).replace("\n", " ") == PROJECT["description"]
    home = next(node for node in package.body if isinstance(node, ast.Assign))
    assert ast.unparse(home) == f"homepage = {PROJECT['urls']['Home']!r}"

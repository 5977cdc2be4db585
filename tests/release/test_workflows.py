"""What runs elsewhere runs what is here: workflows, nox, and the versions that are promised."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
NOX = ast.parse((REPOSITORY / "noxfile.py").read_text())


def _steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [job])]


def _pythons_of_nox() -> list[str]:
    (found,) = (
        ast.literal_eval(node.value)
        for node in NOX.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PYTHONS"
    )
    return found


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_read_and_nothing_else_by_default(workflow):
    said = yaml.safe_load(workflow.read_text())
    assert said["permissions"] == {"contents": "read"}
    assert "concurrency" in said


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_actions_are_pinned_by_their_major_version(workflow):
    used = [step["uses"] for step in _steps(workflow) if "uses" in step]
    assert used
    assert not [one for one in used if not re.search(r"@(release/)?v\d+$|^\./\.github/", one)]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_call_scripts_and_sessions_that_are_here(workflow):
    commands = "\n".join(step.get("run", "") for step in _steps(workflow))
    for script in re.findall(r"\.ci/\w+", commands):
        assert os.access(REPOSITORY / script, os.X_OK), script
    sessions = {node.name for node in NOX.body if isinstance(node, ast.FunctionDef)}
    named = re.findall(r"nox -s ([a-z ]+)$", commands, re.MULTILINE)
    assert {one for names in named for one in names.split()} <= sessions


def test_tests_run_on_all_versions_of_python_that_are_promised():
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    tests = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "tests.yml").read_text())
    assert promised == tests["jobs"]["tests"]["strategy"]["matrix"]["python"] == _pythons_of_nox()
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_ci_runs_the_command_of_the_readme():
    """The script takes it from there, so that there is one."""
    section = (REPOSITORY / "README.md").read_text().partition("\n## Test it\n")[2]
    block = section.partition("\n## ")[0].partition("```sh\n")[2].partition("\n```")[0]
    # Of the tree: an installed package has not all models that tests run.
    assert block.startswith("pip install -e '.[test]'")
    assert "pytest" in block

"""Gaudi's Configurables have the properties of the embedded ones: defaults and documentation."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from k4calofast.gaudi.properties_header import KINDS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_configurables_have_the_same_properties(key4hep, kind):  # noqa: ARG001 - skips
    name = kind.__name__.removesuffix("Properties")
    code = (
        "import json, Configurables\n"
        f"component = Configurables.{name}('{name}')\n"
        "docs = component.getPropertiesWithDescription()\n"
        "print(json.dumps({key: [value, docs[key][1]] for key, value in "
        "component.getDefaultProperties().items() if isinstance(value, (str, int, float, list))}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    for key, field in kind.model_fields.items():
        default, doc = theirs[key]
        assert default == field.default, key
        assert doc.partition(" [")[0].strip() == field.description, key
